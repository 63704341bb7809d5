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

use std::io::{BufRead, BufReader, Read};
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use super::blocks::{self, BLOCK, Completion, Places, Stream};
use super::format::Format;
use super::id::ExternalId;
use super::interactions::Interactions;
use super::layout::Layout;
use super::only::Only;
#[cfg(feature = "parquet")]
use super::parquet;
use super::rows::{BadRows, Collector, TakePart};
use super::schema::Schema;
use super::text::Text;
use crate::{Error, Result};

/// Reads [`Interactions`] from a file, or from anything else that gives bytes.
///
/// Files compressed by gzip or zstd are unpacked while they are read (features `gzip` and `zstd`). A Parquet file is read by the names of its
/// columns, and a folder as all Parquet files in it and its folders, whose names may give columns
/// (`day=2026-11-28`), as Spark, DuckDB and polars write them (feature `parquet`).
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
    source: Origin,
    format: Format,
    bad_rows: BadRows,
    only: Vec<Only>,
}

/// What is read, opened no earlier than it must be.
#[derive(Debug, Clone)]
enum Origin {
    Path(PathBuf),
    Text(Text),
}

impl InteractionReader {
    /// A reader of `path`, whose format is detected from its name and first lines.
    ///
    /// # Errors
    /// As [`Format::detect`].
    pub fn detect(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if is_parquet(path) {
            return Ok(Self::new(
                path,
                Format::of_names(path, &parquet::header(path)?)?,
            ));
        }
        let text = Text::of(path)?;
        Ok(Self {
            format: Format::of_text(&text)?,
            source: Origin::Text(text),
            bad_rows: BadRows::default(),
            only: Vec::new(),
        })
    }

    /// A reader of `path`, which is written in `format`.
    pub fn new(path: impl AsRef<Path>, format: Format) -> Self {
        Self {
            source: Origin::Path(path.as_ref().to_owned()),
            format,
            bad_rows: BadRows::default(),
            only: Vec::new(),
        }
    }

    /// A reader of what `source` gives, all of which is read into memory at once: standard input, a
    /// download, a member of an archive. Errors call it "reader".
    ///
    /// ```
    /// use seqrec::data::InteractionReader;
    ///
    /// let text = "visitor,product,at\n7,pen,1.5\n7,desk,2.5\n";
    /// let format = "user=visitor,item=product,time=at".parse()?;
    /// let log = InteractionReader::from_reader(text.as_bytes(), format)?.read()?;
    /// assert_eq!(log.times(), [1.5, 2.5]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when `source` can't be read.
    pub fn from_reader(source: impl Read, format: Format) -> Result<Self> {
        Ok(Self {
            source: Origin::Text(Text::from_reader(Path::new("reader"), source)?),
            format,
            bad_rows: BadRows::default(),
            only: Vec::new(),
        })
    }

    /// Reads only the rows whose value of a column is one of some, such as purchases; of several such
    /// columns, all must be so. For Parquet alone, where folders of other values (`kind=view`) are not
    /// even opened.
    #[must_use]
    pub fn only<T: Into<ExternalId>>(
        mut self,
        column: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.only.push(Only::one_of(column.into(), values));
        self
    }

    /// Reads only the rows whose number or time of a column lies in a range, as in
    /// `within("at", 1.79e9..)`; times are in seconds since 1970 where the column holds dates or times, and
    /// otherwise in the column's own unit. For Parquet alone, where groups of rows that lie beyond it are not
    /// decoded.
    #[must_use]
    pub fn within(mut self, column: impl Into<String>, range: impl RangeBounds<f64>) -> Self {
        self.only.push(Only::within(column.into(), range));
        self
    }

    /// Sets what happens to rows that can't be read.
    #[must_use]
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
    /// [`Error::ColumnCount`], [`Error::Field`] or [`Error::Encoding`] with the line; of Parquet,
    /// [`Error::ColumnType`], [`Error::Field`] with the row in place of the line, and
    /// [`Error::Damaged`] for a file that is cut short.
    pub fn read(&self) -> Result<Interactions> {
        self.read_into(None)
    }

