//! The rows that are read of a file, and what becomes of bad ones.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use tracing::{info, warn};

use super::interactions::Interactions;
use super::lines::pieces;
use super::skipped::Skipped;
use super::time_unit::{TimeRule, TimeSizes};
use crate::{Error, ErrorKind, Result};

/// The treatment of rows that can't be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRows {
    /// Stop with an error that names the line.
    #[default]
    Fail,
    /// Leave the row out, and count it in [`Interactions::skipped_rows`] and by
    /// [why](Interactions::skipped_reasons).
    Skip,
}

/// Why a line with carriage returns inside is refused.
pub(super) const RETURNS: &str = "there are carriage returns inside of the line, which to some programs \
    end a line and to others do not; end lines with a line feed, alone or after a carriage return";

/// A function that takes rows part by part, where all of them may not fit in memory.
pub(super) type TakePart<'p> = &'p mut (dyn FnMut(Interactions) -> Result<()> + Send + 'p);

/// The rows that were read, and what becomes of the bad ones.
pub(super) struct Collector<'a, 'p> {
    pub(super) path: &'a Path,
    pub(super) bad_rows: BadRows,
    pub(super) interactions: Interactions,
    /// Why rows were skipped.
    pub(super) skipped_for: Skipped,
    /// True if times are the numbers of rows.
    pub(super) untimed: bool,
    /// The rule for each time, once some are known to break it: the parser of a row knows its line.
    pub(super) rule: Option<TimeRule>,
    /// Of all times so far.
    times: TimeSizes,
    /// True if these are of two units. Which ones are odd is known at the end alone: the rest is
    /// read for its times, and then all once more.
    mixed: bool,
    /// Of the times that were given away.
    given_times: TimeSizes,
    parts: Option<GivenParts<'p>>,
}

/// Rows that were given away.
struct GivenParts<'p> {
    take: TakePart<'p>,
    /// The least number of rows of a part, but for the last one.
    size: usize,
    /// The number of rows that were given.
    given: usize,
    /// The number of the next ones that were given already.
    repeated: usize,
    /// The number of skipped rows, and of these the number that the parts given away tell of.
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
            skipped_for: Skipped::default(),
            untimed: false,
            rule: None,
            times: TimeSizes::default(),
            mixed: false,
            given_times: TimeSizes::default(),
            parts: parts.map(|(size, take)| GivenParts {
                take,
                size,
                given: 0,
                repeated: 0,
                skipped: 0,
                told: 0,
            }),
        }
    }

    /// The number of rows so far.
    pub(super) fn rows(&self) -> usize {
        self.given() + self.interactions.len()
    }

    /// The number of rows that were given away.
    fn given(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| parts.given)
    }

    /// The least number of rows of a part, where rows are given away in parts.
    pub(super) fn part_size(&self) -> Option<usize> {
        self.parts.as_ref().map(|parts| parts.size)
    }

    /// Gives a part away once there are enough rows for one.
    pub(super) fn give(&mut self) -> Result<()> {
        if self
            .part_size()
            .is_some_and(|size| self.interactions.len() >= size)
        {
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
        // What was given away can't be left out any more. Where nothing is left out, its line is
        // named.
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
    fn begin_anew(&mut self) {
        self.interactions = Interactions::default();
        self.skipped_for = Skipped::default();
        self.untimed = false;
        self.times = TimeSizes::default();
        self.mixed = false;
        if let Some(parts) = &mut self.parts {
            parts.repeated += std::mem::take(&mut parts.given);
            parts.skipped = 0;
        }
    }

    /// All that is read and not given away. Where times are of two units, the source is read once
    /// more, by the rule that most of them set: which unit most are in is known at the end alone.
    ///
    /// # Errors
    /// Returns those of `read` and [`finish`](Self::finish).
    pub(super) fn collect(
        mut self,
        read: impl Fn(&mut Self) -> Result<()>,
    ) -> Result<Interactions> {
        loop {
            read(&mut self)?;
            if let Some(rows) = self.finish()? {
                return Ok(rows);
            }
        }
    }

    /// The rows that were not given away; `None` where times are of two units, and the source must
    /// be read once more, by the rule that is set then.
    ///
    /// # Errors
    /// [`ErrorKind::EmptyFile`] when there was no row at all, and [`ErrorKind::NothingLeft`] when
    /// all were skipped.
    fn finish(&mut self) -> Result<Option<Interactions>> {
        if self.rows() > 0 {
            self.give_all()?;
        }
        if self.mixed {
            self.set_rule()?;
            self.begin_anew();
            return Ok(None);
        }
        if self.rows() == 0 {
            return Err(self.nothing_left());
        }
        let (rows, skipped) = (self.rows(), self.skipped());
        let reasons = self.skipped_for.reasons();
        if reasons.is_empty() {
            info!(rows, "read");
        } else {
            warn!(
                rows,
                skipped,
                reasons = reasons.join("; "),
                "rows were skipped"
            );
        }
        self.interactions.skipped_reasons = reasons;
        Ok(Some(std::mem::take(&mut self.interactions)))
    }

    /// Why there is no row.
    fn nothing_left(&self) -> Error {
        let reasons = self.skipped_for.reasons();
        if reasons.is_empty() {
            let path = self.path.to_owned();
            return Error::from(ErrorKind::EmptyFile { path });
        }
        let (rows, reasons) = (self.interactions.skipped_rows, reasons.join("; "));
        let reason = format!("all {rows} rows were skipped: {reasons}");
        Error::from(ErrorKind::NothingLeft { reason })
    }

    /// The number of skipped rows so far.
    fn skipped(&self) -> usize {
        let given = self.parts.as_ref().map_or(0, |parts| parts.skipped);
        given + self.interactions.skipped_rows
    }

    /// Passes an error on or counts it, as asked for.
    pub(super) fn take(&mut self, row: Result<()>) -> Result<()> {
        self.take_all(row, 1)
    }

    /// Passes an error that loses several rows on or counts them, as asked for.
    pub(super) fn take_all(&mut self, rows: Result<()>, lost: usize) -> Result<()> {
        match (rows, self.bad_rows) {
            (Err(error), BadRows::Skip) if is_of_a_row(&error) => {
                self.interactions.skipped_rows += lost;
                self.skipped_for.add(lost, error);
                Ok(())
            }
            (rows, _) => rows,
        }
    }

    /// True if a line is one, and not several that carriage returns end, which is an error or
    /// skipped.
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
        Error::from(ErrorKind::Malformed {
            path: self.path.to_owned(),
            line,
            reason: reason.into(),
        })
    }
}
/// True if an error is of one row, which may be skipped, and not of the whole file.
fn is_of_a_row(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ColumnCount { .. }
            | ErrorKind::Field { .. }
            | ErrorKind::Malformed { .. }
            | ErrorKind::Encoding { .. }
    )
}
