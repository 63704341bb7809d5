//! Reading interactions from files.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io::{BufRead, Read};
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};

use super::block_rows::{self, Completion};
use super::blocks::{BLOCK, SeekBlocks, Stream};
use super::first_lines::{check_order, first_line, open, usual_columns};
use super::format::{Format, is_remark};
use super::id::ExternalId;
use super::interactions::Interactions;
use super::layout::Layout;
use super::only::Only;
#[cfg(feature = "parquet")]
use super::parquet;
use super::quoted_rows;
use super::rows::{BadRows, Collector, TakePart};
use super::schema::Schema;
use super::text::{PARQUET, Text, first_bytes};
use crate::{Error, ErrorKind, Result};

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
    /// [`ErrorKind::Io`] when `source` can't be read.
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
    /// [`ErrorKind::Io`] when the file can't be read, [`ErrorKind::EmptyFile`] when it holds no row,
    /// [`ErrorKind::NothingLeft`] when all were skipped, [`ErrorKind::MissingColumn`] when the header lacks a
    /// column, [`ErrorKind::InvalidValue`] when a column has two roles, and, unless bad rows are skipped,
    /// [`ErrorKind::ColumnCount`], [`ErrorKind::Field`], [`ErrorKind::Malformed`] or [`ErrorKind::Encoding`] with the line; a time in
    /// another [unit](super::TimeUnit) than most of the file's, or before 1900 or after 2100 where the unit is
    /// known, is such an [`ErrorKind::Field`] too; of Parquet,
    /// [`ErrorKind::ColumnType`], [`ErrorKind::Field`] with the row in place of the line, and
    /// [`ErrorKind::Damaged`] for a file that is cut short.
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

    /// What is wrong where none of the rows that there are is wanted.
    fn none_wanted(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::EmptyFile { path } if !self.only.is_empty() => {
                let wanted: Vec<String> = self.only.iter().map(ToString::to_string).collect();
                let (path, wanted) = (path.display(), wanted.join(" and "));
                let reason = format!("no row of {path} that was read has {wanted}");
                Error::from(ErrorKind::NothingLeft { reason })
            }
            _ => error,
        }
    }

    fn read_into(&self, take: Option<(usize, TakePart<'_>)>) -> Result<Interactions> {
        if let Origin::Path(path) = &self.source
            && is_parquet(path)
        {
            let Some(schema) = self.format.schema(path, "")? else {
                let reason = "Parquet has columns, such as user=who,item=what,time=at";
                return Err(Error::invalid("format", &self.format, reason));
            };
            let mut into = Collector::new(path, self.bad_rows, take);
            let read = read_with(&mut into, |into| {
                parquet::read(path, &schema, &self.only, into)
            });
            return read.map_err(|error| self.none_wanted(error));
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
        let mut into = Collector::new(text.name(), self.bad_rows, take);
        read_with(&mut into, |into| self.read_text(text, into))
    }

    fn read_text(&self, text: &Text, into: &mut Collector<'_, '_>) -> Result<()> {
        let path = text.name();
        let read = |error| Error::io("read", path)(error);
        let (mut source, byte_order_mark) = open(text).map_err(read)?;
        let Some(schema) = self.format.schema(path, &first_line(text).map_err(read)?)? else {
            return read_sequences(source, into);
        };
        check_order(text, &schema)?;
        if schema.delimiter == " " {
            let columns = usual_columns(text, schema.header).map_err(read)?;
            return read_columns(source, &schema, columns, into);
        }
        let completion = match text.bytes() {
            Some(bytes) => {
                let size = bytes.size().map_err(read)?;
                let mut blocks = SeekBlocks::new(bytes, byte_order_mark..size, BLOCK);
                block_rows::read(&mut blocks, &schema, into)?
            }
            None => block_rows::read(&mut Stream::new(source, BLOCK), &schema, into)?,
        };
        match completion {
            Completion::Whole => Ok(()),
            Completion::Quoted => {
                // Quoted fields may hold delimiters and line ends.
                into.begin_anew();
                (source, _) = open(text).map_err(read)?;
                quoted_rows::read(source, &schema, into)
            }
        }
    }
}

/// What `read` gives to a collector. Where its times are of two units, it reads once more, by the line:
/// which unit most are in is known at the end alone.
fn read_with<'a, 'p>(
    into: &mut Collector<'a, 'p>,
    read: impl Fn(&mut Collector<'a, 'p>) -> Result<()>,
) -> Result<Interactions> {
    loop {
        read(into)?;
        if let Some(rows) = into.finish()? {
            return Ok(rows);
        }
    }
}

/// Whether a path is a Parquet file, or a folder. Pipes are left as they are.
fn is_parquet(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|file| file.is_file());
    let begins = || first_bytes(path).is_ok_and(|start| start.starts_with(&PARQUET));
    path.is_dir() || (is_file && begins())
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
        _: &mut Collector<'_, '_>,
    ) -> Result<()> {
        missing(path)
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
        if remarks && is_remark(&text) {
            continue;
        }
        remarks &= remarks_anywhere || text.trim_ascii().is_empty();
        if !into.whole_line(&text, line)? {
            continue;
        }
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

/// Reads rows with any number of blanks between their fields, which are `columns` where no header says how
/// many.
fn read_columns(
    source: impl BufRead,
    schema: &Schema,
    columns: Option<usize>,
    into: &mut Collector<'_, '_>,
) -> Result<()> {
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
        of_rows.columns = columns;
        let layout = layout.insert(of_rows);
        into.row(layout, line, fields.len(), field)
    })
}

impl Interactions {
    /// The interactions of a file or a folder whose format its name and first lines tell:
    /// [`InteractionReader::detect`] and its [`read`](InteractionReader::read).
    ///
    /// # Errors
    /// As these two.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        InteractionReader::detect(path)?.read()
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::Column;
    use super::super::text::Bytes;
    use super::*;

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        std::fs::write(&path, "1,2,3\n4,5,6\n").unwrap();
        let schema = Schema::positions(0, 1).time(Column::Position(2));
        let mut into = Collector::new(&path, BadRows::Fail, None);
        // As if it had been longer when its size was asked for.
        let bytes = Bytes::File(path.clone());
        let mut blocks = SeekBlocks::new(&bytes, 0..100, 64);
        let read = block_rows::read(&mut blocks, &schema, &mut into);
        assert!(
            matches!(
                read.as_ref().map_err(Error::kind),
                Err(ErrorKind::Io { .. })
            ),
            "{read:?}"
        );
    }
}
