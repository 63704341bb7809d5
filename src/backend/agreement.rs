//! Kernels against ordinary tensor operations, for the tests of fused operations.

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData, TensorPrimitive};
use burn_flex::FlexTensor;
use proptest::prelude::*;

use super::operations::Fused;

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

pub(super) fn values(tensor: FlexTensor) -> Vec<f32> {
    Tensor::<Flex, 1>::from_primitive(TensorPrimitive::Float(tensor))
        .into_data()
        .iter()
        .collect()
}

pub(super) fn floats(count: usize, size: f32) -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(-size..size, count)
}

/// Numbers of which tensors are made, one after another.
pub(super) struct Numbers(std::vec::IntoIter<f32>);

impl Numbers {
    pub(super) fn new(numbers: Vec<f32>) -> Self {
        Self(numbers.into_iter())
    }

    pub(super) fn tensor<const D: usize>(&mut self, shape: [usize; D]) -> FlexTensor {
        let count = shape.iter().product();
        tensor(self.0.by_ref().take(count).collect(), shape)
    }
}

/// The largest difference is small beside the largest value, or beside `floor` where all are
/// smaller: a saturated softmax leaves nothing but rounding.
pub(super) fn assert_within(
    name: &str,
    found: FlexTensor,
    expected: FlexTensor,
    tolerance: f32,
    floor: f32,
) {
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = |size: f32, value: &f32| size.max(value.abs());
    let size = expected.iter().fold(floor, largest);
    for (found, expected) in found.iter().zip(&expected) {
        let error = (found - expected).abs();
        assert!(
            error <= tolerance * size,
            "{name}: {found} is not {expected} (size {size})"
        );
    }
}

pub(super) fn assert_close(name: &str, found: FlexTensor, expected: FlexTensor, tolerance: f32) {
    assert_within(name, found, expected, tolerance, 0.03);
}

/// Checks an operation's result and its gradients by kernels and by ordinary tensor operations,
/// each within a tolerance.
pub(super) fn assert_agreement<O: Fused<FlexTensor, N>, const N: usize>(
    operation: &O,
    operands: [FlexTensor; N],
    gradient: FlexTensor,
    [of_result, of_gradients]: [f32; 2],
) {
    let (by_kernels, kept_by_kernels) = operation.by_kernels::<Flex>(operands.clone());
    let (by_tensors, kept_by_tensors) = operation.by_tensors::<Flex>(operands);
    assert_close("result", by_kernels, by_tensors, of_result);
    let by_kernels = operation.gradients_by_kernels::<Flex>(gradient.clone(), kept_by_kernels);
    let by_tensors = operation.gradients_by_tensors::<Flex>(gradient, kept_by_tensors);
    assert_same_gradients(by_kernels, by_tensors, of_gradients);
}

/// Checks gradients by several operands.
pub(super) fn assert_same_gradients(
    by_kernels: Vec<FlexTensor>,
    by_tensors: Vec<FlexTensor>,
    tolerance: f32,
) {
    assert_eq!(by_kernels.len(), by_tensors.len());
    let pairs = by_kernels.into_iter().zip(by_tensors).enumerate();
    for (operand, (by_kernels, by_tensors)) in pairs {
        let name = format!("gradient by operand {operand}");
        assert_close(&name, by_kernels, by_tensors, tolerance);
    }
}
