//! Routing between capsules.

use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Bool, Tensor};

use crate::backend::Backend;

/// Scales vectors to lengths below 1, long ones to nearly 1 (Sabour et al.,
/// [2017](https://arxiv.org/abs/1710.09829)).
fn squash<B: BurnBackend>(vectors: Tensor<B, 3>) -> Tensor<B, 3> {
    let squares = vectors.clone().square().sum_dim(2);
    let length = squares.clone().add_scalar(1e-9).sqrt();
    vectors * (squares.clone() / (squares.add_scalar(1.0) * length))
}

/// Interests `[batch, interests, dim]` out of what each item says for each of them,
/// `[batch, interests, len, dim]`, by agreement: an item goes on to those that it is near to.
pub(super) fn route<B: Backend>(
    votes: Tensor<B, 4>,
    logits: Tensor<B, 3>,
    padding: Tensor<B, 3, Bool>,
    iterations: usize,
) -> Tensor<B, 3> {
    let [batch, interests, len, dim] = votes.dims();
    let padding = padding.expand([batch, interests, len]);
    let gather = |votes: Tensor<B, 4>, logits: Tensor<B, 3>| {
        let weights = softmax(logits, 1).mask_fill(padding.clone(), 0.0);
        let sums = weights.unsqueeze_dim::<4>(2).matmul(votes);
        squash(sums.reshape([batch, interests, dim]))
    };
    // Only the last assignment is learned from, as in the reference implementations.
    let fixed = votes.clone().detach();
    let mut logits = logits;
    for _ in 1..iterations {
        let interest = gather(fixed.clone(), logits.clone());
        let agreement = fixed.clone().matmul(interest.unsqueeze_dim::<4>(3));
        logits = logits + agreement.reshape([batch, interests, len]);
    }
    gather(votes, logits)
}
