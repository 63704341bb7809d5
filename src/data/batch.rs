//! Batches: padded histories with their targets, made in the background.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::history::History;
use super::negatives::{HostNegatives, NegativeSampler, Negatives};
use super::split::TrainingSequences;
use crate::item::PADDING;
use crate::{Error, Result, checks};

/// Which positions of a sequence are targets in an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Targets {
    /// One position per user and epoch, drawn uniformly from those with at least
    /// `minimum_history` items before them.
    OneRandom {
        /// How many items must come before a target.
        minimum_history: usize,
    },
    /// Every position but the first: each item of the last `max_len + 1` predicts the next.
    #[default]
    All,
    /// Sequences run side by side, one item a batch: row r of a batch goes on where a row of the
    /// batch before stood, and where its sequence ended the next one begins. Models that carry a
    /// state from batch to batch are trained so (Hidasi et al.,
    /// [2016](https://arxiv.org/abs/1511.06939), section 3.1.1).
    ///
    /// Sequences are taken in the order of their first times, the same in every epoch.
    SessionParallel,
}

impl Targets {
    /// One random target with at least four items before it.
    pub const ONE_RANDOM: Self = Self::OneRandom { minimum_history: 4 };

    /// The shortest sequence that has a target.
    fn least_length(self) -> usize {
        match self {
            Self::OneRandom { minimum_history } => minimum_history.saturating_add(1),
            Self::All | Self::SessionParallel => 2,
        }
    }
}

/// Histories of unequal length, padded at the end, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct PaddedSequences {
    /// Row-major `[batch, len]`, where `len` is the longest of them.
    items: Vec<i32>,
    /// Each item's time in the same places; 0 where it is not known.
    times: Vec<f64>,
    /// Each user's features, one after another.
    features: Vec<f32>,
    lengths: Vec<usize>,
    len: usize,
}

impl PaddedSequences {
    /// Keeps the last `max_len` items of each history and pads to the longest that is left.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when there is no history, one is empty or holds padding, or
    /// `max_len` is 0; [`Error::Shape`] when some have features and others don't.
    pub fn new<'a, H: Into<History<'a>>>(
        histories: impl IntoIterator<Item = H>,
        max_len: usize,
    ) -> Result<Self> {
        checks::at_least_one(&[("max_len", max_len)])?;
        let kept: Vec<History<'a>> = (histories.into_iter())
            .map(|history| history.into().last(max_len))
            .collect();
        if kept.is_empty() {
            return Err(Error::invalid(
                "histories",
                "empty",
                "a batch needs at least one",
            ));
        }
        for (row, history) in kept.iter().map(|history| history.items()).enumerate() {
            if history.is_empty() || history.contains(&PADDING) {
                return Err(Error::invalid(
                    "histories",
                    format!("{history:?} in row {row}"),
                    "a history needs at least one item, and none may be padding (0)",
                ));
            }
        }
        let longest = kept.iter().map(|history| history.items().len()).max();
        check_positions("histories", kept.len(), longest.unwrap_or(0))?;
        let expected = kept[0].features().len();
        match kept
            .iter()
            .find(|history| history.features().len() != expected)
        {
            Some(other) => Err(Error::Shape {
                what: "features of the users of a batch",
                expected,
                found: other.features().len(),
            }),
            None => Ok(Self::from_checked(&kept)),
        }
    }

