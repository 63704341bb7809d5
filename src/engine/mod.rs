//! One call that serves the whole recall stage, while models change and events stream in.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod answers;
mod counters;
mod request;
mod settings;
mod users;
mod workers;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::data::{Catalog, ExternalId, History, Interaction, ItemIndex, TimeUnit};
use crate::index::{Filter, ItemSet};
use crate::recall::{
    Candidate, FALLBACK, FusedCandidate, Reason, RecallChannel, SELECTION, UserContext,
};
use crate::store::{ModelRegistry, ServedStage};
use crate::{Error, Result};

use answers::Answers;
use counters::{ChannelCounters, Counters, count};
use request::{Predicate, Who};
use settings::check_count;
use users::{Recent, Users};
use workers::{State, Stuck, Workers};

pub use counters::{ChannelStatistics, Statistics};
pub use request::{
    Because, ChannelReport, FoundBy, Observed, Outcome, RecallRequest, Recalled, RecalledItem,
};
pub use settings::EngineConfig;

/// Recalls items for users: all channels of a stage in parallel, each within its time, fused into
/// one list.
///
/// Calls, events and reloads may come from any number of threads at once. A call sees one stage
/// from beginning to end, also while another is loaded; what a user did counts from the next call
/// on.
///
/// ```
/// use seqrec::data::Interaction;
/// use seqrec::engine::{EngineConfig, Observed, RecallEngine, RecallRequest};
/// use seqrec::prelude::*;
/// use seqrec::channels::PopularityConfig;
/// use seqrec::recall::Fusion;
/// use seqrec::store::{ChannelKind, PlannedChannel, StageData, StagePlan};
///
/// // A trained run with a stage beside it.
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate();
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
/// let config = Gru4RecConfig::new().with_dim(8);
/// let model = config.init::<Flex>(split.catalog().len(), 1, &Default::default())?;
/// let run = Run::<Flex, _> { config, model, catalog: split.catalog().clone() };
/// let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
///     .channel("gru4rec", ChannelKind::Model)
///     .channel("markov", ChannelKind::MarkovChain);
/// plan.fallback = Some(ChannelKind::Popularity { settings: PopularityConfig::new() });
/// let data = StageData::new(&dataset, split.train.clone(), split.catalog().clone())?;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("run");
/// plan.save(&path, &run, data, &Default::default())?;
///
/// // Serving it.
/// let engine = RecallEngine::open::<Flex>(&path, Default::default(), EngineConfig::default())?;
/// let recalled = engine.recall("17", 10)?;
/// assert_eq!(recalled.items.len(), 10);
/// let event = Interaction::new("newcomer", recalled.items[0].id.clone(), engine.time_unit().now());
/// assert_eq!(engine.observe(&event, &[])?, Observed::Taken);
/// let recalled = engine.recall_for(&RecallRequest::of_user("newcomer", 10).seen(Seen::Keep))?;
/// assert_eq!(recalled.known, 1);
/// engine.reload()?;
/// assert_eq!(engine.recall("newcomer", 10)?.version, 2);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct RecallEngine {
    settings: EngineConfig,
    load: Box<dyn Fn() -> Result<ServedStage> + Send + Sync>,
    serving: RwLock<Arc<Serving>>,
    /// How many loads have begun, and which of them serves, so that a later one is not replaced by an
    /// earlier one. A stage is loaded under no lock, since that asks for other threads.
    loads: AtomicU64,
    loaded: Mutex<u64>,
    users: Users,
    events: Mutex<Events>,
    workers: Workers,
    counters: Counters,
}

/// The last events, for the near-line channels of the next stage.
#[derive(Default)]
struct Events {
    last: VecDeque<(Interaction, Vec<String>)>,
    /// How many there were in all.
    taken: u64,
}

/// A stage that serves, with what is looked up for every call.
struct Serving {
    served: ServedStage,
    version: u64,
    /// One for each channel, one for the fallback, and one for the rules for diversity.
    names: Vec<Arc<str>>,
    counters: Vec<Arc<ChannelCounters>>,
    /// Which channels are beyond their time and still run.
    stuck: Vec<Arc<Stuck>>,
    /// How many bytes the longest id of an item or a user has.
    longest_id: usize,
}

