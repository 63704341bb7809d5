//! The charts of the page.

use seqrec::plot::{Chart, Picture, draw_map};
use serde_json::Value;

use super::run::{Run, text};

/// A chart, or that nothing was recorded for it.
fn figure(title: &str, picture: seqrec::Result<Picture>) -> String {
    match picture {
        Ok(picture) => format!("<figure>{picture}</figure>"),
        Err(_) => {
            format!("<figure><figcaption>{title}</figcaption><small>not recorded</small></figure>")
        }
    }
}

/// The loss and the metric that each run is trained by, over epochs.
pub fn training(runs: &[Run]) -> String {
    let metric = metrics(runs);
    let loss = |epoch: &Value, _: &Run| epoch["loss"].as_f64();
    let validation =
        |epoch: &Value, run: &Run| epoch["validation"]["values"][run.metric()].as_f64();
    let validated = format!("{metric} of the validation split");
    [
        ("Loss", curves("Loss", runs, loss)),
        (
            validated.as_str(),
            curves(&validated, runs, validation).from_zero(),
        ),
    ]
    .map(|(title, chart)| figure(title, chart.draw()))
    .concat()
}

/// A value of each run's epochs, with its best epoch; where it stopped too, if there is one run.
fn curves(title: &str, runs: &[Run], value: impl Fn(&Value, &Run) -> Option<f64>) -> Chart {
    // There may be several validations an epoch, and then these are counted.
    let by_epoch = runs.iter().all(|run| {
        let epochs = run.list("epochs");
        let last = epochs.last().and_then(|last| last["epoch"].as_u64());
        last.is_none_or(|last| last == epochs.len() as u64)
    });
    let mut chart = Chart::new(title, if by_epoch { "epoch" } else { "validation" }, "");
    for run in runs {
        let epochs = run.list("epochs");
        let of_best = |epoch: &Value| epoch["epoch"] == run.record["best_epoch"];
        let best = epochs.iter().rposition(of_best).map(|best| best + 1);
        let points = (1..).map(f64::from).zip(epochs);
        let points = points.map(|(x, epoch)| (x, value(epoch, run).unwrap_or(f64::NAN)));
        chart = chart.line(&run.name, points, best.map(|best| best as f64));
        if let ([_], Some(best)) = (runs, best) {
            chart = chart.mark(best as f64, "best");
            if best < epochs.len() {
                chart = chart.mark(epochs.len() as f64, "stopped");
            }
        }
    }
    chart
}

/// The metrics that runs are trained by.
fn metrics(runs: &[Run]) -> String {
    let mut metrics: Vec<&str> = runs.iter().map(Run::metric).collect();
    metrics.sort_unstable();
    metrics.dedup();
    metrics.join(" or ")
}

/// The metric of users in groups, and what indexes find.
pub fn groups_and_indexes(runs: &[Run]) -> String {
    let metric = metrics(runs);
    let mut html = String::new();
    for (title, field, x) in [
        (
            "how often the label was taken",
            "by_popularity",
            "times taken in training",
        ),
        ("length of history", "by_history", "items of the history"),
    ] {
        let title = format!("{metric} by {title}");
        let chart = runs.iter().fold(Chart::new(&title, x, ""), |chart, run| {
            let bar = |group: &Value| {
                let users = group["users"].as_u64()? as usize;
                Some((text(&group["label"]), group["value"].as_f64()?, users))
            };
            chart.bars(&run.name, run.list(field).iter().filter_map(bar))
        });
        html += &figure(&title, chart.draw());
    }
    let title = "Share of the true best that an index finds";
    let empty = Chart::new(title, "microseconds a query", "")
        .from_zero()
        .up_to_one();
    let chart = runs.iter().fold(empty, |chart, run| {
        let point = |index: &Value| {
            let recall = index["recall"].as_f64()?;
            let label = format!("{} {recall:.3}", text(&index["label"]));
            Some((label, index["microseconds"].as_f64()?, recall))
        };
        chart.points(&run.name, run.list("index").iter().filter_map(point))
    });
    html + &figure(title, chart.draw())
}

/// The map of a run's items, as in its `items.svg`.
pub fn map(run: &Run) -> String {
    let title = format!("{}: the {} most popular items", run.name, run.map.len());
    figure("map", draw_map(&title, &run.map))
}
