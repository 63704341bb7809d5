//! The fused operations on tensors.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorPrimitive};

use super::{
    Activation, AttentionBiases, AttentionInput, AttentionScoring, Backend, GruWeights,
    LayerNormInput, LinearInput, SoftmaxInput,
};

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

/// What each token of some sequences gathers, `[tokens, dim]`, from itself and the tokens before it:
/// `projected` `[tokens, 3 * dim]` has queries, keys and values side by side, each divided among
/// `heads`, of sequences that lie one after another. Weights are dropped by a seed and a
/// probability, where they are given.
///
/// On CPU backends this never makes the weights of more than a few tokens.
///
/// # Panics
/// When the shapes don't fit each other or a sequence is empty.
pub fn causal_attention<B: Backend>(
    projected: Tensor<B, 2>,
    lengths: &Arc<[usize]>,
    heads: usize,
    dropout: Option<(u64, f64)>,
) -> Tensor<B, 2> {
    let dropout = dropout.filter(|&(_, probability)| probability > 0.0);
    attention(
        projected,
        lengths,
        heads,
        AttentionScoring::Softmax { dropout },
    )
}

/// Causal self-attention whose weights are `silu(product + biases) / divisor`, not normalized, as HSTU
/// has it; else as [`causal_attention`].
///
/// # Panics
/// As [`causal_attention`], and when there are fewer biases of positions than tokens in a sequence,
/// or not one class for each pair of tokens.
pub fn silu_attention<B: Backend>(
    projected: Tensor<B, 2>,
    lengths: &Arc<[usize]>,
    heads: usize,
    biases: AttentionBiases<Tensor<B, 2>>,
) -> Tensor<B, 2> {
    let [positions, times] = [biases.positions.dims(), biases.times.dims()];
    let longest = lengths.iter().max().copied().unwrap_or(0);
    let pairs: usize = lengths.iter().map(|len| len * (len + 1) / 2).sum();
    assert!(
        positions[1] == 1 && times[1] == 1 && longest <= positions[0],
        "a bias for each distance"
    );
    assert_eq!(biases.classes.len(), pairs, "one class for each pair");
    let most = biases.classes.iter().max();
    assert!(
        most.is_none_or(|&class| usize::from(class) < times[0]),
        "a bias for each class"
    );
    let biases = AttentionBiases {
        divisor: biases.divisor,
        positions: biases.positions.into_primitive().tensor(),
        times: biases.times.into_primitive().tensor(),
        classes: biases.classes,
    };
    attention(projected, lengths, heads, AttentionScoring::Silu(biases))
}

fn attention<B: Backend>(
    projected: Tensor<B, 2>,
    lengths: &Arc<[usize]>,
    heads: usize,
    scoring: AttentionScoring<burn::tensor::ops::FloatTensor<B>>,
) -> Tensor<B, 2> {
    let [tokens, width] = projected.dims();
    assert_eq!(
        width % (3 * heads),
        0,
        "three parts, divided among the heads"
    );
    assert!(lengths.iter().all(|&len| len > 0), "no sequence is empty");
    let all: usize = lengths.iter().sum();
    assert_eq!(tokens, all, "sequences have all tokens");
    let output = B::packed_attention(AttentionInput {
        projected: projected.into_primitive().tensor(),
        lengths: lengths.clone(),
        heads,
        scoring,
    });
    Tensor::from_primitive(TensorPrimitive::Float(output.gathered))
}

/// Each token's `values` `[tokens, dim]` mixed with those of earlier tokens of its sequence,
/// `[tokens, dim]`: the sum of `taps[distance]` times them. Sequences of these `lengths` lie one after
/// another.
///
/// # Panics
/// When there are not as many tokens as the lengths say, or a sequence is longer than there are taps.
pub fn causal_convolution<B: Backend>(
    values: Tensor<B, 2>,
    lengths: &Arc<[usize]>,
    taps: &Arc<[f32]>,
) -> Tensor<B, 2> {
    let tokens: usize = lengths.iter().sum();
    assert_eq!(values.dims()[0], tokens, "one row for each token");
    let longest = lengths.iter().max().copied().unwrap_or(0);
    assert!(longest <= taps.len(), "a tap for each distance");
    let mixed = B::causal_convolution(values.into_primitive().tensor(), lengths, taps, false);
    Tensor::from_primitive(TensorPrimitive::Float(mixed))
}

/// The mean cross-entropy `[1]` of a softmax over items 1 and up of `items` `[items + 1, dim]`,
/// for `users` `[rows, dim]` and their `targets` `[rows]`.
///
/// `log_correction` `[items + 1]`, where given, is subtracted from each item's logit. On CPU
/// backends this never makes the `[rows, items]` matrix. Negative targets or ones above `items` give a
/// wrong result or a panic, and a row whose target is 0 has none; those of a [`Batcher`](crate::data::Batcher) are neither.
///
/// # Panics
/// When the shapes don't fit each other.
pub fn softmax_cross_entropy<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
    log_correction: Option<Tensor<B, 1>>,
) -> Tensor<B, 1> {
    softmax_over_items(users, items, targets, log_correction, 1)
}

