//! Dropout by a seed.

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Int, Tensor, TensorMetadata};

use super::Backend;
use super::operations::Fused;
use super::primitives::{from_values, primitive, tensor};
use super::random_bits::RandomBits;
use crate::kernels::dropout::{DropoutRule, apply};

/// Inverted dropout: sets a share `probability` of the values to 0 and scales the rest up, so
/// that the mean stays (Srivastava et al. 2014).
///
/// The mask depends on the seed and the values' places alone: it is the same on every backend,
/// and training that is resumed draws what it would have drawn.
pub fn dropout<B: Backend, const D: usize>(
    values: Tensor<B, D>,
    probability: f64,
    seed: u64,
) -> Tensor<B, D> {
    if probability == 0.0 {
        return values;
    }
    let operation = FusedDropout { probability, seed };
    tensor(B::fused(operation, [primitive(values)]))
}

/// Dropout, which is its own gradient; its operand is the values.
#[derive(Debug, Clone)]
struct FusedDropout {
    probability: f64,
    seed: u64,
}

impl<I> Fused<I, 1> for FusedDropout {
    type Saved<B: BurnBackend> = ();

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [values]: [FloatTensor<B>; 1],
    ) -> (FloatTensor<B>, ()) {
        let shape = values.shape();
        let bits = RandomBits::first(self.seed, shape.num_elements());
        let mask = dropout_mask::<B>(&bits, self.probability, &B::float_device(&values));
        let mask = B::float_reshape(primitive(mask), shape);
        (B::float_mul(values, mask), ())
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [values]: [FloatTensor<B>; 1],
    ) -> (FloatTensor<B>, ()) {
        let shape = values.shape();
        let dropped = apply(self.seed, self.probability, &B::floats(values));
        (from_values::<B>(dropped, shape), ())
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        vec![self.by_tensors::<B>([gradient]).0]
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        vec![self.by_kernels::<B>([gradient]).0]
    }
}

/// 0 where a value is dropped, and more than 1 where it is kept, `[places]`.
pub(super) fn dropout_mask<B: Backend>(
    bits: &RandomBits,
    probability: f64,
    device: &B::Device,
) -> Tensor<B, 1> {
    let rule = DropoutRule::new(probability);
    let bits = Tensor::<B, 1, Int>::from_primitive(B::random_bits(bits, device));
    bits.lower_equal_elem(rule.last())
        .float()
        .mul_scalar(rule.scale)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use proptest::prelude::*;

    use super::super::agreement::{tensor, values};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Kernels and tensors give equal bits, on any number of pieces.
        #[test]
        fn kernels_and_tensors_agree(count in prop_oneof![1..100usize, 16_380..16_390usize], seed in any::<u64>()) {
            let numbers = (0..count).map(|place| place as f32 - 50.0).collect();
            let input = tensor(numbers, [count]);
            let operation = FusedDropout { probability: 0.3, seed };
            let (by_kernels, ()) = operation.by_kernels::<Flex>([input.clone()]);
            let (by_tensors, ()) = operation.by_tensors::<Flex>([input]);
            let bits = |dropped| values(dropped).into_iter().map(f32::to_bits).collect::<Vec<_>>();
            prop_assert_eq!(bits(by_kernels), bits(by_tensors));
        }
    }
}
