//! A batch's real items without its padding.

use std::sync::Arc;

use burn::module::Param;
use burn::tensor::{Int, Tensor};

use super::dropout::Dropout;
use crate::backend::{self, Backend};
use crate::data::SequenceBatch;
use crate::model::ItemTable;

/// The real items of a batch, one after another, so that what is done to each item alone costs
/// nothing for padding. Sequences differ much in length, and most of a padded batch is padding.
#[derive(Debug)]
pub struct Packing<B: Backend> {
    lengths: Arc<[usize]>,
    batch: usize,
    len: usize,
    /// The place of each real item in the padded batch, `[tokens]`.
    padded: Tensor<B, 1, Int>,
    /// Which real item lies at each place of the padded batch, `[batch * len]`; 0 at padding.
    packed: Tensor<B, 1, Int>,
}

impl<B: Backend> Packing<B> {
    /// The packing of a batch.
    pub fn new(histories: &SequenceBatch<B>) -> Self {
        let [batch, len] = histories.items.dims();
        let device = histories.items.device();
        let tokens = histories.lengths.iter().sum();
        let mut padded = Vec::with_capacity(tokens);
        let mut packed = vec![0; batch * len];
        for (row, &length) in histories.lengths.iter().enumerate() {
            let start = row * len;
            for (place, packed) in packed[start..start + length].iter_mut().enumerate() {
                *packed = padded.len() as i32;
                padded.push((start + place) as i32);
            }
        }
        let tensor = |values: Vec<i32>| Tensor::from_data(values.as_slice(), &device);
        Self {
            lengths: histories.lengths.as_slice().into(),
            batch,
            len,
            padded: tensor(padded),
            packed: tensor(packed),
        }
    }

    /// The number of real items of each sequence.
    pub fn lengths(&self) -> &Arc<[usize]> {
        &self.lengths
    }

    /// The length of the padded sequences.
    pub fn padded_len(&self) -> usize {
        self.len
    }

    /// The real items, `[tokens]`.
    pub fn items(&self, histories: &SequenceBatch<B>) -> Tensor<B, 1, Int> {
        self.pack_numbers(histories.items.clone())
    }

    /// Whole numbers `[batch, len]` without padding, `[tokens]`.
    pub(super) fn pack_numbers(&self, numbers: Tensor<B, 2, Int>) -> Tensor<B, 1, Int> {
        let numbers = numbers.reshape([self.batch * self.len]);
        numbers.select(0, self.padded.clone())
    }

    /// The vectors of the real items and of their positions, `[tokens, dim]` each.
    pub fn embed(
        &self,
        histories: &SequenceBatch<B>,
        items: &ItemTable<B>,
        positions: &Param<Tensor<B, 2>>,
    ) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let places = self.padded.clone().remainder_scalar(self.len as i64);
        (
            items.lookup(self.items(histories)),
            backend::select_rows(positions.val(), places),
        )
    }

    /// `[tokens, dim]` with padding between, `[batch, len, dim]`. Padding holds a copy of some
    /// real item: finite, and to be read by nobody.
    pub fn unpack(&self, values: Tensor<B, 2>) -> Tensor<B, 3> {
        let dim = values.dims()[1];
        backend::select_rows(values, self.packed.clone()).reshape([self.batch, self.len, dim])
    }

    /// `[batch, len, dim]` without padding, `[tokens, dim]`.
    pub fn pack(&self, values: Tensor<B, 3>) -> Tensor<B, 2> {
        let dim = values.dims()[2];
        let values = values.reshape([self.batch * self.len, dim]);
        backend::select_rows(values, self.padded.clone())
    }

    /// The rows of `[tokens, dim]` that flattened positions `[n]` of the padded batch name.
    pub fn at(&self, values: Tensor<B, 2>, positions: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        backend::select_rows(values, self.packed.clone().select(0, positions))
    }

    /// Causal attention of each item to itself and the items before it, `[tokens, dim]`:
    /// `projected` `[tokens, 3 * dim]` holds queries, keys and values side by side, each divided
    /// among `heads`. A share of the weights is dropped in training.
    ///
    /// Vaswani et al., [Attention Is All You Need](https://arxiv.org/abs/1706.03762).
    pub fn attention(
        &self,
        projected: Tensor<B, 2>,
        heads: usize,
        dropout: &mut Dropout,
        probability: f64,
    ) -> Tensor<B, 2> {
        let dropout = dropout.draw().map(|seed| (seed, probability));
        backend::causal_attention(projected, &self.lengths, heads, dropout)
    }
}
