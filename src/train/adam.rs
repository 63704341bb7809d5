//! Adam, one pass over each parameter.

use burn::optim::LearningRate;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Int, Tensor, TensorPrimitive};
use serde::{Deserialize, Serialize};

use super::optimizer_state::OptimizerState;
use crate::backend::{AdamState, AdamStep, Backend};
use crate::{Result, checks};

/// Adam with bias correction, as in the paper and in PyTorch: epsilon is added to the corrected
/// root.
///
/// Kingma & Ba, [Adam: A Method for Stochastic Optimization](https://arxiv.org/abs/1412.6980).
/// With [`TrainerConfig::weight_decay`](super::TrainerConfig::weight_decay) it is AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Adam {
    /// The decay of the first moment.
    pub beta_1: f64,
    /// The decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
        }
    }
}

impl Adam {
    pub(super) fn validate(&self) -> Result<()> {
        checks::share("optimizer.beta_1", self.beta_1)?;
        checks::share("optimizer.beta_2", self.beta_2)?;
        checks::positive("optimizer.epsilon", self.epsilon)
    }

    /// One step for some rows of a table `[rows, dim]`: those that `indices` `[n]` name, each
    /// once, with their `gradient` `[n, dim]`. `moments` are what the last step gave.
    ///
    /// This is the lazy form of Adam, for losses over a sample of the items: the other rows and
    /// their moments stay as they are and cost nothing, where a step of the whole
    /// table would let them drift on by their momentum.
    ///
    /// ```
    /// use burn::tensor::{Int, Tensor};
    /// use seqrec::backend::Flex;
    /// use seqrec::burn;
    /// use seqrec::train::Adam;
    ///
    /// let device = Default::default();
    /// let table = Tensor::<Flex, 2>::zeros([1000, 2], &device);
    /// let touched = Tensor::<Flex, 1, Int>::from_ints([7], &device);
    /// let gradient = Tensor::from_floats([[0.5, -0.5]], &device);
    /// let (table, moments) = Adam::default().step_rows(0.1, table, touched, gradient, None);
    /// assert_eq!(moments.time, 1);
    /// let sum = table.clone().abs().sum().into_scalar();
    /// assert!((sum - 0.2).abs() < 1e-4);
    /// ```
    pub fn step_rows<B: Backend>(
        &self,
        learning_rate: LearningRate,
        table: Tensor<B, 2>,
        indices: Tensor<B, 1, Int>,
        gradient: Tensor<B, 2>,
        moments: Option<OptimizerState<B, 2>>,
    ) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
        self.moved(learning_rate, table, moments, |state, step| {
            let gradient = gradient.into_primitive().tensor();
            B::adam_step_rows(state, indices.into_primitive(), gradient, step)
        })
    }

    /// Lets `step` move a parameter and its moments.
    fn moved<B: Backend, const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<B, D>,
        moments: Option<OptimizerState<B, D>>,
        step: impl FnOnce(AdamState<FloatTensor<B>>, AdamStep) -> AdamState<FloatTensor<B>>,
    ) -> (Tensor<B, D>, OptimizerState<B, D>) {
        let OptimizerState {
            time,
            moment_1,
            moment_2,
        } = moments.unwrap_or_else(|| OptimizerState::of(&tensor));
        let time = time + 1;
        let state = AdamState {
            parameter: tensor.into_primitive().tensor(),
            moment_1: moment_1.into_primitive().tensor(),
            moment_2: moment_2.into_primitive().tensor(),
        };
        let numbers = AdamStep {
            learning_rate,
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            time,
        };
        let moved = step(state, numbers);
        let tensor = |primitive| Tensor::from_primitive(TensorPrimitive::Float(primitive));
        let moments = OptimizerState {
            time,
            moment_1: tensor(moved.moment_1),
            moment_2: tensor(moved.moment_2),
        };
        (tensor(moved.parameter), moments)
    }

    pub(super) fn step<B: Backend, const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<B, D>,
        gradient: Tensor<B, D>,
        state: OptimizerState<B, D>,
    ) -> (Tensor<B, D>, OptimizerState<B, D>) {
        self.moved(learning_rate, parameter, Some(state), |state, step| {
            B::adam_step(state, gradient.into_primitive().tensor(), step)
        })
    }
}
