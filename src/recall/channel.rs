//! Ways to recall items, all behind one trait.

use std::sync::Arc;

use ndarray::ArrayView2;

use crate::data::{Catalog, Interaction, ItemIndex, User};
use crate::index::{Filter, ItemSet};
use crate::{Result, checks};

use super::OrElse;
use super::candidates::Candidates;
use super::fusion::FusedCandidate;
use super::user_encoder::UserEncoder;

/// A way to recall items for users: a model with its index, neighbors, popularity, a
/// [path](super::Path), or one of your own:
///
/// ```
/// use seqrec::data::{ItemIndex, User};
/// use seqrec::index::Filter;
/// use seqrec::recall::{Candidate, Candidates, Reason, RecallChannel};
///
/// /// What an editor chose, for everybody, the best first.
/// struct Chosen(Vec<ItemIndex>);
///
/// impl RecallChannel for Chosen {
///     fn recall(&self, users: &[User], k: usize, filter: Option<Filter>) -> seqrec::Result<Candidates> {
///         let mut candidates = Candidates::with_capacity(users.len(), k);
///         for user in 0..users.len() {
///             let passing = self.0.iter().enumerate()
///                 .filter(|&(_, &item)| filter.is_none_or(|filter| filter.passes(user, item)));
///             candidates.push(passing.take(k).map(|(place, &item)| Candidate {
///                 item,
///                 score: -(place as f32),
///                 reason: Reason::named("chosen by an editor"),
///             }));
///         }
///         Ok(candidates)
///     }
/// }
///
/// let chosen = Chosen([7, 3, 5].map(ItemIndex::new).to_vec());
/// let found = chosen.recall(&[User::default()], 2, None)?;
/// assert_eq!(found.items(0), [7, 3].map(ItemIndex::new));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no channel",
    note = "a path of steps becomes one by `HistoryItems::last(20)?.then(step).into_channel()`",
    note = "a model becomes one with an index of its items, by `VectorChannel::from_model(model, index)`",
    note = "a `Recaller` gives one, by `recaller.channel()?`"
)]
pub trait RecallChannel: Send + Sync {
    /// For each user, in order, their k best items out of those that pass the filter, best first,
    /// ties by item index, each with the reason it was found for; fewer where there are no more or
    /// the channel has nothing to say about them. The filter is asked with a user's place and an
    /// item.
    ///
    /// A history may be empty; a channel that needs one then gives no candidates.
    ///
    /// # Errors
    /// The channel's own errors, and [`ErrorKind::UnknownItem`](crate::ErrorKind::UnknownItem) for
    /// an item of a history that is not in the catalog which the channel was made for, unless it
    /// passes it over.
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates>;

    /// Those of some items that are in the index which the channel searches; `None` where it
    /// searches none. What stands in for the channel, such as a fallback, leaves the others out, so
    /// that an item which was removed from the index is not recalled in another way.
    ///
    /// # Errors
    /// What the index's search gives.
    fn holds(&self, _items: &ItemSet) -> Result<Option<ItemSet>> {
        Ok(None)
    }

    /// The vectors that the channel compares, where it has some of its own, as [matrix
    /// factorization](crate::channels::MatrixFactorization) does: an encoder of users, and the
    /// vectors of items `[items + 1, dim]`, of which row 0 is padding. `None` for all others: those
    /// of a model are in its [`Recaller`](crate::store::Recaller).
    fn vectors(&self) -> Option<(&dyn UserEncoder, ArrayView2<'_, f32>)> {
        None
    }

    /// Takes notice of something that a user just did, of which the item is in the catalog that
    /// the channel was made for. Channels that don't change while they serve pass it over.
    fn observe(&self, _item: ItemIndex, _interaction: &Interaction, _segments: &[String]) {}

