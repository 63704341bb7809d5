//! What a model is worth on the test split, beside what it must beat.

use std::error::Error;

use seqrec::Result;
use seqrec::data::{Dataset, Seen, Split};
use seqrec::eval::{Metric, Report};
use seqrec::recall::{Evaluation, RecallChannel};
use serde_json::{Map, Value, json};

use super::baselines;
use super::options::Options;
use crate::data::SeenName;
use crate::results::Results;

/// The model by one protocol of seen items.
pub struct Judged {
    exclude_seen: bool,
    report: Report,
    /// What `report.json` has of it, baselines among it.
    pub record: Value,
}

/// Judges by both protocols of seen items, since published results are by either; the one that
/// training was stopped by comes last.
pub fn both_ways(
    channel: &impl RecallChannel,
    split: &Split,
    metric: Metric,
    options: &Options,
    results: Results,
) -> Result<[Judged; 2], Box<dyn Error>> {
    let channels = baselines::beside(channel, split)?;
    let chosen = options.seen == SeenName::LeaveOut;
    let judge = |exclude_seen: bool| -> Result<Judged> {
        let evaluation = Evaluation::new(&options.k, Seen::exclude_if(exclude_seen));
        let compared = evaluation.compare(&channels, &split.test, split.catalog())?;
        let report = compared.reports[0].report.clone();
        let seen = if exclude_seen { "left out" } else { "kept" };
        results.text(format_args!(
            "\nseen items {seen}: test split, {} users\n{compared}",
            report.users
        ));
        if report.unreachable_labels > 0 {
            results.text(format_args!(
                "{} labels were taken before, and can't be recalled where seen items are left out",
                report.unreachable_labels
            ));
        }
        if exclude_seen == chosen
            && let Some(words) = baselines::shortfall(&compared, metric)
        {
            results.text(words);
        }
        Ok(Judged {
            exclude_seen,
            record: json!({"seen": seen, "report": report, "baselines": compared.reports[1..]}),
            report,
        })
    };
    Ok([judge(!chosen)?, judge(chosen)?])
}

impl Judged {
    /// The result as one line of JSON, with how many epochs and seconds training took.
    pub fn summary(
        &self,
        options: &Options,
        dataset: &Dataset,
        (epochs, train_seconds): (usize, f64),
    ) -> Value {
        let mut summary = Map::new();
        let fixed: [(&str, Value); 8] = [
            ("split", "test".into()),
            ("protocol", options.protocol.name().into()),
            ("exclude_seen", self.exclude_seen.into()),
            ("users", self.report.users.into()),
            ("items", dataset.catalog().len().into()),
            ("interactions", dataset.sequences().interactions().into()),
            ("epochs", epochs.into()),
            (
                "train_seconds",
                ((train_seconds * 1000.0).round() / 1000.0).into(),
            ),
        ];
        for (name, value) in fixed {
            summary.insert(name.to_owned(), value);
        }
        for (metric, value) in self.report.iter() {
            summary.insert(metric.to_string(), ((value * 1e6).round() / 1e6).into());
        }
        summary.into()
    }
}
