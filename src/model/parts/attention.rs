//! Self-attention over what came before.

use burn::tensor::Tensor;

use super::dropout::Dropout;
use super::packing::Packing;
use crate::backend::{self, Backend};

/// Causal attention of each item to itself and the items before it, `[tokens, dim]`: `projected`
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
    let dropout = dropout.draw().map(|seed| (seed, probability));
    backend::causal_attention(projected, packing.lengths(), heads, dropout)
}
