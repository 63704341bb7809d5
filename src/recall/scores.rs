//! Scores of few items or other nodes out of many, added up piece by piece.

use std::cell::Cell;

use rayon::prelude::*;

use crate::Result;
use crate::data::ItemIndex;
use crate::index::Filter;

use super::candidates::{Candidate, Candidates, Reason};
use super::channel::UserContext;
use super::path::Reached;

/// A score for each of many nodes, of which those that were touched are remembered, so that no
/// one pays for the others.
pub(super) struct Scores {
    /// Each node's place among those touched, plus one; 0 where it is not among them.
    places: Vec<u32>,
    touched: Vec<Reached>,
    /// The greatest that was added to each at once.
    greatest: Vec<f32>,
}

thread_local! {
    /// The places of the last scores of this thread, all 0: a single user's call is too short to
    /// make them anew.
    static PLACES: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

impl Scores {
    /// Scores of nodes with numbers below `nodes`.
    pub(super) fn new(nodes: usize) -> Self {
        let mut places = PLACES.take();
        if places.len() < nodes {
            places.resize(nodes, 0);
        }
        Self {
            places,
            touched: Vec::new(),
            greatest: Vec::new(),
        }
    }

    /// Adds to a node's score. The reason of a node is that of the greatest addition, the first of
    /// equals.
    #[inline]
    pub(super) fn add(&mut self, node: u32, score: f32, reason: Reason) {
        let place = &mut self.places[node as usize];
        if *place == 0 {
            self.touched.push(Reached {
                node,
                weight: score,
                reason,
            });
            self.greatest.push(score);
            *place = self.touched.len() as u32;
            return;
        }
        let place = *place as usize - 1;
        self.touched[place].weight += score;
        if score > self.greatest[place] {
            self.greatest[place] = score;
            self.touched[place].reason = reason;
        }
    }

    /// What was touched, in that order, after which nothing is.
    pub(super) fn take(&mut self) -> Vec<Reached> {
        for reached in &self.touched {
            self.places[reached.node as usize] = 0;
        }
        self.greatest.clear();
        std::mem::take(&mut self.touched)
    }
}

impl Drop for Scores {
    fn drop(&mut self) {
        self.take();
        PLACES.set(std::mem::take(&mut self.places));
    }
}

/// The k best items of each user by the scores that `score` adds up, on all threads.
pub(super) fn best_by_scores(
    items: usize,
    users: &[UserContext<'_>],
    k: usize,
    filter: Option<Filter<'_>>,
    score: impl Fn(UserContext<'_>, &mut Scores) + Sync,
) -> Result<Candidates> {
    let scored: Vec<Vec<Candidate>> = users
        .par_iter()
        .enumerate()
        .map_init(
            || Scores::new(items + 1),
            |scores, (row, &user)| {
                score(user, scores);
                candidates(scores.take(), row, filter)
            },
        )
        .collect();
    let mut best = Candidates::with_capacity(users.len(), k);
    for scored in scored {
        best.push_best(scored, k);
    }
    Ok(best)
}

/// The nodes that are items which pass the filter.
pub(super) fn candidates(
    reached: Vec<Reached>,
    row: usize,
    filter: Option<Filter<'_>>,
) -> Vec<Candidate> {
    let passes = |item: ItemIndex| filter.is_none_or(|filter| filter.passes(row, item));
    (reached.into_iter().filter(|reached| passes(reached.node)))
        .map(|reached| Candidate {
            item: reached.node,
            score: reached.weight,
            reason: reached.reason,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_add_up_and_the_greatest_share_gives_the_reason() {
        let mut scores = Scores::new(9);
        scores.add(7, 0.25, Reason::Item(1));
        scores.add(3, 1.0, Reason::Item(1));
        scores.add(7, 0.5, Reason::Item(2));
        scores.add(7, 0.5, Reason::Item(3));
        let taken: Vec<_> = (scores.take().iter())
            .map(|reached| (reached.node, reached.weight, reached.reason))
            .collect();
        assert_eq!(
            taken,
            [(7, 1.25, Reason::Item(2)), (3, 1.0, Reason::Item(1))]
        );
        assert!(scores.take().is_empty());
        // Another's scores begin at nothing, though they are in the same memory.
        scores.add(7, 1.0, Reason::Taste);
        drop(scores);
        let mut scores = Scores::new(8);
        scores.add(7, 2.0, Reason::Popular);
        assert_eq!(scores.take()[0].weight, 2.0);
    }
}
