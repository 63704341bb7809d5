//! Loss and validation metric over epochs.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use super::{failed, write};
use crate::Result;
use crate::eval::Metric;
use crate::train::EpochReport;

const SIZE: (u32, u32) = (900, 480);

/// Draws the training loss (left axis) and some validation metrics (right axis) over epochs.
///
/// # Errors
/// [`ErrorKind::Plot`](crate::ErrorKind::Plot) when there is no epoch or drawing fails,
/// [`ErrorKind::NotOurs`](crate::ErrorKind::NotOurs) when the file is there and was not drawn by
/// this crate, and [`ErrorKind::Io`](crate::ErrorKind::Io) when it can't be written.
pub fn draw_training_curves(
    path: impl AsRef<Path>,
    epochs: &[EpochReport],
    metrics: &[Metric],
) -> Result<()> {
    let path = path.as_ref();
    if epochs.is_empty() {
        return Err(failed(path)("there is no epoch".to_owned()));
    }
    let mut svg = String::new();
    draw(&mut svg, epochs, metrics).map_err(|error| failed(path)(error.to_string()))?;
    write(path, &svg)
}

/// A metric of an epoch's validation.
fn value(epoch: &EpochReport, metric: Metric) -> Option<f64> {
    epoch.validation.as_ref()?.get(metric)
}

/// The range of the axis of losses, with a margin.
fn losses(epochs: &[EpochReport]) -> Range<f64> {
    let losses = || epochs.iter().map(|epoch| epoch.loss);
    let (low, high) = (
        losses().fold(f64::MAX, f64::min),
        losses().fold(f64::MIN, f64::max),
    );
    let margin = 0.05 * (high - low).max(0.01);
    low - margin..high + margin
}

/// The range of the axis of metrics, from 0.
fn values(epochs: &[EpochReport], metrics: &[Metric]) -> Range<f64> {
    let values =
        (metrics.iter()).flat_map(|&metric| epochs.iter().filter_map(move |e| value(e, metric)));
    0.0..values.fold(0.0, f64::max).max(1e-3) * 1.1
}

fn draw(
    svg: &mut String,
    epochs: &[EpochReport],
    metrics: &[Metric],
) -> Result<(), Box<dyn std::error::Error>> {
    let last = epochs.len().max(2) as f64;
    let by_epoch = epochs.last().is_some_and(|last| last.epoch == epochs.len());

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .caption("Training", ("sans-serif", 20))
        .x_label_area_size(40)
        .y_label_area_size(60)
        .right_y_label_area_size(60)
        .build_cartesian_2d(1.0..last, losses(epochs))?
        .set_secondary_coord(1.0..last, values(epochs, metrics));
    chart
        .configure_mesh()
        .x_desc(if by_epoch { "epoch" } else { "validation" })
        .y_desc("training loss")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_desc("validation")
        .draw()?;
    let places = || (1..).map(f64::from);
    let points = places().zip(epochs.iter().map(|epoch| epoch.loss));
    chart
        .draw_series(LineSeries::new(points, BLACK.stroke_width(2)))?
        .label("loss")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(2)));
    for (number, &metric) in metrics.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        let points = places()
            .zip(epochs)
            .filter_map(|(place, epoch)| Some((place, value(epoch, metric)?)));
        chart
            .draw_secondary_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(metric.to_string())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    #[test]
    fn one_epoch_is_enough_and_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.svg");
        let epoch = EpochReport {
            epoch: 1,
            step: 1,
            loss: 3.0,
            targets: 1,
            seconds: 1.0,
            waited_seconds: 0.0,
            learning_rate: 0.001,
            gradient_norm: None,
            validation: None,
        };
        let metric = "recall@10".parse().unwrap();
        draw_training_curves(&path, &[epoch], &[metric]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("training loss") && svg.contains("recall@10"));
        assert!(matches!(
            draw_training_curves(&path, &[], &[])
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Plot { .. })
        ));
    }
}