/// The mean `[1]` over users of `ln Σ e^logit`, the sum being over items 1 and up of `items`
/// `[items + 1, dim]` and over all vectors that a user has: `group` rows of `users` `[rows, dim]`, one
/// after another.
///
/// # Panics
/// When the shapes don't fit each other.
pub fn log_normalizer<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    group: usize,
) -> Tensor<B, 1> {
    let [rows, _] = users.dims();
    assert!(
        rows.checked_rem(group) == Some(0),
        "as many vectors for each user"
    );
    let none = Tensor::zeros([rows], &users.device());
    softmax_over_items(users, items, none, None, group)
}

fn softmax_over_items<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
    log_correction: Option<Tensor<B, 1>>,
    group: usize,
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
    let loss = B::softmax_cross_entropy(SoftmaxInput {
        users: users.into_primitive().tensor(),
        items: items.into_primitive().tensor(),
        log_correction: log_correction.map(|correction| correction.into_primitive().tensor()),
        targets: targets.into_primitive(),
        group,
    });
    Tensor::from_primitive(TensorPrimitive::Float(loss))
}

/// The rows of `table` `[rows, dim]` that `indices` `[n]` name, `[n, dim]`: an embedding lookup. They
/// are of single precision, and so are their gradients, whatever the table is.
///
/// Its backward pass adds to the table's gradient in place, so a table that is also an operand of
/// [`softmax_cross_entropy`] has one gradient, not two.
pub fn select_rows<B: Backend>(table: Tensor<B, 2>, indices: Tensor<B, 1, Int>) -> Tensor<B, 2> {
    let table = table.into_primitive().tensor();
    let rows = B::select_rows(table, indices.into_primitive());
    Tensor::from_primitive(TensorPrimitive::Float(rows))
}

/// `table` `[rows, dim]` with each row of `values` `[n, dim]` added to the row that `indices` `[n]`
/// names; a row that is named several times gets them all.
pub fn add_to_rows<B: Backend>(
    table: Tensor<B, 2>,
    indices: Tensor<B, 1, Int>,
    values: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let [table, values] = [table, values].map(|tensor| tensor.into_primitive().tensor());
    let sum = B::add_to_rows(table, indices.into_primitive(), values);
    Tensor::from_primitive(TensorPrimitive::Float(sum))
}

/// `table` `[rows, dim]` with the rows that `indices` `[n]` name, each once, replaced by `values`
/// `[n, dim]`.
///
/// Where the table is of half precision, values are rounded by chance (stochastic rounding): to one of
/// the two neighbors there, the nearer one the more often, so that a step that is too small to show is
/// not lost over many. The seed decides.
pub fn replace_rows<B: Backend>(
    table: Tensor<B, 2>,
    indices: Tensor<B, 1, Int>,
    values: Tensor<B, 2>,
    seed: u64,
) -> Tensor<B, 2> {
    let [table, values] = [table, values].map(|tensor| tensor.into_primitive().tensor());
    let table = B::replace_rows(table, indices.into_primitive(), values, seed);
    Tensor::from_primitive(TensorPrimitive::Float(table))
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
    let values = values.into_primitive().tensor();
    let dropped = B::drop_values(values, probability, seed);
    Tensor::from_primitive(TensorPrimitive::Float(dropped))
}

/// A linear layer and what follows it, `[rows, outputs]`: `activation(values · weight + bias)` of
/// `values` `[rows, inputs]`, `weight` `[inputs, outputs]` and `bias` `[outputs]`.
///
/// # Panics
/// When the shapes don't fit each other.
pub fn linear<B: Backend>(
    values: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Tensor<B, 1>,
    activation: Activation,
) -> Tensor<B, 2> {
    let [inputs, outputs] = weight.dims();
    assert_eq!(values.dims()[1], inputs, "a weight for each input");
    assert_eq!(bias.dims(), [outputs], "a bias for each output");
    let output = B::linear_layer(LinearInput {
        values: values.into_primitive().tensor(),
        weight: weight.into_primitive().tensor(),
        bias: bias.into_primitive().tensor(),
        activation,
    });
    Tensor::from_primitive(TensorPrimitive::Float(output.outputs))
}

/// Each row of `values` `[rows, dim]` with mean 0 and variance 1, times `gamma` plus `beta` `[dim]`.
///
/// # Panics
/// When the shapes don't fit each other.
pub fn layer_norm<B: Backend>(
    values: Tensor<B, 2>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    let [_, dim] = values.dims();
    assert_eq!(
        [gamma.dims(), beta.dims()],
        [[dim]; 2],
        "one for each column"
    );
    let normal = B::normalize_rows(LayerNormInput {
        values: values.into_primitive().tensor(),
        gamma: gamma.into_primitive().tensor(),
        beta: beta.into_primitive().tensor(),
        epsilon,
    });
    Tensor::from_primitive(TensorPrimitive::Float(normal))
}
