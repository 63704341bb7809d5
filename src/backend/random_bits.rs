//! Random bits for tensors.

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::IntTensor;
use burn::tensor::{Int, Tensor, TensorData};

use crate::kernels::random;

/// The random bits of a seed at the places
/// `first + table * strides[0] + row * strides[1] + column`, table after table and row after row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomBits {
    /// The seed.
    pub seed: u64,
    /// The first place.
    pub first: u64,
    /// The numbers of tables, rows and columns.
    pub shape: [usize; 3],
    /// The distances from table to table and from row to row.
    pub strides: [u64; 2],
}

impl RandomBits {
    /// The bits of the places from 0 on.
    pub(super) fn first(seed: u64, count: usize) -> Self {
        Self {
            seed,
            first: 0,
            shape: [1, 1, count],
            strides: [0; 2],
        }
    }

    /// The number of places.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The bits, drawn in this process and moved to a device.
pub(super) fn drawn_on_host<B: BurnBackend>(bits: &RandomBits, device: &B::Device) -> IntTensor<B> {
    let mut drawn = vec![0; bits.count()];
    let [_, rows, columns] = bits.shape;
    let of_rows = drawn.chunks_exact_mut(columns.max(1)).enumerate();
    for (number, of_row) in of_rows {
        let (table, row) = ((number / rows) as u64, (number % rows) as u64);
        let first = bits.first + table * bits.strides[0] + row * bits.strides[1];
        random::upper_bits(bits.seed, first, of_row);
    }
    let drawn = TensorData::new(drawn, [bits.count()]);
    Tensor::<B, 1, Int>::from_data(drawn, device).into_primitive()
}
