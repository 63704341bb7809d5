//! Makes the batches of each epoch.

use std::sync::Arc;

use burn::tensor::backend::Backend;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::batch::{HostBatch, TrainingBatch};
use super::behaviors::Role;
use super::catalog::Catalog;
use super::epoch::EpochBatches;
use super::lanes::{BatchRow, Lanes, has_target, is_learned};
use super::negatives::{NegativeSampler, NegativeSampling};
use super::padded::{PaddedSequences, check_positions};
use super::spans::Spans;
use super::targets::{TargetCounts, Targets};
use super::training_data::TrainingData;
use super::user::User;
use crate::{ErrorKind, Result, checks};

/// Makes the batches of each epoch, always the same for the same seed and epoch.
///
/// A training loop of your own has its batches from here:
///
/// ```
/// use seqrec::burn::optim::{GradientsParams, Optimizer, SgdConfig};
/// use seqrec::data::synthetic::Synthetic;
/// use seqrec::data::{Batcher, Targets};
/// use seqrec::prelude::*;
///
/// type B = Autodiff<Flex>;
/// let log = Synthetic::new().with_users(80).with_items(60).generate()?;
/// let data = Dataset::new(log, Filters::default())?.training_data();
/// let device = Default::default();
/// let mut model = Gru4RecConfig::new().with_dim(8).init::<B>(data.catalog().len(), 1, &device)?;
/// let mut optimizer = SgdConfig::new().init::<B, _>();
/// let batcher = Batcher::new(&data, 32, 50, Targets::All, 42)?;
/// for batch in batcher.epoch::<B>(0, &device) {
///     let gradients = model.loss(&batch).backward();
///     let gradients = GradientsParams::from_grads(gradients, &model);
///     model = optimizer.step(0.1, model, gradients);
/// }
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batcher {
    sequences: Spans,
    catalog: Catalog,
    /// The sequences that are long enough for a target.
    usable: Arc<Vec<u32>>,
    batch_size: usize,
    max_len: usize,
    targets: Targets,
    window: Option<usize>,
    negatives: Option<NegativeSampler>,
    seed: u64,
    batches_per_epoch: usize,
}

impl Batcher {
    /// Batches of `batch_size` sequences, each cut to `max_len` items before its last target.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when a size is 0 (for `minimum_history` too), and
    /// [`ErrorKind::NothingLeft`] when no sequence is long enough for a target.
    pub fn new(
        data: &TrainingData,
        batch_size: usize,
        max_len: usize,
        targets: Targets,
        seed: u64,
    ) -> Result<Self> {
        let mut sizes = vec![("batch_size", batch_size), ("max_len", max_len)];
        if let Targets::OneRandom { minimum_history } = targets {
            sizes.push(("minimum_history", minimum_history));
        }
        checks::at_least_one(&sizes)?;
        let sequences = data.sequences();
        let all = 0..sequences.len() as u32;
        let least = targets.least_length();
        let long_enough = |&number: &u32| has_target(sequences.history(number as usize), least - 1);
        // Counted first: growing a list of millions would take twice the memory.
        let mut usable = Vec::with_capacity(all.clone().filter(long_enough).count());
        usable.extend(all.filter(long_enough));
        if usable.is_empty() {
            return Err(ErrorKind::NothingLeft {
                reason: format!(
                    "none of {} training sequences has the {} items that {targets:?} needs{}",
                    sequences.len(),
                    targets.least_length(),
                    match data.catalog().behaviors() {
                        Some(behaviors) =>
                            format!(", with a target of \"{behaviors}\" at their end"),
                        None => String::new(),
                    }
                ),
            }
            .into());
        }
        let longest = usable
            .iter()
            .map(|&number| sequences.items(number as usize).len().min(max_len));
        let rows = batch_size.min(usable.len());
        check_positions("batch_size", rows, longest.max().unwrap_or(0))?;
        if targets == Targets::SessionParallel {
            let began = |&number: &u32| sequences.history(number as usize).times()[0];
            usable.sort_by(|a, b| began(a).total_cmp(&began(b)));
        }
        let mut batcher = Self {
            sequences: sequences.clone(),
            catalog: data.catalog().clone(),
            batches_per_epoch: usable.len().div_ceil(batch_size),
            usable: Arc::new(usable),
            batch_size,
            max_len,
            targets,
            window: None,
            negatives: None,
            seed,
        };
        match targets {
            Targets::SessionParallel => batcher.batches_per_epoch = batcher.lanes().count(),
            Targets::EveryPrefix => {
                let sequences = batcher.usable.iter();
                let rows = sequences.map(|&number| batcher.learned(number).count());
                batcher.batches_per_epoch = rows.sum::<usize>().div_ceil(batch_size);
            }
            Targets::All | Targets::OneRandom { .. } => {}
        }
        Ok(batcher)
    }

