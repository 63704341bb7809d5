//! Optimizers, and what they keep of a parameter.

use burn::optim::{LearningRate, SimpleOptimizer};
use burn::record::Record;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend as BurnBackend;
use serde::{Deserialize, Serialize};

use super::adagrad::Adagrad;
use super::adam::Adam;
use crate::Result;
use crate::backend::Backend;

/// How gradients move parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// [`Adam`].
    Adam(Adam),
    /// [`Adagrad`].
    Adagrad(Adagrad),
}

/// What an optimizer keeps of a parameter.
#[derive(Record, Clone)]
pub struct OptimizerState<B: BurnBackend, const D: usize> {
    /// How many steps were made.
    pub time: usize,
    /// Adam's decaying mean of gradients, or Adagrad's decaying sum of steps.
    pub moment_1: Tensor<B, D>,
    /// Adam's decaying mean of squared gradients, or Adagrad's sum of them.
    pub moment_2: Tensor<B, D>,
}

impl<B: BurnBackend, const D: usize> OptimizerState<B, D> {
    /// The state of a parameter that has not been moved yet.
    pub(super) fn of(parameter: &Tensor<B, D>) -> Self {
        Self {
            time: 0,
            moment_1: parameter.zeros_like(),
            moment_2: parameter.zeros_like(),
        }
    }
}

impl Optimizer {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) with the first setting that can't be
    /// right.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Adam(adam) => adam.validate(),
            Self::Adagrad(adagrad) => adagrad.validate(),
        }
    }
}

impl<B: Backend> SimpleOptimizer<B> for Optimizer {
    type State<const D: usize> = OptimizerState<B, D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<B, D>,
        gradient: Tensor<B, D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<B, D>, Option<Self::State<D>>) {
        let state = state.unwrap_or_else(|| OptimizerState::of(&parameter));
        let (parameter, state) = match self {
            Self::Adam(adam) => adam.step(learning_rate, parameter, gradient, state),
            Self::Adagrad(adagrad) => adagrad.step(learning_rate, parameter, gradient, state),
        };
        (parameter, Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &B::Device) -> Self::State<D> {
        OptimizerState {
            time: state.time,
            moment_1: state.moment_1.to_device(device),
            moment_2: state.moment_2.to_device(device),
        }
    }
}
