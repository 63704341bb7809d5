//! Layers of [`Weights`](super::Weights), applied.

use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;

use crate::backend::{self, Activation, Backend};

/// The addend of variances in [`Weights::layer_norm`](super::Weights::layer_norm), burn's and
/// PyTorch's.
const EPSILON: f64 = 1e-5;

/// A linear layer of `values` `[rows, inputs]` and what follows it, `[rows, outputs]`, in one pass.
pub fn linear<B: Backend>(
    layer: &Linear<B>,
    values: Tensor<B, 2>,
    activation: Activation,
) -> Tensor<B, 2> {
    let weight = layer.weight.val();
    let bias = match &layer.bias {
        Some(bias) => bias.val(),
        None => Tensor::zeros([weight.dims()[1]], &values.device()),
    };
    backend::linear(values, weight, bias, activation)
}

/// Layer normalization of `values` `[rows, dim]`, by a layer of
/// [`Weights::layer_norm`](super::Weights::layer_norm).
pub fn layer_norm<B: Backend>(layer: &LayerNorm<B>, values: Tensor<B, 2>) -> Tensor<B, 2> {
    let gamma = layer.gamma.val();
    let beta = match &layer.beta {
        Some(beta) => beta.val(),
        None => gamma.zeros_like(),
    };
    backend::layer_norm(values, gamma, beta, EPSILON)
}
