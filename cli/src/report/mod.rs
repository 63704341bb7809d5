//! One page of HTML about one run or several: what `seqrec train` left in its folders.
//!
//! `seqrec report movielens-run other-run --out report.html` draws training
//! curves, metrics beside baselines, recall by popularity and by length of history, what indexes find
//! in which time, maps of the items and users' histories beside what is recalled. The page needs no
//! network and no script.

pub mod names;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::output_file::OutputFile;
use names::names;

#[derive(Args, Debug)]
pub struct Options {
    /// Folders that `seqrec train` wrote.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The page; one that this program wrote before is replaced.
    #[arg(long, default_value = "report.html")]
    out: PathBuf,
}

/// What a page of ours begins with.
const MARK: &str = "<!doctype html><!-- seqrec report -->";

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --line: #d5dae1; --soft: #667;
  --c0: #1f6fd6; --c1: #d2571b; --c2: #2a8f4f; --c3: #9b4dca; --c4: #b8860b; --c5: #c02f6b;
  --c6: #148a9c; --c7: #7a6a58; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14181f; --line: #39414d;
  --soft: #9aa4b2; --c0: #6ea8ff; --c1: #ff9a62; --c2: #6fd394; --c3: #cd9bf0; --c4: #e3bd5b;
  --c5: #ff85b0; --c6: #62ccdc; --c7: #c2b19c; } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper) }
.charts { display: grid; margin-top: 1.5rem; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)) }
figure { margin: 0 } figcaption { font-weight: 600 }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--soft); font-size: 13px }
.grid { stroke: var(--line); stroke-width: 1 } .curve { fill: none; stroke-width: 2.5 }
.scroll { overflow-x: auto } table { border-collapse: collapse; min-width: 100% }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child, .left td, .left th { text-align: left }
.left td { white-space: normal; vertical-align: top } .hit { font-weight: 700; color: var(--c2) }
.key { display: inline-block; margin-right: 1rem } .key i { display: inline-block; width: .8rem; height: .8rem;
  border-radius: 50%; margin-right: .35rem } small { color: var(--soft) }
";

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let out = OutputFile::new(&options.out, MARK)?;
    let runs = (options.runs.iter().zip(names(&options.runs)))
        .map(|(path, name)| Run::read(path, name))
        .collect::<Result<Vec<_>, _>>()?;
    out.write(&page(&runs))?;
    println!("the page is {}", options.out.display());
    Ok(())
}

/// A run and what was recorded of it.
struct Run {
    name: String,
    record: Value,
}

impl Run {
    fn read(path: &Path, name: String) -> Result<Self, Box<dyn Error>> {
        let file = path.join("report.json");
        let text = std::fs::read(&file).map_err(|error| {
            let file = file.display();
            format!("could not read {file}: {error}; name folders that `movielens` has written")
        })?;
        let record = serde_json::from_slice(&text)
            .map_err(|error| format!("{} is damaged: {error}", file.display()))?;
        Ok(Self { name, record })
    }

    /// A list of the record.
    fn list(&self, field: &str) -> &[Value] {
        self.record[field].as_array().map_or(&[], Vec::as_slice)
    }

