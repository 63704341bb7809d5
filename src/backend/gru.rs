//! A GRU layer over padded sequences.

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata, activation};

use super::Backend;
use super::operations::Fused;
use super::padding::real_steps;
use super::primitives::{from_values, primitive, tensor};
use crate::kernels::gru::{GruShape, GruWeights, backward, forward};

/// One GRU layer over `values` `[batch, len, inputs]`, of which the first `lengths[row]` steps of
/// each row are real, from a state of zeros; returns the hidden states `[batch, len, hidden]`, 0 at
/// padding (Cho et al. 2014, with the reset gate applied after the hidden product, as in cuDNN and
/// PyTorch).
///
/// The weights are those of the input `[inputs, 3 * hidden]` and of the state
/// `[hidden, 3 * hidden]`, then the biases of both `[1, 3 * hidden]`; gates are in the order reset,
/// update, new.
///
/// # Panics
/// When the shapes don't fit each other or a length is above `len`.
pub fn gru<B: Backend>(
    values: Tensor<B, 3>,
    lengths: &[usize],
    weights: [Tensor<B, 2>; 4],
) -> Tensor<B, 3> {
    let [batch, len, inputs] = values.dims();
    let [of_input, of_state, input_bias, state_bias] = weights;
    let [hidden, gates] = of_state.dims();
    assert_eq!(lengths.len(), batch, "one length for each row");
    assert!(
        lengths.iter().all(|&length| length <= len),
        "lengths are within {len}"
    );
    assert_eq!(gates, 3 * hidden, "three gates");
    assert_eq!(of_input.dims(), [inputs, gates]);
    assert_eq!(input_bias.dims(), [1, gates]);
    assert_eq!(state_bias.dims(), [1, gates]);
    let operation = FusedGru {
        lengths: lengths.to_vec(),
    };
    let operands = [
        primitive(values),
        primitive(of_input),
        primitive(of_state),
        primitive(input_bias),
        primitive(state_bias),
    ];
    tensor(B::fused(operation, operands))
}

/// A GRU layer over sequences of these lengths; its operands are the values and the four weights.
#[derive(Debug, Clone)]
struct FusedGru {
    lengths: Vec<usize>,
}

impl<I> Fused<I, 5> for FusedGru {
    /// The operands and the gates.
    type Saved<B: BurnBackend> = ([FloatTensor<B>; 5], FloatTensor<B>);

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; 5],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let [values, weights @ ..] = operands.clone();
        let values: Tensor<B, 3> = tensor(values);
        let [of_input, of_state, input_bias, state_bias] = weights.map(tensor::<B, 2>);
        let [batch, len, inputs] = values.dims();
        let [hidden, _] = of_state.dims();
        let device = values.device();
        let from_input = values.reshape([batch * len, inputs]).matmul(of_input) + input_bias;
        let from_input = from_input.reshape([batch, len, 3 * hidden]);
        let mut state = Tensor::<B, 2>::zeros([batch, hidden], &device);
        let (mut states, mut gates) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for step in 0..len {
            let x = at_step(&from_input, step);
            let h = state.clone().matmul(of_state.clone()) + state_bias.clone();
            let r = activation::sigmoid(gate(&x, 0, hidden) + gate(&h, 0, hidden));
            let z = activation::sigmoid(gate(&x, 1, hidden) + gate(&h, 1, hidden));
            let h_n = gate(&h, 2, hidden);
            let n = (gate(&x, 2, hidden) + r.clone() * h_n.clone()).tanh();
            state = n.clone() + z.clone() * (state - n.clone());
            gates.push(Tensor::cat(vec![r, z, n, h_n, state.clone()], 1));
            states.push(state.clone());
        }
        let states = Tensor::stack::<3>(states, 1) * real_steps(&self.lengths, len, &device);
        let gates = primitive(Tensor::stack::<3>(gates, 1));
        (primitive(states), (operands, gates))
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; 5],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let [batch, len, _] = operands[0].shape().dims();
        let [hidden, _] = operands[2].shape().dims();
        let (states, gates) = self.on_slices::<B, _>(operands.clone(), forward);
        let saved = gates.len();
        let states = from_values::<B>(states, [batch, len, hidden]);
        (states, (operands, from_values::<B>(gates, [saved])))
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (operands, gates): Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let gradient: Tensor<B, 3> = tensor(gradient);
        let saved: Tensor<B, 3> = tensor(gates);
        let [values, weights @ ..] = operands;
        let values: Tensor<B, 3> = tensor(values);
        let [of_input, of_state, _, _] = weights.map(tensor::<B, 2>);
        let [batch, len, inputs] = values.dims();
        let [hidden, _] = of_state.dims();
        let device = values.device();
        let zeros = || Tensor::<B, 2>::zeros([batch, hidden], &device);
        let gradient = gradient * real_steps(&self.lengths, len, &device);
        let mut to_state = zeros();
        let (mut to_x, mut to_h, mut previous_states) = (Vec::new(), Vec::new(), Vec::new());
        for step in (0..len).rev() {
            let previous = match step {
                0 => zeros(),
                _ => gate(&at_step(&saved, step - 1), 4, hidden),
            };
            let [by_x, by_h, kept] = step_gradients(
                to_state + at_step(&gradient, step),
                &at_step(&saved, step),
                &previous,
            );
            to_state = kept + by_h.clone().matmul(of_state.clone().transpose());
            to_x.push(by_x);
            to_h.push(by_h);
            previous_states.push(previous);
        }
        // All steps as rows, in the order of time.
        let rows = |mut steps: Vec<Tensor<B, 2>>, width: usize| {
            steps.reverse();
            Tensor::stack::<3>(steps, 1).reshape([batch * len, width])
        };
        let (to_x, to_h) = (rows(to_x, 3 * hidden), rows(to_h, 3 * hidden));
        let previous_states = rows(previous_states, hidden);
        let values = values.reshape([batch * len, inputs]);
        let to_values = to_x.clone().matmul(of_input.transpose());
        vec![
            primitive(to_values.reshape([batch, len, inputs])),
            primitive(values.transpose().matmul(to_x.clone())),
            primitive(previous_states.transpose().matmul(to_h.clone())),
            primitive(to_x.sum_dim(0)),
            primitive(to_h.sum_dim(0)),
        ]
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (operands, gates): Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let shapes = operands.each_ref().map(|operand| operand.shape());
        let (gradient, gates) = (B::floats(gradient), B::floats(gates));
        let by = self.on_slices::<B, _>(operands, |values, shape, weights| {
            backward(&gradient, values, shape, weights, &gates)
        });
        let by = by.into_iter().zip(shapes);
        by.map(|(values, shape)| from_values::<B>(values, shape))
            .collect()
    }
}

