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

use super::catalog::{ItemIndex, PADDING};
use super::split::TrainingSequences;
use crate::{Error, Result};

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
}

impl Targets {
    /// One random target with at least four items before it.
    pub const ONE_RANDOM: Self = Self::OneRandom { minimum_history: 4 };

    /// The shortest sequence that has a target.
    fn least_length(self) -> usize {
        match self {
            Self::OneRandom { minimum_history } => minimum_history + 1,
            Self::All => 2,
        }
    }
}

/// Histories of unequal length, padded at the end, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct PaddedSequences {
    /// Row-major `[batch, len]`, where `len` is the longest of them.
    items: Vec<i32>,
    lengths: Vec<usize>,
    len: usize,
}

impl PaddedSequences {
    /// Keeps the last `max_len` items of each history and pads to the longest that is left.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when there is no history, one is empty or holds padding, or
    /// `max_len` is 0.
    pub fn new<'a>(
        histories: impl IntoIterator<Item = &'a [ItemIndex]>,
        max_len: usize,
    ) -> Result<Self> {
        if max_len == 0 {
            return Err(Error::invalid("max_len", 0, "must be at least 1"));
        }
        let kept: Vec<&[ItemIndex]> = (histories.into_iter())
            .map(|history| &history[history.len().saturating_sub(max_len)..])
            .collect();
        if kept.is_empty() {
            return Err(Error::invalid(
                "histories",
                "empty",
                "a batch needs at least one",
            ));
        }
        for (row, history) in kept.iter().enumerate() {
            if history.is_empty() || history.contains(&PADDING) {
                return Err(Error::invalid(
                    "histories",
                    format!("{history:?} in row {row}"),
                    "a history needs at least one item, and none may be padding (0)",
                ));
            }
        }
        Ok(Self::from_checked(&kept))
    }

    fn from_checked(histories: &[&[ItemIndex]]) -> Self {
        let len = histories
            .iter()
            .map(|history| history.len())
            .max()
            .unwrap_or(0);
        let mut items = vec![PADDING as i32; histories.len() * len];
        for (row, history) in items.chunks_exact_mut(len).zip(histories) {
            for (place, &item) in row.iter_mut().zip(*history) {
                *place = item as i32;
            }
        }
        Self {
            items,
            lengths: histories.iter().map(|history| history.len()).collect(),
            len,
        }
    }

    /// The histories as a tensor on a device.
    pub fn to_device<B: Backend>(self, device: &B::Device) -> SequenceBatch<B> {
        let shape = [self.lengths.len(), self.len];
        SequenceBatch {
            items: Tensor::from_data(TensorData::new(self.items, shape), device),
            lengths: self.lengths,
        }
    }
}

/// Histories of a batch on a device.
#[derive(Debug, Clone)]
pub struct SequenceBatch<B: Backend> {
    /// Item indices `[batch, len]`, padded with 0 at the end of each row.
    pub items: Tensor<B, 2, Int>,
    /// How many items of each row are real, `1..=len`.
    pub lengths: Vec<usize>,
}

impl<B: Backend> SequenceBatch<B> {
    /// A batch of histories; see [`PaddedSequences::new`].
    ///
    /// # Errors
    /// As [`PaddedSequences::new`].
    pub fn new<'a>(
        histories: impl IntoIterator<Item = &'a [ItemIndex]>,
        max_len: usize,
        device: &B::Device,
    ) -> Result<Self> {
        Ok(PaddedSequences::new(histories, max_len)?.to_device(device))
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
    /// The seed of everything random that the model does with this batch, such as dropout.
    pub seed: u64,
}

/// A training batch on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    histories: PaddedSequences,
    positions: Vec<i32>,
    targets: Vec<i32>,
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
    seed: u64,
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
        for (field, size) in sizes {
            if size == 0 {
                return Err(Error::invalid(field, 0, "must be at least 1"));
            }
        }
        let usable: Vec<u32> = (sequences.iter().enumerate())
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
        Ok(Self {
            sequences: sequences.clone(),
            usable,
            batch_size,
            max_len,
            targets,
            seed,
        })
    }

    /// How many batches an epoch has.
    pub fn batches_per_epoch(&self) -> usize {
        self.usable.len().div_ceil(self.batch_size)
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
        let mut order = self.usable.clone();
        order.shuffle(&mut random);
        let starts = (0..order.len()).step_by(self.batch_size);
        starts.map(move |start| {
            let end = order.len().min(start + self.batch_size);
            self.batch(&order[start..end], &mut random)
        })
    }

    fn batch(&self, numbers: &[u32], random: &mut ChaCha8Rng) -> HostBatch {
        let mut histories = Vec::with_capacity(numbers.len());
        let mut targets: Vec<&[ItemIndex]> = Vec::with_capacity(numbers.len());
        for &number in numbers {
            let items = self.sequences.get(number as usize);
            let (end, target_count) = match self.targets {
                Targets::OneRandom { minimum_history } => {
                    (random.random_range(minimum_history..items.len()), 1)
                }
                Targets::All => (items.len() - 1, self.max_len.min(items.len() - 1)),
            };
            histories.push(&items[end.saturating_sub(self.max_len)..end]);
            targets.push(&items[end + 1 - target_count..=end]);
        }
        let histories = PaddedSequences::from_checked(&histories);
        let mut positions = Vec::new();
        for (row, (targets, length)) in targets.iter().zip(&histories.lengths).enumerate() {
            let end = row * histories.len + length;
            positions.extend((end - targets.len()..end).map(|position| position as i32));
        }
        HostBatch {
            histories,
            positions,
            targets: targets
                .concat()
                .into_iter()
                .map(|item| item as i32)
                .collect(),
            seed: random.random(),
        }
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
        for histories in [vec![], vec![&[][..]], vec![&[1, 0][..]]] {
            assert!(PaddedSequences::new(histories, 3).is_err());
        }
    }
}
