//! First vectors of new items.

use std::collections::HashMap;

use crate::data::{Features, Split};
use crate::{ErrorKind, Result};

/// First vectors of items that the model of a [`WarmStart`](super::WarmStart) does not know.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum NewItems {
    /// Those of a new model: at random.
    #[default]
    Noise,
    /// At the mean of the known items that were taken within `window` places of it in the training
    /// data, each as often as it was; at random where there are none.
    Neighbors {
        /// The number of places before and after that count.
        window: usize,
    },
    /// At the mean of its features, where a feature stands for the mean of the known items that
    /// have it; at random where it has none that they have.
    Features(Features),
}

impl NewItems {
    /// [`NewItems::Neighbors`] within three places.
    pub fn neighbors() -> Self {
        Self::Neighbors { window: 3 }
    }

    /// The sources of the new rows of a split's catalog, where `known` says which rows are not.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when features are not of the catalog.
    pub(super) fn sources(&self, split: &Split, known: impl Fn(usize) -> bool) -> Result<Sources> {
        let rows = split.catalog().len() + 1;
        let known: Vec<bool> = (0..rows).map(|row| row > 0 && known(row)).collect();
        let (mut means, mut of_rows) = (Vec::new(), None);
        match self {
            Self::Noise => {}
            Self::Neighbors { window } => means = neighbors(split, *window, &known),
            Self::Features(features) => {
                if features.values().nrows() != rows {
                    return Err(ErrorKind::Shape {
                        what: "rows of the features of new items",
                        expected: rows,
                        found: features.values().nrows(),
                    }
                    .into());
                }
                of_rows = Some(features.clone());
            }
        }
        Ok(Sources {
            known,
            means,
            features: of_rows,
        })
    }
}

/// Each new row, and the known rows that it is the mean of, with their weights.
type Means = Vec<(usize, Vec<(usize, f32)>)>;

/// The counts of known items near each new one, in rising order of rows.
fn neighbors(split: &Split, window: usize, known: &[bool]) -> Means {
    let mut near: HashMap<usize, HashMap<usize, f32>> = HashMap::new();
    for sequence in split.train.sequences().item_lists() {
        for (place, item) in sequence.iter().enumerate() {
            if known[item.to_usize()] {
                continue;
            }
            let start = place.saturating_sub(window);
            let end = place.saturating_add(window).saturating_add(1);
            let around = &sequence[start..end.min(sequence.len())];
            let around = around.iter().map(|other| other.to_usize());
            for other in around.filter(|&other| known[other]) {
                let counts = near.entry(item.to_usize()).or_default();
                *counts.entry(other).or_default() += 1.0;
            }
        }
    }
    let in_order = |counts: HashMap<usize, f32>| {
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|&(row, _)| row);
        counts
    };
    let mut means: Means = (near.into_iter())
        .map(|(row, counts)| (row, in_order(counts)))
        .collect();
    means.sort_by_key(|&(row, _)| row);
    means
}

/// The sources of the new rows of tables.
pub(super) struct Sources {
    known: Vec<bool>,
    means: Means,
    /// The features of each row, where new rows are made of them.
    features: Option<Features>,
}

impl Sources {
    /// Fills the new rows of a table `[rows, width]` whose known rows are in place.
    pub(super) fn fill(&self, table: &mut [f32], width: usize) {
        for (row, parts) in &self.means {
            let parts = parts
                .iter()
                .map(|&(row, weight)| (table[row * width..(row + 1) * width].to_vec(), weight));
            let mean = mean(width, parts);
            if let Some(mean) = mean {
                table[row * width..(row + 1) * width].copy_from_slice(&mean);
            }
        }
        if let Some(features) = &self.features {
            self.by_features(features, table, width);
        }
    }

    fn by_features(&self, features: &Features, table: &mut [f32], width: usize) {
        let values = features.values();
        let rows = || self.known.iter().enumerate().skip(1);
        let of_features: Vec<Option<Vec<f32>>> = (0..values.ncols())
            .map(|feature| {
                let known = rows().filter(|&(_, &known)| known).map(|(row, _)| row);
                let known = known.filter(|&row| values[[row, feature]] != 0.0);
                mean(
                    width,
                    known.map(|row| {
                        let vector = table[row * width..(row + 1) * width].to_vec();
                        (vector, values[[row, feature]].abs())
                    }),
                )
            })
            .collect();
        for (row, _) in rows().filter(|&(_, &known)| !known) {
            let parts = of_features.iter().zip(values.row(row));
            let parts = parts.filter(|&(_, &value)| value != 0.0);
            let parts = parts.filter_map(|(of, value)| Some((of.clone()?, value.abs())));
            if let Some(mean) = mean(width, parts) {
                table[row * width..(row + 1) * width].copy_from_slice(&mean);
            }
        }
    }
}

/// The weighted mean of vectors; `None` of none.
fn mean(width: usize, vectors: impl Iterator<Item = (Vec<f32>, f32)>) -> Option<Vec<f32>> {
    let mut sum = vec![0.0f32; width];
    let mut weights = 0.0;
    for (vector, weight) in vectors {
        weights += weight;
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += weight * value;
        }
    }
    (weights > 0.0).then(|| sum.into_iter().map(|sum| sum / weights).collect())
}