    /// Gives each batch negatives, for losses over a sample of the items.
    ///
    /// # Errors
    /// As [`NegativeSampling::validate`], and when nothing is counted but chances depend on counts.
    pub fn negatives(mut self, sampling: NegativeSampling) -> Result<Self> {
        let targets = self.catalog.behaviors().map(|_| self.counts_of_targets());
        let counts = targets.as_deref().unwrap_or(self.catalog.counts());
        self.negatives = Some(NegativeSampler::new(sampling, &self.catalog, counts)?);
        Ok(self)
    }

    /// How often each item is a target, `[items + 1]`.
    fn counts_of_targets(&self) -> Vec<u64> {
        let mut counts = vec![0; self.catalog.len() + 1];
        for number in 0..self.sequences.len() {
            for item in self.sequences.history(number).items_of(Role::Target) {
                if let Some(count) = counts.get_mut(item.to_usize()) {
                    *count += 1;
                }
            }
        }
        counts
    }

    /// Shuffles so many sequences at a time, in place of all: short runs of sequences that lie side
    /// by side come in a random order, and as many as make up the window are shuffled at once. Of a
    /// [`SequenceStore`](super::SequenceStore) that is larger than memory, a window is read in
    /// large pieces and stays in memory while it is used, where each sequence of a shuffle of all
    /// is read from the disk on its own. Batches of [`Targets::SessionParallel`] come in no
    /// shuffled order and stay as they are.
    #[must_use]
    pub fn windows(mut self, sequences: usize) -> Self {
        self.window = Some(sequences);
        self
    }

    /// How many batches an epoch has.
    pub fn batches_per_epoch(&self) -> usize {
        self.batches_per_epoch
    }

    /// How many training sequences are too short to have a target.
    pub fn too_short(&self) -> usize {
        self.sequences.len() - self.usable.len()
    }

    /// How many targets an epoch has, and what no epoch has. This reads all sequences once.
    pub fn target_counts(&self) -> TargetCounts {
        let items = self.catalog.len();
        let least_before = self.targets.least_length() - 1;
        let mut is_target = vec![false; items + 1];
        let (mut reached, mut all) = (0, 0);
        for number in 0..self.sequences.len() {
            let sequence = self.sequences.history(number);
            for (place, item) in sequence.items().iter().enumerate().skip(1) {
                if sequence.role(place) != Role::Target {
                    continue;
                }
                all += 1;
                if place < least_before {
                    continue;
                }
                if let Some(is_target) = is_target.get_mut(item.to_usize()) {
                    *is_target = true;
                }
                reached += 1;
            }
        }
        let of_sequence = |&number: &u32| {
            let sequence = self.sequences.history(number as usize);
            let places = sequence.items().len() - 1;
            let targets = (1..=places).filter(|&place| sequence.role(place) == Role::Target);
            // A row reaches this share of the places of its sequence.
            targets.count() * self.max_len.min(places) / places
        };
        TargetCounts {
            per_epoch: match self.targets {
                Targets::OneRandom { .. } => self.usable.len(),
                Targets::All => self.usable.iter().map(of_sequence).sum(),
                Targets::EveryPrefix | Targets::SessionParallel => reached,
            },
            all,
            never: all - reached,
            items,
            items_never: items - is_target.iter().filter(|&&is_target| is_target).count(),
        }
    }

