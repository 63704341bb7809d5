//! Reading tables of items.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::{Path, PathBuf};

use super::Items;
use super::attribute::{Attribute, AttributeKind};
use super::cells::{Cells, Told};
use super::text::{self, TextLayout};
use crate::data::columns::bare;
use crate::data::id::{ExternalId, IdTable};
use crate::data::opened::{Opened, Text};
#[cfg(feature = "parquet")]
use crate::data::parquet::{self, ItemColumn};
use crate::{Error, ErrorKind, Result};

/// Reads [`Items`] from a file that needs more to be said than where its ids are.
///
/// The delimiter of text (`,`, tab, `;`, `|` or `::`) is the one by which the header has the column
/// of the ids. RecBole's `.item` files, with headers of `name:type`, are read by their names
/// without the type.
///
/// ```no_run
/// use seqrec::data::{AttributeKind, ItemReader};
///
/// let items = ItemReader::new("products.csv", "sku")
///     .title("product name")
///     .tags("labels", ", ")
///     .kind("ean", AttributeKind::Text)
///     .missing("unknown")
///     .read()?;
/// println!("{:?}", items.columns().collect::<Vec<_>>());
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ItemReader {
    path: PathBuf,
    id: String,
    delimiter: Option<String>,
    quotes: Option<bool>,
    columns: Option<Vec<String>>,
    title: Option<String>,
    kinds: Vec<(String, AttributeKind)>,
    separators: Vec<(String, String)>,
    missing: Vec<String>,
    latin1: bool,
}

