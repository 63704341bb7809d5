//! Tables of items in delimited text.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use memchr::{memchr, memchr_iter};

use super::cells::Cells;
use crate::data::columns::bare;
use crate::data::header::{first_block, header};
use crate::data::lines::{field, first_line, line_at, pieces};
use crate::data::opened::Text;
use crate::data::record::{Fault, LONGEST, Record};
use crate::data::rows::RETURNS;
use crate::{Error, ErrorKind, Result};

/// Bytes of a block that is read at a time.
const BLOCK: usize = 2 << 20;

/// The delimiters that are recognized by a header.
const DELIMITERS: [&str; 5] = [",", "\t", ";", "::", "|"];

/// Settings by which text becomes a table.
pub(super) struct TextLayout<'a> {
    pub(super) delimiter: &'a str,
    /// `None` where quotes quote in files that are not tab-separated, if that makes sense.
    pub(super) quotes: Option<bool>,
    /// The columns' names, in a file without a header.
    pub(super) columns: Option<&'a [String]>,
    /// True if bytes are Latin-1 where they are not UTF-8.
    pub(super) latin1: bool,
}

/// The cells of a file, a column each.
pub(super) struct TextTable {
    pub(super) header: Vec<String>,
    pub(super) columns: Vec<Cells>,
    /// The line in which each row begins.
    pub(super) lines: Vec<u64>,
}

/// The delimiter by which a header has a column of the ids.
///
/// # Errors
/// [`ErrorKind::MissingColumn`] where there is no such column by any, and
/// [`ErrorKind::UncertainFormat`] where there is by several.
pub(super) fn delimiter(
    path: &Path,
    header: &str,
    id: &str,
    is_id: impl Fn(&str) -> bool,
) -> Result<&'static str> {
    let names = |delimiter: &'static str| header.split(delimiter).map(bare);
    let mut fitting = DELIMITERS
        .into_iter()
        .filter(|&delimiter| header.contains(delimiter) && names(delimiter).any(&is_id));
    match (fitting.next(), fitting.next()) {
        (Some(delimiter), None) => Ok(delimiter),
        (None, _) if is_id(bare(header)) => Ok(","),
        (None, _) => {
            let most = DELIMITERS.into_iter().rev();
            let most = most.max_by_key(|&delimiter| names(delimiter).count());
            Err(ErrorKind::MissingColumn {
                path: path.to_owned(),
                column: id.to_owned(),
                header: names(most.unwrap_or(",")).map(str::to_owned).collect(),
            }
            .into())
        }
        (Some(one), Some(other)) => Err(ErrorKind::UncertainFormat {
            path: path.to_owned(),
            reason: format!("its header may be divided by {one:?} or by {other:?}"),
            options: "`ItemReader::delimiter`".to_owned(),
        }
        .into()),
    }
}

/// Reads a text as a table.
pub(super) fn read(text: &Text, division: &TextLayout<'_>) -> Result<TextTable> {
    let path = text.name();
    let failed = |error| Error::io("read", path)(error);
    let empty = || {
        Error::from(ErrorKind::EmptyFile {
            path: path.to_owned(),
        })
    };
    let mut blocks = text.blocks(BLOCK).map_err(failed)?;
    let first = first_block(&mut blocks, false).map_err(failed)?;
    let (mut rest, mut lines) = first.ok_or_else(empty)?;
    let quotes = division.delimiter.len() == 1
        && (division.quotes)
            .unwrap_or(division.delimiter != "\t" || line_at(&rest, 0).starts_with(b"\""));
    let names = match division.columns {
        Some(names) => names.to_vec(),
        None => {
            let by = (division.delimiter, quotes);
            let (names, length) = header(&mut rest, &mut blocks, lines + 1, by, path)?;
            lines += count_lines(&rest, length);
            rest.drain(..length);
            names
        }
    };
    let mut rows = RowReader {
        path,
        division,
        quotes,
        table: TextTable {
            columns: names.iter().map(|_| Cells::default()).collect(),
            header: names,
            lines: Vec::new(),
        },
        line: lines,
        record: Record::default(),
        fields: Vec::new(),
    };
    loop {
        let more = blocks.next_one().map_err(failed)?;
        let read = rows.read(&rest, more.is_some())?;
        rest.drain(..read);
        match more {
            Some(more) => rest.extend(more),
            None => break,
        }
    }
    if rows.table.lines.is_empty() {
        return Err(empty());
    }
    Ok(rows.table)
}

