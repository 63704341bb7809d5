//! The gradients of a step.

use std::collections::HashMap;

use burn::module::ParamId;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::ops::FloatTensorOps;
use burn::tensor::{
    ElementConversion, Int, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive,
};

use super::tables::Tables;
use crate::backend::{self, Backend, RowGradient, TrainingBackend};
use crate::model::{TrainableRecaller, for_each_parameter};

/// The gradients of a model's parameters, by
/// [`ModelOptimizer::gradients`](super::ModelOptimizer::gradients): whole tensors, and for tables
/// of which a step has looked up some rows, unless they move as all other parameters, those of the
/// rows.
#[derive(Debug)]
pub struct ModelGradients<B: TrainingBackend> {
    pub(super) whole: GradientsParams,
    /// Of each table, where it was looked up.
    pub(super) rows: HashMap<ParamId, Vec<RowGradient<B::InnerBackend>>>,
}

impl<B: TrainingBackend> ModelGradients<B> {
    /// The gradients of a loss `[1]` of a model, for tables that are to move so.
    pub(super) fn new<M: TrainableRecaller<B>>(
        loss: Tensor<B, 1>,
        model: &M,
        tables: Tables,
    ) -> Self {
        let rows = HashMap::new();
        if tables == Tables::Dense {
            let whole = GradientsParams::from_grads(loss.backward(), model);
            return Self { whole, rows };
        }
        let (all, mut of_rows) = B::backward_by_rows(loss.into_primitive().tensor());
        let mut gradients = Self {
            whole: GradientsParams::from_grads(all, model),
            rows,
        };
        for_each_parameter(model, |_, id, values| {
            let rows = of_rows.take(B::table_id(&values));
            if !rows.is_empty() {
                gradients.rows.insert(id, rows);
            }
        });
        gradients
    }

    /// Adds those of more of a step's batches.
    pub(super) fn add<M: TrainableRecaller<B>>(&mut self, more: Self, model: &M) {
        let mut sum = GradientsAccumulator::new();
        sum.accumulate(model, std::mem::take(&mut self.whole));
        sum.accumulate(model, more.whole);
        self.whole = sum.grads();
        for (table, rows) in more.rows {
            self.rows.entry(table).or_default().extend(rows);
        }
    }

    /// The norm `[1]` of all gradients together, if there are any, which are scaled down to
    /// `largest` where it is above that.
    pub(super) fn clip<M: TrainableRecaller<B>>(
        &mut self,
        model: &M,
        largest: f64,
    ) -> Option<Tensor<B::InnerBackend, 1>> {
        // A row that was looked up several times has one gradient, and a table one of either kind.
        let mut sums = Vec::new();
        for_each_parameter::<B>(model, |_, id, _| {
            let rows = self.take_rows(id);
            // Its rank is looked at where rows were looked up alone, which are a matrix's.
            let whole = self.whole.get::<B::InnerBackend, 2>(id);
            let gradient = match (&rows, whole) {
                (Some(rows), Some(whole)) => Some(with_rows(whole, rows)),
                (Some(rows), None) => Some(rows.values.clone()),
                (None, whole) => whole,
            };
            sums.extend(gradient.map(|gradient| gradient.square().sum()));
            self.rows.extend(rows.map(|rows| (id, vec![rows])));
        });
        if sums.is_empty() {
            return None;
        }
        let norm = Tensor::cat(sums, 0).sum().sqrt();
        // A device would be waited for, and multiplies by 1 instead.
        if B::HOST && norm.clone().into_scalar().elem::<f64>() <= largest {
            return Some(norm);
        }
        let largest = Tensor::from_floats([largest as f32], &norm.device());
        let scale = largest.clone() / norm.clone().max_pair(largest);
        for_each_parameter::<B>(model, |_, id, values| {
            if let Some(gradient) = self.whole.remove::<B::InnerBackend, 1>(id) {
                let scale = scale.clone().into_primitive().tensor();
                let shape = Shape::from(vec![1; values.shape().num_dims()]);
                let scale = B::InnerBackend::float_reshape(scale, shape);
                let gradient = gradient.into_primitive().tensor();
                let scaled = B::InnerBackend::float_mul(gradient, scale);
                let scaled = TensorPrimitive::Float(scaled);
                (self.whole).register(id, Tensor::<B::InnerBackend, 1>::from_primitive(scaled));
            }
            for part in self.rows.get_mut(&id).into_iter().flatten() {
                part.values = part.values.clone() * scale.clone().unsqueeze();
            }
        });
        Some(norm)
    }

    /// Takes the gradient of a table's rows, each named once.
    pub(super) fn take_rows(&mut self, table: ParamId) -> Option<RowGradient<B::InnerBackend>> {
        self.rows.remove(&table).map(merged)
    }
}

/// One gradient of several, which names each row once: the sum of a row's, in their order.
fn merged<B: Backend>(mut parts: Vec<RowGradient<B>>) -> RowGradient<B> {
    let values: Vec<_> = parts.iter().map(|part| part.values.clone()).collect();
    let indices: Vec<_> = parts.drain(..).map(|part| part.indices).collect();
    let values = Tensor::cat(values, 0);
    let device = values.device();
    let named: Vec<i64> = (Tensor::cat(indices, 0).into_data().iter::<i64>()).collect();
    let mut order: Vec<usize> = (0..named.len()).collect();
    order.sort_unstable_by_key(|&place| (named[place], place));
    let mut rows: Vec<i64> = Vec::new();
    let mut sums = vec![0i64; named.len()];
    for place in order {
        if rows.last() != Some(&named[place]) {
            rows.push(named[place]);
        }
        sums[place] = rows.len() as i64 - 1;
    }
    let integers = |values: Vec<i64>| {
        let shape = [values.len()];
        Tensor::<B, 1, Int>::from_data(TensorData::new(values, shape), &device)
    };
    let sum = Tensor::zeros([rows.len(), values.dims()[1]], &device);
    RowGradient {
        values: backend::add_to_rows(sum, integers(sums), values),
        indices: integers(rows),
    }
}

/// The gradient of a whole table with that of some of its rows added.
pub(super) fn with_rows<B: Backend, const D: usize>(
    whole: Tensor<B, D>,
    rows: &RowGradient<B>,
) -> Tensor<B, D> {
    let shape = whole.dims();
    let [count, dim] = [shape[0], rows.values.dims()[1]];
    let RowGradient { indices, values } = rows.clone();
    backend::add_to_rows(whole.reshape([count, dim]), indices, values).reshape(shape)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn a_row_that_is_named_several_times_has_the_sum() {
        let device = Default::default();
        let part = |indices: [i64; 2], values: [[f32; 2]; 2]| RowGradient::<Flex> {
            indices: Tensor::from_ints(indices, &device),
            values: Tensor::from_floats(values, &device),
        };
        let merged = merged(vec![
            part([7, 2], [[1.0, 2.0], [3.0, 4.0]]),
            part([7, 7], [[10.0, 20.0], [100.0, 200.0]]),
        ]);
        let indices: Vec<i64> = merged.indices.into_data().iter::<i64>().collect();
        assert_eq!(indices, [2, 7]);
        let values = merged.values.into_data().to_vec::<f32>().unwrap();
        assert_eq!(values, [3.0, 4.0, 111.0, 222.0]);
    }
}
