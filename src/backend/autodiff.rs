//! The hand-written backward passes.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Shape, TensorMetadata};

use super::row_gradients::{self, RowGradients};
use super::{
    AdamState, AdamStep, AttentionBiases, AttentionInput, AttentionOutput, AttentionScoring,
    Backend, GruOutput, GruWeights, LayerNormInput, LinearInput, LinearOutput, SoftmaxGradients,
    SoftmaxInput, TrainingBackend,
};

/// Passes the gradient of an operation's result back to those of its parents that are tracked;
/// `by_parents` makes the gradients in the parents' order.
fn pass_back<B: Backend, S, I, const N: usize>(
    ops: Ops<S, N>,
    grads: &mut Gradients,
    by_parents: impl FnOnce(S, FloatTensor<B>) -> I,
) where
    S: Clone + Send + std::fmt::Debug,
    I: IntoIterator<Item = FloatTensor<B>>,
{
    let gradient = grads.consume::<B>(&ops.node);
    let gradients = by_parents(ops.state, gradient);
    for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, gradient);
        }
    }
}

#[derive(Debug)]
struct GruBackward;

/// What the backward pass of a GRU layer needs again.
#[derive(Debug, Clone)]
struct GruState<T> {
    values: T,
    lengths: Vec<usize>,
    weights: GruWeights<T>,
    saved: T,
}

impl<B: Backend> Backward<B, 5> for GruBackward {
    type State = GruState<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 5>(ops, grads, |state, gradient| {
            let GruState {
                values,
                lengths,
                weights,
                saved,
            } = state;
            let by = B::gru_backward(gradient, values, &lengths, weights, saved);
            [
                by.values,
                by.weights.input,
                by.weights.hidden,
                by.weights.input_bias,
                by.weights.hidden_bias,
            ]
        });
    }
}

/// Of attention whose only parents are the queries, keys and values.
#[derive(Debug)]
struct AttentionBackward;

/// Of attention with biases, which are parents as well.
#[derive(Debug)]
struct BiasedAttentionBackward;

/// What the backward pass of attention needs again.
#[derive(Debug, Clone)]
struct AttentionState<T> {
    input: AttentionInput<T>,
    saved: T,
}

impl<B: Backend> Backward<B, 1> for AttentionBackward {
    type State = AttentionState<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 1>(ops, grads, |AttentionState { input, saved }, gradient| {
            [B::packed_attention_backward(gradient, input, saved).projected]
        });
    }
}

impl<B: Backend> Backward<B, 3> for BiasedAttentionBackward {
    type State = AttentionState<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 3>(ops, grads, |AttentionState { input, saved }, gradient| {
            let by = B::packed_attention_backward(gradient, input, saved);
            std::iter::once(by.projected).chain(by.biases.into_iter().flatten())
        });
    }
}

#[derive(Debug)]
struct LinearBackward;

/// What the backward pass of a linear layer needs again.
#[derive(Debug, Clone)]
struct LinearState<T> {
    input: LinearInput<T>,
    saved: T,
}

impl<B: Backend> Backward<B, 3> for LinearBackward {
    type State = LinearState<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 3>(ops, grads, |LinearState { input, saved }, gradient| {
            B::linear_layer_backward(gradient, input, saved)
        });
    }
}

#[derive(Debug)]
struct NormalizeBackward;

impl<B: Backend> Backward<B, 3> for NormalizeBackward {
    type State = LayerNormInput<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 3>(ops, grads, |input, gradient| {
            B::normalize_rows_backward(gradient, input)
        });
    }
}

#[derive(Debug)]
struct DropBackward;

impl<B: Backend> Backward<B, 1> for DropBackward {
    /// The probability and the seed, of which the mask is made again.
    type State = (f64, u64);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 1>(ops, grads, |(probability, seed), gradient| {
            [B::drop_values(gradient, probability, seed)]
        });
    }
}

#[derive(Debug)]
struct ConvolutionBackward;

impl<B: Backend> Backward<B, 1> for ConvolutionBackward {
    /// The lengths of the sequences, the taps, and whether it was transposed already.
    type State = (Arc<[usize]>, Arc<[f32]>, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 1>(ops, grads, |(lengths, taps, transposed), gradient| {
            [B::causal_convolution(
                gradient,
                &lengths,
                &taps,
                !transposed,
            )]
        });
    }
}

#[derive(Debug)]
struct SoftmaxBackward;

impl<B: Backend> Backward<B, 2> for SoftmaxBackward {
    type State = SoftmaxGradients<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        pass_back::<B, _, _, 2>(ops, grads, |of_loss, gradient| {
            B::softmax_cross_entropy_backward(gradient, of_loss)
        });
    }
}

