//! Layer normalization.

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata};

use super::Backend;
use super::operations::Fused;
use super::primitives::{from_values, primitive, tensor};
use crate::kernels::layer_norm::{backward, forward};

/// Each row of `values` `[rows, dim]` with mean 0 and variance 1, times `gamma` plus `beta` `[dim]`
/// (Ba, Kiros & Hinton, 2016). `epsilon` is added to each row's variance.
///
/// # Panics
/// When the shapes don't fit each other.
pub(crate) fn layer_norm<B: Backend>(
    values: Tensor<B, 2>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    let [_, dim] = values.dims();
    assert_eq!(
        [gamma.dims(), beta.dims()],
        [[dim]; 2],
        "one for each column"
    );
    let operands = [primitive(values), primitive(gamma), primitive(beta)];
    tensor(B::fused(FusedLayerNorm { epsilon }, operands))
}

/// Layer normalization; its operands are values, gamma and beta.
#[derive(Debug, Clone)]
struct FusedLayerNorm {
    epsilon: f64,
}

impl<I> Fused<I, 3> for FusedLayerNorm {
    /// The values and gamma.
    type Saved<B: BurnBackend> = [FloatTensor<B>; 2];

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [values, gamma, beta]: [FloatTensor<B>; 3],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let saved = [values.clone(), gamma.clone()];
        let (normal, _) = self.normal(tensor::<B, 2>(values));
        let [gamma, beta] = [gamma, beta].map(tensor::<B, 1>);
        let normal = normal * gamma.unsqueeze() + beta.unsqueeze();
        (primitive(normal), saved)
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [values, gamma, beta]: [FloatTensor<B>; 3],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let (shape, saved) = (values.shape(), [values.clone(), gamma.clone()]);
        let [values, gamma, beta] = [values, gamma, beta].map(B::floats);
        let normal = forward(&values, &gamma, &beta, self.epsilon as f32);
        (from_values::<B>(normal, shape), saved)
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        [values, gamma]: Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let gradient: Tensor<B, 2> = tensor(gradient);
        let gamma: Tensor<B, 1> = tensor(gamma);
        let (normal, scale) = self.normal(tensor::<B, 2>(values));
        let by_normal = gradient.clone() * gamma.unsqueeze();
        let along = (by_normal.clone() * normal.clone()).mean_dim(1);
        let by_values =
            scale * (by_normal.clone() - by_normal.mean_dim(1) - normal.clone() * along);
        let columns = |values: Tensor<B, 2>| primitive(values.sum_dim(0).squeeze_dim::<1>(0));
        vec![
            primitive(by_values),
            columns(gradient.clone() * normal),
            columns(gradient),
        ]
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        [values, gamma]: Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let [rows, dim] = values.shape().dims();
        let [gradient, values, gamma] = [gradient, values, gamma].map(B::floats);
        let [by_values, by_gamma, by_beta] =
            backward(&gradient, &values, &gamma, self.epsilon as f32);
        vec![
            from_values::<B>(by_values, [rows, dim]),
            from_values::<B>(by_gamma, [dim]),
            from_values::<B>(by_beta, [dim]),
        ]
    }
}

impl FusedLayerNorm {
    /// Rows with mean 0 and variance 1, and one over each one's deviation `[rows, 1]`.
    fn normal<B: Backend>(&self, values: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let centered = values.clone() - values.mean_dim(1);
        let variance = centered.clone().square().mean_dim(1);
        let scale = variance.add_scalar(self.epsilon).sqrt().recip();
        (centered * scale.clone(), scale)
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
            (rows, dim) in (prop_oneof![1..5usize, 120..140usize], 2..40usize),
            numbers in floats(2 * 140 * 40 + 2 * 40, 2.0),
        ) {
            let mut numbers = Numbers::new(numbers);
            let operands = [
                numbers.tensor([rows, dim]),
                numbers.tensor([dim]),
                numbers.tensor([dim]),
            ];
            let gradient = numbers.tensor([rows, dim]);
            let operation = FusedLayerNorm { epsilon: 1e-5 };
            assert_agreement(&operation, operands, gradient, [1e-5, 2e-4]);
        }
    }
}