    /// The batches of an epoch on a device, made by a background thread while the caller trains.
    pub fn epoch<B: Backend>(
        &self,
        epoch: usize,
        device: &B::Device,
    ) -> impl Iterator<Item = TrainingBatch<B>> + use<B> {
        let device = device.clone();
        (self.host_epoch(epoch)).map(move |batch| batch.into_tensors(&device))
    }

    /// The batches of an epoch on the host, made by a background thread.
    pub(crate) fn host_epoch(&self, epoch: usize) -> EpochBatches {
        let batcher = self.clone();
        EpochBatches::spawn(move |send| {
            let _ = batcher.epoch_in_place(epoch).all(send);
        })
    }

    /// The batches of an epoch, each made when it is asked for.
    fn epoch_in_place(&self, epoch: usize) -> impl Iterator<Item = HostBatch> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(epoch as u64);
        let batches: Box<dyn Iterator<Item = Vec<BatchRow<'_>>>> = match self.targets {
            Targets::SessionParallel => Box::new(self.lanes()),
            Targets::EveryPrefix => {
                let order = self.order(epoch, &mut random, |numbers| self.prefixes(numbers));
                Box::new(in_batches(order, self.batch_size).map(|batch| self.prefix_rows(&batch)))
            }
            Targets::All | Targets::OneRandom { .. } => {
                let order = self.order(epoch, &mut random, <[u32]>::to_vec);
                let mut random = random.clone();
                let batches = in_batches(order, self.batch_size);
                Box::new(batches.map(move |batch| self.rows(&batch, &mut random)))
            }
        };
        // A stream of its own, so that negatives don't change which targets are drawn.
        random.set_stream(!(epoch as u64));
        batches.map(move |rows| self.batch(rows, &mut random))
    }

    /// Sequences side by side.
    fn lanes(&self) -> Lanes<'_> {
        Lanes::new(&self.sequences, &self.usable, self.batch_size)
    }

    /// What `examples` makes of the usable sequences, in an epoch's order.
    fn order<'a, T: 'a>(
        &'a self,
        epoch: usize,
        random: &mut ChaCha8Rng,
        examples: impl Fn(&[u32]) -> Vec<T> + 'a,
    ) -> Box<dyn Iterator<Item = T> + 'a> {
        let Some(window) = self.window else {
            let mut all = examples(&self.usable);
            all.shuffle(random);
            return Box::new(all.into_iter());
        };
        // Numbers of its own, since the targets are drawn while windows are still to be shuffled.
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(WINDOWS | epoch as u64);
        let run = window.div_ceil(LEAST_RUNS).min(MOST_IN_RUN);
        let mut runs: Vec<&[u32]> = self.usable.chunks(run).collect();
        runs.shuffle(&mut random);
        let mut runs = runs.into_iter();
        let windows = std::iter::from_fn(move || {
            let numbers: Vec<u32> = (runs.by_ref().take(window.div_ceil(run)).flatten())
                .copied()
                .collect();
            let mut shuffled = examples(&numbers);
            shuffled.shuffle(&mut random);
            (!numbers.is_empty()).then_some(shuffled)
        });
        Box::new(windows.flatten())
    }

    /// The places of a sequence that are learned from, the first one left out.
    fn learned(&self, number: u32) -> impl Iterator<Item = usize> {
        let sequence = self.sequences.history(number as usize);
        (1..sequence.items().len()).filter(move |&place| is_learned(sequence, place))
    }

    /// Sequences with each place that is learned from.
    fn prefixes(&self, numbers: &[u32]) -> Vec<(u32, u32)> {
        let of_sequence = |&number: &u32| self.learned(number).map(move |end| (number, end as u32));
        numbers.iter().flat_map(of_sequence).collect()
    }

    fn prefix_rows(&self, prefixes: &[(u32, u32)]) -> Vec<BatchRow<'_>> {
        let rows = prefixes.iter().map(|&(number, end)| BatchRow {
            sequence: self.sequences.history(number as usize),
            end: end as usize,
            length: self.max_len.min(end as usize),
            targets: 1,
            continues_from: None,
        });
        rows.collect()
    }

    /// The targets of some sequences.
    fn rows(&self, numbers: &[u32], random: &mut ChaCha8Rng) -> Vec<BatchRow<'_>> {
        let rows = numbers.iter().map(|&number| {
            let sequence = self.sequences.history(number as usize);
            let (end, targets) = match self.targets {
                Targets::OneRandom { minimum_history } => {
                    (one_target(sequence, minimum_history, random), 1)
                }
                _ => self.last_target(sequence, random),
            };
            BatchRow {
                sequence,
                end,
                length: end.min(self.max_len),
                targets,
                continues_from: None,
            }
        });
        rows.collect()
    }

    /// The place of the last item that a row of a sequence predicts, and how many it predicts in
    /// all.
    fn last_target(&self, sequence: User<'_>, random: &mut ChaCha8Rng) -> (usize, usize) {
        let last = sequence.items().len() - 1;
        if last <= self.max_len {
            return (last, last);
        }
        // Half of a row more on either side, else hardly any row would reach the first items, or
        // the last ones, which say most about what comes next.
        let beyond = self.max_len / 2;
        let end = random.random_range(beyond..=last + beyond);
        let end = end.clamp(self.max_len, last);
        let is_target = |&place: &usize| sequence.role(place) == Role::Target;
        if (end + 1 - self.max_len..=end)
            .rev()
            .any(|place| is_target(&place))
        {
            return (end, self.max_len);
        }
        // Nothing but a long run of views: the row ends at the target that is next to it.
        let after = (end + 1..=last).find(is_target);
        let before = || (1..end).rev().find(is_target);
        let end = after.or_else(before).unwrap_or(end);
        (end.max(self.max_len), self.max_len)
    }

    fn batch(&self, mut rows: Vec<BatchRow<'_>>, random: &mut ChaCha8Rng) -> HostBatch {
        if self.targets == Targets::EveryPrefix {
            // Models that are asked once a row are asked in the order of the rows.
            rows.sort_by_key(|row| row.sequence.role(row.end) == Role::Negative);
        }
        let histories: Vec<User<'_>> = rows.iter().map(BatchRow::history).collect();
        let histories = PaddedSequences::from_checked(&histories);
        let learned = Learned::of(&rows, histories.len);
        HostBatch {
            negatives: (self.negatives.as_ref())
                .map(|sampler| sampler.sample(learned.wanted(), random)),
            histories,
            positions: learned.positions,
            targets: learned.targets,
            weights: learned.weights,
            disliked: learned.disliked,
            continues_from: match self.targets {
                Targets::SessionParallel => rows.iter().map(|row| row.continues_from).collect(),
                _ => Vec::new(),
            },
            seed: random.random(),
        }
    }
}

