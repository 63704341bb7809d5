//! A column of a table of items.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "milvus")]
use crate::data::fingerprint::Fingerprint;

/// The kind of values in a column of [`Items`](super::Items).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributeKind {
    /// One text, such as a title or a category.
    Text,
    /// Any number of texts.
    Tags,
    /// A finite number.
    Number,
    /// A date or a time of day, in seconds since 1970.
    Date,
    /// True or false.
    Boolean,
}

impl fmt::Display for AttributeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Tags => "tags",
            Self::Number => "numbers",
            Self::Date => "dates",
            Self::Boolean => "true or false",
        })
    }
}

/// A column of a table of items.
#[derive(Debug, Clone)]
pub(in crate::data) struct Attribute {
    pub(in crate::data) name: String,
    pub(in crate::data) kind: AttributeKind,
    pub(in crate::data) values: Values,
    /// Why a column of text is none of numbers, or none of true and false: a value that is neither,
    /// with its line.
    pub(in crate::data) odd: Option<(u64, String)>,
}

/// The value of a column for one item.
pub(crate) enum Cell<'a> {
    /// A number, or a date in seconds since 1970.
    Number(Option<f64>),
    Boolean(Option<bool>),
    /// A text, or tags with `|` between; empty where there is none.
    Text(Cow<'a, str>),
}

/// The values of a column, one for each row.
#[derive(Debug, Clone)]
pub(in crate::data) enum Values {
    /// Text and tags.
    Labels(Labels),
    /// Numbers and dates; NaN where one is missing.
    Numbers(Vec<f64>),
    Booleans(Vec<Option<bool>>),
}

/// The labels of rows, each by its number among all labels of the column.
#[derive(Debug, Clone, Default)]
pub(in crate::data) struct Labels {
    names: Vec<Arc<str>>,
    numbers: foldhash::HashMap<Arc<str>, u32>,
    /// The end of each row's labels in `labels`.
    ends: Vec<usize>,
    labels: Vec<u32>,
}

impl Labels {
    /// Adds a row with its labels, of which a repeated one counts once.
    pub(in crate::data) fn push<'t>(&mut self, labels: impl IntoIterator<Item = &'t str>) {
        let start = self.labels.len();
        for label in labels {
            let number = self.intern(label);
            let of_row = self.labels.get(start..).unwrap_or_default();
            if !of_row.contains(&number) {
                self.labels.push(number);
            }
        }
        self.ends.push(self.labels.len());
    }

    fn intern(&mut self, label: &str) -> u32 {
        if let Some(&number) = self.numbers.get(label) {
            return number;
        }
        let (name, number) = (Arc::<str>::from(label), self.names.len() as u32);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// The number of a label, if any row has it.
    pub(in crate::data) fn number_of(&self, label: &str) -> Option<u32> {
        self.numbers.get(label).copied()
    }

    /// The number of labels.
    pub(in crate::data) fn len(&self) -> usize {
        self.names.len()
    }

    /// The numbers of a row's labels.
    pub(in crate::data) fn of(&self, row: usize) -> &[u32] {
        let end = |row: usize| self.ends.get(row).copied();
        let start = row.checked_sub(1).and_then(end).unwrap_or(0);
        let end = end(row).unwrap_or(start);
        self.labels.get(start..end).unwrap_or_default()
    }

    /// A row's labels.
    pub(in crate::data) fn names_of(&self, row: usize) -> impl Iterator<Item = &str> {
        let name = |&number: &u32| self.names.get(number as usize).map(|name| &**name);
        self.of(row).iter().filter_map(name)
    }
}

impl Values {
    /// Adds all values, and that there is none, to a fingerprint.
    #[cfg(feature = "milvus")]
    pub(in crate::data) fn add_to(&self, fingerprint: &mut Fingerprint) {
        match self {
            Self::Labels(labels) => {
                labels.names.iter().for_each(|name| {
                    fingerprint.add(name.as_bytes());
                    fingerprint.add(&[0xff]);
                });
                let mut numbers = crc32fast::Hasher::new();
                numbers.update(bytemuck::cast_slice(&labels.ends));
                numbers.update(bytemuck::cast_slice(&labels.labels));
                fingerprint.add(&numbers.finalize().to_le_bytes());
            }
            Self::Numbers(numbers) => {
                numbers
                    .iter()
                    .for_each(|n| fingerprint.add(&n.to_bits().to_le_bytes()));
            }
            Self::Booleans(booleans) => {
                booleans
                    .iter()
                    .for_each(|b| fingerprint.add(&[b.map_or(2, u8::from)]));
            }
        }
    }

    /// The value of a row, which is a missing one where there is no such row.
    pub(in crate::data) fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Labels(labels) => {
                let mut names = labels.names_of(row);
                let first = Cow::from(names.next().unwrap_or_default());
                Cell::Text(names.fold(first, |text, name| text + "|" + name))
            }
            Self::Numbers(numbers) => {
                let number = numbers.get(row).copied();
                Cell::Number(number.filter(|number| !number.is_nan()))
            }
            Self::Booleans(booleans) => Cell::Boolean(booleans.get(row).copied().flatten()),
        }
    }

    pub(in crate::data) fn len(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.ends.len(),
            Self::Numbers(numbers) => numbers.len(),
            Self::Booleans(booleans) => booleans.len(),
        }
    }

    /// True if no row has a value.
    pub(in crate::data) fn are_missing(&self) -> bool {
        match self {
            Self::Labels(labels) => labels.labels.is_empty(),
            Self::Numbers(_) | Self::Booleans(_) => (0..self.len()).all(|row| self.is_missing(row)),
        }
    }

    /// True if a row has no value, or there is no such row.
    pub(in crate::data) fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Labels(labels) => labels.of(row).is_empty(),
            Self::Numbers(numbers) => numbers.get(row).is_none_or(|number| number.is_nan()),
            Self::Booleans(booleans) => booleans.get(row).copied().flatten().is_none(),
        }
    }
}
