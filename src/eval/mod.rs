//! Judging ranked lists against labels.

mod metric;
mod report;
mod spread;
mod trec;

pub use metric::Metric;
pub use report::{Report, Scorer};
pub use spread::Spread;
pub use trec::TrecRun;
