//! Ways to recall items, all behind one trait.

use crate::Result;
use crate::data::{Interaction, ItemIndex, User};
use crate::index::{Filter, ItemSet};

use super::candidates::Candidates;

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
///                 reason: Reason::Popular,
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
pub trait RecallChannel: Send + Sync {
    /// For each user, in order, their k best items out of those that pass the filter, best first,
    /// ties by item index, each with the reason it was found for; fewer where the channel has
    /// nothing to say about more. The filter is asked with a user's place and an item.
    ///
    /// A history may be empty; a channel that needs one then gives no candidates.
    ///
    /// # Errors
    /// The channel's own errors, and [`Error::UnknownItem`](crate::Error::UnknownItem) for an item of a
    /// history that is not in the catalog which the channel was made for, unless it passes it over.
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates>;

    /// Those of some items that are in the index which the channel searches; `None` where it searches
    /// none. What stands in for the channel, such as a fallback, leaves the others out, so that an item
    /// which was removed from the index is not recalled in another way.
    ///
    /// # Errors
    /// What the index's search gives.
    fn holds(&self, _items: &ItemSet) -> Result<Option<ItemSet>> {
        Ok(None)
    }

    /// Takes notice of something that a user just did, of which the item is in the catalog that
    /// the channel was made for. Channels that don't change while they serve pass it over.
    fn observe(&self, _item: ItemIndex, _interaction: &Interaction, _segments: &[String]) {}
}

impl<C: RecallChannel + ?Sized> RecallChannel for std::sync::Arc<C> {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        (**self).recall(users, k, filter)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        (**self).holds(items)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        (**self).observe(item, interaction, segments);
    }
}
