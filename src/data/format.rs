//! Formats of files of interactions, and how they are detected.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

use super::columns;
use super::lines::{is_remark, pieces};
use super::opened::{Opened, Text};
use super::rows::RETURNS;
use super::schema::{Column, Schema};
use super::stored_ids::STORE_MAGIC;
use super::time_unit::TimeUnit;

/// A format of files of interactions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// MovieLens 20M, 25M, 32M and latest: `userId,movieId,rating,timestamp` with a header.
    RatingsCsv,
    /// MovieLens 1M and 10M: `user::item::rating::timestamp`, no header. Detected where most of the
    /// first rows have such values, or the file is called `ratings.dat`.
    RatingsDat,
    /// MovieLens 100K: `user item rating timestamp`, tab-separated, no header. Detected where most
    /// of the first rows have such values, or the file is called `u.data`.
    UData,
    /// `user item rating timestamp` with any number of blanks between, no header, as KONECT has it;
    /// lines that begin with `%` or `#` are remarks.
    Columns,
    /// RecBole's atomic files: tab-separated, with a header of `name:type`.
    Inter,
    /// One user a line with their items in time order: `user item item …`; lines at the beginning
    /// that begin with `%` or `#` are remarks.
    Sequences,
    /// Any other delimited text.
    Delimited(Schema),
}

/// The columns of MovieLens's `ratings.csv`.
const RATINGS_CSV: [&str; 4] = ["userId", "movieId", "rating", "timestamp"];

impl Format {
    /// Detects the format from the file's name and its first lines. What could be read in two ways
    /// is not guessed. A pipe can be read only once: ask
    /// [`InteractionReader::detect`](super::InteractionReader::detect), which keeps what it read.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file can't be read, [`ErrorKind::EmptyFile`] when it is empty,
    /// [`ErrorKind::InvalidValue`] when it is Parquet, [`ErrorKind::UnknownFormat`] when nothing
    /// known fits, [`ErrorKind::UncertainFormat`] when more than one thing does, and
    /// [`ErrorKind::UncertainColumns`] when a header has no column for the time, or several that
    /// may be meant.
    pub fn detect(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match Opened::of(path)? {
            Opened::Text(text) => Self::of_text(&text),
            Opened::Parquet => {
                let reason = if path.is_dir() {
                    "it is a folder, whose columns `InteractionReader::detect` finds"
                } else {
                    "it is a Parquet file, whose columns `InteractionReader::detect` finds"
                };
                Err(Error::invalid("path", path.display(), reason))
            }
        }
    }

    /// The format of a text by its first lines.
    pub(super) fn of_text(text: &Text) -> Result<Self> {
        let (path, cut) = (text.name(), text.is_cut_line());
        let text = text.first_lines();
        if text.as_bytes().starts_with(&STORE_MAGIC) {
            let reason = "it is a sequence store already: open it by `SequenceStore::open`";
            return Err(Error::invalid("path", path.display(), reason));
        }
        let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.retain(|line| !line.is_empty());
        let Some(&first) = lines.first() else {
            return Err(ErrorKind::EmptyFile {
                path: path.to_owned(),
            }
            .into());
        };
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().to_lowercase();
        let unknown = || {
            Error::from(ErrorKind::UnknownFormat {
                path: path.to_owned(),
                first_line: first.chars().take(80).collect(),
            })
        };
        if pieces(first.as_bytes()) > 1 {
            return Err(ErrorKind::Malformed {
                path: path.to_owned(),
                line: 1,
                reason: RETURNS.to_owned(),
            }
            .into());
        }
        if let Some(format) = Self::by_first_line(&name, first) {
            return Ok(format);
        }
        if let Some(schema) = columns::of_header(path, first)? {
            return Ok(Self::Delimited(schema));
        }
        let remarked = is_remark(first.as_bytes());
        let unnamed = if first.contains("::") {
            Self::by_values(path, "::", &lines, name == "ratings.dat")?
        } else if first.contains('\t') && !remarked {
            Self::by_values(path, "\t", &lines, name == "u.data")?
        } else {
            None
        };
        if let Some(format) = unnamed {
            return Ok(format);
        }
        lines.retain(|line| !is_remark(line.as_bytes()));
        // Files with remarks have blanks or tabs between their words, others tabs between fields.
        let divided =
            |line: &&str| line.contains([',', ';', '|']) || (line.contains('\t') && !remarked);
        let delimited = lines.first().is_some_and(divided);
        if delimited || lines.is_empty() || name.ends_with(".csv") {
            return Err(unknown());
        }
        Self::by_words(path, &lines, cut)?.ok_or_else(unknown)
    }

