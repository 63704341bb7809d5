//! Vectors that items are given, such as those of their titles.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use ndarray::{Array2, ArrayView2, Axis};

use crate::data::fingerprint::Fingerprint;
use crate::data::id::ExternalId;
use crate::{Error, Result, checks};

/// Vectors of some of a catalog's items, which are not trained.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GivenVectors {
    name: String,
    /// `[items + 1, dim]`, 0 where an item has none.
    vectors: Array2<f32>,
    /// Which items have one; padding has none.
    known: Vec<bool>,
}

impl GivenVectors {
    pub(in crate::data) fn new(
        name: &str,
        rows: usize,
        ids: impl Iterator<Item = ExternalId>,
        vectors: ArrayView2<'_, f32>,
        row_of: impl Fn(&ExternalId) -> Option<usize>,
    ) -> Result<Self> {
        let ids: Vec<ExternalId> = ids.collect();
        checks::same_length("ids of given vectors", vectors.nrows(), ids.len())?;
        checks::finite("given vectors", vectors)?;
        let dim = vectors.ncols();
        let mut given = Self {
            name: name.to_owned(),
            vectors: Array2::zeros((rows, dim)),
            known: vec![false; rows],
        };
        for (id, vector) in ids.into_iter().zip(vectors.rows()) {
            let row = row_of(&id).filter(|&row| row < rows);
            let Some((row, known)) = row.and_then(|row| Some((row, given.known.get_mut(row)?)))
            else {
                continue;
            };
            if std::mem::replace(known, true) {
                let reason = format!("has two vectors of {name:?}");
                return Err(Error::invalid("ids", id, reason));
            }
            given.vectors.index_axis_mut(Axis(0), row).assign(&vector);
        }
        if given.known() == 0 || dim == 0 {
            let reason = "no item of the catalog has a vector of these ids; are they ids of other \
                          items, or numbers where the catalog has text?";
            return Err(Error::invalid("ids", format!("{name:?}"), reason));
        }
        Ok(given)
    }

    /// These with the vectors of more rows, all of finite numbers, 0 where there is none.
    pub(in crate::data) fn extended<'a>(
        &self,
        more: impl Iterator<Item = Option<&'a [f32]>>,
    ) -> Result<Self> {
        let dim = self.vectors.ncols();
        let mut extended = self.clone();
        let none = vec![0.0; dim];
        for vector in more {
            if let Some(vector) = vector {
                checks::same_length("numbers of a given vector", dim, vector.len())?;
            }
            extended.known.push(vector.is_some());
            let row = ndarray::ArrayView1::from(vector.unwrap_or(&none));
            let pushed = extended.vectors.push_row(row);
            debug_assert!(pushed.is_ok());
        }
        Ok(extended)
    }

    /// From what was kept; `None` where there is not one value for each row and column.
    pub(crate) fn from_parts(name: String, known: Vec<bool>, values: Vec<f32>) -> Option<Self> {
        let dim = values.len().checked_div(known.len())?;
        let vectors = Array2::from_shape_vec((known.len(), dim), values).ok()?;
        (dim > 0).then_some(Self {
            name,
            vectors,
            known,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `[items + 1, dim]`.
    pub(crate) fn vectors(&self) -> &Array2<f32> {
        &self.vectors
    }

    /// Which rows of the vectors are some item's.
    pub(crate) fn are_known(&self) -> &[bool] {
        &self.known
    }

    /// The number of items with a vector.
    pub(crate) fn known(&self) -> usize {
        self.known.iter().filter(|&&known| known).count()
    }

    pub(super) fn add_to(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(self.name.as_bytes());
        fingerprint.add(&[0xff]);
        if let Some(values) = self.vectors.as_slice() {
            // Many megabytes, of which FNV takes a multiplication a byte.
            let checksum = crc32fast::hash(bytemuck::cast_slice(values));
            fingerprint.add(&checksum.to_le_bytes());
        }
        let known: Vec<u8> = self.known.iter().map(|&known| u8::from(known)).collect();
        fingerprint.add(&known);
    }
}
