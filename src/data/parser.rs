//! Lines of text as rows.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::ops::Range;
use std::path::Path;

use memchr::{memchr, memchr_iter, memchr2};

use super::columns;
use super::first_lines::{first_rows, holds_times, usual_columns};
use super::layout::Layout;
use super::lines::{BLANKS, field, first_line, is_remark};
use super::plain_rows::PlainRows;
use super::record::Record;
use super::rows::{BadRows, Collector};
use super::schema::Schema;
use super::time_unit::TimeRule;
use crate::Result;

/// The settings by which text becomes rows.
pub(super) struct Parser<'a> {
    path: &'a Path,
    bad_rows: BadRows,
    rule: Option<TimeRule>,
    pub(super) delimiter: &'a [u8],
    quotes: bool,
    /// True if quotes were asked for, so that what they quote is one field in any case.
    pub(super) asked: bool,
    /// `None` where lines are users with their items.
    pub(super) layout: Option<Layout>,
    plain: Option<PlainRows>,
}

impl<'a> Parser<'a> {
    /// A parser of lines that are users with their items, as a collector wants them.
    pub(super) fn of_sequences(into: &Collector<'a, '_>) -> Self {
        Self {
            path: into.path,
            bad_rows: into.bad_rows,
            rule: into.rule,
            delimiter: BLANKS.as_bytes(),
            quotes: false,
            asked: false,
            layout: None,
            plain: None,
        }
    }

    /// Sees to it that lines are divided into the columns of a schema, whose names stand in the
    /// header.
    pub(super) fn divide(
        &mut self,
        schema: &'a Schema,
        names: Option<Vec<String>>,
        sample: &str,
    ) -> Result<()> {
        self.delimiter = schema.delimiter.as_bytes();
        self.quotes = schema.has_quotes();
        self.asked = schema.quotes == Some(true) && !schema.quotes_inferred;
        let mut layout = Layout::new(schema, names.as_deref(), self.path)?;
        let rows = first_rows(sample, schema);
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let unnamed = || (0..columns).map(|place| format!("column {place}"));
        let names = names.unwrap_or_else(|| unnamed().collect());
        columns::check_order(self.path, schema, &names, |place| holds_times(&rows, place))?;
        let blanks = schema.delimiter == BLANKS;
        if blanks && !schema.header {
            // Rows may have more columns than are named, but all have the same.
            layout.columns = usual_columns(sample);
        }
        if self.rule.is_none() {
            let plain = PlainRows::new(&layout, self.delimiter);
            // A column that is not read would be empty between two blanks.
            self.plain = plain.filter(|plain| !blanks || !plain.skips_columns());
        }
        self.layout = Some(layout);
        Ok(())
    }

    /// True if the rows that a quote swallows are told by the number of columns of the row before.
    fn needs_usual(&self) -> bool {
        let open = |layout: &Layout| layout.columns.is_none() && layout.time.is_none();
        self.quotes && self.layout.as_ref().is_some_and(open)
    }
}

/// A block of text, and the rows that were read of it.
pub(super) struct ParsedBlock<'p> {
    pub(super) parser: &'p Parser<'p>,
    pub(super) text: Vec<u8>,
    /// The number of bytes of it that were read.
    pub(super) at: usize,
    /// The number of lines before that.
    pub(super) lines: u64,
    /// The number of columns of the last row.
    pub(super) usual: Option<usize>,
    pub(super) into: Collector<'p, 'static>,
    pub(super) record: Record,
    pub(super) fields: Vec<Range<usize>>,
}

impl<'p> ParsedBlock<'p> {
    fn new(parser: &'p Parser<'p>, text: Vec<u8>) -> Self {
        let mut into = Collector::new(parser.path, parser.bad_rows, None);
        into.rule = parser.rule;
        Self {
            parser,
            text,
            at: 0,
            lines: 0,
            usual: None,
            into,
            record: Record::default(),
            fields: Vec::new(),
        }
    }

    /// The block before the first one, with the lines that come before that.
    pub(super) fn after(parser: &'p Parser<'p>, lines: u64) -> Self {
        Self {
            lines,
            ..Self::new(parser, Vec::new())
        }
    }

    /// A block whose rows are read as far as they can be without those before it. A row that can't
    /// be read is read again, when it is known which line it is.
    pub(super) fn parsed_alone(parser: &'p Parser<'p>, text: Vec<u8>) -> Self {
        let mut block = Self::new(parser, text);
        if !parser.needs_usual() || memchr(b'"', &block.text).is_none() {
            block.parse(true).ok();
        }
        block
    }

    /// True if no row is left.
    pub(super) fn is_read(&self) -> bool {
        self.at >= self.text.len()
    }

    /// A block that begins with what is left of this one.
    pub(super) fn begin_again(&self, text: Vec<u8>) -> Self {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let text = match rest {
            [] => text,
            rest => [rest, &text].concat(),
        };
        Self {
            lines: self.lines,
            usual: self.usual,
            ..Self::new(self.parser, text)
        }
    }