    /// The format of columns with these names.
    pub(super) fn of_names(path: &Path, names: &[String]) -> Result<Self> {
        let names: Vec<&str> = names.iter().map(|name| columns::bare(name)).collect();
        if names == RATINGS_CSV {
            return Ok(Self::RatingsCsv);
        }
        let first_line = names.join(",");
        let schema = columns::of_names(path, names, ",")?;
        let path = path.to_owned();
        (schema.map(Self::Delimited))
            .ok_or_else(|| ErrorKind::UnknownFormat { path, first_line }.into())
    }

    /// The formats that one line is enough for.
    fn by_first_line(name: &str, line: &str) -> Option<Self> {
        let tabbed: Vec<&str> = line.split('\t').collect();
        if name.ends_with(".inter") || (tabbed.len() > 1 && tabbed.iter().all(|c| c.contains(':')))
        {
            return Some(Self::Inter);
        }
        let names = line.split(',').map(columns::bare);
        names.eq(RATINGS_CSV).then_some(Self::RatingsCsv)
    }

    /// `ratings-dat` or `u-data`, where values of rows without a header say so, or else MovieLens's
    /// own name of the file; `None` where these are no rows of numbers.
    fn by_values(
        path: &Path,
        delimiter: &str,
        lines: &[&str],
        named: bool,
    ) -> Result<Option<Self>> {
        let rows: Vec<Vec<&str>> = (lines.iter())
            .map(|line| line.split(delimiter).map(str::trim).collect())
            .collect();
        let most = |is: &dyn Fn(&[&str]) -> bool| {
            rows.iter().filter(|row| is(row)).count() * 2 > rows.len()
        };
        let is_number = |field: &&str| field.parse::<f64>().is_ok();
        let is_time = |field: &&str| field.parse().is_ok_and(has_unit);
        // A header, whose names say more than the values.
        if !lines
            .first()
            .is_some_and(|line| has_number(line.split(delimiter)))
        {
            return Ok(None);
        }
        let (known, sequences) = match delimiter {
            "::" => (Self::RatingsDat, ""),
            _ => (Self::UData, ", or sequences"),
        };
        let time_first = rows.iter().any(|row| row.get(2).is_some_and(is_time));
        let four = most(&|row| row.len() == 4);
        if most(&|row| is_timed_row(row.iter().copied())) || (named && four && !time_first) {
            return Ok(Some(known));
        }
        if !most(&|row| row.len() > 2 && row.iter().skip(2).all(is_number)) {
            return Ok(None);
        }
        let first = lines.first().map_or("", |line| line);
        let by_position = Schema::positions(0, 1).delimiter(delimiter);
        let options = if four {
            let other = by_position
                .time(Column::Position(2))
                .value(Column::Position(3));
            format!("{known} (user item rating time), {other}{sequences}")
        } else {
            format!("{}{sequences}", by_position.time(Column::Position(2)))
        };
        Err(ErrorKind::UncertainFormat {
            path: path.to_owned(),
            reason: format!(
                "its columns have no names, and numbers such as {:?} may be a user, an item, a rating and a \
                 time in one order or another, or a user and their items",
                first.chars().take(80).collect::<String>()
            ),
            options,
        }.into())
    }

