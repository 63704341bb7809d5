//! Weights of products, and the gradients by them, for a few rows of one head.

use super::super::elementwise::{exp, sigmoid};
use super::super::{dropout, for_each_instruction_set};
use super::{Biases, Sequence};

/// The masks `[rows, columns]` of weights of a padded batch `[batch, heads, len, len]`, from a row
/// of it on, so that they do not depend on how the weights are divided.
pub(super) fn masks(
    (seed, probability): (u64, f64),
    first_row: usize,
    padded_len: usize,
    columns: usize,
    out: &mut [f32],
) {
    for (row, out) in out.chunks_exact_mut(columns).enumerate() {
        let start = (first_row + row) * padded_len;
        dropout::mask(seed, probability, start as u64, out);
    }
}

/// The biases of one sequence.
pub(super) struct SequenceBiases<'a> {
    pub(super) divisor: f32,
    positions: &'a [f32],
    times: &'a [f32],
    classes: &'a [u8],
}

impl<'a> Biases<'a> {
    pub(super) fn of(&self, sequence: Sequence) -> SequenceBiases<'a> {
        let Sequence { len, pairs, .. } = sequence;
        SequenceBiases {
            divisor: self.divisor,
            positions: self.positions,
            times: self.times,
            classes: &self.classes[pairs..pairs + len * (len + 1) / 2],
        }
    }
}

impl SequenceBiases<'_> {
    /// The classes of a token's distances from each one up to itself.
    fn classes_of(&self, token: usize) -> &[u8] {
        let start = token * (token + 1) / 2;
        &self.classes[start..start + token + 1]
    }
}

pub(super) fn add_biases(
    scores: &mut [f32],
    first: usize,
    columns: usize,
    biases: &SequenceBiases<'_>,
) {
    for (row, scores) in scores.chunks_exact_mut(columns).enumerate() {
        let token = first + row;
        let positions = biases.positions[..=token].iter().rev();
        let classes = biases.classes_of(token).iter();
        for ((score, position), &class) in scores.iter_mut().zip(positions).zip(classes) {
            *score += position + biases.times[usize::from(class)];
        }
    }
}

pub(super) fn add_bias_gradients(
    by_scores: &[f32],
    first: usize,
    columns: usize,
    biases: &SequenceBiases<'_>,
    (by_positions, by_times): &mut (Vec<f32>, Vec<f32>),
) {
    for (row, by_scores) in by_scores.chunks_exact(columns).enumerate() {
        let token = first + row;
        let by_positions = by_positions[..=token].iter_mut().rev();
        let classes = biases.classes_of(token).iter();
        for ((by_score, by_position), &class) in by_scores.iter().zip(by_positions).zip(classes) {
            *by_position += by_score;
            by_times[usize::from(class)] += by_score;
        }
    }
}

pub(super) fn add(sum: &mut [f32], more: &[f32]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

for_each_instruction_set! {
    pub(super) fn multiply(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

/// Sums that run side by side over a row.
const LANES: usize = 16;

#[inline(always)]
fn sum_of(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn largest_of(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks
        .remainder()
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, larger);
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes.into_iter().fold(rest, larger)
}

for_each_instruction_set! {
    /// Makes weights of products: each row a softmax over its first columns, up to its own place,
    /// and 0 beyond. `normalizers` get each row's `ln Σ e^score`.
    pub(super) fn softmax_rows(products: &mut [f32], first: usize, columns: usize, scale: f32, normalizers: &mut [f32]) {
        let rows = products.chunks_exact_mut(columns).zip(normalizers);
        for (row, (products, normalizer)) in rows.enumerate() {
            let (past, future) = products.split_at_mut(first + row + 1);
            let largest = largest_of(past) * scale;
            for product in past.iter_mut() {
                *product = exp(*product * scale - largest);
            }
            let sum = sum_of(past);
            let share = 1.0 / sum;
            for weight in past {
                *weight *= share;
            }
            future.fill(0.0);
            *normalizer = largest + sum.ln();
        }
    }
}

for_each_instruction_set! {
    /// Makes the weights of [`softmax_rows`] again, by the normalizers.
    pub(super) fn softmax_again(products: &mut [f32], first: usize, columns: usize, scale: f32, normalizers: &[f32]) {
        let rows = products.chunks_exact_mut(columns).zip(normalizers);
        for (row, (products, normalizer)) in rows.enumerate() {
            let (past, future) = products.split_at_mut(first + row + 1);
            for product in past {
                *product = exp(*product * scale - normalizer);
            }
            future.fill(0.0);
        }
    }
}

for_each_instruction_set! {
    /// Converts gradients by weights into gradients by products, in place. Weights are 0 where
    /// nothing is attended to.
    pub(super) fn softmax_gradient(by_weights: &mut [f32], weights: &[f32], columns: usize, scale: f32) {
        let rows = by_weights.chunks_exact_mut(columns).zip(weights.chunks_exact(columns));
        for (by_weights, weights) in rows {
            for (by_weight, weight) in by_weights.iter_mut().zip(weights) {
                *by_weight *= weight;
            }
            let mean = sum_of(by_weights);
            for (by_weight, weight) in by_weights.iter_mut().zip(weights) {
                *by_weight = (*by_weight - mean * weight) * scale;
            }
        }
    }
}

for_each_instruction_set! {
    /// Makes weights of scores: `silu(score) · scale` up to each row's own place, and 0 beyond.
    pub(super) fn silu_rows(scores: &mut [f32], first: usize, columns: usize, scale: f32) {
        for (row, scores) in scores.chunks_exact_mut(columns).enumerate() {
            let (past, future) = scores.split_at_mut(first + row + 1);
            for score in past {
                *score *= sigmoid(*score) * scale;
            }
            future.fill(0.0);
        }
    }
}

for_each_instruction_set! {
    /// Makes weights of scores, and converts gradients by weights into gradients by scores, in
    /// place.
    pub(super) fn silu_gradient(scores: &mut [f32], by_weights: &mut [f32], first: usize, columns: usize, scale: f32) {
        let rows = scores.chunks_exact_mut(columns).zip(by_weights.chunks_exact_mut(columns));
        for (row, (scores, by_weights)) in rows.enumerate() {
            let (past, future) = scores.split_at_mut(first + row + 1);
            let (by_past, by_future) = by_weights.split_at_mut(first + row + 1);
            for (score, by_weight) in past.iter_mut().zip(by_past) {
                let gate = sigmoid(*score);
                *by_weight *= gate * (1.0 + *score * (1.0 - gate)) * scale;
                *score *= gate * scale;
            }
            future.fill(0.0);
            by_future.fill(0.0);
        }
    }
}
