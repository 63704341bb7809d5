//! Reading interactions from files.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use super::blocks::{self, BLOCK, Completion};
use super::format::{Column, Format, Schema};
use super::id::{Key, parse_canonical};
use super::interactions::Interactions;
use super::plain_rows::{POWERS, PlainRow};
use crate::{Error, Result};

/// What to do with a row that can't be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadRows {
    /// Stop with an error that names the line.
    #[default]
    Fail,
    /// Leave the row out and count it in [`Interactions::skipped_rows`].
    Skip,
}

/// Reads [`Interactions`] from a file.
///
/// ```no_run
/// use seqrec::data::{BadRows, InteractionReader};
///
/// let log = InteractionReader::detect("ratings.csv")?.bad_rows(BadRows::Skip).read()?;
/// println!("{} rows, {} left out", log.len(), log.skipped_rows());
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct InteractionReader {
    path: PathBuf,
    format: Format,
    bad_rows: BadRows,
}

impl InteractionReader {
    /// A reader of `path`, whose format is told from its name and first line.
    ///
    /// # Errors
    /// As [`Format::detect`].
    pub fn detect(path: impl AsRef<Path>) -> Result<Self> {
        let format = Format::detect(&path)?;
        Ok(Self::new(path, format))
    }

    /// A reader of `path`, which is written in `format`.
    pub fn new(path: impl AsRef<Path>, format: Format) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            format,
            bad_rows: BadRows::default(),
        }
    }

    /// Sets what happens to rows that can't be read.
    pub fn bad_rows(mut self, bad_rows: BadRows) -> Self {
        self.bad_rows = bad_rows;
        self
    }

    /// The format that the file is read in.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be read, [`Error::EmptyFile`] when it holds no row,
    /// [`Error::MissingColumn`] when the header lacks a column, and, unless bad rows are skipped,
    /// [`Error::ColumnCount`], [`Error::Field`] or [`Error::Encoding`] with the line.
    pub fn read(&self) -> Result<Interactions> {
        let file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
        let mut source = BufReader::with_capacity(1 << 20, file);
        let first = source.fill_buf().map_err(Error::io("read", &self.path))?;
        let byte_order_mark = if first.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        source.consume(byte_order_mark);
        let buffered = source.fill_buf().map_err(Error::io("read", &self.path))?;
        let first_line = buffered.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
        let carriage_returns = first_line.ends_with(b"\r");
        let first_line = String::from_utf8_lossy(first_line).trim_end().to_owned();

        let mut into = Collector::new(&self.path, self.bad_rows);
        match self.format.schema(&self.path, &first_line)? {
            None => read_sequences(source, &mut into)?,
            Some(schema) if schema.delimiter == " " => {
                read_columns(source, &schema, &mut into)?;
            }
            Some(schema) => {
                let file = std::fs::metadata(&self.path).map_err(Error::io("read", &self.path))?;
                if !file.is_file() {
                    let reason = "must be a regular file, since it is read by several threads";
                    return Err(Error::invalid("path", self.path.display(), reason));
                }
                let file_size = file.len();
                let rows = byte_order_mark as u64..file_size;
                match blocks::read(&self.path.as_path(), rows, BLOCK, &schema, &mut into)? {
                    Completion::Whole => {}
                    Completion::Quoted => {
                        // Quoted fields may hold delimiters and line ends: the csv crate knows.
                        into = Collector::new(&self.path, self.bad_rows);
                        let file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
                        read_csv(file, &schema, carriage_returns, &mut into)?;
                    }
                }
            }
        }
        if into.interactions.is_empty() {
            return Err(Error::EmptyFile {
                path: self.path.clone(),
            });
        }
        Ok(into.interactions)
    }
}

/// The positions of a schema's columns in a certain file.
pub(super) struct Layout {
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) time: Option<usize>,
    pub(super) value: Option<usize>,
    pub(super) event: Option<usize>,
    /// How many columns each row must have; `None` when the schema leaves it open.
    pub(super) columns: Option<usize>,
}

