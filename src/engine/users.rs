//! What users did since the stage was made.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use super::request::Observed;
use crate::data::ExternalId;

/// How many parts the users are divided into, each with a lock of its own.
const PARTS: usize = 64;

/// The latest events of the latest users: so many of each, of so many users.
pub(super) struct Users {
    parts: Vec<Mutex<LruCache<ExternalId, Recent, foldhash::fast::RandomState>>>,
    hasher: foldhash::fast::RandomState,
    /// The most users of a part.
    of_part: usize,
    events_of_each: usize,
}

/// What one user did, and the segments they were last said to be in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Recent {
    /// Items with their times, in time order.
    pub events: VecDeque<(ExternalId, f64)>,
    pub segments: Vec<String>,
}

impl Users {
    pub(super) fn new(users: usize, events_of_each: usize) -> Self {
        // A cache with a bound takes the room for all that it may hold at once.
        let part = || LruCache::unbounded_with_hasher(Default::default());
        Self {
            parts: (0..PARTS).map(|_| Mutex::new(part())).collect(),
            hasher: Default::default(),
            of_part: users.div_ceil(PARTS).max(1),
            events_of_each,
        }
    }

    fn part(
        &self,
        user: &ExternalId,
    ) -> std::sync::MutexGuard<'_, LruCache<ExternalId, Recent, foldhash::fast::RandomState>> {
        let part = self.hasher.hash_one(user) as usize % PARTS;
        #[expect(clippy::indexing_slicing, reason = "there are so many parts")]
        self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event, wherever in the order its time puts it, and forgets the oldest one too
    /// many, which may be this one.
    pub(super) fn add(
        &self,
        user: &ExternalId,
        item: &ExternalId,
        time: f64,
        segments: &[String],
    ) -> Observed {
        let mut part = self.part(user);
        if part.len() >= self.of_part && !part.contains(user) {
            part.pop_lru();
        }
        let recent = part.get_or_insert_mut_ref(user, Recent::default);
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
            return Observed::Older;
        }
        events.insert(place, (item.clone(), time));
        if events.len() > self.events_of_each {
            events.pop_front();
        }
        Observed::Taken
    }

    /// A user's recent events; none for an unknown user.
    pub(super) fn recent(&self, user: &ExternalId) -> Recent {
        self.part(user).get(user).cloned().unwrap_or_default()
    }

    /// The number of users.
    pub(super) fn len(&self) -> usize {
        let parts = self.parts.iter();
        parts
            .map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_events_and_by_users() {
        let users = Users::new(PARTS * 2, 3);
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
        let items: Vec<_> = users.recent(&anna).events.into_iter().collect();
        assert_eq!(items, [(3.into(), 3.0), (4.into(), 4.0), (2.into(), 5.0)]);
        for user in 0..10_000 {
            let _ = users.add(&user.into(), &1.into(), 0.0, &["new".to_owned()]);
        }
        assert!(users.len() <= PARTS * 2, "{} users", users.len());
        assert_eq!(users.recent(&9_999.into()).segments, ["new"]);
        assert_eq!(users.recent(&0.into()), Recent::default());
    }
}
