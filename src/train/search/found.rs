//! The result of a search.

use std::fmt;

use serde::Serialize;

use super::effect::Effect;
use super::trial::{Trial, epochs as in_words};
use crate::eval::Metric;
use crate::{ErrorKind, Result};

/// The result of a [`Search`](super::Search). It is written as a screen for a reader, and with all
/// settings as JSON.
///
/// The best of many trials looks better on validation users than it is: what it reaches is said by
/// the test users alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SearchReport {
    /// The metric that trials were compared by.
    pub metric: Metric,
    /// The number of validation users.
    pub users: usize,
    /// The largest number of epochs of each round, and the number of its trials.
    pub rounds: Vec<(usize, usize)>,
    /// All trials: the best first, those that later rounds left out after those they kept, and
    /// failures last.
    pub trials: Vec<Trial>,
    /// The settings that were searched, what mattered most first.
    pub effects: Vec<Effect>,
}

/// The numbers of lines that are shown.
const SHOWN_TRIALS: usize = 5;
const SHOWN_EFFECTS: usize = 8;
const SHOWN_FAILURES: usize = 3;

impl SearchReport {
    pub(super) fn new(
        metric: Metric,
        users: usize,
        rounds: Vec<(usize, usize)>,
        trials: Vec<Trial>,
        effects: Vec<Effect>,
    ) -> Result<Self> {
        let is_failed = |trial: &Trial| trial.error.is_some();
        if trials.iter().all(is_failed) {
            let first = trials.iter().find_map(|trial| trial.error.as_deref());
            let reason = format!(
                "all {} trials failed, the first one since: {}",
                trials.len(),
                first.unwrap_or("there is none")
            );
            return Err(ErrorKind::NothingLeft { reason }.into());
        }
        Ok(Self {
            metric,
            users,
            rounds,
            trials,
            effects,
        })
    }

    /// The best trial.
    pub fn best(&self) -> &Trial {
        &self.trials[0]
    }
}

impl fmt::Display for SearchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metric, users) = (self.metric, self.users);
        write!(f, "{metric} of {users} validation users")?;
        for (place, (epochs, trials)) in self.rounds.iter().enumerate() {
            let before = if place == 0 { ": " } else { ", then " };
            write!(f, "{before}{trials} trials of {}", in_words(*epochs))?;
        }
        writeln!(f)?;
        let good = self.trials.iter().filter(|trial| trial.error.is_none());
        for (place, trial) in good.take(SHOWN_TRIALS).enumerate() {
            writeln!(f, "{:>3}. {trial}", place + 1)?;
        }
        if !self.effects.is_empty() {
            writeln!(
                f,
                "what mattered in the first round, as a share of the spread:"
            )?;
        }
        for effect in self.effects.iter().take(SHOWN_EFFECTS) {
            writeln!(f, "{effect}")?;
        }
        let failed = || self.trials.iter().filter(|trial| trial.error.is_some());
        match failed().count() {
            0 => {}
            1 => writeln!(f, "1 trial failed:")?,
            count => writeln!(f, "{count} trials failed, among them:")?,
        }
        for trial in failed().take(SHOWN_FAILURES) {
            writeln!(f, "     {trial}")?;
        }
        Ok(())
    }
}
