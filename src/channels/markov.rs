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
    ///
    /// By the [meaning](crate::data::Behaviors) of events, a transition counts the weight of the
    /// event that it ends with, of a target or not: most of what comes before and after a purchase
    /// are views, and their weight says how much they count beside it. Events of disliked items are
    /// skipped over, so that they are neither the end nor the beginning of one.
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
        let transitions = |user| {
            let liked = sequences.history(user).liked_items();
            let pairs = liked.clone().zip(liked.skip(1));
            // The bits of weights are in their order, as they are above 0.
            pairs.map(|((from, _), (to, weight))| (from, to, weight.to_bits()))
        };
        let users = 0..sequences.len();
        let mut pairs: Vec<(ItemIndex, ItemIndex, u32)> = users.flat_map(transitions).collect();
        pairs.par_sort_unstable();
        let sum = |pairs: &[(ItemIndex, ItemIndex, u32)]| -> f32 {
            let weights = pairs.iter().map(|&(_, _, bits)| f32::from_bits(bits));
            weights.map(f64::from).sum::<f64>() as f32
        };
        let mut followers = Links::to(catalog.len() + 1);
        for of_item in pairs.chunk_by(|a, b| a.0 == b.0) {
            while followers.len() < of_item[0].0.to_usize() {
                followers.push([]);
            }
            let all = sum(of_item);
            let counted = of_item.chunk_by(|a, b| a.1 == b.1);
            followers.push(counted.map(|same| (same[0].1.get(), sum(same) / all)));
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
