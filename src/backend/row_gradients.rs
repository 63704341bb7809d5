//! Gradients of tables by the rows that were looked up.

use std::any::Any;
use std::cell::RefCell;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor, TensorPrimitive};

use super::Backend;
#[cfg(doc)]
use super::TrainingBackend;

/// A table's id and a [`RowGradient`] of it, on the backend whose pass it is of.
type Kept = (u64, Box<dyn Any>);

thread_local! {
    /// What the backward pass of this thread has collected, where it collects.
    static COLLECTED: RefCell<Option<Vec<Kept>>> = const { RefCell::new(None) };
}

/// The gradient of some rows of a table, of which one may be named several times.
#[derive(Debug, Clone)]
pub struct RowGradient<B: BurnBackend> {
    /// The rows' indices, `[n]`.
    pub indices: Tensor<B, 1, Int>,
    /// Their gradients, `[n, dim]`.
    pub values: Tensor<B, 2>,
}

/// What a backward pass keeps of tables that are to have no gradient of their own size.
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

/// Runs a backward pass whose gradients of looked-up tables are collected by rows.
pub(super) fn collect<B: Backend, R>(backward: impl FnOnce() -> R) -> (R, RowGradients<B>) {
    /// Ends the collecting of this thread, should the backward pass panic too.
    struct Collecting;
    impl Drop for Collecting {
        fn drop(&mut self) {
            COLLECTED.set(None);
        }
    }
    COLLECTED.set(Some(Vec::new()));
    let collecting = Collecting;
    let result = backward();
    let collected = COLLECTED.take().unwrap_or_default();
    drop(collecting);
    let rows = collected.into_iter().map(|(table, rows)| {
        let rows = rows.downcast();
        (
            table,
            *rows.expect("the passes of one backend are collected"),
        )
    });
    (result, RowGradients(rows.collect()))
}

/// Keeps the gradient of a parameter's rows for the pass that collects, or gives it back where none
/// does.
pub(super) fn keep<B: Backend>(
    table: u64,
    indices: IntTensor<B>,
    gradient: FloatTensor<B>,
) -> Option<(IntTensor<B>, FloatTensor<B>)> {
    COLLECTED.with_borrow_mut(|collected| {
        let Some(collected) = collected else {
            return Some((indices, gradient));
        };
        let rows = RowGradient::<B> {
            indices: Tensor::from_primitive(indices),
            values: Tensor::from_primitive(TensorPrimitive::Float(gradient)),
        };
        collected.push((table, Box::new(rows)));
        None
    })
}
