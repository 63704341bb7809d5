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
    /// The item indices to be predicted there, `[targets]`.
    pub targets: Tensor<B, 1, Int>,
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
    pub(super) negatives: Option<HostNegatives>,
    pub(super) continues_from: Vec<Option<usize>>,
    pub(super) seed: u64,
}

impl HostBatch {
    /// The number of targets.
    pub(crate) fn targets(&self) -> usize {
        self.targets.len()
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
            negatives: self
                .negatives
                .map(|negatives| negatives.into_tensors(device)),
            continues_from: self.continues_from,
            seed: self.seed,
        }
    }
}
