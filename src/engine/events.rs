//! What users do while a stage serves, and the change to another stage.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::{info, info_span, warn};

#[cfg(doc)]
use crate::ErrorKind;
use crate::data::{ExternalId, Interaction};
use crate::{Error, Result};

use super::RecallEngine;
use super::counters::count;
use super::guard::caught;
use super::serving::Serving;
use super::users::Observed;

/// The last events, for the near-line channels of the next stage.
#[derive(Default)]
pub(super) struct Events {
    pub(super) last: VecDeque<(Interaction, Vec<String>)>,
    /// How many there were in all.
    pub(super) taken: u64,
}

impl RecallEngine {
    /// Takes notice of something that a user just did: their history has it from the next call on,
    /// and near-line channels soon after. `segments` are those they are in, where they are known.
    ///
    /// The time is in the unit of the stage's data: [`time_unit`](RecallEngine::time_unit). An
    /// event that comes twice, with the same time, counts once in the history. Of one from before
    /// the last interaction of this user that the stage's data hold, which have it too or should
    /// have, the item is only [left out](super::EngineConfig::seen) of their lists. What becomes of
    /// it is said. An item that is not in the catalog is kept, since it may be in the next one, and
    /// is said to be [unknown](Observed::Unknown).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when the time is in another unit or further ahead of the clock
    /// than the settings allow, for a value that is not finite or an event that no rule of the
    /// data's [events](crate::data::Behaviors) names, or with what else is beyond the settings.
    pub fn observe(&self, interaction: &Interaction, segments: &[String]) -> Result<Observed> {
        let serving = self.serving();
        self.check_event(interaction, segments, &serving)?;
        Ok(self.take(interaction, segments, &serving))
    }

    /// Takes in several events with their segments: all of them or, if one is invalid, none.
    ///
    /// # Errors
    /// As [`observe`](RecallEngine::observe), with the place of the event, counted from 0.
    pub fn observe_all(&self, events: &[(Interaction, Vec<String>)]) -> Result<Vec<Observed>> {
        let serving = self.serving();
        for (place, (interaction, segments)) in events.iter().enumerate() {
            self.check_event(interaction, segments, &serving)
                .map_err(|error| {
                    let value = format!("those with event {place}");
                    let reason = format!("none was taken: {error}");
                    Error::invalid("events", value, reason)
                })?;
        }
        let taken = events.iter();
        Ok(taken
            .map(|(interaction, segments)| self.take(interaction, segments, &serving))
            .collect())
    }

