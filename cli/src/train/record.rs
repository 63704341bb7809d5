//! What `seqrec report` draws of a run, in `report.json`.

use std::ffi::OsString;
use std::ops::Range;
use std::time::Instant;

use ndarray::Array2;
use seqrec::Result;
use seqrec::backend::Backend;
use seqrec::data::{Case, Seen, SequenceBatch, Split};
use seqrec::eval::Metric;
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, VectorIndex};
use seqrec::model::{RecallerConfig, SequenceRecaller};
use seqrec::recall::{Evaluation, RecallChannel};
use seqrec::retrieve::user_vectors;
use serde_json::{Value, json};

use super::options::Options;
use crate::data::{Data, held_out};
use crate::shell::quoted;

/// Into how many groups of about equal size users are divided.
const GROUPS: usize = 5;

/// Users whose searches are timed.
const SEARCHES: usize = 1_000;

/// Objects as one, in their order.
pub fn joined<const N: usize>(parts: [Value; N]) -> Value {
    let objects = parts.iter().filter_map(Value::as_object);
    let fields = objects.flat_map(|object| object.clone());
    Value::Object(fields.collect())
}

/// What a model is trained on.
pub fn of_data(options: &Options, data: &Data, split: &Split) -> Value {
    let dataset = &data.dataset;
    json!({
        "model": options.model,
        "protocol": options.protocol.name(),
        "split": format!("{:016x}", split.fingerprint()),
        "held_out": held_out(split),
        "reading": options.data.reading,
        "users": dataset.users(),
        "items": dataset.catalog().len(),
        "interactions": dataset.sequences().interactions(),
    })
}

/// By which settings, program and command it was trained.
pub fn of_program(options: &Options, settings: Value) -> Value {
    json!({
        "seed": options.seed,
        "settings": settings,
        "version": env!("CARGO_PKG_VERSION"),
        "date": date(),
        "command": command(std::env::args_os()),
    })
}

/// The metric of test users in groups: by how often their first label was taken, and by the length
/// of their history.
pub fn groups(channel: &dyn RecallChannel, split: &Split, judged: (Metric, Seen)) -> Result<Value> {
    let counts = split.catalog().counts();
    let taken = |case: Case<'_>| {
        let first = case.labels.first();
        first.map_or(0, |label| counts[label.to_usize()])
    };
    let length = |case: Case<'_>| case.user.items().len() as u64;
    Ok(json!({
        "by_popularity": by_number(channel, split, judged, taken)?,
        "by_history": by_number(channel, split, judged, length)?,
    }))
}

/// A metric of users in groups by a number that each of them has: from and to which it is, how many
/// they are and the metric's mean.
fn by_number(
    channel: &dyn RecallChannel,
    split: &Split,
    (metric, seen): (Metric, Seen),
    number: impl Fn(Case<'_>) -> u64,
) -> Result<Vec<Value>> {
    let mut numbers: Vec<u64> = split.test.iter().map(&number).collect();
    numbers.sort_unstable();
    let mut groups: Vec<Range<u64>> = Vec::new();
    for group in 1..=GROUPS {
        let Some(&last) = numbers.get((group * numbers.len() / GROUPS).wrapping_sub(1)) else {
            continue;
        };
        let first = groups.last().map_or(numbers[0], |before| before.end);
        if first <= last {
            groups.push(first..last + 1);
        }
    }
    let measured = groups.into_iter().map(|group| {
        let cases = split.test.filtered(|case| group.contains(&number(case)));
        let evaluation = Evaluation::new(&[metric.k()], seen);
        let report = evaluation.run(channel, &cases, split.catalog())?;
        let label = match group.end - 1 {
            last if last == group.start => last.to_string(),
            last => format!("{}-{last}", group.start),
        };
        Ok(json!({"label": label, "users": report.users, "value": report.get(metric)}))
    });
    measured.collect()
}

/// The vectors of so many test users at most, `[users, dim]`.
pub fn test_users<B: Backend>(
    model: &impl SequenceRecaller<B>,
    split: &Split,
    most: usize,
) -> Result<Array2<f32>> {
    let device = model.items().device();
    let cases = 0..split.test.len().min(most);
    let histories = cases.map(|case| split.test.get(case).user);
    let histories = SequenceBatch::new(histories, model.config().describe().max_len, &device)?;
    Ok(user_vectors(model, &histories))
}

/// What an exact search and graphs over the items' vectors find of the true best, and the time that
/// a query takes.
pub fn indexes<B: Backend>(
    model: &impl SequenceRecaller<B>,
    vectors: &Array2<f32>,
    split: &Split,
    k: usize,
) -> Result<Vec<Value>> {
    let users = test_users(model, split, SEARCHES)?;
    let exact = FlatIndex::new(vectors)?;
    let truth = exact.search(users.view(), k, None)?;
    let timed = |label: String, index: &dyn VectorIndex| -> Result<Value> {
        let start = Instant::now();
        let found = index.search(users.view(), k, None)?;
        let microseconds = 1e6 * start.elapsed().as_secs_f64() / users.nrows().max(1) as f64;
        let recall = found.recall(&truth);
        Ok(json!({"label": label, "microseconds": microseconds, "recall": recall}))
    };
    let mut all = vec![timed("exact".to_owned(), &exact)?];
    let mut graph = HnswIndex::new(vectors.view(), &HnswConfig::new())?;
    for ef in [1, 2, 4, 8].map(|times| times * k.max(16)) {
        graph = graph.with_ef_search(ef)?;
        all.push(timed(format!("graph, ef {ef}"), &graph)?);
    }
    Ok(all)
}

/// The date, as people write it who want no one to mistake it.
fn date() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The command that this program was started by, as a shell would take it again.
fn command(arguments: impl Iterator<Item = OsString>) -> String {
    let given = (arguments.skip(1)).map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once("seqrec".to_owned())
        .chain(given)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_given_to_a_shell_again() {
        let arguments = [
            "/bin/seqrec",
            "train",
            "--data",
            "my log.csv",
            "it's",
            "",
            "--lr=0.1",
        ];
        assert_eq!(
            command(arguments.into_iter().map(OsString::from)),
            r"seqrec train --data 'my log.csv' 'it'\''s' '' --lr=0.1"
        );
    }
}
