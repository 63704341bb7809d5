//! Steps of tables of vectors.

use burn::optim::LearningRate;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::optimizer_state::OptimizerState;
use crate::backend::{self, Backend, RowGradient};
use crate::{Result, checks};

/// The way in which a step moves tables of vectors, such as a model's items, of which it has
/// looked up some rows.
///
/// With a loss over a sample of the items ([`Loss::Sampled`](crate::model::Loss::Sampled)), a step of
/// 256 histories concerns some thousands of vectors. [`Tables::Dense`] still pays for the whole
/// table; the others for those vectors alone, so that a step takes as long with ten million items as
/// with a hundred thousand. A loss over the whole catalog moves every row in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tables {
    /// As all other parameters: by Adam, a row that was not looked up drifts on by its momentum.
    #[default]
    Dense,
    /// By the optimizer, but for the rows that were looked up alone: the others and their moments
    /// stay as they are (lazy Adam).
    Lazy,
    /// By [`RowAdagrad`].
    RowWise(RowAdagrad),
}

impl Tables {
    pub(super) fn validate(self) -> Result<()> {
        match self {
            Self::Dense | Self::Lazy => Ok(()),
            Self::RowWise(adagrad) => adagrad.validate(),
        }
    }
}

/// Adagrad with one number a row, the sum of its gradients' mean squares, in place of Adam's two
/// moments a value: of a table of dim 64, what is kept is a 64th of its size.
///
/// Duchi et al., [Adaptive Subgradient Methods](https://jmlr.org/papers/v12/duchi11a.html), a row
/// being a parameter, as Naumov et al., [DLRM](https://arxiv.org/abs/1906.00091), train such tables.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowAdagrad {
    /// How many times the learning rate of the other parameters that of tables is: Adagrad's steps
    /// get smaller as its sums grow, where Adam's do not. With learning rates of about 0.002, 100 has been
    /// the best, 30 and 300 nearly as good, and 10 much worse (docs/benchmarks.md).
    pub rate: f64,
    /// Added to the sum of squares, under the root.
    pub epsilon: f64,
}

impl Default for RowAdagrad {
    fn default() -> Self {
        Self {
            rate: 100.0,
            epsilon: 1e-10,
        }
    }
}

impl RowAdagrad {
    fn validate(self) -> Result<()> {
        checks::positive("tables.rate", self.rate)?;
        checks::positive("tables.epsilon", self.epsilon)
    }

    /// Moves the rows that a gradient names, each once.
    pub(super) fn step_rows<B: Backend>(
        self,
        learning_rate: LearningRate,
        table: Tensor<B, 2>,
        gradient: RowGradient<B>,
        state: Option<OptimizerState<B, 2>>,
    ) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
        let RowGradient { indices, values } = gradient;
        let (time, sums) = Self::sums(state, &table);
        let squares = values.clone().square().mean_dim(1);
        let sums = backend::add_to_rows(sums, indices.clone(), squares);
        let of_rows = backend::select_rows(sums.clone(), indices.clone());
        let step = self.step(learning_rate, values, of_rows);
        let moved = backend::select_rows(table.clone(), indices.clone()) + step;
        let table = backend::replace_rows(table, indices, moved, time as u64);
        (table, Self::state(time, sums))
    }

    /// Moves every row.
    pub(super) fn step_all<B: Backend>(
        self,
        learning_rate: LearningRate,
        table: Tensor<B, 2>,
        gradient: Tensor<B, 2>,
        state: Option<OptimizerState<B, 2>>,
    ) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
        let (time, sums) = Self::sums(state, &table);
        let sums = sums + gradient.clone().square().mean_dim(1);
        let table = table + self.step(learning_rate, gradient, sums.clone());
        (table, Self::state(time, sums))
    }

    /// The number of this step, counted from 1, and the sums of squares before it, `[rows, 1]`.
    fn sums<B: Backend>(
        state: Option<OptimizerState<B, 2>>,
        table: &Tensor<B, 2>,
    ) -> (usize, Tensor<B, 2>) {
        match state {
            Some(state) => (state.time + 1, state.squares),
            None => (1, Tensor::zeros([table.dims()[0], 1], &table.device())),
        }
    }

    fn state<B: Backend>(time: usize, squares: Tensor<B, 2>) -> OptimizerState<B, 2> {
        OptimizerState {
            time,
            mean: None,
            squares,
        }
    }

    /// The steps of rows with these gradients `[n, dim]` and sums of squares `[n, 1]`.
    fn step<B: Backend>(
        self,
        learning_rate: LearningRate,
        gradient: Tensor<B, 2>,
        sums: Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        let roots = sums.add_scalar(self.epsilon).sqrt();
        (gradient / roots).mul_scalar(-self.rate * learning_rate)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Int, TensorData, Tolerance};

    use super::*;

    /// Two steps followed on paper: a row with the gradient (3, 4), then the same with (1, 1).
    #[test]
    fn two_steps_of_a_row_by_hand_and_the_same_by_the_whole_table() {
        let device = Default::default();
        let adagrad = RowAdagrad {
            rate: 2.0,
            epsilon: 1e-12,
        };
        let table = || Tensor::<Flex, 2>::ones([3, 2], &device);
        let whole = |values: [f32; 2]| {
            Tensor::<Flex, 2>::from_floats([[0.0, 0.0], [0.0, 0.0], values], &device)
        };
        let rows = |values: [f32; 2]| RowGradient::<Flex> {
            indices: Tensor::<Flex, 1, Int>::from_ints([2], &device),
            values: Tensor::from_floats([values], &device),
        };
        let (by_rows, state) = adagrad.step_rows(0.1, table(), rows([3.0, 4.0]), None);
        let (by_rows, state) = adagrad.step_rows(0.1, by_rows, rows([1.0, 1.0]), Some(state));
        // The mean squares are 12.5, then 13.5 in sum.
        let moved = |first: f32, second: f32| {
            1.0 - 0.2 * (first / 12.5f32.sqrt() + second / 13.5f32.sqrt())
        };
        let expected =
            TensorData::from([[1.0, 1.0], [1.0, 1.0], [moved(3.0, 1.0), moved(4.0, 1.0)]]);
        let tolerance = Tolerance::<f32>::absolute(1e-6);
        by_rows.into_data().assert_approx_eq(&expected, tolerance);
        assert_eq!((state.time, state.squares.dims()), (2, [3, 1]));

        let (all, state) = adagrad.step_all(0.1, table(), whole([3.0, 4.0]), None);
        let (all, _) = adagrad.step_all(0.1, all, whole([1.0, 1.0]), Some(state));
        all.into_data().assert_approx_eq(&expected, tolerance);
    }
}