impl Layout {
    pub(super) fn new(schema: &Schema, header: Option<Vec<String>>, path: &Path) -> Result<Self> {
        let find = |column: &Column| match (column, &header) {
            (Column::Position(position), _) => Ok(*position),
            (Column::Name(name), Some(header)) => {
                let position = header.iter().position(|column| column == name);
                position.ok_or_else(|| Error::MissingColumn {
                    path: path.to_owned(),
                    column: name.clone(),
                    header: header.clone(),
                })
            }
            (Column::Name(name), None) => Err(Error::invalid(
                "schema",
                name,
                "a column can only be named where the file has a header",
            )),
        };
        let find_optional = |column: &Option<Column>| column.as_ref().map(find).transpose();
        Ok(Self {
            user: find(&schema.user)?,
            item: find(&schema.item)?,
            time: find_optional(&schema.time)?,
            value: find_optional(&schema.value)?,
            event: find_optional(&schema.event)?,
            columns: header.map(|header| header.len()),
        })
    }

    pub(super) fn least_columns(&self) -> usize {
        let optional = [self.time, self.value, self.event].into_iter().flatten();
        1 + optional.fold(self.user.max(self.item), usize::max)
    }
}

/// Where rows go, and what becomes of the bad ones.
pub(super) struct Collector<'a> {
    pub(super) path: &'a Path,
    pub(super) bad_rows: BadRows,
    pub(super) interactions: Interactions,
}

impl<'a> Collector<'a> {
    pub(super) fn new(path: &'a Path, bad_rows: BadRows) -> Self {
        Self {
            path,
            bad_rows,
            interactions: Interactions::default(),
        }
    }

