//! Interactions as columns: who, what, when, and optionally a value and an event type.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;

use rayon::prelude::*;

use super::behaviors::Behaviors;
use super::column_id::ColumnId;
use super::id::{ExternalId, IdTable, Key, NO_ID};
use super::time_unit::TimeSizes;
use crate::{Error, Result, checks};

/// One row of [`Interactions`], with ids as they came.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Interaction {
    /// The user.
    pub user: ExternalId,
    /// The item.
    pub item: ExternalId,
    /// The time, in the unit of the source (seconds in MovieLens).
    pub time: f64,
    /// A rating, price or weight.
    pub value: Option<f32>,
    /// The type of event, such as `click` or `buy`.
    pub event: Option<String>,
}

impl Interaction {
    /// An interaction with no value and no event type.
    pub fn new(user: impl Into<ExternalId>, item: impl Into<ExternalId>, time: f64) -> Self {
        Self {
            user: user.into(),
            item: item.into(),
            time,
            value: None,
            event: None,
        }
    }

    /// The same with a rating, price or weight.
    #[must_use]
    pub fn with_value(self, value: f32) -> Self {
        let value = Some(value);
        Self { value, ..self }
    }

    /// The same with a type of event, such as `click` or `buy`.
    #[must_use]
    pub fn with_event(self, event: impl Into<String>) -> Self {
        let event = Some(event.into());
        Self { event, ..self }
    }
}

/// Interactions in the order of their source, stored as columns of equal length.
///
/// Users and items are numbered by first appearance; times are in the unit of the source.
/// Rows come from an [`InteractionReader`](super::InteractionReader) or from your own code:
///
/// ```
/// use seqrec::data::{Interaction, Interactions};
///
/// let log: Interactions = [
///     Interaction::new("anna", 10, 1.0),
///     Interaction::new("anna", 11, 2.0),
/// ].into_iter().collect();
/// assert_eq!(log.len(), 2);
/// ```
///
/// or, without an owned id a row, [from columns](Interactions::from_columns).
#[derive(Debug, Clone, Default)]
pub struct Interactions {
    pub(crate) users: IdTable,
    pub(crate) items: IdTable,
    pub(crate) events: IdTable,
    pub(crate) user: Vec<u32>,
    pub(crate) item: Vec<u32>,
    pub(crate) time: Vec<f64>,
    /// Empty when no row has a value, else one per row with NaN for "none".
    pub(crate) value: Vec<f32>,
    /// Empty when no row has an event type, else one per row with `u32::MAX` for "none".
    pub(crate) event: Vec<u32>,
    /// The meaning of the events, where it is known.
    pub(super) behaviors: Option<Arc<Behaviors>>,
    pub(crate) skipped_rows: usize,
    pub(crate) skipped_reasons: Vec<String>,
}

pub(super) const NO_EVENT: u32 = u32::MAX;

impl Interactions {
    /// Interactions from columns of equal length, as databases and Arrow have them.
    ///
    /// ```
    /// use seqrec::data::Interactions;
    ///
    /// let users = ["anna", "anna", "bo"];
    /// let log = Interactions::from_columns(&users, &[10i64, 11, 10], &[1.0, 2.0, 1.5])?
    ///     .with_values(&[5.0, f32::NAN, 3.0])?
    ///     .with_events(&["buy", "view", "buy"])?;
    /// assert_eq!((log.len(), log.value(1)), (3, None));
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when the columns are of different lengths, and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for an empty id, or a time that
    /// is not finite, is in another [unit](super::TimeUnit) than most others, or lies before 1900
    /// or after 2100 where the unit is known.
    pub fn from_columns<U: ColumnId, I: ColumnId>(
        users: &[U],
        items: &[I],
        times: &[f64],
    ) -> Result<Self> {
        checks::same_length("items of a log", users.len(), items.len())?;
        checks::same_length("times of a log", users.len(), times.len())?;
        let mut log = Self::default();
        log.user = users
            .iter()
            .map(|id| log.users.intern_key(id.key()))
            .collect();
        log.item = items
            .iter()
            .map(|id| log.items.intern_key(id.key()))
            .collect();
        log.time = times.to_vec();
        log.check_rows()?;
        log.check_times(TimeSizes::default())?;
        Ok(log)
    }