    fn check_event(
        &self,
        interaction: &Interaction,
        segments: &[String],
        serving: &Serving,
    ) -> Result<()> {
        let Interaction {
            user,
            item,
            time,
            value,
            event,
        } = interaction;
        self.settings.check_id("user", user, serving.longest_id)?;
        self.settings.check_id("item", item, serving.longest_id)?;
        self.settings.check_segments(segments)?;
        if let Some(event) = event {
            self.settings.check_text("event", event)?;
        }
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return Err(Error::invalid("value", value, "must be a finite number"));
        }
        (serving.data().catalog()).event(event.as_deref(), *value)?;
        serving.check_time("time", *time)?;
        let unit = serving.served.data.time_unit();
        let latest = unit.now() + self.settings.ahead.as_secs_f64() * unit.per_second();
        if *time > latest {
            let reason = format!(
                "lies more than {:?} in the future; times are in {unit}",
                self.settings.ahead
            );
            return Err(Error::invalid("time", time, reason));
        }
        Ok(())
    }

    /// Takes an event that was checked.
    fn take(&self, interaction: &Interaction, segments: &[String], serving: &Serving) -> Observed {
        let Interaction {
            user, item, time, ..
        } = interaction;
        let Some(event) = serving.event(interaction) else {
            return Observed::Ignored;
        };
        if serving.holds_later(interaction, event.event) {
            // What the data should have had and don't was taken all the same.
            if !serving.holds(user, item) {
                self.users.add_earlier(user, event);
            }
            return Observed::Older;
        }
        let observed = self.users.add(user, event, segments);
        if observed != Observed::Taken {
            return observed;
        }
        // Channels hear of it at the clock's time at the latest: what they count for everybody must
        // not go by the clock of one machine.
        let mut told = interaction.clone();
        told.time = serving.clock().map_or(*time, |now| time.min(now));
        let serving = {
            // Together with what `reload` does, so that no event is missed or told twice.
            let mut events = self.events();
            events.taken += 1;
            events.last.push_back((told.clone(), segments.to_vec()));
            if events.last.len() > self.settings.replayed {
                events.last.pop_front();
            }
            self.serving()
        };
        // The channel of somebody else's that panics here has still heard of it.
        if serving.event(&told).is_some() {
            let _ = catch_unwind(AssertUnwindSafe(|| serving.observe(&told, segments)));
        }
        if serving.data().catalog().index_of(item).is_none() {
            count(&self.counters.unknown_events);
            return Observed::Unknown;
        }
        count(&self.counters.events);
        Observed::Taken
    }

    /// Loads the stage anew and serves it from the next call on; calls that have begun end with
    /// the old one. While it loads, and when that fails, the old one keeps serving.
    ///
    /// # Errors
    /// What loading gives, and [`ErrorKind::InvalidValue`] when the times of the new stage are in
    /// another unit or its rules name other [events](crate::data::Behaviors), so that the events of
    /// users that are held mean something else, the [table of items](Self::set_items) has none of
    /// its items, or it lacks items that were [added](Self::add_items) and can't take them.
    pub fn reload(&self) -> Result<()> {
        let _span = info_span!("reload").entered();
        let begun = Instant::now();
        let reloaded = self.load_again();
        let seconds = begun.elapsed().as_secs_f64();
        match &reloaded {
            Ok(()) => info!(version = self.serving().version, seconds, "reloaded"),
            Err(error) => warn!(
                ?error,
                seconds, "the stage before serves on: it could not be reloaded"
            ),
        }
        reloaded
    }

    fn load_again(&self) -> Result<()> {
        let load = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = |_: &Error| count(&self.counters.failed_reloads);
        let mut loaded = caught("loading", || (self.load)())
            .and_then(|served| self.serving().check_next(served))
            .inspect_err(failed)?;
        let own_items = loaded.data().catalog().len();
        loop {
            // Outside the lock, since that asks for other threads.
            let added = self.added();
            loaded = caught("loading", || added.add_to(loaded)).inspect_err(failed)?;
            let mut latest_load = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            if *latest_load > load {
                // One that was begun later serves already.
                return Ok(());
            }
            if !Arc::ptr_eq(&added, &self.added()) {
                continue;
            }
            let catalog = loaded.data().catalog();
            let items = self.items_for(catalog, &added).inspect_err(failed)?;
            *latest_load = load;
            let version = self.serving().version + 1;
            let serving = Arc::new(Serving::new(loaded, own_items, version, &self.counters));
            serving.set_items(items);
            let old = self.replace(&serving, |_| true);
            self.counters.retain(&serving.names);
            count(&self.counters.reloads);
            // Outside the locks, since it may be the last one to hold it.
            drop(latest_load);
            drop(old);
            return Ok(());
        }
    }

    /// Serves another stage, whose near-line channels are told the last events of those items that
    /// they have not heard of; gives the one before.
    pub(super) fn replace(
        &self,
        serving: &Arc<Serving>,
        is_unheard: impl Fn(&ExternalId) -> bool,
    ) -> Arc<Serving> {
        // Most events are told before any lock is held for long: those that come meanwhile, at the
        // end, together with the change of stages.
        let (told, earlier) = {
            let events = self.events();
            (events.taken, events.last.clone())
        };
        // By each user's own times: by the latest of anybody's, one from a clock that is ahead
        // would keep the events of all others back.
        let tell = |(interaction, segments): &(Interaction, Vec<String>)| {
            let event = serving.event(interaction);
            let is_new = event.is_some_and(|event| !serving.holds_later(interaction, event.event));
            if is_unheard(&interaction.item) && is_new {
                serving.observe(interaction, segments);
            }
        };
        earlier.iter().for_each(tell);
        let events = self.events();
        let since = events.taken.saturating_sub(told) as usize;
        let last = events.last.iter();
        last.skip(events.last.len().saturating_sub(since))
            .for_each(tell);
        let mut current = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, serving.clone())
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
