//! What chance gives where tensors need it.

use crate::kernels::random;

/// Which bits a seed gives: those of the places `first + table * strides[0] + row * strides[1] + column`,
/// table after table and row after row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomBits {
    /// The seed.
    pub seed: u64,
    /// The first place.
    pub first: u64,
    /// How many tables, rows and columns there are.
    pub shape: [usize; 3],
    /// How far tables and rows are from each other.
    pub strides: [u64; 2],
}

impl RandomBits {
    /// Those of the places from 0 on.
    pub(super) fn first(seed: u64, count: usize) -> Self {
        Self {
            seed,
            first: 0,
            shape: [1, 1, count],
            strides: [0; 2],
        }
    }

    /// How many places there are.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bits, drawn here.
    pub(super) fn on_host(&self) -> Vec<i32> {
        let mut bits = vec![0; self.count()];
        let [_, rows, columns] = self.shape;
        let of_rows = bits.chunks_exact_mut(columns.max(1)).enumerate();
        for (number, of_row) in of_rows {
            let (table, row) = ((number / rows) as u64, (number % rows) as u64);
            let first = self.first + table * self.strides[0] + row * self.strides[1];
            random::upper_bits(self.seed, first, of_row);
        }
        bits
    }
}