    /// Passes an error on or counts it, as asked for.
    pub(super) fn take(&mut self, row: Result<()>) -> Result<()> {
        match (row, self.bad_rows) {
            (
                Err(Error::ColumnCount { .. } | Error::Field { .. } | Error::Encoding { .. }),
                BadRows::Skip,
            ) => {
                self.interactions.skipped_rows += 1;
                Ok(())
            }
            (row, _) => row,
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
        let text = self.text(field, line)?.trim();
        if text.is_empty() {
            return Err(self.bad_field(line, name, text, "an id"));
        }
        Ok(Key::of_text(text))
    }

    fn time(&self, field: &[u8], line: u64) -> Result<f64> {
        if let Some(number) = short_number(field) {
            return Ok(number);
        }
        let text = self.text(field, line)?.trim();
        let finite = |number: &f64| number.is_finite();
        let number = text.parse::<f64>().ok().filter(finite);
        number.or_else(|| date(text)).ok_or_else(|| {
            self.bad_field(
                line,
                "timestamp",
                text,
                "a number, or a date such as 2021-05-11 08:30:00",
            )
        })
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

    /// A line of a user and his items; a blank one is nothing.
    fn sequence(&mut self, text: &[u8], line: u64) -> Result<()> {
        let mut words = self.text(text, line)?.split_ascii_whitespace();
        let Some(user) = words.next() else {
            return Ok(());
        };
        let mut items = words.peekable();
        if items.peek().is_none() {
            return Err(Error::ColumnCount {
                path: self.path.to_owned(),
                line,
                expected: 2,
                found: 1,
            });
        }
        let rows = &mut self.interactions;
        let user = rows.users.intern_text(user);
        for item in items {
            let item = rows.items.intern_text(item);
            rows.push_numbers(user, item, rows.len() as f64, None, None);
        }
        Ok(())
    }

    pub(super) fn plain_row(&mut self, row: PlainRow) {
        let rows = &mut self.interactions;
        let user = rows.users.intern_key(Key::Integer(row.user.into()));
        let item = rows.items.intern_key(Key::Integer(row.item.into()));
        let time = row.time.unwrap_or(rows.len() as f64);
        rows.push_numbers(user, item, time, row.value, None);
    }

    pub(super) fn row<'t>(
        &mut self,
        layout: &Layout,
        line: u64,
        columns: usize,
        field: impl Fn(usize) -> &'t [u8],
    ) -> Result<()> {
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
        let time = match layout.time {
            Some(column) => self.time(field(column), line)?,
            None => self.interactions.len() as f64,
        };
        let value = match layout.value.map(&field) {
            Some(text) if !text.trim_ascii().is_empty() => Some(self.value(text, line)?),
            _ => None,
        };
        let event = match layout.event.map(&field) {
            Some(text) if !text.trim_ascii().is_empty() => Some(self.text(text, line)?.trim()),
            _ => None,
        };
        let user = self.interactions.users.intern_key(user);
        let item = self.interactions.items.intern_key(item);
        self.interactions
            .push_numbers(user, item, time, value, event);
        Ok(())
    }
}

/// A date, with or without the time of day and an offset, in seconds since 1970; UTC where there is
/// no offset.
fn date(text: &str) -> Option<f64> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => {
            let local: jiff::civil::DateTime = text.parse().ok()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
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

/// Reads rows with quoted fields.
pub(super) fn read_csv(
    source: impl Read,
    schema: &Schema,
    carriage_returns: bool,
    into: &mut Collector<'_>,
) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(schema.delimiter.bytes().next().unwrap_or(b','))
        .has_headers(schema.header)
        .flexible(true)
        .from_reader(source);
    let read_error = |error: csv::Error| Error::Io {
        action: "read",
        path: into.path.to_owned(),
        source: error.into(),
    };
    let header = if schema.header {
        let header = reader.byte_headers().map_err(read_error)?;
        let names = header
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_owned());
        Some(names.collect())
    } else {
        None
    };
    let layout = Layout::new(schema, header, into.path)?;
    let mut record = ByteRecord::new();
    loop {
        let is_first = reader.position().byte() == 0;
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                return Err(Error::Io {
                    action: "read",
                    path: into.path.to_owned(),
                    source: error.into(),
                });
            }
        }
        let position = record.position().map_or(1, csv::Position::line);
        // A record begins right after the carriage return, before the line is counted.
        let line = position + u64::from(carriage_returns && !is_first);
        let row = into.row(&layout, line, record.len(), |column| {
            record.get(column).unwrap_or_default()
        });
        into.take(row)?;
    }
}

