//! Training curves.

use super::chart::Chart;
use super::failed;
use super::panel::panel;
use super::picture::Picture;
use super::svg::{At, Frame, Svg, cut};
use crate::Result;
use crate::eval::Metric;
use crate::train::{EpochReport, StopReason, Trained};

const WIDTH: f64 = 640.0;
const SIZE: f64 = 15.0;
/// The height of what stands above the charts, and of one of them.
const HEAD: f64 = 64.0;
const HEIGHT: f64 = 300.0;

/// Draws the loss, and below it some metrics of the validation, over epochs, with marks at the best
/// epoch and where training stopped. The title says which model it is, and on which data.
///
/// # Errors
/// [`ErrorKind::Plot`](crate::ErrorKind::Plot) when there is no epoch.
pub fn draw_training_curves<M>(
    title: &str,
    trained: &Trained<M>,
    metrics: &[Metric],
) -> Result<Picture> {
    let epochs = &trained.epochs;
    let Some(last) = epochs.last() else {
        return Err(failed(title, "there is no epoch"));
    };
    // There may be several validations an epoch.
    let x = match last.epoch == epochs.len() {
        true => "epoch",
        false => "validation",
    };
    let best = trained.best_epoch;
    let subtitle = format!(
        "The best is {x} {best} of {}; training ended {}",
        epochs.len(),
        why(&trained.stop)
    );
    let line = |chart: Chart, name: String, value: &dyn Fn(&EpochReport) -> Option<f64>| {
        let values = epochs.iter().map(|epoch| value(epoch).unwrap_or(f64::NAN));
        chart.line(name, (1..).map(f64::from).zip(values), Some(best as f64))
    };
    let marked = |chart: Chart| {
        let chart = match best {
            0 => chart,
            best => chart.mark(best as f64, "best"),
        };
        match best == epochs.len() {
            true => chart,
            false => chart.mark(epochs.len() as f64, "stopped"),
        }
    };
    let loss = line(Chart::new("Loss", x, ""), "loss".to_owned(), &|epoch| {
        Some(epoch.loss)
    });
    let mut charts = vec![marked(loss)];
    let value = |epoch: &EpochReport, metric| epoch.validation.as_ref()?.get(metric);
    let mut validation = Chart::new("Validation", x, "").from_zero().colors_from(1);
    for &metric in metrics {
        if epochs
            .iter()
            .any(|epoch| value(epoch, metric).is_some_and(f64::is_finite))
        {
            validation = line(validation, metric.to_string(), &|epoch| {
                value(epoch, metric)
            });
        }
    }
    match validation.series.as_slice() {
        [] => {}
        [only] => {
            validation.title = format!("{} of the validation", only.name);
            charts.push(marked(validation));
        }
        _ => charts.push(marked(validation)),
    }
    draw(title, &subtitle, &charts)
}

/// Why training ended, after that word.
fn why(stop: &StopReason) -> String {
    match stop {
        StopReason::Epochs => "with the last epoch".to_owned(),
        StopReason::Patience => "since nothing got better".to_owned(),
        StopReason::Time => "since its time was up".to_owned(),
        StopReason::Observer => "since an observer said so".to_owned(),
        StopReason::Diverged { epoch, .. } => format!("since the loss diverged in epoch {epoch}"),
    }
}

/// Charts below one another.
fn draw(title: &str, subtitle: &str, charts: &[Chart]) -> Result<Picture> {
    let mut svg = Svg::new();
    let (left, width) = (16.0, WIDTH - 32.0);
    let size = 1.3 * SIZE;
    svg.text(At::Start(left, 32.0), ("b", size), &cut(title, width, size));
    let subtitle = cut(subtitle, width, SIZE);
    svg.text(At::Start(left, 55.0), ("soft", SIZE), &subtitle);
    let mut top = HEAD;
    for chart in charts {
        let frame = Frame {
            left,
            top: top + 6.0,
            width,
            height: HEIGHT - 6.0,
        };
        panel(&mut svg, chart, frame, SIZE)?;
        top += HEIGHT;
    }
    Ok(svg.finish(title, (WIDTH, top + 10.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    fn trained(losses: &[f64], best_epoch: usize) -> Trained<()> {
        let epoch = |(place, &loss): (usize, &f64)| EpochReport {
            epoch: place + 1,
            step: place + 1,
            loss,
            targets: 1,
            seconds: 1.0,
            waited_seconds: 0.0,
            learning_rate: 0.001,
            gradient_norm: None,
            validation: None,
            metric: None,
        };
        Trained {
            model: (),
            best_epoch,
            epochs: losses.iter().enumerate().map(epoch).collect(),
            train_seconds: 1.0,
            stop: StopReason::Patience,
        }
    }

    #[test]
    fn the_best_epoch_and_the_end_are_marked() {
        let trained = trained(&[3.0, 2.0, 2.5, f64::NAN], 2);
        let drawn = draw_training_curves(
            "gru4rec on a log",
            &trained,
            &["recall@10".parse().unwrap()],
        );
        let drawn = drawn.unwrap().to_string();
        for expected in [
            "gru4rec on a log",
            "The best is epoch 2 of 4",
            "since nothing got better",
            ">best</text>",
            ">stopped</text>",
            "class=\"ring",
            "prefers-color-scheme:dark",
        ] {
            assert!(drawn.contains(expected), "{expected} in {drawn}");
        }
        // There was no validation to draw.
        assert!(!drawn.contains("recall@10"));
    }

    #[test]
    fn one_epoch_is_enough_and_none_is_an_error() {
        assert!(draw_training_curves("", &trained(&[1.0], 1), &[]).is_ok());
        assert!(matches!(
            draw_training_curves("", &trained(&[], 0), &[])
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Plot { .. })
        ));
    }
}
