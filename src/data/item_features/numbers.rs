//! Numbers of items, standardized.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::data::fingerprint::Fingerprint;

/// The numbers of items: a column for each that is standardized over the items that have it, 0 for
/// those that do not, and where there are such another column that is 1 for them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ItemNumbers {
    scales: Vec<Scale>,
    /// `[items + 1, columns]`.
    values: Array2<f32>,
}

/// How the numbers of a column were standardized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(in crate::data) name: String,
    mean: f64,
    deviation: f64,
    /// Whether another column tells which items lack it.
    missing: bool,
}

impl ItemNumbers {
    /// Of `rows` rows without numbers.
    pub(in crate::data) fn none(rows: usize) -> Self {
        Self {
            scales: Vec::new(),
            values: Array2::zeros((rows, 0)),
        }
    }

    /// The numbers of columns, each with one for each row but padding; `None` for those that are
    /// missing. Gives the name of a column that says nothing where there is one.
    pub(in crate::data) fn new(
        rows: usize,
        columns: Vec<(String, Vec<Option<f64>>)>,
    ) -> std::result::Result<Self, String> {
        let mut scales = Vec::new();
        for (name, numbers) in &columns {
            scales.push(Scale::of(name, numbers).ok_or_else(|| name.clone())?);
        }
        let mut all = Self::none(rows);
        all.values = Array2::zeros((rows, scales.iter().map(Scale::columns).sum()));
        let mut column = 0;
        for (scale, (_, numbers)) in scales.iter().zip(&columns) {
            for (row, &number) in (1..).zip(numbers) {
                for (place, value) in (column..).zip(scale.values(number)) {
                    if let Some(kept) = all.values.get_mut((row, place)) {
                        *kept = value;
                    }
                }
            }
            column += scale.columns();
        }
        all.scales = scales;
        Ok(all)
    }

    /// From what was kept; `None` where there is not one value for each column and row.
    pub(crate) fn from_parts(scales: Vec<Scale>, rows: usize, values: Vec<f32>) -> Option<Self> {
        let columns = scales.iter().map(Scale::columns).sum();
        let values = Array2::from_shape_vec((rows, columns), values).ok()?;
        Some(Self { scales, values })
    }

    pub(crate) fn scales(&self) -> &[Scale] {
        &self.scales
    }

    /// `[items + 1, columns]`.
    pub(crate) fn values(&self) -> &Array2<f32> {
        &self.values
    }

    /// The names of the columns.
    pub(crate) fn names(&self) -> Vec<String> {
        let of = |scale: &Scale| {
            let missing = scale.missing.then(|| format!("{} is missing", scale.name));
            std::iter::once(scale.name.clone()).chain(missing)
        };
        self.scales.iter().flat_map(of).collect()
    }

    /// These with one more row, whose numbers are those of the columns' names.
    pub(in crate::data) fn push(
        &mut self,
        number: impl Fn(&str) -> crate::Result<Option<f64>>,
    ) -> crate::Result<()> {
        let mut row = Vec::with_capacity(self.values.ncols());
        for scale in &self.scales {
            row.extend(scale.values(number(&scale.name)?));
        }
        // A row of as many values as there are columns.
        let pushed = self.values.push_row(ndarray::ArrayView1::from(&row));
        debug_assert!(pushed.is_ok());
        Ok(())
    }

    pub(super) fn add_to(&self, fingerprint: &mut Fingerprint) {
        for name in self.names() {
            fingerprint.add(name.as_bytes());
            fingerprint.add(&[0xff]);
        }
        if let Some(values) = self.values.as_slice() {
            fingerprint.add(bytemuck::cast_slice(values));
        }
    }
}

impl Scale {
    /// `None` where all numbers are one, or missing.
    fn of(name: &str, numbers: &[Option<f64>]) -> Option<Self> {
        let known: Vec<f64> = numbers.iter().copied().flatten().collect();
        let first = known.first()?;
        if known.iter().all(|number| number == first) {
            return None;
        }
        let count = known.len() as f64;
        let mean = known.iter().map(|number| number / count).sum::<f64>();
        let variance = known.iter().map(|number| (number - mean).powi(2) / count);
        Some(Self {
            name: name.to_owned(),
            mean,
            deviation: variance.sum::<f64>().sqrt(),
            missing: known.len() < numbers.len(),
        })
    }

    fn columns(&self) -> usize {
        1 + usize::from(self.missing)
    }

    pub(in crate::data) fn values(&self, number: Option<f64>) -> impl Iterator<Item = f32> + use<> {
        let standard = |number: f64| ((number - self.mean) / self.deviation) as f32;
        let missing = self
            .missing
            .then_some(f32::from(u8::from(number.is_none())));
        std::iter::once(number.map_or(0.0, standard)).chain(missing)
    }
}
