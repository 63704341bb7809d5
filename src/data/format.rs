//! What a file of interactions looks like, and how to tell.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use crate::{Error, Result};

/// How a file of interactions is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// MovieLens 20M, 25M, 32M and latest: `userId,movieId,rating,timestamp` with a header.
    RatingsCsv,
    /// MovieLens 1M and 10M: `user::item::rating::timestamp`, no header.
    RatingsDat,
    /// MovieLens 100K: `user item rating timestamp`, tab-separated, no header.
    UData,
    /// RecBole's atomic files: tab-separated, with a header of `name:type`.
    Inter,
    /// One user a line with his items in time order: `user item item …`.
    Sequences,
    /// Any other delimited text.
    Delimited(Schema),
}

/// Which columns of a delimited file hold what.
///
/// ```
/// use seqrec::data::{Column, Schema};
///
/// // who;what;when;price, without a header
/// let schema = Schema::positions(0, 1).delimiter(";").time(Column::Position(2)).value(Column::Position(3));
/// // columns found by name
/// let schema = Schema::names("visitor", "product").time(Column::name("at")).event(Column::name("kind"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub(super) delimiter: String,
    pub(super) header: bool,
    pub(super) user: Column,
    pub(super) item: Column,
    pub(super) time: Option<Column>,
    pub(super) value: Option<Column>,
    pub(super) event: Option<Column>,
}

/// A column of a delimited file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// By its name in the header.
    Name(String),
    /// By its position, counted from 0.
    Position(usize),
}

impl Column {
    /// The column of this name in the header.
    pub fn name(name: impl Into<String>) -> Self {
        Self::Name(name.into())
    }
}

impl Schema {
    /// Columns by their names in the header; comma-separated until told otherwise.
    pub fn names(user: impl Into<String>, item: impl Into<String>) -> Self {
        Self::new(Column::name(user), Column::name(item), true)
    }

    /// Columns by position, counted from 0, in a file without a header; comma-separated until
    /// told otherwise.
    pub fn positions(user: usize, item: usize) -> Self {
        Self::new(Column::Position(user), Column::Position(item), false)
    }

    fn new(user: Column, item: Column, header: bool) -> Self {
        Self {
            delimiter: ",".to_owned(),
            header,
            user,
            item,
            time: None,
            value: None,
            event: None,
        }
    }

    /// What stands between two fields: one character, which allows quoted fields, or several
    /// such as `::`, which doesn't.
    pub fn delimiter(mut self, delimiter: impl Into<String>) -> Self {
        self.delimiter = delimiter.into();
        self
    }

    /// Whether the first line names the columns.
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    /// The column of the time; without one, rows are taken to be in time order.
    pub fn time(mut self, column: Column) -> Self {
        self.time = Some(column);
        self
    }

    /// The column of the value, such as a rating.
    pub fn value(mut self, column: Column) -> Self {
        self.value = Some(column);
        self
    }

    /// The column of the event type.
    pub fn event(mut self, column: Column) -> Self {
        self.event = Some(column);
        self
    }

    fn by_position(delimiter: &str) -> Self {
        Self::positions(0, 1)
            .delimiter(delimiter)
            .value(Column::Position(2))
            .time(Column::Position(3))
    }
}