    /// Of histories that were [checked](Self::new).
    fn from_checked(histories: &[History<'_>]) -> Self {
        let lengths: Vec<usize> = (histories.iter())
            .map(|history| history.items().len())
            .collect();
        let len = lengths.iter().copied().max().unwrap_or(0);
        let mut items = vec![PADDING.get() as i32; histories.len() * len];
        let mut times = vec![0.0; items.len()];
        let rows = items.chunks_exact_mut(len).zip(times.chunks_exact_mut(len));
        for ((items, times), history) in rows.zip(histories) {
            for (place, &item) in items.iter_mut().zip(history.items()) {
                *place = item.get() as i32;
            }
            times[..history.times().len()].copy_from_slice(history.times());
        }
        let features = histories
            .iter()
            .flat_map(|history| history.features().iter().copied());
        Self {
            items,
            times,
            features: features.collect(),
            lengths,
            len,
        }
    }

    /// The histories as a tensor on a device.
    pub fn to_device<B: Backend>(self, device: &B::Device) -> SequenceBatch<B> {
        let batch = self.lengths.len();
        let shape = [batch, self.len];
        let columns = self.features.len() / batch;
        let features = TensorData::new(self.features, [batch, columns]);
        SequenceBatch {
            features: (columns > 0).then(|| Tensor::from_data(features, device)),
            items: Tensor::from_data(TensorData::new(self.items, shape), device),
            times: self.times,
            lengths: self.lengths,
        }
    }
}

/// Refuses batches whose positions are not numbers of a device, which has 32 bits for them.
fn check_positions(field: &'static str, rows: usize, len: usize) -> Result<()> {
    let positions = rows.saturating_mul(len);
    if positions < i32::MAX as usize {
        return Ok(());
    }
    let reason =
        format!("rows of {len} items have {positions} positions, and 2^31 - 2 are possible");
    Err(Error::invalid(field, rows, reason))
}

/// Histories of a batch on a device.
#[derive(Debug, Clone)]
pub struct SequenceBatch<B: Backend> {
    /// Item indices `[batch, len]`, padded with 0 at the end of each row.
    pub items: Tensor<B, 2, Int>,
    /// When each item was taken, `[batch * len]`, in the unit of the source; 0 at padding and where
    /// it is not known. On the host, in double precision, since seconds since 1970 need it.
    pub times: Vec<f64>,
    /// What is known of the users, `[batch, features]`.
    pub features: Option<Tensor<B, 2>>,
    /// How many items of each row are real, `1..=len`.
    pub lengths: Vec<usize>,
}

impl<B: Backend> SequenceBatch<B> {
    /// A batch of histories; see [`PaddedSequences::new`].
    ///
    /// # Errors
    /// As [`PaddedSequences::new`].
    pub fn new<'a, H: Into<History<'a>>>(
        histories: impl IntoIterator<Item = H>,
        max_len: usize,
        device: &B::Device,
    ) -> Result<Self> {
        Ok(PaddedSequences::new(histories, max_len)?.to_device(device))
    }

    /// Checks the users' features for a model that looks at `expected` of them; there may be none.
    pub fn check_features(&self, expected: usize) -> Result<()> {
        match self.features.as_ref().map(|features| features.dims()[1]) {
            Some(found) if expected > 0 && found != expected => Err(Error::Shape {
                what: "features of a user",
                expected,
                found,
            }),
            _ => Ok(()),
        }
    }

    /// Where each row's last real item lies in the flattened batch, `[batch]`.
    pub fn last_positions(&self) -> Tensor<B, 1, Int> {
        let [batch, len] = self.items.dims();
        let last: Vec<i32> = (self.lengths.iter().enumerate())
            .map(|(row, length)| (row * len + length - 1) as i32)
            .collect();
        Tensor::from_data(TensorData::new(last, [batch]), &self.items.device())
    }
}

/// A training batch on a device.
#[derive(Debug, Clone)]
pub struct TrainingBatch<B: Backend> {
    /// What the model sees.
    pub histories: SequenceBatch<B>,
    /// Where in the flattened `[batch * len]` histories each target is predicted, `[targets]`.
    pub positions: Tensor<B, 1, Int>,
    /// The item indices to be predicted there, `[targets]`.
    pub targets: Tensor<B, 1, Int>,
    /// The batch's negative items, if the loss is sampled.
    pub negatives: Option<Negatives<B>>,
    /// For [`Targets::SessionParallel`], the row of the batch before on which each row goes on;
    /// `None` for a row where a sequence begins. Empty for other targets.
    pub continues_from: Vec<Option<usize>>,
    /// The seed of everything random that the model does with this batch, such as dropout.
    pub seed: u64,
}

/// A training batch on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    histories: PaddedSequences,
    positions: Vec<i32>,
    targets: Vec<i32>,
    negatives: Option<HostNegatives>,
    continues_from: Vec<Option<usize>>,
    seed: u64,
}