    /// Adds the rows to those of the blocks before, of which the last is given.
    pub(super) fn join(mut self, before: &Self, into: &mut Collector<'_, '_>) -> Result<Self> {
        let tells_line = into.skipped_for.lacks_one_of(&self.into.skipped_for);
        if !before.is_read() || tells_line {
            self = before.begin_again(self.text);
            self.parse(true)?;
        } else {
            self.lines += before.lines;
            self.usual = self.usual.or(before.usual);
        }
        self.put_into(into)?;
        Ok(self)
    }

    pub(super) fn put_into(&mut self, into: &mut Collector<'_, '_>) -> Result<()> {
        into.interactions
            .append(std::mem::take(&mut self.into.interactions));
        into.skipped_for
            .add_all(std::mem::take(&mut self.into.skipped_for));
        into.give()
    }

    /// Reads the rows, but for one that may go on in text that `comes` after this, and what is
    /// behind it.
    pub(super) fn parse(&mut self, comes: bool) -> Result<()> {
        let text = std::mem::take(&mut self.text);
        let parsed = self.parse_text(&text, comes);
        self.text = text;
        parsed
    }

    fn parse_text(&mut self, text: &[u8], comes: bool) -> Result<()> {
        let quotes = self.parser.quotes && memchr(b'"', text).is_some();
        loop {
            self.plain_rows(text, quotes);
            let rest = text.get(self.at..).unwrap_or_default();
            let ends = || memchr2(b'"', b'\n', rest).and_then(|place| rest.get(place));
            let length = if rest.is_empty() {
                return Ok(());
            } else if quotes && ends() == Some(&b'"') {
                let Some(length) = self.quoted_row(rest, comes)? else {
                    return Ok(());
                };
                length
            } else {
                self.row(rest)?
            };
            let row = rest.get(..length).unwrap_or_default();
            self.lines += memchr_iter(b'\n', row).count() as u64;
            self.at += length;
        }
    }

    /// Reads rows of plain numbers, up to the first row that is something else.
    fn plain_rows(&mut self, text: &[u8], quotes: bool) {
        let Some(plain) = &self.parser.plain else {
            return;
        };
        // Text that is not read may be quoted.
        let may_quote = quotes && plain.skips_columns();
        let mut rest = text.get(self.at..).unwrap_or_default();
        let start = rest.len();
        let mut rows = 0;
        loop {
            let before = rest;
            let Some(row) = plain.read(&mut rest) else {
                break;
            };
            let length = before.len() - rest.len();
            if may_quote
                && before
                    .get(..length)
                    .is_some_and(|row| memchr(b'"', row).is_some())
            {
                rest = before;
                break;
            }
            self.into.push(row);
            rows += 1;
        }
        if rows > 0 {
            self.lines += rows;
            self.at += start - rest.len();
            self.usual = Some(plain.columns());
        }
    }

    /// Reads the line without quotes that a text begins with, and gives its length.
    fn row(&mut self, text: &[u8]) -> Result<usize> {
        let (parser, number) = (self.parser, self.lines + 1);
        let (line, length) = first_line(text, parser.delimiter, &mut self.fields);
        let Some(layout) = &parser.layout else {
            if self.into.whole_line(line, number)? {
                let sequence = self.into.sequence(line, number);
                self.into.take(sequence)?;
            }
            return Ok(length);
        };
        let blanks = parser.delimiter == BLANKS.as_bytes();
        if line.trim_ascii().is_empty() || (blanks && is_remark(line)) {
            return Ok(length);
        }
        if self.is_whole(line, layout)? {
            let columns = self.fields.len();
            let row = (self.into).row(layout, number, columns, |column| {
                field(line, &self.fields, column)
            });
            self.usual = row.is_ok().then_some(columns).or(self.usual);
            self.into.take(row)?;
        }
        Ok(length)
    }

    /// True if a line is one row, and not several that carriage returns end, which is an error or
    /// skipped. Text that has no role may have them inside.
    #[inline]
    fn is_whole(&mut self, line: &[u8], layout: &Layout) -> Result<bool> {
        if memchr(b'\r', line).is_none() {
            return Ok(true);
        }
        let number = self.lines + 1;
        let delimiter = self.parser.delimiter;
        let columns = self.fields.len();
        let of_line = |column: usize| field(line, &self.fields, column);
        let has_return = |column: usize| memchr(b'\r', of_line(column).trim_ascii()).is_some();
        let in_text = !(0..columns).any(|column| layout.has_role(column) && has_return(column));
        let is_row = || (self.into.read_row(layout, number, columns, of_line)).is_ok();
        if delimiter != BLANKS.as_bytes()
            && in_text
            && !layout.returns_end_rows(line, delimiter)
            && is_row()
        {
            return Ok(true);
        }
        self.into.whole_line(line, number)
    }
}
