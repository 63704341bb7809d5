//! A linear layer with its activation.

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata, activation};

use super::operations::Fused;
use super::primitives::{from_values, primitive, tensor};
use super::{Activation, Backend};
use crate::kernels::linear::Linear;

/// A linear layer with its activation, `[rows, outputs]`: `activation(values · weight + bias)` of
/// `values` `[rows, inputs]`, `weight` `[inputs, outputs]` and `bias` `[outputs]`.
///
/// # Panics
/// When the shapes don't fit each other.
pub(crate) fn linear<B: Backend>(
    values: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Tensor<B, 1>,
    activation: Activation,
) -> Tensor<B, 2> {
    let [inputs, outputs] = weight.dims();
    assert_eq!(values.dims()[1], inputs, "a weight for each input");
    assert_eq!(bias.dims(), [outputs], "a bias for each output");
    let operands = [primitive(values), primitive(weight), primitive(bias)];
    tensor(B::fused(activation, operands))
}

/// A linear layer with this activation; its operands are values, weight and bias.
impl<I> Fused<I, 3> for Activation {
    /// The operands, and the outputs for [`Activation::Relu`], what they were before for
    /// [`Activation::Silu`] and [`Activation::Gelu`], and anything for none.
    type Saved<B: BurnBackend> = ([FloatTensor<B>; 3], FloatTensor<B>);

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; 3],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let [values, weight, bias] = operands.clone();
        let [values, weight] = [values, weight].map(tensor::<B, 2>);
        let before = values.matmul(weight) + tensor::<B, 1>(bias).unsqueeze();
        let (outputs, saved) = match self {
            Activation::None => (before.clone(), before),
            Activation::Relu => {
                let outputs = activation::relu(before);
                (outputs.clone(), outputs)
            }
            Activation::Silu => (activation::silu(before.clone()), before),
            Activation::Gelu => (activation::gelu(before.clone()), before),
        };
        (primitive(outputs), (operands, primitive(saved)))
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; 3],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let [rows, _] = operands[0].shape().dims();
        let [_, outputs] = operands[1].shape().dims();
        let (values, before) = on_slices::<B, _>(operands.clone(), *self, |linear, values| {
            linear.forward(values)
        });
        let values = from_values::<B>(values, [rows, outputs]);
        let saved = match self {
            Activation::Silu | Activation::Gelu => from_values::<B>(before, [rows, outputs]),
            Activation::None | Activation::Relu => values.clone(),
        };
        (values, (operands, saved))
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        ([values, weight, _], saved): Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let [gradient, saved] = [gradient, saved].map(tensor::<B, 2>);
        let by_before = match self {
            Activation::None => gradient,
            Activation::Relu => {
                let inactive = saved.lower_equal_elem(0.0);
                gradient.mask_fill(inactive, 0.0)
            }
            Activation::Silu => {
                let gate = activation::sigmoid(saved.clone());
                let slope = saved * gate.clone().neg().add_scalar(1.0);
                gradient * gate * slope.add_scalar(1.0)
            }
            Activation::Gelu => {
                let scaled = saved.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2);
                let below = scaled.erf().add_scalar(1.0).mul_scalar(0.5);
                let density = saved.clone().square().mul_scalar(-0.5).exp();
                let density = density.div_scalar(std::f64::consts::TAU.sqrt());
                gradient * (below + saved * density)
            }
        };
        let [values, weight] = [values, weight].map(tensor::<B, 2>);
        vec![
            primitive(by_before.clone().matmul(weight.transpose())),
            primitive(values.transpose().matmul(by_before.clone())),
            primitive(by_before.sum_dim(0).squeeze_dim::<1>(0)),
        ]
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (operands, saved): Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let [rows, inputs] = operands[0].shape().dims();
        let [_, outputs] = operands[1].shape().dims();
        let [gradient, saved] = [gradient, saved].map(B::floats);
        let [by_values, by_weight, by_bias] =
            on_slices::<B, _>(operands, *self, |linear, values| {
                linear.backward(&gradient, values, &saved)
            });
        vec![
            from_values::<B>(by_values, [rows, inputs]),
            from_values::<B>(by_weight, [inputs, outputs]),
            from_values::<B>(by_bias, [outputs]),
        ]
    }
}

/// Calls a kernel on a layer and its values.
fn on_slices<B: Backend, R>(
    operands: [FloatTensor<B>; 3],
    activation: Activation,
    kernel: impl FnOnce(Linear<'_>, &[f32]) -> R,
) -> R {
    let [inputs, _] = operands[1].shape().dims();
    let [values, weight, bias] = operands.map(B::floats);
    let linear = Linear {
        weight: &weight,
        bias: &bias,
        inputs,
        activation,
    };
    kernel(linear, &values)
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
            (rows, inputs, outputs) in (prop_oneof![1..5usize, 120..140usize], 1..20usize, 1..40usize),
            activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Silu), Just(Activation::Gelu)],
            numbers in floats(140 * 20 + 20 * 40 + 40 + 140 * 40, 2.0),
        ) {
            let mut numbers = Numbers::new(numbers);
            let operands = [
                numbers.tensor([rows, inputs]),
                numbers.tensor([inputs, outputs]),
                numbers.tensor([outputs]),
            ];
            let gradient = numbers.tensor([rows, outputs]);
            assert_agreement(&activation, operands, gradient, [1e-5, 1e-4]);
        }
    }
}
