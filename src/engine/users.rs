//! What users did since the stage was made.

use std::collections::VecDeque;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde::Serialize;

use super::settings::EngineConfig;
use crate::data::{Event, ExternalId};

/// What an engine did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Observed {
    /// It counts from the next call on.
    Taken,
    /// The same event, with the same time, was there already.
    Repeated,
    /// The stage's data, or as many of the user's later events as are held, reach beyond it, so
    /// that channels don't see it. Its item is [left out](super::EngineConfig::seen) of the user's
    /// lists, unless it was only looked at.
    Older,
    /// Its item is not in the catalog: it is kept for a stage that has it, and counts nowhere until
    /// then.
    Unknown,
    /// Its type is one that the data's [events](crate::data::Behaviors) leave out: nothing is kept
    /// of it.
    Ignored,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "it counts from the next call on",
            Self::Repeated => "the same event was there already",
            Self::Older => "it is older than what is known of the user: channels don't see it",
            Self::Ignored => "events of its type are ignored",
            Self::Unknown => "its item is not in the catalog, and it counts once one has it",
        })
    }
}

/// A part of the users.
type Part = LruCache<ExternalId, Recent, foldhash::fast::RandomState>;

/// How many parts the users are divided into, each with a lock of its own.
const PARTS: usize = 64;

/// The latest events of the latest users: so many of each, of so many users. What channels see of a
/// user is one thing, and what is left out of their lists another: of older events the items are
/// kept.
pub(super) struct RecentUsers {
    parts: Vec<Mutex<Part>>,
    hasher: foldhash::fast::RandomState,
    /// The most users of a part.
    of_part: usize,
    events_of_each: usize,
    items_of_each: usize,
}

/// What a user did.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RecentEvent {
    pub item: ExternalId,
    pub time: f64,
    pub event: Event,
    /// Whether its item is left out of the user's lists.
    pub is_seen: bool,
}

impl RecentEvent {
    /// Whether another event is this one, told again.
    fn is_same(&self, other: &Self) -> bool {
        (&self.item, self.time, self.event.behavior())
            == (&other.item, other.time, other.event.behavior())
    }
}

/// What one user did, and the segments they were last said to be in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Recent {
    /// In time order.
    pub events: VecDeque<RecentEvent>,
    /// Items of older events, each once.
    pub earlier: VecDeque<ExternalId>,
    pub segments: Vec<String>,
}

impl RecentUsers {
    pub(super) fn new(settings: &EngineConfig) -> Self {
        // A cache with a bound takes the room for all that it may hold at once.
        let part = || LruCache::unbounded_with_hasher(Default::default());
        Self {
            parts: (0..PARTS).map(|_| Mutex::new(part())).collect(),
            hasher: Default::default(),
            of_part: settings.users.div_ceil(PARTS).max(1),
            events_of_each: settings.history,
            items_of_each: settings.seen,
        }
    }

    fn part(&self, user: &ExternalId) -> MutexGuard<'_, Part> {
        let part = self.hasher.hash_one(user) as usize % PARTS;
        #[expect(clippy::indexing_slicing, reason = "there are so many parts")]
        self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event, wherever in the order its time puts it. Of the oldest one too many, which
    /// may be this one, only the item is kept.
    pub(super) fn add(
        &self,
        user: &ExternalId,
        event: RecentEvent,
        segments: &[String],
    ) -> Observed {
        let mut part = self.part(user);
        let recent = self.of_user(&mut part, user);
        if !segments.is_empty() {
            segments.clone_into(&mut recent.segments);
        }
        let events = &mut recent.events;
        let place = events.partition_point(|other| other.time <= event.time);
        let same = events
            .range(..place)
            .rev()
            .take_while(|other| other.time == event.time);
        if same.clone().any(|other| other.is_same(&event)) {
            return Observed::Repeated;
        }
        if place == 0 && events.len() >= self.events_of_each {
            recent.keep_earlier(event, self.items_of_each);
            return Observed::Older;
        }
        events.insert(place, event);
        if events.len() > self.events_of_each
            && let Some(oldest) = events.pop_front()
        {
            recent.keep_earlier(oldest, self.items_of_each);
        }
        Observed::Taken
    }

