//! A GRU layer over padded sequences.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Tensor, TensorData};
use rand::Rng;

use crate::backend::{self, Backend, GruWeights};

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
    pub fn new(inputs: usize, hidden: usize, random: &mut impl Rng, device: &B::Device) -> Self {
        let bound = 1.0 / (hidden as f32).sqrt();
        let mut uniform = |rows: usize| {
            let values: Vec<f32> = (0..rows * 3 * hidden)
                .map(|_| random.random_range(-bound..bound))
                .collect();
            let data = TensorData::new(values, [rows, 3 * hidden]);
            Param::from_tensor(Tensor::from_data(data, device))
        };
        Self {
            weight_input: uniform(inputs),
            weight_hidden: uniform(hidden),
            bias_input: uniform(1),
            bias_hidden: uniform(1),
        }
    }
}

impl<B: Backend> GruLayer<B> {
    /// The hidden states `[batch, len, hidden]` of `values` `[batch, len, inputs]`, of which the
    /// first `lengths[row]` steps are real; 0 at padding.
    pub fn forward(&self, values: Tensor<B, 3>, lengths: &[usize]) -> Tensor<B, 3> {
        let weights = GruWeights {
            input: self.weight_input.val(),
            hidden: self.weight_hidden.val(),
            input_bias: self.bias_input.val(),
            hidden_bias: self.bias_hidden.val(),
        };
        backend::gru(values, lengths, weights)
    }
}
