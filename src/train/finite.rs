//! A check that a model's weights are still numbers.

use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor, TensorPrimitive};

use crate::model::for_each_parameter;

/// Whether no weight of a model is infinite or no number.
pub(super) fn all_finite<B: Backend>(model: &impl Module<B>) -> bool {
    let mut finite = true;
    for_each_parameter(model, |_, _, values| {
        // 0 times a number is 0, and anything else is none.
        let zeros = B::float_mul_scalar(values, 0.0.into());
        let sum = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(B::float_sum(zeros)));
        finite &= sum.into_scalar().elem::<f64>() == 0.0;
    });
    finite
}
