//! Fused operations with gradients.

use std::fmt::{self, Debug};
use std::marker::PhantomData;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Shape, TensorMetadata};

use super::operations::{Fused, Operations};
use super::row_gradients::{self, RowGradients};
use super::{Backend, TrainingBackend, rows};

/// The backward pass of a fused operation.
struct FusedBackward<O>(PhantomData<fn() -> O>);

impl<O> Debug for FusedBackward<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<O>())
    }
}

impl<B: Backend, O: Fused<IntTensor<B>, N>, const N: usize> Backward<B, N> for FusedBackward<O> {
    type State = (O, O::Saved<B>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (operation, saved) = ops.state;
        let gradients = operation.gradients::<B>(gradient, saved);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
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
        let sum = rows::add_primitives::<B>(registered, indices, gradient);
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

/// Gradients of gradients are not defined.
impl<B: Backend, C: CheckpointStrategy> Operations for Autodiff<B, C> {
    const HOST: bool = B::HOST;

    fn fused<O: Fused<IntTensor<Self>, N>, const N: usize>(
        operation: O,
        operands: [FloatTensor<Self>; N],
    ) -> FloatTensor<Self> {
        let nodes = operands.each_ref().map(|operand| operand.node.clone());
        let operands = operands.map(|operand| operand.primitive);
        let backward = FusedBackward::<O>(PhantomData);
        match Backward::<B, N>::prepare::<C>(backward, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let (result, saved) = operation.result_and_saved::<B>(operands);
                prepared.finish((operation, saved), result)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(operation.result::<B>(operands)),
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
}
