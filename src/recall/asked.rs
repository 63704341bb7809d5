//! A request as channels see it: items by index, and which of them may be recalled.

use std::sync::Arc;

use crate::data::{Behaviors, Catalog, Event, ExternalId, ItemIndex, Role, User, check_times};
use crate::index::{Filter, ItemSet, Matching};
use crate::{Error, ErrorKind, Result, checks};

use super::catalog_items::{CatalogItems, no_items};
use super::request::{Predicate, RecallRequest, Who};

/// A [`User`] of a request, who is kept as long as channels are asked.
#[derive(Default)]
pub(crate) struct KnownUser {
    pub(crate) items: Vec<ItemIndex>,
    /// One for each item, or none.
    pub(crate) times: Vec<f64>,
    /// One for each item, or none.
    pub(crate) events: Vec<Event>,
    /// What events mean, where that is known.
    pub(crate) behaviors: Option<Arc<Behaviors>>,
    /// How many of their items are not in the catalog.
    pub(crate) unknown: usize,
    /// None where they are not known.
    pub(crate) features: Vec<f32>,
    pub(crate) segments: Vec<String>,
    /// When the user asks, where that is known.
    pub(crate) now: Option<f64>,
}

impl KnownUser {
    /// A history that is given, with a time and an event for each item or none.
    pub(super) fn from_history(
        catalog: &Catalog,
        history: &[ExternalId],
        times: &[f64],
        events: &[Event],
    ) -> Self {
        let mut user = Self {
            behaviors: catalog.shared_behaviors().cloned(),
            ..Self::default()
        };
        for (place, id) in history.iter().enumerate() {
            let event = events.get(place);
            if user.is_ignored(event) {
                continue;
            }
            match catalog.index_of(id) {
                Some(item) => {
                    user.items.push(item);
                    user.times.extend(times.get(place));
                    user.events.extend(event);
                }
                None => user.unknown += 1,
            }
        }
        user
    }

    fn is_ignored(&self, event: Option<&Event>) -> bool {
        let role = |(behaviors, event): (&Arc<Behaviors>, &Event)| behaviors.role(*event);
        self.behaviors.as_ref().zip(event).map(role) == Some(Role::Ignored)
    }

    /// A user with the numbers that items have in another catalog, where they have one.
    pub(super) fn renumbered(
        user: User<'_>,
        number: impl Fn(ItemIndex) -> Option<ItemIndex>,
    ) -> Self {
        let mut known = Self {
            items: Vec::with_capacity(user.items().len()),
            times: Vec::with_capacity(user.times().len()),
            events: Vec::with_capacity(user.events().len()),
            behaviors: user.behaviors().cloned(),
            unknown: 0,
            features: user.features().to_vec(),
            segments: user.segments().to_vec(),
            now: user.now(),
        };
        for (place, &item) in user.items().iter().enumerate() {
            match number(item) {
                Some(item) => {
                    known.items.push(item);
                    known.times.extend(user.times().get(place));
                    known.events.extend(user.events().get(place));
                }
                None => known.unknown += 1,
            }
        }
        known
    }

    pub(crate) fn user(&self) -> Result<User<'_>> {
        let user = if self.times.is_empty() {
            User::from(self.items.as_slice())
        } else {
            User::with_times(&self.items, &self.times)?
        };
        let user = match &self.behaviors {
            Some(behaviors) if !self.events.is_empty() => user.with_events(&self.events, behaviors),
            _ => user,
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
        self.events.drain(..above.min(self.events.len()));
    }
}

/// A request by the indexes of a catalog.
pub(crate) struct Asked {
    pub(crate) user: KnownUser,
    pub(crate) k: usize,
    /// Items that are not to be recalled: those that are blocked, and those that the user took.
    excluded: ItemSet,
    passes: Option<Predicate>,
    /// The items that may be recalled, where the request names or describes them; without those
    /// that are excluded or don't pass.
    allowed: Option<Allowed>,
}

/// The items that a request names or describes.
enum Allowed {
    These(ItemSet),
    Matching(Matching),
}

impl Allowed {
    fn items(&self) -> &ItemSet {
        match self {
            Self::These(items) => items,
            Self::Matching(matching) => matching.items(),
        }
    }
}

