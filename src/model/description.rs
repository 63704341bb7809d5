//! What training, search and serving have to know of a model.

use super::{ItemFeaturesConfig, Objective, Similarity, TablePrecision};

/// A model's description for training, search and serving, by its
/// [settings](super::RecallerConfig::describe).
///
/// ```
/// use seqrec::model::{Description, Objective};
///
/// let objective = Objective::cosine(0.1);
/// let mut description = Description::new(&objective, 50);
/// description.times = true;
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Description<'a> {
    /// The training objective.
    pub objective: &'a Objective,
    /// The number of a history's last items that the model sees.
    pub max_len: usize,
    /// The similarity by which search compares user and item vectors: that of training, unless
    /// the model has reasons of its own.
    pub similarity: Similarity,
    /// The precision of [tables of items](super::ItemTable).
    pub table_precision: TablePrecision,
    /// Whether the model uses the times of interactions, so that a history must have some.
    pub times: bool,
    /// How the model uses its items' [features](crate::data::ItemFeatures), if it does.
    pub item_features: Option<&'a ItemFeaturesConfig>,
    /// Whether the model sees the events of items where the data's have a
    /// [meaning](crate::data::Behaviors).
    pub event_vectors: bool,
    /// The number of features of a user that the model uses; a history without any is refused.
    pub user_features: usize,
    /// Whether the model can only be trained on one target a history, as with
    /// [`Targets::OneRandom`](crate::data::Targets::OneRandom) and
    /// [`Targets::EveryPrefix`](crate::data::Targets::EveryPrefix).
    pub one_target: bool,
    /// Whether the model can be trained on sequences step by step, with
    /// [`Targets::SessionParallel`](crate::data::Targets::SessionParallel): Hidasi et al.,
    /// [2016](https://arxiv.org/abs/1511.06939). It then has a
    /// [loss for it](super::SequenceRecaller::loss_carrying).
    pub carries_states: bool,
}

impl<'a> Description<'a> {
    /// A model with tables in single precision that sees a history's last `max_len` items and
    /// nothing else.
    pub fn new(objective: &'a Objective, max_len: usize) -> Self {
        Self {
            objective,
            max_len,
            similarity: objective.similarity,
            table_precision: TablePrecision::Single,
            times: false,
            item_features: None,
            event_vectors: false,
            user_features: 0,
            one_target: false,
            carries_states: false,
        }
    }
}