    /// Points of a list, by two of its fields.
    fn points(&self, field: &str, y: &str) -> Vec<(String, f64)> {
        let point = |value: &Value| Some((text(&value["label"]), value[y].as_f64()?));
        self.list(field).iter().filter_map(point).collect()
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Text as HTML has it.
fn escape(text: &str) -> String {
    (text.replace('&', "&amp;").replace('<', "&lt;"))
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A color of the style sheet.
fn color(series: usize) -> String {
    format!("var(--c{})", series % 8)
}

struct Series {
    name: String,
    /// Names of points where they have any, and where they are.
    points: Vec<(String, f64, f64)>,
}

fn page(runs: &[Run]) -> String {
    let mut html = format!(
        "<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>seqrec report</title>\
         <link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body><h1>Recall report</h1>"
    );
    for (series, run) in runs.iter().enumerate() {
        let record = &run.record;
        let _ = write!(
            html,
            "<p><span class=\"key\"><i style=\"background:{}\"></i><b>{}</b></span>{}, {}: {} users, {} \
             items, {} interactions; best epoch {}, {:.0} s of training</p>",
            color(series),
            escape(&run.name),
            escape(&text(&record["model"])),
            escape(&text(&record["protocol"])),
            record["users"],
            record["items"],
            record["interactions"],
            record["best_epoch"],
            record["train_seconds"].as_f64().unwrap_or(0.0),
        );
    }
    if !comparable(runs) {
        html += "<p><b>These runs are of different data or splits: their metrics say nothing of which \
                 is better.</b></p>";
    }
    html += "<h2>Training</h2><div class=\"charts\">";
    let curve = |value: &dyn Fn(&Value, &Value) -> Option<f64>| -> Vec<Series> {
        let of_run = |run: &Run| Series {
            name: run.name.clone(),
            points: (run.list("epochs").iter())
                .filter_map(|epoch| {
                    let y = value(epoch, &run.record)?;
                    Some((String::new(), epoch["epoch"].as_f64()?, y))
                })
                .collect(),
        };
        runs.iter().map(of_run).collect()
    };
    let loss = curve(&|epoch, _| epoch["loss"].as_f64());
    html += &chart("Loss", "epoch", &loss, true, false);
    // Each run is drawn by the metric that it was trained by.
    let mut metrics_of: Vec<String> = runs.iter().map(|run| text(&run.record["metric"])).collect();
    metrics_of.sort();
    metrics_of.dedup();
    let metric = metrics_of.join(" or ");
    let validation =
        curve(&|epoch, record| epoch["validation"]["values"][record["metric"].as_str()?].as_f64());
    html += &chart(
        &format!("{metric} of the validation split"),
        "epoch",
        &validation,
        true,
        false,
    );
    html += "</div><h2>Test split</h2>";
    html += &metrics(runs);
    html += "<div class=\"charts\">";
    for (title, field, x) in [
        (
            "by how often the label was taken",
            "by_popularity",
            "times taken in training",
        ),
        ("by length of history", "by_history", "items of the history"),
    ] {
        let of_run = |run: &Run| Series {
            name: run.name.clone(),
            points: (run.points(field, "value").into_iter().enumerate())
                .map(|(place, (label, y))| (label, place as f64, y))
                .collect(),
        };
        let series: Vec<Series> = runs.iter().map(of_run).collect();
        html += &chart(&format!("{metric} {title}"), x, &series, true, true);
    }
    let of_run = |run: &Run| Series {
        name: run.name.clone(),
        points: (run.list("index").iter())
            .filter_map(|index| {
                let x = index["microseconds"].as_f64()?;
                Some((text(&index["label"]), x, index["recall"].as_f64()?))
            })
            .collect(),
    };
    let series: Vec<Series> = runs.iter().map(of_run).collect();
    html += &chart(
        "What indexes find of the true best",
        "microseconds a query",
        &series,
        false,
        false,
    );
    html += "</div>";
    for run in runs {
        html += &map(run);
        html += &histories(run);
    }
    html + "</body></html>\n"
}

/// Whether all runs are of the same data, divided alike.
fn comparable(runs: &[Run]) -> bool {
    (runs.iter()).all(|run| run.record["split"] == runs[0].record["split"])
}

/// Metrics in rows, runs and their baselines in columns, seen items kept and left out.
fn metrics(runs: &[Run]) -> String {
    let mut html = String::new();
    for (place, seen) in ["kept", "left out"].into_iter().enumerate() {
        let tests: Vec<(&Run, &Value)> = (runs.iter())
            .filter_map(|run| {
                let test = run.list("test").iter().find(|test| test["seen"] == seen)?;
                Some((run, test))
            })
            .collect();
        if tests.is_empty() {
            continue;
        }
        let space = if place > 0 { "<br>" } else { "" };
        let _ = write!(
            html,
            "{space}<div class=\"scroll\"><table><tr><th>seen items {seen}</th>"
        );
        let mut columns: Vec<(String, &Value)> = Vec::new();
        let mut baselines: Vec<String> = Vec::new();
        let mut rows: Vec<&String> = Vec::new();
        for (run, test) in &tests {
            let values = &test["report"]["values"];
            columns.push((run.name.clone(), values));
            for metric in values
                .as_object()
                .into_iter()
                .flat_map(|values| values.keys())
            {
                if !rows.contains(&metric) {
                    rows.push(metric);
                }
            }
            for baseline in test["baselines"].as_array().into_iter().flatten() {
                let mut name = text(&baseline["name"]);
                if !comparable(runs) {
                    name = format!("{name} ({})", run.name);
                }
                // Those of the same data are the same.
                if !baselines.contains(&name) {
                    baselines.push(name.clone());
                    columns.push((name, &baseline["report"]["values"]));
                }
            }
        }
        for (name, _) in &columns {
            let _ = write!(html, "<th>{}</th>", escape(name));
        }
        for metric in rows {
            let _ = write!(html, "</tr><tr><td>{}</td>", escape(metric));
            for (_, values) in &columns {
                let value = values[metric].as_f64();
                let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
                let _ = write!(html, "<td>{value}</td>");
            }
        }
        html += "</tr></table></div>";
    }
    html
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
/// Room for the axes' numbers: left, right, top, bottom.
const MARGINS: [f64; 4] = [58.0, 16.0, 14.0, 46.0];

/// A chart of points, joined or not; `named` writes points' names below in place of numbers.
fn chart(title: &str, x_name: &str, series: &[Series], joined: bool, named: bool) -> String {
    let all = || series.iter().flat_map(|series| &series.points);
    let bounds = |of: fn(&(String, f64, f64)) -> f64| {
        let least = all().map(of).fold(f64::INFINITY, f64::min);
        let most = all().map(of).fold(f64::NEG_INFINITY, f64::max);
        if least < most {
            (least, most)
        } else {
            (least - 0.5, least + 0.5)
        }
    };
    let mut html = format!("<figure><figcaption>{}</figcaption>", escape(title));
    if all().next().is_none() {
        return html + "<p><small>not recorded</small></p></figure>";
    }
    let ((left, right), (low, high)) = (bounds(|point| point.1), bounds(|point| point.2));
    let room = 0.06 * (high - low);
    let (low, high) = (low - room, high + room);
    let x = |value: f64| {
        MARGINS[0] + (value - left) / (right - left) * (WIDTH - MARGINS[0] - MARGINS[1])
    };
    let y = |value: f64| {
        HEIGHT - MARGINS[3] - (value - low) / (high - low) * (HEIGHT - MARGINS[2] - MARGINS[3])
    };
    let _ = write!(
        html,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    );
    for tick in 0..=4 {
        let value = low + (high - low) * f64::from(tick) / 4.0;
        let (from, to, at) = (MARGINS[0], WIDTH - MARGINS[1], y(value));
        let _ = write!(
            html,
            "<line class=\"grid\" x1=\"{from}\" x2=\"{to}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            from - 8.0,
            at + 4.0,
            number(value, high - low),
        );
    }
    let below = HEIGHT - MARGINS[3] + 18.0;
    if named {
        // Runs on different data have groups of their own at one place, each of which is named.
        let mut names: BTreeMap<usize, (f64, Vec<&str>)> = BTreeMap::new();
        for (name, place, _) in all() {
            let (_, names) = names.entry(*place as usize).or_insert((*place, Vec::new()));
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        for (place, names) in names.values() {
            let anchor = if *place == left {
                "start"
            } else if *place == right {
                "end"
            } else {
                "middle"
            };
            let _ = write!(
                html,
                "<text x=\"{:.1}\" y=\"{below}\" text-anchor=\"{anchor}\">{}</text>",
                x(*place),
                escape(&names.join(" / "))
            );
        }
    } else {
        for tick in 0..=4 {
            let span = right - left;
            let value = left + span * f64::from(tick) / 4.0;
            // Epochs are whole.
            let value = if span >= 4.0 { value.round() } else { value };
            let anchor = ["start", "middle", "middle", "middle", "end"][tick as usize];
            let _ = write!(
                html,
                "<text x=\"{:.1}\" y=\"{below}\" text-anchor=\"{anchor}\">{}</text>",
                x(value),
                number(value, if span >= 4.0 { f64::INFINITY } else { span })
            );
        }
    }
    let _ = write!(
        html,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        WIDTH / 2.0,
        HEIGHT - 6.0,
        escape(x_name)
    );
    for (place, series) in series.iter().enumerate() {
        let color = color(place);
        if joined {
            let points: Vec<String> = (series.points.iter())
                .map(|(_, at, value)| format!("{:.1},{:.1}", x(*at), y(*value)))
                .collect();
            let _ = write!(
                html,
                "<polyline class=\"curve\" style=\"stroke:{color}\" points=\"{}\"/>",
                points.join(" ")
            );
        }
        for (name, at, value) in &series.points {
            let at_name = if name.is_empty() {
                number(*at, right - left)
            } else {
                name.clone()
            };
            let _ = write!(
                html,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" style=\"fill:{color}\"><title>{}: {}, {value:.4}</title></circle>",
                x(*at),
                y(*value),
                escape(&series.name),
                escape(&at_name),
            );
        }
    }
    html + "</svg></figure>"
}

/// A number of an axis that is so long.
fn number(value: f64, span: f64) -> String {
    match span {
        span if span >= 20.0 => format!("{value:.0}"),
        span if span >= 2.0 => format!("{value:.1}"),
        span if span >= 0.05 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The items' places, colored by their most frequent tags.
fn map(run: &Run) -> String {
    let points = run.list("map");
    let mut counts: Vec<(String, usize)> = Vec::new();
    for tag in points.iter().filter_map(|point| point["group"].as_str()) {
        match counts.iter_mut().find(|(name, _)| name == tag) {
            Some((_, count)) => *count += 1,
            None => counts.push((tag.to_owned(), 1)),
        }
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts.truncate(8);
    let coordinate = |point: &Value, axis: &str| point[axis].as_f64().unwrap_or(0.0);
    let bounds = |axis: &str| {
        let all = || points.iter().map(|point| coordinate(point, axis));
        let (least, most) = (
            all().fold(f64::INFINITY, f64::min),
            all().fold(f64::NEG_INFINITY, f64::max),
        );
        (least, (most - least).max(1e-9))
    };
    let mut html = format!("<h2>{}: map of the items</h2>", escape(&run.name));
    if points.is_empty() {
        return html + "<p><small>not recorded</small></p>";
    }
    for (place, (tag, count)) in counts.iter().enumerate() {
        let _ = write!(
            html,
            "<span class=\"key\"><i style=\"background:{}\"></i>{} <small>{count}</small></span>",
            color(place),
            escape(tag)
        );
    }
    let ((left, width), (top, height)) = (bounds("x"), bounds("y"));
    html += "<svg viewBox=\"0 0 1000 700\" role=\"img\" aria-label=\"map of the items\">";
    for point in points {
        let place = point["group"]
            .as_str()
            .and_then(|tag| counts.iter().position(|(name, _)| name == tag));
        let fill = place.map_or_else(|| "var(--line)".to_owned(), color);
        let _ = write!(
            html,
            "<circle cx=\"{:.0}\" cy=\"{:.0}\" r=\"4\" style=\"fill:{fill}\" fill-opacity=\".75\"><title>{}</title></circle>",
            10.0 + 980.0 * (coordinate(point, "x") - left) / width,
            10.0 + 680.0 * (coordinate(point, "y") - top) / height,
            escape(&text(&point["title"])),
        );
    }
    html + "</svg>"
}

/// Users' last items beside what is recalled for them.
fn histories(run: &Run) -> String {
    let mut html = format!("<h2>{}: what is recalled</h2>", escape(&run.name));
    for user in run.list("users_shown") {
        let _ = write!(
            html,
            "<div class=\"scroll\"><table class=\"left\"><tr><th>the last of {} items</th><th>recalled <small>(taken later: bold)</small></th></tr>",
            user["length"]
        );
        let list = |field: &str| user[field].as_array().map_or(&[][..], Vec::as_slice);
        let (last, recalled) = (list("history"), list("recalled"));
        for place in 0..last.len().max(recalled.len()) {
            let seen = last
                .get(place)
                .map(|title| escape(&text(title)))
                .unwrap_or_default();
            let found = recalled.get(place).map_or_else(String::new, |item| {
                let class = if item["taken"] == true {
                    " class=\"hit\""
                } else {
                    ""
                };
                format!("<span{class}>{}</span>", escape(&text(&item["title"])))
            });
            let _ = write!(html, "<tr><td>{seen}</td><td>{found}</td></tr>");
        }
        html += "</table></div><br>";
    }
    html
}