impl Asked {
    /// A request, where `of_user` gives a user by id, and adds all items that they took to the set
    /// that it is given. Where a filter looks at attributes, `items` has them, or an error says by
    /// what they are `given`.
    pub(crate) fn new(
        request: &RecallRequest,
        catalog: &Catalog,
        (items, given): (Option<&CatalogItems>, &str),
        of_user: impl FnOnce(&ExternalId, Option<&mut ItemSet>) -> Result<KnownUser>,
    ) -> Result<Self> {
        let blocked = request.blocked.iter();
        let mut excluded: ItemSet = blocked.filter_map(|item| catalog.index_of(item)).collect();
        let taken = request.seen.is_excluded().then_some(&mut excluded);
        let events = events_of(request, catalog)?;
        let mut user = match &request.who {
            Who::User(id) => of_user(id, taken)?,
            Who::Everyone => {
                let reason =
                    "is whom `Retriever::recall_all` answers; give one user's history here";
                return Err(Error::invalid("request", "for everyone", reason));
            }
            Who::History(items, times) => {
                check_times("history", times)?;
                items.iter().try_for_each(|item| item.check("history"))?;
                let user = KnownUser::from_history(catalog, items, times, &events);
                if let Some(taken) = taken {
                    taken.extend(user.user()?.seen_items());
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
        let mut allowed = None;
        if let Some(filter) = &request.matching {
            let items = items.ok_or_else(|| no_items(filter, given))?;
            allowed = Some(Allowed::Matching(items.matching(filter)?));
        }
        if let Some(only) = &request.only {
            let matching = allowed.as_ref().map(Allowed::items);
            allowed = Some(Allowed::These(only_these(
                only, request, catalog, matching,
            )?));
        }
        let mut asked = Self {
            user,
            k: request.k,
            excluded,
            passes: request.passes.clone(),
            allowed: None,
        };
        asked.allowed = allowed.map(|allowed| asked.left_of(allowed, catalog));
        Ok(asked)
    }

    /// A set without the items that may not be recalled.
    fn left_of(&self, allowed: Allowed, catalog: &Catalog) -> Allowed {
        let left = |items: &ItemSet| -> ItemSet {
            let passing = items.iter().filter(|&item| self.passes(catalog, item));
            passing.collect()
        };
        match allowed {
            Allowed::Matching(matching) if self.passes.is_none() => {
                Allowed::Matching(matching.without_items(&self.excluded))
            }
            allowed => Allowed::These(left(allowed.items())),
        }
    }

    /// The number of items that may be recalled, where the request names or describes them.
    pub(crate) fn passing(&self) -> Option<usize> {
        self.allowed.as_ref().map(|allowed| allowed.items().len())
    }

    /// The filter of a search: the set of all that pass, or else a predicate that must be
    /// [`passes`](Self::passes).
    pub(crate) fn filter<'a>(
        &'a self,
        passes: &'a (dyn Fn(usize, ItemIndex) -> bool + Sync),
    ) -> Filter<'a> {
        match &self.allowed {
            Some(Allowed::These(items)) => Filter::Allowed(items),
            Some(Allowed::Matching(matching)) => Filter::Matching(matching),
            None => Filter::Predicate(passes),
        }
    }

    /// Refuses an empty answer to a request of which no item of the catalog passes the predicate.
    pub(crate) fn check_empty(&self, catalog: &Catalog) -> Result<()> {
        match &self.passes {
            Some(passes) if self.allowed.is_none() && !catalog.ids().any(|id| passes(id)) => {
                let reason = format!("no item of {} passes the request's filter", catalog.len());
                Err(ErrorKind::NothingLeft { reason }.into())
            }
            _ => Ok(()),
        }
    }

    /// A request that is the same for everyone.
    pub(super) fn for_everyone(
        request: &RecallRequest,
        catalog: &Catalog,
        items: (Option<&CatalogItems>, &str),
    ) -> Result<Self> {
        if !matches!(request.who, Who::Everyone) {
            let reason = "names one user; take `RecallRequest::for_everyone`";
            return Err(Error::invalid(
                "request",
                format!("{:?}", request.who),
                reason,
            ));
        }
        if !request.segments.is_empty() || request.features.is_some() {
            let reason = "are each user's own, which their data have";
            return Err(Error::invalid(
                "segments and features",
                "of everyone",
                reason,
            ));
        }
        let who = Who::History(Vec::new(), Vec::new());
        let of_nobody = RecallRequest {
            who,
            ..request.clone()
        };
        Self::new(&of_nobody, catalog, items, |_, _| Ok(KnownUser::default()))
    }

    /// Whether an item may be recalled.
    pub(crate) fn passes(&self, catalog: &Catalog, item: ItemIndex) -> bool {
        if let Some(allowed) = &self.allowed {
            return allowed.items().contains(item);
        }
        if self.excluded.contains(item) {
            return false;
        }
        // Padding and what is beyond the catalog have no id, whatever a channel says.
        let id = catalog.id_of(item);
        id.is_some_and(|id| (self.passes.as_ref()).is_none_or(|passes| passes(id)))
    }
}

/// The events of a request's history, by what events mean to a catalog's data.
fn events_of(request: &RecallRequest, catalog: &Catalog) -> Result<Vec<Event>> {
    let given = &request.events;
    let Who::History(items, _) = &request.who else {
        return match given.len() {
            0 => Ok(Vec::new()),
            count => {
                let reason = "are of a history that is given; an engine knows its users'";
                Err(Error::invalid(
                    "events",
                    format!("{count} of a user"),
                    reason,
                ))
            }
        };
    };
    if given.is_empty() {
        return Ok(Vec::new());
    }
    checks::same_length("events of a history", items.len(), given.len())?;
    let coded = given.iter().enumerate().map(|(place, (name, value))| {
        let event = catalog.event(name.as_deref(), *value);
        event.map_err(|error| {
            let what = format!("{:?} in place {place}", name.as_deref().unwrap_or_default());
            Error::invalid("events", what, error.to_string())
        })
    });
    coded.collect()
}

/// The items that a request names as the only ones, among those that its filter of attributes
/// allows.
fn only_these(
    only: &[ExternalId],
    request: &RecallRequest,
    catalog: &Catalog,
    allowed: Option<&ItemSet>,
) -> Result<ItemSet> {
    let known: ItemSet = only.iter().filter_map(|id| catalog.index_of(id)).collect();
    let both: ItemSet = (known.iter())
        .filter(|&item| allowed.is_none_or(|allowed| allowed.contains(item)))
        .collect();
    if !both.is_empty() {
        return Ok(both);
    }
    let reason = match &request.matching {
        Some(filter) if !known.is_empty() => format!(
            "none of the {} items that the request names as the only ones passes the filter `{filter}`",
            known.len()
        ),
        _ => format!(
            "none of the {} items that the request names as the only ones is in the catalog",
            only.len()
        ),
    };
    Err(ErrorKind::NothingLeft { reason }.into())
}
