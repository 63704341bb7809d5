//! A stage that serves.

use std::sync::Arc;

use crate::data::{ExternalId, History, Interaction, ItemIndex, TimeUnit};
use crate::recall::{FALLBACK, RecallChannel, SELECTION};
use crate::store::ServedStage;

use super::counters::{ChannelCounters, Counters};
use super::settings::EngineConfig;
use super::users::Recent;
use super::workers::Stuck;

/// A stage that serves, with what is looked up for every call.
pub(super) struct Serving {
    pub(super) served: ServedStage,
    pub(super) version: u64,
    /// One for each channel, one for the fallback, and one for the rules for diversity.
    pub(super) names: Vec<Arc<str>>,
    pub(super) counters: Vec<Arc<ChannelCounters>>,
    /// Which channels are beyond their time and still run.
    pub(super) stuck: Vec<Arc<Stuck>>,
    /// How many bytes the longest id of an item or a user has.
    pub(super) longest_id: usize,
}

/// A history by index.
#[derive(Default)]
pub(super) struct Known {
    pub(super) items: Vec<ItemIndex>,
    /// One for each item, or none.
    pub(super) times: Vec<f64>,
    /// Items that they took before, which channels don't see.
    pub(super) earlier: Vec<ItemIndex>,
    pub(super) unknown: usize,
}

impl Serving {
    pub(super) fn new(served: ServedStage, version: u64, counters: &Counters) -> Self {
        let names: Vec<Arc<str>> = (served.stage.names())
            .chain([FALLBACK, SELECTION])
            .map(Arc::from)
            .collect();
        let counters: Vec<_> = names.iter().map(|name| counters.channel(name)).collect();
        let ids = served.data.catalog().ids().chain(served.data.users());
        let lengths = ids.map(|id| match id {
            ExternalId::Integer(_) => 0,
            ExternalId::Text(text) => text.len(),
        });
        let longest_id = lengths.max().unwrap_or(0);
        let stuck = |of_channel: &Arc<ChannelCounters>| Stuck::new(of_channel.stuck.clone());
        Self {
            stuck: counters.iter().map(stuck).map(Arc::new).collect(),
            counters,
            served,
            version,
            names,
            longest_id,
        }
    }

    /// Whether the data's history of a user has this interaction, or a later one.
    pub(super) fn holds_later(&self, user: &ExternalId, item: &ExternalId, time: f64) -> bool {
        let Some(place) = self.served.users.number_of(user) else {
            return false;
        };
        let data = &self.served.data;
        let history = data.sequences().history(place as usize);
        self.end_of(history.times()).is_some_and(|last| {
            time < last
                || (time == last
                    && data
                        .catalog()
                        .index_of(item)
                        .is_some_and(|item| holds_at(history, item, last)))
        })
    }

    /// The last of a user's times in the data that is not ahead of this machine's clock: one that is
    /// would make all that they do from now on old.
    fn end_of(&self, times: &[f64]) -> Option<f64> {
        match self.clock() {
            Some(now) => times.iter().rev().copied().find(|time| *time <= now),
            None => times.last().copied(),
        }
    }

    /// The time by the clock, where the data's times are of a clock.
    pub(super) fn clock(&self) -> Option<f64> {
        let unit = self.served.data.time_unit();
        (unit != TimeUnit::Order).then(|| unit.now())
    }

    pub(super) fn observe(&self, interaction: &Interaction, segments: &[String]) {
        if let Some(item) = self.served.data.catalog().index_of(&interaction.item) {
            self.served.stage.observe(item, interaction, segments);
        }
    }

    pub(super) fn known(
        &self,
        history: &[ExternalId],
        times: &[f64],
        settings: &EngineConfig,
    ) -> Known {
        let mut known = Known::default();
        for (place, id) in history.iter().enumerate() {
            match self.served.data.catalog().index_of(id) {
                Some(item) => {
                    known.items.push(item);
                    known.times.extend(times.get(place));
                }
                None => known.unknown += 1,
            }
        }
        known.keep_last(settings.history);
        known
    }

    /// What a user did by the stage's data, and after that by their events; and their segments and
    /// features.
    pub(super) fn history_of(
        &self,
        user: &ExternalId,
        recent: Recent,
        settings: &EngineConfig,
    ) -> (Known, Vec<String>, Vec<f32>) {
        let data = &self.served.data;
        let mut known = Known::default();
        let mut segments = recent.segments;
        let mut features = Vec::new();
        if let Some(place) = self.served.users.number_of(user) {
            let history = data.sequences().history(place as usize);
            known.items.extend_from_slice(history.items());
            known.times.extend_from_slice(history.times());
            features.extend_from_slice(history.features());
            if segments.is_empty() {
                segments = data.segments(place as usize).to_vec();
            }
        }
        let until = self.end_of(&known.times).unwrap_or(f64::NEG_INFINITY);
        for (id, time) in recent.events.iter().filter(|(_, time)| *time >= until) {
            // At the very time of the last one, what the data don't have.
            let is_new = *time > until || !self.holds_later(user, id, *time);
            if let Some(item) = data.catalog().index_of(id).filter(|_| is_new) {
                // At the end, but for times that are ahead.
                let place = known.times.partition_point(|other| other <= time);
                known.items.insert(place, item);
                known.times.insert(place, *time);
            } else {
                known.unknown += usize::from(is_new);
            }
        }
        known.keep_last(settings.history);
        let older = recent.earlier.iter();
        known
            .earlier
            .extend(older.filter_map(|id| data.catalog().index_of(id)));
        (known, segments, features)
    }
}

/// Whether an item is among those of a history that were taken at a time, one of its last.
fn holds_at(history: History<'_>, item: ItemIndex, time: f64) -> bool {
    let taken = history.items().iter().zip(history.times()).rev();
    taken
        .take_while(|(_, other)| **other >= time)
        .any(|(other, at)| *other == item && *at == time)
}

impl Known {
    /// Leaves the last items to channels.
    fn keep_last(&mut self, count: usize) {
        let above = self.items.len().saturating_sub(count);
        self.earlier.extend(self.items.drain(..above));
        self.times.drain(..above.min(self.times.len()));
    }
}
