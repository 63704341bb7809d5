//! Delimited rows parsed in blocks, on all threads.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::ops::{ControlFlow, Range};
use std::path::Path;

use super::blocks::LineBlocks;
use super::interactions::Interactions;
use super::layout::Layout;
use super::plain_rows::PlainRows;
use super::rows::{BadRows, Collector, RETURNS, pieces};
use super::schema::Schema;
use super::time_unit::TimeRule;
use crate::{Error, ErrorKind, Result};

/// Blocks per thread that are parsed before their rows are put together.
const BLOCKS_PER_THREAD: usize = 2;

/// Whether all was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// It was.
    Whole,
    /// A quote turned up, which this reader does not understand; nothing that was read counts.
    Quoted,
}

/// Reads rows whose fields are not quoted.
pub(super) fn read(
    blocks: &mut impl LineBlocks,
    schema: &Schema,
    into: &mut Collector<'_, '_>,
) -> Result<Completion> {
    let delimiter = schema.delimiter.as_bytes();
    if delimiter.is_empty() {
        let reason = "must be at least one character";
        return Err(Error::invalid("delimiter", "empty", reason));
    }
    let path = into.path;
    let mut lines_before = 0;
    let header = match header(blocks, schema, into, &mut lines_before)? {
        ControlFlow::Continue(header) => header,
        ControlFlow::Break(completion) => return Ok(completion),
    };
    let layout = Layout::new(schema, header, path)?;
    into.untimed = layout.time.is_none();
    let parser = Parser {
        delimiter,
        quotes: schema.has_quotes(),
        layout: &layout,
        path,
        bad_rows: into.bad_rows,
        rule: into.rule,
    };
    let of_round = BLOCKS_PER_THREAD * rayon::current_num_threads();
    let count = blocks.count();
    let mut next = || blocks.next(of_round, |text| parser.parse(text));
    let mut parsed = next();
    let mut first = true;
    while !parsed.is_empty() {
        let merge = || -> Result<Completion> {
            for part in parsed {
                let part = part.map_err(Error::io("read", path))?;
                if part.quoted {
                    return Ok(Completion::Quoted);
                }
                part.put_into(into, &mut lines_before)?;
            }
            if let Some(count) = count
                && first
                && !into.gives_parts()
            {
                let rows = into.interactions.len() as f64 * count as f64 / of_round as f64;
                into.interactions.reserve((rows * 1.01) as usize);
            }
            first = false;
            Ok(Completion::Whole)
        };
        // The rows of one round are put together while the next is parsed.
        let (merged, next) = rayon::join(merge, &mut next);
        if merged? == Completion::Quoted {
            return Ok(Completion::Quoted);
        }
        parsed = next;
    }
    Ok(Completion::Whole)
}

/// The names of the columns where there is a header; or how reading ends at it, where the text is empty or
/// its header is quoted.
fn header(
    blocks: &mut impl LineBlocks,
    schema: &Schema,
    into: &Collector<'_, '_>,
    lines: &mut u64,
) -> Result<ControlFlow<Completion, Option<Vec<String>>>> {
    if !schema.header {
        return Ok(ControlFlow::Continue(None));
    }
    let mut line = Vec::new();
    // Blank lines before it are nothing, as they are anywhere.
    while line.trim_ascii().is_empty() {
        line = blocks.first_line().map_err(Error::io("read", into.path))?;
        *lines += 1;
        if line.is_empty() {
            return Ok(ControlFlow::Break(Completion::Whole));
        }
    }
    if schema.has_quotes() && line.contains(&b'"') {
        return Ok(ControlFlow::Break(Completion::Quoted));
    }
    if pieces(&line) > 1 {
        return Err(into.malformed(*lines, RETURNS));
    }
    let names = header_names(without_end(&line), schema.delimiter.as_bytes());
    Ok(ControlFlow::Continue(Some(names)))
}

/// What was made of a block.
struct ParsedBlock {
    rows: Interactions,
    lines: u64,
    /// The first error that was not to be skipped, with its line counted within the block.
    error: Option<Error>,
    /// The first one that was skipped, likewise.
    first_skipped: Option<Error>,
    /// Whether a quote turned up, and nothing else was read.
    quoted: bool,
}

impl ParsedBlock {
    /// Adds the rows to those before, which took so many lines.
    fn put_into(self, into: &mut Collector<'_, '_>, lines_before: &mut u64) -> Result<()> {
        if let Some(error) = self.error {
            return Err(at_line_after(error, *lines_before));
        }
        into.interactions.append(self.rows);
        if let (None, Some(error)) = (&into.first_skipped, self.first_skipped) {
            into.first_skipped = Some(at_line_after(error, *lines_before));
        }
        *lines_before += self.lines;
        into.give()
    }
}

