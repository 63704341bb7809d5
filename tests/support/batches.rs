//! Batches that tests make by hand.

use burn::tensor::{Int, Tensor, TensorData};
use seqrec::backend::Backend;
use seqrec::burn;
use seqrec::data::{ItemIndex, SequenceBatch, TrainingBatch};

/// Integers on the default device.
pub fn integers<B: Backend>(values: &[i32]) -> Tensor<B, 1, Int> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, &B::Device::default())
}

/// Histories without times, of 50 items at most.
pub fn histories<B: Backend>(histories: &[Vec<u32>]) -> SequenceBatch<B> {
    let histories = histories.iter();
    let histories = histories.map(|items| ItemIndex::from_slice(items));
    SequenceBatch::new(histories, 50, &B::Device::default()).unwrap()
}

/// A batch that predicts one target after each history.
pub fn batch<B: Backend>(histories: SequenceBatch<B>, targets: &[i32]) -> TrainingBatch<B> {
    TrainingBatch {
        positions: histories.last_positions(),
        targets: integers(targets),
        histories,
        weights: None,
        disliked: 0,
        negatives: None,
        continues_from: Vec::new(),
        seed: 1,
    }
}

pub fn tensor<B: Backend, const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), &B::Device::default())
}
