//! burn-flex: pure-Rust CPU, the default.

use std::ops::{Deref, DerefMut};

use burn::backend::Flex;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, TensorMetadata};
use burn_flex::FlexTensor;
use half::f16;

use super::operations::Operations;
use super::primitives::{HostFloats, from_values};
use super::{lookup, rows};
use crate::kernels;

/// A contiguous tensor of `f32`.
struct FlexFloats(FlexTensor);

impl Deref for FlexFloats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.storage()
    }
}

impl DerefMut for FlexFloats {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.storage_mut()
    }
}

impl HostFloats<Flex> for FlexFloats {
    fn into_tensor(self) -> FlexTensor {
        self.0
    }
}

impl Operations for Flex {
    const HOST: bool = true;
    const KERNELS: bool = true;

    fn floats(tensor: FloatTensor<Self>) -> impl HostFloats<Self> {
        FlexFloats(tensor.to_contiguous())
    }

    fn select_rows(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        if table.dtype() != DType::F16 {
            return lookup::select_by_tensors::<Self>(table, indices);
        }
        let [rows, dim] = table.shape().dims();
        let numbers = rows::numbers::<Self>(indices, rows);
        let table = table.to_contiguous();
        let selected = kernels::half::select(table.storage(), dim, &numbers);
        from_values::<Self>(selected, [numbers.len(), dim])
    }

    fn replace_rows(
        table: FloatTensor<Self>,
        indices: IntTensor<Self>,
        values: FloatTensor<Self>,
        seed: u64,
    ) -> FloatTensor<Self> {
        let [rows, dim] = table.shape().dims();
        let numbers = rows::numbers::<Self>(indices, rows);
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
