//! One GRU layer over a batch of sequences, forward and backward through time.
//!
//! The gates are those of Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder
//! for Statistical Machine Translation" (2014), with the reset gate applied after the hidden
//! product, as cuDNN and PyTorch do:
//!
//! ```text
//! r = σ(x W_r + b_r + h U_r + c_r)      n  = tanh(x W_n + b_n + r ∘ (h U_n + c_n))
//! z = σ(x W_z + b_z + h U_z + c_z)      h' = (1 - z) ∘ n + z ∘ h
//! ```
//!
//! Rows are ordered by length, longest first, and worked on in groups. Inside a group the steps
//! are packed: step t holds only the rows that are still running, so padding costs nothing.

mod backward;

use rayon::prelude::*;

use super::elementwise::{sigmoid, tanh};
use super::for_each_instruction_set;
use super::matmul::{Matrix, matmul_add};
pub(crate) use backward::backward;

/// Rows per group: enough for efficient products, and few enough to share among threads.
const GROUP_ROWS: usize = 32;

/// The weights of a layer, gates in the order reset, update, new.
#[derive(Clone, Copy)]
pub(crate) struct GruWeights<'a> {
    /// `[inputs, 3 * hidden]`.
    pub(crate) input: &'a [f32],
    /// `[hidden, 3 * hidden]`.
    pub(crate) hidden: &'a [f32],
    /// `[3 * hidden]`.
    pub(crate) input_bias: &'a [f32],
    /// `[3 * hidden]`.
    pub(crate) hidden_bias: &'a [f32],
}

impl GruWeights<'_> {
    fn hidden_size(&self) -> usize {
        self.hidden_bias.len() / 3
    }
}

/// The sizes of a layer and the lengths of the sequences.
#[derive(Clone, Copy)]
pub(crate) struct GruShape<'a> {
    pub(crate) inputs: usize,
    pub(crate) hidden: usize,
    /// The padded length.
    pub(crate) len: usize,
    /// The number of real steps of each row, `[batch]`.
    pub(crate) lengths: &'a [usize],
}

/// Rows of similar length that are worked on together.
struct Group {
    /// The rows, longest first.
    rows: Vec<usize>,
    /// The number of them that are still running at each step; never rising.
    running: Vec<usize>,
    /// All their real steps.
    steps: usize,
}

impl GruShape<'_> {
    fn groups(&self) -> Vec<Group> {
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(self.lengths[row]));
        let of_rows = |rows: &[usize]| {
            let longest = self.lengths[rows[0]];
            let running = |step| rows.partition_point(|&row| self.lengths[row] > step);
            Group {
                rows: rows.to_vec(),
                running: (0..longest).map(running).collect(),
                steps: rows.iter().map(|&row| self.lengths[row]).sum(),
            }
        };
        order.chunks(GROUP_ROWS).map(of_rows).collect()
    }
}

impl Group {
    /// Calls `each` with every real step's place among the packed ones and in the padded batch.
    fn for_each_step(&self, len: usize, mut each: impl FnMut(usize, usize)) {
        let mut packed = 0;
        for (step, &running) in self.running.iter().enumerate() {
            for &row in &self.rows[..running] {
                each(packed, row * len + step);
                packed += 1;
            }
        }
    }

    /// Padded `[batch, len, width]` to packed `[steps, width]`.
    fn pack(&self, padded: &[f32], len: usize, width: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.steps * width];
        self.for_each_step(len, |packed, place| {
            out[packed * width..(packed + 1) * width]
                .copy_from_slice(&padded[place * width..(place + 1) * width]);
        });
        out
    }

    /// Packed `[steps, width]` to its places in padded `[batch, len, width]`.
    fn unpack(&self, packed_values: &[f32], padded: &mut [f32], len: usize, width: usize) {
        self.for_each_step(len, |packed, place| {
            padded[place * width..(place + 1) * width]
                .copy_from_slice(&packed_values[packed * width..(packed + 1) * width]);
        });
    }
}

/// The hidden states `[batch, len, hidden]`, 0 at padding, and what [`backward`] needs again:
/// for each group its packed gates `[steps, 4 * hidden]` and hidden states `[steps, hidden]`.
pub(crate) fn forward(
    values: &[f32],
    shape: GruShape<'_>,
    weights: GruWeights<'_>,
) -> (Vec<f32>, Vec<f32>) {
    let hidden = shape.hidden;
    let groups = shape.groups();
    let mut saved = vec![0.0; groups.iter().map(|group| group.steps).sum::<usize>() * 5 * hidden];
    split_by_group(&mut saved, &groups, 5 * hidden)
        .into_par_iter()
        .zip(&groups)
        .for_each(|(saved, group)| group_forward(values, shape, weights, group, saved));
    let mut out = vec![0.0; shape.lengths.len() * shape.len * hidden];
    let mut rest = saved.as_slice();
    for group in &groups {
        let (of_group, others) = rest.split_at(group.steps * 5 * hidden);
        group.unpack(
            &of_group[group.steps * 4 * hidden..],
            &mut out,
            shape.len,
            hidden,
        );
        rest = others;
    }
    (out, saved)
}

