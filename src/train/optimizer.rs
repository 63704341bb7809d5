//! Optimizers.

use burn::optim::{LearningRate, SimpleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::adagrad::Adagrad;
use super::optimizer_state::OptimizerState;
pub use crate::backend::adam::Adam;
use crate::backend::adam::{adam_step, adam_step_rows};
use crate::backend::{self, Backend, RowGradient};
use crate::{Result, checks};

/// The rule by which gradients move parameters.
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
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Adam(adam) => {
                checks::share("optimizer.beta_1", adam.beta_1)?;
                checks::share("optimizer.beta_2", adam.beta_2)?;
                checks::positive("optimizer.epsilon", adam.epsilon)
            }
            Self::Adagrad(adagrad) => adagrad.validate(),
        }
    }
}

impl Optimizer {
    /// One step for the rows of a table that a gradient names, each once: the others and their
    /// moments stay as they are and cost nothing, where a step of the whole table would let them drift
    /// on by their momentum.
    pub(super) fn step_rows<B: Backend>(
        &self,
        learning_rate: LearningRate,
        table: Tensor<B, 2>,
        gradient: RowGradient<B>,
        state: Option<OptimizerState<B, 2>>,
    ) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
        match self {
            Self::Adam(adam) => {
                let (time, moments) = OptimizerState::moments(state, &table);
                let now = (learning_rate, time + 1);
                let (table, moments) = adam_step_rows(adam, now, table, gradient, moments);
                (table, OptimizerState::new(time + 1, moments))
            }
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
            Self::Adam(adam) => {
                let (time, moments) = OptimizerState::moments(state, &parameter);
                let now = (learning_rate, time + 1);
                let (parameter, moments) = adam_step(adam, now, parameter, gradient, moments);
                (parameter, OptimizerState::new(time + 1, moments))
            }
            Self::Adagrad(adagrad) => adagrad.step(learning_rate, parameter, gradient, state),
        };
        (parameter, Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &B::Device) -> Self::State<D> {
        state.map(|moment| moment.to_device(device))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::Int;

    use super::*;

    #[test]
    fn a_first_step_is_the_learning_rate_and_moves_named_rows_alone() {
        let device = Default::default();
        let table = Tensor::<Flex, 2>::zeros([1000, 2], &device);
        let gradient = RowGradient {
            indices: Tensor::<Flex, 1, Int>::from_ints([7], &device),
            values: Tensor::from_floats([[0.5, -0.5]], &device),
        };
        let (table, state) = Optimizer::Adam(Adam::default()).step_rows(0.1, table, gradient, None);
        assert_eq!(state.time, 1);
        let sum = table.clone().abs().sum().into_scalar();
        assert!((sum - 0.2).abs() < 1e-4, "{sum}");
        let row = table.narrow(0, 7, 1).into_data().to_vec::<f32>().unwrap();
        assert!(row[0] < 0.0 && row[1] > 0.0, "{row:?}");
    }
}
