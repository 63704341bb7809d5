//! burn-flex: pure-Rust CPU, the default.

use std::ops::{Deref, DerefMut};

use burn::backend::Flex;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, TensorData, TensorMetadata};
use burn_flex::FlexTensor;
use half::f16;

use super::host::{self, HostBackend, OwnedTensor, kernel_methods};
use super::{
    AdamState, AdamStep, AttentionGradients, AttentionInput, AttentionOutput, Backend,
    GruGradients, GruOutput, GruWeights, LayerNormInput, LinearInput, LinearOutput,
    SoftmaxGradients, SoftmaxInput, default_ops,
};
use crate::kernels;

/// A contiguous tensor of `f32`.
struct Floats(FlexTensor);

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.storage()
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.storage_mut()
    }
}

impl OwnedTensor<Flex> for Floats {
    fn into_tensor(self) -> FlexTensor {
        self.0
    }
}

impl HostBackend for Flex {
    fn floats(tensor: FloatTensor<Self>) -> impl Deref<Target = [f32]> {
        Floats(tensor.to_contiguous())
    }

    fn floats_mut(tensor: FloatTensor<Self>) -> impl DerefMut<Target = [f32]> + OwnedTensor<Self> {
        // The tensor itself must be gone, or its values count as shared and are copied.
        let contiguous = tensor.to_contiguous();
        drop(tensor);
        Floats(contiguous)
    }

    fn integers(tensor: IntTensor<Self>) -> Vec<i32> {
        tensor.into_data().iter::<i32>().collect()
    }

    fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Self> {
        FlexTensor::from_data(TensorData::new(values, shape))
    }
}

impl Backend for Flex {
    const HOST: bool = true;

    kernel_methods!();

    fn select_rows(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        if table.dtype() != DType::F16 {
            return default_ops::select_rows::<Self>(table, indices);
        }
        let [rows, dim] = table.shape().dims();
        let numbers = host::row_numbers::<Self>(indices, rows);
        let table = table.to_contiguous();
        let selected = kernels::half::select(table.storage(), dim, &numbers);
        Self::tensor(selected, [numbers.len(), dim])
    }

    fn replace_rows(
        table: FloatTensor<Self>,
        indices: IntTensor<Self>,
        values: FloatTensor<Self>,
        seed: u64,
    ) -> FloatTensor<Self> {
        let [rows, dim] = table.shape().dims();
        let numbers = host::row_numbers::<Self>(indices, rows);
        let values = Self::floats(values);
        // The tensor itself must be gone, or its values count as shared and are copied.
        let mut replaced = table.to_contiguous();
        drop(table);
        match replaced.dtype() {
            DType::F16 => {
                let table = replaced.storage_mut::<f16>();
                kernels::half::replace(table, dim, &numbers, &values, seed);
            }
            _ => kernels::rows::replace(replaced.storage_mut(), dim, &numbers, &values),
        }
        replaced
    }
}
