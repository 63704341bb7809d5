//! Draws recall against queries per second out of the lines that `cargo bench -p seqrec-bench
//! --bench ann` prints.
//!
//! `seqrec compare indexes LINES.jsonl OUT.svg CAPTION`; lines with a `peer` in
//! place of an `index` are drawn as well. Points of one name are joined, and of several lines with
//! one name and ef the median counts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use plotters::prelude::*;

use crate::output_file::OutputFile;
use crate::text_file;

type Failure = Box<dyn std::error::Error>;

/// What the picture begins with.
const MARK: &str = "<!-- drawn by seqrec's ann_plot -->\n";

/// Recall as the number of nines, `-log10(1 - recall)`, five at most: the share that is missed
/// differs by powers of ten.
fn nines(recall: f64) -> f64 {
    -(1.0 - recall).max(1e-5).log10()
}

/// Colors that are told apart on white (Okabe & Ito, "Color Universal Design", 2008, and three
/// more).
const COLORS: [RGBColor; 10] = [
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(0, 0, 0),
    RGBColor(153, 153, 153),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(140, 86, 75),
    RGBColor(120, 94, 240),
];

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What several lines say of one point.
#[derive(Default)]
struct Measured {
    recall: Vec<f64>,
    qps: Vec<f64>,
}

/// The curve's name and the point's ef; `None` for lines of other measurements.
fn name_of(line: &serde_json::Value) -> Option<(String, u64)> {
    let text = |field: &str| line[field].as_str().map(str::to_owned);
    // Lines of peers are of one thread and no filter.
    if line["threads"].as_u64().unwrap_or(1) != 1 || line["pass"].is_f64() {
        return None;
    }
    let precision = text("precision").filter(|precision| precision != "f32");
    let name = match (text("index"), text("peer")) {
        (Some(index), _) => format!(
            "seqrec {index}{}",
            precision.map_or(String::new(), |p| format!(" {p}"))
        ),
        (None, Some(peer)) => peer,
        (None, None) => return None,
    };
    Some((name, line["ef"].as_u64().unwrap_or(0)))
}

#[derive(Args, Debug)]
pub struct Options {
    /// Lines of JSON, each with an `index` or a `peer`, a `recall` and a `qps`.
    lines: PathBuf,
    /// The picture, as SVG.
    out: PathBuf,
    /// The picture's caption.
    caption: String,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let Options { lines, caption, .. } = options;
    let lines = lines.display();
    let out = OutputFile::new(&options.out, MARK)?;
    let text = text_file::read(&options.lines)?;
    let mut curves: BTreeMap<String, BTreeMap<u64, Measured>> = BTreeMap::new();
    let mut unread = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else {
            unread += 1;
            continue;
        };
        let numbers = (line["recall"].as_f64(), line["qps"].as_f64());
        if let (Some((name, ef)), (Some(recall), Some(qps))) = (name_of(&line), numbers) {
            let point = curves.entry(name).or_default().entry(ef).or_default();
            point.recall.push(recall);
            point.qps.push(qps);
        }
    }
    if unread > 0 {
        eprintln!("{lines}: {unread} lines are no JSON and were passed over");
    }
    if curves.is_empty() {
        return Err(format!("{lines} holds no line with recall and qps").into());
    }
    let points = || curves.values().flat_map(BTreeMap::values);
    let recalls = || points().flat_map(|point| point.recall.iter().map(|&recall| nines(recall)));
    let speeds = || points().flat_map(|point| point.qps.iter().copied());
    let (least, most) = (recalls().fold(5.0, f64::min), recalls().fold(0.0, f64::max));
    let slowest = 0.8 * speeds().fold(f64::MAX, f64::min);
    let fastest = 1.25 * speeds().fold(0.0, f64::max);
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (860, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(caption, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(least - 0.1..most + 0.1, (slowest..fastest).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("recall")
        .y_desc("queries per second")
        .x_label_formatter(&|&nines| {
            let digits = nines.ceil().max(1.0) as usize + 1;
            let recall = format!("{:.digits$}", 1.0 - 10f64.powf(-nines));
            recall.trim_end_matches('0').to_owned()
        })
        .x_labels(5)
        .y_label_formatter(&|qps| format!("{qps:.0}"))
        .draw()?;
    for (number, (name, points)) in curves.into_iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let points: Vec<(f64, f64)> = points
            .into_values()
            .map(|mut point| (nines(median(&mut point.recall)), median(&mut point.qps)))
            .collect();
        let width = if name.starts_with("seqrec") { 3 } else { 1 };
        chart
            .draw_series(LineSeries::new(
                points.iter().copied(),
                color.stroke_width(width),
            ))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], color.filled()));
        let dot = |&point: &(f64, f64)| Circle::new(point, 4, color.filled());
        chart.draw_series(points.iter().map(dot))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    // Which still hold on to the text.
    drop((chart, root));
    out.write(&svg)
}
