//! Backends' primitives, as tensors and as values in this process's memory.

use std::ops::{Deref, DerefMut};

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Shape, Tensor, TensorData, TensorPrimitive};

/// A tensor's values in this process's memory. They are changed in place where nobody else holds
/// them, and in a copy where someone does.
pub trait HostFloats<B: BurnBackend>: DerefMut<Target = [f32]> {
    /// The tensor of the values.
    fn into_tensor(self) -> FloatTensor<B>;
}

/// Values that were copied out of a tensor.
pub(super) struct CopiedFloats<B: BurnBackend> {
    values: Vec<f32>,
    shape: Shape,
    device: B::Device,
}

impl<B: BurnBackend> CopiedFloats<B> {
    pub(super) fn new(primitive: FloatTensor<B>) -> Self {
        let device = B::float_device(&primitive);
        let data = tensor::<B, 1>(primitive).into_data();
        Self {
            shape: data.shape.clone(),
            values: data.iter::<f32>().collect(),
            device,
        }
    }
}

impl<B: BurnBackend> Deref for CopiedFloats<B> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl<B: BurnBackend> DerefMut for CopiedFloats<B> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl<B: BurnBackend> HostFloats<B> for CopiedFloats<B> {
    fn into_tensor(self) -> FloatTensor<B> {
        B::float_from_data(TensorData::new(self.values, self.shape), &self.device)
    }
}

/// The values of an integer tensor in row-major order.
pub(super) fn integers<B: BurnBackend>(primitive: IntTensor<B>) -> Vec<i32> {
    let data = Tensor::<B, 1, Int>::from_primitive(primitive).into_data();
    data.iter::<i32>().collect()
}

/// A tensor of values that a kernel has made.
pub(super) fn from_values<B: BurnBackend>(
    values: Vec<f32>,
    shape: impl Into<Shape>,
) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values, shape), &B::Device::default())
}

/// A backend's primitive as a tensor.
pub(super) fn tensor<B: BurnBackend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// A tensor as its backend's primitive.
pub(super) fn primitive<B: BurnBackend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}
