//! A GRU layer's gradients, backward through time.

use rayon::prelude::*;

use super::super::for_each_instruction_set;
use super::super::matmul::{Matrix, matmul, matmul_add};
use super::{Group, GruShape, GruWeights};

/// The gradients of `Σ gradient · hidden states`, where `saved` is [`forward`](super::forward)'s:
/// by values `[batch, len, inputs]`, 0 at padding, and by the weights and biases of the input and
/// of the state.
pub(crate) fn backward(
    gradient: &[f32],
    values: &[f32],
    shape: GruShape<'_>,
    weights: GruWeights<'_>,
    saved: &[f32],
) -> [Vec<f32>; 5] {
    let groups = shape.groups();
    let mut of_groups = Vec::with_capacity(groups.len());
    let mut rest = saved;
    for group in &groups {
        let (of_group, others) = rest.split_at(group.steps * 5 * shape.hidden);
        of_groups.push((group, of_group));
        rest = others;
    }
    let parts: Vec<[Vec<f32>; 5]> = of_groups
        .into_par_iter()
        .map(|(group, saved)| group_backward(gradient, values, shape, weights, group, saved))
        .collect();

    let mut values = vec![0.0; shape.lengths.len() * shape.len * shape.inputs];
    for (group, part) in groups.iter().zip(&parts) {
        group.unpack(&part[0], &mut values, shape.len, shape.inputs);
    }
    let sum = |of: usize, weights: &[f32]| {
        let mut sum = vec![0.0; weights.len()];
        for part in &parts {
            for (sum, part) in sum.iter_mut().zip(&part[of]) {
                *sum += part;
            }
        }
        sum
    };
    [
        values,
        sum(1, weights.input),
        sum(2, weights.hidden),
        sum(3, weights.input_bias),
        sum(4, weights.hidden_bias),
    ]
}

/// One group's gradients; those of the values are packed.
fn group_backward(
    gradient: &[f32],
    values: &[f32],
    shape: GruShape<'_>,
    weights: GruWeights<'_>,
    group: &Group,
    saved: &[f32],
) -> [Vec<f32>; 5] {
    let (inputs, hidden, steps) = (shape.inputs, shape.hidden, group.steps);
    let to_states = group.pack(gradient, shape.len, hidden);
    let [to_input_products, to_hidden_products, previous_states] =
        through_time(to_states, weights, group, saved);
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
    [
        to_values,
        to_input_weights,
        to_hidden_weights,
        column_sums(&to_input_products, 3 * hidden),
        column_sums(&to_hidden_products, 3 * hidden),
    ]
}

/// Goes back through a group's steps from the gradient that reaches each step's state, packed, to
/// which later steps add their part: the gradients by the products of all steps with the input and
/// with the state, `[steps, 3 * hidden]` each, and each step's previous states `[steps, hidden]`,
/// which are 0 for the first.
fn through_time(
    mut to_states: Vec<f32>,
    weights: GruWeights<'_>,
    group: &Group,
    saved: &[f32],
) -> [Vec<f32>; 3] {
    let (steps, hidden) = (group.steps, weights.hidden_size());
    let (gates, states) = saved.split_at(steps * 4 * hidden);
    let mut to_input_products = vec![0.0; steps * 3 * hidden];
    let mut to_hidden_products = vec![0.0; steps * 3 * hidden];
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
    [to_input_products, to_hidden_products, previous_states]
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
