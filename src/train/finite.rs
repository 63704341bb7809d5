//! A check that a model's weights are still numbers.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor};

/// Whether no weight of a model is infinite or no number.
pub(super) fn all_finite<B: Backend>(model: &impl Module<B>) -> bool {
    let mut visitor = Finite(true);
    model.visit(&mut visitor);
    visitor.0
}

struct Finite(bool);

impl<B: Backend> ModuleVisitor<B> for Finite {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        // 0 times a number is 0, and anything else is none.
        let sum = param.val().mul_scalar(0.0).sum();
        self.0 &= sum.into_scalar().elem::<f64>() == 0.0;
    }
}