/// A call, as its jobs look at it.
struct Call {
    serving: Arc<Serving>,
    history: Known,
    segments: Vec<String>,
    now: Option<f64>,
    k: usize,
    /// Items that are not to be recalled.
    excluded: ItemSet,
    passes: Option<Predicate>,
}

/// A history by index.
#[derive(Default)]
struct Known {
    items: Vec<ItemIndex>,
    /// One for each item, or none.
    times: Vec<f64>,
    unknown: usize,
}

impl RecallEngine {
    /// Serves the [stage](crate::store::StagePlan::save) of a run folder, with the model on
    /// `device`; [`reload`](RecallEngine::reload) reads the folder again.
    ///
    /// # Errors
    /// As [`ServedStage::load`], and [`Error::InvalidValue`] for an invalid setting.
    pub fn open<B: Backend>(
        path: impl Into<PathBuf>,
        device: B::Device,
        settings: EngineConfig,
    ) -> Result<Self>
    where
        B::Device: Send + Sync,
    {
        Self::open_with(path, ModelRegistry::<B>::builtin(), device, settings)
    }

    /// Serves a run folder whose model may be any of a registry, which may hold your own.
    ///
    /// # Errors
    /// As [`open`](RecallEngine::open).
    pub fn open_with<B: Backend>(
        path: impl Into<PathBuf>,
        models: ModelRegistry<B>,
        device: B::Device,
        settings: EngineConfig,
    ) -> Result<Self>
    where
        B::Device: Send + Sync,
    {
        let path = path.into();
        let load = move || ServedStage::load_with(&path, &models, &device);
        Self::with_loader(load, settings)
    }

    /// Serves what `load` makes, now and at each [`reload`](RecallEngine::reload).
    ///
    /// # Errors
    /// What `load` gives, and [`Error::InvalidValue`] for an invalid setting.
    pub fn with_loader(
        load: impl Fn() -> Result<ServedStage> + Send + Sync + 'static,
        settings: EngineConfig,
    ) -> Result<Self> {
        settings.validate()?;
        let counters = Counters::default();
        let serving = Serving::new(load()?, 1, &counters);
        Ok(Self {
            load: Box::new(load),
            serving: RwLock::new(Arc::new(serving)),
            loads: AtomicU64::new(0),
            loaded: Mutex::new(0),
            users: Users::new(settings.users, settings.history),
            events: Mutex::default(),
            workers: Workers::new(settings.threads)?,
            counters,
            settings,
        })
    }

    /// The k best items for a user, those they took left out. One of whom nothing is known is
    /// answered by the channels that need no history, and the fallback.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when k is 0 or above [`EngineConfig::max_k`], or when the id
    /// is too long. A channel that is late or fails is no error: it is left out and reported.
    pub fn recall(&self, user: impl Into<ExternalId>, k: usize) -> Result<Recalled> {
        self.recall_for(&RecallRequest::of_user(user, k))
    }

    /// The best items for a request.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] with what is beyond the engine's settings.
    pub fn recall_for(&self, request: &RecallRequest) -> Result<Recalled> {
        let called = Instant::now();
        let serving = self.serving();
        if let Err(error) = self.check(request, &serving) {
            count(&self.counters.refused);
            return Err(error);
        }
        let call = Arc::new(self.call(request, serving));
        let (lists, outcomes) = self.ask_channels(&call, called);
        let mut outcomes: Vec<(usize, Outcome)> = outcomes.into_iter().enumerate().collect();
        let stage = &call.serving.served.stage;
        let fused = stage.fuse(&lists, call.k);
        let fused = self.select(&call, fused, &mut outcomes);
        let fused = self.fill(&call, fused, &mut outcomes);
        let serving = &call.serving;
        let reports = outcomes.into_iter().filter_map(|(channel, outcome)| {
            serving.counters.get(channel)?.count(&outcome);
            let name = serving.names.get(channel)?.clone();
            Some(ChannelReport { name, outcome })
        });
        let channels = reports.collect();
        count(&self.counters.calls);
        Ok(Recalled {
            items: fused
                .into_iter()
                .filter_map(|fused| call.outside(fused))
                .collect(),
            known: call.history.items.len(),
            unknown: call.history.unknown,
            channels,
            version: call.serving.version,
        })
    }