impl HostBatch {
    /// How many targets there are.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    /// The batch as tensors on a device.
    pub fn to_device<B: Backend>(self, device: &B::Device) -> TrainingBatch<B> {
        let vector = |values: Vec<i32>| {
            let shape = [values.len()];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        TrainingBatch {
            histories: self.histories.to_device(device),
            positions: vector(self.positions),
            targets: vector(self.targets),
            negatives: self
                .negatives
                .map(|negatives| negatives.into_tensors(device)),
            continues_from: self.continues_from,
            seed: self.seed,
        }
    }
}

/// Makes the batches of each epoch, always the same for the same seed and epoch.
#[derive(Debug, Clone)]
pub struct Batcher {
    sequences: TrainingSequences,
    /// The sequences that are long enough for a target.
    usable: Vec<u32>,
    batch_size: usize,
    max_len: usize,
    targets: Targets,
    negatives: Option<NegativeSampler>,
    seed: u64,
    batches_per_epoch: usize,
}

impl Batcher {
    /// Batches of `batch_size` sequences, each cut to the last `max_len` items before its target.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when a size is 0 (for `minimum_history` too), and
    /// [`Error::NothingLeft`] when no sequence is long enough for a target.
    pub fn new(
        sequences: &TrainingSequences,
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
        let mut usable: Vec<u32> = (sequences.iter().enumerate())
            .filter(|(_, items)| items.len() >= targets.least_length())
            .map(|(number, _)| number as u32)
            .collect();
        if usable.is_empty() {
            return Err(Error::NothingLeft {
                reason: format!(
                    "none of {} training sequences has the {} items that {targets:?} needs",
                    sequences.len(),
                    targets.least_length()
                ),
            });
        }
        let longest = usable
            .iter()
            .map(|&number| sequences.get(number as usize).len().min(max_len));
        let rows = batch_size.min(usable.len());
        check_positions("batch_size", rows, longest.max().unwrap_or(0))?;
        if targets == Targets::SessionParallel {
            let began = |&number: &u32| sequences.history(number as usize).times()[0];
            usable.sort_by(|a, b| began(a).total_cmp(&began(b)));
        }
        let mut batcher = Self {
            sequences: sequences.clone(),
            batches_per_epoch: usable.len().div_ceil(batch_size),
            usable,
            batch_size,
            max_len,
            targets,
            negatives: None,
            seed,
        };
        if targets == Targets::SessionParallel {
            batcher.batches_per_epoch = Lanes::new(&batcher).count();
        }
        Ok(batcher)
    }

    /// Gives each batch negatives, for losses over a sample of the items.
    pub fn negatives(mut self, sampler: NegativeSampler) -> Self {
        self.negatives = Some(sampler);
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

    /// The batches of an epoch, made by a background thread while the caller trains.
    pub fn epoch(&self, epoch: usize) -> EpochBatches {
        // Enough to ride out a slow batch, and too few to hold much memory.
        let (sender, receiver) = sync_channel(4);
        let batcher = self.clone();
        let worker = std::thread::spawn(move || {
            for batch in batcher.epoch_in_place(epoch) {
                // The receiver is gone when training stopped early.
                if sender.send(batch).is_err() {
                    break;
                }
            }
        });
        EpochBatches {
            receiver: Some(receiver),
            worker: Some(worker),
            waited: Duration::ZERO,
        }
    }

    /// The batches of an epoch, each made when it is asked for.
    pub fn epoch_in_place(&self, epoch: usize) -> impl Iterator<Item = HostBatch> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(epoch as u64);
        let batches: Box<dyn Iterator<Item = Rows<'_>>> = match self.targets {
            Targets::SessionParallel => Box::new(Lanes::new(self)),
            Targets::All | Targets::OneRandom { .. } => {
                let mut order = self.usable.clone();
                order.shuffle(&mut random);
                let starts = (0..order.len()).step_by(self.batch_size);
                let mut random = random.clone();
                Box::new(starts.map(move |start| {
                    let end = order.len().min(start + self.batch_size);
                    self.rows(&order[start..end], &mut random)
                }))
            }
        };
        // A stream of its own, so that negatives don't change which targets are drawn.
        random.set_stream(!(epoch as u64));
        batches.map(move |rows| self.batch(rows, &mut random))
    }

