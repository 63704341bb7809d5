//! Which columns of a delimited file hold what.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Which columns of a delimited file hold what.
///
/// ```
/// use seqrec::data::{Column, Schema};
///
/// // who;what;when;price, without a header
/// let schema = Schema::positions(0, 1).delimiter(";").time(Column::Position(2)).value(Column::Position(3));
/// // columns found by name
/// let schema = Schema::names("visitor", "product").time(Column::name("at")).event(Column::name("kind"));
/// // the same as a command line has it
/// assert_eq!("user=visitor,item=product,time=at,event=kind".parse::<Schema>()?, schema);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub(super) delimiter: String,
    pub(super) header: bool,
    pub(super) user: Column,
    pub(super) item: Column,
    pub(super) time: Option<Column>,
    /// Whether rows are known to be in time order, whatever the columns are called.
    pub(super) in_file_order: bool,
    pub(super) value: Option<Column>,
    pub(super) event: Option<Column>,
    pub(super) quotes: Option<bool>,
    /// Whether a quoted header says that there are quotes, and nobody else.
    pub(super) quotes_inferred: bool,
}

/// A column of a delimited file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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

    /// A column as a schema writes it: a place, or a name.
    fn from_text(text: &str) -> Self {
        match text.parse() {
            Ok(position) => Self::Position(position),
            Err(_) => Self::name(text),
        }
    }
}

/// The names of delimiters that a command line can't well have, or a list of settings can't.
const DELIMITERS: [(&str, &str); 3] = [("comma", ","), ("tab", "\t"), ("blank", " ")];

const ROLES: [&str; 5] = ["user", "item", "time", "value", "event"];

/// Refuses columns, in the order of [`ROLES`], of which one has two roles.
pub(super) fn check_roles<T: PartialEq + ToString>(columns: [Option<T>; 5]) -> Result<()> {
    let columns: Vec<_> = columns.into_iter().zip(ROLES).collect();
    for (place, (column, role)) in columns.iter().enumerate() {
        let mut earlier = columns.iter().take(place);
        if let Some(column) = column
            && let Some((_, other)) = earlier.find(|(of, _)| of.as_ref() == Some(column))
        {
            let reason = format!("it can't be the {other} and the {role}: name another column");
            return Err(Error::invalid("column", column.to_string(), reason));
        }
    }
    Ok(())
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

    pub(super) fn new(user: Column, item: Column, header: bool) -> Self {
        Self {
            delimiter: ",".to_owned(),
            header,
            user,
            item,
            time: None,
            in_file_order: false,
            value: None,
            event: None,
            quotes: None,
            quotes_inferred: false,
        }
    }

    /// What stands between two fields: one character, or several such as `::`. A blank stands for
    /// any number of blanks and tabs, where lines that begin with `%` or `#` are remarks.
    #[must_use]
    pub fn delimiter(mut self, delimiter: impl Into<String>) -> Self {
        self.delimiter = delimiter.into();
        self
    }

    /// Whether the first line names the columns.
    #[must_use]
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    /// The column of the time; without one, rows are taken to be in time order, if no other column
    /// may be the time by its name, or by what the first rows have in it.
    ///
    /// A time is a number, or a date such as `2021-05-11`, `2021-05-11 08:30:00` or
    /// `2021-05-11T08:30:00+02:00`, which is taken in seconds since 1970; without an offset it is
    /// in UTC.
    #[must_use]
    pub fn time(mut self, column: Column) -> Self {
        self.time = Some(column);
        self.in_file_order = false;
        self
    }

    /// No column of the time: rows are in time order as they stand, even where a column is called
    /// `date`.
    #[must_use]
    pub fn in_file_order(mut self) -> Self {
        self.time = None;
        self.in_file_order = true;
        self
    }

    /// The column of the value, such as a rating.
    #[must_use]
    pub fn value(mut self, column: Column) -> Self {
        self.value = Some(column);
        self
    }

    /// The column of the event type.
    #[must_use]
    pub fn event(mut self, column: Column) -> Self {
        self.event = Some(column);
        self
    }

    /// Whether a field that begins with `"` extends to the next `"`, whatever stands between.
    ///
    /// Where it is not said, quotes are such only between delimiters of one character that is
    /// neither a tab nor a blank: tab-separated files quote nothing.
    #[must_use]
    pub fn quotes(mut self, quotes: bool) -> Self {
        self.quotes = Some(quotes);
        self.quotes_inferred = false;
        self
    }

    /// Whether quotes mean something.
    pub(super) fn has_quotes(&self) -> bool {
        let plain = ["\t", " "].contains(&self.delimiter.as_str());
        self.delimiter.len() == 1 && self.delimiter != " " && self.quotes.unwrap_or(!plain)
    }

    /// The columns of all roles.
    pub(super) fn columns(&self) -> [Option<&Column>; 5] {
        let optional = [&self.time, &self.value, &self.event].map(Option::as_ref);
        let [time, value, event] = optional;
        [Some(&self.user), Some(&self.item), time, value, event]
    }

    pub(super) fn by_position(delimiter: &str) -> Self {
        Self::positions(0, 1)
            .delimiter(delimiter)
            .value(Column::Position(2))
            .time(Column::Position(3))
    }
}

