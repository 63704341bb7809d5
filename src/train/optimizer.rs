//! Optimizers.

use burn::optim::{LearningRate, SimpleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::adagrad::Adagrad;
use super::adam::Adam;
use super::optimizer_state::OptimizerState;
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

impl Optimizer {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) for the first invalid setting.
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
