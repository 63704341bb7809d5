//! Recall by vectors: the items nearest to a user's.

use std::fmt;

use crate::Result;
use crate::backend::Backend;
use crate::checks::same_length;
use crate::data::{Catalog, User};
use crate::index::{Filter, ItemSet, VectorIndex};
use crate::model::SequenceRecaller;
use crate::retrieve::{ModelEncoder, UserEncoder, nearest_items};

use super::candidates::{Candidates, Reason};
use super::channel::RecallChannel;

/// A channel that recalls the items nearest to a user's vector, or to any of their vectors: a model
/// and an index of its [item vectors](crate::retrieve::item_vectors). This is U2I.
pub struct VectorChannel<'a> {
    encoder: Box<dyn UserEncoder + 'a>,
    index: Box<dyn VectorIndex + 'a>,
}

impl<'a> VectorChannel<'a> {
    /// A channel of an encoder of users and an index of items in the same space. Either may be
    /// shared or borrowed, such as an index that other threads update.
    pub fn new(encoder: impl UserEncoder + 'a, index: impl VectorIndex + 'a) -> Self {
        Self {
            encoder: Box::new(encoder),
            index: Box::new(index),
        }
    }

    /// A channel of a model and an index of its items.
    pub fn from_model<B: Backend, M: SequenceRecaller<B>>(
        model: M,
        index: impl VectorIndex + 'a,
    ) -> Self {
        Self::new(ModelEncoder::new(model), index)
    }
}

impl RecallChannel for VectorChannel<'_> {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let hits = nearest_items(&*self.encoder, &*self.index, users, k, filter)?;
        Ok(Candidates::from_hits(hits, Reason::Taste))
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.index.held(items).map(Some)
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        self.encoder.check_catalog(catalog)?;
        same_length(
            "dimension of the index",
            self.encoder.dim(),
            self.index.dim(),
        )
    }
}

impl fmt::Debug for VectorChannel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorChannel")
            .field("dim", &self.encoder.dim())
            .field("items", &self.index.len())
            .finish_non_exhaustive()
    }
}
