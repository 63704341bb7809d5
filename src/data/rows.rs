//! Where the rows of a file go, and what becomes of bad ones.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use super::id::{Key, parse_canonical};
use super::interactions::Interactions;
use super::layout::Layout;
use super::plain_rows::{POWERS, PlainRow};
use super::time_unit::{TimeRule, TimeSizes};
use crate::{Error, Result};

/// What to do with a row that can't be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRows {
    /// Stop with an error that names the line.
    #[default]
    Fail,
    /// Leave the row out and count it in [`Interactions::skipped_rows`].
    Skip,
}

/// What a time is written as.
pub(super) const A_TIME: &str = "a number, or a date such as 2021-05-11 08:30:00";

/// A time as text: a number, or a date, which becomes seconds since 1970.
pub(super) fn time_of(text: &str) -> Option<f64> {
    let finite = |number: &f64| number.is_finite();
    let number = text.parse::<f64>().ok().filter(finite);
    number.or_else(|| date(text))
}

/// Why a line with carriage returns inside is refused.
pub(super) const RETURNS: &str = "there are carriage returns inside of the line, which to some programs \
    end a line and to others do not; end lines with a line feed, alone or after a carriage return";

/// How many lines that are not blank a line is to programs for which a carriage return ends one.
pub(super) fn pieces(line: &[u8]) -> usize {
    let pieces = line.split(|&byte| byte == b'\r');
    pieces
        .filter(|piece| !piece.trim_ascii().is_empty())
        .count()
}

/// What takes rows part by part, where all of them may not fit in memory.
pub(super) type TakePart<'p> = &'p mut (dyn FnMut(Interactions) -> Result<()> + Send + 'p);

/// Where rows go, and what becomes of the bad ones.
pub(super) struct Collector<'a, 'p> {
    pub(super) path: &'a Path,
    pub(super) bad_rows: BadRows,
    pub(super) interactions: Interactions,
    /// Why the first row that was skipped was.
    pub(super) first_skipped: Option<Error>,
    /// Whether times are the numbers of rows.
    pub(super) untimed: bool,
    /// What each time must be, once some are known not to be that: whoever reads a row knows its line.
    pub(super) rule: Option<TimeRule>,
    /// Of all times so far.
    times: TimeSizes,
    /// Whether these are of two units. Which ones are odd is known at the end alone: the rest is read for
    /// its times, and then all once more.
    mixed: bool,
    /// Of the times that were given away.
    given_times: TimeSizes,
    parts: Option<Parts<'p>>,
}

/// A row as a line has it.
pub(super) struct Row<'t> {
    user: Key<'t>,
    item: Key<'t>,
    /// `None` where the layout has no such column.
    time: Option<f64>,
    value: Option<f32>,
    event: Option<&'t str>,
}

/// Rows that were given away.
struct Parts<'p> {
    take: TakePart<'p>,
    /// How many rows a part has at least, but for the last one.
    size: usize,
    /// How many there were.
    given: usize,
    /// How many of the next ones were given already.
    repeated: usize,
    /// How many were skipped, and how many of these the parts that were given away tell of.
    skipped: usize,
    told: usize,
}

impl<'a, 'p> Collector<'a, 'p> {
    /// Rows are kept, or given away in parts of a size.
    pub(super) fn new(
        path: &'a Path,
        bad_rows: BadRows,
        parts: Option<(usize, TakePart<'p>)>,
    ) -> Self {
        Self {
            path,
            bad_rows,
            interactions: Interactions::default(),
            first_skipped: None,
            untimed: false,
            rule: None,
            times: TimeSizes::default(),
            mixed: false,
            given_times: TimeSizes::default(),
            parts: parts.map(|(size, take)| Parts {
                take,
                size,
                given: 0,
                repeated: 0,
                skipped: 0,
                told: 0,
            }),
        }
    }

    /// How many rows there were so far.
    pub(super) fn rows(&self) -> usize {
        self.given() + self.interactions.len()
    }

    /// How many of them were given away.
    fn given(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| parts.given)
    }

    pub(super) fn gives_parts(&self) -> bool {
        self.parts.is_some()
    }

    /// Gives a part away once there are enough rows for one.
    pub(super) fn give(&mut self) -> Result<()> {
        let size = self.parts.as_ref().map(|parts| parts.size);
        if size.is_some_and(|size| self.interactions.len() >= size) {
            self.give_all()?;
        }
        Ok(())
    }

    fn give_all(&mut self) -> Result<()> {
        if self.untimed {
            let before = self.given();
            self.interactions.number_times(before);
        }
        let rows = &mut self.interactions;
        if self.rule.is_none() {
            self.times = self.times.and(TimeSizes::of(&rows.time));
            self.mixed |= !self.times.rule().takes_all(&self.times);
        }
        if self.mixed {
            *rows = Interactions::default();
            return Ok(());
        }
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        self.given_times = self.given_times.and(self.times);
        let mut rows = std::mem::take(rows);
        parts.given += rows.len();
        let repeated = parts.repeated.min(rows.len());
        parts.repeated -= repeated;
        if repeated > 0 {
            rows.keep_rows(|row| row >= repeated);
        }
        parts.skipped += rows.skipped_rows;
        rows.skipped_rows = parts.skipped.saturating_sub(parts.told);
        parts.told += rows.skipped_rows;
        (parts.take)(rows)
    }

