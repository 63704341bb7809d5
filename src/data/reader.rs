//! Reading interactions from files.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io::Read;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};

use tracing::info_span;

use super::behaviors::Behaviors;
use super::format::Format;
use super::id::{ExternalId, IdTable};
use super::interactions::Interactions;
use super::only::Only;
use super::opened::{Opened, Text};
#[cfg(feature = "parquet")]
use super::parquet;
use super::rows::{BadRows, Collector, TakePart};
use super::spelling;
use super::text_rows::{self, BLOCK};
use crate::{Error, ErrorKind, Result};

/// Reads [`Interactions`] from a file, or from anything else that gives bytes.
///
/// Files compressed by gzip or zstd are unpacked while they are read (features `gzip` and `zstd`).
/// A Parquet file is read by the names of its columns, and a folder as all Parquet files in it and
/// its folders, whose names may give columns (`day=2026-11-28`), as Spark, DuckDB and polars write
/// them (feature `parquet`).
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
    /// `None` where the path is opened to be read.
    opened: Option<Opened>,
    format: Format,
    bad_rows: BadRows,
    only: Vec<Only>,
    ids_as_written: bool,
    events: Vec<ExternalId>,
    behaviors: Option<Behaviors>,
}

impl InteractionReader {
    /// A reader of `path`, whose format is detected from its name and first lines. A file of text
    /// stays open, so that rows are those of the file that was looked at, even where another one
    /// takes its place.
    ///
    /// # Errors
    /// As [`Format::detect`].
    pub fn detect(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let opened = Opened::of(path)?;
        let format = match &opened {
            Opened::Text(text) => Format::of_text(text)?,
            Opened::Parquet => Format::of_names(path, &parquet::header(path)?)?,
        };
        Ok(Self {
            opened: Some(opened),
            ..Self::new(path, format)
        })
    }

    /// A reader of `path`, which is written in `format`.
    pub fn new(path: impl AsRef<Path>, format: Format) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            opened: None,
            format,
            bad_rows: BadRows::default(),
            only: Vec::new(),
            ids_as_written: false,
            events: Vec::new(),
            behaviors: None,
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
    /// [`ErrorKind::Io`] when `source` can't be read or unpacked.
    pub fn from_reader(source: impl Read, format: Format) -> Result<Self> {
        let path = Path::new("reader");
        Ok(Self {
            opened: Some(Opened::Text(Text::from_reader(path, source)?)),
            ..Self::new(path, format)
        })
    }

    /// Reads only the rows whose value of a column is one of some, such as purchases; of several
    /// such columns, all must be so. For Parquet alone, where folders of other values (`kind=view`)
    /// are not even opened.
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

    /// Reads only the rows whose number or time of a column lies in a range, as in `within("at",
    /// 1.79e9..)`; times are in seconds since 1970 where the column holds dates or times, and
    /// otherwise in the column's own unit. For Parquet alone, where groups of rows that lie beyond
    /// it are not decoded.
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

