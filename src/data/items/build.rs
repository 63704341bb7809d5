//! Tables of items that are made in memory.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::Items;
use super::attribute::{Attribute, AttributeKind, Labels, Values};
#[cfg(doc)]
use crate::ErrorKind;
use crate::data::columns::plain;
use crate::data::id::{ExternalId, IdTable};
use crate::{Error, Result, checks};

/// The names of columns of titles, without blanks and underscores.
const TITLES: [&str; 6] = [
    "title",
    "name",
    "itemtitle",
    "producttitle",
    "productname",
    "movietitle",
];

impl Items {
    /// A table of these items without any columns, which the `with` functions add.
    ///
    /// ```
    /// use seqrec::data::Items;
    ///
    /// let items = Items::new(["pen", "desk"])?
    ///     .with_texts("title", [Some("A pen"), None])?
    ///     .with_numbers("price", [Some(1.5), Some(99.0)])?;
    /// assert_eq!(items.title(&"desk".into()), "desk");
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for an id that comes twice or is missing.
    pub fn new<T: Into<ExternalId>>(ids: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut table = IdTable::default();
        for id in ids {
            let (id, known): (ExternalId, _) = (id.into(), table.len());
            id.check("ids")?;
            if (table.intern(id.clone()) as usize) < known {
                return Err(Error::invalid(
                    "ids",
                    id,
                    "an item must be in a table only once",
                ));
            }
        }
        Ok(Self::of_table("the table of items".to_owned(), table))
    }

    pub(super) fn of_table(name: String, ids: IdTable) -> Self {
        Self {
            name,
            ids,
            attributes: Vec::new(),
            title: None,
            left_out: Vec::new(),
            #[cfg(feature = "milvus")]
            fingerprint: std::sync::OnceLock::new(),
        }
    }

    /// True if a column of this name has titles, unless another is said to have them.
    pub(super) fn is_title(name: &str) -> bool {
        TITLES.contains(&plain(name).as_str())
    }

    pub(super) fn with(mut self, attribute: Attribute) -> Result<Self> {
        let name = attribute.name.as_str();
        checks::same_length("values of a column", self.len(), attribute.values.len())?;
        if name.trim().is_empty() {
            return Err(Error::invalid(
                "column",
                format!("{name:?}"),
                "needs a name",
            ));
        }
        if self.attributes.iter().any(|other| other.name == name) {
            return Err(Error::invalid(
                "column",
                format!("{name:?}"),
                "is in the table already",
            ));
        }
        let rank = |name: &str| TITLES.iter().position(|title| *title == plain(name));
        let before = self.title.and_then(|place| self.attributes.get(place));
        let is_better = match (rank(name), before.and_then(|before| rank(&before.name))) {
            (Some(rank), before) => before.is_none_or(|before| rank < before),
            (None, _) => false,
        };
        if attribute.kind == AttributeKind::Text && is_better {
            self.title = Some(self.attributes.len());
        }
        self.attributes.push(attribute);
        #[cfg(feature = "milvus")]
        self.fingerprint.take();
        Ok(self)
    }

    fn with_values(
        self,
        name: impl Into<String>,
        kind: AttributeKind,
        values: Values,
    ) -> Result<Self> {
        self.with(Attribute {
            name: name.into(),
            kind,
            values,
            odd: None,
        })
    }

    /// This table with a column of texts, one for each item; a column called `title` or `name` has
    /// the [titles](Self::title).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one value for each item, and
    /// [`ErrorKind::InvalidValue`] for a name that is taken or empty.
    pub fn with_texts<T: AsRef<str>>(
        self,
        name: impl Into<String>,
        texts: impl IntoIterator<Item = Option<T>>,
    ) -> Result<Self> {
        let texts = texts.into_iter().map(|text| text.into_iter());
        self.with_labels(name, AttributeKind::Text, texts)
    }

    /// This table with a column of tags, any number for each item.
    ///
    /// # Errors
    /// As [`with_texts`](Self::with_texts).
    pub fn with_tags<T: AsRef<str>>(
        self,
        name: impl Into<String>,
        tags: impl IntoIterator<Item = impl IntoIterator<Item = T>>,
    ) -> Result<Self> {
        self.with_labels(name, AttributeKind::Tags, tags)
    }

    fn with_labels<T: AsRef<str>>(
        self,
        name: impl Into<String>,
        kind: AttributeKind,
        rows: impl IntoIterator<Item = impl IntoIterator<Item = T>>,
    ) -> Result<Self> {
        let mut labels = Labels::default();
        for row in rows {
            let row: Vec<T> = row.into_iter().collect();
            let row = row.iter().map(|label| label.as_ref().trim());
            labels.push(row.filter(|label| !label.is_empty()));
        }
        self.with_values(name, kind, Values::Labels(labels))
    }

    /// This table with a column of numbers.
    ///
    /// # Errors
    /// As [`with_texts`](Self::with_texts), and [`ErrorKind::InvalidValue`] for a number that is
    /// not finite.
    pub fn with_numbers(
        self,
        name: impl Into<String>,
        numbers: impl IntoIterator<Item = Option<f64>>,
    ) -> Result<Self> {
        let numbers = finite(numbers)?;
        self.with_values(name, AttributeKind::Number, numbers)
    }

    /// This table with a column of dates, in seconds since 1970.
    ///
    /// # Errors
    /// As [`with_numbers`](Self::with_numbers).
    pub fn with_dates(
        self,
        name: impl Into<String>,
        seconds: impl IntoIterator<Item = Option<f64>>,
    ) -> Result<Self> {
        let seconds = finite(seconds)?;
        self.with_values(name, AttributeKind::Date, seconds)
    }

    /// This table with a column of what is true or false of each item.
    ///
    /// # Errors
    /// As [`with_texts`](Self::with_texts).
    pub fn with_booleans(
        self,
        name: impl Into<String>,
        booleans: impl IntoIterator<Item = Option<bool>>,
    ) -> Result<Self> {
        let booleans = Values::Booleans(booleans.into_iter().collect());
        self.with_values(name, AttributeKind::Boolean, booleans)
    }

    /// This table without some columns.
    pub(in crate::data) fn without(mut self, columns: &[&str]) -> Self {
        let title = self.title.and_then(|place| self.attributes.get(place));
        let title = title.map(|column| column.name.clone());
        (self.attributes).retain(|column| !columns.contains(&column.name.as_str()));
        self.title =
            (self.attributes.iter()).position(|column| Some(&column.name) == title.as_ref());
        self
    }
}

/// Numbers of which none is infinite; NaN is a missing one.
fn finite(numbers: impl IntoIterator<Item = Option<f64>>) -> Result<Values> {
    let number = |number: Option<f64>| match number {
        Some(number) if !number.is_finite() => {
            let reason = "must be finite; a missing number is `None`";
            Err(Error::invalid("values of a column", number, reason))
        }
        number => Ok(number.unwrap_or(f64::NAN)),
    };
    let numbers = numbers.into_iter().map(number);
    Ok(Values::Numbers(numbers.collect::<Result<_>>()?))
}
