//! A GRU layer over padded sequences.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use burn::tensor::backend::Backend as BurnBackend;

use super::weights::Weights;
use crate::backend::{self, Backend};

/// One layer of gated recurrent units, with the reset gate applied after the hidden product, as
/// in cuDNN and PyTorch.
///
/// Cho et al., [Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
/// Translation](https://arxiv.org/abs/1406.1078). Gates lie in the order reset, update, new.
#[derive(Module, Debug)]
pub struct GruLayer<B: BurnBackend> {
    /// `[inputs, 3 * hidden]`.
    pub weight_input: Param<Tensor<B, 2>>,
    /// `[hidden, 3 * hidden]`.
    pub weight_hidden: Param<Tensor<B, 2>>,
    /// `[1, 3 * hidden]`.
    pub bias_input: Param<Tensor<B, 2>>,
    /// `[1, 3 * hidden]`.
    pub bias_hidden: Param<Tensor<B, 2>>,
}

impl<B: BurnBackend> GruLayer<B> {
    /// A layer whose weights are uniform within `±1 / sqrt(hidden)`.
    pub fn new(inputs: usize, hidden: usize, weights: &mut Weights<'_, B>) -> Self {
        let bound = 1.0 / (hidden as f32).sqrt();
        let mut uniform = |rows| weights.uniform(rows, 3 * hidden, bound);
        Self {
            weight_input: uniform(inputs),
            weight_hidden: uniform(hidden),
            bias_input: uniform(1),
            bias_hidden: uniform(1),
        }
    }

    /// The same layer on inputs `[batch, len, 3 * hidden]` that are products with its input weights
    /// already, as one row of them is for an input that is one of many.
    pub fn on_products(hidden: usize, weights: &mut Weights<'_, B>) -> Self {
        let gates = 3 * hidden;
        let mut identity = vec![0.0; gates * gates];
        identity
            .iter_mut()
            .step_by(gates + 1)
            .for_each(|value| *value = 1.0);
        Self {
            weight_input: weights
                .param(identity, [gates, gates])
                .set_require_grad(false),
            ..Self::new(1, hidden, weights)
        }
    }

    /// One step from a state: `values` `[batch, inputs]` and `hidden` `[batch, hidden]` give the
    /// next state `[batch, hidden]`.
    pub fn step(&self, values: Tensor<B, 2>, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        let size = hidden.dims()[1];
        let input = values.matmul(self.weight_input.val()) + self.bias_input.val();
        let state = hidden.clone().matmul(self.weight_hidden.val()) + self.bias_hidden.val();
        let gate = |of: &Tensor<B, 2>, number| of.clone().narrow(1, number * size, size);
        let reset = sigmoid(gate(&input, 0) + gate(&state, 0));
        let update = sigmoid(gate(&input, 1) + gate(&state, 1));
        let new = (gate(&input, 2) + reset * gate(&state, 2)).tanh();
        new.clone() + update * (hidden - new)
    }
}

impl<B: Backend> GruLayer<B> {
    /// The hidden states `[batch, len, hidden]` of `values` `[batch, len, inputs]`, of which the
    /// first `lengths[row]` steps are real; 0 at padding.
    pub fn forward(&self, values: Tensor<B, 3>, lengths: &[usize]) -> Tensor<B, 3> {
        let weights = [
            self.weight_input.val(),
            self.weight_hidden.val(),
            self.bias_input.val(),
            self.bias_hidden.val(),
        ];
        backend::gru(values, lengths, weights)
    }
}
