//! Looking rows of tables up, with gradients by rows.

use std::any::Any;
use std::cell::RefCell;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::{AutodiffBackend, Backend as BurnBackend};
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, FloatDType, Int, Shape, Tensor, TensorMetadata};

#[cfg(doc)]
use super::TrainingBackend;
use super::primitives::{primitive, tensor};
use super::{Backend, rows};

/// The rows of `table` `[rows, dim]` that `indices` `[n]` name, `[n, dim]`: an embedding lookup.
/// They are of single precision, and so are their gradients, whatever the table is.
///
/// Its backward pass adds to the table's gradient in place, so a table that is also an operand of
/// [`softmax_cross_entropy`](super::softmax_cross_entropy) has one gradient, not two.
pub fn select_rows<B: Backend>(table: Tensor<B, 2>, indices: Tensor<B, 1, Int>) -> Tensor<B, 2> {
    tensor(B::select_rows(primitive(table), indices.into_primitive()))
}

/// Looks rows up by burn's own operations.
pub(super) fn select_by_tensors<B: Backend>(
    table: FloatTensor<B>,
    indices: IntTensor<B>,
) -> FloatTensor<B> {
    in_single::<B>(B::float_select(table, 0, indices))
}

/// Values of half precision in single.
pub(super) fn in_single<B: Backend>(rows: FloatTensor<B>) -> FloatTensor<B> {
    match rows.dtype() {
        DType::F16 => B::float_cast(rows, FloatDType::F32),
        _ => rows,
    }
}

/// The gradient of some rows of a table, of which one may be named several times.
#[derive(Debug, Clone)]
pub struct RowGradient<B: BurnBackend> {
    /// The rows' indices, `[n]`.
    pub indices: Tensor<B, 1, Int>,
    /// Their gradients, `[n, dim]`.
    pub values: Tensor<B, 2>,
}

/// The gradients by rows that a backward pass has kept of tables.
#[derive(Debug, Clone)]
pub struct RowGradients<B: BurnBackend>(Vec<(u64, RowGradient<B>)>);

impl<B: BurnBackend> RowGradients<B> {
    /// Takes those of a table, by its [id](TrainingBackend::table_id), in the order of the backward
    /// pass.
    pub fn take(&mut self, table: u64) -> Vec<RowGradient<B>> {
        let of_table = self.0.extract_if(.., |(id, _)| *id == table);
        of_table.map(|(_, rows)| rows).collect()
    }
}

/// The rows of a table that gradients are tracked of.
pub(super) fn tracked<B: Backend, C: CheckpointStrategy>(
    table: FloatTensor<Autodiff<B, C>>,
    indices: IntTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let rows = B::select_rows(table.primitive.clone(), indices.clone());
    match Backward::<B, 1>::prepare::<C>(SelectRowsBackward, [table.node.clone()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => {
            let table = table.primitive.shape();
            prepared.finish((indices, table), rows)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(rows),
    }
}

#[derive(Debug)]
struct SelectRowsBackward;

/// The rows' gradient is added to the table's where that has been registered: a table that is both
/// looked up and multiplied by would otherwise get a second one of its size, nearly all of it 0.
impl<B: Backend> Backward<B, 1> for SelectRowsBackward {
    /// The indices, and the shape of the table.
    type State = (IntTensor<B>, Shape);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (indices, table) = ops.state;
        let [Some(parent)] = ops.parents else {
            return;
        };
        // What was computed passes its gradient on; a parameter's can wait as it is.
        let kept = if parent.parents.is_empty() {
            keep::<B>(parent.id.value, indices, gradient)
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

thread_local! {
    /// The [`RowGradients`] that the backward pass of this thread has collected so far, where it
    /// collects: burn's gradients have no place for rows, and its passes hand nothing else on.
    static COLLECTED: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Runs a backward pass whose gradients of looked-up tables are collected by rows.
pub(super) fn collect<B: Backend, R>(backward: impl FnOnce() -> R) -> (R, RowGradients<B>) {
    /// Ends the collecting of this thread, should the backward pass panic too.
    struct Collecting;
    impl Drop for Collecting {
        fn drop(&mut self) {
            COLLECTED.set(None);
        }
    }
    COLLECTED.set(Some(Box::new(RowGradients::<B>(Vec::new()))));
    let collecting = Collecting;
    let result = backward();
    let collected = COLLECTED.take().and_then(|rows| rows.downcast().ok());
    drop(collecting);
    (result, *collected.expect("this pass collects"))
}

/// Keeps the gradient of a parameter's rows for the pass that collects, or gives it back where none
/// does.
fn keep<B: Backend>(
    table: u64,
    indices: IntTensor<B>,
    gradient: FloatTensor<B>,
) -> Option<(IntTensor<B>, FloatTensor<B>)> {
    COLLECTED.with_borrow_mut(|collected| {
        let collected = collected.as_mut().and_then(|rows| rows.downcast_mut());
        let Some(RowGradients::<B>(collected)) = collected else {
            return Some((indices, gradient));
        };
        let rows = RowGradient {
            indices: Tensor::from_primitive(indices),
            values: tensor(gradient),
        };
        collected.push((table, rows));
        None
    })
}
