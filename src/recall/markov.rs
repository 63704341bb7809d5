//! What comes next most often.

use rayon::prelude::*;

use crate::data::{Catalog, History, ItemIndex, TrainingSequences};
use crate::index::{Filter, Hits};
use crate::{Result, settings};

use super::channel::RecallChannel;
use super::item_scores::best_by_scores;

/// A Markov chain of the first order: items are scored by how often they came right after the
/// history's last item.
#[derive(Debug, Clone)]
pub struct MarkovChain {
    items: usize,
    /// Where each item's followers begin, and where the last one's end.
    offsets: Vec<usize>,
    /// Followers with the share of the item's transitions that went to them.
    followers: Vec<(ItemIndex, f32)>,
}

impl MarkovChain {
    /// Counts transitions.
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) for an empty catalog.
    pub fn new(sequences: &TrainingSequences, catalog: &Catalog) -> Result<Self> {
        settings::has_items(catalog.len())?;
        let pairs = sequences.iter().flat_map(|items| items.windows(2));
        let mut pairs: Vec<(ItemIndex, ItemIndex)> = pairs.map(|pair| (pair[0], pair[1])).collect();
        pairs.par_sort_unstable();
        let mut offsets = vec![0; catalog.len() + 2];
        let mut followers: Vec<(ItemIndex, f32)> = Vec::new();
        for of_item in pairs.chunk_by(|a, b| a.0 == b.0) {
            let all = of_item.len() as f32;
            let counted = of_item.chunk_by(|a, b| a == b);
            followers.extend(counted.map(|same| (same[0].1, same.len() as f32 / all)));
            offsets[of_item[0].0 as usize + 1] = followers.len();
        }
        for item in 1..offsets.len() {
            offsets[item] = offsets[item].max(offsets[item - 1]);
        }
        Ok(Self {
            items: catalog.len(),
            offsets,
            followers,
        })
    }

    /// What came right after an item, with its share of all that did.
    ///
    /// # Panics
    /// When the item is not in the catalog.
    pub fn followers(&self, item: ItemIndex) -> &[(ItemIndex, f32)] {
        let item = item as usize;
        &self.followers[self.offsets[item]..self.offsets[item + 1]]
    }
}

impl RecallChannel for MarkovChain {
    fn recall(
        &self,
        histories: &[History<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        best_by_scores(self.items, histories, k, filter, |history, scores| {
            if let Some(&last) = history.items().last() {
                for &(item, share) in self.followers(last) {
                    scores.add(item, share);
                }
            }
        })
    }
}
