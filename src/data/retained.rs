//! Interactions of which only some rows are kept.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::id::ExternalId;
use super::interactions::{Interactions, NO_EVENT};
use crate::{ErrorKind, Result};

impl Interactions {
    /// Keeps the rows whose number `keep` takes.
    pub(super) fn keep_rows(&mut self, keep: impl Fn(usize) -> bool) {
        let keep: Vec<bool> = (0..self.len()).map(keep).collect();
        self.retain(&keep);
    }

    /// Keeps the rows whose event type is one of `events`, such as `["view", "buy"]`, and says how
    /// many these are. Rows without an event type are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] with the event types that there are when no row has one of
    /// `events`; all rows stay then.
    pub fn retain_events(&mut self, events: &[&str]) -> Result<usize> {
        let events: Vec<ExternalId> = events.iter().map(|&event| event.into()).collect();
        self.retain_event_ids(&events)
    }

    /// The same for event types as tables hold them.
    pub(super) fn retain_event_ids(&mut self, events: &[ExternalId]) -> Result<usize> {
        let wanted: Vec<bool> = (self.events.ids().iter())
            .map(|id| events.contains(id))
            .collect();
        let keep: Vec<bool> = (0..self.len())
            .map(|row| {
                let number = self.event.get(row).copied().unwrap_or(NO_EVENT);
                wanted.get(number as usize).copied().unwrap_or(false)
            })
            .collect();
        if !keep.contains(&true) {
            let there_are = self.event_types();
            return Err(ErrorKind::NothingLeft {
                reason: format!(
                    "no event type is one of {}; there are {there_are}",
                    listed(events)
                ),
            }
            .into());
        }
        Ok(self.retain(&keep))
    }

    /// The most frequent event types, each with the number of its rows.
    pub(super) fn event_types(&self) -> String {
        const SHOWN: usize = 20;
        let mut counts = vec![0usize; self.events.len()];
        for &event in &self.event {
            if let Some(count) = counts.get_mut(event as usize) {
                *count += 1;
            }
        }
        let without = self.len() - counts.iter().sum::<usize>();
        let mut types: Vec<_> = (counts.into_iter().zip(self.events.ids()))
            .filter(|&(count, _)| count > 0)
            .collect();
        types.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
        let more = types.len().saturating_sub(SHOWN);
        let types = types.iter().take(SHOWN);
        let mut said: Vec<String> = types
            .map(|(count, event)| format!("{event}: {count}"))
            .collect();
        if more > 0 {
            said.push(format!("{more} more"));
        }
        if without > 0 || said.is_empty() {
            said.push(format!("without one: {without}"));
        }
        said.join(", ")
    }

    /// Keeps the rows of some times, and says how many these are.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] with the range of the times that there are when none of them is
    /// kept; all rows stay then.
    pub fn retain_times(&mut self, keep: impl Fn(f64) -> bool) -> Result<usize> {
        let keep: Vec<bool> = self.time.iter().map(|&time| keep(time)).collect();
        if !keep.contains(&true) {
            let first = self.time.iter().copied().fold(f64::INFINITY, f64::min);
            let last = self.time.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let rows = self.len();
            return Err(ErrorKind::NothingLeft {
                reason: format!("no time is kept; those of {rows} rows are from {first} to {last}"),
            }
            .into());
        }
        Ok(self.retain(&keep))
    }

    fn retain(&mut self, keep: &[bool]) -> usize {
        retain_rows(&mut self.user, keep);
        retain_rows(&mut self.item, keep);
        retain_rows(&mut self.time, keep);
        retain_rows(&mut self.value, keep);
        retain_rows(&mut self.event, keep);
        self.len()
    }
}

/// Ids in quotes.
fn listed(ids: &[ExternalId]) -> String {
    let quoted = ids.iter().map(|id| format!("{:?}", id.to_string()));
    format!("[{}]", quoted.collect::<Vec<_>>().join(", "))
}

#[expect(
    clippy::expect_used,
    reason = "a column has a row for each, or none at all"
)]
fn retain_rows<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| *keep.next().expect("columns are of equal length"));
}