    /// The targets of some sequences.
    fn rows(&self, numbers: &[u32], random: &mut ChaCha8Rng) -> Rows<'_> {
        let parts = numbers.iter().map(|&number| {
            let sequence = self.sequences.history(number as usize);
            let length = sequence.items().len();
            let (end, targets) = match self.targets {
                Targets::OneRandom { minimum_history } => {
                    (random.random_range(minimum_history..length), 1)
                }
                Targets::All | Targets::SessionParallel => {
                    (length - 1, self.max_len.min(length - 1))
                }
            };
            Part {
                sequence,
                end,
                length: end.min(self.max_len),
                targets,
            }
        });
        Rows {
            parts: parts.collect(),
            continues_from: Vec::new(),
        }
    }

    fn batch(&self, rows: Rows<'_>, random: &mut ChaCha8Rng) -> HostBatch {
        let histories: Vec<History<'_>> = rows.parts.iter().map(Part::history).collect();
        let histories = PaddedSequences::from_checked(&histories);
        let (mut positions, mut targets) = (Vec::new(), Vec::new());
        for (row, part) in rows.parts.iter().enumerate() {
            let end = row * histories.len + part.length;
            positions.extend((end - part.targets..end).map(|position| position as i32));
            let items = &part.sequence.items()[part.end + 1 - part.targets..=part.end];
            targets.extend(items.iter().map(|item| item.get() as i32));
        }
        HostBatch {
            negatives: (self.negatives.as_ref()).map(|sampler| sampler.sample(&targets, random)),
            histories,
            positions,
            targets,
            continues_from: rows.continues_from,
            seed: random.random(),
        }
    }
}

/// A row of a batch: the `length` items before `end` are seen, and the last `targets` items up to
/// and with `end` are predicted.
struct Part<'a> {
    sequence: History<'a>,
    end: usize,
    length: usize,
    targets: usize,
}

impl<'a> Part<'a> {
    fn history(&self) -> History<'a> {
        self.sequence.first(self.end).last(self.length)
    }
}

/// The rows of a batch.
struct Rows<'a> {
    parts: Vec<Part<'a>>,
    continues_from: Vec<Option<usize>>,
}

/// The batches of sequences that run side by side.
struct Lanes<'a> {
    batcher: &'a Batcher,
    /// How many sequences have been begun.
    begun: usize,
    /// Each row's sequence, the item that it sees next, and the row that it had.
    lanes: Vec<(History<'a>, usize, Option<usize>)>,
}

impl<'a> Lanes<'a> {
    fn new(batcher: &'a Batcher) -> Self {
        Self {
            batcher,
            begun: 0,
            lanes: Vec::new(),
        }
    }

    /// Puts new sequences where old ones have ended, as long as there are any.
    fn fill(&mut self) {
        let Batcher {
            sequences, usable, ..
        } = self.batcher;
        let mut next = usable[self.begun..]
            .iter()
            .map(|&number| sequences.history(number as usize));
        let mut lanes = Vec::with_capacity(self.batcher.batch_size);
        for (row, &(sequence, place, _)) in self.lanes.iter().enumerate() {
            if place + 1 < sequence.items().len() {
                lanes.push((sequence, place, Some(row)));
            } else if let Some(sequence) = next.next() {
                lanes.push((sequence, 0, None));
            }
        }
        lanes.extend(
            next.by_ref()
                .take(self.batcher.batch_size - lanes.len())
                .map(|sequence| (sequence, 0, None)),
        );
        self.begun = usable.len() - next.len();
        self.lanes = lanes;
    }
}

impl<'a> Iterator for Lanes<'a> {
    type Item = Rows<'a>;

    fn next(&mut self) -> Option<Rows<'a>> {
        self.fill();
        let parts = self.lanes.iter().map(|&(sequence, place, _)| Part {
            sequence,
            end: place + 1,
            length: 1,
            targets: 1,
        });
        let rows = Rows {
            parts: parts.collect(),
            continues_from: self.lanes.iter().map(|lane| lane.2).collect(),
        };
        for (_, place, _) in &mut self.lanes {
            *place += 1;
        }
        (!rows.parts.is_empty()).then_some(rows)
    }
}

/// The batches of one epoch, in order, made by a background thread.
#[derive(Debug)]
pub struct EpochBatches {
    /// `None` once the iterator is being dropped, so that the worker stops.
    receiver: Option<Receiver<HostBatch>>,
    worker: Option<JoinHandle<()>>,
    waited: Duration,
}

