//! Protocols: how sequences become training data and evaluation cases.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::behaviors::Role;
use super::catalog::Catalog;
use super::dataset::Dataset;
use super::fields::date;
use super::fingerprint::Fingerprint;
use super::sequences::Sequences;
use super::spans::{Spans, narrow};
use super::time_unit::TimeUnit;
use super::training_data::TrainingData;
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result};

/// How users' sequences are divided into training, validation and test data.
///
/// Whatever the protocol, nothing at or after a user's label reaches their history or the training
/// data. A user who is too short for it is left out and counted in [`Split::too_short`]; one who
/// begins after a time cut is among [`Spans::newcomers`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// Users are shuffled and divided 8 : 1 : 1. The training users' whole sequences are training
    /// data; of a held-out user, the first 80 % are the history and the rest are the labels.
    Ratio {
        /// Seed of the shuffle.
        seed: u64,
    },
    /// A user's last item is the test label, the one before it the validation label, and all
    /// before that is training data. Takes users with at least three items. Where events have a
    /// [meaning](super::Behaviors), labels are the last two targets, and what a user did after one
    /// is not in its history.
    LeaveOneOut,
    /// Interactions before `valid` are training data. Those from `valid` to before `test` are
    /// validation labels, with all that the user did before `valid` as history; those from `test`
    /// on are test labels, with all that they did before `test` as history. Both are in the unit of
    /// the data; [`time_cut_at_shares`](Self::time_cut_at_shares) and
    /// [`time_cut_at_dates`](Self::time_cut_at_dates) find them by other means.
    TimeCut {
        /// Where training data ends.
        valid: f64,
        /// Where validation labels end and test labels begin; infinity for no test.
        test: f64,
    },
}

impl Protocol {
    /// A [time cut](Self::TimeCut) with these shares of all interactions before `valid` and before
    /// `test`, such as 0.8 and 0.9.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a share that is not between 0 and 1, when nothing lies
    /// before the time of `valid`, and when both shares lie at the same time.
    pub fn time_cut_at_shares(dataset: &Dataset, valid: f64, test: f64) -> Result<Self> {
        let sequences = dataset.sequences();
        let at = |field, share: f64| {
            let at = (share > 0.0 && share < 1.0).then(|| sequences.time_quantile(share));
            (at.flatten()).ok_or_else(|| Error::invalid(field, share, "must be between 0 and 1"))
        };
        let cuts = [at("valid", valid)?, at("test", test)?];
        if Some(cuts[0]) == sequences.time_quantile(0.0) {
            let reason = format!(
                "lies at the first time of the data, {}, before which nothing is",
                cuts[0]
            );
            return Err(Error::invalid("valid", valid, reason));
        }
        if cuts[0] >= cuts[1] {
            let reason = format!(
                "must lie at a later time than the share {valid}: they are at {} and {}",
                cuts[1], cuts[0]
            );
            return Err(Error::invalid("test", test, reason));
        }
        let [valid, test] = cuts;
        Ok(Self::TimeCut { valid, test })
    }

    /// A [time cut](Self::TimeCut) at dates, such as `2018-01-01` or `2018-01-01 08:30:00`, in UTC
    /// unless they have an offset.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a text that is no date, and when the data's times are no
    /// dates.
    pub fn time_cut_at_dates(dataset: &Dataset, valid: &str, test: &str) -> Result<Self> {
        let sequences = dataset.sequences();
        let unit = TimeUnit::from_times(sequences.times_in(0..sequences.interactions()));
        Ok(Self::TimeCut {
            valid: time_of_date("valid", valid, unit)?,
            test: time_of_date("test", test, unit)?,
        })
    }
}

/// The time of a date, in the unit of data.
pub(super) fn time_of_date(field: &'static str, text: &str, unit: TimeUnit) -> Result<f64> {
    if unit == TimeUnit::Order {
        let reason = "the data's times are in no known unit, so no date lies among them";
        return Err(Error::invalid(field, text, reason));
    }
    let seconds = date(text);
    let seconds = seconds.ok_or_else(|| {
        let reason = "is no date such as 2018-01-01 or 2018-01-01 08:30:00";
        Error::invalid(field, text, reason)
    })?;
    Ok(seconds * unit.per_second())
}

/// Refuses a cut that does not divide data whose times go from `first` to `last`: nothing would lie
/// before it, or nothing after it.
pub(super) fn check_cut(field: &'static str, cut: f64, [first, last]: [f64; 2]) -> Result<()> {
    if first < cut && cut <= last {
        return Ok(());
    }
    let unit = TimeUnit::from_times(&[first, last]);
    let day = |time: f64| {
        let second = (time / unit.per_second()) as i64;
        jiff::Timestamp::from_second(second).map(|at| at.strftime("%Y-%m-%d").to_string())
    };
    let dates = match (day(first), day(last)) {
        (Ok(first), Ok(last)) if unit != TimeUnit::Order => {
            format!(", {first} to {last} in {unit}")
        }
        _ => String::new(),
    };
    let or_none = match field {
        "protocol.test" => "; infinity for no test",
        _ => "",
    };
    let reason =
        format!("does not divide the data, whose times are {first} to {last}{dates}{or_none}");
    Err(Error::invalid(field, cut, reason))
}

/// Training data, validation cases and test cases.
#[derive(Debug, Clone)]
pub struct Split {
    /// What models and channels learn from, with the catalog, whose items are counted over these
    /// data only.
    pub train: TrainingData,
    /// What training is watched and stopped by.
    pub valid: Spans,
    /// What the result is reported on.
    pub test: Spans,
    /// Users that were left out because they are too short for the protocol: with fewer than three
    /// items for leave-one-out, or held out with too few to divide. A time cut leaves nobody out
    /// for that; those who begin after it are [`Spans::newcomers`].
    pub too_short: usize,
}

