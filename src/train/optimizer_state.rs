//! Optimizer states.

use burn::record::Record;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{DType, Tensor};

/// An optimizer's state of a parameter.
#[derive(Record, Clone, Debug)]
pub struct OptimizerState<B: BurnBackend, const D: usize> {
    /// The number of steps so far.
    pub time: usize,
    /// Adam's decaying mean of gradients, or Adagrad's decaying sum of steps.
    pub moment_1: Tensor<B, D>,
    /// Adam's decaying mean of squared gradients, or Adagrad's sum of them.
    pub moment_2: Tensor<B, D>,
}

impl<B: BurnBackend, const D: usize> OptimizerState<B, D> {
    /// The state of a parameter that has not been moved yet: in single precision, whatever the
    /// parameter's is.
    pub(super) fn of(parameter: &Tensor<B, D>) -> Self {
        let device = parameter.device();
        let zeros = || Tensor::zeros(parameter.shape(), (&device, DType::F32));
        Self {
            time: 0,
            moment_1: zeros(),
            moment_2: zeros(),
        }
    }
}
