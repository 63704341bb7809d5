//! Scores of few items or other nodes out of many, added up piece by piece.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::Result;
use crate::data::{ItemIndex, User, check_known};
use crate::index::Filter;

use super::candidates::{Candidate, Candidates, Reason, best_candidates};
use super::links::Reached;

/// The places of some of many nodes in a list, looked up by number.
pub(crate) struct NodePlaces {
    /// Each node's place plus one; 0 where it has none.
    places: Vec<u32>,
    /// The same for nodes from [`DENSE`] on.
    beyond: foldhash::HashMap<u32, u32>,
}

/// The nodes below this are looked up by number: more would take 64 MB a thread.
const DENSE: usize = 1 << 24;

thread_local! {
    /// The memory of earlier places of this thread, all 0: a single user's call is too short to
    /// make it anew.
    static MEMORY: RefCell<Vec<Vec<u32>>> = const { RefCell::new(Vec::new()) };
}

impl NodePlaces {
    /// For nodes with numbers below `nodes`.
    pub(crate) fn new(nodes: usize) -> Self {
        let mut places = MEMORY.with_borrow_mut(Vec::pop).unwrap_or_default();
        let nodes = nodes.min(DENSE);
        if places.len() < nodes {
            places.resize(nodes, 0);
        }
        Self {
            places,
            beyond: Default::default(),
        }
    }

    /// A node's place, or the one that it is given, which is then new.
    #[inline]
    pub(crate) fn get_or_insert(&mut self, node: u32, next: usize) -> (usize, bool) {
        let place = match self.places.get_mut(node as usize) {
            Some(place) => place,
            None => self.beyond.entry(node).or_default(),
        };
        if *place == 0 {
            *place = next as u32 + 1;
            return (next, true);
        }
        (*place as usize - 1, false)
    }

    /// A node's place, if it has one.
    #[inline]
    pub(crate) fn get(&self, node: u32) -> Option<usize> {
        let place = self
            .places
            .get(node as usize)
            .or_else(|| self.beyond.get(&node))?;
        (*place as usize).checked_sub(1)
    }

    /// Takes places away; all that were given must be before this is dropped.
    pub(crate) fn forget(&mut self, nodes: impl Iterator<Item = u32>) {
        for node in nodes {
            match self.places.get_mut(node as usize) {
                Some(place) => *place = 0,
                None => drop(self.beyond.remove(&node)),
            }
        }
    }
}

impl Drop for NodePlaces {
    fn drop(&mut self) {
        // A panic may have come before some were forgotten.
        if !std::thread::panicking() {
            let places = std::mem::take(&mut self.places);
            MEMORY.with_borrow_mut(|memory| memory.push(places));
        }
    }
}

/// A score for each of many nodes, of which those that were touched are remembered, so that no
/// one pays for the others.
pub(crate) struct Scores {
    places: NodePlaces,
    /// Each node that was touched, with the largest amount that was added to it at once.
    touched: Vec<(Reached, f32)>,
}

impl Scores {
    /// Scores of nodes with numbers below `nodes`.
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            places: NodePlaces::new(nodes),
            touched: Vec::new(),
        }
    }

    /// Adds to a node's score. The reason of a node is that of the largest addition, the first of
    /// equals.
    #[inline]
    pub(crate) fn add(&mut self, node: u32, score: f32, reason: Reason) {
        let (place, new) = self.places.get_or_insert(node, self.touched.len());
        if new {
            let reached = Reached {
                node,
                weight: score,
                reason,
            };
            self.touched.push((reached, score));
            return;
        }
        let (reached, greatest) = &mut self.touched[place];
        reached.weight += score;
        if score > *greatest {
            *greatest = score;
            reached.reason = reason;
        }
    }

    /// What was touched, in that order, after which nothing is.
    pub(crate) fn take(&mut self) -> Vec<Reached> {
        let touched = std::mem::take(&mut self.touched);
        let reached: Vec<Reached> = touched.into_iter().map(|(reached, _)| reached).collect();
        self.places
            .forget(reached.iter().map(|reached| reached.node));
        reached
    }
}

impl Drop for Scores {
    fn drop(&mut self) {
        self.take();
    }
}

/// The k best items of each user by the scores that `score` adds up, on all threads.
pub(crate) fn best_by_scores(
    items: usize,
    users: &[User<'_>],
    k: usize,
    filter: Option<Filter<'_>>,
    score: impl Fn(User<'_>, &mut Scores) + Sync,
) -> Result<Candidates> {
    check_known(users.iter().copied(), items)?;
    let scored: Vec<Vec<Candidate>> = users
        .par_iter()
        .enumerate()
        .map_init(
            || Scores::new(items + 1),
            |scores, (row, &user)| {
                score(user, scores);
                // Kept here, since all that every user reached would be a catalog for each.
                best_candidates(candidates(scores.take(), row, filter), k)
            },
        )
        .collect();
    let mut best = Candidates::with_capacity(users.len(), k);
    for scored in scored {
        best.push(scored);
    }
    Ok(best)
}

/// The nodes that are items which pass the filter.
pub(crate) fn candidates(
    reached: Vec<Reached>,
    row: usize,
    filter: Option<Filter<'_>>,
) -> Vec<Candidate> {
    let candidates = reached.into_iter().map(|reached| Candidate {
        item: ItemIndex::new(reached.node),
        score: reached.weight,
        reason: reached.reason,
    });
    let passes = |found: &Candidate| filter.is_none_or(|filter| filter.passes(row, found.item));
    candidates.filter(passes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_add_up_and_the_greatest_share_gives_the_reason() {
        let [first, second, third] = [1, 2, 3].map(|item| Reason::Item(ItemIndex::new(item)));
        let mut scores = Scores::new(9);
        scores.add(7, 0.25, first);
        scores.add(3, 1.0, first);
        scores.add(7, 0.5, second);
        scores.add(7, 0.5, third);
        let taken: Vec<_> = (scores.take().iter())
            .map(|reached| (reached.node, reached.weight, reached.reason))
            .collect();
        assert_eq!(taken, [(7, 1.25, second), (3, 1.0, first)]);
        assert!(scores.take().is_empty());
        // Another's scores begin at nothing, though they are in the same memory.
        scores.add(7, 1.0, Reason::Taste);
        drop(scores);
        let mut scores = Scores::new(8);
        scores.add(7, 2.0, Reason::Popular);
        assert_eq!(scores.take()[0].weight, 2.0);
    }
}