    /// Keeps only the rows whose event type is one of some, such as purchases, of a file of any
    /// format that names a column of them; without this all types count alike.
    ///
    /// ```
    /// use seqrec::data::InteractionReader;
    ///
    /// let text = "who,what,at,kind\n7,pen,1.5,view\n7,desk,2.5,buy\n";
    /// let format = "user=who,item=what,time=at,event=kind".parse()?;
    /// let reader = InteractionReader::from_reader(text.as_bytes(), format)?;
    /// assert_eq!(reader.events(["buy"]).read()?.times(), [2.5]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[must_use]
    pub fn events<T: Into<ExternalId>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.events = types.into_iter().map(Into::into).collect();
        self
    }

    /// Gives events a meaning, as [`Interactions::with_behaviors`] does.
    ///
    /// ```
    /// use seqrec::data::InteractionReader;
    ///
    /// let text = "who,what,at,kind\n7,pen,1.5,view\n7,desk,2.5,buy\n7,lamp,3,error\n";
    /// let format = "user=who,item=what,time=at,event=kind".parse()?;
    /// let reader = InteractionReader::from_reader(text.as_bytes(), format)?;
    /// let reader = reader.behaviors("buy=target, view, error=ignored".parse()?);
    /// assert_eq!(reader.read()?.times(), [1.5, 2.5]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[must_use]
    pub fn behaviors(mut self, behaviors: Behaviors) -> Self {
        self.behaviors = Some(behaviors);
        self
    }

    /// Takes ids that may be one, written in two ways, for two: `7` and `007`, or `5` and `5.0`.
    /// They are refused otherwise, since a user would have one part of their history under each.
    #[must_use]
    pub fn ids_as_written(mut self) -> Self {
        self.ids_as_written = true;
        self
    }

    /// The format that the file is read in.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file can't be read, [`ErrorKind::EmptyFile`] when it holds no
    /// row, [`ErrorKind::NothingLeft`] when all were skipped or have [other event
    /// types](Self::events), [`ErrorKind::MissingColumn`] when the header lacks a column,
    /// [`ErrorKind::InvalidValue`] when a column has two roles, an id is [written in two
    /// ways](Self::ids_as_written) or [no rule](Self::behaviors) names an event, and, unless bad
    /// rows are skipped, [`ErrorKind::ColumnCount`], [`ErrorKind::Field`], [`ErrorKind::Malformed`]
    /// or [`ErrorKind::Encoding`] with the line; a time in another [unit](super::TimeUnit) than
    /// most of the file's, or before 1900 or after 2100 where the unit is known, is such an
    /// [`ErrorKind::Field`] too; of Parquet, [`ErrorKind::ColumnType`], [`ErrorKind::Field`] with
    /// the row in place of the line, and [`ErrorKind::Damaged`] for a file that is cut short.
    pub fn read(&self) -> Result<Interactions> {
        let mut log = self.read_into(None)?;
        self.check_spelling(&log.users, &log.items)?;
        if !self.events.is_empty() {
            log.retain_event_ids(&self.events)?;
        }
        self.with_meaning(log)
    }

    /// Interactions with the meaning of their events, where it was [said](Self::behaviors).
    fn with_meaning(&self, log: Interactions) -> Result<Interactions> {
        match &self.behaviors {
            Some(behaviors) => log.with_behaviors(behaviors),
            None => Ok(log),
        }
    }

    /// Reads the whole file in parts of about so many rows, for files that do not fit in memory,
    /// and says [why](Interactions::skipped_reasons) rows were skipped. Each part numbers its users
    /// and items anew.
    ///
    /// # Errors
    /// As [`read`](Self::read), and those of `take`.
    pub(super) fn read_parts(&self, size: usize, take: TakePart<'_>) -> Result<Vec<String>> {
        let take = &mut |part| take(self.with_meaning(part)?);
        if self.events.is_empty() {
            let rest = self.read_into(Some((size, take)))?;
            return Ok(rest.skipped_reasons);
        }
        let (mut kept, mut none) = (0, None);
        let rest = self.read_into(Some((size, &mut |mut part| {
            match part.retain_event_ids(&self.events) {
                Ok(rows) => kept += rows,
                Err(error) => {
                    none.get_or_insert(error);
                    part.keep_rows(|_| false);
                }
            }
            take(part)
        })))?;
        match none {
            Some(error) if kept == 0 => Err(error),
            _ => Ok(rest.skipped_reasons),
        }
    }

    /// Refuses users or items that were read, of which one is written in two ways.
    pub(super) fn check_spelling(&self, users: &IdTable, items: &IdTable) -> Result<()> {
        match self.ids_as_written {
            true => Ok(()),
            false => spelling::check(users, items, &self.path),
        }
    }

    /// An error of reading, which names the wanted rows where there was none.
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
        let _span =
            info_span!("read", path = %self.path.display(), format = %self.format).entered();
        let opened = match &self.opened {
            Some(opened) => opened.clone(),
            None => Opened::of(&self.path)?,
        };
        match opened {
            Opened::Text(text) => self.read_text(&text, take),
            Opened::Parquet => {
                let read = self.read_parquet(take);
                read.map_err(|error| self.none_wanted(error))
            }
        }
    }

    fn read_parquet(&self, take: Option<(usize, TakePart<'_>)>) -> Result<Interactions> {
        let path = self.path.as_path();
        let Some(schema) = self.format.schema(path, "")? else {
            let reason = "Parquet has columns, such as user=who,item=what,time=at";
            return Err(Error::invalid("format", &self.format, reason));
        };
        Collector::new(path, self.bad_rows, take)
            .collect(|into| parquet::read(path, &schema, &self.only, into))
    }

    fn read_text(&self, text: &Text, take: Option<(usize, TakePart<'_>)>) -> Result<Interactions> {
        if let Some(only) = self.only.first() {
            let reason = "only rows of Parquet files are chosen by a column while they are read; \
                          see `Interactions::retain_events` for others";
            return Err(Error::invalid("only", &only.column, reason));
        }
        let (path, sample) = (text.name(), text.first_lines());
        let first_line = text.first_line().map_err(Error::io("read", path))?;
        let schema = (self.format).schema(path, &first_line)?;
        Collector::new(path, self.bad_rows, take).collect(|into| {
            // Blocks have few rows where parts have: a block is in one part.
            let size = into
                .part_size()
                .map_or(BLOCK, |rows| rows.saturating_mul(16));
            let blocks = text
                .blocks(size.min(BLOCK))
                .map_err(Error::io("read", path))?;
            text_rows::read(blocks, schema.as_ref(), sample, into)
        })
    }
}

/// A stand-in for reading Parquet where that is not built in.
#[cfg(not(feature = "parquet"))]
mod parquet {
    use super::super::schema::Schema;
    use super::*;

    fn missing<T>(path: &Path) -> Result<T> {
        let reason = if path.is_dir() {
            "it is a folder: name a file in it, or build with the feature `parquet`, which reads \
             folders of Parquet files"
        } else {
            "it is a Parquet file: build with the feature `parquet`"
        };
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
    use super::super::blocks::Blocks;
    use super::super::schema::{Column, Schema};
    use super::*;

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let schema = Schema::positions(0, 1).time(Column::Position(2));
        let mut into = Collector::new(Path::new("log.csv"), BadRows::Fail, None);
        // As if it had been longer when its size was asked for.
        let text = b"1,2,3\n4,5,6\n".as_slice();
        let blocks = Blocks::new(Box::new(text), Some(100), 64);
        let read = text_rows::read(blocks, Some(&schema), "", &mut into);
        let kind = read.as_ref().map_err(Error::kind);
        assert!(matches!(kind, Err(ErrorKind::Io { .. })), "{read:?}");
    }
}
