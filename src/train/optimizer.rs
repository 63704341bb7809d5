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
        match self {
            Self::Adam(adam) => adam.step_rows(learning_rate, table, gradient, state),
            Self::Adagrad(adagrad) => {
                let RowGradient { indices, values } = gradient;
                let rows = |of: &Tensor<B, 2>| backend::select_rows(of.clone(), indices.clone());
                let (time, all) = OptimizerState::moments(state, &table);
                let before = OptimizerState::new(time, all.each_ref().map(rows));
                let (new, after) = adagrad.step(learning_rate, rows(&table), values, Some(before));
                let (time, after) = OptimizerState::moments(Some(after), &new);
                let moved = |of, new| backend::replace_rows(of, indices.clone(), new, time as u64);
                let [mean, squares] = all;
                let [new_mean, new_squares] = after;
                let moments = [moved(mean, new_mean), moved(squares, new_squares)];
                (moved(table, new), OptimizerState::new(time, moments))
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
        let (parameter, state) = match self {
            Self::Adam(adam) => adam.step(learning_rate, parameter, gradient, state),
            Self::Adagrad(adagrad) => adagrad.step(learning_rate, parameter, gradient, state),
        };
        (parameter, Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &B::Device) -> Self::State<D> {
        state.map(|moment| moment.to_device(device))
    }
}
