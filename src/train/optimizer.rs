//! Optimizers.

use burn::optim::{LearningRate, SimpleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::optimizer_state::OptimizerState;
use crate::backend::adam::{Adam, adam_step, adam_step_rows};
use crate::backend::{self, Backend, RowGradient};
use crate::{Result, checks};

/// The rule by which gradients move parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Optimizer {
    /// Adam with bias correction, as in the paper and in PyTorch: epsilon is added to the corrected
    /// root.
    ///
    /// Kingma & Ba, [Adam: A Method for Stochastic Optimization](https://arxiv.org/abs/1412.6980).
    /// With [`TrainerConfig::weight_decay`](super::TrainerConfig::weight_decay) it is AdamW.
    Adam {
        /// The decay of the first moment, 0.9 unless said.
        #[serde(default = "beta_1")]
        beta_1: f64,
        /// The decay of the second moment, 0.999 unless said.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// Added to the root of the second moment, 1e-8 unless said.
        #[serde(default = "adam_epsilon")]
        epsilon: f64,
    },
    /// Adagrad whose steps are summed with a decay, as GRU4Rec's reference implementation trains.
    ///
    /// Duchi et al., [Adaptive Subgradient Methods](https://jmlr.org/papers/v12/duchi11a.html).
    Adagrad {
        /// Momentum: the share of the last step that is added to each step, `0.0..1.0`; 0 unless
        /// said.
        #[serde(default)]
        momentum: f64,
        /// Added to the sum of squares, under the root; 1e-6 unless said.
        #[serde(default = "adagrad_epsilon")]
        epsilon: f64,
    },
}

const fn beta_1() -> f64 {
    0.9
}

const fn beta_2() -> f64 {
    0.999
}

const fn adam_epsilon() -> f64 {
    1e-8
}

const fn adagrad_epsilon() -> f64 {
    1e-6
}

impl Optimizer {
    /// Adam with the numbers of the paper.
    pub const ADAM: Self = Self::Adam {
        beta_1: beta_1(),
        beta_2: beta_2(),
        epsilon: adam_epsilon(),
    };

    /// Adagrad without momentum.
    pub const ADAGRAD: Self = Self::Adagrad {
        momentum: 0.0,
        epsilon: adagrad_epsilon(),
    };

    /// Checks every setting.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    pub fn validate(&self) -> Result<()> {
        let epsilon = match *self {
            Self::Adam {
                beta_1,
                beta_2,
                epsilon,
            } => {
                checks::share("optimizer.beta_1", beta_1)?;
                checks::share("optimizer.beta_2", beta_2)?;
                epsilon
            }
            Self::Adagrad { momentum, epsilon } => {
                checks::share("optimizer.momentum", momentum)?;
                epsilon
            }
        };
        checks::positive("optimizer.epsilon", epsilon)
    }

    /// One step for the rows of a table that a gradient names, each once: the others and their
    /// moments stay as they are and cost nothing, where a step of the whole table would let them
    /// drift on by their momentum.
    pub(super) fn step_rows<B: Backend>(
        &self,
        learning_rate: LearningRate,
        table: Tensor<B, 2>,
        gradient: RowGradient<B>,
        state: Option<OptimizerState<B, 2>>,
    ) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
        let (time, all) = OptimizerState::moments(state, &table);
        match *self {
            Self::Adam {
                beta_1,
                beta_2,
                epsilon,
            } => {
                let adam = Adam {
                    beta_1,
                    beta_2,
                    epsilon,
                };
                let now = (learning_rate, time + 1);
                let (table, moments) = adam_step_rows(&adam, now, table, gradient, all);
                (table, OptimizerState::new(time + 1, moments))
            }
            Self::Adagrad { momentum, epsilon } => {
                let RowGradient { indices, values } = gradient;
                let rows = |of: &Tensor<B, 2>| backend::select_rows(of.clone(), indices.clone());
                let before = all.each_ref().map(rows);
                let settings = (learning_rate, momentum, epsilon);
                let (new, after) = adagrad_step(settings, rows(&table), values, before);
                let time = time + 1;
                let moved = |of, new| backend::replace_rows(of, indices.clone(), new, time as u64);
                let [mean, squares] = all;
                let [new_mean, new_squares] = after;
                let moments = [moved(mean, new_mean), moved(squares, new_squares)];
                (moved(table, new), OptimizerState::new(time, moments))
            }
        }
    }
}

/// A parameter after a step of Adagrad, with its decaying sum of steps and its sum of squared
/// gradients.
fn adagrad_step<B: Backend, const D: usize>(
    (learning_rate, momentum, epsilon): (LearningRate, f64, f64),
    parameter: Tensor<B, D>,
    gradient: Tensor<B, D>,
    [before, squares]: [Tensor<B, D>; 2],
) -> (Tensor<B, D>, [Tensor<B, D>; 2]) {
    let squares = squares + gradient.clone().square();
    let root = squares.clone().add_scalar(epsilon).sqrt();
    let step = (gradient / root).mul_scalar(learning_rate);
    let step = before.mul_scalar(momentum) - step;
    (parameter + step.clone(), [step, squares])
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
        let (time, moments) = OptimizerState::moments(state, &parameter);
        let (parameter, moments) = match *self {
            Self::Adam {
                beta_1,
                beta_2,
                epsilon,
            } => {
                let adam = Adam {
                    beta_1,
                    beta_2,
                    epsilon,
                };
                let now = (learning_rate, time + 1);
                adam_step(&adam, now, parameter, gradient, moments)
            }
            Self::Adagrad { momentum, epsilon } => {
                let settings = (learning_rate, momentum, epsilon);
                adagrad_step(settings, parameter, gradient, moments)
            }
        };
        (parameter, Some(OptimizerState::new(time + 1, moments)))
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
        let (table, state) = Optimizer::ADAM.step_rows(0.1, table, gradient, None);
        assert_eq!(state.time, 1);
        let sum = table.clone().abs().sum().into_scalar();
        assert!((sum - 0.2).abs() < 1e-4, "{sum}");
        let row = table.narrow(0, 7, 1).into_data().to_vec::<f32>().unwrap();
        assert!(row[0] < 0.0 && row[1] > 0.0, "{row:?}");
    }

    #[test]
    fn settings_that_are_left_out_are_those_of_the_papers() {
        let read = |text| serde_json::from_str::<Optimizer>(text).unwrap();
        assert_eq!(read(r#"{"adam":{}}"#), Optimizer::ADAM);
        assert_eq!(read(r#"{"adagrad":{}}"#), Optimizer::ADAGRAD);
    }

    /// Two steps followed on paper: gradients 3 and -4, from a parameter of 1.
    #[test]
    fn two_steps_of_adagrad_by_hand() {
        let scalar = |value: f32| Tensor::<Flex, 1>::from_floats([value], &Default::default());
        let settings = (0.1, 0.5, 0.0);
        let zeros = [scalar(0.0), scalar(0.0)];
        let (parameter, state) = adagrad_step(settings, scalar(1.0), scalar(3.0), zeros);
        // 3 / sqrt(9) = 1, so the step is -0.1.
        assert!((parameter.clone().into_scalar() - 0.9).abs() < 1e-6);
        let (parameter, [_, squares]) = adagrad_step(settings, parameter, scalar(-4.0), state);
        // -4 / sqrt(25) = -0.8, so the step is -0.05 + 0.08.
        assert!((parameter.into_scalar() - 0.93).abs() < 1e-6);
        assert_eq!(squares.into_scalar(), 25.0);
    }
}
