//! Optimizers.

use burn::optim::{LearningRate, SimpleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::adagrad::Adagrad;
use super::adam::Adam;
use super::optimizer_state::OptimizerState;
use crate::Result;
use crate::backend::{self, Backend, RowGradient};

/// How gradients move parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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

impl Optimizer {
    /// One step for the rows of a table that a gradient names, each once; the others and their
    /// moments stay as they are.
    pub(super) fn step_rows<B: Backend>(
        &self,
        learning_rate: LearningRate,
        table: Tensor<B, 2>,
        gradient: RowGradient<B>,
        state: Option<OptimizerState<B, 2>>,
    ) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
        let RowGradient { indices, values } = gradient;
        match self {
            Self::Adam(adam) => adam.step_rows(learning_rate, table, indices, values, state),
            Self::Adagrad(adagrad) => {
                let state = state.unwrap_or_else(|| OptimizerState::of(&table));
                let rows = |of: &Tensor<B, 2>| backend::select_rows(of.clone(), indices.clone());
                let before = OptimizerState {
                    time: state.time,
                    moment_1: rows(&state.moment_1),
                    moment_2: rows(&state.moment_2),
                };
                let (new, after) = adagrad.step(learning_rate, rows(&table), values, before);
                let seed = after.time as u64;
                let moved = |of, new| backend::replace_rows(of, indices.clone(), new, seed);
                let state = OptimizerState {
                    time: after.time,
                    moment_1: moved(state.moment_1, after.moment_1),
                    moment_2: moved(state.moment_2, after.moment_2),
                };
                (moved(table, new), state)
            }
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
