//! How good and how fast a channel is.

use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

use seqrec::data::{Case, ItemIndex, Seen, Split, User};
use seqrec::eval::Scorer;
use seqrec::index::Filter;
use seqrec::recall::{RecallChannel, RecallStage, WeightLearningConfig};

use super::Cuts;

/// How many users are asked for at a time.
const BATCH: usize = 512;

/// How many users are asked for one by one, to see how long that takes.
const CALLS: usize = 300;

/// What was measured of a channel.
pub struct Measured {
    pub name: String,
    pub cuts: Cuts,
    /// At each of them.
    pub recall: Vec<f64>,
    /// At the largest.
    pub coverage: f64,
    pub build_seconds: f64,
    pub call_milliseconds: f64,
    /// Each user's list.
    pub lists: Vec<Vec<ItemIndex>>,
}

impl Measured {
    /// Recall at the largest cut.
    pub fn at_largest(&self) -> f64 {
        self.recall.last().copied().unwrap_or_default()
    }
}

/// The held-out users of a split.
pub struct Judge<'a> {
    split: &'a Split,
    /// By the user's number in the data set.
    segments: HashMap<usize, &'a [String]>,
    seen: Seen,
    cuts: &'a Cuts,
}

impl<'a> Judge<'a> {
    pub fn new(
        split: &'a Split,
        segments: HashMap<usize, &'a [String]>,
        seen: Seen,
        cuts: &'a Cuts,
    ) -> Self {
        Self {
            split,
            segments,
            seen,
            cuts,
        }
    }

    fn user(&self, case: &Case<'a>) -> User<'a> {
        let segments = self.segments.get(&case.number);
        case.user.in_segments(segments.copied().unwrap_or_default())
    }

    /// Learns the weights of a fusion on the validation split.
    pub fn learn_weights(
        &self,
        stage: &mut RecallStage,
        config: &WeightLearningConfig,
    ) -> seqrec::Result<f64> {
        let valid = &self.split.valid;
        stage.learn_weights(valid, config, |case| self.user(&case))
    }

    pub fn measure(
        &self,
        name: &str,
        channel: &dyn RecallChannel,
        build_seconds: f64,
    ) -> seqrec::Result<Measured> {
        let cases = &self.split.test;
        let cuts = self.cuts;
        let mut scorer = Scorer::new(self.split.catalog(), &cuts.0)?;
        let mut lists = Vec::with_capacity(cases.len());
        let ask = |range: std::ops::Range<usize>| {
            let users: Vec<User<'_>> = range.map(|case| self.user(&cases.get(case))).collect();
            let unseen =
                |row: usize, item: ItemIndex| !users[row].seen_items().any(|seen| seen == item);
            let filter = self
                .seen
                .is_excluded()
                .then_some(Filter::Predicate(&unseen));
            channel.recall(&users, cuts.largest(), filter)
        };
        for start in (0..cases.len()).step_by(BATCH) {
            let range = start..cases.len().min(start + BATCH);
            let candidates = ask(range.clone())?;
            for (row, case) in range.enumerate() {
                scorer.add(candidates.items(row), cases.get(case).labels);
                lists.push(candidates.items(row).to_vec());
            }
        }
        let mut times: Vec<f64> = (0..cases.len().min(CALLS))
            .map(|case| {
                let start = Instant::now();
                ask(case..case + 1)?;
                Ok(start.elapsed().as_secs_f64() * 1e3)
            })
            .collect::<seqrec::Result<_>>()?;
        times.sort_by(f64::total_cmp);
        let report = scorer.report();
        let coverage = format!("coverage@{}", cuts.largest()).parse()?;
        let recall = cuts.0.iter().map(|&k| report.recall(k).unwrap_or_default());
        Ok(Measured {
            name: name.to_owned(),
            cuts: cuts.clone(),
            recall: recall.collect(),
            coverage: report.get(coverage).unwrap_or_default(),
            build_seconds,
            call_milliseconds: times[times.len() / 2],
            lists,
        })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        for (k, recall) in self.cuts.0.iter().zip(&self.recall) {
            write!(f, "recall@{k} {recall:.4}, ")?;
        }
        write!(
            f,
            "coverage {:.3}, {:.1} s to build, {:.2} ms a call",
            self.coverage, self.build_seconds, self.call_milliseconds
        )
    }
}

/// All that was measured, as Markdown.
pub fn table<'a>(rows: impl Iterator<Item = &'a Measured>, cuts: &Cuts) -> String {
    let mut columns = vec!["channel".to_owned()];
    columns.extend(cuts.0.iter().map(|k| format!("recall@{k}")));
    columns.push(format!("coverage@{}", cuts.largest()));
    columns.extend(["to build, s", "a call, ms"].map(str::to_owned));
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut table = line(&columns) + &line(&vec!["---".to_owned(); columns.len()]);
    for row in rows {
        let mut cells = vec![row.name.clone()];
        cells.extend(row.recall.iter().map(|recall| format!("{recall:.4}")));
        cells.push(format!("{:.3}", row.coverage));
        cells.push(format!("{:.1}", row.build_seconds));
        cells.push(format!("{:.2}", row.call_milliseconds));
        table += &line(&cells);
    }
    table
}
