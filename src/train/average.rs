//! The decaying mean of a model's weights.

use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::backend::Backend;

use crate::model::{for_each_parameter, map_parameters};

/// The mean of weights over the steps so far, of which the last ones count the most (Polyak &
/// Juditsky, 1992), after one more step, which is the `made`-th. It keeps the share `decay` of the
/// mean before, and less after the first steps, so that the weights that training began with are
/// soon forgotten.
pub(super) fn next_mean<B: Backend, M: Module<B>>(decay: f64, mean: M, now: &M, made: usize) -> M {
    let early = (1 + made) as f64 / (10 + made) as f64;
    let kept = decay.min(early);
    let mut weights = HashMap::new();
    for_each_parameter(now, |_, id, values| drop(weights.insert(id, values)));
    map_parameters(mean, |_, id, mean| match weights.remove(&id) {
        Some(now) => B::float_add(
            B::float_mul_scalar(mean, kept.into()),
            B::float_mul_scalar(now, (1.0 - kept).into()),
        ),
        None => mean,
    })
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
        let value = |layer: &burn::nn::Linear<Flex>| {
            layer.weight.val().into_data().to_vec::<f32>().unwrap()[3]
        };
        // The first step keeps 2 parts of 11, a late one nine tenths.
        let first = next_mean(0.9, of(0.0), &of(11.0), 1);
        assert!((value(&first) - 9.0).abs() < 1e-5, "{}", value(&first));
        let late = next_mean(0.9, of(0.0), &of(10.0), 1_000);
        assert!((value(&late) - 1.0).abs() < 1e-5, "{}", value(&late));
    }
}
