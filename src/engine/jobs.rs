//! The jobs of a call, each within its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::recall::recalled::Outcome;
use crate::recall::{Candidate, FusedCandidate};

use super::RecallEngine;
use super::answers::Answers;
use super::call::Call;
use super::guard::guarded;
use super::workers::{JobProgress, Stuck};

/// Longer than any call can wait, and short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(86_400);

impl RecallEngine {
    /// The k items that the rules for diversity choose, or the first k where they take too long.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a place for each channel, the fallback and the selection"
    )]
    pub(super) fn select(
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
        let selection = stage.names().len() + 1;
        let stuck = &call.serving.stuck[selection];
        let selected = self.until(self.deadline(1), call, stuck, move |call| {
            let stage = &call.serving.served.stage;
            Ok(stage.select(Arc::unwrap_or_clone(given), call.asked.k))
        });
        selected.unwrap_or_else(|outcome| {
            outcomes.push((selection, outcome));
            let mut first = Arc::unwrap_or_clone(among);
            first.truncate(call.asked.k);
            first
        })
    }

    /// A list filled up to k by the fallback, if that is there in time.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a place for each channel, the fallback and the selection"
    )]
    pub(super) fn fill(
        &self,
        call: &Arc<Call>,
        fused: Vec<FusedCandidate>,
        outcomes: &mut Vec<(usize, Outcome)>,
    ) -> Vec<FusedCandidate> {
        let stage = &call.serving.served.stage;
        if fused.len() >= call.asked.k || !stage.has_fallback() {
            return fused;
        }
        let fused = Arc::new(fused);
        let fallback = stage.names().len();
        let job = |asked: Vec<bool>| {
            let given = fused.clone();
            move |call: &Call| call.fill(&given, &asked)
        };
        let answered: Vec<bool> = (outcomes.iter().take(fallback))
            .map(|(_, outcome)| matches!(outcome, Outcome::Answered { .. }))
            .collect();
        let deadline = self.deadline(1);
        let mut filled = Err(Outcome::Busy);
        if answered.contains(&false) {
            // What was removed from an index is left out also where the channel that searches it
            // gave nothing, unless it can't be asked either: on its own, so that one which hangs
            // keeps nobody waiting for the fallback, and within half of the time.
            let all = job(vec![true; fallback]);
            filled = self.until(self.deadline(2), call, &call.serving.asking, all);
        }
        if filled.is_err() {
            filled = self.until(deadline, call, &call.serving.stuck[fallback], job(answered));
        }
        let mut fused = Arc::unwrap_or_clone(fused);
        match filled {
            Ok(more) => fused.extend(more),
            Err(outcome) => outcomes.push((fallback, outcome)),
        }
        fused
    }

    /// When a job must be done that may take one of so many parts of the usual budget.
    fn deadline(&self, parts: u32) -> Instant {
        Instant::now() + self.settings.budget.min(FOREVER) / parts
    }

    /// What a job of a call gives on a worker in time, or what became of it.
    fn until<T: Send + 'static>(
        &self,
        deadline: Instant,
        call: &Arc<Call>,
        stuck: &Arc<Stuck>,
        job: impl FnOnce(&Call) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Outcome> {
        if !stuck.is_free(self.settings.threads) {
            return Err(Outcome::Busy);
        }
        let answers = Arc::new(Answers::new(std::iter::once(true)));
        let (call, place) = (call.clone(), answers.clone());
        let state = self.workers.submit(stuck, move || {
            let given = guarded(|| job(&call));
            // Let go before the call can end, so that workers do not hold an old stage.
            drop(call);
            place.put(0, given);
        });
        if !answers.wait_until(deadline) && answers.give_up(0) {
            self.workers.give_up(&state);
        }
        match answers.take().pop().flatten() {
            Some(Ok(given)) => Ok(given),
            Some(Err(reason)) => Err(Outcome::Failed { reason }),
            None => Err(Outcome::Late),
        }
    }

    /// What every channel gives, or that it gave nothing in time.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a place for each channel of the stage"
    )]
    pub(super) fn ask_channels(
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
        let mut waiting: Vec<(usize, Instant, Arc<JobProgress>)> = (0..channels)
            .filter(|&channel| free[channel])
            .map(|channel| {
                let budget = stage.budget_of(channel).unwrap_or(self.settings.budget);
                let (call, answers) = (call.clone(), answers.clone());
                let state = self.workers.submit(&stuck[channel], move || {
                    let begun = Instant::now();
                    let given = call.ask(channel);
                    let times = (begun.elapsed(), begun.duration_since(called));
                    // Let go before the call can end, so that workers do not hold an old stage.
                    drop(call);
                    answers.put(channel, (given, times));
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
                Some((Ok(list), (took, waited))) => {
                    outcomes[channel] = Outcome::Answered {
                        candidates: list.len(),
                        milliseconds: milliseconds(took),
                        waited_milliseconds: milliseconds(waited),
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

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
