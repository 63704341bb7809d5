//! Layer normalization.

use rayon::prelude::*;

use super::for_each_instruction_set;

/// Rows to a piece of work.
const ROWS: usize = 128;

/// Each row of `[rows, dim]` with mean 0 and variance 1, times `gamma` plus `beta` `[dim]`.
pub(crate) fn forward(values: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    let dim = gamma.len();
    let mut out = vec![0.0; values.len()];
    (values
        .par_chunks(ROWS * dim)
        .zip(out.par_chunks_mut(ROWS * dim)))
    .for_each(|(values, out)| normalize(values, gamma, beta, epsilon, out));
    out
}

/// The gradients of `Σ gradient · out` by values, gamma and beta.
pub(crate) fn backward(
    gradient: &[f32],
    values: &[f32],
    gamma: &[f32],
    epsilon: f32,
) -> [Vec<f32>; 3] {
    let dim = gamma.len();
    let mut by_values = vec![0.0; values.len()];
    let pieces = gradient
        .par_chunks(ROWS * dim)
        .zip(values.par_chunks(ROWS * dim))
        .zip(by_values.par_chunks_mut(ROWS * dim));
    // Pieces are summed in their order, so that sums are the same on any number of threads.
    let sums: Vec<Vec<f32>> = pieces
        .map(|((gradient, values), by_values)| {
            let mut sums = vec![0.0; 2 * dim];
            normalize_gradient(gradient, values, gamma, epsilon, by_values, &mut sums);
            sums
        })
        .collect();
    let (mut by_gamma, mut by_beta) = (vec![0.0; dim], vec![0.0; dim]);
    for piece in sums {
        for (sum, more) in by_gamma.iter_mut().chain(&mut by_beta).zip(piece) {
            *sum += more;
        }
    }
    [by_values, by_gamma, by_beta]
}

const LANES: usize = 16;

#[inline(always)]
fn sum(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let mut lanes = [0.0; LANES];
    for (place, value) in values.enumerate() {
        lanes[place % LANES] += value;
    }
    lanes.iter().sum()
}

/// The mean of a row and one over its deviation.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum(row.iter().copied()) / count;
    let variance = sum(row.iter().map(|value| (value - mean) * (value - mean))) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

for_each_instruction_set! {
    fn normalize(values: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
        let dim = gamma.len();
        for (row, out) in values.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
            let (mean, scale) = moments(row, epsilon);
            for (((out, value), gamma), beta) in out.iter_mut().zip(row).zip(gamma).zip(beta) {
                *out = (value - mean) * scale * gamma + beta;
            }
        }
    }
}

for_each_instruction_set! {
    /// `sums` `[2 * dim]` get the gradients by gamma and by beta.
    fn normalize_gradient(gradient: &[f32], values: &[f32], gamma: &[f32], epsilon: f32, by_values: &mut [f32], sums: &mut [f32]) {
        let dim = gamma.len();
        let (by_gamma, by_beta) = sums.split_at_mut(dim);
        let rows = gradient.chunks_exact(dim).zip(values.chunks_exact(dim));
        for ((gradient, row), by_values) in rows.zip(by_values.chunks_exact_mut(dim)) {
            let (mean, scale) = moments(row, epsilon);
            for place in 0..dim {
                let normal = (row[place] - mean) * scale;
                by_gamma[place] += gradient[place] * normal;
                by_beta[place] += gradient[place];
                by_values[place] = gradient[place] * gamma[place];
            }
            let of_gradient = sum(by_values.iter().copied()) / dim as f32;
            let along = sum(by_values.iter().zip(row).map(|(by, value)| by * (value - mean) * scale));
            let along = along / dim as f32;
            for (by, value) in by_values.iter_mut().zip(row) {
                *by = scale * (*by - of_gradient - (value - mean) * scale * along);
            }
        }
    }
}
