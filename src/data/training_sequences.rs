//! What models learn from.

use std::ops::Range;
use std::sync::Arc;

use super::catalog::Catalog;
use super::dataset::Dataset;
use super::fingerprint::Fingerprint;
use super::history::History;
use super::sequences::Sequences;
use crate::item::ItemIndex;
use crate::{Error, Result};

/// Training sequences as views into the data set's sequences.
#[derive(Debug, Clone)]
pub struct TrainingSequences {
    pub(super) sequences: Arc<Sequences>,
    /// Each one's user and its place in the flat array.
    pub(super) ranges: Vec<(usize, Range<usize>)>,
}

impl TrainingSequences {
    /// All of a data set's sequences, for a last training run that holds nothing out.
    pub fn all(dataset: &Dataset) -> Self {
        let sequences = dataset.sequences().clone();
        let ranges = (0..sequences.len())
            .map(|user| (user, sequences.range(user)))
            .collect();
        Self { sequences, ranges }
    }

    /// Sequences of users whose items and times lie between consecutive offsets, in time order.
    pub(crate) fn from_parts(offsets: Vec<usize>, items: Vec<ItemIndex>, times: Vec<f64>) -> Self {
        let sequences = Arc::new(Sequences::from_parts(offsets, items, times));
        let ranges = (0..sequences.len()).map(|user| (user, sequences.range(user)));
        Self {
            ranges: ranges.collect(),
            sequences,
        }
    }

    /// The number of sequences.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// A number that tells these sequences from others: it depends on every item, time and feature
    /// of a user, and on their order.
    pub fn fingerprint(&self) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for sequence in 0..self.len() {
            fingerprint.add_history(self.history(sequence));
        }
        fingerprint.finish()
    }

    /// Refuses sequences of items that a catalog does not have, which are of another data set.
    pub(crate) fn check_items(&self, catalog: &Catalog) -> Result<()> {
        let unknown = |item: &&ItemIndex| catalog.id_of(**item).is_none();
        match self.iter().flatten().find(unknown) {
            Some(&item) => Err(Error::UnknownItem { item }),
            None => Ok(()),
        }
    }

    /// The number in the data set of the user whose sequence this is.
    ///
    /// # Panics
    /// When `sequence` is not below [`TrainingSequences::len`].
    pub fn user(&self, sequence: usize) -> usize {
        self.ranges[sequence].0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// One sequence, in time order.
    ///
    /// # Panics
    /// When `sequence` is not below [`TrainingSequences::len`].
    pub fn get(&self, sequence: usize) -> &[ItemIndex] {
        self.sequences.items_in(self.ranges[sequence].1.clone())
    }

    /// One sequence, with all that is known of it.
    ///
    /// # Panics
    /// When `sequence` is not below [`TrainingSequences::len`].
    pub fn history(&self, sequence: usize) -> History<'_> {
        let (user, range) = self.ranges[sequence].clone();
        self.sequences.history(user, range)
    }

    /// All sequences.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[ItemIndex]> {
        (0..self.len()).map(|sequence| self.get(sequence))
    }
}
