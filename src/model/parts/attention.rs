//! Self-attention over what came before.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::dropout::Dropout;
use super::packing::Packing;
use crate::backend::Backend;

/// What each item gathers, `[tokens, dim]`, from itself and the items before it: `projected`
/// `[tokens, 3 * dim]` holds queries, keys and values side by side, each divided among `heads`. A
/// share of the weights is dropped in training.
///
/// Vaswani et al., [Attention Is All You Need](https://arxiv.org/abs/1706.03762).
pub fn causal_attention<B: Backend>(
    projected: Tensor<B, 2>,
    heads: usize,
    packing: &Packing<B>,
    dropout: &mut Dropout,
    probability: f64,
) -> Tensor<B, 2> {
    let dim = projected.dims()[1] / 3;
    let part = |number| packing.heads(projected.clone().narrow(1, number * dim, dim), heads);
    let scale = ((dim / heads) as f64).sqrt();
    let scores = part(0).matmul(part(1).swap_dims(2, 3)).div_scalar(scale);
    let weights = softmax(scores.mask_fill(packing.future(), f32::NEG_INFINITY), 3);
    let weights = dropout.apply(weights, probability);
    packing.join(weights.matmul(part(2)))
}
