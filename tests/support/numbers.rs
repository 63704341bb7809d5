//! Tensors, numbers and comparisons of the models' tests.

use burn::tensor::{Tensor, TensorData};
use seqrec::backend::Backend;
use seqrec::burn;

pub fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub fn tensor<B: Backend, const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), &B::Device::default())
}

/// Numbers that look random and are the same everywhere.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 * 2.0 - 1.0
    };
    std::iter::repeat_with(draw).take(count).collect()
}

pub fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(
            error <= tolerance * expected.abs().max(1.0),
            "{name}[{place}] is {found}, expected {expected}"
        );
    }
}

/// The change of `of` along each value, by central differences.
pub fn differences(at: &[f32], of: impl Fn(&[f32]) -> f32) -> Vec<f32> {
    const STEP: f32 = 1e-2;
    (0..at.len())
        .map(|place| {
            let moved = |by: f32| {
                let mut values = at.to_vec();
                values[place] += by;
                of(&values)
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
        })
        .collect()
}
