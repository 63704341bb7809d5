//! The gradients of attention.

use rayon::prelude::*;

use super::super::matmul::{Matrix, matmul, matmul_add};
use super::scores::{
    SequenceBiases, add, add_bias_gradients, add_biases, masks, multiply, silu_gradient,
    softmax_again, softmax_gradient,
};
use super::scratch::Scratch;
use super::{Attention, ROWS, Scoring, Sequence};

/// The sequences are divided among threads into at most this many parts.
const PARTS: usize = 16;

impl Attention<'_> {
    /// The gradients of `Σ gradient · out`, where `normalizers` are what the forward pass gave: by
    /// what is projected, and by the biases of positions and of times, which are empty for a
    /// softmax.
    pub(crate) fn backward(&self, gradient: &[f32], normalizers: &[f32]) -> [Vec<f32>; 3] {
        let sequences = self.sequences();
        let tokens: usize = self.lengths.iter().sum();
        let mut projected = vec![0.0; tokens * 3 * self.dim];
        let (positions, times) = match self.scoring {
            Scoring::Softmax { .. } => (0, 0),
            Scoring::Silu(biases) => (biases.positions.len(), biases.times.len()),
        };
        let per_part = sequences.len().div_ceil(PARTS).max(1);
        let mut tasks = Vec::with_capacity(PARTS);
        let mut rest = &mut projected[..];
        for part in sequences.chunks(per_part) {
            let tokens: usize = part.iter().map(|sequence| sequence.len).sum();
            let (of_part, others) = rest.split_at_mut(tokens * 3 * self.dim);
            tasks.push((part, of_part));
            rest = others;
        }
        // Parts of sequences that depend on their number alone, so that the sums of biases'
        // gradients are the same on any number of threads.
        let parts: Vec<(Vec<f32>, Vec<f32>)> = tasks
            .into_par_iter()
            .map(|(part, mut projected)| {
                let mut scratch = Scratch::default();
                let mut by_biases = (vec![0.0; positions], vec![0.0; times]);
                for &sequence in part {
                    let (of_sequence, others) = projected.split_at_mut(sequence.len * 3 * self.dim);
                    projected = others;
                    for head in 0..self.heads {
                        let saved = (gradient, normalizers);
                        let by = (&mut *of_sequence, &mut by_biases);
                        self.backward_head(sequence, head, &mut scratch, saved, by);
                    }
                }
                by_biases
            })
            .collect();
        let (mut positions, mut times) = (vec![0.0; positions], vec![0.0; times]);
        for (of_positions, of_times) in parts {
            add(&mut positions, &of_positions);
            add(&mut times, &of_times);
        }
        [projected, positions, times]
    }

    fn backward_head(
        &self,
        sequence: Sequence,
        head: usize,
        scratch: &mut Scratch,
        (gradient, normalizers): (&[f32], &[f32]),
        (projected, by_biases): (&mut [f32], &mut (Vec<f32>, Vec<f32>)),
    ) {
        let (len, size) = (sequence.len, self.head_size());
        scratch.load(self, sequence, head);
        scratch.load_gradient(self, sequence, head, gradient);
        for first in (0..len).step_by(ROWS) {
            let block = WeightRows {
                first,
                rows: ROWS.min(len - first),
                len,
                size,
            };
            scratch.products(first, block.rows, len, size);
            block.weight_gradients(scratch);
            match self.scoring {
                Scoring::Softmax {
                    dropout,
                    padded_len,
                } => {
                    let of_rows = &mut scratch.of_rows[..block.rows];
                    for (row, of_row) in of_rows.iter_mut().enumerate() {
                        let token = sequence.start + first + row;
                        *of_row = normalizers[token * self.heads + head];
                    }
                    if let Some(dropout) = dropout {
                        let mask = &mut scratch.mask[..block.pairs()];
                        let row = (sequence.number * self.heads + head) * padded_len + first;
                        masks(dropout, row, padded_len, block.columns(), mask);
                    }
                    block.softmax_gradients(scratch, self.scale(), dropout.is_some());
                }
                Scoring::Silu(biases) => {
                    block.silu_gradients(scratch, &biases.of(sequence), by_biases);
                }
            }
            block.product_gradients(scratch);
            let by_queries = scratch.gathered[..block.rows * size].chunks_exact(size);
            for (row, by_query) in by_queries.enumerate() {
                let start = (first + row) * 3 * self.dim + head * size;
                projected[start..start + size].copy_from_slice(by_query);
            }
        }
        for (part, by) in [(1, &scratch.by_keys), (2, &scratch.by_values)] {
            for (token, by) in by[..len * size].chunks_exact(size).enumerate() {
                let start = token * 3 * self.dim + part * self.dim + head * size;
                projected[start..start + size].copy_from_slice(by);
            }
        }
    }
}

