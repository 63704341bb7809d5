//! The fused operations on tensors.

use burn::tensor::{Int, Tensor, TensorData, TensorPrimitive};

use super::{Backend, GruWeights, SoftmaxInput};
use crate::kernels;

/// One GRU layer over `values` `[batch, len, inputs]`, of which the first `lengths[row]` steps of
/// each row are real; gives the hidden states `[batch, len, hidden]`, 0 at padding.
///
/// # Panics
/// When the shapes don't fit each other or a length is above `len`.
pub fn gru<B: Backend>(
    values: Tensor<B, 3>,
    lengths: &[usize],
    weights: GruWeights<Tensor<B, 2>>,
) -> Tensor<B, 3> {
    let [batch, len, inputs] = values.dims();
    let [hidden, gates] = weights.hidden.dims();
    assert_eq!(lengths.len(), batch, "one length for each row");
    assert!(
        lengths.iter().all(|&length| length <= len),
        "lengths are within {len}"
    );
    assert_eq!(gates, 3 * hidden, "three gates");
    assert_eq!(weights.input.dims(), [inputs, gates]);
    assert_eq!(weights.input_bias.dims(), [1, gates]);
    assert_eq!(weights.hidden_bias.dims(), [1, gates]);
    let weights = GruWeights {
        input: weights.input.into_primitive().tensor(),
        hidden: weights.hidden.into_primitive().tensor(),
        input_bias: weights.input_bias.into_primitive().tensor(),
        hidden_bias: weights.hidden_bias.into_primitive().tensor(),
    };
    let output = B::gru(values.into_primitive().tensor(), lengths, weights);
    Tensor::from_primitive(TensorPrimitive::Float(output.states))
}

/// The mean cross-entropy `[1]` of a softmax over items 1 and up of `items` `[items + 1, dim]`,
/// for `users` `[rows, dim]` and their `targets` `[rows]`.
///
/// `log_correction` `[items + 1]`, where given, is subtracted from each item's logit. On CPU
/// backends this never makes the `[rows, items]` matrix. Targets of 0 or above `items` give a
/// wrong result or a panic; those of a [`Batcher`](crate::data::Batcher) are neither.
///
/// # Panics
/// When the shapes don't fit each other.
pub fn softmax_cross_entropy<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
    log_correction: Option<Tensor<B, 1>>,
) -> Tensor<B, 1> {
    let [rows, dim] = users.dims();
    let [items_and_padding, item_dim] = items.dims();
    assert_eq!(dim, item_dim, "users and items have one dimension");
    assert_eq!(targets.dims(), [rows], "one target for each row");
    if let Some(correction) = &log_correction {
        assert_eq!(
            correction.dims(),
            [items_and_padding],
            "one correction for each item"
        );
    }
    let output = B::softmax_cross_entropy(SoftmaxInput {
        users: users.into_primitive().tensor(),
        items: items.into_primitive().tensor(),
        log_correction: log_correction.map(|correction| correction.into_primitive().tensor()),
        targets: targets.into_primitive(),
    });
    Tensor::from_primitive(TensorPrimitive::Float(output.loss))
}

/// The rows of `table` `[rows, dim]` that `indices` `[n]` name, `[n, dim]`: an embedding lookup.
///
/// Its backward pass adds to the table's gradient in place, so a table that is also an operand of
/// [`softmax_cross_entropy`] has one gradient, not two.
pub fn select_rows<B: Backend>(table: Tensor<B, 2>, indices: Tensor<B, 1, Int>) -> Tensor<B, 2> {
    let table = table.into_primitive().tensor();
    let rows = B::select_rows(table, indices.into_primitive());
    Tensor::from_primitive(TensorPrimitive::Float(rows))
}

/// Inverted dropout: sets a share `probability` of the values to 0 and scales the rest up, so
/// that the mean stays (Srivastava et al. 2014).
///
/// The mask depends on the seed and the values' places alone: it is the same on every backend,
/// and training that is resumed draws what it would have drawn.
pub fn dropout<B: Backend, const D: usize>(
    values: Tensor<B, D>,
    probability: f64,
    seed: u64,
) -> Tensor<B, D> {
    if probability == 0.0 {
        return values;
    }
    let shape = values.shape();
    let mut mask = vec![0.0; shape.num_elements()];
    kernels::dropout::mask(seed, probability, &mut mask);
    let mask = Tensor::from_data(TensorData::new(mask, shape), &values.device());
    values * mask
}
