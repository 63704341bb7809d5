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

use rayon::prelude::*;

use super::elementwise::{sigmoid, tanh};
use super::for_each_instruction_set;
use super::matmul::{Matrix, matmul, matmul_add};

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

/// The sizes of a layer and the lengths of the sequences.
#[derive(Clone, Copy)]
pub(crate) struct GruShape<'a> {
    pub(crate) inputs: usize,
    pub(crate) hidden: usize,
    /// The padded length.
    pub(crate) len: usize,
    /// How many steps of each row are real, `[batch]`.
    pub(crate) lengths: &'a [usize],
}

/// What [`backward`] gives.
pub(crate) struct GruGradients {
    /// `[batch, len, inputs]`, 0 at padding.
    pub(crate) values: Vec<f32>,
    /// `[inputs, 3 * hidden]`.
    pub(crate) input: Vec<f32>,
    /// `[hidden, 3 * hidden]`.
    pub(crate) hidden: Vec<f32>,
    /// `[3 * hidden]`.
    pub(crate) input_bias: Vec<f32>,
    /// `[3 * hidden]`.
    pub(crate) hidden_bias: Vec<f32>,
}

/// Rows of similar length that are worked on together.
struct Group {
    /// The rows, longest first.
    rows: Vec<usize>,
    /// How many of them are still running at each step; never rising.
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

/// The gradients of `Σ gradient · hidden states`, where `saved` is [`forward`]'s.
pub(crate) fn backward(
    gradient: &[f32],
    values: &[f32],
    shape: GruShape<'_>,
    weights: GruWeights<'_>,
    saved: &[f32],
) -> GruGradients {
    let groups = shape.groups();
    let mut of_groups = Vec::with_capacity(groups.len());
    let mut rest = saved;
    for group in &groups {
        let (of_group, others) = rest.split_at(group.steps * 5 * shape.hidden);
        of_groups.push((group, of_group));
        rest = others;
    }
    let parts: Vec<GruGradients> = of_groups
        .into_par_iter()
        .map(|(group, saved)| group_backward(gradient, values, shape, weights, group, saved))
        .collect();

    let mut values = vec![0.0; shape.lengths.len() * shape.len * shape.inputs];
    for (group, part) in groups.iter().zip(&parts) {
        group.unpack(&part.values, &mut values, shape.len, shape.inputs);
    }
    let sum = |of: fn(&GruGradients) -> &[f32], size: usize| {
        let mut sum = vec![0.0; size];
        for part in &parts {
            for (sum, part) in sum.iter_mut().zip(of(part)) {
                *sum += part;
            }
        }
        sum
    };
    GruGradients {
        values,
        input: sum(|part| &part.input, weights.input.len()),
        hidden: sum(|part| &part.hidden, weights.hidden.len()),
        input_bias: sum(|part| &part.input_bias, weights.input_bias.len()),
        hidden_bias: sum(|part| &part.hidden_bias, weights.hidden_bias.len()),
    }
}

/// One group's gradients; those of the values are packed.
fn group_backward(
    gradient: &[f32],
    values: &[f32],
    shape: GruShape<'_>,
    weights: GruWeights<'_>,
    group: &Group,
    saved: &[f32],
) -> GruGradients {
    let (inputs, hidden, steps) = (shape.inputs, shape.hidden, group.steps);
    let (gates, states) = saved.split_at(steps * 4 * hidden);
    // The gradient that reaches each step's state, to which later steps add their part.
    let mut to_states = group.pack(gradient, shape.len, hidden);
    let mut to_input_products = vec![0.0; steps * 3 * hidden];
    let mut to_hidden_products = vec![0.0; steps * 3 * hidden];
    // Each step's previous states, packed; those of the first step are 0.
    let mut previous_states = vec![0.0; steps * hidden];
    let recurrent = Matrix::new(weights.hidden, hidden, 3 * hidden).transposed();
    let recurrent = Matrix::new(&recurrent, 3 * hidden, hidden);

    let mut start = steps;
    for (step, &running) in group.running.iter().enumerate().rev() {
        start -= running;
        let previous_start = start - if step > 0 { group.running[step - 1] } else { 0 };
        let rows = start..start + running;
        let previous = &mut previous_states[rows.start * hidden..rows.end * hidden];
        if step > 0 {
            previous.copy_from_slice(
                &states[previous_start * hidden..(previous_start + running) * hidden],
            );
        }
        let of_gates = rows.start * 3 * hidden..rows.end * 3 * hidden;
        let (to_previous, to_these) = to_states.split_at_mut(start * hidden);
        gates_backward(
            hidden,
            &mut to_these[..running * hidden],
            &gates[rows.start * 4 * hidden..rows.end * 4 * hidden],
            previous,
            &mut to_input_products[of_gates.clone()],
            &mut to_hidden_products[of_gates.clone()],
        );
        if step > 0 {
            let to_previous = &mut to_previous[previous_start * hidden..][..running * hidden];
            // What `gates_backward` left is the part that passes through z.
            for (to_previous, direct) in to_previous.iter_mut().zip(to_these) {
                *to_previous += *direct;
            }
            let products = Matrix::new(&to_hidden_products[of_gates], running, 3 * hidden);
            matmul_add(to_previous, products, recurrent);
        }
    }

    let packed = group.pack(values, shape.len, inputs);
    let to_inputs = Matrix::new(&to_input_products, steps, 3 * hidden);
    let mut to_values = vec![0.0; steps * inputs];
    let input_weights = Matrix::new(weights.input, inputs, 3 * hidden).transposed();
    let input_weights = Matrix::new(&input_weights, 3 * hidden, inputs);
    matmul(&mut to_values, to_inputs, input_weights);
    let mut to_input_weights = vec![0.0; weights.input.len()];
    let packed = Matrix::new(&packed, steps, inputs);
    matmul(&mut to_input_weights, packed.t(), to_inputs);
    let mut to_hidden_weights = vec![0.0; weights.hidden.len()];
    matmul(
        &mut to_hidden_weights,
        Matrix::new(&previous_states, steps, hidden).t(),
        Matrix::new(&to_hidden_products, steps, 3 * hidden),
    );
    GruGradients {
        values: to_values,
        input: to_input_weights,
        hidden: to_hidden_weights,
        input_bias: column_sums(&to_input_products, 3 * hidden),
        hidden_bias: column_sums(&to_hidden_products, 3 * hidden),
    }
}

for_each_instruction_set! {
    fn column_sums(rows: &[f32], columns: usize) -> Vec<f32> {
        let mut sums = vec![0.0; columns];
        for row in rows.chunks_exact(columns) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        sums
    }
}

for_each_instruction_set! {
    /// One step of some rows, backward. `to_states` holds the gradient by these states and is
    /// left with the part that goes straight to the previous ones.
    fn gates_backward(
        hidden: usize,
        to_states: &mut [f32],
        gates: &[f32],
        previous: &[f32],
        to_input_products: &mut [f32],
        to_hidden_products: &mut [f32],
    ) {
        let rows = to_states
            .chunks_exact_mut(hidden)
            .zip(gates.chunks_exact(4 * hidden))
            .zip(previous.chunks_exact(hidden))
            .zip(to_input_products.chunks_exact_mut(3 * hidden))
            .zip(to_hidden_products.chunks_exact_mut(3 * hidden));
        for ((((to_state, gates), previous), to_x), to_h) in rows {
            let (r, gates) = gates.split_at(hidden);
            let (z, gates) = gates.split_at(hidden);
            let (n, h_n) = gates.split_at(hidden);
            let (to_x_r, to_x) = to_x.split_at_mut(hidden);
            let (to_x_z, to_x_n) = to_x.split_at_mut(hidden);
            let (to_h_r, to_h) = to_h.split_at_mut(hidden);
            let (to_h_z, to_h_n) = to_h.split_at_mut(hidden);
            for i in 0..hidden {
                let to_n = to_state[i] * (1.0 - z[i]) * (1.0 - n[i] * n[i]);
                to_x_n[i] = to_n;
                to_h_n[i] = to_n * r[i];
                to_x_r[i] = to_n * h_n[i] * r[i] * (1.0 - r[i]);
                to_x_z[i] = to_state[i] * (previous[i] - n[i]) * z[i] * (1.0 - z[i]);
                to_state[i] *= z[i];
            }
            to_h_r.copy_from_slice(to_x_r);
            to_h_z.copy_from_slice(to_x_z);
        }
    }
}
