//! Tables of items: what is known of each besides who interacted with it.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

pub(in crate::data) mod attribute;
mod build;
pub(in crate::data) mod cells;
mod features;
mod ids;
#[cfg(feature = "engine")]
mod joined;
mod reader;
mod text;
mod users;

use std::path::Path;

use super::catalog::Catalog;
use super::features::Features;
use super::id::{ExternalId, IdTable};
use crate::{Error, ErrorKind, Result};

pub(in crate::data) use attribute::Attribute;
pub(crate) use attribute::Cell;
use attribute::{Labels, Values};
pub use {attribute::AttributeKind, reader::ItemReader};

/// A table of items: their ids, and columns of titles, tags, categories, numbers, dates and
/// availability.
///
/// It is read from CSV, TSV or Parquet (feature `parquet`). A column's kind is inferred from all of
/// its values, and [`ItemReader`] can be told another.
///
/// ```
/// use seqrec::data::{AttributeKind, Items};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("products.csv");
/// std::fs::write(&path, "sku,title,tags,price,in_stock\n\
///     7,Oak desk,wood|office,129.5,yes\n\
///     8,Desk lamp,office,,no\n").unwrap();
/// let items = Items::read(&path, "sku")?;
/// assert_eq!(items.title(&7.into()), "Oak desk");
/// assert_eq!(items.labels(&7.into(), "tags")?, ["wood", "office"]);
/// assert_eq!(items.number(&8.into(), "price")?, None);
/// assert_eq!(items.kind("in_stock")?, AttributeKind::Boolean);
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// A column of texts is one of tags where a cell has several, with `|` between: `a|b|c`. Empty
/// cells, and the marks of a missing value that ids can't be either (`NULL`, `nan` and so on), are
/// missing values.
#[derive(Debug, Clone)]
pub struct Items {
    /// The file's name, for errors.
    name: String,
    ids: IdTable,
    attributes: Vec<Attribute>,
    /// The place of the column of titles.
    title: Option<usize>,
    /// Columns that hold none of the kinds, with what they hold.
    left_out: Vec<(String, String)>,
    #[cfg(feature = "milvus")]
    fingerprint: std::sync::OnceLock<u64>,
}

impl Items {
    /// Reads a table of which the column `id` has the items' ids: [`ItemReader`] by its defaults.
    ///
    /// # Errors
    /// As [`ItemReader::read`].
    pub fn read(path: impl AsRef<Path>, id: impl Into<String>) -> Result<Self> {
        ItemReader::new(path, id).read()
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The items' ids, in the order of the table.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &ExternalId> + Clone {
        self.ids.ids().iter()
    }

    /// The names of the columns, besides the ids', and what they hold.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, AttributeKind)> {
        let columns = self.attributes.iter();
        columns.map(|column| (column.name.as_str(), column.kind))
    }

    /// The kind of a column.
    ///
    /// # Errors
    /// [`ErrorKind::MissingColumn`] for an unknown column, and [`ErrorKind::ColumnType`] for one of
    /// a Parquet file that holds none of these kinds.
    pub fn kind(&self, column: &str) -> Result<AttributeKind> {
        Ok(self.attribute(column)?.kind)
    }

    /// An item's title: its value in the column called `title`, or else `name`, or the one that
    /// [`ItemReader::title`] said; its id where there is none.
    pub fn title(&self, id: &ExternalId) -> String {
        let title = self.known_title(id);
        title.map_or_else(|| id.to_string(), str::to_owned)
    }

    /// An item's title, where it has one.
    pub fn known_title(&self, id: &ExternalId) -> Option<&str> {
        let column = self.attributes.get(self.title?)?;
        match &column.values {
            Values::Labels(labels) => labels.names_of(self.row_of(id)?).next(),
            _ => None,
        }
    }

    /// An item's labels in a column of text or tags; none for an unknown item.
    ///
    /// # Errors
    /// As [`kind`](Self::kind), and [`ErrorKind::ColumnType`] for a column of another kind.
    pub fn labels(&self, id: &ExternalId, column: &str) -> Result<Vec<&str>> {
        let labels = self.labels_of(column)?;
        let row = self.row_of(id);
        Ok(row.map_or_else(Vec::new, |row| labels.names_of(row).collect()))
    }

    /// An item's number, or its date in seconds since 1970; `None` where it is missing, and for an
    /// unknown item.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub fn number(&self, id: &ExternalId, column: &str) -> Result<Option<f64>> {
        let attribute = self.attribute(column)?;
        let Values::Numbers(numbers) = &attribute.values else {
            return Err(self.wrong_kind(attribute, "numbers or dates"));
        };
        let number = self.row_of(id).and_then(|row| numbers.get(row));
        Ok(number.copied().filter(|number| !number.is_nan()))
    }

    /// Whether something is true of an item; `None` where it is missing, and for an unknown item.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub fn boolean(&self, id: &ExternalId, column: &str) -> Result<Option<bool>> {
        let attribute = self.attribute(column)?;
        let Values::Booleans(booleans) = &attribute.values else {
            return Err(self.wrong_kind(attribute, "true or false"));
        };
        let boolean = self.row_of(id).and_then(|row| booleans.get(row));
        Ok(boolean.copied().flatten())
    }

    /// A feature for each label of a column, for the items of a catalog: see
    /// [`Features::from_item_tags`].
    ///
    /// # Errors
    /// As [`labels`](Self::labels), and [`ErrorKind::InvalidValue`] for a catalog of other items.
    pub fn tag_features(&self, catalog: &Catalog, column: &str) -> Result<Features> {
        let labels = self.labels_of(column)?;
        self.rows_of(catalog)?;
        let tags = (0..).zip(self.ids()).map(|(row, id)| {
            let labels: Vec<&str> = labels.names_of(row).collect();
            (id.clone(), labels)
        });
        Ok(Features::from_item_tags(catalog, tags))
    }

    /// The values of a row, in the order of [`columns`](Self::columns): all missing where there is
    /// no such row.
    pub(crate) fn cells(&self, row: usize) -> impl Iterator<Item = Cell<'_>> {
        let columns = self.attributes.iter();
        columns.map(move |column| column.values.cell(row))
    }

    pub(in crate::data) fn row_of(&self, id: &ExternalId) -> Option<usize> {
        self.ids.number_of(id).map(|row| row as usize)
    }

    fn labels_of(&self, column: &str) -> Result<&Labels> {
        let attribute = self.attribute(column)?;
        match &attribute.values {
            Values::Labels(labels) => Ok(labels),
            _ => Err(self.wrong_kind(attribute, "text or tags")),
        }
    }

    pub(in crate::data) fn attribute(&self, name: &str) -> Result<&Attribute> {
        let mut columns = self.attributes.iter();
        if let Some(column) = columns.find(|column| column.name == name) {
            return Ok(column);
        }
        if let Some((_, found)) = self.left_out.iter().find(|(column, _)| column == name) {
            return Err(ErrorKind::ColumnType {
                path: self.name.clone().into(),
                column: name.to_owned(),
                found: found.clone(),
                expected: "text, tags, numbers, dates or booleans".to_owned(),
            }
            .into());
        }
        Err(ErrorKind::MissingColumn {
            path: self.name.clone().into(),
            column: name.to_owned(),
            header: self.columns().map(|(name, _)| name.to_owned()).collect(),
        }
        .into())
    }

    fn wrong_kind(&self, attribute: &Attribute, expected: &str) -> Error {
        Error::from(ErrorKind::ColumnType {
            path: self.name.clone().into(),
            column: attribute.name.clone(),
            found: attribute.kind.to_string(),
            expected: expected.to_owned(),
        })
    }
}