/// A place with at least so many items before it, drawn from those of targets.
fn one_target(sequence: User<'_>, minimum_history: usize, random: &mut ChaCha8Rng) -> usize {
    let places = minimum_history..sequence.items().len();
    if sequence.events().is_empty() {
        return random.random_range(places);
    }
    let targets = places.filter(|&place| sequence.role(place) == Role::Target);
    let drawn = random.random_range(0..targets.clone().count());
    targets.clone().nth(drawn).unwrap_or(minimum_history)
}

/// What a batch's rows predict, and what they are kept away from.
#[derive(Default)]
struct Learned {
    positions: Vec<i32>,
    targets: Vec<i32>,
    /// Empty where all weigh the same.
    weights: Vec<f32>,
    /// How many of the targets, the last ones, are not wanted.
    disliked: usize,
}

impl Learned {
    /// Of rows that are padded to `len` items.
    fn of(rows: &[BatchRow<'_>], len: usize) -> Self {
        let mut learned = Self::default();
        learned.add(rows, len, Role::Target);
        let wanted = learned.targets.len();
        learned.add(rows, len, Role::Negative);
        learned.disliked = learned.targets.len() - wanted;
        if learned.weights.iter().all(|&weight| weight == 1.0) {
            learned.weights.clear();
        }
        learned
    }

    fn add(&mut self, rows: &[BatchRow<'_>], len: usize, role: Role) {
        for (row, of_row) in rows.iter().enumerate() {
            // The item before a target is where it is predicted.
            let start = (row * len + of_row.length) as i32 - of_row.end as i32 - 1;
            for place in of_row.predicted() {
                if of_row.sequence.role(place) == role {
                    self.positions.push(start + place as i32);
                    self.targets
                        .push(of_row.sequence.items()[place].get() as i32);
                    self.weights.push(of_row.sequence.weight(place));
                }
            }
        }
    }

    /// The targets that are wanted.
    fn wanted(&self) -> &[i32] {
        &self.targets[..self.targets.len() - self.disliked]
    }
}

/// The streams of random numbers that windows are shuffled by, beside those of epochs.
const WINDOWS: u64 = 1 << 62;

/// A window has so many runs of sequences side by side, or more, so that those of a batch are from
/// all over the data.
const LEAST_RUNS: usize = 256;

/// How many sequences a run has at most.
const MOST_IN_RUN: usize = 4096;

/// All of `order`, so many at a time.
fn in_batches<T>(mut order: impl Iterator<Item = T>, size: usize) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let batch: Vec<T> = order.by_ref().take(size).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Filters, Interaction, Interactions};
    use super::*;
    use crate::Error;

