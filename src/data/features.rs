//! Features of items and users.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};

use super::catalog::Catalog;
use super::id::ExternalId;
use super::item_features::Scale;
use crate::{Error, ErrorKind, Result, checks};

/// A feature matrix for items or users, for example one-hot genres.
///
/// ```
/// use seqrec::data::{Catalog, Features};
///
/// let catalog = Catalog::from_ids(["a", "b"].map(Into::into))?;
/// let tags = [("b".into(), vec!["new", "red"]), ("unknown".into(), vec!["blue"])];
/// let features = Features::from_item_tags(&catalog, tags);
/// assert_eq!(features.names(), ["new", "red"]);
/// // Row 0 is padding.
/// assert_eq!(features.values().row(2).to_vec(), [1.0, 1.0]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    names: Vec<String>,
    values: Array2<f32>,
    /// How the numbers among them were standardized.
    scales: Vec<Scale>,
}

impl Features {
    /// Features of these names: values `[items + 1, features]`, row 0 being padding, or
    /// `[users, features]`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one column for each name, [`ErrorKind::InvalidValue`]
    /// for a name that comes twice, and [`ErrorKind::NonFiniteVector`] for a value that is no
    /// number.
    pub fn new(names: Vec<String>, values: Array2<f32>) -> Result<Self> {
        if values.ncols() != names.len() {
            return Err(ErrorKind::Shape {
                what: "columns of features",
                expected: names.len(),
                found: values.ncols(),
            }
            .into());
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let reason = "names two features, which could not be told apart";
            return Err(Error::invalid("names", twice[0], reason));
        }
        checks::finite("features", values.view())?;
        // Rows are handed out as slices.
        let values = values.as_standard_layout().into_owned();
        Ok(Self {
            names,
            values,
            scales: Vec::new(),
        })
    }

    /// A feature for each tag of items, in the order of their names, whatever that of the rows: 1
    /// for those that have it, else 0. Items that are not in the catalog are ignored.
    pub fn from_item_tags<T: Into<String>>(
        catalog: &Catalog,
        tags: impl IntoIterator<Item = (ExternalId, impl IntoIterator<Item = T>)>,
    ) -> Self {
        let row = |id: &ExternalId| catalog.index_of(id).map(|item| item.to_usize());
        Self::from_tags(catalog.len() + 1, row, tags)
    }

    pub(super) fn from_tags<T: Into<String>>(
        rows: usize,
        row: impl Fn(&ExternalId) -> Option<usize>,
        tags: impl IntoIterator<Item = (ExternalId, impl IntoIterator<Item = T>)>,
    ) -> Self {
        let mut columns: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (id, tags) in tags {
            let Some(row) = row(&id) else {
                continue;
            };
            for tag in tags {
                columns.entry(tag.into()).or_default().push(row);
            }
        }
        let mut values = Array2::zeros((rows, columns.len()));
        for (column, rows) in columns.values().enumerate() {
            rows.iter().for_each(|&row| values[[row, column]] = 1.0);
        }
        let names = columns.into_keys().collect();
        Self {
            names,
            values,
            scales: Vec::new(),
        }
    }

    /// These features, of which some were standardized.
    pub(crate) fn with_scales(self, scales: Vec<Scale>) -> Self {
        Self { scales, ..self }
    }

    pub(super) fn scales(&self) -> &[Scale] {
        &self.scales
    }

    /// The features' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values, a row for each item or user.
    pub fn values(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }

    /// These features up to a number of rows, of which those that are new have none.
    pub(super) fn with_rows(self, rows: usize) -> Self {
        let known = self.values.nrows();
        let mut values = Array2::zeros((rows.max(known), self.names.len()));
        values
            .slice_mut(ndarray::s![..known, ..])
            .assign(&self.values);
        Self { values, ..self }
    }

    /// One row, if there is such a one.
    pub(super) fn row(&self, row: usize) -> Option<&[f32]> {
        let columns = self.names.len();
        let values = self.values.as_slice().expect("made in standard order");
        values.get(row * columns..(row + 1) * columns)
    }
}