impl fmt::Display for Schema {
    /// As [`from_str`](Schema::from_str) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user={},item={}", self.user, self.item)?;
        let optional = [
            ("time", &self.time),
            ("value", &self.value),
            ("event", &self.event),
        ];
        for (role, column) in optional {
            if let Some(column) = column {
                write!(f, ",{role}={column}")?;
            }
        }
        if self.in_file_order {
            f.write_str(",order=file")?;
        }
        if self.delimiter != "," {
            let named = DELIMITERS
                .iter()
                .find(|(_, delimiter)| *delimiter == self.delimiter);
            write!(
                f,
                ",delimiter={}",
                named.map_or(self.delimiter.as_str(), |(name, _)| name)
            )?;
        }
        let by_name =
            (self.columns().into_iter().flatten()).any(|column| matches!(column, Column::Name(_)));
        if self.header != by_name {
            write!(f, ",header={}", if self.header { "yes" } else { "no" })?;
        }
        match self.quotes {
            Some(true) => f.write_str(",quotes=yes"),
            Some(false) => f.write_str(",quotes=no"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Position(position) => position.fmt(f),
        }
    }
}

impl FromStr for Schema {
    type Err = Error;

    /// `user=COLUMN,item=COLUMN`, perhaps with `time=`, `value=` and `event=` columns, which are
    /// names of the header or positions counted from 0, a `delimiter=` (`tab`, `blank`, `comma` or
    /// the text itself), `header=yes` or `no` (yes where a column is named), `quotes=`, and in
    /// place of a time `order=file`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::invalid("schema", text, reason);
        let yes_or_no = |value: &str| match value {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(wrong("header and quotes are yes or no")),
        };
        let mut columns: [Option<Column>; 5] = [const { None }; 5];
        let (mut delimiter, mut header, mut quotes) = (None, None, None);
        let mut in_file_order = false;
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| wrong("must be of parts such as user=COLUMN"))?;
            let (key, value) = (key.trim(), value.trim());
            if let Some((column, _)) = columns.iter_mut().zip(ROLES).find(|(_, role)| *role == key)
            {
                if column.replace(Column::from_text(value)).is_some() {
                    return Err(wrong("names two columns for one role"));
                }
                continue;
            }
            match key {
                "delimiter" if !value.is_empty() => {
                    let named = DELIMITERS.iter().find(|(name, _)| *name == value);
                    delimiter = Some(named.map_or(value, |(_, delimiter)| delimiter));
                }
                "order" if value == "file" => in_file_order = true,
                "header" => header = Some(yes_or_no(value)?),
                "quotes" => quotes = Some(yes_or_no(value)?),
                _ => {
                    let reason = "has a part that is none of user, item, time, value, event, \
                                  order=file, delimiter, header and quotes";
                    return Err(wrong(reason));
                }
            }
        }
        check_roles(columns.each_ref().map(Option::as_ref))?;
        let named = |column: &Option<Column>| matches!(column, Some(Column::Name(_)));
        let by_name = columns.iter().any(named);
        let [user, item, time, value, event] = columns;
        let (Some(user), Some(item)) = (user, item) else {
            return Err(wrong("must name the user's and the item's column"));
        };
        if in_file_order && time.is_some() {
            return Err(wrong("names a time, and has order=file in place of one"));
        }
        Ok(Self {
            in_file_order,
            delimiter: delimiter.unwrap_or(",").to_owned(),
            header: header.unwrap_or(by_name),
            user,
            item,
            time,
            value,
            event,
            quotes,
            quotes_inferred: false,
        })
    }
}