    /// User u takes the items 100u + 1, 100u + 2, … so that items tell their order.
    fn data(lengths: &[usize]) -> TrainingData {
        let rows = lengths.iter().enumerate().flat_map(|(user, &length)| {
            (0..length).map(move |place| {
                Interaction::new(user as i64, (100 * user + place) as i64, place as f64)
            })
        });
        let log: Interactions = rows.collect();
        (Dataset::new(log, Filters::default()).unwrap()).training_data()
    }

    fn batcher(lengths: &[usize], max_len: usize, targets: Targets) -> Batcher {
        Batcher::new(&data(lengths), 3, max_len, targets, 7).unwrap()
    }

    /// In windows too, each sequence comes once an epoch, in an order that depends on the epoch and
    /// mixes what is far apart.
    #[test]
    fn windows_hold_every_sequence_once() {
        let lengths: Vec<usize> = (0..3_000).map(|user| 3 + user % 4).collect();
        for targets in [Targets::ONE_RANDOM, Targets::EveryPrefix] {
            let all = Batcher::new(&data(&lengths), 64, 5, targets, 7).unwrap();
            let windows = all.clone().windows(600);
            let users = |batcher: &Batcher, epoch| -> Vec<u32> {
                let targets = batcher.epoch_in_place(epoch).flat_map(|batch| {
                    assert!(batch.targets.len() <= 64);
                    batch.targets
                });
                targets.map(|item| item as u32).collect()
            };
            let [first, again, second] = [(&windows, 0), (&windows, 0), (&windows, 1)]
                .map(|(batcher, epoch)| users(batcher, epoch));
            assert_eq!(first, again);
            assert_ne!(first, second);
            assert_eq!(
                windows.epoch_in_place(0).count(),
                windows.batches_per_epoch()
            );
            if targets == Targets::EveryPrefix {
                let sorted = |mut items: Vec<u32>| {
                    items.sort_unstable();
                    items
                };
                assert_eq!(sorted(first.clone()), sorted(users(&all, 0)));
            }
            // The first batch has sequences of all tenths of the data or nearly so.
            let largest = first.iter().max().unwrap() + 1;
            let tenths: std::collections::HashSet<u32> =
                first[..64].iter().map(|item| item * 10 / largest).collect();
            assert!(tenths.len() >= 8, "{tenths:?}");
        }
    }

    #[test]
    fn every_target_follows_the_item_at_its_position_and_comes_with_its_time() {
        for targets in [Targets::ONE_RANDOM, Targets::All, Targets::EveryPrefix] {
            let lengths = [5, 9, 30, 6, 12, 3, 7];
            let batcher = batcher(&lengths, 8, targets);
            for batch in batcher.epoch_in_place(0) {
                assert_eq!(batch.positions.len(), batch.targets.len());
                for (&position, &target) in batch.positions.iter().zip(&batch.targets) {
                    assert_eq!(batch.histories.items[position as usize] + 1, target);
                    // Items are numbered user after user, and times are places in their sequences.
                    let mut place = target - 1;
                    for length in lengths {
                        if place < length as i32 {
                            break;
                        }
                        place -= length as i32;
                    }
                    let time = batch.histories.next_times[position as usize];
                    assert_eq!(time, f64::from(place));
                }
            }
        }
    }

