//! Rows with quoted fields, and quotes that quote nothing.
//!
//! A field that begins with a quote extends to the next single one, over lines if it must. So one
//! quote too many swallows the rows up to the next quote, or to the end of the file. What can't be
//! a quoted field is a bad row, which ends with the line in which its quote opens: the next line is
//! read for itself.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::layout::Layout;
use super::lines::{field, first_line, line_at, pieces};
use super::parser::ParsedBlock;
use super::record::{Fault, LONGEST};
use crate::Result;

impl ParsedBlock<'_> {
    /// Reads the row with a quote that a text begins with, and gives its length; `None` where it
    /// may go on in text that `comes` after this.
    pub(super) fn quoted_row(&mut self, text: &[u8], comes: bool) -> Result<Option<usize>> {
        let parser = self.parser;
        let (Some(layout), &[delimiter]) = (&parser.layout, parser.delimiter) else {
            return Ok(Some(line_at(text, 0).len()));
        };
        let number = self.lines + 1;
        let parsed = self.record.read(text, delimiter, Some(layout));
        let opens = self.record.opens;
        // Rows that are lost with this one, where a field of several lines is followed by a fault.
        let mut lost = 0;
        let parsed = match (parsed, opens) {
            (Err((at, Fault::Unclosed)), _) if comes && text.len() - at <= LONGEST => {
                return Ok(None);
            }
            (Ok(length), Some(opens)) if self.swallows(text, length, layout) => {
                Err((opens, Fault::Swallows(length - 1)))
            }
            (Err((at, fault)), Some(opens)) if opens < at => {
                let length = at + line_at(text, at).len();
                let rows = self.rows_within(text, length, layout).0;
                if rows > 0 && !parser.asked {
                    Err((opens, Fault::Swallows(at)))
                } else {
                    lost = 1 + rows;
                    Err((at, fault))
                }
            }
            (parsed, _) => parsed,
        };
        match parsed {
            Ok(length) => {
                let columns = self.record.len();
                let row =
                    (self.into).row(layout, number, columns, |column| self.record.field(column));
                // Such as are lost with this one.
                let rows = match (&row, opens) {
                    (Err(_), Some(_)) => self.rows_within(text, length, layout).0,
                    _ => 0,
                };
                self.usual = row.is_ok().then_some(columns).or(self.usual);
                self.into.take_all(row, 1 + rows)?;
                Ok(Some(length))
            }
            Err((at, fault)) => {
                let error = fault.error(text, at, number, self.into.path);
                let start = text.get(..at).and_then(|text| memchr::memrchr(b'\n', text));
                let line = line_at(text, start.map_or(0, |before| before + 1));
                self.into
                    .take_all(Err(error), pieces(line).max(1).max(lost))?;
                Ok(Some(at + line_at(text, at).len()))
            }
        }
    }

    /// True if a row of several lines is rather several rows, of which one has a quote too many:
    /// its first line, and most of the others, are rows by themselves. If all of it is no row, or
    /// several of the others have a time, these are enough.
    fn swallows(&mut self, text: &[u8], length: usize, layout: &Layout) -> bool {
        if self.parser.asked {
            return false;
        }
        let (rows, others) = self.rows_within(text, length, layout);
        if rows == 0 || 2 * rows < others {
            return false;
        }
        if layout.time.is_some() && rows > 1 {
            return true;
        }
        let columns = self.record.len();
        let whole = (self.into).read_row(layout, 0, columns, |column| self.record.field(column));
        whole.is_err() || self.is_row(line_at(text, 0), true, layout)
    }

    /// The number of a row's lines after the first that are rows by themselves, and the number of
    /// all of them.
    fn rows_within(&mut self, text: &[u8], length: usize, layout: &Layout) -> (usize, usize) {
        let text = text.get(..length).unwrap_or_default();
        let others = text.split_inclusive(|&byte| byte == b'\n').skip(1);
        let others = others.filter(|line| !line.trim_ascii().is_empty());
        let (mut rows, mut all) = (0, 0);
        for line in others {
            rows += usize::from(self.is_row(line, false, layout));
            all += 1;
        }
        (rows, all)
    }

    /// True if a line is a row when its quotes mean nothing. One in which a field is `open` may
    /// have delimiters in that field. Where there is no time, most lines with a delimiter could be
    /// rows, so that it must have as many columns as others.
    fn is_row(&mut self, line: &[u8], open: bool, layout: &Layout) -> bool {
        let (line, _) = first_line(line, self.parser.delimiter, &mut self.fields);
        let fields = &self.fields;
        let usual = match (layout.columns, layout.time) {
            (None, None) => Some(self.usual.unwrap_or(self.record.len())),
            (columns, _) => columns,
        };
        let most = usual.filter(|_| open).unwrap_or(usize::MAX);
        let columns = fields.len().min(most);
        let row = (self.into).read_row(layout, 0, columns, |column| field(line, fields, column));
        row.is_ok() && usual.is_none_or(|usual| columns == usual)
    }
}