    /// Tells lines of a user and their items from rows of columns, both with blanks between; `cut`
    /// says that the only line is cut short.
    fn by_words(path: &Path, lines: &[&str], cut: bool) -> Result<Option<Self>> {
        let words = |line: &&str| line.split_ascii_whitespace().count();
        let is_timed_row = |line: &&str| is_timed_row(line.split_ascii_whitespace());
        // A row that is cut short or has a word too many does not make lines of users of the
        // others.
        if lines.iter().filter(|line| is_timed_row(line)).count() * 2 > lines.len() {
            // A first line without a number is a header, whose names say more than the values.
            let named = !lines
                .first()
                .is_some_and(|line| has_number(line.split_ascii_whitespace()));
            return Ok((!named).then_some(Self::Columns));
        }
        let mut counts: Vec<usize> = lines.iter().map(words).collect();
        counts.sort_unstable();
        let count = counts.get(counts.len() / 2).copied().unwrap_or(0);
        let same = counts.iter().filter(|&&other| other == count).count();
        if counts.last().is_none_or(|&most| most < 2) {
            return Ok(None);
        }
        // Pairs are the same either way: a user whose items come one by one.
        if count <= 2 || cut || same * 10 < counts.len() * 9 {
            return Ok(Some(Self::Sequences));
        }
        if count > 4 && lines.len() < 3 {
            return Ok(Some(Self::Sequences));
        }
        let columns = if count == 3 {
            "or user=0,item=1,time=2"
        } else {
            "columns (user item rating time), or user=0,item=1,time=2,value=3"
        };
        Err(ErrorKind::UncertainFormat {
            path: path.to_owned(),
            reason: format!(
                "{same} of its first {} lines have {count} words, which may be a user and their items, \
                 or columns such as user, item, rating and time",
                lines.len()
            ),
            options: format!("sequences, {columns},delimiter=blank"),
        }.into())
    }

    /// The columns of a delimited format; `None` for sequence files.
    ///
    /// `first_line` is only used for RecBole's format, whose names vary.
    pub(super) fn schema(&self, path: &Path, first_line: &str) -> Result<Option<Schema>> {
        Ok(Some(match self {
            Self::RatingsCsv => Schema::names("userId", "movieId")
                .value(Column::name("rating"))
                .time(Column::name("timestamp")),
            Self::RatingsDat => Schema::by_position("::"),
            Self::UData => Schema::by_position("\t"),
            Self::Columns => Schema::by_position(" "),
            Self::Inter => columns::of_inter(path, first_line)?,
            Self::Sequences => return Ok(None),
            Self::Delimited(schema) => schema.clone(),
        }))
    }
}

/// True if a number is a time of a known unit by its size.
pub(super) fn has_unit(number: f64) -> bool {
    TimeUnit::from_times(&[number]) != TimeUnit::Order
}

fn has_number<'a>(mut words: impl Iterator<Item = &'a str>) -> bool {
    words.any(|word| word.trim().parse::<f64>().is_ok())
}

/// True if words are a user, an item, a value and a time, by what the last two are.
fn is_timed_row<'a>(words: impl Iterator<Item = &'a str>) -> bool {
    let numbers = words.skip(2).take(3).map(str::parse::<f64>);
    let numbers: Vec<_> = numbers.collect();
    matches!(numbers[..], [Ok(value), Ok(time)]
        if value < 1e6 && has_unit(time))
}

impl FromStr for Format {
    type Err = Error;

    /// `ratings-csv`, `ratings-dat`, `u-data`, `columns`, `inter`, `sequences`, or a
    /// [`Schema`](Schema::from_str) such as `user=visitor,item=product,time=at,delimiter=;`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "ratings-csv" => Ok(Self::RatingsCsv),
            "ratings-dat" => Ok(Self::RatingsDat),
            "u-data" => Ok(Self::UData),
            "columns" => Ok(Self::Columns),
            "inter" => Ok(Self::Inter),
            "sequences" => Ok(Self::Sequences),
            schema if schema.contains('=') => schema.parse().map(Self::Delimited),
            _ => Err(Error::invalid(
                "format",
                name,
                "must be ratings-csv, ratings-dat, u-data, columns, inter, sequences or columns \
                 such as user=visitor,item=product,time=at",
            )),
        }
    }
}

impl fmt::Display for Format {
    /// As [`from_str`](Format::from_str) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RatingsCsv => "ratings-csv",
            Self::RatingsDat => "ratings-dat",
            Self::UData => "u-data",
            Self::Columns => "columns",
            Self::Inter => "inter",
            Self::Sequences => "sequences",
            Self::Delimited(schema) => return schema.fmt(f),
        })
    }
}
