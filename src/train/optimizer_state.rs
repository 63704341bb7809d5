//! The state that optimizers keep of a parameter.

use burn::record::Record;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{DType, Tensor};

/// The state that an optimizer keeps of a parameter.
#[derive(Record, Clone, Debug)]
pub struct OptimizerState<B: BurnBackend, const D: usize> {
    /// The number of steps so far.
    pub(super) time: usize,
    /// Adam's decaying mean of gradients, or Adagrad's decaying sum of steps; none for
    /// [row-wise Adagrad](super::Tables::RowWise).
    pub(super) mean: Option<Tensor<B, D>>,
    /// Adam's decaying mean of squared gradients, or Adagrad's sum of them; for
    /// [row-wise Adagrad](super::Tables::RowWise) one number a row, `[rows, 1]`.
    pub(super) squares: Tensor<B, D>,
}

impl<B: BurnBackend, const D: usize> OptimizerState<B, D> {
    /// The state after so many steps, with both moments.
    pub(super) fn new(time: usize, [mean, squares]: [Tensor<B, D>; 2]) -> Self {
        Self {
            time,
            mean: Some(mean),
            squares,
        }
    }

    /// The state of row-wise Adagrad after so many steps.
    pub(super) fn of_sums(time: usize, squares: Tensor<B, D>) -> Self {
        Self {
            time,
            mean: None,
            squares,
        }
    }

    /// The number of steps so far and both moments, where a parameter that has not been moved yet
    /// has zeros: in single precision, whatever the parameter's is.
    pub(super) fn moments(
        state: Option<Self>,
        parameter: &Tensor<B, D>,
    ) -> (usize, [Tensor<B, D>; 2]) {
        let zeros = || Tensor::zeros(parameter.shape(), (&parameter.device(), DType::F32));
        match state {
            Some(state) => {
                let mean = state.mean.unwrap_or_else(zeros);
                (state.time, [mean, state.squares])
            }
            None => (0, [zeros(), zeros()]),
        }
    }

    /// The state with other tensors in place of its own.
    pub(super) fn map<const E: usize>(
        self,
        mut to: impl FnMut(Tensor<B, D>) -> Tensor<B, E>,
    ) -> OptimizerState<B, E> {
        OptimizerState {
            time: self.time,
            mean: self.mean.map(&mut to),
            squares: to(self.squares),
        }
    }
}
