//! The page as a whole.

use std::fmt::Write as _;

use serde_json::Value;

use super::charts;
use super::run::{Run, comparable, escape, text};
use super::tables;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --line: #d5dae1; --soft: #5a6472; --best: #0b6b52 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14181f; --line: #39414d;
  --soft: #9aa4b2; --best: #b7f9d8 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper) }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere } h2 { margin-top: 2.5rem } small, .scrolls { color: var(--soft) }
figure { margin: 0 } figcaption { font-weight: 600 } figure > svg { width: 100%; height: auto; display: block }
.charts { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)) }
.map { max-width: 52rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0 1.5rem; overflow-wrap: anywhere }
dt { color: var(--soft) } dd { margin: 0; min-width: 0 } pre { white-space: pre-wrap; margin: .5rem 0; font-size: .85rem }
.key { width: .9rem; height: .9rem; margin-right: .4rem; vertical-align: -.05rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .four { min-width: min(100%, 44rem) }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th:first-child, .left td, .left th { text-align: left } th { font-weight: 600 } table:not(.left) tr:not(.run) > th:first-child { font-weight: 400 }
.four td { white-space: nowrap } .four small { display: block } .best { font-weight: 700; color: var(--best) } .best::before { content: '●'; font-size: .6em; vertical-align: .15em; margin-right: .3em }
td.best::before { margin-left: -1.2em }
.left { width: 100%; max-width: 52rem; table-layout: fixed; margin-bottom: 2rem } .left td { overflow-wrap: anywhere }
summary { cursor: pointer; color: var(--soft) } .scroll { overflow-x: auto } .scroll th { white-space: nowrap }
.scrolls { display: none; margin: .5rem 0 0; font-size: .85rem } .scrolls::after { content: ' →' }
@media (max-width: 40rem) { .scrolls { display: block } .four { font-size: .8rem } .four th, .four td { padding: .3rem 0 .3rem .6rem } }
";

/// All that was recorded of some runs, as a page.
pub fn page(runs: &[Run]) -> String {
    let mut html = format!(
        "<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>seqrec report</title>\
         <link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body><h1>Recall report</h1>"
    );
    for (place, run) in runs.iter().enumerate() {
        html += &about(place, run);
    }
    if !comparable(runs) {
        html += "<p><b>These runs are of different data or splits: their metrics say nothing of which \
                 is better.</b></p>";
    }
    let _ = write!(
        html,
        "<h2>Test split</h2>{}<h2>By group, and by index</h2><div class=\"charts\">{}</div>\
         <p><small>n: users of a group. Whiskers: where the mean may be, with 95 % confidence at \
         least.</small></p><h2>Training</h2><div class=\"charts\">{}</div>",
        tables::metrics(runs),
        charts::groups_and_indexes(runs),
        charts::training(runs),
    );
    for run in runs {
        html += &tables::histories(run);
    }
    html += "<h2>Maps of the items</h2>";
    for run in runs {
        let _ = write!(html, "<div class=\"map\">{}</div>", charts::map(run));
    }
    html + "</body></html>\n"
}

/// What a run is, and how to make it again.
fn about(place: usize, run: &Run) -> String {
    let record = &run.record;
    // In the color that its lines and bars have.
    let mut html = format!(
        "<h2><svg class=\"seqrec key\" viewBox=\"0 0 10 10\" aria-hidden=\"true\"><circle class=\"c{}\" \
         cx=\"5\" cy=\"5\" r=\"5\"/></svg>{}</h2><dl>",
        place % 8,
        escape(&run.name)
    );
    let count = |field: &str| match record[field].as_u64() {
        Some(count) => grouped(count),
        None => "?".to_owned(),
    };
    let data = format!(
        "{} users, {} items, {} interactions",
        count("users"),
        count("items"),
        count("interactions")
    );
    let training = format!(
        "best epoch {} of {}, {:.0} s of training",
        count("best_epoch"),
        run.list("epochs").len(),
        record["train_seconds"].as_f64().unwrap_or(0.0)
    );
    let lines = [
        ("model", text(&record["model"])),
        ("data", data),
        ("protocol", text(&record["protocol"])),
        ("training", training),
    ];
    for (name, value) in lines {
        let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    for name in ["seed", "version", "date", "command"] {
        if let Some(value) = record.get(name).filter(|value| !value.is_null()) {
            let value = escape(&text(value));
            let _ = match name {
                "command" => write!(html, "<dt>{name}</dt><dd><code>{value}</code></dd>"),
                _ => write!(html, "<dt>{name}</dt><dd>{value}</dd>"),
            };
        }
    }
    if let Some(settings @ Value::Object(_)) = record.get("settings") {
        let settings = serde_json::to_string_pretty(settings).unwrap_or_default();
        let _ = write!(
            html,
            "<dt>settings</dt><dd><details><summary>show</summary><pre>{}</pre></details></dd>",
            escape(&settings)
        );
    }
    html + "</dl>"
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(name: &str, split: &str, recall: f64) -> Run {
        let report = |recall| json!({"users": 12, "values": {"recall@50": recall, "map@50": 0.5}});
        let record = json!({
            "model": "gru4rec", "protocol": "ratio", "split": split, "metric": "recall@50",
            "users": 1234567, "items": 9, "interactions": 99, "best_epoch": 2, "seed": 7,
            "command": "seqrec train <log> & more", "settings": {"dim": 64},
            "epochs": [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}, {"epoch": 3, "loss": 2.5}],
            "test": [{"seen": "kept", "report": report(recall),
                "baselines": [{"name": "popularity", "report": report(0.25)}]}],
            "by_popularity": [{"label": "0-12", "users": 12, "value": 0.1}],
            "index": [{"label": "exact", "microseconds": 30.0, "recall": 1.0}],
            "map": [{"x": 0.0, "y": 0.0, "group": "Drama", "title": "<A & B>"},
                {"x": 1.0, "y": 1.0, "group": null, "title": null}],
            "users_shown": [{"length": 40, "history": ["a <b>"],
                "recalled": [{"title": "c", "taken": true}]}],
        });
        Run::of(record, name.to_owned()).unwrap()
    }

    #[test]
    fn a_page_has_what_was_recorded_and_no_markup_of_the_data() {
        let html = page(&[run("better", "a", 0.5), run("worse", "a", 0.125)]);
        for expected in [
            "1,234,567 users",
            "<code>seqrec train &lt;log&gt; &amp; more</code>",
            "<td class=\"best\">0.5000<small>+0.2500</small>",
            "<td>0.1250<small>−0.1250</small>",
            "<th>popularity</th>",
            "All 2 metrics",
            ">n 12<",
            ">exact 1.000<",
            "&lt;A &amp; B&gt; (Drama)",
            "their last 1 of 40 items",
            "<span class=\"best\">c</span>",
            "a &lt;b&gt;",
            "not recorded",
        ] {
            assert!(html.contains(expected), "{expected}");
        }
        assert!(!html.contains("different data") && !html.contains("<b>>"));
        // One row of a baseline that all runs share.
        assert_eq!(html.matches("<th>popularity</th>").count(), 2);
    }

    #[test]
    fn runs_of_different_data_are_not_compared() {
        let html = page(&[run("one", "a", 0.5), run("other", "b", 0.5)]);
        assert!(html.contains("different data or splits"));
        assert!(html.contains("popularity (one)") && html.contains("popularity (other)"));
    }

    #[test]
    fn an_empty_record_is_a_page_all_the_same() {
        let run = Run::of(json!({}), "empty".to_owned()).unwrap();
        assert!(page(&[run]).contains("not recorded"));
        assert!(Run::of(json!({"map": [{"x": "left"}]}), String::new()).is_err());
    }
}