    /// Takes what most times say for what all must be.
    fn set_rule(&mut self) -> Result<()> {
        let rule = self.times.rule();
        // What was given away can't be left out any more. Where nothing is left out, its line is named.
        let odd = rule.odd_of(&self.given_times);
        if let (BadRows::Skip, Some(time)) = (self.bad_rows, odd) {
            let value = format!("{} in {}", rule.odd(time, time), self.path.display());
            let reason = format!(
                "must be {}; too many rows with such times come before the others to be left out while the \
                 file is read in parts: take them out of it",
                rule.expected()
            );
            return Err(Error::invalid("time", value, reason));
        }
        self.rule = Some(rule);
        Ok(())
    }

    /// Begins anew with the same source, of which what was given away is not given again.
    pub(super) fn begin_anew(&mut self) {
        self.interactions = Interactions::default();
        self.first_skipped = None;
        self.untimed = false;
        self.times = TimeSizes::default();
        self.mixed = false;
        if let Some(parts) = &mut self.parts {
            parts.repeated += std::mem::take(&mut parts.given);
            parts.skipped = 0;
        }
    }

    /// What was not given away; `None` where times are of two units, and the source must be read once
    /// more, by the rule that is set then.
    ///
    /// # Errors
    /// [`Error::EmptyFile`] when there was no row at all, and [`Error::NothingLeft`] when all were
    /// skipped.
    pub(super) fn finish(&mut self) -> Result<Option<Interactions>> {
        if self.rows() > 0 {
            self.give_all()?;
        }
        if self.mixed {
            self.set_rule()?;
            self.begin_anew();
            return Ok(None);
        }
        if self.rows() == 0 {
            return Err(match self.first_skipped.take() {
                Some(first) => Error::NothingLeft {
                    reason: format!(
                        "all {} rows were skipped, the first: {first}",
                        self.interactions.skipped_rows
                    ),
                },
                None => Error::EmptyFile {
                    path: self.path.to_owned(),
                },
            });
        }
        Ok(Some(std::mem::take(&mut self.interactions)))
    }

    /// Passes an error on or counts it, as asked for.
    pub(super) fn take(&mut self, row: Result<()>) -> Result<()> {
        self.take_all(row, 1)
    }

    /// The same for an error that loses several rows.
    pub(super) fn take_all(&mut self, rows: Result<()>, lost: usize) -> Result<()> {
        match (rows, self.bad_rows) {
            (
                Err(
                    error @ (Error::ColumnCount { .. }
                    | Error::Field { .. }
                    | Error::Malformed { .. }
                    | Error::Encoding { .. }),
                ),
                BadRows::Skip,
            ) => {
                self.interactions.skipped_rows += lost;
                self.first_skipped.get_or_insert(error);
                Ok(())
            }
            (rows, _) => rows,
        }
    }

    /// Whether a line is one, and not several that carriage returns end, which is an error or skipped.
    #[inline]
    pub(super) fn whole_line(&mut self, line: &[u8], number: u64) -> Result<bool> {
        if memchr::memchr(b'\r', line).is_none() {
            return Ok(true);
        }
        let pieces = pieces(line);
        if pieces > 1 {
            let error = self.malformed(number, RETURNS);
            self.take_all(Err(error), pieces)?;
        }
        Ok(pieces <= 1)
    }

    pub(super) fn malformed(&self, line: u64, reason: impl Into<String>) -> Error {
        Error::Malformed {
            path: self.path.to_owned(),
            line,
            reason: reason.into(),
        }
    }

    fn text<'t>(&self, field: &'t [u8], line: u64) -> Result<&'t str> {
        std::str::from_utf8(field).map_err(|_| Error::Encoding {
            path: self.path.to_owned(),
            line,
        })
    }

    fn bad_field(
        &self,
        line: u64,
        field: &'static str,
        value: &str,
        expected: &'static str,
    ) -> Error {
        Error::Field {
            path: self.path.to_owned(),
            line,
            field,
            value: value.chars().take(80).collect(),
            expected,
        }
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
            return Err(Error::ColumnCount {
                path: self.path.to_owned(),
                line,
                expected: 2,
                found: 1,
            });
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

    pub(super) fn plain_row(&mut self, row: PlainRow) {
        let rows = &mut self.interactions;
        let user = rows.users.intern_key(Key::Integer(row.user.into()));
        let item = rows.items.intern_key(Key::Integer(row.item.into()));
        // Where there is none, rows are numbered when they are put together.
        let time = row.time.unwrap_or_default();
        rows.push_numbers(user, item, time, row.value, None);
    }

    pub(super) fn row<'t>(
        &mut self,
        layout: &Layout,
        line: u64,
        columns: usize,
        field: impl Fn(usize) -> &'t [u8],
    ) -> Result<()> {
        let row = self.read_row(layout, line, columns, field)?;
        let user = self.interactions.users.intern_key(row.user);
        let item = self.interactions.items.intern_key(row.item);
        // Where there is none, rows are numbered by their order.
        let time = row.time.unwrap_or_else(|| self.rows() as f64);
        self.interactions
            .push_numbers(user, item, time, row.value, row.event);
        Ok(())
    }

    /// What the fields of a line say.
    #[inline]
    pub(super) fn read_row<'t>(
        &self,
        layout: &Layout,
        line: u64,
        columns: usize,
        field: impl Fn(usize) -> &'t [u8],
    ) -> Result<Row<'t>> {
        let expected = layout.columns.unwrap_or_else(|| layout.least_columns());
        let fits = match layout.columns {
            Some(expected) => columns == expected,
            None => columns >= expected,
        };
        // A header may be narrower than the columns that a schema names by position.
        if !fits || columns < layout.least_columns() {
            return Err(Error::ColumnCount {
                path: self.path.to_owned(),
                line,
                expected: expected.max(layout.least_columns()),
                found: columns,
            });
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
        Ok(Row {
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
