//! burn-ndarray: burn's older CPU backend.

use std::ops::{Deref, DerefMut};

use burn::backend::NdArray;
use burn::tensor::TensorData;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn_ndarray::NdArrayTensor;

use super::host::{self, HostBackend, OwnedTensor, kernel_methods};
use super::{
    AdamState, AdamStep, AttentionGradients, AttentionInput, AttentionOutput, Backend,
    GruGradients, GruOutput, GruWeights, LayerNormInput, LinearInput, LinearOutput,
    SoftmaxGradients, SoftmaxInput,
};

/// Values taken out of a tensor, with its shape.
struct Floats {
    values: Vec<f32>,
    shape: Vec<usize>,
}

impl Floats {
    fn new(tensor: NdArrayTensor) -> Self {
        let data = burn::tensor::Tensor::<NdArray, 1>::from_primitive(
            burn::tensor::TensorPrimitive::Float(tensor),
        )
        .into_data();
        Self {
            shape: data.shape.to_vec(),
            values: data.iter::<f32>().collect(),
        }
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl OwnedTensor<NdArray> for Floats {
    fn into_tensor(self) -> NdArrayTensor {
        NdArrayTensor::from_data(TensorData::new(self.values, self.shape))
    }
}

impl HostBackend for NdArray {
    fn floats(tensor: FloatTensor<Self>) -> impl Deref<Target = [f32]> {
        Floats::new(tensor)
    }

    fn floats_mut(tensor: FloatTensor<Self>) -> impl DerefMut<Target = [f32]> + OwnedTensor<Self> {
        Floats::new(tensor)
    }

    fn integers(tensor: IntTensor<Self>) -> Vec<i32> {
        let data = burn::tensor::Tensor::<Self, 1, burn::tensor::Int>::from_primitive(tensor);
        data.into_data().iter::<i32>().collect()
    }

    fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Self> {
        NdArrayTensor::from_data(TensorData::new(values, shape))
    }
}

impl Backend for NdArray {
    const HOST: bool = true;

    kernel_methods!();
}
