//! Models that turn histories into vectors which lie near the items that come next.

mod gru;
mod gru4rec;
mod similarity;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;

use crate::Result;
use crate::backend::Backend;
use crate::data::{SequenceBatch, TrainingBatch};

pub use gru::GruLayer;
pub use gru4rec::{Gru4Rec, Gru4RecConfig};
pub use similarity::Similarity;

/// A model that recalls items for a history.
///
/// It gives vectors for histories and for items; the nearest items by
/// [`similarity`](SequenceRecaller::similarity) are what it recalls. That search is an
/// [index](crate::index)'s work, so a model says nothing about how it is done.
pub trait SequenceRecaller<B: Backend>: Module<B> {
    /// User vectors `[batch, interests, dim]`; one interest for single-vector models.
    ///
    /// A row depends on its real items alone, never on padding or on the other rows.
    fn encode(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3>;

    /// Item vectors `[items + 1, dim]`; row 0 is padding and is never recalled.
    fn item_embeddings(&self) -> Tensor<B, 2>;

    /// The mean loss over the batch's targets, `[1]`.
    ///
    /// On a backend with gradients this is the training loss, dropout included; on one without
    /// it is the same loss without dropout.
    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1>;

    /// How user and item vectors are compared in search.
    fn similarity(&self) -> Similarity;

    /// How many of a history's last items the model sees.
    fn max_len(&self) -> usize;
}

/// The settings of a model, from which it is made: what a run folder stores beside the weights.
pub trait RecallerConfig: Config {
    /// The model.
    type Recaller<B: Backend>: SequenceRecaller<B>;

    /// The name under which run folders know the model.
    const NAME: &'static str;

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) with the first setting that can't be
    /// right.
    fn validate(&self) -> Result<()>;

    /// A model for a catalog of `items` items, with weights drawn from `seed`.
    ///
    /// The same seed gives the same weights on every backend.
    ///
    /// # Errors
    /// As [`validate`](RecallerConfig::validate), and for a catalog of no items.
    fn init<B: Backend>(
        &self,
        items: usize,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self::Recaller<B>>;
}
