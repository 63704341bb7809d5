//! Input embedding and output head of the self-attention models.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};

use super::dropout::Dropout;
use super::events::EventVectors;
use super::layers::{layer_norm, linear};
use super::packing::Packing;
use super::user_map::UserMap;
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
    /// What is added to the input vectors of items by their events.
    pub events: Option<EventVectors<B>>,
    /// Position vectors `[max_len, dim]`, counted from the first item seen.
    pub positions: Param<Tensor<B, 2>>,
    /// Normalizes the last block's states.
    pub norm: LayerNorm<B>,
    /// From normalized states to user vectors, `[dim, dim]`.
    pub output: Option<Linear<B>>,
    /// What is added to user vectors by the features of users.
    pub users: Option<UserMap<B>>,
}

impl<B: BurnBackend> SequenceEnds<B> {
    /// Ends with weights that are drawn one after another: `sizes` are the number of items, that of
    /// a vector, the length of histories, and the number of features of users. With `tied` an item
    /// is seen by the vector that it is recalled by, with `events` it is seen with its event, and
    /// with `output_layer` a linear layer makes user vectors of states.
    pub fn new(
        [items, dim, max_len, user_features]: [usize; 4],
        [tied, events, output_layer]: [bool; 3],
        weights: &mut Weights<'_, B>,
    ) -> Self {
        Self {
            embedding: weights.items(items, dim),
            input_embedding: (!tied).then(|| weights.items(items, dim)),
            events: weights.events(events, dim),
            positions: weights.normal(max_len, dim, 0.02),
            norm: weights.layer_norm(dim),
            output: output_layer.then(|| weights.linear(dim, dim)),
            users: weights.users(user_features, dim),
        }
    }
}

impl<B: Backend> SequenceEnds<B> {
    /// User vectors `[n, 1, dim]` after the items at `positions` `[n]`, as
    /// [`SequenceRecaller::states`](crate::model::SequenceRecaller::states) gives them: `blocks`
    /// makes the last block's states of the first block's input, both `[tokens, dim]`. A share
    /// `probability` of the input is dropped.
    pub(crate) fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        mut dropout: Dropout,
        probability: f64,
        blocks: impl FnOnce(Tensor<B, 2>, &Packing<B>, &mut Dropout) -> Tensor<B, 2>,
    ) -> Tensor<B, 3> {
        let packing = Packing::new(histories);
        let states = self.begin(histories, &packing, &mut dropout, probability);
        let states = self.end(blocks(states, &packing, &mut dropout));
        let users = packing.at(states, positions.clone()).unsqueeze_dim(1);
        UserMap::join(self.users.as_ref(), users, histories, Some(positions))
    }

    /// The first block's input for each real item, `[tokens, dim]`, with a share of it dropped.
    fn begin(
        &self,
        histories: &SequenceBatch<B>,
        packing: &Packing<B>,
        dropout: &mut Dropout,
        probability: f64,
    ) -> Tensor<B, 2> {
        let inputs = self.input_embedding.as_ref().unwrap_or(&self.embedding);
        let (items, positions) = packing.embed(histories, inputs, &self.positions);
        let items = EventVectors::join(self.events.as_ref(), items, histories, Some(packing));
        let dim = items.dims()[1];
        let states = items.mul_scalar((dim as f64).sqrt()) + positions;
        dropout.apply(states, probability)
    }

    /// User vectors `[tokens, dim]` out of the last block's states.
    fn end(&self, states: Tensor<B, 2>) -> Tensor<B, 2> {
        let states = layer_norm(&self.norm, states);
        match &self.output {
            Some(output) => linear(output, states, Activation::None),
            None => states,
        }
    }
}