    /// Takes notice of something that a user just did: their history has it from the next call on,
    /// and near-line channels soon after. `segments` are those they are in, where they are known.
    ///
    /// The time is in the unit of the stage's data: [`time_unit`](RecallEngine::time_unit). An event
    /// that comes twice, with the same time, counts once in the history; one from before the last
    /// interaction of this user that the stage's data hold is ignored, since they hold it too or
    /// should have. What becomes of it is said. An item that is not in the catalog is kept, since it
    /// may be in the next one.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the time is in another unit or further ahead of the clock than
    /// the settings allow, for a value that is not finite, or with what else is beyond the settings.
    pub fn observe(&self, interaction: &Interaction, segments: &[String]) -> Result<Observed> {
        let serving = self.serving();
        self.check_event(interaction, segments, &serving)?;
        Ok(self.take(interaction, segments, &serving))
    }

    /// The same for several events with their segments, all of them or, where one can't be right,
    /// none.
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
        let unit = serving.served.data.time_unit();
        check_time("time", *time, unit)?;
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
        if serving.holds_later(user, item, *time) {
            return Observed::Older;
        }
        let observed = self.users.add(user, item, *time, segments);
        if observed != Observed::Taken {
            return observed;
        }
        let serving = {
            // Together with what `reload` does, so that no event is missed or told twice.
            let mut events = self.events();
            events.taken += 1;
            events
                .last
                .push_back((interaction.clone(), segments.to_vec()));
            if events.last.len() > self.settings.replayed {
                events.last.pop_front();
            }
            self.serving()
        };
        // The channel of somebody else's that panics here has still heard of it.
        let _ = catch_unwind(AssertUnwindSafe(|| serving.observe(interaction, segments)));
        count(&self.counters.events);
        Observed::Taken
    }

    /// What the times of the stage that serves are in, and so those of events and calls.
    pub fn time_unit(&self) -> TimeUnit {
        self.serving().served.data.time_unit()
    }

    /// Loads the stage anew and serves it from the next call on; calls that have begun end with
    /// the old one. While it loads, and when that fails, the old one goes on serving.
    ///
    /// # Errors
    /// What loading gives, and [`Error::InvalidValue`] when the times of the new stage are in
    /// another unit, in which the events of users that are held mean something else.
    pub fn reload(&self) -> Result<()> {
        let load = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        let loaded = catch_unwind(AssertUnwindSafe(|| (self.load)())).unwrap_or_else(|panic| {
            Err(Error::Thread {
                thread: "loading",
                reason: panic_message(&*panic),
            })
        });
        let mut latest_load = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = self.serving();
        let loaded = loaded.and_then(|served| {
            let units = [&serving.served, &served].map(|served| served.data.time_unit());
            if units[0] == units[1] {
                return Ok(served);
            }
            let reason = format!("the stage that serves is in {}; open it anew", units[0]);
            Err(Error::invalid(
                "time unit of the new stage",
                units[1],
                reason,
            ))
        });
        let served = loaded.inspect_err(|_| count(&self.counters.failed_reloads))?;
        if *latest_load > load {
            // One that was begun later serves already.
            return Ok(());
        }
        *latest_load = load;
        let version = serving.version + 1;
        let serving = Arc::new(Serving::new(served, version, &self.counters));
        // Most events are told before any lock is held for long: those that come meanwhile, at the
        // end, together with the change of stages.
        let (told, earlier) = {
            let events = self.events();
            (events.taken, events.last.clone())
        };
        let latest = serving.latest();
        let tell = |(interaction, segments): &(Interaction, Vec<String>)| {
            if interaction.time > latest {
                serving.observe(interaction, segments);
            }
        };
        earlier.iter().for_each(tell);
        let old = {
            let events = self.events();
            let since = events.taken.saturating_sub(told) as usize;
            let last = events.last.iter();
            last.skip(events.last.len().saturating_sub(since))
                .for_each(tell);
            let mut current = self.serving.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, serving.clone())
        };
        self.counters.retain(&serving.names);
        count(&self.counters.reloads);
        // Outside the locks, since it may be the last one to hold it.
        drop(old);
        Ok(())
    }

    /// What was counted since the engine was opened.
    pub fn statistics(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            calls: read(&self.counters.calls),
            refused: read(&self.counters.refused),
            events: read(&self.counters.events),
            reloads: read(&self.counters.reloads),
            failed_reloads: read(&self.counters.failed_reloads),
            users: self.users.len(),
            version: self.serving().version,
            threads: self.workers.threads(),
            queued: self.workers.queued(),
            channels: self.counters.channels(),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &EngineConfig {
        &self.settings
    }

    /// How many items the stage that serves has.
    pub fn items(&self) -> usize {
        self.serving().served.data.catalog().len()
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serving(&self) -> Arc<Serving> {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        serving.clone()
    }

    fn check(&self, request: &RecallRequest, serving: &Serving) -> Result<()> {
        let settings = &self.settings;
        let unit = serving.served.data.time_unit();
        let check_id = |field, id| settings.check_id(field, id, serving.longest_id);
        settings.check_k(request.k)?;
        match &request.who {
            Who::User(user) => check_id("user", user)?,
            Who::History(history, times) => {
                check_count("history", history.len(), settings.history)?;
                let mut items = history.iter();
                items.try_for_each(|item| check_id("history", item))?;
                let mut times = times.iter();
                times.try_for_each(|&time| check_time("history", time, unit))?;
            }
        }
        settings.check_segments(&request.segments)?;
        check_count("blocked", request.blocked.len(), settings.blocked)?;
        if let Some(now) = request.now {
            check_time("now", now, unit)?;
        }
        let mut blocked = request.blocked.iter();
        blocked.try_for_each(|item| check_id("blocked", item))
    }

    fn call(&self, request: &RecallRequest, serving: Arc<Serving>) -> Call {
        let (history, segments) = match &request.who {
            Who::History(history, times) => (serving.known(history, times), Vec::new()),
            Who::User(user) => serving.history_of(user, self.users.recent(user), &self.settings),
        };
        let catalog = serving.served.data.catalog();
        let blocked = request
            .blocked
            .iter()
            .filter_map(|item| catalog.index_of(item));
        let mut excluded: ItemSet = blocked.collect();
        if request.seen.is_excluded() {
            excluded.extend(history.items.iter().copied());
        }
        Call {
            history,
            segments: if request.segments.is_empty() {
                segments
            } else {
                request.segments.clone()
            },
            now: request.now,
            k: request.k,
            excluded,
            passes: request.passes.clone(),
            serving,
        }
    }

    /// The k items that the rules for diversity choose, or the first k where they take too long.
    fn select(
        &self,
        call: &Arc<Call>,
        fused: Vec<FusedCandidate>,
        outcomes: &mut Vec<(usize, Outcome)>,
    ) -> Vec<FusedCandidate> {
        let stage = &call.serving.served.stage;
        if !stage.selects() {
            return fused;
        }
        let among = Arc::new(fused);
        let given = among.clone();
        let selected = self.within_budget(call, stage.names().len() + 1, move |call| {
            let stage = &call.serving.served.stage;
            Ok(stage.select(Arc::unwrap_or_clone(given), call.k))
        });
        selected.unwrap_or_else(|(channel, outcome)| {
            outcomes.push((channel, outcome));
            let mut first = Arc::unwrap_or_clone(among);
            first.truncate(call.k);
            first
        })
    }

    /// A list filled up to k by the fallback, if that is there in time.
    fn fill(
        &self,
        call: &Arc<Call>,
        fused: Vec<FusedCandidate>,
        outcomes: &mut Vec<(usize, Outcome)>,
    ) -> Vec<FusedCandidate> {
        let stage = &call.serving.served.stage;
        if fused.len() >= call.k || !stage.has_fallback() {
            return fused;
        }
        let fused = Arc::new(fused);
        let given = fused.clone();
        let filled = self.within_budget(call, stage.names().len(), move |call| call.fill(&given));
        let mut fused = Arc::unwrap_or_clone(fused);
        match filled {
            Ok(more) => fused.extend(more),
            Err(problem) => outcomes.push(problem),
        }
        fused
    }

    /// What a job of a call gives on a worker within the usual budget, or its place and what became
    /// of it.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a place for each channel, the fallback and the selection"
    )]
    fn within_budget<T: Send + 'static>(
        &self,
        call: &Arc<Call>,
        channel: usize,
        job: impl FnOnce(&Call) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, (usize, Outcome)> {
        let stuck = &call.serving.stuck[channel];
        if !stuck.is_free(self.settings.threads) {
            return Err((channel, Outcome::Busy));
        }
        let answers = Arc::new(Answers::new(std::iter::once(true)));
        let (call, place) = (call.clone(), answers.clone());
        let state = self.workers.submit(stuck, move || {
            let given = guarded(|| job(&call));
            // Let go before the call can end, so that workers do not hold an old stage.
            drop(call);
            place.put(0, given);
        });
        let deadline = Instant::now() + self.settings.budget.min(FOREVER);
        if !answers.wait_until(deadline) && answers.give_up(0) {
            self.workers.give_up(&state);
        }
        match answers.take().pop().flatten() {
            Some(Ok(given)) => Ok(given),
            Some(Err(reason)) => Err((channel, Outcome::Failed { reason })),
            None => Err((channel, Outcome::Late)),
        }
    }

    /// What every channel gives, or that it gave nothing in time.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a place for each channel of the stage"
    )]
    fn ask_channels(
        &self,
        call: &Arc<Call>,
        called: Instant,
    ) -> (Vec<Vec<Candidate>>, Vec<Outcome>) {
        let stage = &call.serving.served.stage;
        let channels = stage.names().len();
        let mut outcomes = vec![Outcome::Busy; channels];
        let stuck = &call.serving.stuck;
        let free: Vec<bool> = (0..channels)
            .map(|channel| stuck[channel].is_free(self.settings.threads))
            .collect();
        let answers = Arc::new(Answers::new(free.iter().copied()));
        let mut waiting: Vec<(usize, Instant, Arc<State>)> = (0..channels)
            .filter(|&channel| free[channel])
            .map(|channel| {
                let budget = stage.budget_of(channel).unwrap_or(self.settings.budget);
                let (call, answers) = (call.clone(), answers.clone());
                let state = self.workers.submit(&stuck[channel], move || {
                    let given = call.ask(channel);
                    // Let go before the call can end, so that workers do not hold an old stage.
                    drop(call);
                    answers.put(channel, (given, called.elapsed()));
                });
                (channel, called + budget.min(FOREVER), state)
            })
            .collect();
        while let Some(deadline) = waiting.iter().map(|(_, deadline, _)| *deadline).min() {
            if answers.wait_until(deadline) {
                break;
            }
            let now = Instant::now();
            waiting.retain(|(channel, deadline, state)| {
                let over = *deadline <= now;
                if over && answers.give_up(*channel) {
                    self.workers.give_up(state);
                    outcomes[*channel] = Outcome::Late;
                }
                !over
            });
        }
        let mut lists = vec![Vec::new(); channels];
        for (channel, answer) in answers.take().into_iter().enumerate() {
            match answer {
                Some((Ok(list), taken)) => {
                    outcomes[channel] = Outcome::Answered {
                        candidates: list.len(),
                        milliseconds: milliseconds(taken),
                    };
                    lists[channel] = list;
                }
                Some((Err(reason), _)) => outcomes[channel] = Outcome::Failed { reason },
                None => {}
            }
        }
        (lists, outcomes)
    }
}

