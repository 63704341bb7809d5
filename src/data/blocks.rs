//! Delimited rows read and parsed in blocks, on all threads.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::interactions::Interactions;
use super::layout::Layout;
use super::plain_rows::PlainRows;
use super::rows::{BadRows, Collector};
use super::schema::Schema;
use crate::{Error, Result};

/// Bytes that one thread reads and parses at a time.
pub(super) const BLOCK: usize = 2 << 20;

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

/// Bytes that every thread opens for itself.
pub(super) trait Source: Sync {
    /// The bytes from the start.
    fn open(&self) -> io::Result<impl Read + Seek>;
}

/// Reads rows whose fields are not quoted from the bytes `range` of a source, `block` bytes at a
/// time.
///
/// Blocks are read into memory that stays in cache, rather than mapped: mapped pages would count
/// as this process's memory, and a file that shrinks would end it.
pub(super) fn read(
    source: &impl Source,
    range: Range<u64>,
    block: usize,
    schema: &Schema,
    into: &mut Collector<'_, '_>,
) -> Result<Completion> {
    let delimiter = schema.delimiter.as_bytes();
    if delimiter.is_empty() {
        return Err(Error::invalid(
            "delimiter",
            "empty",
            "must be at least one character",
        ));
    }
    let quotes = schema.has_quotes();
    let path = into.path;
    let mut rows = range;
    let mut lines_before = 0;
    let header = if schema.header {
        let line = first_line(source, rows.start).map_err(Error::io("read", path))?;
        if quotes && line.contains(&b'"') {
            return Ok(Completion::Quoted);
        }
        lines_before = 1;
        rows.start += line.len() as u64;
        Some(header_names(without_end(&line), delimiter))
    } else {
        None
    };
    let layout = Layout::new(schema, header, path)?;
    into.untimed = layout.time.is_none();
    let parser = Parser {
        delimiter,
        quotes,
        layout: &layout,
        path,
        bad_rows: into.bad_rows,
    };
    let blocks = rows.clone().step_by(block).collect::<Vec<u64>>();
    let mut rounds = blocks.chunks(BLOCKS_PER_THREAD * rayon::current_num_threads());
    let parse = |starts: &[u64]| -> Vec<io::Result<Part>> {
        let parse = |text: &mut Vec<u8>, &start: &u64| {
            let end = rows.end.min(start + block as u64);
            read_lines(source, rows.start, start..end, text)?;
            Ok(parser.parse(text))
        };
        starts.par_iter().map_init(Vec::new, parse).collect()
    };
    let mut parsed = rounds.next().map(parse).unwrap_or_default();
    let mut first = true;
    while !parsed.is_empty() {
        let merge = || -> Result<Completion> {
            for part in parsed {
                let part = part.map_err(Error::io("read", path))?;
                if part.quoted {
                    return Ok(Completion::Quoted);
                }
                if let Some(error) = part.error {
                    return Err(at_line_after(error, lines_before));
                }
                into.interactions.append(part.rows);
                lines_before += part.lines;
                into.give()?;
            }
            if first && !into.gives_parts() {
                let share = blocks.len() as f64 / rayon::current_num_threads() as f64;
                let rows = into.interactions.len() as f64 * share / BLOCKS_PER_THREAD as f64;
                into.interactions.reserve((rows * 1.01) as usize);
                first = false;
            }
            Ok(Completion::Whole)
        };
        // The rows of one round are put together while the next is parsed.
        let (merged, next) = rayon::join(merge, || rounds.next().map(parse).unwrap_or_default());
        if merged? == Completion::Quoted {
            return Ok(Completion::Quoted);
        }
        parsed = next;
    }
    Ok(Completion::Whole)
}

fn first_line(source: &impl Source, start: u64) -> io::Result<Vec<u8>> {
    let mut bytes = source.open()?;
    bytes.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    BufReader::new(bytes).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Reads into `text` the whole lines that begin within `range`; lines begin at `first` and after
/// every line end.
fn read_lines(
    source: &impl Source,
    first: u64,
    range: Range<u64>,
    text: &mut Vec<u8>,
) -> io::Result<()> {
    text.clear();
    let mut bytes = source.open()?;
    // The byte before tells whether a line begins right here.
    let from = range.start - u64::from(range.start > first);
    bytes.seek(SeekFrom::Start(from))?;
    let read = bytes.by_ref().take(range.end - from).read_to_end(text)? as u64;
    if read < range.end - from {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it became shorter while it was read",
        ));
    }
    if range.start > first {
        let Some(end) = memchr::memchr(b'\n', text) else {
            text.clear();
            return Ok(());
        };
        text.drain(..=end);
    }
    if text.is_empty() || text.ends_with(b"\n") {
        return Ok(());
    }
    BufReader::new(bytes).read_until(b'\n', text)?;
    Ok(())
}

