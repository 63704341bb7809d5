//! Causal convolutions over packed sequences.

use std::sync::Arc;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorData, TensorMetadata};

use super::Backend;
use super::operations::Fused;
use super::padding::PaddedPlaces;
use super::primitives::{from_values, primitive, tensor};
use crate::kernels::convolution::convolve;

/// Each token's `values` `[tokens, dim]` mixed with those of earlier tokens of its sequence,
/// `[tokens, dim]`: the sum of `taps[distance]` times them. Sequences of these `lengths` lie one
/// after another.
///
/// # Panics
/// When there are not as many tokens as the lengths say, or a sequence is longer than there are
/// taps.
pub(crate) fn causal_convolution<B: Backend>(
    values: Tensor<B, 2>,
    lengths: &Arc<[usize]>,
    taps: &Arc<[f32]>,
) -> Tensor<B, 2> {
    let tokens: usize = lengths.iter().sum();
    assert_eq!(values.dims()[0], tokens, "one row for each token");
    let longest = lengths.iter().max().copied().unwrap_or(0);
    assert!(longest <= taps.len(), "a tap for each distance");
    let operation = FusedConvolution {
        lengths: lengths.clone(),
        taps: taps.clone(),
    };
    tensor(B::fused(operation, [primitive(values)]))
}

/// A causal convolution; its operand is the values. The gradient is the sum over each token itself
/// and later ones.
#[derive(Debug, Clone)]
struct FusedConvolution {
    lengths: Arc<[usize]>,
    taps: Arc<[f32]>,
}

impl<I> Fused<I, 1> for FusedConvolution {
    type Saved<B: BurnBackend> = ();

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [values]: [FloatTensor<B>; 1],
    ) -> (FloatTensor<B>, ()) {
        (self.on_padded::<B>(values, false), ())
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [values]: [FloatTensor<B>; 1],
    ) -> (FloatTensor<B>, ()) {
        (self.on_slices::<B>(values, false), ())
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        vec![self.on_padded::<B>(gradient, true)]
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        vec![self.on_slices::<B>(gradient, true)]
    }
}

impl FusedConvolution {
    /// By one triangular matrix over a padded batch.
    fn on_padded<B: Backend>(&self, values: FloatTensor<B>, transposed: bool) -> FloatTensor<B> {
        let values: Tensor<B, 2> = tensor(values);
        let places = PaddedPlaces::<B>::new(&self.lengths, &values.device());
        let len = places.len;
        let mut filter = vec![0.0f32; len * len];
        for row in 0..len {
            for column in 0..=row {
                filter[row * len + column] = self.taps[row - column];
            }
        }
        let filter = TensorData::new(filter, [len, len]);
        let filter = Tensor::<B, 2>::from_data(filter, &values.device());
        let filter = if transposed {
            filter.transpose()
        } else {
            filter
        };
        let padded = places.pad(values) * places.real.clone();
        primitive(places.pack(filter.unsqueeze::<3>().matmul(padded)))
    }

    fn on_slices<B: Backend>(&self, values: FloatTensor<B>, transposed: bool) -> FloatTensor<B> {
        let shape: [usize; 2] = values.shape().dims();
        let values = B::floats(values);
        let mixed = convolve(&values, shape[1], &self.lengths, &self.taps, transposed);
        from_values::<B>(mixed, shape)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use proptest::prelude::*;

    use super::super::agreement::{Numbers, assert_agreement, floats};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn kernels_and_tensors_agree(
            lengths in proptest::collection::vec(1..12usize, 1..9),
            dim in 1..20usize,
            numbers in floats(2 * 9 * 12 * 20, 2.0),
            taps in floats(12, 1.0),
        ) {
            let tokens: usize = lengths.iter().sum();
            let mut numbers = Numbers::new(numbers);
            let values = numbers.tensor([tokens, dim]);
            let gradient = numbers.tensor([tokens, dim]);
            let operation = FusedConvolution { lengths: lengths.into(), taps: taps.into() };
            assert_agreement(&operation, [values], gradient, [1e-5; 2]);
        }
    }
}