    /// These interactions with a value each, such as a rating; NaN where a row has none.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when there is not one for each row, and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for an infinite one.
    pub fn with_values(mut self, values: &[f32]) -> Result<Self> {
        checks::same_length("values of a log", self.len(), values.len())?;
        self.value = values.to_vec();
        self.check_rows()?;
        Ok(self)
    }

    /// These interactions with an event type each, such as `click` or `buy`; an empty text where a
    /// row has none.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when there is not one for each row.
    pub fn with_events<E: ColumnId>(mut self, events: &[E]) -> Result<Self> {
        checks::same_length("event types of a log", self.len(), events.len())?;
        self.events = IdTable::default();
        self.event = (events.iter())
            .map(|id| match id.key() {
                Key::Text("") => NO_EVENT,
                key => self.events.intern_key(key),
            })
            .collect();
        Ok(self)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }

    /// The users, by the number that [`Interactions::user_numbers`] uses.
    pub fn users(&self) -> &[ExternalId] {
        self.users.ids()
    }

    /// The items, by the number that [`Interactions::item_numbers`] uses.
    pub fn items(&self) -> &[ExternalId] {
        self.items.ids()
    }

    /// Each row's user.
    pub fn user_numbers(&self) -> &[u32] {
        &self.user
    }

    /// Each row's item.
    pub fn item_numbers(&self) -> &[u32] {
        &self.item
    }

    /// Each row's time, in the unit of the source.
    pub fn times(&self) -> &[f64] {
        &self.time
    }

    /// How many rows of the source were left out because they could not be read
    /// (see [`BadRows::Skip`](super::BadRows::Skip)). A line of a sequence file is one row here:
    /// with an id that can't be read, all of its items are left out.
    pub fn skipped_rows(&self) -> usize {
        self.skipped_rows
    }

    /// Why rows of the source were left out: how many for each reason, the most frequent one first,
    /// and the first of them with its line, as in `2 rows, the first: log.csv:3: value is "2,5",
    /// expected a number`.
    pub fn skipped_reasons(&self) -> &[String] {
        &self.skipped_reasons
    }

    /// The value of a row, if it has one.
    pub fn value(&self, row: usize) -> Option<f32> {
        self.value.get(row).copied().filter(|value| !value.is_nan())
    }

    /// The event type of a row, if it has one.
    pub fn event(&self, row: usize) -> Option<&ExternalId> {
        let number = *self.event.get(row)?;
        self.events.ids().get(number as usize)
    }

