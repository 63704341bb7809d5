//! What users did since the stage was made.

use std::collections::VecDeque;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde::Serialize;

use super::settings::EngineConfig;
use crate::data::ExternalId;

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
    /// lists.
    Older,
    /// Its item is not in the catalog: it is kept for a stage that has it, and counts nowhere until
    /// then.
    Unknown,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "it counts from the next call on",
            Self::Repeated => "the same event was there already",
            Self::Older => {
                "it is older than what is known of the user, and only left out of their lists"
            }
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

/// What one user did, and the segments they were last said to be in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Recent {
    /// Items with their times, in time order.
    pub events: VecDeque<(ExternalId, f64)>,
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
        item: &ExternalId,
        time: f64,
        segments: &[String],
    ) -> Observed {
        let mut part = self.part(user);
        let recent = self.of_user(&mut part, user);
        if !segments.is_empty() {
            segments.clone_into(&mut recent.segments);
        }
        let events = &mut recent.events;
        let place = events.partition_point(|(_, other)| *other <= time);
        let same = events
            .range(..place)
            .rev()
            .take_while(|(_, other)| *other == time);
        if same.clone().any(|(other, _)| other == item) {
            return Observed::Repeated;
        }
        if place == 0 && events.len() >= self.events_of_each {
            recent.keep_earlier(item.clone(), self.items_of_each);
            return Observed::Older;
        }
        events.insert(place, (item.clone(), time));
        if events.len() > self.events_of_each
            && let Some((oldest, _)) = events.pop_front()
        {
            recent.keep_earlier(oldest, self.items_of_each);
        }
        Observed::Taken
    }

    /// Takes the item of an event that comes before all that are kept, only to be left out.
    pub(super) fn add_earlier(&self, user: &ExternalId, item: &ExternalId) {
        let mut part = self.part(user);
        let recent = self.of_user(&mut part, user);
        recent.keep_earlier(item.clone(), self.items_of_each);
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
    /// Keeps an item of an older event, and forgets the first one too many.
    fn keep_earlier(&mut self, item: ExternalId, most: usize) {
        if !self.earlier.contains(&item) {
            self.earlier.push_back(item);
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
        let anna = ExternalId::from("anna");
        for (item, time, observed) in [
            (1, 1.0, Observed::Taken),
            (2, 5.0, Observed::Taken),
            (3, 3.0, Observed::Taken),
            (4, 4.0, Observed::Taken),
            (4, 4.0, Observed::Repeated),
            (5, 0.5, Observed::Older),
        ] {
            assert_eq!(users.add(&anna, &item.into(), time, &[]), observed);
        }
        let items = users.with_recent(&anna, |recent| Vec::from(recent.events.clone()));
        assert_eq!(items, [(3.into(), 3.0), (4.into(), 4.0), (2.into(), 5.0)]);
        // What is older is still known to be taken, up to so many items.
        let earlier = || users.with_recent(&anna, |recent| Vec::from(recent.earlier.clone()));
        assert_eq!(earlier(), [1.into(), 5.into()]);
        for (item, time) in [(1, 0.1), (6, 6.0), (7, 7.0)] {
            let _ = users.add(&anna, &item.into(), time, &[]);
        }
        assert_eq!(earlier(), [3.into(), 4.into()]);
        users.add_earlier(&anna, &8.into());
        assert_eq!(earlier(), [4.into(), 8.into()]);
        for user in 0..10_000 {
            let _ = users.add(&user.into(), &1.into(), 0.0, &["new".to_owned()]);
        }
        assert!(users.len() <= PARTS * 2, "{} users", users.len());
        users.with_recent(&9_999.into(), |recent| assert_eq!(recent.segments, ["new"]));
        users.with_recent(&0.into(), |recent| assert_eq!(*recent, Recent::default()));
    }
}
