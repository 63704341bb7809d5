//! The engine itself: calls, events and loads, each on the stage that serves at its time.

use super::EngineConfig;
use super::call::Call;
use super::counters::Statistics;
use super::counters::{Counters, count};
use super::events::Events;
use super::guard::caught;
use super::new_items::AddedItems;
use super::serving::Serving;
use super::settings::check_count;
use super::users::RecentUsers;
use super::workers::Workers;
use crate::Result;
use crate::backend::Backend;
use crate::data::{ExternalId, Items, TimeUnit, check_times};
use crate::recall::recalled::{ChannelReport, Outcome};
use crate::recall::{Asked, RecallRequest, Recalled, Who};
use crate::store::{ModelRegistry, ServedStage};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use tracing::{debug_span, warn};

/// Recalls items for users: all channels of a stage in parallel, each within its time, fused into
/// one list.
///
/// Calls, events and reloads may come from any number of threads at once. A call sees one stage
/// from beginning to end, also while another is loaded; what a user did counts from the next call
/// on.
///
/// ```
/// use seqrec::data::Interaction;
/// use seqrec::engine::{EngineConfig, Observed, RecallEngine};
/// use seqrec::prelude::*;
/// use seqrec::channels::{MarkovChainConfig, PopularityConfig};
/// use seqrec::recall::{Fusion, RecallRequest, VectorChannelConfig};
/// use seqrec::store::StagePlan;
///
/// // A trained run with a stage beside it.
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
/// let config = Gru4RecConfig::new().with_dim(8);
/// let model = config.init::<Flex>(split.catalog().len(), 1, &Default::default())?;
/// let run = Run::<Flex, _>::new(config, model, split.catalog().clone());
/// let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
///     .channel("gru4rec", VectorChannelConfig::new())
///     .channel("markov", MarkovChainConfig::new())
///     .fallback(PopularityConfig::new());
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("run");
/// plan.save(&path, &run.into(), split.train.clone())?;
///
/// // Serving it.
/// let engine = RecallEngine::open::<Flex>(&path, Default::default(), EngineConfig::default())?;
/// let recalled = engine.recall("17", 10)?;
/// assert_eq!(recalled.items.len(), 10);
/// let event = Interaction::new("newcomer", recalled.items[0].id.clone(), engine.time_unit().now());
/// assert_eq!(engine.observe(&event, &[])?, Observed::Taken);
/// let recalled = engine.recall_for(&RecallRequest::for_user("newcomer", 10).seen(Seen::Keep))?;
/// assert_eq!(recalled.known, 1);
/// engine.reload()?;
/// assert_eq!(engine.recall("newcomer", 10)?.version, 2);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct RecallEngine {
    pub(super) settings: EngineConfig,
    pub(super) load: Box<dyn Fn() -> Result<ServedStage> + Send + Sync>,
    pub(super) serving: RwLock<Arc<Serving>>,
    /// How many loads have begun, and which of them serves, so that a later one is not replaced by
    /// an earlier one. A stage is loaded under no lock, since that asks for other threads.
    pub(super) loads: AtomicU64,
    pub(super) loaded: Mutex<u64>,
    /// The table of items that each stage is served with.
    pub(super) items: Mutex<Option<Arc<Items>>>,
    /// The items that each stage is served with beside its own.
    pub(super) added: Mutex<Arc<AddedItems>>,
    pub(super) users: RecentUsers,
    pub(super) events: Mutex<Events>,
    pub(super) workers: Workers,
    pub(super) counters: Counters,
}

impl RecallEngine {
    /// Serves the [stage](crate::store::StagePlan::save) of a run folder, with the model on
    /// `device`; [`reload`](RecallEngine::reload) reads the folder again.
    ///
    /// # Errors
    /// As [`ServedStage::load`], and [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue)
    /// for an invalid setting.
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
    /// What `load` gives, [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for an
    /// invalid setting and for a stage whose channels all weigh 0, and
    /// [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) for one without channels and a
    /// fallback.
    pub fn with_loader(
        load: impl Fn() -> Result<ServedStage> + Send + Sync + 'static,
        settings: EngineConfig,
    ) -> Result<Self> {
        settings.validate()?;
        let counters = Counters::default();
        let served = load()?;
        served.stage.check()?;
        let items = served.data().catalog().len();
        let serving = Serving::new(served, items, 1, &counters);
        Ok(Self {
            load: Box::new(load),
            serving: RwLock::new(Arc::new(serving)),
            loads: AtomicU64::new(0),
            loaded: Mutex::new(0),
            items: Mutex::default(),
            added: Mutex::default(),
            users: RecentUsers::new(&settings),
            events: Mutex::default(),
            workers: Workers::new(settings.threads)?,
            counters,
            settings,
        })
    }

    /// The k best items for a user, without those they took: by the stage's data all of them, and
    /// as many of later events as [`EngineConfig::seen`] says. One of whom nothing is known is
    /// answered by the channels that need no history, and the fallback.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when k is 0 or above
    /// [`EngineConfig::max_k`], or when the id is too long. A channel that is late or fails is no
    /// error: it is left out and reported.
    pub fn recall(&self, user: impl Into<ExternalId>, k: usize) -> Result<Recalled> {
        self.recall_for(&RecallRequest::for_user(user, k))
    }

