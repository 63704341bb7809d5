//! The tables of the page.

use std::fmt::Write as _;

use serde_json::Value;

use super::run::{Run, comparable, escape, text};

/// What is told on a small screen of a table that is wider than it.
const SCROLLS: &str = "<p class=\"scrolls\">the table goes on to the right</p>";

/// What a run or a baseline reaches.
struct Row<'a> {
    name: String,
    values: &'a Value,
    is_run: bool,
}

/// Four metrics of runs and their baselines, all others folded, with seen items left out and kept.
pub fn metrics(runs: &[Run]) -> String {
    let mut html = String::new();
    for seen in ["left out", "kept"] {
        let rows = rows(runs, seen);
        if rows.is_empty() {
            continue;
        }
        let users = rows[0].1;
        let rows: Vec<Row<'_>> = rows.into_iter().map(|(row, _)| row).collect();
        let _ = write!(
            html,
            "<h3>Seen items {seen} <small>{users} users</small></h3>"
        );
        html += &four(&rows, &main_metrics(runs));
        html += &all(&rows);
    }
    html
}

/// The rows of all runs, and then of the baselines, each with the number of users.
fn rows<'a>(runs: &'a [Run], seen: &str) -> Vec<(Row<'a>, u64)> {
    let (mut of_runs, mut baselines) = (Vec::new(), Vec::<(Row<'a>, u64)>::new());
    for run in runs {
        let Some(test) = run.list("test").iter().find(|test| test["seen"] == seen) else {
            continue;
        };
        let users = test["report"]["users"].as_u64().unwrap_or(0);
        let row = |name, of: &'a Value, is_run| Row {
            name,
            values: &of["report"]["values"],
            is_run,
        };
        of_runs.push((row(run.name.clone(), test, true), users));
        for baseline in test["baselines"].as_array().into_iter().flatten() {
            let mut name = text(&baseline["name"]);
            if !comparable(runs) {
                name = format!("{name} ({})", run.name);
            }
            // Those of the same data are the same.
            if !baselines.iter().any(|(row, _)| row.name == name) {
                baselines.push((row(name, baseline, false), users));
            }
        }
    }
    of_runs.extend(baselines);
    of_runs
}

/// Four metrics, at the cut that the first run was trained by.
fn main_metrics(runs: &[Run]) -> [String; 4] {
    let cut = runs[0].metric().split_once('@').map_or("10", |(_, k)| k);
    ["recall", "ndcg", "hit_rate", "mrr"].map(|measure| format!("{measure}@{cut}"))
}

/// The metrics in columns, the best of each marked, and of runs the difference to the best
/// baseline.
fn four(rows: &[Row<'_>], metrics: &[String; 4]) -> String {
    let mut html = String::from("<table class=\"four\"><tr><th></th>");
    for metric in metrics {
        let broken = escape(metric).replace('@', "<wbr>@");
        let _ = write!(html, "<th>{broken}</th>");
    }
    let best = |metric: &str, among: &dyn Fn(&Row<'_>) -> bool| {
        let values = rows.iter().filter(|row| among(row));
        let values = values.filter_map(|row| row.values[metric].as_f64());
        values.reduce(f64::max)
    };
    for row in rows {
        let class = if row.is_run { " class=\"run\"" } else { "" };
        let _ = write!(html, "</tr><tr{class}><th>{}</th>", escape(&row.name));
        for metric in metrics {
            let Some(value) = row.values[metric].as_f64() else {
                html += "<td>–</td>";
                continue;
            };
            html += match best(metric, &|_| true) == Some(value) {
                true => "<td class=\"best\">",
                false => "<td>",
            };
            let _ = write!(html, "{value:.4}");
            let baseline = best(metric, &|row| !row.is_run);
            if let Some(baseline) = baseline.filter(|_| row.is_run) {
                let difference = format!("{:+.4}", value - baseline).replace('-', "−");
                let _ = write!(html, "<small>{difference}</small>");
            }
            html += "</td>";
        }
    }
    html + "</tr></table><p><small>Bold with a mark: the best of a column. Below a run's value: its \
            difference to the best baseline.</small></p>"
}

/// All metrics in rows, folded.
fn all(rows: &[Row<'_>]) -> String {
    let mut metrics: Vec<&String> = Vec::new();
    for values in rows.iter().filter_map(|row| row.values.as_object()) {
        for metric in values.keys() {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
    }
    let mut html = format!(
        "<details><summary>All {} metrics</summary>{SCROLLS}<div class=\"scroll\"><table><tr><th></th>",
        metrics.len()
    );
    for row in rows {
        let _ = write!(html, "<th>{}</th>", escape(&row.name));
    }
    for metric in metrics {
        let _ = write!(html, "</tr><tr><th>{}</th>", escape(metric));
        for row in rows {
            let value = row.values[metric].as_f64();
            let value = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
            let _ = write!(html, "<td>{value}</td>");
        }
    }
    html + "</tr></table></div></details>"
}

/// Users' last items beside what is recalled for them.
pub fn histories(run: &Run) -> String {
    let users = run.list("users_shown");
    if users.is_empty() {
        return String::new();
    }
    let mut html = format!("<h2>{}: what is recalled</h2>", escape(&run.name));
    for user in users {
        let list = |field: &str| user[field].as_array().map_or(&[][..], Vec::as_slice);
        let (last, recalled) = (list("history"), list("recalled"));
        let _ = write!(
            html,
            "<table class=\"left\"><tr><th>their last {} of {} items</th>\
             <th>recalled <small>(● taken later)</small></th></tr>",
            last.len(),
            user["length"]
        );
        for place in 0..last.len().max(recalled.len()) {
            let seen = last.get(place).map(|title| escape(&text(title)));
            let found = recalled.get(place).map_or_else(String::new, |item| {
                let title = escape(&text(&item["title"]));
                match item["taken"] == true {
                    true => format!("<span class=\"best\">{title}</span>"),
                    false => title,
                }
            });
            let seen = seen.unwrap_or_default();
            let _ = write!(html, "<tr><td>{seen}</td><td>{found}</td></tr>");
        }
        html += "</table>";
    }
    html
}
