//! The buffers of one head of one sequence.

use super::super::matmul::{Matrix, matmul};
use super::{Attention, ROWS, Sequence};

/// The buffers of one head of one sequence.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[len, size]` each, and `[size, len]` for the transposed ones.
    pub(super) queries: Vec<f32>,
    pub(super) keys: Vec<f32>,
    keys_t: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) values_t: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    pub(super) by_keys: Vec<f32>,
    pub(super) by_values: Vec<f32>,
    /// `[ROWS, len]` each.
    pub(super) weights: Vec<f32>,
    pub(super) mask: Vec<f32>,
    pub(super) by_weights: Vec<f32>,
    /// `[ROWS, size]`.
    pub(super) gathered: Vec<f32>,
    pub(super) of_rows: Vec<f32>,
}

/// Makes a buffer at least so long; what is in it stays.
fn reserve(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

impl Scratch {
    /// A head's queries, keys and values of a sequence, side by side.
    pub(super) fn load(&mut self, attention: &Attention<'_>, sequence: Sequence, head: usize) {
        let (len, size, dim) = (sequence.len, attention.head_size(), attention.dim);
        for buffer in [
            &mut self.queries,
            &mut self.keys,
            &mut self.keys_t,
            &mut self.values,
            &mut self.values_t,
        ] {
            reserve(buffer, len * size);
        }
        for buffer in [&mut self.weights, &mut self.mask, &mut self.by_weights] {
            reserve(buffer, ROWS * len);
        }
        reserve(&mut self.gathered, ROWS * size);
        reserve(&mut self.of_rows, ROWS);
        let parts = [&mut self.queries, &mut self.keys, &mut self.values];
        for (part, buffer) in parts.into_iter().enumerate() {
            for (token, row) in buffer[..len * size].chunks_exact_mut(size).enumerate() {
                let start = (sequence.start + token) * 3 * dim + part * dim + head * size;
                row.copy_from_slice(&attention.projected[start..start + size]);
            }
        }
        let keys = Matrix::new(&self.keys[..len * size], len, size);
        keys.transpose_into(&mut self.keys_t[..len * size]);
    }

    /// Loads what the backward pass needs of a head besides.
    pub(super) fn load_gradient(
        &mut self,
        attention: &Attention<'_>,
        sequence: Sequence,
        head: usize,
        gradient: &[f32],
    ) {
        let (len, size, dim) = (sequence.len, attention.head_size(), attention.dim);
        for buffer in [&mut self.gradient, &mut self.by_keys, &mut self.by_values] {
            reserve(buffer, len * size);
        }
        let rows = self.gradient[..len * size].chunks_exact_mut(size);
        for (token, row) in rows.enumerate() {
            let start = (sequence.start + token) * dim + head * size;
            row.copy_from_slice(&gradient[start..start + size]);
        }
        self.by_keys[..len * size].fill(0.0);
        self.by_values[..len * size].fill(0.0);
        let values = Matrix::new(&self.values[..len * size], len, size);
        values.transpose_into(&mut self.values_t[..len * size]);
    }

    /// The products of some queries with the keys up to the last of them, in `weights`.
    pub(super) fn products(&mut self, first: usize, rows: usize, len: usize, size: usize) {
        let columns = first + rows;
        let queries = Matrix::new(&self.queries[first * size..columns * size], rows, size);
        let keys_t = Matrix::strided(&self.keys_t[..len * size], size, columns, len);
        matmul(&mut self.weights[..rows * columns], queries, keys_t);
    }
}