fn count_lines(text: &[u8], length: usize) -> u64 {
    memchr_iter(b'\n', text.get(..length).unwrap_or_default()).count() as u64
}

/// The rows that are being read.
struct RowReader<'a> {
    path: &'a Path,
    division: &'a TextLayout<'a>,
    quotes: bool,
    table: TextTable,
    /// The number of lines before the next row.
    line: u64,
    record: Record,
    fields: Vec<Range<usize>>,
}

impl RowReader<'_> {
    /// Reads the rows of a text, but for one that may go on in text that `comes` after this, and
    /// gives the number of bytes that were read.
    fn read(&mut self, text: &[u8], comes: bool) -> Result<usize> {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(length) = self.row(rest, comes)? else {
                break;
            };
            self.line += count_lines(rest, length);
            at += length;
        }
        Ok(at)
    }

    fn row(&mut self, text: &[u8], comes: bool) -> Result<Option<usize>> {
        let whole = line_at(text, 0);
        if whole.trim_ascii().is_empty() {
            return Ok(Some(whole.len()));
        }
        let delimiter = self.division.delimiter.as_bytes();
        if let (&[delimiter], true) = (delimiter, self.quotes && memchr(b'"', whole).is_some()) {
            return self.quoted_row(text, delimiter, comes);
        }
        let mut fields = std::mem::take(&mut self.fields);
        let (line, length) = first_line(text, delimiter, &mut fields);
        if pieces(line) > 1 {
            return Err(self.malformed(RETURNS));
        }
        self.push(fields.len(), |column| field(line, &fields, column))?;
        self.fields = fields;
        Ok(Some(length))
    }

    fn quoted_row(&mut self, text: &[u8], delimiter: u8, comes: bool) -> Result<Option<usize>> {
        let mut record = std::mem::take(&mut self.record);
        let first = self.line + 1;
        match record.read(text, delimiter, None) {
            Err((at, Fault::Unclosed)) if comes && text.len() - at <= LONGEST => Ok(None),
            Err((at, fault)) => Err(fault.error(text, at, first, self.path)),
            Ok(length) => {
                if let Some(opens) = record.opens.filter(|_| self.swallows(text, length)) {
                    let fault = Fault::Swallows(length - 1);
                    return Err(fault.error(text, opens, first, self.path));
                }
                self.push(record.len(), |column| record.field(column))?;
                self.record = record;
                Ok(Some(length))
            }
        }
    }

    /// True if a row of several lines may be rows of which one has a quote too many: its first line
    /// and another one have as many fields as the header.
    fn swallows(&mut self, text: &[u8], length: usize) -> bool {
        if self.division.quotes == Some(true) || self.table.columns.len() < 2 {
            return false;
        }
        let row = text.get(..length).unwrap_or_default();
        let delimiter = self.division.delimiter.as_bytes();
        let (columns, fields) = (self.table.columns.len(), &mut self.fields);
        let mut are_rows = row.split_inclusive(|&byte| byte == b'\n').map(|line| {
            first_line(line, delimiter, fields);
            fields.len() == columns
        });
        are_rows.next() == Some(true) && are_rows.any(|is_row| is_row)
    }

    fn push<'t>(&mut self, columns: usize, field: impl Fn(usize) -> &'t [u8]) -> Result<()> {
        let line = self.line + 1;
        if columns != self.table.columns.len() {
            return Err(ErrorKind::ColumnCount {
                path: self.path.to_owned(),
                line,
                expected: self.table.columns.len(),
                found: columns,
            }
            .into());
        }
        for (column, cells) in self.table.columns.iter_mut().enumerate() {
            let bytes = field(column);
            let cell = match std::str::from_utf8(bytes) {
                Ok(cell) => Cow::Borrowed(cell),
                // Its bytes are the first characters of Unicode.
                Err(_) if self.division.latin1 => {
                    Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect())
                }
                Err(_) => {
                    let path = self.path.to_owned();
                    return Err(ErrorKind::Encoding { path, line }.into());
                }
            };
            cells.push(&cell);
        }
        self.table.lines.push(line);
        Ok(())
    }

    fn malformed(&self, reason: &str) -> Error {
        Error::from(ErrorKind::Malformed {
            path: self.path.to_owned(),
            line: self.line + 1,
            reason: reason.to_owned(),
        })
    }
}