/// How bytes become rows.
struct Parser<'a> {
    delimiter: &'a [u8],
    quotes: bool,
    layout: &'a Layout,
    path: &'a Path,
    bad_rows: BadRows,
    rule: Option<TimeRule>,
}

impl Parser<'_> {
    #[expect(
        clippy::indexing_slicing,
        reason = "rows are asked for columns that they have, and fields lie in their line"
    )]
    fn parse(&self, text: &[u8]) -> ParsedBlock {
        let mut into = Collector::new(self.path, self.bad_rows, None);
        into.rule = self.rule;
        let (mut lines, mut error) = (0, None);
        let quoted = self.quotes && memchr::memchr(b'"', text).is_some();
        let plain = match self.rule {
            None => PlainRows::new(self.layout, self.delimiter),
            Some(_) => None,
        };
        let mut fields = Vec::new();
        let mut rest = if quoted { &[] } else { text };
        while !rest.is_empty() && error.is_none() {
            lines += 1;
            if let Some(row) = plain.as_ref().and_then(|plain| plain.read(&mut rest)) {
                into.plain_row(row);
                continue;
            }
            let line;
            (line, rest) = split_line(rest, self.delimiter, &mut fields);
            if line.trim_ascii().is_empty() {
                continue;
            }
            error = match whole_row(&mut into, self.layout, line, lines, self.delimiter, &fields) {
                Ok(true) => {
                    let row = into.row(self.layout, lines, fields.len(), |column| {
                        &line[fields[column].clone()]
                    });
                    into.take(row).err()
                }
                Ok(false) => None,
                Err(error) => Some(error),
            };
        }
        ParsedBlock {
            rows: into.interactions,
            lines,
            error,
            first_skipped: into.first_skipped,
            quoted,
        }
    }
}

/// The first line without its end and the places of its fields, and what comes after it.
#[expect(
    clippy::indexing_slicing,
    reason = "what memchr finds lies in the text, and a delimiter has a first byte"
)]
pub(super) fn split_line<'t>(
    text: &'t [u8],
    delimiter: &[u8],
    fields: &mut Vec<Range<usize>>,
) -> (&'t [u8], &'t [u8]) {
    fields.clear();
    let mut start = 0;
    for place in memchr::memchr2_iter(delimiter[0], b'\n', text) {
        if text[place] == b'\n' {
            let line = without_end(&text[..=place]);
            fields.push(start..line.len().max(start));
            return (line, &text[place + 1..]);
        }
        if place >= start && text[place..].starts_with(delimiter) {
            fields.push(start..place);
            start = place + delimiter.len();
        }
    }
    fields.push(start..text.len());
    (text, &[])
}

/// Whether a line with these fields is one row, and not several that carriage returns end, which is an error
/// or skipped. Text that has no role may have them inside.
#[inline]
pub(super) fn whole_row(
    into: &mut Collector<'_, '_>,
    layout: &Layout,
    line: &[u8],
    number: u64,
    delimiter: &[u8],
    fields: &[Range<usize>],
) -> Result<bool> {
    if memchr::memchr(b'\r', line).is_none() {
        return Ok(true);
    }
    let field = |column: usize| {
        let field = fields.get(column).and_then(|field| line.get(field.clone()));
        field.unwrap_or_default()
    };
    let has_return = |column: usize| memchr::memchr(b'\r', field(column).trim_ascii()).is_some();
    let in_text = !(0..fields.len()).any(|column| layout.has_role(column) && has_return(column));
    let is_row = || into.read_row(layout, number, fields.len(), field).is_ok();
    if in_text && !returns_end_rows(layout, line, delimiter) && is_row() {
        return Ok(true);
    }
    into.whole_line(line, number)
}

/// Whether what comes after a carriage return has as many fields as rows have.
pub(super) fn returns_end_rows(layout: &Layout, text: &[u8], delimiter: &[u8]) -> bool {
    let least = layout.columns.unwrap_or_else(|| layout.least_columns());
    let mut fields = Vec::new();
    let mut pieces = text.split(|&byte| byte == b'\r').skip(1);
    pieces.any(|piece| {
        split_line(piece, delimiter, &mut fields);
        fields.len() >= least
    })
}

