//! What models learn from.

use std::ops::Range;
use std::sync::Arc;

use super::catalog::Catalog;
use super::dataset::Dataset;
use super::features::Features;
use super::fingerprint::Fingerprint;
use super::sequences::Sequences;
use super::user::User;
use crate::item::ItemIndex;
use crate::{Error, Result};

/// Training sequences as views into the data set's sequences.
#[derive(Debug, Clone)]
pub struct TrainingSequences {
    pub(super) sequences: Arc<Sequences>,
    pub(super) parts: Parts,
}

/// Which part of whose sequence each training sequence is.
#[derive(Debug, Clone)]
pub(super) enum Parts {
    /// The whole of everyone's.
    Whole,
    /// The beginnings of some users' sequences.
    Beginnings(Arc<Vec<Beginning>>),
}

/// The first items of a user's sequence. Small, since there is one for each of millions of users
/// whose sequences are not in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    pub(super) user: u32,
    pub(super) length: u32,
}

impl Beginning {
    pub(super) fn new(user: usize, length: usize) -> Self {
        Self {
            user: narrow(user),
            length: narrow(length),
        }
    }
}

/// The number of a user, or of items in one user's sequence.
pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 users, and items in each one's sequence")
}

impl TrainingSequences {
    /// All of a data set's sequences, for a last training run that holds nothing out.
    pub fn all(dataset: &Dataset) -> Self {
        Self {
            sequences: dataset.sequences().clone(),
            parts: Parts::Whole,
        }
    }

    /// Sequences of users whose items and times lie between consecutive offsets, in time order.
    pub(crate) fn from_parts(offsets: Vec<usize>, items: Vec<ItemIndex>, times: Vec<f64>) -> Self {
        Self {
            sequences: Arc::new(Sequences::from_parts(offsets, items, times)),
            parts: Parts::Whole,
        }
    }

    /// The same sequences of users with features, a row for each.
    pub(crate) fn with_user_features(self, features: Features) -> Self {
        let sequences = Arc::unwrap_or_clone(self.sequences);
        Self {
            sequences: Arc::new(sequences.with_features(features)),
            ..self
        }
    }

    /// A sequence's user and its place in the flat array.
    pub(super) fn part(&self, sequence: usize) -> (usize, Range<usize>) {
        match &self.parts {
            Parts::Whole => (sequence, self.sequences.range(sequence)),
            Parts::Beginnings(beginnings) => {
                let Beginning { user, length } = beginnings[sequence];
                let start = self.sequences.range(user as usize).start;
                (user as usize, start..start + length as usize)
            }
        }
    }

    /// The number of sequences.
    pub fn len(&self) -> usize {
        match &self.parts {
            Parts::Whole => self.sequences.len(),
            Parts::Beginnings(beginnings) => beginnings.len(),
        }
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
        self.part(sequence).0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One sequence, in time order.
    ///
    /// # Panics
    /// When `sequence` is not below [`TrainingSequences::len`].
    pub fn get(&self, sequence: usize) -> &[ItemIndex] {
        self.sequences.items_in(self.part(sequence).1)
    }

    /// One sequence, with all that is known of it.
    ///
    /// # Panics
    /// When `sequence` is not below [`TrainingSequences::len`].
    pub fn history(&self, sequence: usize) -> User<'_> {
        let (user, range) = self.part(sequence);
        self.sequences.history(user, range)
    }

    /// All sequences.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[ItemIndex]> {
        (0..self.len()).map(|sequence| self.get(sequence))
    }
}
