//! Adam, one pass over each parameter.

use burn::optim::{LearningRate, SimpleOptimizer};
use burn::record::Record;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Int, Tensor, TensorPrimitive};

use crate::backend::{AdamState, AdamStep, Backend};

/// Adam with bias correction, as in the paper and in PyTorch: epsilon is added to the corrected
/// root.
///
/// Kingma & Ba, [Adam: A Method for Stochastic Optimization](https://arxiv.org/abs/1412.6980).
#[derive(Debug, Clone, Copy, PartialEq)]
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

/// A parameter's moments.
#[derive(Record, Clone)]
pub struct AdamMoments<B: BurnBackend, const D: usize> {
    /// How many steps were made.
    pub time: usize,
    /// The decaying mean of gradients.
    pub moment_1: Tensor<B, D>,
    /// The decaying mean of squared gradients.
    pub moment_2: Tensor<B, D>,
}

impl Adam {
    /// One step for some rows of a table `[rows, dim]`: those that `indices` `[n]` name, each
    /// once, with their `gradient` `[n, dim]`. `moments` are what the last step gave.
    ///
    /// This is the lazy form of Adam, for losses over a sample of the items: the other rows and
    /// their moments stay as they are and cost nothing, where [`Adam::step`](SimpleOptimizer::step)
    /// would let them drift on by their momentum.
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
        moments: Option<AdamMoments<B, 2>>,
    ) -> (Tensor<B, 2>, AdamMoments<B, 2>) {
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
        moments: Option<AdamMoments<B, D>>,
        step: impl FnOnce(AdamState<FloatTensor<B>>, AdamStep) -> AdamState<FloatTensor<B>>,
    ) -> (Tensor<B, D>, AdamMoments<B, D>) {
        let AdamMoments {
            time,
            moment_1,
            moment_2,
        } = moments.unwrap_or_else(|| AdamMoments {
            time: 0,
            moment_1: tensor.zeros_like(),
            moment_2: tensor.zeros_like(),
        });
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
        let moments = AdamMoments {
            time,
            moment_1: tensor(moved.moment_1),
            moment_2: tensor(moved.moment_2),
        };
        (tensor(moved.parameter), moments)
    }
}

impl<B: Backend> SimpleOptimizer<B> for Adam {
    type State<const D: usize> = AdamMoments<B, D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<B, D>,
        gradient: Tensor<B, D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<B, D>, Option<Self::State<D>>) {
        let (tensor, moments) = self.moved(learning_rate, tensor, state, |state, step| {
            B::adam_step(state, gradient.into_primitive().tensor(), step)
        });
        (tensor, Some(moments))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &B::Device) -> Self::State<D> {
        AdamMoments {
            time: state.time,
            moment_1: state.moment_1.to_device(device),
            moment_2: state.moment_2.to_device(device),
        }
    }
}
