//! A stage that serves.

use std::sync::Arc;

use crate::data::{Catalog, ExternalId, History, Interaction, ItemIndex, TimeUnit};
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
        let last = history.times().last();
        last.is_some_and(|&last| {
            time < last
                || (time == last
                    && data
                        .catalog()
                        .index_of(item)
                        .is_some_and(|item| is_among_last(history, item)))
        })
    }

    /// The time of the last interaction that the stage was made of.
    pub(super) fn latest(&self) -> f64 {
        let sequences = self.served.data.sequences();
        let last = |user| sequences.history(user).times().last().copied();
        let times = (0..sequences.len()).filter_map(last);
        times.fold(f64::NEG_INFINITY, f64::max)
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

    pub(super) fn known(&self, history: &[ExternalId], times: &[f64]) -> Known {
        let mut known = Known::default();
        for (place, id) in history.iter().enumerate() {
            if known.add(id, self.served.data.catalog()) {
                known.times.extend(times.get(place));
            }
        }
        known
    }

    /// What a user did by the stage's data, and after that by their events; and their segments.
    pub(super) fn history_of(
        &self,
        user: &ExternalId,
        recent: Recent,
        settings: &EngineConfig,
    ) -> (Known, Vec<String>) {
        let data = &self.served.data;
        let mut known = Known::default();
        let mut segments = recent.segments;
        if let Some(place) = self.served.users.number_of(user) {
            let history = data
                .sequences()
                .history(place as usize)
                .last(settings.history);
            known.items.extend_from_slice(history.items());
            known.times.extend_from_slice(history.times());
            if segments.is_empty() {
                segments = data.segments(place as usize).to_vec();
            }
        }
        let until = known.times.last().copied().unwrap_or(f64::NEG_INFINITY);
        for (id, time) in recent.events.iter().filter(|(_, time)| *time >= until) {
            // At the very time of the last one, what the data don't have.
            let is_new = *time > until || !self.holds_later(user, id, *time);
            if is_new && known.add(id, data.catalog()) {
                known.times.push(*time);
            }
        }
        let above = known.items.len().saturating_sub(settings.history);
        known.items.drain(..above);
        known.times.drain(..above.min(known.times.len()));
        (known, segments)
    }
}

/// Whether an item is among those of a history that were taken at its last time.
fn is_among_last(history: History<'_>, item: ItemIndex) -> bool {
    let last = history.times().last();
    let taken = history.items().iter().zip(history.times()).rev();
    taken
        .take_while(|(_, time)| Some(*time) == last)
        .any(|(other, _)| *other == item)
}

impl Known {
    /// Adds an item, or counts it as unknown; whether it is in the catalog.
    fn add(&mut self, id: &ExternalId, catalog: &Catalog) -> bool {
        let item = catalog.index_of(id);
        self.items.extend(item);
        self.unknown += usize::from(item.is_none());
        item.is_some()
    }
}
