//! What is known of items besides who took them.

use ndarray::{Array2, ArrayView2};

use super::catalog::Catalog;
use super::id::ExternalId;
use crate::{Error, Result};

/// A row of numbers for each item of a catalog, such as which genres it has.
///
/// ```
/// use seqrec::data::{Catalog, ItemFeatures};
///
/// let catalog = Catalog::from_ids(["a", "b"].map(Into::into))?;
/// let tags = [("b".into(), vec!["new", "red"]), ("unknown".into(), vec!["blue"])];
/// let features = ItemFeatures::from_tags(&catalog, tags);
/// assert_eq!(features.names(), ["new", "red"]);
/// assert_eq!(features.values().row(2).to_vec(), [1.0, 1.0]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ItemFeatures {
    names: Vec<String>,
    values: Array2<f32>,
}

impl ItemFeatures {
    /// Features of these names, with values `[items + 1, features]`; row 0 is padding.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is not one column for each name, and
    /// [`Error::NonFiniteVector`] for a value that is no number.
    pub fn new(names: Vec<String>, values: Array2<f32>) -> Result<Self> {
        if values.ncols() != names.len() {
            return Err(Error::Shape {
                what: "columns of item features",
                expected: names.len(),
                found: values.ncols(),
            });
        }
        if let Some(((row, column), &value)) =
            values.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return Err(Error::NonFiniteVector {
                what: "item features",
                row,
                column,
                value,
            });
        }
        Ok(Self { names, values })
    }

    /// A feature for each tag, in order of first appearance: 1 for items that have it, else 0.
    /// Items that are not in the catalog are passed over.
    pub fn from_tags<T: Into<String>>(
        catalog: &Catalog,
        tags: impl IntoIterator<Item = (ExternalId, impl IntoIterator<Item = T>)>,
    ) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut places = Vec::new();
        let mut columns = std::collections::HashMap::new();
        for (id, tags) in tags {
            let Some(item) = catalog.index_of(&id) else {
                continue;
            };
            for tag in tags {
                let tag: String = tag.into();
                let column = *columns.entry(tag).or_insert_with_key(|tag| {
                    names.push(tag.clone());
                    names.len() - 1
                });
                places.push((item as usize, column));
            }
        }
        let mut values = Array2::zeros((catalog.len() + 1, names.len()));
        for place in places {
            values[place] = 1.0;
        }
        Self { names, values }
    }

    /// The features' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values `[items + 1, features]`; row 0 is padding.
    pub fn values(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }
}
