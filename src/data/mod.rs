//! From files to batches: interactions, catalog, sequences, splits, batches.
//!
//! Data flows one way: an [`InteractionReader`] gives [`Interactions`], a [`Dataset`] turns them
//! into a [`Catalog`] and [`Sequences`], a [`Split`] divides those into training sequences and
//! evaluation cases, and a [`Batcher`] makes training batches.

mod batch;
mod blocks;
mod catalog;
mod column_id;
mod columns;
mod dataset;
mod features;
mod fingerprint;
mod format;
mod history;
mod id;
mod interactions;
mod layout;
pub mod movielens;
mod negatives;
mod plain_rows;
mod reader;
mod rows;
mod schema;
mod seen;
mod sequences;
mod split;
pub mod synthetic;
mod text;
mod time_unit;

pub use crate::item::{ItemIndex, PADDING};
pub use batch::{
    Batcher, EpochBatches, HostBatch, PaddedSequences, SequenceBatch, Targets, TrainingBatch,
};
pub use catalog::Catalog;
pub use column_id::ColumnId;
pub use dataset::{Dataset, Filters, Repeats};
pub use features::Features;
pub use format::Format;
pub use history::History;
pub(crate) use history::check_known;
pub use id::{ExternalId, IdTable};
pub use interactions::{Interaction, Interactions};
pub use negatives::{NegativeSampler, NegativeSampling, Negatives};
pub use reader::InteractionReader;
pub use rows::BadRows;
pub use schema::{Column, Schema};
pub use seen::Seen;
pub use sequences::Sequences;
pub use split::{Case, Cases, Protocol, Split, TrainingSequences};
pub use time_unit::TimeUnit;