impl EpochBatches {
    /// How long the caller has waited for batches so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Iterator for EpochBatches {
    type Item = HostBatch;

    fn next(&mut self) -> Option<HostBatch> {
        let start = Instant::now();
        let batch = self.receiver.as_ref()?.recv().ok();
        self.waited += start.elapsed();
        batch
    }
}

impl Drop for EpochBatches {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(worker) = self.worker.take() {
            // A panic of the worker has been printed; raising it again here could abort.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Filters, Interaction, Interactions};
    use super::*;
    use crate::item::ItemIndex;

    /// User u takes the items 100u + 1, 100u + 2, … so that order can be told from the item.
    fn sequences(lengths: &[usize]) -> TrainingSequences {
        let rows = lengths.iter().enumerate().flat_map(|(user, &length)| {
            (0..length).map(move |place| {
                Interaction::new(user as i64, (100 * user + place) as i64, place as f64)
            })
        });
        let log: Interactions = rows.collect();
        TrainingSequences::all(&Dataset::new(log, Filters::default()).unwrap())
    }

    fn batcher(lengths: &[usize], max_len: usize, targets: Targets) -> Batcher {
        Batcher::new(&sequences(lengths), 3, max_len, targets, 7).unwrap()
    }

    #[test]
    fn every_target_follows_the_item_at_its_position() {
        for targets in [Targets::ONE_RANDOM, Targets::All] {
            let batcher = batcher(&[5, 9, 30, 6, 12, 3, 7], 8, targets);
            for batch in batcher.epoch_in_place(0) {
                assert_eq!(batch.positions.len(), batch.targets.len());
                for (&position, &target) in batch.positions.iter().zip(&batch.targets) {
                    assert_eq!(batch.histories.items[position as usize] + 1, target);
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
    fn all_targets_are_the_last_max_len() {
        let batcher = Batcher::new(&sequences(&[6, 3]), 2, 4, Targets::All, 0).unwrap();
        let batch = batcher.epoch_in_place(0).next().unwrap();
        let mut targets = batch.targets.clone();
        targets.sort_unstable();
        assert_eq!(targets, [3, 4, 5, 6, 8, 9]);
        assert_eq!(batch.histories.len, 4);
        assert_eq!(
            batch
                .histories
                .items
                .iter()
                .filter(|&&item| item == 0)
                .count(),
            2
        );
    }

    #[test]
    fn an_epoch_takes_every_sequence_once_and_depends_on_seed_and_epoch() {
        let batcher = batcher(&[5; 10], 8, Targets::All);
        let batches: Vec<HostBatch> = batcher.epoch(3).collect();
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
        let mut epoch = batcher.epoch(0);
        assert!(epoch.next().is_some());
        drop(epoch);
    }

    #[test]
    fn bad_sizes_and_histories_are_errors() {
        let data = sequences(&[2]);
        for (batch_size, max_len) in [(0, 1), (1, 0)] {
            assert!(matches!(
                Batcher::new(&data, batch_size, max_len, Targets::All, 0),
                Err(Error::InvalidValue { .. })
            ));
        }
        assert!(matches!(
            Batcher::new(&data, 1, 1, Targets::ONE_RANDOM, 0),
            Err(Error::NothingLeft { .. })
        ));
        let endless = Targets::OneRandom {
            minimum_history: usize::MAX,
        };
        assert!(matches!(
            Batcher::new(&data, 1, 1, endless, 0),
            Err(Error::NothingLeft { .. })
        ));
        for histories in [vec![], vec![&[][..]], vec![&[1, 0][..]]] {
            let histories = histories.into_iter().map(ItemIndex::from_slice);
            assert!(PaddedSequences::new(histories, 3).is_err());
        }
        // More positions than a device has numbers for, though the histories share their memory.
        let long = vec![ItemIndex::new(1); 1 << 16];
        let many = std::iter::repeat_n(&long[..], 1 << 15);
        assert!(matches!(
            PaddedSequences::new(many, usize::MAX),
            Err(Error::InvalidValue {
                field: "histories",
                ..
            })
        ));
    }
}