    #[test]
    fn one_random_target_has_its_minimum_history_and_covers_all_places() {
        let batcher = batcher(&[7, 4], 20, Targets::ONE_RANDOM);
        assert_eq!(batcher.too_short(), 1);
        let mut lengths: Vec<usize> = (0..100)
            .flat_map(|epoch| batcher.epoch_in_place(epoch))
            .flat_map(|batch| batch.histories.lengths)
            .collect();
        lengths.sort_unstable();
        lengths.dedup();
        assert_eq!(lengths, [4, 5, 6]);
    }

    #[test]
    fn a_long_sequence_has_another_row_in_every_epoch() {
        let batcher = Batcher::new(&data(&[6, 3]), 2, 4, Targets::All, 0).unwrap();
        let mut rows: Vec<Vec<i32>> = Vec::new();
        for batch in (0..20).flat_map(|epoch| batcher.epoch_in_place(epoch)) {
            assert_eq!((batch.targets.len(), batch.histories.len), (6, 4));
            rows.extend(batch.histories.items.chunks(4).map(<[i32]>::to_vec));
        }
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows, [[1, 2, 3, 4], [2, 3, 4, 5], [7, 8, 0, 0]]);
    }

    #[test]
    fn every_prefix_is_a_row_with_the_last_items_before_its_target() {
        let batcher = Batcher::new(&data(&[6, 3, 1]), 4, 3, Targets::EveryPrefix, 0).unwrap();
        assert_eq!((batcher.batches_per_epoch(), batcher.too_short()), (2, 1));
        let mut rows = Vec::new();
        for batch in batcher.epoch_in_place(0) {
            let histories = batch.histories.items.chunks(batch.histories.len);
            for ((items, &length), &target) in
                histories.zip(&batch.histories.lengths).zip(&batch.targets)
            {
                rows.push((items[..length].to_vec(), target));
            }
        }
        rows.sort_by_key(|row| row.1);
        let expected: [(&[i32], i32); 7] = [
            (&[1], 2),
            (&[1, 2], 3),
            (&[1, 2, 3], 4),
            (&[2, 3, 4], 5),
            (&[3, 4, 5], 6),
            (&[7], 8),
            (&[7, 8], 9),
        ];
        let expected = expected.map(|(items, target)| (items.to_vec(), target));
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_epoch_takes_every_sequence_once_and_depends_on_seed_and_epoch() {
        let batcher = batcher(&[5; 10], 8, Targets::All);
        let batches: Vec<HostBatch> = batcher.host_epoch(3).collect();
        assert_eq!(batches.len(), batcher.batches_per_epoch());
        assert_eq!(batches, batcher.epoch_in_place(3).collect::<Vec<_>>());
        assert_ne!(batches, batcher.epoch_in_place(4).collect::<Vec<_>>());
        let mut targets: Vec<i32> = batches
            .iter()
            .flat_map(|batch| batch.targets.clone())
            .collect();
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), 40);
    }

    #[test]
    fn stopping_early_ends_the_worker() {
        let batcher = batcher(&[5; 500], 8, Targets::All);
        let mut epoch = batcher.host_epoch(0);
        assert!(epoch.next().is_some());
        drop(epoch);
    }

    #[test]
    fn bad_sizes_are_errors() {
        let data = data(&[2]);
        for (batch_size, max_len) in [(0, 1), (1, 0)] {
            assert!(matches!(
                Batcher::new(&data, batch_size, max_len, Targets::All, 0)
                    .as_ref()
                    .map_err(Error::kind),
                Err(ErrorKind::InvalidValue { .. })
            ));
        }
        assert!(matches!(
            Batcher::new(&data, 1, 1, Targets::ONE_RANDOM, 0)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::NothingLeft { .. })
        ));
        let endless = Targets::OneRandom {
            minimum_history: usize::MAX,
        };
        assert!(matches!(
            Batcher::new(&data, 1, 1, endless, 0)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::NothingLeft { .. })
        ));
    }
}
