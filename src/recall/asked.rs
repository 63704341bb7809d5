//! A request as channels see it: items by index, and which of them may be recalled.

use crate::Result;
use crate::data::{Catalog, ExternalId, ItemIndex, User, check_times};
use crate::index::ItemSet;

use super::request::{Predicate, RecallRequest, Who};

/// A [`User`] of a request, who is kept as long as channels are asked.
#[derive(Default)]
pub(crate) struct KnownUser {
    pub(crate) items: Vec<ItemIndex>,
    /// One for each item, or none.
    pub(crate) times: Vec<f64>,
    /// How many of their items are not in the catalog.
    pub(crate) unknown: usize,
    /// None where they are not known.
    pub(crate) features: Vec<f32>,
    pub(crate) segments: Vec<String>,
    /// When the user asks, where that is known.
    pub(crate) now: Option<f64>,
}

impl KnownUser {
    /// A history that is given, with a time for each item or none.
    fn from_history(catalog: &Catalog, history: &[ExternalId], times: &[f64]) -> Self {
        let mut user = Self::default();
        for (place, id) in history.iter().enumerate() {
            match catalog.index_of(id) {
                Some(item) => {
                    user.items.push(item);
                    user.times.extend(times.get(place));
                }
                None => user.unknown += 1,
            }
        }
        user
    }

    pub(crate) fn user(&self) -> Result<User<'_>> {
        let user = if self.times.is_empty() {
            User::from(self.items.as_slice())
        } else {
            User::with_times(&self.items, &self.times)?
        };
        let user = user.with_features(&self.features);
        let user = user.in_segments(&self.segments);
        Ok(self.now.map_or(user, |now| user.at(now)))
    }

    /// Leaves the last items to channels.
    #[cfg(feature = "engine")]
    pub(crate) fn keep_last(&mut self, count: usize) {
        let above = self.items.len().saturating_sub(count);
        self.items.drain(..above);
        self.times.drain(..above.min(self.times.len()));
    }
}

/// A request by the indexes of a catalog.
pub(crate) struct Asked {
    pub(crate) user: KnownUser,
    pub(crate) k: usize,
    /// Items that are not to be recalled: those that are blocked, and those that the user took.
    excluded: ItemSet,
    passes: Option<Predicate>,
}

impl Asked {
    /// A request, where `of_user` gives a user by id, and adds all items that they took to the set
    /// that it is given.
    pub(crate) fn new(
        request: &RecallRequest,
        catalog: &Catalog,
        of_user: impl FnOnce(&ExternalId, Option<&mut ItemSet>) -> Result<KnownUser>,
    ) -> Result<Self> {
        let blocked = request.blocked.iter();
        let mut excluded: ItemSet = blocked.filter_map(|item| catalog.index_of(item)).collect();
        let taken = request.seen.is_excluded().then_some(&mut excluded);
        let mut user = match &request.who {
            Who::User(id) => of_user(id, taken)?,
            Who::History(items, times) => {
                check_times("history", times)?;
                let user = KnownUser::from_history(catalog, items, times);
                if let Some(taken) = taken {
                    taken.extend(user.items.iter().copied());
                }
                user
            }
        };
        if let Some(given) = &request.features {
            let given = given.iter().map(|(name, value)| (&**name, *value));
            user.features = catalog.user_row(given)?;
        }
        if !request.segments.is_empty() {
            user.segments.clone_from(&request.segments);
        }
        user.now = request.now;
        Ok(Self {
            user,
            k: request.k,
            excluded,
            passes: request.passes.clone(),
        })
    }

    /// Whether an item may be recalled.
    pub(crate) fn passes(&self, catalog: &Catalog, item: ItemIndex) -> bool {
        if self.excluded.contains(item) {
            return false;
        }
        // Padding and what is beyond the catalog have no id, whatever a channel says.
        let id = catalog.id_of(item);
        id.is_some_and(|id| (self.passes.as_ref()).is_none_or(|passes| passes(id)))
    }
}
