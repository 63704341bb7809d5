//! Interactions whose events have a meaning.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;

use super::behaviors::{Behaviors, OfName, Role};
use super::event::Event;
use super::interactions::{Interactions, NO_EVENT};
use crate::{Error, Result};

impl Interactions {
    /// These interactions with the meaning of their events, and without those that it ignores. A
    /// [`Dataset`](super::Dataset) of them has each event's type and value in its sequences.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when no rule names some of the
    /// events: how many, and which types there are.
    pub fn with_behaviors(mut self, behaviors: &Behaviors) -> Result<Self> {
        self.behaviors = Some(Arc::new(behaviors.clone()));
        let kept = match self.coded()? {
            Some(coded) => {
                let is_kept = |row| coded.event(row).is_some();
                (0..self.len()).map(is_kept).collect::<Vec<bool>>()
            }
            None => return Ok(self),
        };
        if kept.contains(&false) {
            self.keep_rows(|row| kept.get(row).copied().unwrap_or(false));
        }
        Ok(self)
    }

    /// What is kept of each row's event, where events have a meaning.
    ///
    /// # Errors
    /// As [`with_behaviors`](Self::with_behaviors), of rows that came after it.
    pub(super) fn coded(&self) -> Result<Option<Coded<'_>>> {
        let Some(behaviors) = &self.behaviors else {
            return Ok(None);
        };
        let coded = Coded::new(self, behaviors);
        let unnamed = (0..self.len()).filter(|&row| coded.any(row).is_none());
        match unnamed.count() {
            0 => Ok(Some(coded)),
            count => {
                let value = format!("{count} of {} rows", self.len());
                let reason = format!(
                    "no rule of {:?} names them; there are {}; add a rule for each type, or `*=ignored` \
                     for all that are left",
                    behaviors.to_string(),
                    self.event_types()
                );
                Err(Error::invalid("behaviors", value, reason))
            }
        }
    }

    /// What each row [adds](Behaviors::adds) to whatever counts its item; nothing where no rule
    /// names its event.
    pub(crate) fn weights_by<'a>(
        &'a self,
        behaviors: &'a Behaviors,
    ) -> impl Fn(usize) -> Option<f32> + use<'a> {
        let coded = Coded::new(self, behaviors);
        move |row| behaviors.adds(coded.any(row)?)
    }
}

/// The events of a log as sequences keep them.
#[derive(Debug)]
pub(super) struct Coded<'a> {
    log: &'a Interactions,
    behaviors: &'a Behaviors,
    /// The rules for each type of event.
    of_events: Vec<OfName<'a>>,
    /// Those for rows without a type.
    without: OfName<'a>,
}

impl<'a> Coded<'a> {
    fn new(log: &'a Interactions, behaviors: &'a Behaviors) -> Self {
        let names = log.events.ids().iter().map(ToString::to_string);
        Self {
            of_events: names.map(|name| behaviors.of_name(Some(&name))).collect(),
            without: behaviors.of_name(None),
            log,
            behaviors,
        }
    }

    fn any(&self, row: usize) -> Option<Event> {
        let number = self.log.event.get(row).copied().unwrap_or(NO_EVENT);
        let rules = self.of_events.get(number as usize).unwrap_or(&self.without);
        rules.event(self.log.value(row))
    }

    /// What is kept of a row's event, or `None` where it is ignored.
    pub(super) fn event(&self, row: usize) -> Option<Event> {
        let event = self.any(row)?;
        (self.behaviors.role(event) != Role::Ignored).then_some(event)
    }
}
