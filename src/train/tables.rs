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
/// With a loss over a sample of the items ([`Loss::Sampled`](crate::model::Loss::Sampled)), a step
/// of 256 histories concerns some thousands of vectors. [`Tables::Dense`] still pays for the whole
/// table; the others for those vectors alone, so that a step takes as long with ten million items
/// as with a hundred thousand. A loss over the whole catalog moves every row in any case.
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
    /// By Adagrad with one number a row, the sum of its gradients' mean squares, in place of Adam's
    /// two moments a value: of a table of dim 64, what is kept is a 64th of its size.
    ///
    /// Duchi et al., [Adaptive Subgradient Methods](https://jmlr.org/papers/v12/duchi11a.html), a
    /// row being a parameter, as Naumov et al., [DLRM](https://arxiv.org/abs/1906.00091), train
    /// such tables.
    RowWise {
        /// How many times the learning rate of the other parameters that of tables is, 100 unless
        /// said: Adagrad's steps get smaller as its sums grow, where Adam's do not. With learning
        /// rates of about 0.002, 100 has been the best, 30 and 300 nearly as good, and 10 much
        /// worse (docs/benchmarks.md).
        #[serde(default = "rate")]
        rate: f64,
        /// Added to the sum of squares, under the root; 1e-10 unless said.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
}

fn rate() -> f64 {
    100.0
}

fn epsilon() -> f64 {
    1e-10
}

impl Tables {
    /// Row-wise Adagrad at a hundred times the learning rate of the other parameters.
    pub const ROW_WISE: Self = Self::RowWise {
        rate: 100.0,
        epsilon: 1e-10,
    };

    pub(super) fn validate(self) -> Result<()> {
        let Self::RowWise { rate, epsilon } = self else {
            return Ok(());
        };
        checks::positive("tables.rate", rate)?;
        checks::positive("tables.epsilon", epsilon)
    }
}

/// Row-wise Adagrad for the rows that a gradient names, each once.
pub(super) fn row_wise_step<B: Backend>(
    (learning_rate, epsilon): (LearningRate, f64),
    table: Tensor<B, 2>,
    gradient: RowGradient<B>,
    state: Option<OptimizerState<B, 2>>,
) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
    let RowGradient { indices, values } = gradient;
    let (time, sums) = sums_before(state, &table);
    let squares = values.clone().square().mean_dim(1);
    let sums = backend::add_to_rows(sums, indices.clone(), squares);
    let of_rows = backend::select_rows(sums.clone(), indices.clone());
    let step = step(learning_rate, epsilon, values, of_rows);
    let moved = backend::select_rows(table.clone(), indices.clone()) + step;
    let table = backend::replace_rows(table, indices, moved, time as u64);
    (table, OptimizerState::of_sums(time, sums))
}

/// Row-wise Adagrad for every row.
pub(super) fn row_wise_step_of_all<B: Backend>(
    (learning_rate, epsilon): (LearningRate, f64),
    table: Tensor<B, 2>,
    gradient: Tensor<B, 2>,
    state: Option<OptimizerState<B, 2>>,
) -> (Tensor<B, 2>, OptimizerState<B, 2>) {
    let (time, sums) = sums_before(state, &table);
    let sums = sums + gradient.clone().square().mean_dim(1);
    let table = table + step(learning_rate, epsilon, gradient, sums.clone());
    (table, OptimizerState::of_sums(time, sums))
}

/// The number of this step, counted from 1, and the sums of squares before it, `[rows, 1]`.
fn sums_before<B: Backend>(
    state: Option<OptimizerState<B, 2>>,
    table: &Tensor<B, 2>,
) -> (usize, Tensor<B, 2>) {
    match state {
        Some(state) => (state.time + 1, state.squares),
        None => (1, Tensor::zeros([table.dims()[0], 1], &table.device())),
    }
}

/// The steps of rows with these gradients `[n, dim]` and sums of squares `[n, 1]`.
fn step<B: Backend>(
    learning_rate: LearningRate,
    epsilon: f64,
    gradient: Tensor<B, 2>,
    sums: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let roots = sums.add_scalar(epsilon).sqrt();
    (gradient / roots).mul_scalar(-learning_rate)
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
        let settings = (0.2, 1e-12);
        let table = || Tensor::<Flex, 2>::ones([3, 2], &device);
        let whole = |values: [f32; 2]| {
            Tensor::<Flex, 2>::from_floats([[0.0, 0.0], [0.0, 0.0], values], &device)
        };
        let rows = |values: [f32; 2]| RowGradient::<Flex> {
            indices: Tensor::<Flex, 1, Int>::from_ints([2], &device),
            values: Tensor::from_floats([values], &device),
        };
        let (by_rows, state) = row_wise_step(settings, table(), rows([3.0, 4.0]), None);
        let (by_rows, state) = row_wise_step(settings, by_rows, rows([1.0, 1.0]), Some(state));
        // The mean squares are 12.5, then 13.5 in sum.
        let moved = |first: f32, second: f32| {
            1.0 - 0.2 * (first / 12.5f32.sqrt() + second / 13.5f32.sqrt())
        };
        let expected =
            TensorData::from([[1.0, 1.0], [1.0, 1.0], [moved(3.0, 1.0), moved(4.0, 1.0)]]);
        let tolerance = Tolerance::<f32>::absolute(1e-6);
        by_rows.into_data().assert_approx_eq(&expected, tolerance);
        assert_eq!((state.time, state.squares.dims()), (2, [3, 1]));

        let (all, state) = row_wise_step_of_all(settings, table(), whole([3.0, 4.0]), None);
        let (all, _) = row_wise_step_of_all(settings, all, whole([1.0, 1.0]), Some(state));
        all.into_data().assert_approx_eq(&expected, tolerance);
    }
}
