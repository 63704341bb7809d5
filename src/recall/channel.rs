//! Ways to recall items, all behind one trait.

use crate::Result;
use crate::backend::Backend;
use crate::data::{History, SequenceBatch};
use crate::index::{Filter, Hits, VectorIndex};
use crate::model::SequenceRecaller;

use super::vectors::user_vectors;

/// A way to recall items for histories: a model with its index, neighbours, popularity, or one of
/// your own.
pub trait RecallChannel {
    /// For each history, in order, its k best items out of those that pass the filter, best
    /// first, ties by item index; fewer where the channel has nothing to say about more. The
    /// filter is asked with a history's place and an item.
    ///
    /// A history may be empty, and then holds nothing for a channel that goes by it.
    ///
    /// # Errors
    /// What the channel says.
    ///
    /// # Panics
    /// When an item of a history is not in the catalog that the channel was made for.
    fn recall(
        &self,
        histories: &[History<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits>;
}

/// A model and an index of its [item vectors](super::item_vectors).
#[derive(Debug)]
pub struct ModelChannel<B: Backend, M, I> {
    model: M,
    index: I,
    device: B::Device,
}

impl<B: Backend, M: SequenceRecaller<B>, I: VectorIndex> ModelChannel<B, M, I> {
    /// A channel of a model on `device` and an index.
    pub fn new(model: M, index: I, device: B::Device) -> Self {
        Self {
            model,
            index,
            device,
        }
    }
}

impl<B: Backend, M: SequenceRecaller<B>, I: VectorIndex> RecallChannel for ModelChannel<B, M, I> {
    fn recall(
        &self,
        histories: &[History<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        recall_by_model(&self.model, &self.index, &self.device, histories, k, filter)
    }
}

/// The items nearest to each history's vector, or to any of its vectors.
pub(super) fn recall_by_model<B: Backend, M: SequenceRecaller<B>>(
    model: &M,
    index: &dyn VectorIndex,
    device: &B::Device,
    histories: &[History<'_>],
    k: usize,
    filter: Option<Filter<'_>>,
) -> Result<Hits> {
    // A model needs an item to go by.
    let rows: Vec<usize> = (0..histories.len())
        .filter(|&row| !histories[row].items().is_empty())
        .collect();
    if rows.is_empty() {
        return Ok(spread(&Hits::default(), &rows, histories.len()));
    }
    let known = rows.iter().map(|&row| histories[row]);
    let batch = SequenceBatch::<B>::new(known, model.max_len(), device)?;
    batch.check_features(model.user_features())?;
    let queries = user_vectors(model, &batch);
    let interests = queries.nrows() / rows.len();
    let passes = |query: usize, item| {
        filter.is_none_or(|filter| filter.passes(rows[query / interests], item))
    };
    let filter = match filter {
        Some(Filter::Predicate(_)) => Some(Filter::Predicate(&passes)),
        other => other,
    };
    let hits = index.search_interests(queries.view(), interests, k, filter)?;
    if rows.len() == histories.len() {
        return Ok(hits);
    }
    Ok(spread(&hits, &rows, histories.len()))
}

/// The hits of some rows, with none for the rows between.
fn spread(hits: &Hits, rows: &[usize], all: usize) -> Hits {
    let mut spread = Hits::default();
    let mut next = 0;
    for row in 0..all {
        if rows.get(next) == Some(&row) {
            spread.push(hits.of(next));
            next += 1;
        } else {
            spread.push([]);
        }
    }
    spread
}
