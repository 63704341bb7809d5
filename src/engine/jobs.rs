//! The jobs of a call, each within its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::recall::{Candidate, FusedCandidate};

use super::RecallEngine;
use super::answers::Answers;
use super::call::Call;
use super::guard::guarded;
use super::request::Outcome;
use super::workers::State;

/// Longer than any call can wait, and short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(86_400);

impl RecallEngine {
    /// The k items that the rules for diversity choose, or the first k where they take too long.
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
    pub(super) fn fill(
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
        let answered: Vec<bool> = (outcomes.iter())
            .map(|(_, outcome)| matches!(outcome, Outcome::Answered { .. }))
            .collect();
        let fill = move |call: &Call| call.fill(&given, &answered);
        let filled = self.within_budget(call, stage.names().len(), fill);
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
    pub(super) fn within_budget<T: Send + 'static>(
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

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
