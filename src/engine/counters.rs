//! What an engine counts while it serves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::recall::recalled::Outcome;

/// What an engine counted since it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// Calls that were answered.
    pub calls: u64,
    /// Calls that were refused as invalid.
    pub refused: u64,
    /// Events that were taken.
    pub events: u64,
    /// Events whose item was not in the catalog.
    pub unknown_events: u64,
    /// Stages that were loaded, the first one not counted.
    pub reloads: u64,
    /// Loads that failed, after which the old stage went on serving.
    pub failed_reloads: u64,
    /// Users of whom events are held.
    pub users: usize,
    /// Which stage serves.
    pub version: u64,
    /// Threads that run channels, those that are stuck included.
    pub threads: usize,
    /// How many jobs wait for a thread.
    pub queued: usize,
    /// What became of each channel of the stage that serves, by name, and of earlier ones' that
    /// still keep a thread.
    pub channels: BTreeMap<Arc<str>, ChannelStatistics>,
}

/// A line for the engine, and one for each channel.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls, {} refused, {} events of {} users, {} of unknown items; stage {}, {} reloads, {} failed; {} threads, {} jobs queued",
            self.calls,
            self.refused,
            self.events,
            self.users,
            self.unknown_events,
            self.version,
            self.reloads,
            self.failed_reloads,
            self.threads,
            self.queued
        )?;
        for (name, channel) in &self.channels {
            write!(f, "\n{name}: {channel}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ChannelStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            answered,
            empty,
            late,
            busy,
            failed,
            microseconds,
        } = self;
        let milliseconds = *microseconds as f64 / 1e3 / (answered + empty).max(1) as f64;
        write!(
            f,
            "{answered} answered, {empty} empty, {late} timed out, {busy} not asked, {failed} failed, \
             {milliseconds:.2} ms each"
        )
    }
}

/// What became of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// Calls in which it gave candidates.
    pub answered: u64,
    /// Calls in which it had nothing to say.
    pub empty: u64,
    /// Calls in which it was late.
    pub late: u64,
    /// Calls in which it was not asked, since it was busy.
    pub busy: u64,
    /// Calls in which it failed.
    pub failed: u64,
    /// How long it took in all where it answered, the wait for a thread not counted, in
    /// microseconds.
    pub microseconds: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub calls: AtomicU64,
    pub refused: AtomicU64,
    pub events: AtomicU64,
    pub unknown_events: AtomicU64,
    pub reloads: AtomicU64,
    pub failed_reloads: AtomicU64,
    /// How many fallbacks that ask channels which gave nothing keep a thread though no one waits
    /// for them any more.
    pub asking: Arc<AtomicUsize>,
    channels: Mutex<BTreeMap<Arc<str>, Arc<ChannelCounters>>>,
}

#[derive(Default)]
pub(super) struct ChannelCounters {
    answered: AtomicU64,
    empty: AtomicU64,
    late: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
    microseconds: AtomicU64,
    /// How many of its jobs keep a thread though no one waits for them any more.
    pub stuck: Arc<AtomicUsize>,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// The counters of the channel of a name, which are kept from stage to stage.
    pub(super) fn channel(&self, name: &Arc<str>) -> Arc<ChannelCounters> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(name.clone()).or_default().clone()
    }

    /// Forgets channels that are in no stage any more and keep no thread.
    pub(super) fn retain(&self, names: &[Arc<str>]) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|name, counters| {
            names.contains(name) || counters.stuck.load(Ordering::Relaxed) > 0
        });
    }

    pub(super) fn channels(&self) -> BTreeMap<Arc<str>, ChannelStatistics> {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        (channels.iter())
            .map(|(name, counters)| (name.clone(), counters.statistics()))
            .collect()
    }
}

impl ChannelCounters {
    pub(super) fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Answered {
                candidates,
                milliseconds,
                ..
            } => {
                count(if *candidates > 0 {
                    &self.answered
                } else {
                    &self.empty
                });
                let microseconds = (milliseconds * 1e3) as u64;
                self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
            }
            Outcome::Late => count(&self.late),
            Outcome::Busy => count(&self.busy),
            Outcome::Failed { .. } => count(&self.failed),
        }
    }

    fn statistics(&self) -> ChannelStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ChannelStatistics {
            answered: read(&self.answered),
            empty: read(&self.empty),
            late: read(&self.late),
            busy: read(&self.busy),
            failed: read(&self.failed),
            microseconds: read(&self.microseconds),
        }
    }
}
