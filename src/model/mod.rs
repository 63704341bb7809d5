//! Models that turn histories into vectors which lie near the items that come next.
//!
//! Each has a config, which is checked and makes it, and implements [`SequenceRecaller`]; what it
//! is trained for is an [`Objective`] that any of them takes.

mod dropout;
mod ends;
mod gru;
mod gru4rec;
mod hstu;
mod item2vec;
mod multi_interest;
mod objective;
mod packing;
mod sasrec;
mod similarity;
mod two_tower;
mod weights;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend as BurnBackend;

use crate::Result;
use crate::backend::Backend;
use crate::data::{NegativeSampling, SequenceBatch, Targets, TrainingBatch};

pub use ends::SequenceEnds;
pub use gru::GruLayer;
pub use gru4rec::{Gru4Rec, Gru4RecConfig, InputEmbedding};
pub use hstu::{Hstu, HstuBlock, HstuConfig};
pub use item2vec::{Item2Vec, Item2VecConfig};
pub use multi_interest::{InterestExtractor, LabelAttention, MultiInterest, MultiInterestConfig};
pub use objective::{ItemVectors, Loss, Objective, SampledLoss, SampledScores, ScoreActivation};
pub use sasrec::{Block, SasRec, SasRecConfig, TransformerBlock};
pub use similarity::Similarity;
pub use two_tower::{TwoTower, TwoTowerConfig};

/// A model that recalls items for a history.
///
/// It gives vectors for histories and for items; the nearest items by
/// [`similarity`](SequenceRecaller::similarity) are what it recalls. That search is an
/// [index](crate::index)'s work, so a model says nothing about how it is done.
pub trait SequenceRecaller<B: Backend>: Module<B> + Sync {
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

    /// The loss of a batch that goes on where another ended, and what the next one goes on from.
    ///
    /// Only models that [support](SequenceRecaller::supports) [`Targets::SessionParallel`] carry
    /// anything; the others' loss is [`loss`](SequenceRecaller::loss).
    fn loss_carrying(
        &self,
        batch: &TrainingBatch<B>,
        carried: Option<CarriedState<B>>,
    ) -> (Tensor<B, 1>, Option<CarriedState<B>>) {
        let _ = carried;
        (self.loss(batch), None)
    }

    /// The negatives that the loss needs in each batch; `None` when it needs none.
    fn negatives(&self) -> Option<NegativeSampling> {
        None
    }

    /// Whether the model can be trained on such targets.
    fn supports(&self, targets: Targets) -> bool {
        targets != Targets::SessionParallel
    }

    /// How many features of a user the model looks at. A history without any is seen as one whose
    /// features are all 0.
    fn user_features(&self) -> usize {
        0
    }

    /// Whether the model looks at when items were taken, so that a history must have times.
    fn needs_times(&self) -> bool {
        false
    }

    /// The settings that the model was made with, as JSON: [`config_to_json`] of its config. A
    /// checkpoint is resumed only by a model of the same.
    ///
    /// [`config_to_json`]: burn::config::config_to_json
    fn settings(&self) -> String;

    /// How user and item vectors are compared in search.
    fn similarity(&self) -> Similarity;

    /// How many of a history's last items the model sees.
    fn max_len(&self) -> usize;
}

/// What a model carries from batch to batch: each layer's states `[batch, dim]`.
#[derive(Debug, Clone)]
pub struct CarriedState<B: BurnBackend>(pub Vec<Tensor<B, 2>>);

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

    /// A model whose weights are about to be replaced by those of a file: one that this can be
    /// done for without whatever else `init` would ask for.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init).
    fn init_for_loading<B: Backend>(
        &self,
        items: usize,
        device: &B::Device,
    ) -> Result<Self::Recaller<B>> {
        self.init(items, 0, device)
    }
}