impl FusedGru {
    /// Calls a kernel on the operands.
    fn on_slices<B: Backend, R>(
        &self,
        operands: [FloatTensor<B>; 5],
        kernel: impl FnOnce(&[f32], GruShape<'_>, GruWeights<'_>) -> R,
    ) -> R {
        let [_, len, inputs] = operands[0].shape().dims();
        let [hidden, _] = operands[2].shape().dims();
        let [values, input, state, input_bias, state_bias] = operands.map(B::floats);
        let shape = GruShape {
            inputs,
            hidden,
            len,
            lengths: &self.lengths,
        };
        let weights = GruWeights {
            input: &input,
            hidden: &state,
            input_bias: &input_bias,
            hidden_bias: &state_bias,
        };
        kernel(&values, shape, weights)
    }
}

/// The gradients of a step with these `gates` and its `previous` state, by that of its state: by
/// the products with the input and with the state, `[batch, 3 * hidden]` each, and by the previous
/// state where it is kept, `[batch, hidden]`.
fn step_gradients<B: BurnBackend>(
    to_state: Tensor<B, 2>,
    gates: &Tensor<B, 2>,
    previous: &Tensor<B, 2>,
) -> [Tensor<B, 2>; 3] {
    let [_, hidden] = to_state.dims();
    let [r, z, n, h_n] = [0, 1, 2, 3].map(|number| gate(gates, number, hidden));
    let one_minus = |values: &Tensor<B, 2>| values.clone().neg().add_scalar(1.0);
    let to_n = to_state.clone() * one_minus(&z) * one_minus(&n.clone().square());
    let to_r = to_n.clone() * h_n * r.clone() * one_minus(&r);
    let to_z = to_state.clone() * (previous.clone() - n) * z.clone() * one_minus(&z);
    let to_h = Tensor::cat(vec![to_r.clone(), to_z.clone(), to_n.clone() * r], 1);
    let to_x = Tensor::cat(vec![to_r, to_z, to_n], 1);
    [to_x, to_h, to_state * z]
}

/// Columns of gate `number` out of `[rows, gates * hidden]`.
fn gate<B: BurnBackend>(gates: &Tensor<B, 2>, number: usize, hidden: usize) -> Tensor<B, 2> {
    gates.clone().narrow(1, number * hidden, hidden)
}

/// Step `step` of `[batch, len, width]`.
fn at_step<B: BurnBackend>(values: &Tensor<B, 3>, step: usize) -> Tensor<B, 2> {
    values.clone().narrow(1, step, 1).squeeze_dim(1)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use proptest::prelude::*;

    use super::super::agreement::{Numbers, assert_agreement, floats};
    use super::*;

    fn case() -> impl Strategy<Value = (Vec<usize>, usize, usize, usize, Vec<f32>)> {
        (
            prop_oneof![1..5usize, 31..36usize],
            1..6usize,
            1..20usize,
            1..20usize,
        )
            .prop_flat_map(|(batch, len, inputs, hidden)| {
                let gates = 3 * hidden;
                let values = batch * len * (inputs + hidden) + (inputs + hidden + 2) * gates;
                let lengths = proptest::collection::vec(1..=len, batch);
                let numbers = floats(values, 1.0);
                (lengths, Just(len), Just(inputs), Just(hidden), numbers)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn kernels_and_tensors_agree((lengths, len, inputs, hidden, numbers) in case()) {
            let (batch, gates) = (lengths.len(), 3 * hidden);
            let mut numbers = Numbers::new(numbers);
            let weights = [
                numbers.tensor([inputs, gates]),
                numbers.tensor([hidden, gates]),
                numbers.tensor([1, gates]),
                numbers.tensor([1, gates]),
            ];
            let values = numbers.tensor([batch, len, inputs]);
            let gradient = numbers.tensor([batch, len, hidden]);
            let [of_input, of_state, input_bias, state_bias] = weights;
            let operands = [values, of_input, of_state, input_bias, state_bias];
            assert_agreement(&FusedGru { lengths }, operands, gradient, [1e-5, 1e-4]);
        }
    }
}
