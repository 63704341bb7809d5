//! What comes next most often.

use std::sync::Arc;

use rayon::prelude::*;

use crate::Result;
use crate::data::{ItemIndex, TrainingData, User};
use crate::index::Filter;
use crate::settings::settings;

use crate::recall::{
    Candidates, ChannelConfig, ChannelSource, Links, Reason, RecallChannel, best_by_scores,
};

/// A Markov chain of the first order: items are scored by how often they came right after the
/// history's last item.
#[derive(Debug, Clone)]
pub struct MarkovChain {
    followers: Links<ItemIndex, ItemIndex>,
}

settings! {
    /// The settings of [`MarkovChain`], of which there are none so far.
    #[derive(Copy, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct MarkovChainConfig {}
}

impl MarkovChainConfig {
    /// Counts transitions.
    ///
    /// # Errors
    /// None so far.
    pub fn fit(&self, data: &TrainingData) -> Result<MarkovChain> {
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
        Ok(MarkovChain { followers })
    }
}

#[typetag::serde(name = "markov_chain")]
impl ChannelConfig for MarkovChainConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        Ok(Arc::new(self.fit(from.data)?))
    }
}

impl MarkovChain {
    /// What came right after each item, with its share of all that did.
    pub fn followers(&self) -> &Links<ItemIndex, ItemIndex> {
        &self.followers
    }
}

impl RecallChannel for MarkovChain {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let items = self.followers.nodes() - 1;
        best_by_scores(items, users, k, filter, |user, scores| {
            if let Some(&last) = user.items().last() {
                let (items, shares) = self.followers.of(last.get());
                for (&item, &share) in items.iter().zip(shares) {
                    scores.add(item, share, Reason::Item(last));
                }
            }
        })
    }
}
