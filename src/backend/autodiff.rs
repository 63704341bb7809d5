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

use super::lookup::{self, RowGradients};
use super::operations::{Fused, Operations};
use super::{Backend, TrainingBackend};

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

impl<B: Backend, C: CheckpointStrategy> TrainingBackend for Autodiff<B, C> {
    fn backward_by_rows(loss: FloatTensor<Self>) -> (Self::Gradients, RowGradients<B>) {
        lookup::collect(|| Self::backward(loss))
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
        lookup::tracked::<B, C>(table, indices)
    }
}
