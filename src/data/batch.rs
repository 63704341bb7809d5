//! Training batches: padded histories with their targets.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use super::negatives::{HostNegatives, Negatives};
use super::padded::{PaddedSequences, SequenceBatch};

/// A training batch on a device.
#[derive(Debug, Clone)]
pub struct TrainingBatch<B: Backend> {
    /// What the model sees.
    pub histories: SequenceBatch<B>,
    /// Where in the flattened `[batch * len]` histories each target is predicted, `[targets]`.
    pub positions: Tensor<B, 1, Int>,
    /// The item indices to be predicted there, `[targets]`; the last
    /// [`disliked`](Self::disliked) of them are not to be predicted.
    pub targets: Tensor<B, 1, Int>,
    /// The weight of each target, `[targets]`; all weigh the same where there are none.
    pub weights: Option<Tensor<B, 1>>,
    /// How many of the targets, the last ones, are items of
    /// [negative](super::Role::Negative) events: what a user is to be kept away from.
    pub disliked: usize,
    /// The batch's negative items, if the loss is sampled.
    pub negatives: Option<Negatives<B>>,
    /// For [`Targets::SessionParallel`](super::Targets::SessionParallel), the row of the previous
    /// batch that each row continues; `None` for a row where a sequence begins. Empty for other
    /// targets.
    pub continues_from: Vec<Option<usize>>,
    /// The seed of everything random that the model does with this batch, such as dropout.
    pub seed: u64,
}

/// A training batch on the host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostBatch {
    pub(super) histories: PaddedSequences,
    pub(super) positions: Vec<i32>,
    pub(super) targets: Vec<i32>,
    /// Empty where all targets weigh the same.
    pub(super) weights: Vec<f32>,
    pub(super) disliked: usize,
    pub(super) negatives: Option<HostNegatives>,
    pub(super) continues_from: Vec<Option<usize>>,
    pub(super) seed: u64,
}

impl HostBatch {
    /// The number of targets, without those that are not to be predicted.
    pub(crate) fn targets(&self) -> usize {
        self.targets.len() - self.disliked
    }

    /// What all targets weigh together, disliked items `dislike_weight` times as much as their
    /// events.
    pub(crate) fn weight(&self, dislike_weight: f64) -> f64 {
        let sum = |places: std::ops::Range<usize>| match self.weights.get(places.clone()) {
            Some(weights) => weights.iter().copied().map(f64::from).sum(),
            None => places.len() as f64,
        };
        let wanted = self.targets();
        sum(0..wanted) + dislike_weight * sum(wanted..self.targets.len())
    }

    /// The batch as tensors on a device.
    pub(crate) fn into_tensors<B: Backend>(self, device: &B::Device) -> TrainingBatch<B> {
        let vector = |values: Vec<i32>| {
            let shape = [values.len()];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        TrainingBatch {
            histories: self.histories.into_tensors(device),
            positions: vector(self.positions),
            targets: vector(self.targets),
            weights: (!self.weights.is_empty()).then(|| {
                let shape = [self.weights.len()];
                Tensor::from_data(TensorData::new(self.weights, shape), device)
            }),
            disliked: self.disliked,
            negatives: self
                .negatives
                .map(|negatives| negatives.into_tensors(device)),
            continues_from: self.continues_from,
            seed: self.seed,
        }
    }
}
