//! Rows of a batch, handed to the collector of rows.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::ops::RangeBounds;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray};

use super::WantedColumns;
use super::columns::{Columns, Ids, Times};
use crate::data::fields::{A_TIME, time_of};
use crate::data::id::{IdTable, Key};
use crate::data::only::{Condition, Only, is_one_of};
use crate::data::rows::Collector;
use crate::{Error, ErrorKind, Result};

/// Rows of a batch that are wanted.
pub(super) struct DecodedRows {
    /// Of the file, from 1: which row each is.
    pub(super) first: u64,
    pub(super) keep: Vec<usize>,
    pub(super) users: Ids,
    pub(super) items: Ids,
    pub(super) times: Option<Times>,
    pub(super) values: Option<ArrayRef>,
    pub(super) events: Option<Ids>,
}

impl DecodedRows {
    pub(super) fn new(
        columns: &Columns<'_>,
        row: u64,
        wanted: &WantedColumns<'_>,
        only: &[Only],
    ) -> Result<Self> {
        let mut keep: Vec<usize> = (0..columns.batch.num_rows()).collect();
        for only in only {
            match &only.condition {
                Condition::OneOf(values) => {
                    let ids = columns.ids(&only.column)?;
                    keep.retain(|&row| ids.get(row).is_some_and(|id| is_one_of(id, values)));
                }
                Condition::Within(range) => {
                    let numbers = columns.numbers_or_times(&only.column, row)?;
                    keep.retain(|&row| {
                        let number = numbers.get(row).copied().flatten();
                        number.is_some_and(|number| range.contains(&number))
                    });
                }
            }
        }
        Ok(Self {
            first: row + 1,
            keep,
            users: columns.ids(wanted.user)?,
            items: columns.ids(wanted.item)?,
            times: wanted.time.map(|name| columns.times(name)).transpose()?,
            values: wanted.value.map(|name| columns.numbers(name)).transpose()?,
            events: wanted.event.map(|name| columns.ids(name)).transpose()?,
        })
    }

    /// Adds the rows column by column, where none of them is bad and there are no event types;
    /// whether that was so.
    pub(super) fn push_columns(&self, into: &mut Collector<'_, '_>) -> bool {
        let (Ids::Integers(users), Ids::Integers(items), None) =
            (&self.users, &self.items, &self.events)
        else {
            return false;
        };
        let first = into.rows();
        let into = &mut into.interactions;
        let start = into.len();
        let times: Option<Vec<f64>> = match &self.times {
            None => Some(
                (first..first + self.keep.len())
                    .map(|row| row as f64)
                    .collect(),
            ),
            Some(Times::Numbers(times)) if times.null_count() == 0 => {
                let times = times.as_primitive::<Float64Type>();
                let time = |&row| Some(times.value(row)).filter(|time| time.is_finite());
                self.keep.iter().map(time).collect()
            }
            Some(_) => None,
        };
        let values: Option<Vec<f32>> = (self.values.as_ref().map_or(Some(Vec::new()), |values| {
            let values = values.as_primitive::<Float64Type>();
            let value = |&row| match values.is_valid(row) {
                true => Some(values.value(row) as f32).filter(|value| !value.is_infinite()),
                false => Some(f32::NAN),
            };
            self.keep.iter().map(value).collect()
        }))
        .filter(|_| users.null_count() == 0 && items.null_count() == 0);
        let (Some(times), Some(values)) = (times, values) else {
            return false;
        };
        let [users, items] = [users, items].map(|ids| ids.as_primitive::<Int64Type>());
        let number = |table: &mut IdTable, ids: &PrimitiveArray<Int64Type>, row: usize| {
            table.intern_key(Key::Integer(ids.value(row)))
        };
        let keep = || self.keep.iter().copied();
        into.user
            .extend(keep().map(|row| number(&mut into.users, users, row)));
        into.item
            .extend(keep().map(|row| number(&mut into.items, items, row)));
        into.time.extend(times);
        if !values.is_empty() || !into.value.is_empty() {
            into.value.resize(start, f32::NAN);
            into.value.extend(values);
            into.value.resize(into.user.len(), f32::NAN);
        }
        true
    }

    pub(super) fn push(&self, path: &Path, into: &mut Collector<'_, '_>) -> Result<()> {
        if self.times.is_none() {
            into.untimed = true;
        }
        let by_columns = into.interactions.event.is_empty() && into.rule.is_none();
        if by_columns && self.push_columns(into) {
            return Ok(());
        }
        for &row in &self.keep {
            let taken = self.push_row(path, row, into);
            into.take(taken)?;
        }
        Ok(())
    }

    /// A row's value, if it has one; NaN is what pandas writes where there is none.
    fn value(&self, row: usize) -> Option<f32> {
        let values = self.values.as_ref()?.as_primitive::<Float64Type>();
        let value = values.is_valid(row).then(|| values.value(row) as f32);
        value.filter(|value| !value.is_nan())
    }

    fn push_row(&self, path: &Path, row: usize, into: &mut Collector<'_, '_>) -> Result<()> {
        let line = self.first + row as u64;
        let bad = |field, value: String, expected| {
            Error::from(ErrorKind::Field {
                path: path.to_owned(),
                line,
                field,
                value,
                expected,
            })
        };
        let missing = |field| bad(field, "nothing".to_owned(), "an id");
        let user = self.users.get(row).ok_or_else(|| missing("user"))?;
        let item = self.items.get(row).ok_or_else(|| missing("item"))?;
        let no_time = || bad("timestamp", "nothing".to_owned(), "a time");
        let time = match &self.times {
            None => into.rows() as f64,
            Some(Times::Numbers(times)) => {
                let times = times.as_primitive::<Float64Type>();
                let time = times.is_valid(row).then(|| times.value(row));
                time.filter(|time| time.is_finite()).ok_or_else(no_time)?
            }
            Some(Times::Texts(times)) => {
                let times = times.as_string::<i64>();
                let text = times.is_valid(row).then(|| times.value(row).trim());
                let text = text.ok_or_else(no_time)?;
                time_of(text).ok_or_else(|| bad("timestamp", text.to_owned(), A_TIME))?
            }
        };
        if let Some(rule) = into.rule.filter(|rule| !rule.takes(time)) {
            return Err(bad("timestamp", rule.odd(time, time), rule.expected()));
        }
        let value = self.value(row);
        if let Some(value) = value.filter(|value| value.is_infinite()) {
            let expected = "a number that single precision holds";
            return Err(bad("value", value.to_string(), expected));
        }
        let number;
        let event = match self.events.as_ref().and_then(|events| events.get(row)) {
            None => None,
            Some(Key::Text(text)) => Some(text),
            Some(Key::Integer(integer)) => {
                number = integer.to_string();
                Some(number.as_str())
            }
        };
        let user = into.interactions.users.intern_key(user);
        let item = into.interactions.items.intern_key(item);
        (into.interactions).push_numbers(user, item, time, value, event);
        Ok(())
    }
}