/// Refuses a time that is not finite, or is in another unit than a stage's data, as far as its size
/// says.
fn check_time(field: &'static str, time: f64, unit: TimeUnit) -> Result<()> {
    if !time.is_finite() {
        return Err(Error::invalid(field, time, "must be a finite number"));
    }
    let found = TimeUnit::of_times(&[time]);
    if unit == TimeUnit::Order || found == unit {
        return Ok(());
    }
    let reason = format!("is no time of these days in {unit}, which the data's times are in");
    Err(Error::invalid(field, time, reason))
}

/// Longer than any call can wait, and short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(86_400);

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What something gives, or why it fails, by an error or a panic.
fn guarded<T>(give: impl FnOnce() -> Result<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(give)) {
        Ok(given) => given.map_err(|error| error.to_string()),
        Err(panic) => Err(panic_message(&*panic)),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "it panicked: {}",
        text.unwrap_or("for a reason it did not say")
    )
}

impl Serving {
    fn new(served: ServedStage, version: u64, counters: &Counters) -> Self {
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
    fn holds_later(&self, user: &ExternalId, item: &ExternalId, time: f64) -> bool {
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
    fn latest(&self) -> f64 {
        let sequences = self.served.data.sequences();
        let last = |user| sequences.history(user).times().last().copied();
        let times = (0..sequences.len()).filter_map(last);
        times.fold(f64::NEG_INFINITY, f64::max)
    }

    fn observe(&self, interaction: &Interaction, segments: &[String]) {
        if let Some(item) = self.served.data.catalog().index_of(&interaction.item) {
            self.served.stage.observe(item, interaction, segments);
        }
    }

    fn known(&self, history: &[ExternalId], times: &[f64]) -> Known {
        let mut known = Known::default();
        for (place, id) in history.iter().enumerate() {
            if known.add(id, self.served.data.catalog()) {
                known.times.extend(times.get(place));
            }
        }
        known
    }

    /// What a user did by the stage's data, and after that by their events; and their segments.
    fn history_of(
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

impl Call {
    fn context(&self) -> UserContext<'_> {
        let Known { items, times, .. } = &self.history;
        // Without a time for each item there is none that can be told apart.
        let history =
            History::with_times(items, times).unwrap_or_else(|_| History::from(items.as_slice()));
        let context = UserContext::from(history).in_segments(&self.segments);
        self.now.map_or(context, |now| context.at(now))
    }

    fn passes(&self, item: ItemIndex) -> bool {
        if self.excluded.contains(item) {
            return false;
        }
        // Padding and what is beyond the catalog have no id, whatever a channel says.
        let id = self.serving.served.data.catalog().id_of(item);
        id.is_some_and(|id| (self.passes.as_ref()).is_none_or(|passes| passes(id)))
    }

    /// What a channel gives, or why it gives nothing.
    fn ask(&self, channel: usize) -> std::result::Result<Vec<Candidate>, String> {
        guarded(|| {
            let passes = |_: usize, item| self.passes(item);
            let filter = Some(Filter::Predicate(&passes));
            let stage = &self.serving.served.stage;
            let candidates = stage.ask(channel, &[self.context()], self.k, filter)?;
            // A channel that looks at no filter is no reason to recall what does not pass.
            let list = candidates.of(0);
            Ok(list
                .filter(|candidate| self.passes(candidate.item))
                .collect())
        })
    }

    /// What fills a list up.
    fn fill(&self, fused: &[FusedCandidate]) -> Result<Vec<FusedCandidate>> {
        let passes = |_: usize, item| self.passes(item);
        let filter = Some(Filter::Predicate(&passes));
        let stage = &self.serving.served.stage;
        let mut more = stage.fill(fused, self.context(), self.k, filter)?;
        let mut there: ItemSet = fused.iter().map(|fused| fused.item).collect();
        more.retain(|fused| self.passes(fused.item) && there.insert(fused.item));
        more.truncate(self.k.saturating_sub(fused.len()));
        Ok(more)
    }

    /// An item as the outside knows it.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a name for each channel, the fallback and the selection"
    )]
    fn outside(&self, fused: FusedCandidate) -> Option<RecalledItem> {
        let data = &self.serving.served.data;
        let id = |item| data.catalog().id_of(item).cloned();
        let because = |reason| match reason {
            Reason::Popular => Because::Popular,
            Reason::Segment(place) => Because::Segment(
                self.segments
                    .get(place as usize)
                    .cloned()
                    .unwrap_or_default(),
            ),
            Reason::Item(item) => id(item).map_or(Because::Taste, Because::Item),
            Reason::User(_) => Because::SimilarUser,
            Reason::Tag(tag) => {
                let names = data.tags().map_or(&[][..], |tags| tags.names());
                Because::Tag(names.get(tag as usize).cloned().unwrap_or_default())
            }
            Reason::Taste => Because::Taste,
        };
        let found = fused.found.into_iter().map(|found| FoundBy {
            channel: self.serving.names[found.channel].clone(),
            rank: found.rank,
            score: found.score,
            because: because(found.reason),
        });
        Some(RecalledItem {
            id: id(fused.item)?,
            score: fused.score,
            found: found.collect(),
        })
    }
}

impl std::fmt::Debug for RecallEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecallEngine")
            .field("settings", &self.settings)
            .field("stage", &self.serving().served.stage)
            .finish_non_exhaustive()
    }
}
