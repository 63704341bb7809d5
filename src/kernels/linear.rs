//! Linear layers with what follows them, in one pass over their rows.

use rayon::prelude::*;

use super::activation::Activation;
use super::elementwise::{normal_density, normal_distribution, sigmoid};
use super::for_each_instruction_set;
use super::matmul::{Matrix, matmul, matmul_add};

/// Rows that are worked on at a time.
const ROWS: usize = 64;
/// The rows are divided among threads into at most this many parts.
const PARTS: usize = 16;

/// A linear layer.
#[derive(Clone, Copy)]
pub(crate) struct Linear<'a> {
    /// `[inputs, outputs]`.
    pub(crate) weight: &'a [f32],
    /// `[outputs]`.
    pub(crate) bias: &'a [f32],
    pub(crate) inputs: usize,
    pub(crate) activation: Activation,
}

impl Linear<'_> {
    fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The outputs of rows `[rows, inputs]`, `[rows, outputs]`, and for silu and gelu what they
    /// were before they were activated.
    pub(crate) fn forward(&self, values: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let rows = values.len() / inputs;
        let mut out = vec![0.0; rows * outputs];
        let saves = matches!(self.activation, Activation::Silu | Activation::Gelu);
        let mut before = vec![0.0; if saves { rows * outputs } else { 0 }];
        let weight = Matrix::new(self.weight, inputs, outputs);
        let piece = |values: &[f32], out: &mut [f32]| {
            matmul(
                out,
                Matrix::new(values, values.len() / inputs, inputs),
                weight,
            );
            add_bias(out, self.bias);
        };
        let pieces = values
            .par_chunks(ROWS * inputs)
            .zip(out.par_chunks_mut(ROWS * outputs));
        match self.activation {
            Activation::None => pieces.for_each(|(values, out)| piece(values, out)),
            Activation::Relu => pieces.for_each(|(values, out)| {
                piece(values, out);
                relu(out);
            }),
            Activation::Silu | Activation::Gelu => {
                let is_silu = self.activation == Activation::Silu;
                let activate = if is_silu { silu } else { gelu };
                let pieces = pieces.zip(before.par_chunks_mut(ROWS * outputs));
                pieces.for_each(|((values, out), before)| {
                    piece(values, before);
                    activate(before, out);
                });
            }
        }
        (out, before)
    }

    /// The gradients of `Σ gradient · out` by values, weight and bias, where `saved` is what the
    /// forward pass gave: the outputs for relu, what they were before for silu and gelu.
    pub(crate) fn backward(
        &self,
        gradient: &[f32],
        values: &[f32],
        saved: &[f32],
    ) -> [Vec<f32>; 3] {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let rows = values.len() / inputs;
        let mut by_values = vec![0.0; rows * inputs];
        let weight_t = Matrix::new(self.weight, inputs, outputs).transposed();
        let weight_t = Matrix::new(&weight_t, outputs, inputs);
        // Parts whose size depends on the number of rows alone, so that sums over them are the same
        // on any number of threads.
        let per_part = rows.div_ceil(PARTS).max(ROWS);
        let parts: Vec<(Vec<f32>, Vec<f32>)> = by_values
            .par_chunks_mut(per_part * inputs)
            .enumerate()
            .map(|(part, by_values)| {
                let first = part * per_part;
                let mut by_weight = vec![0.0; inputs * outputs];
                let mut by_bias = vec![0.0; outputs];
                let mut by_before = vec![0.0; ROWS * outputs];
                for (piece, by_values) in by_values.chunks_mut(ROWS * inputs).enumerate() {
                    let start = first + piece * ROWS;
                    let rows = by_values.len() / inputs;
                    let of_outputs = start * outputs..(start + rows) * outputs;
                    let by_before = &mut by_before[..rows * outputs];
                    by_before.copy_from_slice(&gradient[of_outputs.clone()]);
                    match self.activation {
                        Activation::None => {}
                        Activation::Relu => relu_gradient(by_before, &saved[of_outputs]),
                        Activation::Silu => silu_gradient(by_before, &saved[of_outputs]),
                        Activation::Gelu => gelu_gradient(by_before, &saved[of_outputs]),
                    }
                    let values = &values[start * inputs..(start + rows) * inputs];
                    let by_before = Matrix::new(by_before, rows, outputs);
                    matmul(by_values, by_before, weight_t);
                    let values = Matrix::new(values, rows, inputs);
                    matmul_add(&mut by_weight, values.t(), by_before);
                    add_rows(&mut by_bias, by_before.values());
                }
                (by_weight, by_bias)
            })
            .collect();
        let (mut weight, mut bias) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
        for (by_weight, by_bias) in parts {
            add_rows(&mut weight, &by_weight);
            add_rows(&mut bias, &by_bias);
        }
        [by_values, weight, bias]
    }
}

for_each_instruction_set! {
    fn add_bias(rows: &mut [f32], bias: &[f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }
}

for_each_instruction_set! {
    /// Adds all rows, each as long as the sum, to it.
    fn add_rows(sum: &mut [f32], rows: &[f32]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

for_each_instruction_set! {
    fn relu(values: &mut [f32]) {
        for value in values {
            *value = if *value > 0.0 { *value } else { 0.0 };
        }
    }
}

for_each_instruction_set! {
    fn relu_gradient(gradient: &mut [f32], out: &[f32]) {
        for (gradient, out) in gradient.iter_mut().zip(out) {
            *gradient = if *out > 0.0 { *gradient } else { 0.0 };
        }
    }
}

for_each_instruction_set! {
    fn silu(before: &[f32], out: &mut [f32]) {
        for (before, out) in before.iter().zip(out) {
            *out = before * sigmoid(*before);
        }
    }
}

for_each_instruction_set! {
    fn silu_gradient(gradient: &mut [f32], before: &[f32]) {
        for (gradient, before) in gradient.iter_mut().zip(before) {
            let gate = sigmoid(*before);
            *gradient *= gate * (1.0 + before * (1.0 - gate));
        }
    }
}

for_each_instruction_set! {
    fn gelu(before: &[f32], out: &mut [f32]) {
        for (&before, out) in before.iter().zip(out) {
            *out = before * normal_distribution(before);
        }
    }
}

for_each_instruction_set! {
    fn gelu_gradient(gradient: &mut [f32], before: &[f32]) {
        for (gradient, &before) in gradient.iter_mut().zip(before) {
            *gradient *= normal_distribution(before) + before * normal_density(before);
        }
    }
}
