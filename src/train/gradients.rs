//! The norm of a step's gradients.

use burn::module::{AutodiffModule, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::{ElementConversion, backend::AutodiffBackend};

/// The norm of all gradients together, which are scaled down to `largest` where it is above that.
pub(super) fn clip<B: AutodiffBackend>(
    gradients: &mut GradientsParams,
    model: &impl AutodiffModule<B>,
    largest: f64,
) -> f64 {
    let mut squares = Squares {
        gradients,
        sum: 0.0,
    };
    model.visit(&mut squares);
    let norm = squares.sum.sqrt();
    if norm > largest {
        let scale = largest / norm;
        model.visit(&mut Scaled { gradients, scale });
    }
    norm
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B::InnerBackend, D>(param.id) {
            let squares = gradient.square().sum();
            self.sum += squares.into_scalar().elem::<f64>();
        }
    }
}

struct Scaled<'a> {
    gradients: &'a mut GradientsParams,
    scale: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Scaled<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(param.id) {
            let scaled = gradient.mul_scalar(self.scale);
            self.gradients.register(param.id, scaled);
        }
    }
}