#[expect(clippy::indexing_slicing, reason = "fields lie in their line")]
fn header_names(line: &[u8], delimiter: &[u8]) -> Vec<String> {
    let mut fields = Vec::new();
    let (line, _) = split_line(line, delimiter, &mut fields);
    fields
        .into_iter()
        .map(|field| String::from_utf8_lossy(&line[field]).trim().to_owned())
        .collect()
}

/// A line without its end.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The same error some lines further down.
fn at_line_after(mut error: Error, lines_before: u64) -> Error {
    if let ErrorKind::ColumnCount { line, .. }
    | ErrorKind::Field { line, .. }
    | ErrorKind::Malformed { line, .. }
    | ErrorKind::Encoding { line, .. } = error.kind_mut()
    {
        *line += lines_before;
    }
    error
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor, Read, Seek};

    use proptest::prelude::*;

    use super::super::blocks::{BlockSource, SeekBlocks, Stream};
    use super::super::quoted_rows;
    use super::super::rows::BadRows;
    use super::super::schema::Column;
    use super::*;

    impl BlockSource for &str {
        fn open(&self) -> io::Result<impl Read + Seek> {
            Ok(Cursor::new(self.as_bytes()))
        }
    }

    fn schema() -> Schema {
        Schema::positions(0, 1)
            .time(Column::Position(2))
            .value(Column::Position(3))
    }

    /// How text is cut into blocks of so many bytes.
    enum Cut {
        Places(usize),
        Stream(usize),
    }

    /// What one reader makes of a text, in a form that can be compared.
    fn outcome(text: &str, block: Option<Cut>, bad_rows: BadRows) -> Result<String, String> {
        let mut into = Collector::new(Path::new("log.csv"), bad_rows, None);
        let whole = 0..text.len() as u64;
        let read = match block {
            Some(Cut::Places(block)) => read(
                &mut SeekBlocks::new(&text, whole, block),
                &schema(),
                &mut into,
            ),
            Some(Cut::Stream(block)) => read(
                &mut Stream::new(text.as_bytes(), block),
                &schema(),
                &mut into,
            ),
            None => {
                quoted_rows::read(text.as_bytes(), &schema(), &mut into).map(|()| Completion::Whole)
            }
        };
        assert_eq!(read.map_err(|error| error.to_string())?, Completion::Whole);
        let log = into.interactions;
        let values: Vec<Option<f32>> = (0..log.len()).map(|row| log.value(row)).collect();
        let ids = (log.users(), log.items());
        let columns = (log.user_numbers(), log.item_numbers(), log.times());
        Ok(format!(
            "{ids:?} {columns:?} {values:?} {}",
            log.skipped_rows()
        ))
    }

    proptest! {
        #[test]
        fn blocks_of_any_size_give_what_the_reader_of_quotes_gives(
            rows in proptest::collection::vec((0..4u8, "[a-c]{1,3}|[0-9]{1,3}", 0..99i32, 0..12u8), 1..40),
            block in 1..400usize,
            windows in any::<bool>(),
        ) {
            let end = if windows { "\r\n" } else { "\n" };
            let rows = rows.into_iter().map(|(user, item, time, kind)| match kind {
                0 => format!("{user},{item}{end}"),
                1 => format!("{user},{item},soon,1{end}"),
                2 => format!("{user},{item},{time},{end}"),
                3 => format!("{user},{item},{time}.5,2.5{end}"),
                4 => format!("{user},{item},{time},4,more{end}"),
                5 => format!("{user}, {item},{time},4{end}"),
                6 => format!("{user},{item},12345678901{time},1e1{end}"),
                _ => format!("{user},{item},{time},4{end}"),
            });
            let text: String = rows.collect();
            for bad_rows in [BadRows::Skip, BadRows::Fail] {
                let expected = outcome(&text, None, bad_rows);
                for cut in [Cut::Places(block), Cut::Stream(block)] {
                    prop_assert_eq!(&outcome(&text, Some(cut), bad_rows), &expected);
                }
            }
        }
    }

    #[test]
    fn a_quote_anywhere_is_left_to_the_reader_of_quotes() {
        for text in ["1,2,3,4\n1,\"2,5\",3,4\n", "\"1\",2,3,4\n"] {
            let mut into = Collector::new(Path::new("log.csv"), BadRows::Fail, None);
            let whole = 0..text.len() as u64;
            let mut blocks = SeekBlocks::new(&text, whole, 4);
            let completion = read(&mut blocks, &schema(), &mut into).unwrap();
            assert_eq!(completion, Completion::Quoted);
        }
    }
}
