//! Input embedding and output head of the self-attention models.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend as BurnBackend;

use super::dropout::Dropout;
use super::layers::{layer_norm, linear};
use super::packing::Packing;
use super::weights::Weights;
use crate::backend::{Activation, Backend};
use crate::data::SequenceBatch;
use crate::model::ItemTable;

/// Input embedding and output head of a self-attention model: item and position vectors, and the
/// way from the last block's states to user vectors.
#[derive(Module, Debug)]
pub struct SequenceEnds<B: BurnBackend> {
    /// The vectors that items are recalled by.
    pub embedding: ItemTable<B>,
    /// The input vector of each item, unless it is the vector that it is recalled by.
    pub input_embedding: Option<ItemTable<B>>,
    /// Position vectors `[max_len, dim]`, counted from the first item seen.
    pub positions: Param<Tensor<B, 2>>,
    /// Normalizes the last block's states.
    pub norm: LayerNorm<B>,
    /// From normalized states to user vectors, `[dim, dim]`.
    pub output: Option<Linear<B>>,
}

/// The sizes and choices of [`SequenceEnds`].
#[derive(Debug, Clone)]
pub struct EndsSettings {
    /// The size of the catalog.
    pub items: usize,
    /// The size of vectors.
    pub dim: usize,
    /// The number of a history's last items that the model sees.
    pub max_len: usize,
    /// Whether what is seen of an item is the vector that it is recalled by.
    pub tied: bool,
    /// Whether a linear layer makes user vectors of states.
    pub output_layer: bool,
}

impl<B: BurnBackend> SequenceEnds<B> {
    /// Ends with weights that are drawn one after another.
    pub fn new(settings: &EndsSettings, weights: &mut Weights<'_, B>) -> Self {
        let &EndsSettings {
            items,
            dim,
            max_len,
            tied,
            output_layer,
        } = settings;
        Self {
            embedding: weights.items(items, dim),
            input_embedding: (!tied).then(|| weights.items(items, dim)),
            positions: weights.normal(max_len, dim, 0.02),
            norm: weights.layer_norm(dim),
            output: output_layer.then(|| weights.linear(dim, dim)),
        }
    }
}

impl<B: Backend> SequenceEnds<B> {
    /// The first block's input for each real item, `[tokens, dim]`, with a share of it dropped.
    pub(crate) fn begin(
        &self,
        histories: &SequenceBatch<B>,
        packing: &Packing<B>,
        dropout: &mut Dropout,
        probability: f64,
    ) -> Tensor<B, 2> {
        let inputs = self.input_embedding.as_ref().unwrap_or(&self.embedding);
        let (items, positions) = packing.embed(histories, inputs, &self.positions);
        let dim = items.dims()[1];
        let states = items.mul_scalar((dim as f64).sqrt()) + positions;
        dropout.apply(states, probability)
    }

    /// User vectors `[tokens, dim]` out of the last block's states.
    pub(crate) fn end(&self, states: Tensor<B, 2>) -> Tensor<B, 2> {
        let states = layer_norm(&self.norm, states);
        match &self.output {
            Some(output) => linear(output, states, Activation::None),
            None => states,
        }
    }
}
