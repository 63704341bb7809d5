//! Recall by vectors: the items nearest to a user's.

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{History, ItemIndex, SequenceBatch};
use crate::index::{Filter, Hits, VectorIndex};
use crate::model::SequenceRecaller;
use crate::{Error, Result};

use super::candidates::{Candidates, Reason};
use super::channel::{RecallChannel, UserContext, check_items};
use super::vectors::user_vectors;

/// What gives users vectors in one space.
pub trait UserEncoder: Send + Sync {
    /// The size of a vector.
    fn dim(&self) -> usize;

    /// The vectors of each history, `[histories * interests, dim]`, a history's interests one
    /// after another; none of the histories is empty, and there is one at least.
    ///
    /// # Errors
    /// What the model says.
    fn encode(&self, histories: &[History<'_>]) -> Result<Array2<f32>>;
}

impl<E: UserEncoder + ?Sized> UserEncoder for std::sync::Arc<E> {
    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn encode(&self, histories: &[History<'_>]) -> Result<Array2<f32>> {
        (**self).encode(histories)
    }
}

/// A model as a [`UserEncoder`].
#[derive(Debug)]
pub struct ModelEncoder<B: Backend, M> {
    model: M,
    device: B::Device,
    items: usize,
    dim: usize,
}

impl<B: Backend, M: SequenceRecaller<B>> ModelEncoder<B, M> {
    /// An encoder of a model on `device`.
    pub fn new(model: M, device: B::Device) -> Self {
        let [rows, dim] = model.item_embeddings().dims();
        Self {
            model,
            device,
            items: rows.saturating_sub(1),
            dim,
        }
    }
}

impl<B: Backend, M: SequenceRecaller<B>> UserEncoder for ModelEncoder<B, M> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn encode(&self, histories: &[History<'_>]) -> Result<Array2<f32>> {
        check_items(histories.iter().copied(), self.items)?;
        encode_by_model(&self.model, &self.device, histories)
    }
}

/// A channel that recalls the items nearest to a user's vector, or to any of his vectors: a model
/// and an index of its [item vectors](super::item_vectors). This is U2I.
#[derive(Debug)]
pub struct VectorChannel<E, I> {
    encoder: E,
    index: I,
}

impl<E: UserEncoder, I: VectorIndex> VectorChannel<E, I> {
    /// A channel of an encoder of users and an index of items in the same space.
    pub fn new(encoder: E, index: I) -> Self {
        Self { encoder, index }
    }
}

impl<B: Backend, M: SequenceRecaller<B>, I: VectorIndex> VectorChannel<ModelEncoder<B, M>, I> {
    /// A channel of a model on `device` and an index of its items.
    pub fn of_model(model: M, index: I, device: B::Device) -> Self {
        Self::new(ModelEncoder::new(model, device), index)
    }
}

impl<E: UserEncoder, I: VectorIndex> RecallChannel for VectorChannel<E, I> {
    fn recall(
        &self,
        users: &[UserContext<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let histories: Vec<History<'_>> = users.iter().map(|user| user.history()).collect();
        let encode = |histories: &[History<'_>]| self.encoder.encode(histories);
        // Which items there are, whoever put the index here knows.
        let items = ItemIndex::MAX as usize;
        let hits = nearest_items(encode, &self.index, items, &histories, k, filter)?;
        Ok(Candidates::of_hits(hits, Reason::Taste))
    }
}

/// The vectors that a model gives histories.
pub(super) fn encode_by_model<B: Backend, M: SequenceRecaller<B>>(
    model: &M,
    device: &B::Device,
    histories: &[History<'_>],
) -> Result<Array2<f32>> {
    if model.needs_times()
        && let Some(row) = histories
            .iter()
            .position(|history| history.times().is_empty())
    {
        return Err(Error::TimesMissing { row });
    }
    let batch = SequenceBatch::<B>::new(histories.iter().copied(), model.max_len(), device)?;
    batch.check_features(model.user_features())?;
    Ok(user_vectors(model, &batch))
}

/// The items nearest to each history's vector, or to any of its vectors, out of the first `items`:
/// an index may be ahead of the catalog.
pub(super) fn nearest_items(
    encode: impl FnOnce(&[History<'_>]) -> Result<Array2<f32>>,
    index: &dyn VectorIndex,
    items: usize,
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
    let known: Vec<History<'_>> = rows.iter().map(|&row| histories[row]).collect();
    check_items(known.iter().copied(), items)?;
    let queries = encode(&known)?;
    let interests = queries.nrows() / rows.len();
    let passes = |query: usize, item| {
        filter.is_none_or(|filter| filter.passes(rows[query / interests], item))
    };
    let filter = match filter {
        Some(Filter::Predicate(_)) => Some(Filter::Predicate(&passes)),
        other => other,
    };
    let mut hits = index.search_interests(queries.view(), interests, k, filter)?;
    let is_beyond = |item: ItemIndex| item as usize > items;
    let mut found = (0..hits.len()).flat_map(|row| hits.items(row));
    // It seldom is, so that nothing is paid for it before it is seen.
    if found.any(|&item| is_beyond(item)) {
        let known = |query: usize, item: ItemIndex| {
            !is_beyond(item) && filter.is_none_or(|filter| filter.passes(query, item))
        };
        let known = Some(Filter::Predicate(&known));
        hits = index.search_interests(queries.view(), interests, k, known)?;
    }
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
