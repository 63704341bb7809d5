//! Delimited rows read in blocks, which are parsed on all threads.

use std::io::{BufRead, Read};

use rayon::prelude::*;

use super::format::Schema;
use super::interactions::Interactions;
use super::reader::{Collector, Layout};
use crate::{Error, Result};

/// Bytes that one thread parses at a time.
pub(super) const BLOCK: usize = 4 << 20;

/// Whether all was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// It was.
    Whole,
    /// A quote turned up, which this reader does not understand; nothing that was read counts.
    Quoted,
}

/// Reads rows whose fields are not quoted, `block` bytes a thread at a time. `file_size` is a
/// guess of how many bytes there are.
pub(super) fn read(
    mut source: impl BufRead,
    file_size: u64,
    block: usize,
    schema: &Schema,
    into: &mut Collector<'_>,
) -> Result<Completion> {
    let delimiter = schema.delimiter.as_bytes();
    if delimiter.is_empty() {
        return Err(Error::invalid(
            "delimiter",
            "empty",
            "must be at least one character",
        ));
    }
    // With a delimiter of several characters a quote is a character like any other.
    let quotes = delimiter.len() == 1;
    let mut lines_before = 0;
    let header = if schema.header {
        let mut line = Vec::new();
        let read = source.read_until(b'\n', &mut line);
        read.map_err(Error::io("read", into.path))?;
        if quotes && line.contains(&b'"') {
            return Ok(Completion::Quoted);
        }
        lines_before = 1;
        let names = Fields::of(without_end(&line), delimiter);
        let name = |name: &&[u8]| String::from_utf8_lossy(name).trim().to_owned();
        Some(names.iter().map(name).collect())
    } else {
        None
    };
    let layout = Layout::new(schema, header, into.path)?;
    let mut buffer = Vec::new();
    let mut reserved = false;
    loop {
        let carried = buffer.len();
        let wanted = (block * rayon::current_num_threads()) as u64;
        let read = source.by_ref().take(wanted).read_to_end(&mut buffer);
        let ended = read.map_err(Error::io("read", into.path))? == 0;
        if quotes && buffer[carried..].contains(&b'"') {
            return Ok(Completion::Quoted);
        }
        let whole = if ended {
            buffer.len()
        } else {
            // A line longer than all blocks is read on until its end comes.
            let last_end = buffer[carried..].iter().rposition(|&byte| byte == b'\n');
            last_end.map_or(0, |end| carried + end + 1)
        };
        let parsed: Vec<Part> = split_at_lines(&buffer[..whole], block)
            .into_par_iter()
            .map(|text| Part::parse(text, delimiter, &layout, into))
            .collect();
        for part in parsed {
            if let Some(error) = part.error {
                return Err(at_line_after(error, lines_before));
            }
            into.interactions.append(part.rows);
            lines_before += part.lines;
        }
        if ended {
            break;
        }
        if whole > 0 && !reserved {
            reserved = true;
            let per_byte = into.interactions.len() as f64 / whole as f64;
            into.interactions
                .reserve((per_byte * file_size as f64 * 1.01) as usize);
        }
        buffer.drain(..whole);
    }
    if layout.time.is_none() {
        into.interactions.number_times();
    }
    Ok(Completion::Whole)
}

/// Divides text into pieces of about `block` bytes that end with a line.
fn split_at_lines(mut text: &[u8], block: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while text.len() > block {
        let end = text[block..].iter().position(|&byte| byte == b'\n');
        let (piece, rest) = text.split_at(end.map_or(text.len(), |end| block + end + 1));
        pieces.push(piece);
        text = rest;
    }
    pieces.push(text);
    pieces
}

/// What one thread made of its piece.
struct Part {
    rows: Interactions,
    lines: u64,
    /// The first error that was not to be skipped, with its line counted within the piece.
    error: Option<Error>,
}

impl Part {
    fn parse(text: &[u8], delimiter: &[u8], layout: &Layout, whole: &Collector<'_>) -> Self {
        let mut into = Collector::new(whole.path, whole.bad_rows);
        let mut fields = Fields::default();
        let (mut lines, mut error) = (0, None);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            lines += 1;
            let line = without_end(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            fields.split(line, delimiter);
            let row = into.row(layout, lines, fields.len(), |column| {
                fields.get(line, column)
            });
            if let Err(stop) = into.take(row) {
                error = Some(stop);
                break;
            }
        }
        Self {
            rows: into.interactions,
            lines,
            error,
        }
    }
}

/// A line without its end.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where the fields of a line end; reused from line to line.
#[derive(Default)]
struct Fields {
    bounds: Vec<(usize, usize)>,
}

impl Fields {
    fn of<'t>(line: &'t [u8], delimiter: &[u8]) -> Vec<&'t [u8]> {
        let mut fields = Self::default();
        fields.split(line, delimiter);
        (0..fields.len())
            .map(|column| fields.get(line, column))
            .collect()
    }

    fn split(&mut self, line: &[u8], delimiter: &[u8]) {
        self.bounds.clear();
        let (mut start, mut place) = (0, 0);
        while place < line.len() {
            if line[place] == delimiter[0] && line[place..].starts_with(delimiter) {
                self.bounds.push((start, place));
                place += delimiter.len();
                start = place;
            } else {
                place += 1;
            }
        }
        self.bounds.push((start, line.len()));
    }

    fn len(&self) -> usize {
        self.bounds.len()
    }

    fn get<'t>(&self, line: &'t [u8], column: usize) -> &'t [u8] {
        let (start, end) = self.bounds[column];
        &line[start..end]
    }
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
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::format::Column;
    use super::super::reader::{BadRows, read_csv};
    use super::*;

    fn schema() -> Schema {
        Schema::positions(0, 1)
            .time(Column::Position(2))
            .value(Column::Position(3))
    }

    /// What one reader makes of a text, in a form that can be compared.
    fn outcome(text: &str, block: Option<usize>, bad_rows: BadRows) -> Result<String, String> {
        let mut into = Collector::new(Path::new("log.csv"), bad_rows);
        let source = Cursor::new(text.as_bytes());
        let read = match block {
            Some(block) => read(source, text.len() as u64, block, &schema(), &mut into)
                .map(|completion| assert_eq!(completion, Completion::Whole)),
            None => read_csv(source, &schema(), text.contains('\r'), &mut into),
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
            block in 1..64usize,
            windows in any::<bool>(),
        ) {
            let end = if windows { "\r\n" } else { "\n" };
            let rows = rows.into_iter().map(|(user, item, time, kind)| match kind {
                0 => format!("{user},{item}{end}"),
                1 => format!("{user},{item},soon,1{end}"),
                2 => format!("{user},{item},{time},{end}"),
                3 => format!("{user},{item},{time}.5,2.5{end}"),
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
            let mut into = Collector::new(Path::new("log.csv"), BadRows::Fail);
            let completion = read(Cursor::new(text), 0, 4, &schema(), &mut into).unwrap();
            assert_eq!(completion, Completion::Quoted);
        }
    }
}
