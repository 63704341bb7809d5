//! From files to batches: interactions, catalog, sequences, splits, batches.
//!
//! Data flows one way: an [`InteractionReader`] gives [`Interactions`], a [`Dataset`] turns them
//! into a [`Catalog`] and [`Sequences`], a [`Split`] divides those into training sequences and
//! evaluation cases, and a [`Batcher`] makes training batches.

mod batch;
mod batcher;
mod behaviors;
mod blocks;
mod catalog;
mod coded;
mod column_id;
mod columns;
mod compression;
mod dataset;
mod epoch;
mod event;
mod features;
mod fields;
mod fingerprint;
mod first_lines;
mod format;
mod header;
mod id;
mod interactions;
mod item_features;
mod item_filter;
mod items;
mod k_core;
mod lanes;
mod layout;
mod lines;
pub mod movielens;
mod negatives;
mod only;
mod opened;
mod padded;
#[cfg(feature = "parquet")]
mod parquet;
mod parser;
mod plain_rows;
mod quoted_rows;
mod reader;
mod record;
mod retained;
mod rolling;
mod rows;
mod schema;
mod seen;
mod sequence_store;
mod sequences;
mod skipped;
mod spans;
mod spelling;
mod split;
mod stored_ids;
pub mod synthetic;
mod targets;
mod text_rows;
mod time_unit;
mod training_data;
mod user;

pub use crate::item::ItemIndex;
/// The Arrow types that [`Interactions::from_arrow`] takes. They may change with any version of
/// this crate.
#[cfg(feature = "parquet")]
pub use arrow_array as arrow;
pub(crate) use batch::HostBatch;
pub use batch::TrainingBatch;
pub use batcher::Batcher;
pub use behaviors::{Behaviors, Role};
pub use catalog::Catalog;
pub use dataset::{Dataset, Filters, Repeats};
pub(crate) use epoch::EpochBatches;
pub use event::Event;
pub use features::Features;
pub use format::Format;
pub use id::ExternalId;
pub(crate) use id::IdTable;
pub use interactions::{Interaction, Interactions};
pub use item_features::ItemFeatures;
pub(crate) use item_features::{GivenVectors, ItemLabels, ItemNumbers, Scale};
pub use item_filter::ItemFilter;
#[cfg(feature = "milvus")]
pub(crate) use item_filter::missing_field;
pub(crate) use items::Cell;
pub use items::{AttributeKind, ItemReader, Items};
pub use negatives::{NegativeSampling, Negatives};
pub use padded::SequenceBatch;
pub use reader::InteractionReader;
pub use rolling::Rolling;
pub use rows::BadRows;
pub use schema::{Column, Schema};
pub use seen::Seen;
pub use sequence_store::{SequenceStore, SequenceStoreWriter};
pub use sequences::Sequences;
pub use spans::{Case, Spans};
pub use split::{Protocol, Split};
pub use targets::{TargetCounts, Targets};
pub use time_unit::TimeUnit;
pub use training_data::TrainingData;
pub use user::User;
pub(crate) use user::{check_known, check_times};
