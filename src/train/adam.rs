//! Adam, one pass over each parameter.

use burn::optim::LearningRate;
use burn::tensor::Tensor;

use super::optimizer_state::OptimizerState;
pub use crate::backend::adam::Adam;
use crate::backend::adam::{adam_step, adam_step_rows};
use crate::backend::{Backend, RowGradient};
use crate::{Result, checks};

impl Adam {
    pub(super) fn validate(&self) -> Result<()> {
        checks::share("optimizer.beta_1", self.beta_1)?;
        checks::share("optimizer.beta_2", self.beta_2)?;
        checks::positive("optimizer.epsilon", self.epsilon)
    }

    pub(super) fn step<B: Backend, const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<B, D>,
        gradient: Tensor<B, D>,
        state: Option<OptimizerState<B, D>>,
    ) -> (Tensor<B, D>, OptimizerState<B, D>) {
        let (time, moments) = OptimizerState::moments(state, &parameter);
        let now = (learning_rate, time + 1);
        let (parameter, moments) = adam_step(self, now, parameter, gradient, moments);
        (parameter, OptimizerState::new(time + 1, moments))
    }

    /// One step for the rows of a table that a gradient names, each once.
    ///
    /// This is the lazy form of Adam, for losses over a sample of the items: the other rows and
    /// their moments stay as they are and cost nothing, where a step of the whole
    /// table would let them drift on by their momentum.
    pub(super) fn step_rows<B: Backend>(
        &self,
        learning_rate: LearningRate,
        table: Tensor<B, 2>,
        gradient: RowGradient<B>,
        state: Option<OptimizerState<B, 2>>,
    ) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
        let (time, moments) = OptimizerState::moments(state, &table);
        let now = (learning_rate, time + 1);
        let (table, moments) = adam_step_rows(self, now, table, gradient, moments);
        (table, OptimizerState::new(time + 1, moments))
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
        let (table, state) = Adam::default().step_rows(0.1, table, gradient, None);
        assert_eq!(state.time, 1);
        let sum = table.clone().abs().sum().into_scalar();
        assert!((sum - 0.2).abs() < 1e-4, "{sum}");
        let row = table.narrow(0, 7, 1).into_data().to_vec::<f32>().unwrap();
        assert!(row[0] < 0.0 && row[1] > 0.0, "{row:?}");
    }
}
