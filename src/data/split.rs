//! Protocols: how sequences become training data and evaluation cases.

use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::cases::{Cases, Place};
use super::catalog::Catalog;
use super::dataset::Dataset;
use super::fingerprint::Fingerprint;
use super::sequences::Sequences;
use super::training_sequences::{self, Beginning, TrainingSequences};
use crate::item::ItemIndex;
use crate::{Error, Result};

/// How users' sequences are divided into training, validation and test data.
///
/// Whatever the protocol, nothing at or after a user's label reaches their history or the training
/// data. A user who is too short for it is left out and counted in [`Split::too_short`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Protocol {
    /// Users are shuffled and divided 8 : 1 : 1. The training users' whole sequences are training
    /// data; of a held-out user, the first 80 % are the history and the rest are the labels.
    Ratio {
        /// Seed of the shuffle.
        seed: u64,
    },
    /// A user's last item is the test label, the one before it the validation label, and all
    /// before that is training data. Takes users with at least three items.
    LeaveOneOut,
    /// Interactions before `valid` are training data. Those from `valid` to before `test` are
    /// validation labels, with all that the user did before `valid` as history; those from `test`
    /// on are test labels, with all that they did before `test` as history.
    TimeCut {
        /// Where training data ends.
        valid: f64,
        /// Where validation labels end and test labels begin.
        test: f64,
    },
}

/// Training data, validation cases and test cases.
#[derive(Debug, Clone)]
pub struct Split {
    /// What the model learns from.
    pub train: TrainingSequences,
    /// What training is watched and stopped by.
    pub valid: Cases,
    /// What the result is reported on.
    pub test: Cases,
    /// Users that were left out because they are too short for the protocol.
    pub too_short: usize,
    catalog: Catalog,
}

impl Split {
    /// Divides a data set.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when a time cut's `test` is not after its `valid`, and
    /// [`Error::NothingLeft`] when the training data would be empty.
    pub fn new(dataset: &Dataset, protocol: Protocol) -> Result<Self> {
        let sequences = dataset.sequences();
        let mut parts = Parts::default();
        match protocol {
            Protocol::Ratio { seed } => parts.by_ratio(sequences, seed),
            Protocol::LeaveOneOut => parts.leave_one_out(sequences),
            Protocol::TimeCut { valid, test } => {
                if test.partial_cmp(&valid) != Some(std::cmp::Ordering::Greater) {
                    return Err(Error::invalid(
                        "protocol.test",
                        test,
                        format!("must be after protocol.valid, {valid}"),
                    ));
                }
                parts.by_time(sequences, valid, test);
            }
        }
        if parts.train.is_empty() {
            return Err(Error::NothingLeft {
                reason: format!(
                    "{protocol:?} leaves no training data of {} users ({} too short)",
                    sequences.len(),
                    parts.too_short
                ),
            });
        }
        let cases = |places| Cases {
            sequences: sequences.clone(),
            places,
        };
        let train = TrainingSequences {
            sequences: sequences.clone(),
            parts: training_sequences::Parts::Beginnings(Arc::new(parts.train)),
        };
        Ok(Self {
            catalog: dataset.catalog().clone().with_counts(train.iter()),
            train,
            valid: cases(parts.valid),
            test: cases(parts.test),
            too_short: parts.too_short,
        })
    }

    /// This split with some items taken out of its training data, to see what a model makes of items
    /// that nobody has taken yet. They stay in the catalog, in histories and among labels.
    ///
    /// # Errors
    /// [`Error::NothingLeft`] when the training data would be empty.
    pub fn without_items(mut self, without: impl Fn(ItemIndex) -> bool) -> Result<Self> {
        let parts = (0..self.train.len()).map(|sequence| self.train.part(sequence));
        let kept = Arc::new((self.train.sequences).retain(parts, |item| !without(item)));
        let lengths = (0..kept.len()).map(|user| Beginning::new(user, kept.range(user).len()));
        let left: Vec<Beginning> = lengths.filter(|left| left.length > 0).collect();
        if left.is_empty() {
            return Err(Error::NothingLeft {
                reason: "every training sequence holds only items that are left out".to_owned(),
            });
        }
        self.train = TrainingSequences {
            sequences: kept,
            parts: training_sequences::Parts::Beginnings(Arc::new(left)),
        };
        self.catalog = self.catalog.with_counts(self.train.iter());
        Ok(self)
    }

    /// A number that tells this split from others: other data, another protocol, another seed.
    pub fn fingerprint(&self) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for part in [
            self.catalog.fingerprint(),
            self.train.fingerprint(),
            self.valid.fingerprint(),
            self.test.fingerprint(),
        ] {
            fingerprint.add(&part.to_le_bytes());
        }
        fingerprint.finish()
    }

    /// The catalog, with items counted over the training data alone.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

#[derive(Default)]
struct Parts {
    train: Vec<Beginning>,
    valid: Vec<Place>,
    test: Vec<Place>,
    too_short: usize,
}

impl Parts {
    fn by_ratio(&mut self, sequences: &Sequences, seed: u64) {
        let mut users: Vec<usize> = (0..sequences.len()).collect();
        users.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (train_end, valid_end) = (users.len() * 8 / 10, users.len() * 9 / 10);
        // Back in order of users, so that nothing but membership depends on the shuffle.
        users[..train_end].sort_unstable();
        users[train_end..valid_end].sort_unstable();
        users[valid_end..].sort_unstable();
        self.train = users[..train_end]
            .iter()
            .map(|&user| Beginning::new(user, sequences.range(user).len()))
            .collect();
        for (place, &user) in users.iter().enumerate().skip(train_end) {
            let length = sequences.range(user).len();
            let cut = length * 8 / 10;
            if 0 < cut && cut < length {
                let cases = if place < valid_end {
                    &mut self.valid
                } else {
                    &mut self.test
                };
                cases.push(Place::new(user, cut, length));
            } else {
                self.too_short += 1;
            }
        }
    }

    fn leave_one_out(&mut self, sequences: &Sequences) {
        self.train.reserve_exact(sequences.len());
        self.valid.reserve_exact(sequences.len());
        self.test.reserve_exact(sequences.len());
        for user in 0..sequences.len() {
            let length = sequences.range(user).len();
            if length < 3 {
                self.too_short += 1;
                continue;
            }
            self.train.push(Beginning::new(user, length - 2));
            self.valid.push(Place::new(user, length - 2, length - 1));
            self.test.push(Place::new(user, length - 1, length));
        }
    }

    fn by_time(&mut self, sequences: &Sequences, valid: f64, test: f64) {
        self.train.reserve_exact(sequences.len());
        for user in 0..sequences.len() {
            let times = sequences.times(user);
            let valid_cut = times.partition_point(|&time| time < valid);
            let test_cut = times.partition_point(|&time| time < test);
            if 0 < valid_cut {
                self.train.push(Beginning::new(user, valid_cut));
            }
            // Someone who first acts after a cut has labels but no history to judge them by.
            let mut judge = |cases: &mut Vec<Place>, cut: usize, end: usize| {
                if cut < end && 0 < cut {
                    cases.push(Place::new(user, cut, end));
                } else if cut < end {
                    self.too_short += 1;
                }
            };
            judge(&mut self.valid, valid_cut, test_cut);
            judge(&mut self.test, test_cut, times.len());
        }
    }
}