impl ItemReader {
    /// A reader of the table at `path`, of which the column `id` has the items' ids.
    pub fn new(path: impl AsRef<Path>, id: impl Into<String>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            id: id.into(),
            delimiter: None,
            quotes: None,
            columns: None,
            title: None,
            kinds: Vec::new(),
            separators: Vec::new(),
            missing: Vec::new(),
            latin1: false,
        }
    }

    /// Sets the text between two fields: one character, or several such as `::`.
    #[must_use]
    pub fn delimiter(mut self, delimiter: impl Into<String>) -> Self {
        self.delimiter = Some(delimiter.into());
        self
    }

    /// Sets whether fields may be in quotes. Unless this is said, they may in files that are not
    /// tab-separated, and a quoted field whose lines look like rows of their own is refused.
    #[must_use]
    pub fn quotes(mut self, quotes: bool) -> Self {
        self.quotes = Some(quotes);
        self
    }

    /// Names the columns of a file without a header, in order.
    #[must_use]
    pub fn columns<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Names the column of the titles, where it is called neither `title` nor `name`.
    #[must_use]
    pub fn title(mut self, column: impl Into<String>) -> Self {
        self.title = Some(column.into());
        self
    }

    /// Sets what a column holds, in place of what its values look like: a value that is something
    /// else is an error then.
    #[must_use]
    pub fn kind(mut self, column: impl Into<String>, kind: AttributeKind) -> Self {
        self.kinds.push((column.into(), kind));
        self
    }

    /// Sets what several columns hold.
    pub(in crate::data) fn kinds(
        mut self,
        columns: impl IntoIterator<Item = &'static str>,
        kind: AttributeKind,
    ) -> Self {
        let columns = columns.into_iter().map(|column| (column.to_owned(), kind));
        self.kinds.extend(columns);
        self
    }

    /// Says that a column holds tags, with this text between two of them.
    #[must_use]
    pub fn tags(mut self, column: impl Into<String>, separator: impl Into<String>) -> Self {
        let column = column.into();
        self.kinds.push((column.clone(), AttributeKind::Tags));
        self.separators.push((column, separator.into()));
        self
    }

    /// Adds a text that stands for a missing value, such as `unknown` or `?`.
    #[must_use]
    pub fn missing(mut self, mark: impl Into<String>) -> Self {
        self.missing.push(mark.into());
        self
    }

    /// Reads bytes that are not UTF-8 as Latin-1.
    pub(in crate::data) fn latin1(mut self) -> Self {
        self.latin1 = true;
        self
    }

    /// Reads the whole table.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file can't be read, [`ErrorKind::EmptyFile`] when it has no rows,
    /// [`ErrorKind::MissingColumn`], with the columns that there are, when the ids' column or one
    /// that something was said of is not there, [`ErrorKind::UncertainFormat`] when the delimiter
    /// is, [`ErrorKind::Cell`] for a missing or repeated id and for a value that is not of the kind
    /// that was said, [`ErrorKind::ColumnCount`], [`ErrorKind::Malformed`] and
    /// [`ErrorKind::Encoding`] for a line that is no row, and [`ErrorKind::InvalidValue`] for
    /// columns of one name.
    pub fn read(&self) -> Result<Items> {
        match Opened::of(&self.path)? {
            Opened::Text(text) => self.read_text(&text),
            Opened::Parquet => self.read_parquet(),
        }
    }

    fn read_text(&self, text: &Text) -> Result<Items> {
        let path = text.name();
        let is_id = |name: &str| name == self.id || untyped(name).0 == untyped(&self.id).0;
        let header = text.first_line().map_err(Error::io("read", path))?;
        let delimiter = match (&self.delimiter, &self.columns) {
            (Some(delimiter), _) if delimiter.is_empty() => {
                let reason = "must be at least one character";
                return Err(Error::invalid("delimiter", "empty", reason));
            }
            (Some(delimiter), _) => delimiter.as_str(),
            (None, Some(_)) => ",",
            (None, None) => text::delimiter(path, &header, &self.id, is_id)?,
        };
        let table = text::read(
            text,
            &TextLayout {
                delimiter,
                quotes: self.quotes,
                columns: self.columns.as_deref(),
                latin1: self.latin1,
            },
        )?;
        let mut header: Vec<String> = table
            .header
            .iter()
            .map(|name| bare(name).to_owned())
            .collect();
        let mut told = vec![Told::default(); header.len()];
        if header.iter().all(|name| untyped(name).1.is_some()) {
            for (name, told) in header.iter_mut().zip(&mut told) {
                let (bare, kind) = untyped(name);
                match kind {
                    Some("token_seq") => told.separator = Some(" ".to_owned()),
                    Some("float") => told.kind = Some(AttributeKind::Number),
                    _ => {}
                }
                *name = bare.to_owned();
            }
        }
        self.check_columns(path, &header)?;
        let id = header.iter().position(|name| is_id(name));
        let no_ids = || self.no_column(path, &self.id, &header);
        let id = id.ok_or_else(no_ids)?;
        let cells = table.columns.get(id).ok_or_else(no_ids)?;
        let line = |row: usize| table.lines.get(row).copied().unwrap_or(0);
        let ids = self.ids(path, cells, line)?;
        let mut items = Items::of_table(path.display().to_string(), ids);
        let columns = table.columns.into_iter().zip(header).zip(told).enumerate();
        for (_, ((cells, name), told)) in columns.filter(|&(place, _)| place != id) {
            if !name.is_empty() {
                items = items.with(self.attribute(path, &name, cells, told, line)?)?;
            }
        }
        self.finish(items, path)
    }

    #[cfg(feature = "parquet")]
    fn read_parquet(&self) -> Result<Items> {
        let path = self.path.as_path();
        let table = parquet::read_items(path, &self.id)?;
        let names: Vec<String> = table.columns.iter().map(|(name, _)| name.clone()).collect();
        self.check_columns(path, &names)?;
        let line = |row: usize| row as u64 + 1;
        let ids = self.ids(path, &table.ids, line)?;
        let mut items = Items::of_table(path.display().to_string(), ids);
        for (name, column) in table.columns {
            let typed = |cells, separator: Option<&str>| {
                let told = Told {
                    typed: true,
                    separator: separator.map(str::to_owned),
                    ..Told::default()
                };
                self.attribute(path, &name, cells, told, line)
            };
            items = match column {
                ItemColumn::Texts(cells) => items.with(typed(cells, None)?)?,
                ItemColumn::Lists(lists) => items.with_tags(name, lists)?,
                ItemColumn::Numbers(numbers) => items.with_numbers(name, numbers)?,
                ItemColumn::Dates(seconds) => items.with_dates(name, seconds)?,
                ItemColumn::Booleans(booleans) => items.with_booleans(name, booleans)?,
                ItemColumn::LeftOut(found) => {
                    items.left_out.push((name, found));
                    items
                }
            };
        }
        self.check_kinds(&items, path)?;
        self.finish(items, path)
    }

    #[cfg(not(feature = "parquet"))]
    fn read_parquet(&self) -> Result<Items> {
        let reason = "it is Parquet, or a folder: build with the feature `parquet`";
        Err(Error::invalid("path", self.path.display(), reason))
    }

    /// Refuses kinds that were said of columns whose type the file says.
    #[cfg(feature = "parquet")]
    fn check_kinds(&self, items: &Items, path: &Path) -> Result<()> {
        for (column, kind) in &self.kinds {
            let found = items.kind(column)?;
            if found != *kind {
                return Err(ErrorKind::ColumnType {
                    path: path.to_owned(),
                    column: column.clone(),
                    found: found.to_string(),
                    expected: kind.to_string(),
                }
                .into());
            }
        }
        Ok(())
    }

    /// Refuses a header that has two columns of a name, or lacks one that something was said of.
    fn check_columns(&self, path: &Path, header: &[String]) -> Result<()> {
        let places = |name: &str| header.iter().filter(move |other| *other == name).count();
        if let Some(name) = header
            .iter()
            .find(|name| !name.is_empty() && places(name) > 1)
        {
            let reason = format!(
                "{} columns of {} are called so",
                places(name),
                path.display()
            );
            return Err(Error::invalid("column", format!("{name:?}"), reason));
        }
        let said = self.kinds.iter().map(|(column, _)| column);
        let mut said = said.chain(&self.title);
        match said.find(|column| places(column) == 0) {
            Some(column) => Err(self.no_column(path, column, header)),
            None => Ok(()),
        }
    }

    fn no_column(&self, path: &Path, column: &str, header: &[String]) -> Error {
        Error::from(ErrorKind::MissingColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            header: header.to_vec(),
        })
    }

    /// The ids of a column, in order.
    fn ids(&self, path: &Path, cells: &Cells, line: impl Fn(usize) -> u64) -> Result<IdTable> {
        let mut table = IdTable::default();
        for (row, cell) in cells.iter().enumerate() {
            let bad = |expected: String| {
                Error::from(ErrorKind::Cell {
                    path: path.to_owned(),
                    line: line(row),
                    column: self.id.clone(),
                    value: cell.chars().take(80).collect(),
                    expected,
                })
            };
            let id = ExternalId::from(cell);
            if id.is_missing() {
                return Err(bad("an id".to_owned()));
            }
            let first = table.intern(id) as usize;
            if first < row {
                let expected =
                    format!("an id that no other row has, and line {} does", line(first));
                return Err(bad(expected));
            }
        }
        Ok(table)
    }

    /// The column that cells are, by what is known and was said of it.
    fn attribute(
        &self,
        path: &Path,
        name: &str,
        cells: Cells,
        mut told: Told,
        line: impl Fn(usize) -> u64 + Copy,
    ) -> Result<Attribute> {
        let said = self.kinds.iter().rev().find(|(column, _)| column == name);
        let separator = self
            .separators
            .iter()
            .rev()
            .find(|(column, _)| column == name);
        told.kind = said.map(|(_, kind)| *kind).or(told.kind);
        told.separator = separator
            .map(|(_, between)| between.clone())
            .or(told.separator);
        if told.separator.as_ref().is_some_and(String::is_empty) {
            return Err(Error::invalid(
                "separator",
                "empty",
                "must be at least one character",
            ));
        }
        let named = |title: &String| title == name;
        told.title = self
            .title
            .as_ref()
            .map_or_else(|| Items::is_title(name), named);
        let cells = cells.without(&self.missing);
        cells
            .attribute(name, &told, line)
            .map_err(|(row, expected)| {
                Error::from(ErrorKind::Cell {
                    path: path.to_owned(),
                    line: line(row),
                    column: name.to_owned(),
                    value: cells.get(row).chars().take(80).collect(),
                    expected: expected.to_owned(),
                })
            })
    }

    fn finish(&self, mut items: Items, path: &Path) -> Result<Items> {
        if let Some(title) = &self.title {
            let place = items
                .attributes
                .iter()
                .position(|column| column.name == *title);
            items.title = place;
            let kind = items.kind(title)?;
            if kind != AttributeKind::Text {
                return Err(ErrorKind::ColumnType {
                    path: path.to_owned(),
                    column: title.clone(),
                    found: kind.to_string(),
                    expected: AttributeKind::Text.to_string(),
                }
                .into());
            }
        }
        Ok(items)
    }
}

/// A name of RecBole's `name:type` without its type, and the type.
fn untyped(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((bare, kind)) if ["token", "token_seq", "float", "float_seq"].contains(&kind) => {
            (bare, Some(kind))
        }
        _ => (name, None),
    }
}