/// Calls `each` with every line and its number, from 1, but for remarks: at the beginning alone, or
/// anywhere.
fn lines(
    mut source: impl BufRead,
    remarks_anywhere: bool,
    into: &mut Collector<'_>,
    mut each: impl FnMut(&[u8], u64, &mut Collector<'_>) -> Result<()>,
) -> Result<()> {
    let mut text = Vec::new();
    let mut remarks = true;
    for line in 1.. {
        text.clear();
        let read = source.read_until(b'\n', &mut text);
        if read.map_err(Error::io("read", into.path))? == 0 {
            break;
        }
        if remarks && matches!(text.first(), Some(b'%' | b'#')) {
            continue;
        }
        remarks &= remarks_anywhere || text.trim_ascii().is_empty();
        let taken = each(&text, line, into);
        into.take(taken)?;
    }
    Ok(())
}

fn read_sequences(source: impl BufRead, into: &mut Collector<'_>) -> Result<()> {
    lines(source, false, into, |text, line, into| {
        into.sequence(text, line)
    })
}

/// Reads rows with any number of blanks between their fields.
fn read_columns(source: impl BufRead, schema: &Schema, into: &mut Collector<'_>) -> Result<()> {
    let mut layout = None;
    lines(source, true, into, |text, line, into| {
        let fields: Vec<&[u8]> = (text.split(u8::is_ascii_whitespace))
            .filter(|field| !field.is_empty())
            .collect();
        let field = |column: usize| fields.get(column).copied().unwrap_or_default();
        if fields.is_empty() {
            return Ok(());
        }
        if let Some(layout) = &layout {
            return into.row(layout, line, fields.len(), field);
        }
        if schema.header {
            let names = fields
                .iter()
                .map(|name| String::from_utf8_lossy(name).into_owned());
            layout = Some(Layout::new(schema, Some(names.collect()), into.path)?);
            return Ok(());
        }
        let mut of_rows = Layout::new(schema, None, into.path)?;
        // Rows may have more columns than are named, but all have the same.
        of_rows.columns = Some(fields.len());
        let layout = layout.insert(of_rows);
        into.row(layout, line, fields.len(), field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: impl AsRef<[u8]>, bad_rows: BadRows) -> Result<Interactions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        InteractionReader::detect(&path)?.bad_rows(bad_rows).read()
    }

    fn rows(log: &Interactions) -> Vec<(String, String, f64, Option<f32>)> {
        (0..log.len())
            .map(|row| {
                (
                    log.users.ids()[log.user[row] as usize].to_string(),
                    log.items.ids()[log.item[row] as usize].to_string(),
                    log.time[row],
                    log.value(row),
                )
            })
            .collect()
    }

    fn expected() -> Vec<(String, String, f64, Option<f32>)> {
        vec![
            ("1".into(), "31".into(), 1_260_759_144.0, Some(2.5)),
            ("2".into(), "x9".into(), 835_355_493.0, Some(4.0)),
        ]
    }

    #[test]
    fn the_same_rows_come_from_every_format() {
        let files = [
            (
                "ratings.csv",
                "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,x9,4.0,835355493\n",
            ),
            (
                "ratings.csv",
                "\u{feff}userId,movieId,rating,timestamp\r\n1,31,2.5,1260759144\r\n\r\n2,x9,4.0,835355493",
            ),
            (
                "ratings.dat",
                "1::31::2.5::1260759144\n2::x9::4::835355493\n",
            ),
            ("u.data", "1\t31\t2.5\t1260759144\n2\tx9\t4\t835355493\n"),
            (
                "a.inter",
                "item_id:token\tuser_id:token\trating:float\ttimestamp:float\n31\t1\t2.5\t1260759144.0\nx9\t2\t4\t835355493\n",
            ),
            (
                "log.csv",
                "\u{feff}time,user,item,score\r\n1260759144,1,31,2.5\r\n835355493,2,\"x9\",4\r\n",
            ),
        ];
        for (name, text) in files {
            let log = read(name, text, BadRows::Fail).unwrap();
            assert_eq!(rows(&log), expected(), "{name}");
        }
    }

    #[test]
    fn sequences_are_timed_by_their_place() {
        let log = read("b.txt", "7 1 2 3\n8 2\n", BadRows::Fail).unwrap();
        assert_eq!(log.user, [0, 0, 0, 1]);
        assert_eq!(log.item, [0, 1, 2, 1]);
        assert!(log.time.is_sorted());
    }

    #[test]
    fn a_schema_reads_any_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        std::fs::write(&path, "a|view|b|3.5\na|buy|c|\n").unwrap();
        let schema = Schema::positions(0, 2)
            .delimiter("|")
            .event(Column::Position(1))
            .value(Column::Position(3));
        let log = InteractionReader::new(&path, Format::Delimited(schema))
            .read()
            .unwrap();
        assert_eq!([log.value(0), log.value(1)], [Some(3.5), None]);
        assert_eq!(log.event(1), Some(&"buy".into()));
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        let head = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n";
        let error = |row: &[u8]| {
            let text = [head.as_bytes(), row].concat();
            read("ratings.csv", text, BadRows::Fail).unwrap_err()
        };
        assert!(matches!(
            error(b"1,2\n"),
            Error::ColumnCount {
                line: 3,
                expected: 4,
                found: 2,
                ..
            }
        ));
        assert!(matches!(
            error(b"1,2,3,yesterday\n"),
            Error::Field { line: 3, field: "timestamp", ref value, .. } if value == "yesterday"
        ));
        assert!(matches!(
            error(b"1,2,3,NaN\n"),
            Error::Field {
                field: "timestamp",
                ..
            }
        ));
        assert!(matches!(
            error(b"1,2,good,4\n"),
            Error::Field { field: "value", .. }
        ));
        assert!(matches!(
            error(b",2,3,4\n"),
            Error::Field { field: "user", .. }
        ));
        assert!(matches!(
            error(b"1,\xff\xfe,3,4\n"),
            Error::Encoding { line: 3, .. }
        ));
        let message = error(b"1,2,3,yesterday\n").to_string();
        assert!(message.ends_with(
            "ratings.csv:3: timestamp is \"yesterday\", expected a number, or a date such as \
             2021-05-11 08:30:00"
        ));
        // A value that would become infinite.
        assert!(matches!(
            error(b"1,2,1e39,4\n"),
            Error::Field { field: "value", .. }
        ));
    }

    #[test]
    fn lines_are_right_with_quotes_and_carriage_returns() {
        for end in ["\n", "\r\n"] {
            let rows = [
                "userId,movieId,rating,timestamp",
                "1,\"31\",2.5,9",
                "1,2,3,soon",
                "",
            ];
            let error = read("ratings.csv", rows.join(end), BadRows::Fail).unwrap_err();
            assert!(matches!(error, Error::Field { line: 3, .. }), "{error}");
        }
    }

    #[test]
    fn columns_with_blanks_between_are_rows_and_remarks_are_none() {
        let text =
            "% user item rating time\n1   31 2.5\t1260759144\n\n  2 x9 4.0 835355493\n# end\n";
        assert_eq!(
            rows(&read("out.konect", text, BadRows::Fail).unwrap()),
            expected()
        );
        let text = "1 31 2.5 1260759144\n1 31 4\n2 x9 4 835355493\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, text).unwrap();
        let read = |bad_rows| {
            InteractionReader::new(&path, Format::Columns)
                .bad_rows(bad_rows)
                .read()
        };
        assert!(matches!(
            read(BadRows::Fail),
            Err(Error::ColumnCount { line: 2, .. })
        ));
        let log = read(BadRows::Skip).unwrap();
        assert_eq!((rows(&log), log.skipped_rows()), (expected(), 1));
    }

    #[test]
    fn remarks_before_sequences_are_no_users() {
        let log = read(
            "b.txt",
            "% bipartite graph\n# made by hand\n7 1 2 3\n8 2\n",
            BadRows::Fail,
        );
        let log = log.unwrap();
        assert_eq!((log.users().len(), log.items().len(), log.len()), (2, 3, 4));
        // Further down a line like that is a user's.
        let log = read("b.txt", "7 1 2 3 4 5\n#tag 2\n", BadRows::Fail).unwrap();
        assert_eq!(log.users().len(), 2);
    }

    #[test]
    fn blanks_around_names_and_fields_are_nothing() {
        let text =
            "userId, movieId, rating, timestamp\n1, 31, 2.5, 1260759144\n2, x9, , 835355493\n";
        let log = read("log.csv", text, BadRows::Fail).unwrap();
        let mut expected = expected();
        expected[1].3 = None;
        assert_eq!(rows(&log), expected);
    }

    #[test]
    fn tab_separated_fields_may_begin_with_a_quote() {
        let text =
            "user\titem\ttime\n1\t\"Heroes\" live\t1\n1\t\"Heroes\t2\n2\tsoon\tsoon\n2\tb\"\t3\n";
        let log = read("plays.tsv", text, BadRows::Skip).unwrap();
        assert_eq!((log.len(), log.skipped_rows()), (3, 1));
        assert_eq!(log.items().ids()[1], "\"Heroes".into());
        // Asked for, they are quotes: the two rows between are one field.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plays.tsv");
        std::fs::write(&path, "1\t\"a\tb\"\t1\n").unwrap();
        let schema = Schema::positions(0, 1)
            .delimiter("\t")
            .time(Column::Position(2));
        let with = |quotes| Format::Delimited(schema.clone().quotes(quotes));
        let log = InteractionReader::new(&path, with(true)).read().unwrap();
        assert_eq!(log.items().ids()[0], "a\tb".into());
        assert!(InteractionReader::new(&path, with(false)).read().is_err());
    }

    #[test]
    fn dates_are_seconds_since_1970() {
        let text = "user_id,item_id,last_watch_dt\n1,31,2021-05-11\n1,32,2021-05-11 08:30:00 UTC\n\
                    1,33,2021-05-11T10:30:00.5+02:00\n1,34,1620721801\n";
        let log = read("kion.csv", text, BadRows::Fail).unwrap();
        assert_eq!(
            log.times(),
            [
                1_620_691_200.0,
                1_620_721_800.0,
                1_620_721_800.5,
                1_620_721_801.0
            ]
        );
    }

    #[test]
    fn what_has_no_time_or_two_is_refused_with_a_way_out() {
        let sessions = "sessionId;userId;itemId;timeframe;eventdate\n1;NA;5;12;2016-05-09\n";
        let error = read("train-item-views.csv", sessions, BadRows::Fail).unwrap_err();
        assert!(
            error.to_string().contains("user=sessionId,item=itemId"),
            "{error}"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-item-views.csv");
        std::fs::write(&path, sessions).unwrap();
        let format = "user=sessionId,item=itemId,time=eventdate,delimiter=;"
            .parse()
            .unwrap();
        let log = InteractionReader::new(&path, format).read().unwrap();
        assert_eq!(log.times(), [1_462_752_000.0]);
        for (name, text) in [
            ("log.csv", "user,item\n1,2\n"),
            ("a.inter", "user_id:token\titem_id:token\n1\t2\n"),
        ] {
            let error = read(name, text, BadRows::Fail).unwrap_err();
            assert!(matches!(error, Error::UncertainColumns { .. }), "{error}");
        }
        for header in [
            "\"user_id:token\"\t\"item_id:token\"\t\"timestamp:float\"",
            "user_id:token\titem_id:token\t timestamp:float",
        ] {
            let text = format!("{header}\n1\t31\t9\n1\t32\t5\n");
            assert_eq!(
                read("a.inter", text, BadRows::Fail).unwrap().times(),
                [9.0, 5.0]
            );
        }
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        std::fs::write(&path, "1,2,3\n4,5,6\n").unwrap();
        let schema = Schema::positions(0, 1).time(Column::Position(2));
        let mut into = Collector::new(&path, BadRows::Fail);
        // As if it had been longer when its size was asked for.
        let read = blocks::read(&path.as_path(), 0..100, 64, &schema, &mut into);
        assert!(matches!(read, Err(Error::Io { .. })), "{read:?}");
    }

    #[test]
    fn skipped_rows_are_counted() {
        let text = "1::2::3::4\n1::2\n1::5::3::soon\n1::6::3::9\n";
        let log = read("ratings.dat", text, BadRows::Skip).unwrap();
        assert_eq!((log.len(), log.skipped_rows()), (2, 2));
    }

    #[test]
    fn missing_empty_and_headless_files_are_errors() {
        assert!(matches!(
            InteractionReader::detect("/no/such/file").unwrap_err(),
            Error::Io { action: "read", .. }
        ));
        assert!(matches!(
            read("a.csv", "", BadRows::Fail),
            Err(Error::EmptyFile { .. })
        ));
        let header_only = "userId,movieId,rating,timestamp\n";
        assert!(matches!(
            read("a.csv", header_only, BadRows::Fail),
            Err(Error::EmptyFile { .. })
        ));
        assert!(matches!(
            read("a.inter", "item_id:token\tx:float\n1\t2\n", BadRows::Fail),
            Err(Error::MissingColumn { ref column, .. }) if column == "user_id:token"
        ));
    }
}