#[derive(Debug)]
struct SelectRowsBackward;

/// What the backward pass of selected rows needs again.
#[derive(Debug, Clone)]
struct SelectRowsState<I> {
    indices: I,
    table: Shape,
}

/// The rows' gradient is added to the table's where that has been registered: a table that is both
/// looked up and multiplied by would otherwise get a second one of its size, nearly all of it 0.
impl<B: Backend> Backward<B, 1> for SelectRowsBackward {
    type State = SelectRowsState<IntTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let SelectRowsState { indices, table } = ops.state;
        let [Some(parent)] = ops.parents else {
            return;
        };
        // What was computed passes its gradient on; a parameter's can wait as it is.
        let kept = if parent.parents.is_empty() {
            row_gradients::keep::<B>(parent.id.value, indices, gradient)
        } else {
            Some((indices, gradient))
        };
        let Some((indices, gradient)) = kept else {
            return;
        };
        let mut of_parent = Autodiff::<B>::from_inner(gradient.clone());
        of_parent.node = parent.clone();
        let registered = grads.remove::<B>(&of_parent).unwrap_or_else(|| {
            let device = B::float_device(&gradient);
            B::float_zeros(table, &device, gradient.dtype().into())
        });
        let sum = B::add_to_rows(registered, indices, gradient);
        grads.register::<B>(parent.id, sum);
    }
}

impl<B: Backend, C: CheckpointStrategy> TrainingBackend for Autodiff<B, C> {
    fn backward_by_rows(loss: FloatTensor<Self>) -> (Self::Gradients, RowGradients<B>) {
        row_gradients::collect(|| Self::backward(loss))
    }

    fn table_id(table: &FloatTensor<Self>) -> u64 {
        table.node.id.value
    }
}

/// Gradients of gradients are not defined: the backward methods are left at their defaults, which
/// are ordinary tensor operations and so are tracked like any other.
impl<B: Backend, C: CheckpointStrategy> Backend for Autodiff<B, C> {
    const HOST: bool = B::HOST;

