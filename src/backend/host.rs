//! The fused operations by kernels, for backends whose tensors lie in this process's memory.

use std::ops::{Deref, DerefMut};

use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, TensorMetadata};

use super::{
    Activation, AdamState, AdamStep, AttentionBiases, AttentionGradients, AttentionInput,
    AttentionOutput, AttentionScoring, Backend, GruGradients, GruOutput, GruWeights,
    LayerNormInput, LinearInput, LinearOutput, SoftmaxGradients, SoftmaxInput, default_ops,
};
use crate::kernels::{
    self,
    adam::AdamNumbers,
    attention::{Attention, Biases, Scoring},
    gru::GruShape,
    linear::Linear,
    softmax::Softmax,
};

/// A backend whose tensors can be read and written as slices.
pub(super) trait HostBackend: Backend {
    /// A tensor's values in row-major order.
    fn floats(tensor: FloatTensor<Self>) -> impl Deref<Target = [f32]>;
    /// The same, to be changed in place where nobody else holds them and in a copy where someone
    /// does, and to be turned into a tensor again.
    fn floats_mut(tensor: FloatTensor<Self>) -> impl DerefMut<Target = [f32]> + OwnedTensor<Self>;
    /// An integer tensor's values in row-major order.
    fn integers(tensor: IntTensor<Self>) -> Vec<i32>;
    /// A tensor of these values.
    fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Self>;
}

/// Values that are a tensor again when they have been changed.
pub(super) trait OwnedTensor<B: Backend> {
    fn into_tensor(self) -> FloatTensor<B>;
}

pub(super) fn gru<B: HostBackend>(
    values: FloatTensor<B>,
    lengths: &[usize],
    weights: GruWeights<FloatTensor<B>>,
) -> GruOutput<FloatTensor<B>> {
    let [batch, len, inputs] = values.shape().dims();
    let [hidden, _] = weights.hidden.shape().dims();
    let shape = GruShape {
        inputs,
        hidden,
        len,
        lengths,
    };
    let (states, saved) = kernels::gru::forward(
        &B::floats(values),
        shape,
        kernels::gru::GruWeights {
            input: &B::floats(weights.input),
            hidden: &B::floats(weights.hidden),
            input_bias: &B::floats(weights.input_bias),
            hidden_bias: &B::floats(weights.hidden_bias),
        },
    );
    let saved_len = saved.len();
    GruOutput {
        states: B::tensor(states, [batch, len, hidden]),
        saved: B::tensor(saved, [saved_len]),
    }
}

pub(super) fn gru_backward<B: HostBackend>(
    gradient: FloatTensor<B>,
    values: FloatTensor<B>,
    lengths: &[usize],
    weights: GruWeights<FloatTensor<B>>,
    saved: FloatTensor<B>,
) -> GruGradients<FloatTensor<B>> {
    let [batch, len, inputs] = values.shape().dims();
    let [hidden, gates] = weights.hidden.shape().dims();
    let shape = GruShape {
        inputs,
        hidden,
        len,
        lengths,
    };
    let gradients = kernels::gru::backward(
        &B::floats(gradient),
        &B::floats(values),
        shape,
        kernels::gru::GruWeights {
            input: &B::floats(weights.input),
            hidden: &B::floats(weights.hidden),
            input_bias: &B::floats(weights.input_bias),
            hidden_bias: &B::floats(weights.hidden_bias),
        },
        &B::floats(saved),
    );
    GruGradients {
        values: B::tensor(gradients.values, [batch, len, inputs]),
        weights: GruWeights {
            input: B::tensor(gradients.input, [inputs, gates]),
            hidden: B::tensor(gradients.hidden, [hidden, gates]),
            input_bias: B::tensor(gradients.input_bias, [1, gates]),
            hidden_bias: B::tensor(gradients.hidden_bias, [1, gates]),
        },
    }
}