/// A few rows of one head's weights, `[rows, first + rows]`, of a sequence of `len` tokens.
struct WeightRows {
    first: usize,
    rows: usize,
    len: usize,
    /// The head's size.
    size: usize,
}

impl WeightRows {
    fn columns(&self) -> usize {
        self.first + self.rows
    }

    fn pairs(&self) -> usize {
        self.rows * self.columns()
    }

    /// The rows' part of `[len, size]`.
    fn of_rows<'a>(&self, values: &'a [f32]) -> Matrix<'a> {
        let values = &values[self.first * self.size..self.columns() * self.size];
        Matrix::new(values, self.rows, self.size)
    }

    /// The gradients by weights, in `by_weights`.
    fn weight_gradients(&self, scratch: &mut Scratch) {
        let gradient = self.of_rows(&scratch.gradient);
        let values_t = Matrix::strided(&scratch.values_t[..], self.size, self.columns(), self.len);
        matmul(&mut scratch.by_weights[..self.pairs()], gradient, values_t);
    }

    /// Adds to the gradients by values, and makes the gradients by weights those by products.
    /// `of_rows` has the normalizers, and `mask` the mask of weights, if any are dropped.
    fn softmax_gradients(&self, scratch: &mut Scratch, scale: f32, dropped: bool) {
        let (columns, pairs) = (self.columns(), self.pairs());
        let weights = &mut scratch.weights[..pairs];
        let by_weights = &mut scratch.by_weights[..pairs];
        let normalizers = &scratch.of_rows[..self.rows];
        softmax_again(weights, self.first, columns, scale, normalizers);
        let gradient = self.of_rows(&scratch.gradient);
        let by_values = &mut scratch.by_values[..columns * self.size];
        let gathers = if dropped {
            let mask = &mut scratch.mask[..pairs];
            // What is gathered is by dropped weights, what is normalized by all.
            multiply(by_weights, mask);
            multiply(mask, weights);
            &*mask
        } else {
            &*weights
        };
        let gathers = Matrix::new(gathers, self.rows, columns).t();
        matmul_add(by_values, gathers, gradient);
        softmax_gradient(by_weights, weights, columns, scale);
    }

    /// Adds to the gradients by values and by biases, and makes the gradients by weights those by
    /// products.
    fn silu_gradients(
        &self,
        scratch: &mut Scratch,
        biases: &SequenceBiases<'_>,
        by_biases: &mut (Vec<f32>, Vec<f32>),
    ) {
        let (first, columns, pairs) = (self.first, self.columns(), self.pairs());
        let weights = &mut scratch.weights[..pairs];
        let by_weights = &mut scratch.by_weights[..pairs];
        add_biases(weights, first, columns, biases);
        silu_gradient(weights, by_weights, first, columns, 1.0 / biases.divisor);
        let gradient = self.of_rows(&scratch.gradient);
        let activated = Matrix::new(weights, self.rows, columns).t();
        matmul_add(
            &mut scratch.by_values[..columns * self.size],
            activated,
            gradient,
        );
        add_bias_gradients(by_weights, first, columns, biases, by_biases);
    }

    /// Makes the gradients by queries, in `gathered`, and adds to those by keys.
    fn product_gradients(&self, scratch: &mut Scratch) {
        let (columns, size) = (self.columns(), self.size);
        let by_products = Matrix::new(&scratch.by_weights[..self.pairs()], self.rows, columns);
        let keys = Matrix::new(&scratch.keys[..columns * size], columns, size);
        matmul(&mut scratch.gathered[..self.rows * size], by_products, keys);
        let queries = self.of_rows(&scratch.queries);
        let by_keys = &mut scratch.by_keys[..columns * size];
        matmul_add(by_keys, by_products.t(), queries);
    }
}
