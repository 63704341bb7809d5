//! The decaying mean of a model's weights.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// The mean of weights over the steps so far, of which the last ones count the most (Polyak &
/// Juditsky, 1992).
pub(super) struct Average {
    /// The share of the mean that is kept at each step.
    pub(super) decay: f64,
}

impl Average {
    /// The mean after one more step, which is the `made`-th: of the first steps it keeps less, so
    /// that the weights that training began with are soon forgotten.
    pub(super) fn next<B: Backend, M: Module<B>>(&self, mean: M, now: &M, made: usize) -> M {
        let early = (1 + made) as f64 / (10 + made) as f64;
        let mut weights = WeightsById(GradientsParams::new());
        now.visit(&mut weights);
        mean.map(&mut Toward {
            now: weights.0,
            kept: self.decay.min(early),
        })
    }
}

/// A model's weights by their ids.
struct WeightsById(GradientsParams);

impl<B: Backend> ModuleVisitor<B> for WeightsById {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.register(param.id, param.val());
    }
}

struct Toward {
    now: GradientsParams,
    kept: f64,
}

impl<B: Backend> ModuleMapper<B> for Toward {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some(now) = self.now.remove::<B, D>(param.id) else {
            return param;
        };
        let kept = self.kept;
        param.map(|mean| mean.mul_scalar(kept) + now.mul_scalar(1.0 - kept))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::nn::LinearConfig;

    use super::*;

    #[test]
    fn a_mean_goes_toward_the_weights_of_now() {
        let device = Default::default();
        let layer = LinearConfig::new(2, 2).init::<Flex>(&device);
        let of = |value: f32| {
            let mut layer = layer.clone();
            layer.weight = layer
                .weight
                .map(|weight| weight.zeros_like().add_scalar(value));
            layer
        };
        let average = Average { decay: 0.9 };
        let value = |layer: &burn::nn::Linear<Flex>| {
            layer.weight.val().into_data().to_vec::<f32>().unwrap()[3]
        };
        // The first step keeps 2 parts of 11, a late one nine tenths.
        let first = average.next(of(0.0), &of(11.0), 1);
        assert!((value(&first) - 9.0).abs() < 1e-5, "{}", value(&first));
        let late = average.next(of(0.0), &of(10.0), 1_000);
        assert!((value(&late) - 1.0).abs() < 1e-5, "{}", value(&late));
    }
}
