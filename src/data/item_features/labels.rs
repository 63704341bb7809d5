//! Labels of items: which of many each has.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeMap;

use crate::data::fingerprint::Fingerprint;

/// The labels of items, sparse: an item has a handful of many thousands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ItemLabels {
    /// The columns that labels are of.
    columns: Vec<String>,
    /// In order.
    names: Vec<String>,
    /// Where each row's labels begin, and where the last one's end.
    offsets: Vec<u32>,
    labels: Vec<u32>,
}

impl ItemLabels {
    /// The labels of `rows` rows, of `(row, label)`, each once.
    pub(in crate::data) fn new(
        rows: usize,
        columns: Vec<String>,
        pairs: impl IntoIterator<Item = (usize, String)>,
    ) -> Self {
        let mut of_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (row, name) in pairs {
            of_name.entry(name).or_default().push(row);
        }
        let mut of_row: Vec<Vec<u32>> = vec![Vec::new(); rows];
        for (number, rows) in (0..).zip(of_name.values()) {
            for &row in rows {
                if let Some(row) = of_row.get_mut(row) {
                    row.push(number);
                }
            }
        }
        let ends = of_row.iter().scan(0, |end, labels| {
            *end += labels.len() as u32;
            Some(*end)
        });
        Self {
            columns,
            names: of_name.into_keys().collect(),
            offsets: std::iter::once(0).chain(ends).collect(),
            labels: of_row.concat(),
        }
    }

    /// From what was kept; `None` where it is not whole.
    pub(crate) fn from_parts(
        [columns, names]: [Vec<String>; 2],
        offsets: Vec<u32>,
        labels: Vec<u32>,
    ) -> Option<Self> {
        let whole = offsets.first() == Some(&0)
            && offsets.is_sorted()
            && offsets.last().map(|&end| end as usize) == Some(labels.len())
            && labels.iter().all(|&label| (label as usize) < names.len());
        whole.then_some(Self {
            columns,
            names,
            offsets,
            labels,
        })
    }

    /// The columns that labels are of.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// These with one more row, which has those of some labels that are known.
    pub(in crate::data) fn push(&mut self, labels: impl Iterator<Item = String>) {
        let known = labels.filter_map(|label| self.names.binary_search(&label).ok());
        let mut known: Vec<u32> = known.map(|number| number as u32).collect();
        known.sort_unstable();
        known.dedup();
        self.labels.extend(known);
        self.offsets.push(self.labels.len() as u32);
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// All rows' labels, one row after another.
    pub(crate) fn all(&self) -> &[u32] {
        &self.labels
    }

    /// The labels of a row.
    pub(crate) fn of(&self, row: usize) -> &[u32] {
        let at = |place: usize| self.offsets.get(place).map(|&offset| offset as usize);
        match (at(row), at(row + 1)) {
            (Some(start), Some(end)) => self.labels.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    pub(super) fn add_to(&self, fingerprint: &mut Fingerprint) {
        for name in &self.names {
            fingerprint.add(name.as_bytes());
            fingerprint.add(&[0xff]);
        }
        fingerprint.add(bytemuck::cast_slice(&self.offsets));
        fingerprint.add(bytemuck::cast_slice(&self.labels));
    }
}