    /// Refuses empty ids, and times and values that are infinite or no numbers, which put nothing
    /// in order.
    #[expect(
        clippy::indexing_slicing,
        reason = "rows are looked for among those that are there"
    )]
    pub(crate) fn check_rows(&self) -> Result<()> {
        let columns = [
            ("user", &self.users, &self.user),
            ("item", &self.items, &self.item),
        ];
        for (field, table, column) in columns {
            for (missing, text) in table.missing() {
                if let Some(row) = column.iter().position(|&number| number == missing) {
                    let value = format!("{text:?} in row {row}");
                    return Err(Error::invalid(field, value, NO_ID));
                }
            }
        }
        let refuse = |field, row: usize, number: f64| {
            let value = format!("{number} in row {row}");
            Err(Error::invalid(field, value, "must be a finite number"))
        };
        let is_finite = |time: &f64| time.is_finite();
        let parts = self.time.par_chunks(1 << 14);
        if !parts.all(|part| part.iter().all(is_finite))
            && let Some(row) = self.time.iter().position(|time| !is_finite(time))
        {
            return refuse("time", row, self.time[row]);
        }
        // NaN is a row without a value.
        if let Some(row) = self.value.iter().position(|value| value.is_infinite()) {
            return refuse("value", row, self.value[row].into());
        }
        Ok(())
    }

    /// Refuses times that are not of one unit with most of these and of those before; otherwise the
    /// sizes of them all.
    pub(super) fn check_times(&self, before: TimeSizes) -> Result<TimeSizes> {
        let all = before.and(TimeSizes::of(&self.time));
        let mut rule = all.rule();
        if rule.takes_all(&all) {
            return Ok(all);
        }
        if !rule.takes_all(&before) {
            rule = before.rule();
        }
        let mut times = self.time.iter().enumerate();
        match times.find(|(_, time)| !rule.takes(**time)) {
            Some((row, &time)) => {
                let value = format!("{} in row {row}", rule.odd(time, time));
                let reason = format!("must be {}", rule.expected());
                Err(Error::invalid("time", value, reason))
            }
            None => Ok(all),
        }
    }

    /// Adds a row. Its ids must not be empty, its time and value must be finite, and its time of
    /// one unit with the others', which is checked where they are used.
    pub fn push(&mut self, interaction: Interaction) {
        let Interaction {
            user,
            item,
            time,
            value,
            event,
        } = interaction;
        let user = self.users.intern(user);
        let item = self.items.intern(item);
        let event = event.as_deref().filter(|event| !event.trim().is_empty());
        self.push_numbers(user, item, time, value, event);
    }

    #[inline]
    pub(crate) fn push_numbers(
        &mut self,
        user: u32,
        item: u32,
        time: f64,
        value: Option<f32>,
        event: Option<&str>,
    ) {
        let row = self.user.len();
        self.user.push(user);
        self.item.push(item);
        self.time.push(time);
        if value.is_some() || !self.value.is_empty() {
            if self.value.len() < row {
                self.value.resize(row, f32::NAN);
            }
            self.value.push(value.unwrap_or(f32::NAN));
        }
        if event.is_some() || !self.event.is_empty() {
            self.event.resize(row, NO_EVENT);
            let number = event.map_or(NO_EVENT, |event| self.events.intern_text(event));
            self.event.push(number);
        }
    }

    /// Makes room for so many rows in all.
    pub(super) fn reserve(&mut self, rows: usize) {
        let more = rows.saturating_sub(self.len());
        self.user.reserve_exact(more);
        self.item.reserve_exact(more);
        self.time.reserve_exact(more);
        if !self.value.is_empty() {
            self.value.reserve_exact(more);
        }
    }

    /// Takes each row's number as its time, the first one's being `first`.
    pub(super) fn number_times(&mut self, first: usize) {
        for (row, time) in self.time.iter_mut().enumerate() {
            *time = (first + row) as f64;
        }
    }

    /// Adds all rows of others after these.
    #[expect(
        clippy::indexing_slicing,
        reason = "the numbers of a part are those of its tables"
    )]
    pub(super) fn append(&mut self, other: Self) {
        let rows = self.len();
        let all = rows + other.len();
        let users = self.users.intern_all(&other.users);
        let items = self.items.intern_all(&other.items);
        let events = self.events.intern_all(&other.events);
        self.user
            .extend(other.user.iter().map(|&user| users[user as usize]));
        self.item
            .extend(other.item.iter().map(|&item| items[item as usize]));
        self.time.extend_from_slice(&other.time);
        if !self.value.is_empty() || !other.value.is_empty() {
            self.value.resize(rows, f32::NAN);
            self.value.extend_from_slice(&other.value);
            self.value.resize(all, f32::NAN);
        }
        if !self.event.is_empty() || !other.event.is_empty() {
            self.event.resize(rows, NO_EVENT);
            let number = |&event: &u32| events.get(event as usize).copied().unwrap_or(NO_EVENT);
            self.event.extend(other.event.iter().map(number));
            self.event.resize(all, NO_EVENT);
        }
        self.behaviors = self.behaviors.take().or(other.behaviors);
        self.skipped_rows += other.skipped_rows;
    }
}

impl FromIterator<Interaction> for Interactions {
    fn from_iter<I: IntoIterator<Item = Interaction>>(rows: I) -> Self {
        let mut interactions = Self::default();
        interactions.extend(rows);
        interactions
    }
}

impl Extend<Interaction> for Interactions {
    fn extend<I: IntoIterator<Item = Interaction>>(&mut self, rows: I) {
        for row in rows {
            self.push(row);
        }
    }
}