/// Calls `with` with the input as slices.
fn with_attention<B: HostBackend, R>(
    input: AttentionInput<FloatTensor<B>>,
    with: impl FnOnce(Attention<'_>) -> R,
) -> R {
    let [_, width] = input.projected.shape().dims();
    let projected = B::floats(input.projected);
    let with_scoring = |scoring: Scoring<'_>| {
        with(Attention {
            projected: &projected,
            dim: width / 3,
            heads: input.heads,
            lengths: &input.lengths,
            scoring,
        })
    };
    match input.scoring {
        AttentionScoring::Softmax { dropout } => with_scoring(Scoring::Softmax {
            dropout,
            padded_len: input.lengths.iter().max().copied().unwrap_or(0),
        }),
        AttentionScoring::Silu(AttentionBiases {
            divisor,
            positions,
            times,
            classes,
        }) => with_scoring(Scoring::Silu(Biases {
            divisor: divisor as f32,
            positions: &B::floats(positions),
            times: &B::floats(times),
            classes: &classes,
        })),
    }
}

pub(super) fn attention<B: HostBackend>(
    input: AttentionInput<FloatTensor<B>>,
) -> AttentionOutput<FloatTensor<B>> {
    let [tokens, width] = input.projected.shape().dims();
    let heads = input.heads;
    let (gathered, normalizers) = with_attention::<B, _>(input, |attention| attention.forward());
    AttentionOutput {
        gathered: B::tensor(gathered, [tokens, width / 3]),
        saved: B::tensor(normalizers, [tokens, heads]),
    }
}

pub(super) fn attention_backward<B: HostBackend>(
    gradient: FloatTensor<B>,
    input: AttentionInput<FloatTensor<B>>,
    saved: FloatTensor<B>,
) -> AttentionGradients<FloatTensor<B>> {
    let shape: [usize; 2] = input.projected.shape().dims();
    let has_biases = matches!(input.scoring, AttentionScoring::Silu(_));
    let (gradient, saved) = (B::floats(gradient), B::floats(saved));
    let by = with_attention::<B, _>(input, |attention| attention.backward(&gradient, &saved));
    let column = |values: Vec<f32>| {
        let rows = values.len();
        B::tensor(values, [rows, 1])
    };
    AttentionGradients {
        projected: B::tensor(by.projected, shape),
        biases: has_biases.then(|| [column(by.positions), column(by.times)]),
    }
}