fn split_by_group<'a>(
    mut all: &'a mut [f32],
    groups: &[Group],
    width: usize,
) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(groups.len());
    for group in groups {
        let (part, rest) = all.split_at_mut(group.steps * width);
        parts.push(part);
        all = rest;
    }
    parts
}

/// The input products of all steps, with their bias: `[steps, 3 * hidden]`.
fn input_products(packed: &[f32], shape: GruShape<'_>, weights: GruWeights<'_>) -> Vec<f32> {
    let gates = 3 * shape.hidden;
    let steps = packed.len() / shape.inputs;
    let mut products = weights.input_bias.repeat(steps);
    matmul_add(
        &mut products,
        Matrix::new(packed, steps, shape.inputs),
        Matrix::new(weights.input, shape.inputs, gates),
    );
    products
}

fn group_forward(
    values: &[f32],
    shape: GruShape<'_>,
    weights: GruWeights<'_>,
    group: &Group,
    saved: &mut [f32],
) {
    let hidden = shape.hidden;
    let packed = group.pack(values, shape.len, shape.inputs);
    let from_input = input_products(&packed, shape, weights);
    let recurrent = Matrix::new(weights.hidden, hidden, 3 * hidden);
    let (gates, states) = saved.split_at_mut(group.steps * 4 * hidden);
    let mut from_hidden = vec![0.0; group.rows.len() * 3 * hidden];
    let zeros = vec![0.0; group.rows.len() * hidden];
    let (mut previous_start, mut start) = (0, 0);
    for (step, &running) in group.running.iter().enumerate() {
        let (done, ahead) = states.split_at_mut(start * hidden);
        let previous = if step == 0 {
            &zeros
        } else {
            &done[previous_start * hidden..]
        };
        let previous = &previous[..running * hidden];
        let from_hidden = &mut from_hidden[..running * 3 * hidden];
        for row in from_hidden.chunks_exact_mut(3 * hidden) {
            row.copy_from_slice(weights.hidden_bias);
        }
        if step > 0 {
            let previous = Matrix::new(previous, running, hidden);
            matmul_add(from_hidden, previous, recurrent);
        }
        gates_forward(
            hidden,
            &from_input[start * 3 * hidden..(start + running) * 3 * hidden],
            from_hidden,
            previous,
            &mut gates[start * 4 * hidden..(start + running) * 4 * hidden],
            &mut ahead[..running * hidden],
        );
        previous_start = start;
        start += running;
    }
}

for_each_instruction_set! {
    /// One step of some rows. `gates` gets r, z, n and the new gate's hidden part of each row.
    fn gates_forward(
        hidden: usize,
        from_input: &[f32],
        from_hidden: &[f32],
        previous: &[f32],
        gates: &mut [f32],
        states: &mut [f32],
    ) {
        let rows = from_input
            .chunks_exact(3 * hidden)
            .zip(from_hidden.chunks_exact(3 * hidden))
            .zip(previous.chunks_exact(hidden))
            .zip(gates.chunks_exact_mut(4 * hidden))
            .zip(states.chunks_exact_mut(hidden));
        for ((((x, h), previous), gates), state) in rows {
            let (x_r, x) = x.split_at(hidden);
            let (x_z, x_n) = x.split_at(hidden);
            let (h_r, h) = h.split_at(hidden);
            let (h_z, h_n) = h.split_at(hidden);
            let (r, gates) = gates.split_at_mut(hidden);
            let (z, gates) = gates.split_at_mut(hidden);
            let (n, saved_h_n) = gates.split_at_mut(hidden);
            for (r, (x, h)) in r.iter_mut().zip(x_r.iter().zip(h_r)) {
                *r = sigmoid(x + h);
            }
            for (z, (x, h)) in z.iter_mut().zip(x_z.iter().zip(h_z)) {
                *z = sigmoid(x + h);
            }
            for ((n, r), (x, h)) in n.iter_mut().zip(r).zip(x_n.iter().zip(h_n)) {
                *n = tanh(x + *r * h);
            }
            saved_h_n.copy_from_slice(h_n);
            for ((state, previous), (n, z)) in state.iter_mut().zip(previous).zip(n.iter().zip(z)) {
                *state = *n + *z * (previous - *n);
            }
        }
    }
}
