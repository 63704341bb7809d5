//! Reading, data sets, splits and evaluation.

mod behaviors;
mod datasets;
mod download;
mod generated;
mod items;
mod judging;
#[cfg(feature = "parquet")]
mod parquet;
mod reading;
mod times;
