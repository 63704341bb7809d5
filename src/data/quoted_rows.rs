//! Delimited rows whose fields may be quoted, and quotes that quote nothing.
//!
//! A field that begins with a quote extends to the next single one, over lines if it must. So one quote
//! too many swallows the rows up to the next quote, or to the end of the file. What can't be a quoted field is
//! a bad row, which ends with the line in which its quote opens: the next line is read for itself.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io::{self, BufRead};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2};

use super::block_rows::{returns_end_rows, split_line, whole_row};
use super::layout::Layout;
use super::lines::{Lines, line_at};
use super::rows::{Collector, pieces};
use super::schema::Schema;
use crate::{Error, Result};

/// How long a quoted field may be, so that a quote that is never closed doesn't take all of a large
/// file into memory.
const LONGEST: usize = 16 << 20;

/// Reads rows with quoted fields.
pub(super) fn read(
    source: impl BufRead,
    schema: &Schema,
    into: &mut Collector<'_, '_>,
) -> Result<()> {
    let path = into.path;
    let mut lines = Lines {
        source,
        text: Vec::new(),
        start: 0,
        number: 1,
    };
    let mut rows = QuotedRows {
        delimiter: schema.delimiter.bytes().next().unwrap_or(b','),
        asked: schema.quotes == Some(true) && !schema.quotes_inferred,
        layout: None,
        usual: None,
        record: Record::default(),
        fields: Vec::new(),
    };
    if !schema.header {
        rows.layout = Some(Layout::new(schema, None, path)?);
    }
    while lines.fill().map_err(Error::io("read", path))? {
        let line = lines.line();
        let length = line.len();
        let number = lines.number;
        if line.trim_ascii().is_empty() {
            lines.take(length);
            continue;
        }
        let Some(layout) = &rows.layout else {
            rows.layout = Some(rows.header(&mut lines, schema, into)?);
            continue;
        };
        if memchr(b'"', line).is_some() {
            rows.quoted(&mut lines, into)?;
        } else {
            let delimiter = [rows.delimiter];
            let (line, _) = split_line(line, &delimiter, &mut rows.fields);
            if whole_row(into, layout, line, number, &delimiter, &rows.fields)? {
                let columns = rows.fields.len();
                let row = into.row(layout, number, columns, |column| {
                    field(line, &rows.fields, column)
                });
                rows.usual = row.is_ok().then_some(columns).or(rows.usual);
                into.take(row)?;
            }
            lines.take(length);
        }
        into.give()?;
    }
    Ok(())
}

fn field<'t>(line: &'t [u8], fields: &[Range<usize>], column: usize) -> &'t [u8] {
    let range = fields.get(column).cloned().unwrap_or_default();
    line.get(range).unwrap_or_default()
}

/// The fields of one row, without their quotes.
#[derive(Default)]
struct Record {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Where the quote is that opens the first field of several lines.
    opens: Option<usize>,
}

