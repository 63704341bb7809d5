//! What a search finds.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::item::ItemIndex;
use crate::kernels::top_k::{Scored, best_first};

/// A found item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// The item; never padding.
    pub item: ItemIndex,
    /// Its inner product with the query.
    pub score: f32,
}

impl Hit {
    /// An item with its inner product.
    pub fn new(item: ItemIndex, score: f32) -> Self {
        Self { item, score }
    }

    /// Higher scores first, and lower items first among equals.
    pub(crate) fn best_first(&self, other: &Self) -> Ordering {
        let scored = |hit: &Self| (hit.item.get(), hit.score);
        best_first(&scored(self), &scored(other))
    }
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {} ({:.4})", self.item, self.score)
    }
}

/// The items found for each of some queries, best first, ties by item index. They are written as a
/// list of [`Hit`]s a query.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::data::ItemIndex;
/// use seqrec::index::{FlatIndex, VectorIndex};
///
/// // Row 0 is padding.
/// let index = FlatIndex::new(array![[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]].view())?;
/// let hits = index.search(array![[0.5, 0.75], [1.0, 0.0]].view(), 2, None)?;
/// assert_eq!(hits.len(), 2);
/// assert_eq!(hits.items(0), [2, 1].map(ItemIndex::new));
/// assert_eq!(hits.scores(1), [1.0, 0.0]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hits {
    items: Vec<ItemIndex>,
    scores: Vec<f32>,
    /// Where each query's hits end.
    ends: Vec<usize>,
}

/// For how many hits room is made before there are any.
const MOST_ROOM: usize = 1 << 22;

impl Hits {
    /// Room for the hits of `queries` queries, k each; more is made where k is very large.
    pub fn with_capacity(queries: usize, k: usize) -> Self {
        // A k of any size may be asked for, by far more than there are items to find.
        let room = queries.saturating_mul(k).min(MOST_ROOM);
        Self {
            items: Vec::with_capacity(room),
            scores: Vec::with_capacity(room),
            ends: Vec::with_capacity(queries),
        }
    }

    /// For how many hits there is room.
    pub(crate) fn room(&self) -> usize {
        self.items.capacity()
    }

    /// Nothing for each of so many queries.
    pub(crate) fn none(queries: usize) -> Self {
        Self {
            ends: vec![0; queries],
            ..Self::default()
        }
    }

    /// Adds the hits of the next query, best first.
    pub fn push(&mut self, hits: impl IntoIterator<Item = Hit>) {
        for Hit { item, score } in hits {
            self.items.push(item);
            self.scores.push(score);
        }
        self.ends.push(self.items.len());
    }

    /// The same out of items with their scores.
    pub(super) fn push_scored(&mut self, scored: impl IntoIterator<Item = Scored>) {
        self.push(scored.into_iter().map(|(item, score)| Hit {
            item: ItemIndex::new(item),
            score,
        }));
    }

    /// Adds the hits of more queries.
    pub(super) fn append(&mut self, other: &Self) {
        let before = self.items.len();
        self.items.extend_from_slice(&other.items);
        self.scores.extend_from_slice(&other.scores);
        self.ends.extend(other.ends.iter().map(|end| before + end));
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no query.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn range(&self, query: usize) -> std::ops::Range<usize> {
        let start = query.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[query]
    }

    /// The items found for a query, best first.
    ///
    /// # Panics
    /// When there are not so many queries.
    pub fn items(&self, query: usize) -> &[ItemIndex] {
        &self.items[self.range(query)]
    }

    /// The scores of the items found for a query, best first: inner products.
    ///
    /// # Panics
    /// When there are not so many queries.
    pub fn scores(&self, query: usize) -> &[f32] {
        &self.scores[self.range(query)]
    }

    /// The hits of a query, items with their scores, best first.
    ///
    /// # Panics
    /// When there are not so many queries.
    pub fn list(&self, query: usize) -> impl ExactSizeIterator<Item = Hit> + '_ {
        let pairs = self.items(query).iter().zip(self.scores(query));
        pairs.map(|(&item, &score)| Hit { item, score })
    }

    /// The recall of these hits where `exact` has what an exact search finds for the same queries:
    /// the share of its hits that are among these, or that others with as high a score stand for; 1
    /// where there is nothing to find.
    ///
    /// # Panics
    /// When these are of fewer queries.
    pub fn recall(&self, exact: &Self) -> f64 {
        let found = (0..exact.len()).map(|query| {
            let there = exact.items(query);
            let least = exact.scores(query).last().copied().unwrap_or(f32::MAX);
            let hits = self.list(query).take(there.len());
            hits.filter(|hit| hit.score >= least || there.contains(&hit.item))
                .count()
        });
        let found: usize = found.sum();
        match exact.items.len() {
            0 => 1.0,
            all => found as f64 / all as f64,
        }
    }

    /// The hits of users who have `interests` queries each, one after another: for each user each
    /// item once, with its best score, and the k best of these.
    pub(super) fn merge_interests(self, interests: usize, k: usize) -> Self {
        if interests <= 1 {
            return self;
        }
        let mut merged = Self::with_capacity(self.len() / interests, k);
        let mut scored: Vec<Scored> = Vec::new();
        let mut seen = foldhash::HashSet::default();
        for user in 0..self.len() / interests {
            scored.clear();
            seen.clear();
            for query in user * interests..(user + 1) * interests {
                scored.extend(self.list(query).map(|hit| (hit.item.get(), hit.score)));
            }
            scored.sort_unstable_by(best_first);
            let first = scored.iter().filter(|(item, _)| seen.insert(*item));
            merged.push_scored(first.take(k).copied());
        }
        merged
    }
}

impl Serialize for Hits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

/// A line a query.
impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for query in 0..self.len() {
            write!(f, "{query}:")?;
            for (place, hit) in self.list(query).enumerate() {
                write!(f, "{}{hit}", if place == 0 { " " } else { ", " })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The hits of each query, in order.
impl<'a> IntoIterator for &'a Hits {
    type Item = Vec<Hit>;
    type IntoIter = Box<dyn Iterator<Item = Vec<Hit>> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.len()).map(|query| self.list(query).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interests_are_merged_by_best_score() {
        let hit = |(item, score)| Hit {
            item: ItemIndex::new(item),
            score,
        };
        let mut hits = Hits::default();
        hits.push([(1, 0.9), (2, 0.5)].map(hit));
        hits.push([(2, 0.8), (3, 0.5), (1, 0.1)].map(hit));
        hits.push([]);
        hits.push([(7, 1.0)].map(hit));
        let merged = hits.clone().merge_interests(2, 3);
        assert_eq!(merged.len(), 2);
        assert!(merged.list(0).eq([(1, 0.9), (2, 0.8), (3, 0.5)].map(hit)));
        assert!(merged.list(1).eq([(7, 1.0)].map(hit)));
        assert_eq!(
            hits.clone().merge_interests(2, 1).items(0),
            [ItemIndex::new(1)]
        );
        assert_eq!(hits.clone().merge_interests(1, 1), hits);
    }
}