impl Split {
    /// Divides a data set.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when a time cut's `test` is not after its `valid`, or one of
    /// them lies outside of the data's times, as in another unit; [`ErrorKind::NothingLeft`] when
    /// the training data would be empty.
    pub fn new(dataset: &Dataset, protocol: Protocol) -> Result<Self> {
        let sequences = dataset.sequences();
        let mut parts = Division::default();
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
                if let Some(times) = parts.by_time(sequences, valid, test) {
                    check_cut("protocol.valid", valid, times)?;
                    if test != f64::INFINITY {
                        check_cut("protocol.test", test, times)?;
                    }
                }
            }
        }
        if parts.train.is_empty() {
            return Err(ErrorKind::NothingLeft {
                reason: format!(
                    "{protocol:?} leaves no training data of {} users ({} too short)",
                    sequences.len(),
                    parts.too_short
                ),
            }
            .into());
        }
        let ids = dataset.catalog().table();
        let train = Spans::first(sequences, ids, parts.train);
        Ok(Self {
            train: dataset.training_data().with_sequences(train),
            valid: Spans::cases(sequences, ids, parts.valid),
            test: Spans::cases(sequences, ids, parts.test),
            too_short: parts.too_short,
        })
    }

    /// This split with some items taken out of its training data, to see what a model makes of
    /// items that nobody has taken yet, and out of the validation labels, by which training stops.
    /// They stay in the catalog, in histories and among the labels of the test cases. A
    /// [log](TrainingData::with_log) of the training data is left out.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] when the training data would be empty.
    pub fn without_items(mut self, without: impl Fn(ItemIndex) -> bool) -> Result<Self> {
        let left = self.train.sequences().retain(|item| !without(item));
        if left.is_empty() {
            return Err(ErrorKind::NothingLeft {
                reason: "every training sequence holds only items that are left out".to_owned(),
            }
            .into());
        }
        self.train = self.train.with_sequences(left);
        self.valid = self.valid.retain_labels(|item| !without(item));
        Ok(self)
    }

    /// A number that tells this split from others: other data, another protocol, another seed.
    pub fn fingerprint(&self) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for part in [
            self.catalog().fingerprint(),
            self.train.sequences().fingerprint(),
            self.valid.fingerprint(),
            self.test.fingerprint(),
        ] {
            fingerprint.add(&part.to_le_bytes());
        }
        fingerprint.finish()
    }

    /// The catalog, with items counted over the training data alone.
    pub fn catalog(&self) -> &Catalog {
        self.train.catalog()
    }
}

/// Whether a part of a user's sequence has something to be recalled.
fn has_label(sequences: &Sequences, user: usize, part: Range<usize>) -> bool {
    let start = sequences.range(user).start;
    let part = start + part.start..start + part.end;
    sequences.places_of(part, Role::Target).next().is_some()
}

/// Where sequences are divided.
#[derive(Default)]
struct Division {
    train: Vec<[u32; 2]>,
    /// Cases, and those without a history.
    valid: [Vec<[u32; 3]>; 2],
    test: [Vec<[u32; 3]>; 2],
    too_short: usize,
}

impl Division {
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
            .map(|&user| [user, sequences.range(user).len()].map(narrow))
            .collect();
        for (place, &user) in users.iter().enumerate().skip(train_end) {
            let length = sequences.range(user).len();
            let cut = length * 8 / 10;
            if 0 < cut && has_label(sequences, user, cut..length) {
                let [cases, _] = if place < valid_end {
                    &mut self.valid
                } else {
                    &mut self.test
                };
                cases.push([user, cut, length].map(narrow));
            } else {
                self.too_short += 1;
            }
        }
    }

    fn leave_one_out(&mut self, sequences: &Sequences) {
        self.train.reserve_exact(sequences.len());
        self.valid[0].reserve_exact(sequences.len());
        self.test[0].reserve_exact(sequences.len());
        for user in 0..sequences.len() {
            let range = sequences.range(user);
            let start = range.start;
            let mut targets = sequences.places_of(range, Role::Target).rev();
            // Where the last targets are; what comes after a target is not known before it.
            let [test, valid] = [targets.next(), targets.next()];
            let (Some(test), Some(valid)) = (test, valid.filter(|&valid| valid > start)) else {
                self.too_short += 1;
                continue;
            };
            let [valid, test] = [valid - start, test - start];
            self.train.push([user, valid].map(narrow));
            self.valid[0].push([user, valid, valid + 1].map(narrow));
            self.test[0].push([user, test, test + 1].map(narrow));
        }
    }

    /// Divides by time; the earliest and the latest time there is.
    fn by_time(&mut self, sequences: &Sequences, valid: f64, test: f64) -> Option<[f64; 2]> {
        self.train.reserve_exact(sequences.len());
        let mut span: Option<[f64; 2]> = None;
        for user in 0..sequences.len() {
            let times = sequences.times(user);
            let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
                continue;
            };
            let [earliest, latest] = span.unwrap_or([first, last]);
            span = Some([first.min(earliest), last.max(latest)]);
            let valid_cut = times.partition_point(|&time| time < valid);
            let test_cut = times.partition_point(|&time| time < test);
            if 0 < valid_cut {
                self.train.push([user, valid_cut].map(narrow));
            }
            let hold_out = |groups: &mut [Vec<[u32; 3]>; 2], cut: usize, end: usize| {
                if has_label(sequences, user, cut..end) {
                    let newcomer = usize::from(cut == 0);
                    groups[newcomer].push([user, cut, end].map(narrow));
                }
            };
            hold_out(&mut self.valid, valid_cut, test_cut);
            hold_out(&mut self.test, test_cut, times.len());
        }
        span
    }
}
