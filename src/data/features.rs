//! Features of items and users.

use std::collections::HashMap;

use ndarray::{Array2, ArrayView2};

use super::catalog::Catalog;
use super::id::ExternalId;
use crate::{Error, Result};

/// A feature matrix for items or users, for example one-hot genres.
///
/// ```
/// use seqrec::data::{Catalog, Features};
///
/// let catalog = Catalog::from_ids(["a", "b"].map(Into::into))?;
/// let tags = [("b".into(), vec!["new", "red"]), ("unknown".into(), vec!["blue"])];
/// let features = Features::of_items(&catalog, tags);
/// assert_eq!(features.names(), ["new", "red"]);
/// // Row 0 is padding.
/// assert_eq!(features.values().row(2).to_vec(), [1.0, 1.0]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    names: Vec<String>,
    values: Array2<f32>,
}

impl Features {
    /// Features of these names: values `[items + 1, features]`, row 0 being padding, or
    /// `[users, features]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is not one column for each name, and
    /// [`Error::NonFiniteVector`] for a value that is no number.
    pub fn new(names: Vec<String>, values: Array2<f32>) -> Result<Self> {
        if values.ncols() != names.len() {
            return Err(Error::Shape {
                what: "columns of features",
                expected: names.len(),
                found: values.ncols(),
            });
        }
        if let Some(((row, column), &value)) =
            values.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return Err(Error::NonFiniteVector {
                what: "features",
                row,
                column,
                value,
            });
        }
        // Rows are handed out as slices.
        let values = values.as_standard_layout().into_owned();
        Ok(Self { names, values })
    }

    /// A feature for each tag of items, in order of first appearance: 1 for those that have it,
    /// else 0. Items that are not in the catalog are ignored.
    pub fn of_items<T: Into<String>>(
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
        let mut names: Vec<String> = Vec::new();
        let mut columns: HashMap<String, usize> = HashMap::new();
        let mut places = Vec::new();
        for (id, tags) in tags {
            let Some(row) = row(&id) else {
                continue;
            };
            for tag in tags {
                let column = *columns.entry(tag.into()).or_insert_with_key(|tag| {
                    names.push(tag.clone());
                    names.len() - 1
                });
                places.push((row, column));
            }
        }
        let mut values = Array2::zeros((rows, names.len()));
        for place in places {
            values[place] = 1.0;
        }
        Self { names, values }
    }

    /// The features' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values, a row for each item or user.
    pub fn values(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }

    /// One row, if there is such a one.
    pub(super) fn row(&self, row: usize) -> Option<&[f32]> {
        let columns = self.names.len();
        let values = self.values.as_slice().expect("made in standard order");
        values.get(row * columns..(row + 1) * columns)
    }
}