    /// Of a channel that fuses others, as a [stage](super::RecallStage) does, the names of these;
    /// none of a channel by itself.
    #[doc(hidden)]
    fn fused_names(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// The lists of a channel that fuses others, with those of them that found each item.
    #[doc(hidden)]
    fn fused(
        &self,
        _users: &[User<'_>],
        _k: usize,
        _filter: Option<Filter<'_>>,
    ) -> Result<Vec<Vec<FusedCandidate>>> {
        Ok(Vec::new())
    }

    /// Refuses a catalog other than the one that the channel was made for, as far as it can tell.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when what the channel is made of is not of as
    /// many items, or does not fit together.
    fn check_catalog(&self, _catalog: &Catalog) -> Result<()> {
        Ok(())
    }

    /// The channel with a fallback, which is asked for the users for whom the channel finds
    /// nothing. Items that are not in the [index](RecallChannel::holds) that the first searches are
    /// left out.
    ///
    /// ```
    /// use seqrec::channels::{MarkovChainConfig, PopularityConfig};
    /// use seqrec::data::{Dataset, Filters, Interaction, Interactions, ItemIndex};
    /// use seqrec::recall::RecallChannel;
    ///
    /// let log: Interactions = (0..3).map(|time| Interaction::new("u", time, time as f64)).collect();
    /// let dataset = Dataset::new(log, Filters::default())?;
    /// let data = dataset.training_data();
    /// let popular = PopularityConfig::new().fit(&data)?;
    /// let channel = MarkovChainConfig::new().fit(&data)?.or_else(popular);
    /// let items = [1, 2, 3].map(ItemIndex::new);
    /// let users = [(&items[..1]).into(), (&items[2..]).into()];
    /// let candidates = channel.recall(&users, 9, None)?;
    /// assert_eq!(candidates.items(0), [items[1]]);
    /// // Nothing came after the last item.
    /// assert_eq!(candidates.items(1), items);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    fn or_else<F: RecallChannel>(self, fallback: F) -> impl RecallChannel
    where
        Self: Sized,
    {
        OrElse {
            channel: self,
            fallback,
        }
    }
}

/// A pointer to a channel is a channel, with all that the channel itself does.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<C: RecallChannel + ?Sized> RecallChannel for $pointer {
            fn recall(
                &self,
                users: &[User<'_>],
                k: usize,
                filter: Option<Filter<'_>>,
            ) -> Result<Candidates> {
                (**self).recall(users, k, filter)
            }

            fn fused_names(&self) -> Vec<Arc<str>> {
                (**self).fused_names()
            }

            fn fused(
                &self,
                users: &[User<'_>],
                k: usize,
                filter: Option<Filter<'_>>,
            ) -> Result<Vec<Vec<FusedCandidate>>> {
                (**self).fused(users, k, filter)
            }

            fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
                (**self).holds(items)
            }

            fn vectors(&self) -> Option<(&dyn UserEncoder, ArrayView2<'_, f32>)> {
                (**self).vectors()
            }

            fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
                (**self).observe(item, interaction, segments);
            }

            fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
                (**self).check_catalog(catalog)
            }
        }
    )*};
}

forward!(&C, Box<C>, Arc<C>);

/// The items of a catalog that a channel recalls and that pass the filter, a list for each user: an
/// index that the channel searches may be ahead of the catalog.
pub(super) fn recall_of_catalog(
    channel: &dyn RecallChannel,
    catalog: &Catalog,
    users: &[User<'_>],
    k: usize,
    filter: Option<Filter<'_>>,
) -> Result<Candidates> {
    let recall = |filter| -> Result<Candidates> {
        let candidates = channel.recall(users, k, filter)?;
        checks::same_length("lists of candidates", users.len(), candidates.len())?;
        Ok(candidates)
    };
    let mut candidates = recall(filter)?;
    let rows = 0..candidates.len();
    let is_known = |item: ItemIndex| item.to_usize() <= catalog.len();
    let passes = |row: usize, item: ItemIndex| {
        is_known(item) && filter.is_none_or(|filter| filter.passes(row, item))
    };
    let mut found =
        (rows.clone()).flat_map(|row| (candidates.items(row).iter()).map(move |&item| (row, item)));
    // They nearly always do, so that nothing more is paid for it before one does not.
    if found.clone().all(|(row, item)| passes(row, item)) {
        return Ok(candidates);
    }
    if !found.all(|(_, item)| is_known(item)) {
        candidates = recall(Some(Filter::Predicate(&passes)))?;
    }
    // A channel of one's own may look at no filter.
    let mut screened = Candidates::with_capacity(users.len(), k);
    for row in rows {
        let list = candidates.of(row);
        screened.push(list.filter(|candidate| passes(row, candidate.item)));
    }
    Ok(screened)
}