/// What was made of a block.
struct Part {
    rows: Interactions,
    lines: u64,
    /// The first error that was not to be skipped, with its line counted within the block.
    error: Option<Error>,
    /// Whether a quote turned up, and nothing else was read.
    quoted: bool,
}

/// How bytes become rows.
struct Parser<'a> {
    delimiter: &'a [u8],
    quotes: bool,
    layout: &'a Layout,
    path: &'a Path,
    bad_rows: BadRows,
}

impl Parser<'_> {
    #[expect(
        clippy::indexing_slicing,
        reason = "rows are asked for columns that they have, and fields lie in their line"
    )]
    fn parse(&self, text: &[u8]) -> Part {
        let mut into = Collector::new(self.path, self.bad_rows, None);
        let (mut lines, mut error) = (0, None);
        let quoted = self.quotes && memchr::memchr(b'"', text).is_some();
        let plain = PlainRows::new(self.layout, self.delimiter);
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
            let row = into.row(self.layout, lines, fields.len(), |column| {
                &line[fields[column].clone()]
            });
            error = into.take(row).err();
        }
        Part {
            rows: into.interactions,
            lines,
            error,
            quoted,
        }
    }
}

/// The first line without its end and the places of its fields, and what comes after it.
#[expect(
    clippy::indexing_slicing,
    reason = "what memchr finds lies in the text, and a delimiter has a first byte"
)]
fn split_line<'t>(
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
    if let Error::ColumnCount { line, .. }
    | Error::Field { line, .. }
    | Error::Encoding { line, .. } = &mut error
    {
        *line += lines_before;
    }
    error
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::super::reader::read_csv;
    use super::super::rows::BadRows;
    use super::super::schema::Column;
    use super::*;

    impl Source for &str {
        fn open(&self) -> io::Result<impl Read + Seek> {
            Ok(Cursor::new(self.as_bytes()))
        }
    }

    fn schema() -> Schema {
        Schema::positions(0, 1)
            .time(Column::Position(2))
            .value(Column::Position(3))
    }

    /// What one reader makes of a text, in a form that can be compared.
    fn outcome(text: &str, block: Option<usize>, bad_rows: BadRows) -> Result<String, String> {
        let mut into = Collector::new(Path::new("log.csv"), bad_rows, None);
        let whole = 0..text.len() as u64;
        let read = match block {
            Some(block) => read(&text, whole, block, &schema(), &mut into)
                .map(|completion| assert_eq!(completion, Completion::Whole)),
            None => read_csv(text.as_bytes(), &schema(), text.contains('\r'), &mut into),
        };
        read.map_err(|error| error.to_string())?;
        let log = into.interactions;
        let values: Vec<Option<f32>> = (0..log.len()).map(|row| log.value(row)).collect();
        let ids = (log.users().ids(), log.items().ids());
        let columns = (log.user_numbers(), log.item_numbers(), log.times());
        Ok(format!(
            "{ids:?} {columns:?} {values:?} {}",
            log.skipped_rows()
        ))
    }

    proptest! {
        #[test]
        fn blocks_of_any_size_give_what_the_csv_crate_gives(
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
                prop_assert_eq!(
                    outcome(&text, Some(block), bad_rows),
                    outcome(&text, None, bad_rows)
                );
            }
        }
    }

    #[test]
    fn a_quote_anywhere_is_left_to_the_csv_crate() {
        for text in ["1,2,3,4\n1,\"2,5\",3,4\n", "\"1\",2,3,4\n"] {
            let mut into = Collector::new(Path::new("log.csv"), BadRows::Fail, None);
            let whole = 0..text.len() as u64;
            let completion = read(&text, whole, 4, &schema(), &mut into).unwrap();
            assert_eq!(completion, Completion::Quoted);
        }
    }
}
