//! Packed sequences as padded batches, where operations run as ordinary tensor operations.

use burn::tensor::{Int, Tensor, TensorData};

use super::{Backend, select_rows};

/// 1 at real steps and 0 at padding, `[batch, len, 1]`.
pub(super) fn real_steps<B: Backend>(
    lengths: &[usize],
    len: usize,
    device: &B::Device,
) -> Tensor<B, 3> {
    let real = |&length: &usize| (0..len).map(move |step| f32::from(u8::from(step < length)));
    let values: Vec<f32> = lengths.iter().flat_map(real).collect();
    Tensor::from_data(TensorData::new(values, [lengths.len(), len, 1]), device)
}

/// The places of packed tokens in a padded batch.
pub(super) struct PaddedPlaces<B: Backend> {
    pub(super) batch: usize,
    pub(super) len: usize,
    /// The token at each place of the padded batch, `[batch * len]`; 0 at padding.
    packed: Tensor<B, 1, Int>,
    /// The place of each token there, `[tokens]`.
    padded: Tensor<B, 1, Int>,
    /// 1 at real tokens, `[batch, len, 1]`.
    pub(super) real: Tensor<B, 3>,
}

impl<B: Backend> PaddedPlaces<B> {
    pub(super) fn new(lengths: &[usize], device: &B::Device) -> Self {
        let (batch, len) = (lengths.len(), lengths.iter().max().copied().unwrap_or(0));
        let mut packed = vec![0i32; batch * len];
        let mut padded = Vec::new();
        for (row, &length) in lengths.iter().enumerate() {
            let start = row * len;
            for (place, packed) in packed[start..start + length].iter_mut().enumerate() {
                *packed = padded.len() as i32;
                padded.push((start + place) as i32);
            }
        }
        Self {
            batch,
            len,
            packed: Tensor::from_data(packed.as_slice(), device),
            padded: Tensor::from_data(padded.as_slice(), device),
            real: real_steps(lengths, len, device),
        }
    }

    /// `[tokens, width]` as `[batch, len, width]`, with the first token's values at padding.
    pub(super) fn pad(&self, values: Tensor<B, 2>) -> Tensor<B, 3> {
        let width = values.dims()[1];
        select_rows(values, self.packed.clone()).reshape([self.batch, self.len, width])
    }

    /// `[batch, len, width]` as `[tokens, width]`.
    pub(super) fn pack(&self, padded: Tensor<B, 3>) -> Tensor<B, 2> {
        let [batch, len, width] = padded.dims();
        let rows = padded.reshape([batch * len, width]);
        select_rows(rows, self.padded.clone())
    }
}
