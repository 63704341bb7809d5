//! Judging ranked lists against labels.

mod comparison;
mod metric;
mod report;
mod spread;
mod trec;

pub use comparison::{Comparison, NamedReport};
pub use metric::Metric;
pub use report::{Report, Scorer};
pub use spread::Spread;
pub use trec::TrecRun;