    /// The best items for a request.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) with what is beyond the engine's
    /// settings.
    pub fn recall_for(&self, request: &RecallRequest) -> Result<Recalled> {
        let called = Instant::now();
        let _span = debug_span!("recall", k = request.k).entered();
        let serving = self.serving();
        let call = (self.check(request, &serving))
            .and_then(|()| caught("filtering", || self.call(request, serving)))
            .inspect_err(|_| count(&self.counters.refused))?;
        let call = Arc::new(call);
        let (lists, outcomes) = self.ask_channels(&call, called);
        let mut outcomes: Vec<(usize, Outcome)> = outcomes.into_iter().enumerate().collect();
        let stage = &call.serving.served.stage;
        let fused = stage.fuse(&lists, call.asked.k)?;
        let fused = self.select(&call, fused, &mut outcomes);
        let fused = self.fill(&call, fused, &mut outcomes);
        let serving = &call.serving;
        let reports = outcomes.into_iter().filter_map(|(channel, outcome)| {
            serving.counters.get(channel)?.count(&outcome);
            let name = serving.names.get(channel)?.clone();
            if !matches!(outcome, Outcome::Answered { .. }) {
                warn!(channel = &*name, %outcome, "a channel is left out");
            }
            Some(ChannelReport { name, outcome })
        });
        let channels = reports.collect();
        if fused.is_empty() {
            let passes = call.check_empty();
            passes.inspect_err(|_| count(&self.counters.refused))?;
        }
        count(&self.counters.calls);
        Ok(Recalled {
            items: call.outside(fused),
            passing: call.asked.passing(),
            known: call.asked.user.items.len(),
            unknown: call.asked.user.unknown,
            channels,
            version: call.serving.version,
        })
    }

    /// What channels see of a user: their last items that the catalog has, with the times, the
    /// oldest first. They are as many as [`EngineConfig::history`] at most, and none of a user of
    /// whom nothing is known.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the id is too long.
    pub fn history(&self, user: impl Into<ExternalId>) -> Result<Vec<(ExternalId, f64)>> {
        let request = RecallRequest::for_user(user, 1);
        let serving = self.serving();
        self.check(&request, &serving)?;
        let call = self.call(&request, serving)?;
        let (catalog, user) = (call.serving.data().catalog(), &call.asked.user);
        let items = user.items.iter().zip(&user.times);
        let named = items.filter_map(|(&item, &time)| Some((catalog.id_of(item)?.clone(), time)));
        Ok(named.collect())
    }

    /// What the times of the stage that serves are in, and so those of events and calls.
    pub fn time_unit(&self) -> TimeUnit {
        self.serving().served.data.time_unit()
    }

    /// What was counted since the engine was opened.
    pub fn statistics(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            calls: read(&self.counters.calls),
            refused: read(&self.counters.refused),
            events: read(&self.counters.events),
            unknown_events: read(&self.counters.unknown_events),
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
        self.serving().data().catalog().len()
    }

    pub(super) fn serving(&self) -> Arc<Serving> {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        serving.clone()
    }

    pub(super) fn check(&self, request: &RecallRequest, serving: &Serving) -> Result<()> {
        let settings = &self.settings;
        let check_id = |field, id| settings.check_id(field, id, serving.longest_id);
        settings.check_k(request.k)?;
        match &request.who {
            // Which says below that an engine answers one user at a time.
            Who::Everyone => {}
            Who::User(user) => check_id("user", user)?,
            Who::History(history, times) => {
                let most = settings.history.saturating_add(settings.seen);
                check_count("history", history.len(), most)?;
                let mut items = history.iter();
                items.try_for_each(|item| check_id("history", item))?;
                (times.iter()).try_for_each(|&time| serving.check_time("history", time))?;
                check_times("history", times)?;
            }
        }
        settings.check_segments(&request.segments)?;
        let mut features = request.features.iter().flatten();
        features.try_for_each(|(name, _)| settings.check_text("features", name))?;
        check_count("blocked", request.blocked.len(), settings.blocked)?;
        let only = request.only.as_deref().unwrap_or_default();
        check_count("only", only.len(), settings.blocked)?;
        only.iter().try_for_each(|item| check_id("only", item))?;
        if let Some(now) = request.now {
            serving.check_time("now", now)?;
        }
        let mut blocked = request.blocked.iter();
        blocked.try_for_each(|item| check_id("blocked", item))
    }

    pub(super) fn call(&self, request: &RecallRequest, serving: Arc<Serving>) -> Result<Call> {
        let settings = &self.settings;
        let catalog = serving.data().catalog();
        let items = serving.items();
        let given = (items.as_deref(), "`RecallEngine::set_items`");
        let mut asked = Asked::new(request, catalog, given, |user, taken| {
            Ok(serving.known_user(user, &self.users, settings, taken))
        })?;
        asked.user.keep_last(settings.history);
        asked.user.now = request.now.or_else(|| serving.clock());
        Ok(Call {
            serving,
            asked,
            items,
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
