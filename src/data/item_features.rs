//! What is known of the items of a catalog, as models see it.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

mod given;
mod labels;
mod numbers;

use std::sync::Arc;

use crate::{Error, Result, checks};

pub(crate) use given::GivenVectors;
pub(crate) use labels::ItemLabels;
pub(crate) use numbers::{ItemNumbers, Scale};

/// Features of the items of a catalog, for models whose settings ask for them: labels (tags and
/// categories), numbers, and given vectors, such as those of titles.
///
/// A [table of items](super::Items::features) has them, and a [data
/// set](super::Dataset::with_item_features) holds them beside its catalog, as does everything that
/// is trained on it.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::data::{Catalog, Items};
///
/// let catalog = Catalog::from_ids([7, 8, 9].map(Into::into))?;
/// let items = Items::new([7, 8, 9])?
///     .with_tags("tags", [vec!["wood", "office"], vec!["office"], vec![]])?
///     .with_numbers("price", [Some(129.5), None, Some(12.0)])?;
/// let titles = array![[0.1, 0.9], [0.8, 0.2]];
/// let features = items.features(&catalog, &["tags", "price"])?
///     .with_vectors("title", &catalog, [7, 8], titles.view())?;
/// assert_eq!(features.labels(), ["tags=office", "tags=wood"]);
/// assert_eq!(features.known_vectors("title"), Some(2));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ItemFeatures {
    /// One for each item and padding, which has none.
    rows: usize,
    labels: ItemLabels,
    numbers: ItemNumbers,
    given: Vec<Arc<GivenVectors>>,
}

impl ItemFeatures {
    /// Of `rows` rows, padding among them.
    pub(crate) fn from_parts(
        rows: usize,
        labels: ItemLabels,
        numbers: ItemNumbers,
        given: Vec<GivenVectors>,
    ) -> Self {
        let given = given.into_iter().map(Arc::new).collect();
        Self {
            rows,
            labels,
            numbers,
            given,
        }
    }

    /// These features with more vectors.
    pub(super) fn with_given(mut self, given: GivenVectors) -> Result<Self> {
        if self.given_vectors(given.name()).is_some() {
            let reason = "features have vectors of this name already";
            return Err(Error::invalid(
                "name",
                format!("{:?}", given.name()),
                reason,
            ));
        }
        self.given.push(Arc::new(given));
        Ok(self)
    }

    /// The number of items.
    pub fn items(&self) -> usize {
        self.rows.saturating_sub(1)
    }

    /// The names of the labels, `column=label`, in order of their names.
    pub fn labels(&self) -> &[String] {
        self.labels.names()
    }

    /// The number of items with a vector of this name, where there are such vectors.
    pub fn known_vectors(&self, name: &str) -> Option<usize> {
        self.given_vectors(name).map(|vectors| vectors.known())
    }

    /// The names of the given vectors, in the order they were given.
    pub fn vector_names(&self) -> impl Iterator<Item = &str> {
        self.given.iter().map(|vectors| vectors.name())
    }

    /// The names of the rows of the weights that features are multiplied by, by the names of those
    /// weights in a model; `None` for other weights.
    pub(crate) fn row_names(&self, weights: &str) -> Option<Vec<String>> {
        match weights {
            "labels" => Some(self.labels.names().to_vec()),
            "numbers" => Some(self.numbers.names()),
            _ => {
                let place = weights
                    .strip_prefix("vectors.")?
                    .strip_suffix(".0.weight")?;
                let given = self.given.get(place.parse::<usize>().ok()?)?;
                let names = 0..given.vectors().ncols();
                Some(
                    names
                        .map(|place| format!("{} {place}", given.name()))
                        .collect(),
                )
            }
        }
    }

    /// The given vectors of a name.
    pub(crate) fn given_vectors(&self, name: &str) -> Option<&Arc<GivenVectors>> {
        self.given.iter().find(|vectors| vectors.name() == name)
    }

    pub(crate) fn item_labels(&self) -> &ItemLabels {
        &self.labels
    }

    pub(crate) fn numbers(&self) -> &ItemNumbers {
        &self.numbers
    }

    pub(crate) fn given(&self) -> &[Arc<GivenVectors>] {
        &self.given
    }

    /// Whether nothing is known of any item.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels().is_empty() && self.numbers.scales().is_empty() && self.given.is_empty()
    }

    /// A hash of all features.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut fingerprint = super::fingerprint::Fingerprint::default();
        self.labels.add_to(&mut fingerprint);
        self.numbers.add_to(&mut fingerprint);
        self.given
            .iter()
            .for_each(|vectors| vectors.add_to(&mut fingerprint));
        fingerprint.finish()
    }

    /// Refuses features of another number of items than a catalog has.
    pub(crate) fn check_items(&self, items: usize) -> Result<()> {
        checks::same_length("items with features", items, self.items())
    }
}
