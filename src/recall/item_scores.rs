//! Scores of few items out of many, added up piece by piece.

use rayon::prelude::*;

use crate::Result;
use crate::data::{History, ItemIndex};
use crate::index::{Filter, Hit, Hits};

/// A score for each item, of which those that were touched are remembered, so that the next
/// history does not pay for the whole catalog.
pub(super) struct ItemScores {
    scores: Vec<f32>,
    touched: Vec<ItemIndex>,
}

impl ItemScores {
    fn new(items: usize) -> Self {
        Self {
            scores: vec![0.0; items + 1],
            touched: Vec::new(),
        }
    }

    /// Adds to an item's score; `score` is above 0.
    pub(super) fn add(&mut self, item: ItemIndex, score: f32) {
        let sum = &mut self.scores[item as usize];
        if *sum == 0.0 {
            self.touched.push(item);
        }
        *sum += score;
    }

    /// All scores that are not 0, which are 0 after it.
    fn take(&mut self, row: usize, filter: Option<Filter<'_>>) -> Vec<Hit> {
        let mut hits = Vec::with_capacity(self.touched.len());
        for item in self.touched.drain(..) {
            let score = std::mem::take(&mut self.scores[item as usize]);
            if filter.is_none_or(|filter| filter.passes(row, item)) {
                hits.push(Hit { item, score });
            }
        }
        hits
    }
}

/// The k best items of each history by the scores that `score` adds up, on all threads.
pub(super) fn best_by_scores(
    items: usize,
    histories: &[History<'_>],
    k: usize,
    filter: Option<Filter<'_>>,
    score: impl Fn(History<'_>, &mut ItemScores) + Sync,
) -> Result<Hits> {
    let scored: Vec<Vec<Hit>> = histories
        .par_iter()
        .enumerate()
        .map_init(
            || ItemScores::new(items),
            |scores, (row, &history)| {
                score(history, scores);
                scores.take(row, filter)
            },
        )
        .collect();
    let mut hits = Hits::with_capacity(histories.len(), k);
    for scored in scored {
        hits.push_best(scored, k);
    }
    Ok(hits)
}
