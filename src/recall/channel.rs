//! Ways to recall items, all behind one trait.

use crate::Result;
use crate::backend::Backend;
use crate::data::{History, Interaction, ItemIndex, SequenceBatch};
use crate::index::{Filter, Hits, VectorIndex};
use crate::model::SequenceRecaller;

use super::candidates::{Candidates, Reason};
use super::vectors::user_vectors;

/// All that a channel may go by for one user.
///
/// A history is a context, and so is a slice of items:
///
/// ```
/// use seqrec::data::History;
/// use seqrec::recall::UserContext;
///
/// let segments = ["country=is".to_owned()];
/// let context = UserContext::from(&[3, 1, 2][..]).in_segments(&segments).at(1_700_000_000.0);
/// assert_eq!(context.history().items(), [3, 1, 2]);
/// assert_eq!(context.segments(), ["country=is"]);
/// # let _ = UserContext::from(History::from(&[3][..]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UserContext<'a> {
    history: History<'a>,
    segments: &'a [String],
    now: Option<f64>,
}

impl<'a> UserContext<'a> {
    /// The same user in segments, such as a region or an age group, for channels that have lists
    /// for each.
    pub fn in_segments(self, segments: &'a [String]) -> Self {
        Self { segments, ..self }
    }

    /// The same user at a time, in the unit of the source, from which the age of what he did is
    /// counted; where none is given, it is that of the history's last item.
    pub fn at(self, now: f64) -> Self {
        let now = Some(now);
        Self { now, ..self }
    }

    /// What he did, in order; it may be empty.
    pub fn history(self) -> History<'a> {
        self.history
    }

    /// The segments he is in.
    pub fn segments(self) -> &'a [String] {
        self.segments
    }

    /// The time from which ages are counted, if any is known.
    pub fn now(self) -> Option<f64> {
        self.now.or_else(|| self.history.times().last().copied())
    }
}

impl<'a> From<History<'a>> for UserContext<'a> {
    fn from(history: History<'a>) -> Self {
        let (segments, now) = (&[][..], None);
        Self {
            history,
            segments,
            now,
        }
    }
}

impl<'a> From<&'a [ItemIndex]> for UserContext<'a> {
    fn from(items: &'a [ItemIndex]) -> Self {
        History::from(items).into()
    }
}

/// A way to recall items for users: a model with its index, neighbours, popularity, a
/// [path](super::Path), or one of your own.
pub trait RecallChannel: Send + Sync {
    /// For each user, in order, his k best items out of those that pass the filter, best first,
    /// ties by item index, each with the reason it was found for; fewer where the channel has
    /// nothing to say about more. The filter is asked with a user's place and an item.
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
        users: &[UserContext<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates>;

    /// Takes notice of something that a user just did, of which the item is in the catalog that
    /// the channel was made for. Channels that don't change while they serve pass it over.
    fn observe(&self, _item: ItemIndex, _interaction: &Interaction, _segments: &[String]) {}
}

impl<C: RecallChannel + ?Sized> RecallChannel for Box<C> {
    fn recall(
        &self,
        users: &[UserContext<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        (**self).recall(users, k, filter)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        (**self).observe(item, interaction, segments);
    }
}

impl<C: RecallChannel + ?Sized> RecallChannel for std::sync::Arc<C> {
    fn recall(
        &self,
        users: &[UserContext<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        (**self).recall(users, k, filter)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        (**self).observe(item, interaction, segments);
    }
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
        users: &[UserContext<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let histories: Vec<History<'_>> = users.iter().map(|user| user.history()).collect();
        let (model, index) = (&self.model, &self.index);
        let hits = recall_by_model(model, index, &self.device, &histories, k, filter)?;
        Ok(Candidates::of_hits(hits, Reason::Taste))
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
