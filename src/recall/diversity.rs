//! Lists whose items are of several kinds.

use std::collections::HashMap;

use crate::index::Filter;
use crate::{Error, Result, settings};

use super::candidates::{Candidate, Candidates};
use super::channel::{RecallChannel, UserContext};

/// Takes candidates of another channel one by one, each time the one whose score, plus a bonus for
/// every item taken already that is of another category, is the greatest.
///
/// Cen et al., [ComiRec](https://arxiv.org/abs/2005.09347), section 3.4: controllable aggregation.
///
/// ```
/// use seqrec::data::Catalog;
/// use seqrec::recall::{Diverse, Popularity, RecallChannel};
///
/// let sequences: [&[u32]; 3] = [&[1, 1, 1], &[2, 2], &[3]];
/// let catalog = Catalog::from_ids(["a", "b", "c"].map(Into::into))?.with_counts(sequences);
/// // Items 1 and 2 are of one category; row 0 is padding.
/// let diverse = Diverse::new(Popularity::new(&catalog), vec![0, 7, 7, 8], 0.5, 3)?;
/// let hits = diverse.recall(&[(&[][..]).into()], 2, None)?;
/// assert_eq!(hits.items(0), [1, 3]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Diverse<C> {
    channel: C,
    categories: Vec<u32>,
    factor: f32,
    candidates: usize,
}

impl<C: RecallChannel> Diverse<C> {
    /// Chooses among `candidates` items of a channel, or k where that is more, by the category
    /// of each item, `[items + 1]`. `factor` is the bonus λ, in the unit of the channel's scores;
    /// 0 leaves the order as it is.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the factor is below 0.
    pub fn new(channel: C, categories: Vec<u32>, factor: f64, candidates: usize) -> Result<Self> {
        settings::not_negative("factor", factor)?;
        Ok(Self {
            channel,
            categories,
            factor: factor as f32,
            candidates,
        })
    }

    fn select(&self, hits: impl Iterator<Item = Candidate>, k: usize) -> Result<Vec<Candidate>> {
        let mut left = Vec::new();
        for hit in hits {
            let category = self.categories.get(hit.item as usize).ok_or(Error::Shape {
                what: "categories of items",
                expected: hit.item as usize + 1,
                found: self.categories.len(),
            })?;
            left.push((hit, *category));
        }
        let mut taken: Vec<Candidate> = Vec::with_capacity(k.min(left.len()));
        let mut of_category: HashMap<u32, usize> = HashMap::new();
        while taken.len() < k && !left.is_empty() {
            let value = |&(hit, category): &(Candidate, u32)| {
                let others = taken.len() - of_category.get(&category).copied().unwrap_or(0);
                hit.score + self.factor * others as f32
            };
            // The first of equals, which is the better one.
            let mut best = 0;
            for place in 1..left.len() {
                if value(&left[place]).total_cmp(&value(&left[best])).is_gt() {
                    best = place;
                }
            }
            let (hit, category) = left.remove(best);
            *of_category.entry(category).or_default() += 1;
            taken.push(hit);
        }
        Ok(taken)
    }
}

impl<C: RecallChannel> RecallChannel for Diverse<C> {
    /// In the order in which items were taken, which is not that of their scores.
    fn recall(
        &self,
        users: &[UserContext<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let candidates = self.channel.recall(users, k.max(self.candidates), filter)?;
        let mut hits = Candidates::with_capacity(users.len(), k);
        for row in 0..users.len() {
            hits.push(self.select(candidates.of(row), k)?);
        }
        Ok(hits)
    }
}