    /// Reads the whole file in parts of about so many rows, for files that do not fit in memory.
    /// Each part numbers its users and items anew.
    ///
    /// # Errors
    /// As [`read`](Self::read), and those of `take`.
    pub(super) fn read_parts(&self, size: usize, take: TakePart<'_>) -> Result<()> {
        self.read_into(Some((size, take))).map(drop)
    }

    fn read_into(&self, take: Option<(usize, TakePart<'_>)>) -> Result<Interactions> {
        if let Origin::Path(path) = &self.source
            && is_parquet(path)
        {
            return match self.format.schema(path, "")? {
                Some(schema) => {
                    let into = Collector::new(path, self.bad_rows, take);
                    parquet::read(path, &schema, &self.only, into)
                }
                None => {
                    let reason = "Parquet has columns, such as user=who,item=what,time=at";
                    Err(Error::invalid("format", &self.format, reason))
                }
            };
        }
        if let Some(only) = self.only.first() {
            let reason = "only rows of Parquet files are chosen by a column while they are read; \
                          see `Interactions::retain_events` for others";
            return Err(Error::invalid("only", &only.column, reason));
        }
        let opened;
        let text = match &self.source {
            Origin::Text(text) => text,
            Origin::Path(path) => {
                opened = Text::of(path)?;
                &opened
            }
        };
        let path = text.name();
        let open = || text.open().map_err(Error::io("read", path));
        let mut source = BufReader::with_capacity(1 << 20, open()?);
        let first = source.fill_buf().map_err(Error::io("read", path))?;
        let byte_order_mark = if first.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        source.consume(byte_order_mark);
        let buffered = source.fill_buf().map_err(Error::io("read", path))?;
        let first_line = buffered.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
        let carriage_returns = first_line.ends_with(b"\r");
        let first_line = String::from_utf8_lossy(first_line).trim_end().to_owned();

        let mut into = Collector::new(path, self.bad_rows, take);
        match self.format.schema(path, &first_line)? {
            None => read_sequences(source, &mut into)?,
            Some(schema) if schema.delimiter == " " => {
                read_columns(source, &schema, &mut into)?;
            }
            Some(schema) => {
                let completion = match text.bytes() {
                    Some(bytes) => {
                        let size = bytes.size().map_err(Error::io("read", path))?;
                        let mut blocks = Places::new(bytes, byte_order_mark as u64..size, BLOCK);
                        blocks::read(&mut blocks, &schema, &mut into)?
                    }
                    None => {
                        let mut blocks = Stream::new(source, BLOCK);
                        blocks::read(&mut blocks, &schema, &mut into)?
                    }
                };
                match completion {
                    Completion::Whole => {}
                    Completion::Quoted => {
                        // Quoted fields may hold delimiters and line ends: the csv crate knows.
                        into.begin_anew();
                        read_csv(open()?, &schema, carriage_returns, &mut into)?;
                    }
                }
            }
        }
        into.finish()
    }
}

/// What a Parquet file begins with.
const PARQUET: [u8; 4] = *b"PAR1";

/// Whether a path is a Parquet file, or a folder of them. Pipes are left as they are.
fn is_parquet(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|file| file.is_file());
    let begins = || {
        let mut start = [0; PARQUET.len()];
        let mut file = std::fs::File::open(path).ok()?;
        file.read_exact(&mut start).ok()?;
        Some(start == PARQUET)
    };
    path.is_dir() || (is_file && begins().unwrap_or(false))
}

/// What stands for reading Parquet where that is not built in.
#[cfg(not(feature = "parquet"))]
mod parquet {
    use super::*;

    fn missing<T>(path: &Path) -> Result<T> {
        let reason = "it is Parquet, or a folder: build with the feature `parquet`";
        Err(Error::invalid("path", path.display(), reason))
    }

    pub(super) fn header(path: &Path) -> Result<Vec<String>> {
        missing(path)
    }

    pub(super) fn read(
        path: &Path,
        _: &Schema,
        _: &[Only],
        _: Collector<'_, '_>,
    ) -> Result<Interactions> {
        missing(path)
    }
}