impl Record {
    fn field(&self, column: usize) -> &[u8] {
        let before = column
            .checked_sub(1)
            .and_then(|column| self.ends.get(column));
        let start = before.copied().unwrap_or(0);
        let end = self.ends.get(column).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// Why a row has no fields.
enum Fault {
    /// Its quote is never closed.
    Unclosed,
    /// After the quote that closes it, at this place, the field goes on.
    GoesOn(usize),
    /// There is a carriage return outside of quotes.
    Return,
    /// What it quotes, up to this place, reads as rows of their own.
    Swallows(usize),
}

struct QuotedRows {
    delimiter: u8,
    /// Whether quotes were asked for, so that what they quote is one field in any case.
    asked: bool,
    layout: Option<Layout>,
    /// How many columns the last row had.
    usual: Option<usize>,
    record: Record,
    fields: Vec<Range<usize>>,
}

impl QuotedRows {
    fn header<R: BufRead>(
        &mut self,
        lines: &mut Lines<R>,
        schema: &Schema,
        into: &Collector<'_, '_>,
    ) -> Result<Layout> {
        let parsed = self.parse(lines).map_err(Error::io("read", into.path))?;
        let length = parsed.map_err(|(at, fault)| fault_at(lines, at, &fault, into))?;
        lines.take(length);
        let names = (0..self.record.ends.len())
            .map(|column| String::from_utf8_lossy(self.record.field(column)))
            .map(|name| name.trim().to_owned());
        Layout::new(schema, Some(names.collect()), into.path)
    }

    /// Reads a row in which there is a quote.
    fn quoted<R: BufRead>(
        &mut self,
        lines: &mut Lines<R>,
        into: &mut Collector<'_, '_>,
    ) -> Result<()> {
        let parsed = self.parse(lines).map_err(Error::io("read", into.path))?;
        let opens = self.record.opens;
        // Rows that are lost with this one, where a field of several lines is followed by a fault.
        let mut lost = 0;
        let parsed = match (parsed, opens) {
            (Ok(length), Some(opens)) if self.swallows(lines, length, into) => {
                Err((opens, Fault::Swallows(length - 1)))
            }
            (Err((at, fault)), Some(opens)) if opens < at => {
                let length = at + line_at(lines.ahead(), at).len();
                let rows = self.rows_within(lines, length, into).0;
                if rows > 0 && !self.asked {
                    Err((opens, Fault::Swallows(at)))
                } else {
                    lost = 1 + rows;
                    Err((at, fault))
                }
            }
            (parsed, _) => parsed,
        };
        match (parsed, &self.layout) {
            (Ok(length), Some(layout)) => {
                let columns = self.record.ends.len();
                let row = into.row(layout, lines.number, columns, |column| {
                    self.record.field(column)
                });
                // Such as are lost with this one.
                let rows = match (&row, opens) {
                    (Err(_), Some(_)) => self.rows_within(lines, length, into).0,
                    _ => 0,
                };
                self.usual = row.is_ok().then_some(columns).or(self.usual);
                into.take_all(row, 1 + rows)?;
                lines.take(length);
            }
            (Err((at, fault)), _) => {
                let error = fault_at(lines, at, &fault, into);
                let text = lines.ahead();
                let end = at + line_at(text, at).len();
                let start = text.get(..at).and_then(|text| memchr::memrchr(b'\n', text));
                let line = line_at(text, start.map_or(0, |before| before + 1));
                into.take_all(Err(error), pieces(line).max(1).max(lost))?;
                lines.take(end);
            }
            (Ok(length), None) => lines.take(length),
        }
        Ok(())
    }

    /// Takes the next row apart: its length, or which byte of it is at fault.
    fn parse<R: BufRead>(
        &mut self,
        lines: &mut Lines<R>,
    ) -> io::Result<Result<usize, (usize, Fault)>> {
        let (record, delimiter) = (&mut self.record, [self.delimiter]);
        record.text.clear();
        record.ends.clear();
        record.opens = None;
        let mut at = 0;
        loop {
            let opens = at;
            if lines.ahead().get(at) == Some(&b'"') {
                let Some(end) = quoted_field(lines, at, record)? else {
                    return Ok(Err((at, Fault::Unclosed)));
                };
                at = end;
            } else {
                let rest = lines.ahead().get(at..).unwrap_or_default();
                let end = memchr2(self.delimiter, b'\n', rest).unwrap_or(rest.len());
                let mut field = rest.get(..end).unwrap_or_default();
                if rest.get(end) != Some(&self.delimiter) {
                    field = field.trim_ascii_end();
                }
                if memchr(b'\r', field).is_some() {
                    let line = line_at(rest, 0);
                    let in_text = self.layout.as_ref().is_some_and(|layout| {
                        !layout.has_role(record.ends.len())
                            && !returns_end_rows(layout, line, &delimiter)
                    });
                    if !in_text {
                        return Ok(Err((at, Fault::Return)));
                    }
                }
                record.text.extend_from_slice(field);
                at += end;
            }
            record.ends.push(record.text.len());
            let rest = lines.ahead().get(at..).unwrap_or_default();
            // Some programs end lines by several carriage returns and a line feed.
            let returns = rest.iter().take_while(|&&byte| byte == b'\r').count();
            match rest.get(returns..).unwrap_or_default() {
                [b'\n', ..] => return Ok(Ok(at + returns + 1)),
                [] => return Ok(Ok(lines.ahead().len())),
                [next, ..] if *next == self.delimiter && returns == 0 => at += 1,
                _ => return Ok(Err((opens, Fault::GoesOn(at)))),
            }
        }
    }

    /// Whether a row of several lines is rather several rows, of which one has a quote too many: its
    /// first line, and most of the others, are rows by themselves. If all of it is no row, or several of
    /// the others have a time, these are enough.
    fn swallows<R: BufRead>(
        &mut self,
        lines: &Lines<R>,
        length: usize,
        into: &Collector<'_, '_>,
    ) -> bool {
        if self.asked {
            return false;
        }
        let (rows, others) = self.rows_within(lines, length, into);
        if rows == 0 || 2 * rows < others {
            return false;
        }
        let timed = self.layout.as_ref().is_some_and(|of| of.time.is_some());
        if timed && rows > 1 {
            return true;
        }
        let whole = self.layout.as_ref().is_some_and(|layout| {
            let columns = self.record.ends.len();
            let row = into.read_row(layout, 0, columns, |column| self.record.field(column));
            row.is_ok()
        });
        !whole || self.is_row(lines.line(), true, into)
    }

    /// How many of a row's lines but the first are rows by themselves, and how many there are.
    fn rows_within<R: BufRead>(
        &mut self,
        lines: &Lines<R>,
        length: usize,
        into: &Collector<'_, '_>,
    ) -> (usize, usize) {
        let text = lines.ahead().get(..length).unwrap_or_default();
        let others = text.split_inclusive(|&byte| byte == b'\n').skip(1);
        let others = others.filter(|line| !line.trim_ascii().is_empty());
        let (mut rows, mut all) = (0, 0);
        for line in others {
            rows += usize::from(self.is_row(line, false, into));
            all += 1;
        }
        (rows, all)
    }

    /// Whether a line is a row, if its quotes mean nothing. One in which a field is `open` may have
    /// delimiters in that field. Where there is no time, most lines with a delimiter could be rows, so
    /// that it must have as many columns as others.
    fn is_row(&mut self, line: &[u8], open: bool, into: &Collector<'_, '_>) -> bool {
        let (line, _) = split_line(line, &[self.delimiter], &mut self.fields);
        let fields = &self.fields;
        self.layout.as_ref().is_some_and(|layout| {
            let usual = match (layout.columns, layout.time) {
                (None, None) => Some(self.usual.unwrap_or(self.record.ends.len())),
                (columns, _) => columns,
            };
            let most = usual.filter(|_| open).unwrap_or(usize::MAX);
            let columns = fields.len().min(most);
            let row = into.read_row(layout, 0, columns, |column| field(line, fields, column));
            row.is_ok() && usual.is_none_or(|usual| columns == usual)
        })
    }
}

/// Adds the field that a quote at `opens` begins, and gives the place after it and the blanks that follow;
/// `None` where it has no end.
fn quoted_field<R: BufRead>(
    lines: &mut Lines<R>,
    opens: usize,
    record: &mut Record,
) -> io::Result<Option<usize>> {
    let mut at = opens + 1;
    let before = record.text.len();
    loop {
        let rest = lines.ahead().get(at..).unwrap_or_default();
        let quote = memchr(b'"', rest);
        let inside = rest.get(..quote.unwrap_or(rest.len())).unwrap_or_default();
        record.text.extend_from_slice(inside);
        at += inside.len();
        if quote.is_none() {
            if at - opens > LONGEST || !lines.read()? {
                return Ok(None);
            }
            continue;
        }
        at += 1;
        if lines.ahead().get(at) != Some(&b'"') {
            break;
        }
        record.text.push(b'"');
        at += 1;
    }
    let field = record.text.get(before..).unwrap_or_default();
    if record.opens.is_none() && memchr(b'\n', field).is_some() {
        record.opens = Some(opens);
    }
    let rest = lines.ahead().get(at..).unwrap_or_default();
    let blanks = rest.iter().take_while(|&&byte| byte == b' ').count();
    Ok(Some(at + blanks))
}

/// The error of a fault of the line in which a byte lies.
fn fault_at<R: BufRead>(
    lines: &Lines<R>,
    at: usize,
    fault: &Fault,
    into: &Collector<'_, '_>,
) -> Error {
    let number = |at: usize| {
        let before = lines.ahead().get(..at).unwrap_or_default();
        lines.number + memchr_iter(b'\n', before).count() as u64
    };
    let reason = match *fault {
        Fault::Unclosed => {
            "a quote opens here that is never closed, or not within 16 MiB; close it, or read the file with \
                            `quotes=no` if quotes mean nothing in it"
                .to_owned()
        }
        Fault::GoesOn(end) => format!(
            "a quote opens here, and the field goes on after the quote that closes it (line {}); write \
             quotes inside of a field twice, or read the file with `quotes=no` if they mean nothing in it",
            number(end)
        ),
        Fault::Return => super::rows::RETURNS.to_owned(),
        Fault::Swallows(end) => format!(
            "a quote opens here that is closed in line {}, and the lines up to there read as rows of \
             their own; say `quotes=yes` if they are one field, or `quotes=no` if quotes mean nothing",
            number(end)
        ),
    };
    into.malformed(number(at), reason)
}
