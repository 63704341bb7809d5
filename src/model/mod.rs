//! Models that turn histories into vectors which lie near the items that come next.
//!
//! Each has a config, which is checked and makes it, and implements [`SequenceRecaller`]; what it
//! is trained for is an [`Objective`] that any of them takes.

mod bsarec;
mod builtin;
mod capsules;
mod description;
mod feature_map;
mod gru4rec;
mod hstu;
mod item2vec;
mod item_table;
mod joined;
mod multi_interest;
mod newer_settings;
mod objective;
mod parameters;
pub mod parts;
mod recaller;
mod recaller_config;
mod sampled_loss;
mod sasrec;
mod similarity;
mod step;
mod table_precision;
mod two_tower;
mod weighing;
mod whitening;

pub use bsarec::BsaRecConfig;
pub(crate) use builtin::{ConfigVisitor, visit_configs};
pub use builtin::{MODEL_NAMES, ModelVisitor, visit_model};
pub use description::Description;
pub use feature_map::{ItemFeaturesConfig, Join};
pub use gru4rec::{Gru4Rec, Gru4RecConfig, InputEmbedding};
pub use hstu::HstuConfig;
pub(crate) use item_table::ParameterPath;
pub use item_table::{ItemTable, ItemVectors};
pub use item2vec::Item2VecConfig;
pub use multi_interest::{InterestExtractor, LabelAttention, MultiInterestConfig};
pub(crate) use newer_settings::with_newer_settings;
pub use objective::{Loss, Objective};
pub(crate) use parameters::{for_each_parameter, map_parameters};
pub use recaller::SequenceRecaller;
pub(crate) use recaller::TrainableRecaller;
pub use recaller_config::{RecallerConfig, TrainableConfig};
pub(crate) use recaller_config::{check_events, drawn};
pub use sampled_loss::{SampledLoss, ScoreActivation};
pub use sasrec::SasRecConfig;
pub(crate) use sasrec::{SasRec, TransformerBlock};
pub use similarity::Similarity;
pub(crate) use step::in_step;
pub use table_precision::TablePrecision;
pub use two_tower::TwoTowerConfig;