/// Reads rows with quoted fields.
pub(super) fn read_csv(
    source: impl Read,
    schema: &Schema,
    carriage_returns: bool,
    into: &mut Collector<'_, '_>,
) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(schema.delimiter.bytes().next().unwrap_or(b','))
        .has_headers(schema.header)
        .flexible(true)
        .from_reader(source);
    let read_error = |error: csv::Error| Error::Io {
        action: "read",
        path: into.path.to_owned(),
        cause: error.into(),
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
                    cause: error.into(),
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
        into.give()?;
    }
}

/// Calls `each` with every line and its number, from 1, but for remarks: at the beginning alone, or
/// anywhere.
fn lines(
    mut source: impl BufRead,
    remarks_anywhere: bool,
    into: &mut Collector<'_, '_>,
    mut each: impl FnMut(&[u8], u64, &mut Collector<'_, '_>) -> Result<()>,
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
        into.give()?;
    }
    Ok(())
}

fn read_sequences(source: impl BufRead, into: &mut Collector<'_, '_>) -> Result<()> {
    lines(source, false, into, |text, line, into| {
        into.sequence(text, line)
    })
}

/// Reads rows with any number of blanks between their fields.
fn read_columns(source: impl BufRead, schema: &Schema, into: &mut Collector<'_, '_>) -> Result<()> {
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
    #[cfg(feature = "gzip")]
    use std::io::Write;

    use super::super::schema::Column;
    use super::super::text::Bytes;
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
        let mut into = Collector::new(&path, BadRows::Fail, None);
        // As if it had been longer when its size was asked for.
        let bytes = Bytes::File(path.clone());
        let mut blocks = Places::new(&bytes, 0..100, 64);
        let read = blocks::read(&mut blocks, &schema, &mut into);
        assert!(matches!(read, Err(Error::Io { .. })), "{read:?}");
    }

    const TWO_ROWS: &str =
        "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,x9,4.0,835355493\n";

    #[test]
    fn streams_are_read_like_files() {
        let source = TWO_ROWS.as_bytes();
        let reader = InteractionReader::from_reader(source, Format::RatingsCsv).unwrap();
        assert_eq!(rows(&reader.read().unwrap()), expected());
        assert_eq!(rows(&reader.read().unwrap()), expected());
        let bad = format!("{TWO_ROWS}1,2,3,soon\n");
        let reader = InteractionReader::from_reader(bad.as_bytes(), Format::RatingsCsv).unwrap();
        let message = reader.read().unwrap_err().to_string();
        assert!(message.starts_with("reader:4: "), "{message}");
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn compressed_text_is_read_like_files() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        packed.write_all(TWO_ROWS.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let log = read("ratings.csv.gz", &packed, BadRows::Fail).unwrap();
        assert_eq!(rows(&log), expected());
        let reader = InteractionReader::from_reader(&packed[..], Format::RatingsCsv).unwrap();
        assert_eq!(rows(&reader.read().unwrap()), expected());
        // Cut short, it is an error and not fewer rows.
        let cut = read("ratings.csv.gz", &packed[..packed.len() - 9], BadRows::Fail);
        let message = cut.unwrap_err().to_string();
        assert!(message.contains("can't be unpacked (gzip)"), "{message}");
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn text_compressed_by_zstd_is_read_like_files() {
        let packed = zstd::stream::encode_all(TWO_ROWS.as_bytes(), 3).unwrap();
        // Two frames, as tools that write bit by bit leave them.
        let more = zstd::stream::encode_all(&b"3,4,5,6\n"[..], 3).unwrap();
        let log = read(
            "ratings.csv.zst",
            [&packed[..], &more].concat(),
            BadRows::Fail,
        )
        .unwrap();
        assert_eq!(rows(&log)[..2], expected());
        assert_eq!(log.len(), 3);
        let cut = read(
            "ratings.csv.zst",
            &packed[..packed.len() - 9],
            BadRows::Fail,
        );
        let message = cut.unwrap_err().to_string();
        assert!(message.contains("can't be unpacked (zstd)"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe.csv");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, TWO_ROWS).unwrap()
        });
        let log = InteractionReader::detect(&path).unwrap().read().unwrap();
        writer.join().unwrap();
        assert_eq!(rows(&log), expected());
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
