//! Recall by vectors: the items nearest to a user's.

use std::fmt;
use std::sync::Arc;

use crate::Result;
use crate::checks::same_length;
use crate::data::{Catalog, TrainingData, User};
use crate::index::{Filter, ItemSet, VectorIndex};
use crate::settings::settings;

use super::candidates::{Candidates, Reason};
use super::channel::RecallChannel;
use super::channel_config::ChannelConfig;
use super::channel_source::ChannelSource;
use super::nearest::nearest_items;
use super::user_encoder::UserEncoder;

settings! {
    /// The settings of a stage's [`VectorChannel`], of which there are none so far: users' vectors
    /// by the model that the channel looks at, against an index of its item vectors.
    #[derive(Copy, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct VectorChannelConfig {}
}

#[typetag::serde(name = "model")]
impl ChannelConfig for VectorChannelConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        let (encoder, items) = (from.encoder()?, from.item_vectors()?);
        let (data, k) = (from.data, from.candidates);
        let index = from.keep_item_index(items, |plan| {
            let histories = some_histories(data);
            if histories.is_empty() {
                return plan.build_of_vectors(items, k);
            }
            plan.build(items, encoder.encode(&histories)?.view(), k)
        })?;
        Ok(Arc::new(VectorChannel::new(encoder, index)))
    }

    fn build_for_new_items(
        &self,
        channel: Arc<dyn RecallChannel>,
        from: &mut ChannelSource<'_>,
    ) -> Result<Arc<dyn RecallChannel>> {
        from.by_model_of_new_items(channel, |from| self.build(from))
    }
}

/// The histories of some 200 users all over the data, by which an index is measured.
fn some_histories(data: &TrainingData) -> Vec<User<'_>> {
    let sequences = data.sequences();
    let some = (0..sequences.len()).step_by(sequences.len().div_ceil(200).max(1));
    some.map(|place| sequences.history(place))
        .filter(|history| !history.items().is_empty())
        .collect()
}

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