/// Calls `with` with the input as slices.
fn with_softmax<B: HostBackend, R>(
    input: SoftmaxInput<FloatTensor<B>, IntTensor<B>>,
    with: impl FnOnce(Softmax<'_>) -> R,
) -> R {
    let [_, dim] = input.users.shape().dims();
    let log_correction = input.log_correction.map(B::floats);
    with(Softmax {
        users: &B::floats(input.users),
        items: &B::floats(input.items),
        log_correction: log_correction.as_deref(),
        dim,
        first_item: 1,
        targets: &B::integers(input.targets),
        group: input.group,
    })
}

pub(super) fn softmax_cross_entropy<B: HostBackend>(
    input: SoftmaxInput<FloatTensor<B>, IntTensor<B>>,
) -> FloatTensor<B> {
    B::tensor(
        vec![with_softmax::<B, _>(input, |softmax| softmax.loss())],
        [1],
    )
}

pub(super) fn softmax_cross_entropy_gradients<B: HostBackend>(
    input: SoftmaxInput<FloatTensor<B>, IntTensor<B>>,
) -> SoftmaxGradients<FloatTensor<B>> {
    let user_shape: [usize; 2] = input.users.shape().dims();
    let item_shape: [usize; 2] = input.items.shape().dims();
    let gradients = with_softmax::<B, _>(input, |softmax| softmax.gradients());
    SoftmaxGradients {
        loss: B::tensor(vec![gradients.loss], [1]),
        users: B::tensor(gradients.users, user_shape),
        items: B::tensor(gradients.items, item_shape),
    }
}

pub(super) fn softmax_cross_entropy_backward<B: HostBackend>(
    gradient: FloatTensor<B>,
    of_loss: SoftmaxGradients<FloatTensor<B>>,
) -> [FloatTensor<B>; 2] {
    let gradient = B::floats(gradient)[0];
    let of_loss = [of_loss.users, of_loss.items];
    // As it is where the loss is what gradients are taken of.
    if gradient == 1.0 {
        return of_loss;
    }
    of_loss.map(|of_loss| B::float_mul_scalar(of_loss, gradient.into()))
}

/// Calls `with` with a layer and its values as slices.
fn with_linear<B: HostBackend, R>(
    input: LinearInput<FloatTensor<B>>,
    with: impl FnOnce(Linear<'_>, &[f32]) -> R,
) -> R {
    let [inputs, _] = input.weight.shape().dims();
    let linear = Linear {
        weight: &B::floats(input.weight),
        bias: &B::floats(input.bias),
        inputs,
        activation: input.activation,
    };
    with(linear, &B::floats(input.values))
}

pub(super) fn linear<B: HostBackend>(
    input: LinearInput<FloatTensor<B>>,
) -> LinearOutput<FloatTensor<B>> {
    let [rows, _] = input.values.shape().dims();
    let [_, outputs] = input.weight.shape().dims();
    let activation = input.activation;
    let (values, before) = with_linear::<B, _>(input, |linear, values| linear.forward(values));
    let values = B::tensor(values, [rows, outputs]);
    LinearOutput {
        saved: match activation {
            Activation::Silu | Activation::Gelu => B::tensor(before, [rows, outputs]),
            Activation::None | Activation::Relu => values.clone(),
        },
        outputs: values,
    }
}

pub(super) fn linear_backward<B: HostBackend>(
    gradient: FloatTensor<B>,
    input: LinearInput<FloatTensor<B>>,
    saved: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let [rows, inputs] = input.values.shape().dims();
    let [_, outputs] = input.weight.shape().dims();
    let (gradient, saved) = (B::floats(gradient), B::floats(saved));
    let by = with_linear::<B, _>(input, |linear, values| {
        linear.backward(&gradient, values, &saved)
    });
    [
        B::tensor(by.values, [rows, inputs]),
        B::tensor(by.weight, [inputs, outputs]),
        B::tensor(by.bias, [outputs]),
    ]
}

pub(super) fn normalize_rows<B: HostBackend>(
    input: LayerNormInput<FloatTensor<B>>,
) -> FloatTensor<B> {
    let shape: [usize; 2] = input.values.shape().dims();
    let values = B::floats(input.values);
    let (gamma, beta) = (B::floats(input.gamma), B::floats(input.beta));
    let normal = kernels::layer_norm::forward(&values, &gamma, &beta, input.epsilon as f32);
    B::tensor(normal, shape)
}

pub(super) fn normalize_rows_backward<B: HostBackend>(
    gradient: FloatTensor<B>,
    input: LayerNormInput<FloatTensor<B>>,
) -> [FloatTensor<B>; 3] {
    let [rows, dim] = input.values.shape().dims();
    let (gradient, values) = (B::floats(gradient), B::floats(input.values));
    let gamma = B::floats(input.gamma);
    let by = kernels::layer_norm::backward(&gradient, &values, &gamma, input.epsilon as f32);
    [
        B::tensor(by.values, [rows, dim]),
        B::tensor(by.gamma, [dim]),
        B::tensor(by.beta, [dim]),
    ]
}

pub(super) fn drop_values<B: HostBackend>(
    values: FloatTensor<B>,
    probability: f64,
    seed: u64,
) -> FloatTensor<B> {
    let shape = values.shape();
    let dropped = kernels::dropout::apply(seed, probability, &B::floats(values));
    let count = dropped.len();
    B::float_reshape(B::tensor(dropped, [count]), shape)
}

pub(super) fn causal_convolution<B: HostBackend>(
    values: FloatTensor<B>,
    lengths: &[usize],
    taps: &[f32],
    transposed: bool,
) -> FloatTensor<B> {
    let shape: [usize; 2] = values.shape().dims();
    let values = B::floats(values);
    let mixed = kernels::convolution::convolve(&values, shape[1], lengths, taps, transposed);
    B::tensor(mixed, shape)
}

/// The row numbers of an index tensor.
///
/// # Panics
/// When one is negative or not below `rows`.
pub(super) fn row_numbers<B: HostBackend>(indices: IntTensor<B>, rows: usize) -> Vec<usize> {
    B::integers(indices)
        .into_iter()
        .map(|index| {
            let row = usize::try_from(index).unwrap_or(rows);
            assert!(row < rows, "row {index} of a table of {rows} rows");
            row
        })
        .collect()
}

pub(super) fn add_to_rows<B: HostBackend>(
    table: FloatTensor<B>,
    indices: IntTensor<B>,
    values: FloatTensor<B>,
) -> FloatTensor<B> {
    let [rows, dim] = table.shape().dims();
    let numbers = row_numbers::<B>(indices, rows);
    let mut table = B::floats_mut(table);
    kernels::rows::add(&mut table, dim, &numbers, &B::floats(values));
    table.into_tensor()
}

pub(super) fn adam_step<B: HostBackend>(
    state: AdamState<FloatTensor<B>>,
    gradient: FloatTensor<B>,
    step: AdamStep,
) -> AdamState<FloatTensor<B>> {
    with_state::<B>(state, |parameter, moment_1, moment_2| {
        let gradient = B::floats(gradient);
        kernels::adam::step(parameter, &gradient, moment_1, moment_2, numbers(step));
    })
}

pub(super) fn adam_step_rows<B: HostBackend>(
    state: AdamState<FloatTensor<B>>,
    indices: IntTensor<B>,
    gradient: FloatTensor<B>,
    step: AdamStep,
) -> AdamState<FloatTensor<B>> {
    if state.parameter.dtype() == DType::F16 {
        return default_ops::adam_step_rows::<B>(state, indices, gradient, step);
    }
    let [rows, dim] = state.parameter.shape().dims();
    let rows = row_numbers::<B>(indices, rows);
    with_state::<B>(state, |parameter, moment_1, moment_2| {
        let gradient = B::floats(gradient);
        let numbers = numbers(step);
        kernels::adam::step_rows(
            parameter, &gradient, moment_1, moment_2, &rows, dim, numbers,
        );
    })
}

/// Calls `change` with a state as slices, in place where nobody else holds them.
fn with_state<B: HostBackend>(
    state: AdamState<FloatTensor<B>>,
    change: impl FnOnce(&mut [f32], &mut [f32], &mut [f32]),
) -> AdamState<FloatTensor<B>> {
    let mut parameter = B::floats_mut(state.parameter);
    let mut moment_1 = B::floats_mut(state.moment_1);
    let mut moment_2 = B::floats_mut(state.moment_2);
    change(&mut parameter, &mut moment_1, &mut moment_2);
    AdamState {
        parameter: parameter.into_tensor(),
        moment_1: moment_1.into_tensor(),
        moment_2: moment_2.into_tensor(),
    }
}

fn numbers(step: AdamStep) -> AdamNumbers {
    let (step_size, moment_2_scale) = step.corrections();
    AdamNumbers {
        moment_1_rate: (1.0 - step.beta_1) as f32,
        moment_2_rate: (1.0 - step.beta_2) as f32,
        epsilon: step.epsilon as f32,
        step_size: step_size as f32,
        moment_2_scale: moment_2_scale as f32,
    }
}

/// The methods of [`Backend`] by kernels, to be used inside its `impl`.
macro_rules! kernel_methods {
    () => {
        fn gru(
            values: FloatTensor<Self>,
            lengths: &[usize],
            weights: GruWeights<FloatTensor<Self>>,
        ) -> GruOutput<FloatTensor<Self>> {
            host::gru::<Self>(values, lengths, weights)
        }

        fn gru_backward(
            gradient: FloatTensor<Self>,
            values: FloatTensor<Self>,
            lengths: &[usize],
            weights: GruWeights<FloatTensor<Self>>,
            saved: FloatTensor<Self>,
        ) -> GruGradients<FloatTensor<Self>> {
            host::gru_backward::<Self>(gradient, values, lengths, weights, saved)
        }

        fn packed_attention(
            input: AttentionInput<FloatTensor<Self>>,
        ) -> AttentionOutput<FloatTensor<Self>> {
            host::attention::<Self>(input)
        }

        fn packed_attention_backward(
            gradient: FloatTensor<Self>,
            input: AttentionInput<FloatTensor<Self>>,
            saved: FloatTensor<Self>,
        ) -> AttentionGradients<FloatTensor<Self>> {
            host::attention_backward::<Self>(gradient, input, saved)
        }

        fn linear_layer(input: LinearInput<FloatTensor<Self>>) -> LinearOutput<FloatTensor<Self>> {
            host::linear::<Self>(input)
        }

        fn linear_layer_backward(
            gradient: FloatTensor<Self>,
            input: LinearInput<FloatTensor<Self>>,
            saved: FloatTensor<Self>,
        ) -> [FloatTensor<Self>; 3] {
            host::linear_backward::<Self>(gradient, input, saved)
        }

        fn normalize_rows(input: LayerNormInput<FloatTensor<Self>>) -> FloatTensor<Self> {
            host::normalize_rows::<Self>(input)
        }

        fn normalize_rows_backward(
            gradient: FloatTensor<Self>,
            input: LayerNormInput<FloatTensor<Self>>,
        ) -> [FloatTensor<Self>; 3] {
            host::normalize_rows_backward::<Self>(gradient, input)
        }

        fn drop_values(
            values: FloatTensor<Self>,
            probability: f64,
            seed: u64,
        ) -> FloatTensor<Self> {
            host::drop_values::<Self>(values, probability, seed)
        }

        fn causal_convolution(
            values: FloatTensor<Self>,
            lengths: &std::sync::Arc<[usize]>,
            taps: &std::sync::Arc<[f32]>,
            transposed: bool,
        ) -> FloatTensor<Self> {
            host::causal_convolution::<Self>(values, lengths, taps, transposed)
        }

        fn softmax_cross_entropy(
            input: SoftmaxInput<FloatTensor<Self>, IntTensor<Self>>,
        ) -> FloatTensor<Self> {
            host::softmax_cross_entropy::<Self>(input)
        }

        fn softmax_cross_entropy_gradients(
            input: SoftmaxInput<FloatTensor<Self>, IntTensor<Self>>,
        ) -> SoftmaxGradients<FloatTensor<Self>> {
            host::softmax_cross_entropy_gradients::<Self>(input)
        }

        fn softmax_cross_entropy_backward(
            gradient: FloatTensor<Self>,
            of_loss: SoftmaxGradients<FloatTensor<Self>>,
        ) -> [FloatTensor<Self>; 2] {
            host::softmax_cross_entropy_backward::<Self>(gradient, of_loss)
        }

        fn adam_step(
            state: AdamState<FloatTensor<Self>>,
            gradient: FloatTensor<Self>,
            step: AdamStep,
        ) -> AdamState<FloatTensor<Self>> {
            host::adam_step::<Self>(state, gradient, step)
        }

        fn adam_step_rows(
            state: AdamState<FloatTensor<Self>>,
            indices: IntTensor<Self>,
            gradient: FloatTensor<Self>,
            step: AdamStep,
        ) -> AdamState<FloatTensor<Self>> {
            host::adam_step_rows::<Self>(state, indices, gradient, step)
        }

        fn add_to_rows(
            table: FloatTensor<Self>,
            indices: IntTensor<Self>,
            values: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            host::add_to_rows::<Self>(table, indices, values)
        }
    };
}
pub(super) use kernel_methods;
