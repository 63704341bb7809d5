//! Fields of rows as ids, times and numbers.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::id::{Key, parse_canonical};
use super::layout::Layout;
use super::rows::Collector;
use crate::{Error, ErrorKind, Result};

/// The forms in which a time may be written.
pub(super) const A_TIME: &str = "a number, or a date such as 2021-05-11 08:30:00";

/// A time as text: a number, or a date, which becomes seconds since 1970.
pub(super) fn time_of(text: &str) -> Option<f64> {
    let finite = |number: &f64| number.is_finite();
    let number = text.parse::<f64>().ok().filter(finite);
    number.or_else(|| date(text))
}

/// A row as a line has it.
pub(super) struct ParsedRow<'t> {
    pub(super) user: Key<'t>,
    pub(super) item: Key<'t>,
    /// `None` where the layout has no such column.
    pub(super) time: Option<f64>,
    pub(super) value: Option<f32>,
    pub(super) event: Option<&'t str>,
}

impl Collector<'_, '_> {
    fn text<'t>(&self, field: &'t [u8], line: u64) -> Result<&'t str> {
        std::str::from_utf8(field).map_err(|_| {
            Error::from(ErrorKind::Encoding {
                path: self.path.to_owned(),
                line,
            })
        })
    }

    fn bad_field(
        &self,
        line: u64,
        field: &'static str,
        value: &str,
        expected: &'static str,
    ) -> Error {
        Error::from(ErrorKind::Field {
            path: self.path.to_owned(),
            line,
            field,
            value: value.chars().take(80).collect(),
            expected,
        })
    }

    fn id<'t>(&self, field: &'t [u8], line: u64, name: &'static str) -> Result<Key<'t>> {
        if let Some(number) = parse_canonical(field) {
            return Ok(Key::Integer(number));
        }
        match Key::of_text(self.text(field, line)?) {
            key if key.is_missing() => {
                let text = self.text(field, line)?.trim();
                Err(self.bad_field(line, name, text, "an id"))
            }
            key => Ok(key),
        }
    }

    fn time(&self, field: &[u8], line: u64) -> Result<f64> {
        let time = match short_number(field) {
            Some(number) => number,
            None => {
                let text = self.text(field, line)?.trim();
                time_of(text).ok_or_else(|| self.bad_field(line, "timestamp", text, A_TIME))?
            }
        };
        match self.rule {
            Some(rule) if !rule.takes(time) => {
                let text = self.text(field, line)?.trim();
                let value = rule.odd(time, text);
                Err(self.bad_field(line, "timestamp", &value, rule.expected()))
            }
            _ => Ok(time),
        }
    }

    fn value(&self, field: &[u8], line: u64) -> Result<f32> {
        if let Some(number) = short_number(field) {
            return Ok(number as f32);
        }
        let text = self.text(field, line)?.trim();
        let finite = |number: &f32| number.is_finite();
        let number = text.parse::<f64>().map(|number| number as f32);
        number.ok().filter(finite).ok_or_else(|| {
            self.bad_field(line, "value", text, "a number that single precision holds")
        })
    }

    /// A line of a user and their items; a blank one is nothing.
    pub(super) fn sequence(&mut self, text: &[u8], line: u64) -> Result<()> {
        let words = text.split(u8::is_ascii_whitespace);
        let mut words = words.filter(|word| !word.is_empty());
        let Some(user) = words.next() else {
            return Ok(());
        };
        let user = self.id(user, line, "user")?;
        let items: Vec<Key<'_>> = words
            .map(|item| self.id(item, line, "item"))
            .collect::<Result<_>>()?;
        if items.is_empty() {
            return Err(ErrorKind::ColumnCount {
                path: self.path.to_owned(),
                line,
                expected: 2,
                found: 1,
            }
            .into());
        }
        self.untimed = true;
        let rows = &mut self.interactions;
        let user = rows.users.intern_key(user);
        for item in items {
            let item = rows.items.intern_key(item);
            rows.push_numbers(user, item, 0.0, None, None);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn push(&mut self, row: ParsedRow<'_>) {
        let user = self.interactions.users.intern_key(row.user);
        let item = self.interactions.items.intern_key(row.item);
        // Where there is none, rows are numbered by their order.
        let time = row.time.unwrap_or_else(|| self.rows() as f64);
        (self.interactions).push_numbers(user, item, time, row.value, row.event);
    }

    pub(super) fn row<'t>(
        &mut self,
        layout: &Layout,
        line: u64,
        columns: usize,
        field: impl Fn(usize) -> &'t [u8],
    ) -> Result<()> {
        let row = self.read_row(layout, line, columns, field)?;
        self.push(row);
        Ok(())
    }

    /// The row that the fields of a line are.
    #[inline]
    pub(super) fn read_row<'t>(
        &self,
        layout: &Layout,
        line: u64,
        columns: usize,
        field: impl Fn(usize) -> &'t [u8],
    ) -> Result<ParsedRow<'t>> {
        let expected = layout.columns.unwrap_or_else(|| layout.least_columns());
        let fits = match layout.columns {
            Some(expected) => columns == expected,
            None => columns >= expected,
        };
        // A header may be narrower than the columns that a schema names by position.
        if !fits || columns < layout.least_columns() {
            return Err(ErrorKind::ColumnCount {
                path: self.path.to_owned(),
                line,
                expected: expected.max(layout.least_columns()),
                found: columns,
            }
            .into());
        }
        let user = self.id(field(layout.user), line, "user")?;
        let item = self.id(field(layout.item), line, "item")?;
        let time = (layout.time)
            .map(|column| self.time(field(column), line))
            .transpose()?;
        let value = match layout.value.map(&field) {
            Some(text) if !text.trim_ascii().is_empty() => Some(self.value(text, line)?),
            _ => None,
        };
        let event = match layout.event.map(&field) {
            Some(text) if !text.trim_ascii().is_empty() => Some(self.text(text, line)?.trim()),
            _ => None,
        };
        Ok(ParsedRow {
            user,
            item,
            time,
            value,
            event,
        })
    }
}

/// A date, with or without the time of day and an offset, in seconds since 1970; UTC where there is
/// no offset.
pub(super) fn date(text: &str) -> Option<f64> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => {
            // As a length, since instants end before the last days of 9999 do.
            let local: jiff::civil::DateTime = text.parse().ok()?;
            let first = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
            return Some(local.duration_since(first).as_secs_f64());
        }
    };
    Some(instant.as_second() as f64 + f64::from(instant.subsec_nanosecond()) / 1e9)
}

/// The powers of ten that are exact in a double and that a number of fifteen digits needs.
pub(super) const POWERS: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// A number of at most 15 digits, perhaps with a point among them, and nothing else: digits and
/// power of ten are both exact in a double, so their quotient is the nearest one to the number.
#[expect(
    clippy::indexing_slicing,
    reason = "there are 15 digits at most, and 16 powers"
)]
fn short_number(field: &[u8]) -> Option<f64> {
    let (mut digits, mut value, mut point) = (0, 0u64, None);
    for &byte in field {
        match byte {
            b'0'..=b'9' if digits < 15 => {
                value = 10 * value + u64::from(byte - b'0');
                digits += 1;
            }
            b'.' if point.is_none() => point = Some(digits),
            _ => return None,
        }
    }
    if digits == 0 {
        return None;
    }
    let decimals = point.map_or(0, |point| digits - point);
    Some(value as f64 / POWERS[decimals])
}
