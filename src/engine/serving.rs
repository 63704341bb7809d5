//! A stage that serves.

use std::sync::{Arc, PoisonError, RwLock};

use crate::data::{
    Behaviors, Catalog, Event, ExternalId, Interaction, ItemIndex, Role, TimeUnit, TrainingData,
    User,
};
use crate::index::ItemSet;
use crate::recall::{CatalogItems, FALLBACK, KnownUser, RecallChannel, SELECTION};
use crate::store::ServedStage;
use crate::{Error, Result};

use super::counters::{ChannelCounters, Counters};
use super::settings::EngineConfig;
use super::users::{Recent, RecentEvent, RecentUsers};
use super::workers::Stuck;

/// A stage that serves, with what is looked up for every call.
pub(super) struct Serving {
    pub(super) served: ServedStage,
    pub(super) version: u64,
    /// How many items the stage had when it was loaded.
    pub(super) own_items: usize,
    /// One for each channel, one for the fallback, and one for the rules for diversity.
    pub(super) names: Vec<Arc<str>>,
    pub(super) counters: Vec<Arc<ChannelCounters>>,
    /// Which channels are beyond their time and still run.
    pub(super) stuck: Vec<Arc<Stuck>>,
    /// The same of fallbacks that ask indexes of channels which gave nothing.
    pub(super) asking: Arc<Stuck>,
    /// The first and the last of the data's times.
    span: (f64, f64),
    /// How many bytes the longest id of an item or a user has.
    pub(super) longest_id: usize,
    items: RwLock<Option<Arc<CatalogItems>>>,
}

impl Serving {
    /// A stage that was loaded with so many items.
    pub(super) fn new(served: ServedStage, own_items: usize, version: u64, all: &Counters) -> Self {
        let names: Vec<Arc<str>> = (served.stage.names())
            .chain([FALLBACK, SELECTION])
            .map(Arc::from)
            .collect();
        let counters: Vec<_> = names.iter().map(|name| all.channel(name)).collect();
        let data = served.data.training();
        let longest_id = longest(data.catalog().ids().chain(data.user_ids()));
        let sequences = data.sequences();
        let span = (0..sequences.len()).fold((f64::INFINITY, f64::NEG_INFINITY), |span, place| {
            let times = sequences.history(place).times();
            let (first, last) = (times.first().copied(), times.last().copied());
            (
                first.map_or(span.0, |first| span.0.min(first)),
                last.map_or(span.1, |last| span.1.max(last)),
            )
        });
        let asking = Arc::new(Stuck::new(all.asking.clone()));
        let stuck = |of_channel: &Arc<ChannelCounters>| Stuck::new(of_channel.stuck.clone());
        Self {
            asking,
            stuck: counters.iter().map(stuck).map(Arc::new).collect(),
            counters,
            served,
            version,
            own_items,
            names,
            span,
            longest_id,
            items: RwLock::default(),
        }
    }

    /// A stage that serves after this one with more items, of the same channels and users.
    pub(super) fn grown(&self, served: ServedStage) -> Self {
        let new = served
            .data()
            .catalog()
            .ids()
            .skip(self.data().catalog().len());
        Self {
            longest_id: self.longest_id.max(longest(new)),
            served,
            version: self.version + 1,
            own_items: self.own_items,
            names: self.names.clone(),
            counters: self.counters.clone(),
            // A channel that goes on may be the one that is stuck.
            stuck: self.stuck.clone(),
            asking: self.asking.clone(),
            span: self.span,
            items: RwLock::default(),
        }
    }

