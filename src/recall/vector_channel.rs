//! Recall by vectors: the items nearest to a user's.

use crate::Result;
use crate::backend::Backend;
use crate::data::User;
use crate::index::{Filter, ItemSet, VectorIndex};
use crate::model::SequenceRecaller;
use crate::retrieve::{ModelEncoder, UserEncoder, items_in, nearest_items};

use super::candidates::{Candidates, Reason};
use super::channel::RecallChannel;

/// A channel that recalls the items nearest to a user's vector, or to any of their vectors: a model
/// and an index of its [item vectors](crate::retrieve::item_vectors). This is U2I.
#[derive(Debug)]
pub struct VectorChannel<E, I> {
    encoder: E,
    index: I,
}

impl<E: UserEncoder, I: VectorIndex> VectorChannel<E, I> {
    /// A channel of an encoder of users and an index of items in the same space.
    pub fn new(encoder: E, index: I) -> Self {
        Self { encoder, index }
    }
}

impl<B: Backend, M: SequenceRecaller<B>, I: VectorIndex> VectorChannel<ModelEncoder<B, M>, I> {
    /// A channel of a model on `device` and an index of its items.
    pub fn of_model(model: M, index: I, device: B::Device) -> Self {
        Self::new(ModelEncoder::new(model, device), index)
    }
}

impl<E: UserEncoder, I: VectorIndex> RecallChannel for VectorChannel<E, I> {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let encode = |users: &[User<'_>]| self.encoder.encode(users);
        // Which items there are, whoever put the index here knows.
        let items = u32::MAX as usize;
        let hits = nearest_items(encode, &self.index, items, users, k, filter)?;
        Ok(Candidates::of_hits(hits, Reason::Taste))
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        items_in(&self.index, items).map(Some)
    }
}
