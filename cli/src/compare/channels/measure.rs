//! How good and how fast a channel is.

use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

use seqrec::data::{Case, ItemIndex, Seen, Split, User};
use seqrec::eval::Scorer;
use seqrec::index::Filter;
use seqrec::recall::{RecallChannel, RecallStage, WeightLearningConfig};

/// How many users are asked for at a time.
const BATCH: usize = 512;

/// How many users are asked for one by one, to see how long that takes.
const CALLS: usize = 300;

/// What was measured of a channel.
pub struct Measured {
    pub name: String,
    /// The cuts of lists.
    pub ks: [usize; 2],
    /// At each of them.
    pub recall: [f64; 2],
    pub coverage: f64,
    pub build_seconds: f64,
    pub call_milliseconds: f64,
    /// Each user's list.
    pub lists: Vec<Vec<ItemIndex>>,
}

/// The held-out users of a split.
pub struct Judge<'a> {
    split: &'a Split,
    /// By the user's number in the data set.
    segments: HashMap<usize, &'a [String]>,
    seen: Seen,
    ks: [usize; 2],
}

impl<'a> Judge<'a> {
    pub fn new(
        split: &'a Split,
        segments: HashMap<usize, &'a [String]>,
        seen: Seen,
        ks: [usize; 2],
    ) -> Self {
        Self {
            split,
            segments,
            seen,
            ks,
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
        let ks = self.ks;
        let mut scorer = Scorer::new(self.split.catalog(), &ks)?;
        let mut lists = Vec::with_capacity(cases.len());
        let ask = |range: std::ops::Range<usize>| {
            let users: Vec<User<'_>> = range.map(|case| self.user(&cases.get(case))).collect();
            let unseen = |row: usize, item: ItemIndex| !users[row].items().contains(&item);
            let filter = self
                .seen
                .is_excluded()
                .then_some(Filter::Predicate(&unseen));
            channel.recall(&users, ks[1], filter)
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
        let value = |measure: &str, k: usize| -> seqrec::Result<f64> {
            Ok(report
                .get(format!("{measure}@{k}").parse()?)
                .unwrap_or_default())
        };
        Ok(Measured {
            name: name.to_owned(),
            ks,
            recall: [value("recall", ks[0])?, value("recall", ks[1])?],
            coverage: value("coverage", ks[1])?,
            build_seconds,
            call_milliseconds: times[times.len() / 2],
            lists,
        })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: recall@{} {:.4}, recall@{} {:.4}, coverage {:.3}, {:.1} s to build, {:.2} ms a call",
            self.name,
            self.ks[0],
            self.recall[0],
            self.ks[1],
            self.recall[1],
            self.coverage,
            self.build_seconds,
            self.call_milliseconds
        )
    }
}

/// All that was measured, as Markdown.
pub fn table<'a>(rows: impl Iterator<Item = &'a Measured>, ks: [usize; 2]) -> String {
    let mut table = format!(
        "| channel | recall@{} | recall@{} | coverage@{} | to build, s | a call, ms |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        ks[0], ks[1], ks[1]
    );
    for row in rows {
        table += &format!(
            "| {} | {:.4} | {:.4} | {:.3} | {:.1} | {:.2} |\n",
            row.name,
            row.recall[0],
            row.recall[1],
            row.coverage,
            row.build_seconds,
            row.call_milliseconds
        );
    }
    table
}