impl Format {
    /// Tells the format from the file's name and its first line.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be read, [`Error::EmptyFile`] when it is empty, and
    /// [`Error::UnknownFormat`] when nothing known fits.
    pub fn detect(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(Error::io("read", path))?;
        // A first line longer than this is only met in sequence files, and its start tells enough.
        let mut first_line = Vec::new();
        BufReader::new(file)
            .take(64 * 1024)
            .read_until(b'\n', &mut first_line)
            .map_err(Error::io("read", path))?;
        let first_line = String::from_utf8_lossy(&first_line);
        let first_line = first_line.trim_start_matches('\u{feff}').trim_end();
        if first_line.is_empty() {
            return Err(Error::EmptyFile {
                path: path.to_owned(),
            });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::from_name_and_line(&name.to_lowercase(), first_line).ok_or_else(|| {
            Error::UnknownFormat {
                path: path.to_owned(),
                first_line: first_line.chars().take(80).collect(),
            }
        })
    }

    fn from_name_and_line(name: &str, line: &str) -> Option<Self> {
        let is_number = |text: &str| text.parse::<f64>().is_ok();
        let tabbed: Vec<&str> = line.split('\t').collect();
        if name.ends_with(".inter") || (tabbed.len() > 1 && tabbed.iter().all(|c| c.contains(':')))
        {
            return Some(Self::Inter);
        }
        if line.split("::").count() == 4 {
            return Some(Self::RatingsDat);
        }
        if tabbed.len() == 4 && is_number(tabbed[2]) && is_number(tabbed[3]) {
            return Some(Self::UData);
        }
        if let Some(format) = Self::from_header(line) {
            return Some(format);
        }
        let delimited = line.contains([',', ';', '\t', '|']);
        let words = line.split(' ').filter(|word| !word.is_empty()).count();
        (!delimited && !name.ends_with(".csv") && words >= 2).then_some(Self::Sequences)
    }

    /// Looks for the usual column names in a header.
    fn from_header(line: &str) -> Option<Self> {
        const USER: &[&str] = &[
            "userid",
            "user",
            "uid",
            "visitorid",
            "customerid",
            "sessionid",
        ];
        const ITEM: &[&str] = &[
            "movieid",
            "itemid",
            "item",
            "iid",
            "productid",
            "asin",
            "sku",
        ];
        const TIME: &[&str] = &["timestamp", "time", "ts", "unixtime", "eventtime"];
        const VALUE: &[&str] = &["rating", "value", "score", "overall", "price"];
        const EVENT: &[&str] = &["event", "eventtype", "action", "behavior"];
        let delimiter = [",", "\t", ";", "|"]
            .into_iter()
            .find(|delimiter| line.contains(delimiter))?;
        let columns: Vec<&str> = line.split(delimiter).map(|c| c.trim_matches('"')).collect();
        if columns == ["userId", "movieId", "rating", "timestamp"] && delimiter == "," {
            return Some(Self::RatingsCsv);
        }
        let find = |names: &[&str]| {
            let position = columns.iter().position(|column| {
                let plain = column.trim().to_lowercase().replace(['_', '-', ' '], "");
                names.contains(&plain.as_str())
            })?;
            Some(Column::Name(columns[position].to_owned()))
        };
        Some(Self::Delimited(Schema {
            delimiter: delimiter.to_owned(),
            header: true,
            user: find(USER)?,
            item: find(ITEM)?,
            time: find(TIME),
            value: find(VALUE),
            event: find(EVENT),
        }))
    }

    /// The columns of a delimited format; `None` for sequence files.
    ///
    /// `first_line` is only looked at for RecBole's format, whose names vary.
    pub(super) fn schema(&self, first_line: &str) -> Option<Schema> {
        match self {
            Self::RatingsCsv => Some(
                Schema::names("userId", "movieId")
                    .value(Column::name("rating"))
                    .time(Column::name("timestamp")),
            ),
            Self::RatingsDat => Some(Schema::by_position("::")),
            Self::UData => Some(Schema::by_position("\t")),
            Self::Inter => {
                let find = |name: &str| {
                    first_line
                        .split('\t')
                        .find(|column| column.split(':').next() == Some(name))
                        .map(Column::name)
                };
                let or_standard = |found: Option<Column>, standard: &str| {
                    found.unwrap_or_else(|| Column::name(standard))
                };
                let user = find("user_id").or_else(|| find("session_id"));
                Some(Schema {
                    delimiter: "\t".to_owned(),
                    header: true,
                    user: or_standard(user, "user_id:token"),
                    item: or_standard(find("item_id"), "item_id:token"),
                    time: find("timestamp"),
                    value: find("rating"),
                    event: None,
                })
            }
            Self::Sequences => None,
            Self::Delimited(schema) => Some(schema.clone()),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    /// `ratings-csv`, `ratings-dat`, `u-data`, `inter` or `sequences`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "ratings-csv" => Ok(Self::RatingsCsv),
            "ratings-dat" => Ok(Self::RatingsDat),
            "u-data" => Ok(Self::UData),
            "inter" => Ok(Self::Inter),
            "sequences" => Ok(Self::Sequences),
            _ => Err(Error::invalid(
                "format",
                name,
                "must be ratings-csv, ratings-dat, u-data, inter or sequences",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_format_is_told_from_its_first_line() {
        let cases = [
            (
                "ratings.csv",
                "userId,movieId,rating,timestamp",
                Format::RatingsCsv,
            ),
            ("ratings.dat", "1::1193::5::978300760", Format::RatingsDat),
            ("u.data", "196\t242\t3\t881250949", Format::UData),
            (
                "x.inter",
                "user_id:token\titem_id:token\ttimestamp:float",
                Format::Inter,
            ),
            ("x.txt", "user_id:token\titem_id:token", Format::Inter),
            ("Beauty.txt", "1 1 2 3 4 5", Format::Sequences),
        ];
        for (name, line, format) in cases {
            assert_eq!(
                Format::from_name_and_line(name, line),
                Some(format),
                "{name}"
            );
        }
    }

    #[test]
    fn a_csv_with_usual_names_gets_a_schema() {
        let found =
            Format::from_name_and_line("log.csv", "event_time;event_type;user_id;product_id");
        let expected = Schema::names("user_id", "product_id")
            .delimiter(";")
            .time(Column::name("event_time"))
            .event(Column::name("event_type"));
        assert_eq!(found, Some(Format::Delimited(expected)));
    }

    #[test]
    fn what_fits_nothing_is_not_guessed() {
        for (name, line) in [("a.csv", "a,b,c"), ("a.txt", "hello"), ("a.csv", "1 2 3")] {
            assert_eq!(Format::from_name_and_line(name, line), None, "{line}");
        }
    }
}
