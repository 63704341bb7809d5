//! Adagrad with momentum.

use burn::optim::LearningRate;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use super::optimizer_state::OptimizerState;
use crate::{Result, checks};

/// Adagrad whose steps are summed with a decay, as GRU4Rec's reference implementation trains.
///
/// Duchi et al., [Adaptive Subgradient Methods](https://jmlr.org/papers/v12/duchi11a.html).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Adagrad {
    /// Momentum: the share of the last step that is added to each step, `0.0..1.0`.
    pub momentum: f64,
    /// Added to the sum of squares, under the root.
    pub epsilon: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self {
            momentum: 0.0,
            epsilon: 1e-6,
        }
    }
}

impl Adagrad {
    pub(super) fn validate(&self) -> Result<()> {
        checks::share("optimizer.momentum", self.momentum)?;
        checks::positive("optimizer.epsilon", self.epsilon)
    }

    pub(super) fn step<B: Backend, const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<B, D>,
        gradient: Tensor<B, D>,
        state: Option<OptimizerState<B, D>>,
    ) -> (Tensor<B, D>, OptimizerState<B, D>) {
        let (time, [before, squares]) = OptimizerState::moments(state, &parameter);
        let squares = squares + gradient.clone().square();
        let root = squares.clone().add_scalar(self.epsilon).sqrt();
        let step = (gradient / root).mul_scalar(learning_rate);
        let step = before.mul_scalar(self.momentum) - step;
        let state = OptimizerState::new(time + 1, [step.clone(), squares]);
        (parameter + step, state)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;

    use super::*;

    /// Two steps followed on paper: gradients 3 and -4, from a parameter of 1.
    #[test]
    fn two_steps_by_hand() {
        let adagrad = Adagrad {
            momentum: 0.5,
            epsilon: 0.0,
        };
        let scalar = |value: f32| Tensor::<Flex, 1>::from_floats([value], &Default::default());
        let (parameter, state) = adagrad.step(0.1, scalar(1.0), scalar(3.0), None);
        // 3 / sqrt(9) = 1, so the step is -0.1.
        assert!((parameter.clone().into_scalar() - 0.9).abs() < 1e-6);
        let (parameter, state) = adagrad.step(0.1, parameter, scalar(-4.0), Some(state));
        // -4 / sqrt(25) = -0.8, so the step is -0.05 + 0.08.
        assert!((parameter.into_scalar() - 0.93).abs() < 1e-6);
        assert_eq!(state.squares.into_scalar(), 25.0);
    }
}