    /// Takes the item of an event that comes before all that are kept, only to be left out.
    pub(super) fn add_earlier(&self, user: &ExternalId, event: RecentEvent) {
        let mut part = self.part(user);
        let recent = self.of_user(&mut part, user);
        recent.keep_earlier(event, self.items_of_each);
    }

    /// What a user did, in a part of the users that has room for them.
    fn of_user<'a>(&self, part: &'a mut Part, user: &ExternalId) -> &'a mut Recent {
        if part.len() >= self.of_part && !part.contains(user) {
            part.pop_lru();
        }
        part.get_or_insert_mut_ref(user, Recent::default)
    }

    /// What a function makes of a user's recent events, of which an unknown user has none. Others
    /// of the same part wait for it.
    pub(super) fn with_recent<T>(&self, user: &ExternalId, look: impl FnOnce(&Recent) -> T) -> T {
        match self.part(user).get(user) {
            Some(recent) => look(recent),
            None => look(&Recent::default()),
        }
    }

    /// The number of users.
    pub(super) fn len(&self) -> usize {
        let parts = self.parts.iter();
        parts
            .map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }
}

impl Recent {
    /// Keeps the item of an older event, where it is left out of the user's lists, and forgets the
    /// first one too many.
    fn keep_earlier(&mut self, event: RecentEvent, most: usize) {
        if event.is_seen && !self.earlier.contains(&event.item) {
            self.earlier.push_back(event.item);
            if self.earlier.len() > most {
                self.earlier.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_events_and_by_users() {
        let bounds = EngineConfig::new().with_users(PARTS * 2);
        let users = RecentUsers::new(&bounds.with_history(3).with_seen(2));
        let event = |item: i64, time| RecentEvent {
            item: item.into(),
            time,
            event: Event::default(),
            is_seen: true,
        };
        let anna = ExternalId::from("anna");
        for (item, time, observed) in [
            (1, 1.0, Observed::Taken),
            (2, 5.0, Observed::Taken),
            (3, 3.0, Observed::Taken),
            (4, 4.0, Observed::Taken),
            (4, 4.0, Observed::Repeated),
            (5, 0.5, Observed::Older),
        ] {
            assert_eq!(users.add(&anna, event(item, time), &[]), observed);
        }
        let items = users.with_recent(&anna, |recent| Vec::from(recent.events.clone()));
        assert_eq!(items, [event(3, 3.0), event(4, 4.0), event(2, 5.0)]);
        // What is older is still known to be taken, up to so many items.
        let earlier = || users.with_recent(&anna, |recent| Vec::from(recent.earlier.clone()));
        assert_eq!(earlier(), [1.into(), 5.into()]);
        for (item, time) in [(1, 0.1), (6, 6.0), (7, 7.0)] {
            let _ = users.add(&anna, event(item, time), &[]);
        }
        assert_eq!(earlier(), [3.into(), 4.into()]);
        users.add_earlier(&anna, event(8, 0.0));
        let viewed = RecentEvent {
            is_seen: false,
            ..event(9, 0.0)
        };
        users.add_earlier(&anna, viewed);
        assert_eq!(earlier(), [4.into(), 8.into()]);
        for user in 0..10_000 {
            let _ = users.add(&user.into(), event(1, 0.0), &["new".to_owned()]);
        }
        assert!(users.len() <= PARTS * 2, "{} users", users.len());
        users.with_recent(&9_999.into(), |recent| assert_eq!(recent.segments, ["new"]));
        users.with_recent(&0.into(), |recent| assert_eq!(*recent, Recent::default()));
    }
}