    fn gru(
        values: FloatTensor<Self>,
        lengths: &[usize],
        weights: GruWeights<FloatTensor<Self>>,
    ) -> GruOutput<FloatTensor<Self>> {
        let parents = [
            values.node.clone(),
            weights.input.node.clone(),
            weights.hidden.node.clone(),
            weights.input_bias.node.clone(),
            weights.hidden_bias.node.clone(),
        ];
        let weights = GruWeights {
            input: weights.input.primitive,
            hidden: weights.hidden.primitive,
            input_bias: weights.input_bias.primitive,
            hidden_bias: weights.hidden_bias.primitive,
        };
        let output = B::gru(values.primitive.clone(), lengths, weights.clone());
        let states = match Backward::<B, 5>::prepare::<C>(GruBackward, parents)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => prepared.finish(
                GruState {
                    values: values.primitive,
                    lengths: lengths.to_vec(),
                    weights,
                    saved: output.saved.clone(),
                },
                output.states,
            ),
            OpsKind::UnTracked(prepared) => prepared.finish(output.states),
        };
        GruOutput {
            states,
            saved: Self::from_inner(output.saved),
        }
    }

    fn packed_attention(
        input: AttentionInput<FloatTensor<Self>>,
    ) -> AttentionOutput<FloatTensor<Self>> {
        let projected = input.projected.node.clone();
        let biases = match &input.scoring {
            AttentionScoring::Softmax { .. } => None,
            AttentionScoring::Silu(biases) => {
                Some([biases.positions.node.clone(), biases.times.node.clone()])
            }
        };
        let input = AttentionInput {
            projected: input.projected.primitive,
            lengths: input.lengths,
            heads: input.heads,
            scoring: match input.scoring {
                AttentionScoring::Softmax { dropout } => AttentionScoring::Softmax { dropout },
                AttentionScoring::Silu(biases) => AttentionScoring::Silu(AttentionBiases {
                    divisor: biases.divisor,
                    positions: biases.positions.primitive,
                    times: biases.times.primitive,
                    classes: biases.classes,
                }),
            },
        };
        let output = B::packed_attention(input.clone());
        let saved = output.saved.clone();
        let state = AttentionState { input, saved };
        let gathered = match biases {
            None => match Backward::<B, 1>::prepare::<C>(AttentionBackward, [projected])
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(prepared) => prepared.finish(state, output.gathered),
                OpsKind::UnTracked(prepared) => prepared.finish(output.gathered),
            },
            Some([positions, times]) => {
                let parents = [projected, positions, times];
                match Backward::<B, 3>::prepare::<C>(BiasedAttentionBackward, parents)
                    .compute_bound()
                    .stateful()
                {
                    OpsKind::Tracked(prepared) => prepared.finish(state, output.gathered),
                    OpsKind::UnTracked(prepared) => prepared.finish(output.gathered),
                }
            }
        };
        AttentionOutput {
            gathered,
            saved: Self::from_inner(output.saved),
        }
    }

    fn linear_layer(input: LinearInput<FloatTensor<Self>>) -> LinearOutput<FloatTensor<Self>> {
        let parents = [
            input.values.node.clone(),
            input.weight.node.clone(),
            input.bias.node.clone(),
        ];
        let input = LinearInput {
            values: input.values.primitive,
            weight: input.weight.primitive,
            bias: input.bias.primitive,
            activation: input.activation,
        };
        let output = B::linear_layer(input.clone());
        let saved = output.saved.clone();
        let outputs = match Backward::<B, 3>::prepare::<C>(LinearBackward, parents)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                prepared.finish(LinearState { input, saved }, output.outputs)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(output.outputs),
        };
        LinearOutput {
            outputs,
            saved: Self::from_inner(output.saved),
        }
    }

    fn normalize_rows(input: LayerNormInput<FloatTensor<Self>>) -> FloatTensor<Self> {
        let parents = [
            input.values.node.clone(),
            input.gamma.node.clone(),
            input.beta.node.clone(),
        ];
        let input = LayerNormInput {
            values: input.values.primitive,
            gamma: input.gamma.primitive,
            beta: input.beta.primitive,
            epsilon: input.epsilon,
        };
        let normal = B::normalize_rows(input.clone());
        match Backward::<B, 3>::prepare::<C>(NormalizeBackward, parents)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => prepared.finish(input, normal),
            OpsKind::UnTracked(prepared) => prepared.finish(normal),
        }
    }

    fn drop_values(values: FloatTensor<Self>, probability: f64, seed: u64) -> FloatTensor<Self> {
        let dropped = B::drop_values(values.primitive, probability, seed);
        match Backward::<B, 1>::prepare::<C>(DropBackward, [values.node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => prepared.finish((probability, seed), dropped),
            OpsKind::UnTracked(prepared) => prepared.finish(dropped),
        }
    }

    fn causal_convolution(
        values: FloatTensor<Self>,
        lengths: &Arc<[usize]>,
        taps: &Arc<[f32]>,
        transposed: bool,
    ) -> FloatTensor<Self> {
        let mixed = B::causal_convolution(values.primitive, lengths, taps, transposed);
        match Backward::<B, 1>::prepare::<C>(ConvolutionBackward, [values.node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                prepared.finish((lengths.clone(), taps.clone(), transposed), mixed)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(mixed),
        }
    }

    fn softmax_cross_entropy(
        input: SoftmaxInput<FloatTensor<Self>, IntTensor<Self>>,
    ) -> FloatTensor<Self> {
        let parents = [input.users.node.clone(), input.items.node.clone()];
        let input = SoftmaxInput {
            users: input.users.primitive,
            items: input.items.primitive,
            log_correction: input.log_correction.map(|correction| correction.primitive),
            targets: input.targets,
            group: input.group,
        };
        match Backward::<B, 2>::prepare::<C>(SoftmaxBackward, parents)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let of_loss = B::softmax_cross_entropy_gradients(input);
                let loss = of_loss.loss.clone();
                prepared.finish(of_loss, loss)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::softmax_cross_entropy(input)),
        }
    }

    fn select_rows(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        let rows = B::select_rows(table.primitive.clone(), indices.clone());
        match Backward::<B, 1>::prepare::<C>(SelectRowsBackward, [table.node.clone()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let table = table.primitive.shape();
                prepared.finish(SelectRowsState { indices, table }, rows)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(rows),
        }
    }

    fn replace_rows(
        table: FloatTensor<Self>,
        indices: IntTensor<Self>,
        values: FloatTensor<Self>,
        seed: u64,
    ) -> FloatTensor<Self> {
        let table = B::replace_rows(table.primitive, indices, values.primitive, seed);
        Self::from_inner(table)
    }

    fn adam_step(
        state: AdamState<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
        step: AdamStep,
    ) -> AdamState<FloatTensor<Self>> {
        let state = state.map(|tensor| tensor.primitive);
        B::adam_step(state, gradient.primitive, step).map(Self::from_inner)
    }

    fn adam_step_rows(
        state: AdamState<FloatTensor<Self>>,
        indices: IntTensor<Self>,
        gradient: FloatTensor<Self>,
        step: AdamStep,
    ) -> AdamState<FloatTensor<Self>> {
        let state = state.map(|tensor| tensor.primitive);
        B::adam_step_rows(state, indices, gradient.primitive, step).map(Self::from_inner)
    }
}
