//! Judging ranked lists against labels.

mod metric;
mod report;
mod spread;
mod trec;

pub use metric::{
    Measure, Metric, average_precision_at, hit_rate_at, label_position_ndcg_at, ndcg_at,
    precision_at, recall_at, reciprocal_rank_at,
};

pub use report::{Report, Scorer};
pub use spread::Spread;
pub use trec::TrecRun;