    /// The table of items, where there is one.
    pub(super) fn items(&self) -> Option<Arc<CatalogItems>> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.clone()
    }

    pub(super) fn set_items(&self, items: Option<Arc<CatalogItems>>) {
        *self.items.write().unwrap_or_else(PoisonError::into_inner) = items;
    }

    /// Refuses a stage that can't serve after this one.
    pub(super) fn check_next(&self, served: ServedStage) -> Result<ServedStage> {
        served.stage.check()?;
        let units = [&self.served, &served].map(|served| served.data.time_unit());
        let events = [self.data(), served.data.training()].map(|data| data.catalog().behaviors());
        let same_events = match events {
            [None, None] => true,
            [Some(serving), Some(next)] => serving.has_rules_for_same(next),
            _ => false,
        };
        if !same_events {
            let [serving, next] = events.map(|rules| rules.map(Behaviors::to_string));
            let [serving, next] =
                [serving, next].map(|rules| rules.unwrap_or_else(|| "none".to_owned()));
            let reason = format!(
                "the stage that serves has {serving:?}, by which the events of its users are held; open it anew"
            );
            return Err(Error::invalid("events of the new stage", next, reason));
        }
        if units[0] == units[1] {
            return Ok(served);
        }
        let reason = format!("the stage that serves is in {}; open it anew", units[0]);
        let field = "time unit of the new stage";
        Err(Error::invalid(field, units[1], reason))
    }

    /// What the stage that serves was made of.
    pub(super) fn data(&self) -> &TrainingData {
        self.served.data.training()
    }

    /// An event as it is kept of its user, or `None` where its type is ignored or unknown.
    pub(super) fn event(&self, interaction: &Interaction) -> Option<RecentEvent> {
        let catalog = self.data().catalog();
        let Interaction { item, time, .. } = interaction;
        let event = catalog.event(interaction.event.as_deref(), interaction.value);
        let event = event.ok()?;
        let role = role_of(catalog, event);
        (role != Role::Ignored).then(|| RecentEvent {
            item: item.clone(),
            time: *time,
            event,
            is_seen: role != Role::History,
        })
    }

    /// Whether the data's history of a user has this interaction, or a later one.
    pub(super) fn holds_later(&self, interaction: &Interaction, event: Event) -> bool {
        let Interaction {
            user, item, time, ..
        } = interaction;
        self.history_by_data(user).is_some_and(|history| {
            let item = self.data().catalog().index_of(item);
            self.end_of(history.times()).is_some_and(|end| *time < end)
                || item.is_some_and(|item| holds_at(history, item, *time, event))
        })
    }

    /// Whether the data's history of a user leaves this item out of their lists.
    pub(super) fn holds(&self, user: &ExternalId, item: &ExternalId) -> bool {
        let item = self.data().catalog().index_of(item);
        let history = self.history_by_data(user);
        item.zip(history)
            .is_some_and(|(item, history)| history.seen_items().any(|seen| seen == item))
    }

    fn history_by_data(&self, user: &ExternalId) -> Option<User<'_>> {
        let place = self.served.users.number_of(user)?;
        Some(self.data().sequences().history(place as usize))
    }

    /// Refuses a time that is not finite, or is in another unit than the data's, as far as its size
    /// says: one of these days, or between the first and the last of theirs, is in theirs.
    pub(super) fn check_time(&self, field: &'static str, time: f64) -> Result<()> {
        if !time.is_finite() {
            return Err(Error::invalid(field, time, "must be a finite number"));
        }
        let unit = self.served.data.time_unit();
        let (first, last) = self.span;
        if unit.is_of_these_days(time) || (first..=last).contains(&time) {
            return Ok(());
        }
        let reason = format!("is no time of these days in {unit}, which the data's times are in");
        Err(Error::invalid(field, time, reason))
    }

    /// The last of a user's times in the data that is not ahead of this machine's clock: one that
    /// is would make all that they do from now on old.
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
        if let Some(item) = self.data().catalog().index_of(&interaction.item) {
            self.served.stage.observe(item, interaction, segments);
        }
    }

    /// What a user did by the stage's data, and after that by their events, of which all items are
    /// added to those that were `taken`; and their segments and features.
    pub(super) fn known_user(
        &self,
        user: &ExternalId,
        users: &RecentUsers,
        settings: &EngineConfig,
        mut taken: Option<&mut ItemSet>,
    ) -> KnownUser {
        let data = self.data();
        let place = self
            .served
            .users
            .number_of(user)
            .map(|place| place as usize);
        let history = place.map_or(User::default(), |place| data.sequences().history(place));
        let last = history.last(settings.history);
        let mut known = KnownUser {
            items: last.items().to_vec(),
            times: last.times().to_vec(),
            events: last.events().to_vec(),
            behaviors: data.catalog().shared_behaviors().cloned(),
            features: history.features().to_vec(),
            ..KnownUser::default()
        };
        if let Some(taken) = taken.as_deref_mut() {
            taken.extend(history.seen_items());
        }
        users.with_recent(user, |recent| {
            self.add_recent(&mut known, recent, history, taken);
            known.segments.clone_from(&recent.segments);
        });
        if let Some(place) = place.filter(|_| known.segments.is_empty()) {
            known.segments = data.segments(place).to_vec();
        }
        known
    }

    /// Adds what a user did after what the data have of them. Of events that come before the end of
    /// these, only the items are added to those that were `taken`.
    fn add_recent(
        &self,
        known: &mut KnownUser,
        recent: &Recent,
        history: User<'_>,
        mut taken: Option<&mut ItemSet>,
    ) {
        let catalog = self.data().catalog();
        let until = self.end_of(history.times()).unwrap_or(f64::NEG_INFINITY);
        for recent in &recent.events {
            let item = catalog.index_of(&recent.item);
            // By the rules of the stage that serves, which may make something else of it than those
            // that were there when it came.
            let role = role_of(catalog, recent.event);
            if role == Role::Ignored {
                continue;
            }
            let is_seen = role != Role::History;
            if let (Some(item), Some(taken), true) = (item, taken.as_deref_mut(), is_seen) {
                taken.insert(item);
            }
            let time = recent.time;
            match item {
                _ if time < until => {}
                None => known.unknown += 1,
                // What was an event when it came may be in the data by now.
                Some(item) if holds_at(history, item, time, recent.event) => {}
                Some(item) => {
                    // At the end, but for times that are ahead.
                    let place = known.times.partition_point(|other| *other <= time);
                    known.items.insert(place, item);
                    known.times.insert(place, time);
                    if known.behaviors.is_some() {
                        known.events.insert(place, recent.event);
                    }
                }
            }
        }
        if let Some(taken) = taken {
            taken.extend(recent.earlier.iter().filter_map(|id| catalog.index_of(id)));
        }
    }
}

/// How many bytes the longest of some ids has.
fn longest<'a>(ids: impl Iterator<Item = &'a ExternalId>) -> usize {
    let lengths = ids.map(|id| match id {
        ExternalId::Integer(_) => 0,
        ExternalId::Text(text) => text.len(),
    });
    lengths.max().unwrap_or(0)
}

/// The role of an event; a target where events have no meaning.
fn role_of(catalog: &Catalog, event: Event) -> Role {
    let role = |behaviors: &Behaviors| behaviors.role(event);
    catalog.behaviors().map_or(Role::Target, role)
}

/// Whether an item is among those of a history that were taken at a time, one of its last, by the
/// same type of event.
fn holds_at(history: User<'_>, item: ItemIndex, time: f64, event: Event) -> bool {
    let (items, times) = (history.items(), history.times());
    let places = (0..items.len().min(times.len())).rev();
    let is_same = |place: usize| {
        let known = history.events().get(place).copied().unwrap_or_default();
        items.get(place) == Some(&item)
            && times.get(place) == Some(&time)
            && known.behavior() == event.behavior()
    };
    places
        .take_while(|&place| times.get(place).is_some_and(|other| *other >= time))
        .any(is_same)
}
