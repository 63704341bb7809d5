//! The items that come next most often.

use std::sync::Arc;

use rayon::prelude::*;

use crate::Result;
use crate::data::{ItemIndex, TrainingData};
use crate::recall::{ChannelConfig, ChannelSource, HistoryItems, Links, Path, RecallChannel};
use crate::settings::settings;

settings! {
    /// The settings of a Markov chain of the first order, of which there are none so far: items are
    /// scored by how often they came right after the history's last item.
    #[derive(Copy, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct MarkovChainConfig {}
}

impl MarkovChainConfig {
    /// Counts transitions.
    ///
    /// # Errors
    /// None so far.
    pub fn fit(&self, data: &TrainingData) -> Result<impl RecallChannel + use<>> {
        Ok(HistoryItems::last(1)?
            .then(self.followers(data))
            .into_channel())
    }

    /// The items that came right after each item, with their shares of all that did: a step of a
    /// path.
    pub fn followers(&self, data: &TrainingData) -> Links<ItemIndex, ItemIndex> {
        let (sequences, catalog) = (data.sequences(), data.catalog());
        let pairs = sequences.item_lists().flat_map(|items| items.windows(2));
        let mut pairs: Vec<(ItemIndex, ItemIndex)> = pairs.map(|pair| (pair[0], pair[1])).collect();
        pairs.par_sort_unstable();
        let mut followers = Links::to(catalog.len() + 1);
        for of_item in pairs.chunk_by(|a, b| a.0 == b.0) {
            while followers.len() < of_item[0].0.to_usize() {
                followers.push([]);
            }
            let all = of_item.len() as f32;
            let counted = of_item.chunk_by(|a, b| a == b);
            followers.push(counted.map(|same| (same[0].1.get(), same.len() as f32 / all)));
        }
        followers
    }
}

#[typetag::serde(name = "markov_chain")]
impl ChannelConfig for MarkovChainConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        Ok(Arc::new(self.fit(from.data)?))
    }
}
