//! Named arrays of numbers in one file, in the safetensors format.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Error, Result};

use crate::error::damaged;
use crate::recall::{Links, Node};

/// A number of a kind that a file may hold.
pub(super) trait Number: Copy {
    const DTYPE: Dtype;
    fn write(self, bytes: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! number {
    ($type:ty, $dtype:ident) => {
        impl Number for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }

            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("chunks of the number's size"))
            }
        }
    };
}
number!(u8, U8);
number!(u32, U32);
number!(u64, U64);
number!(f32, F32);
number!(f64, F64);

/// Arrays that are to be written.
#[derive(Default)]
pub(super) struct ArrayWriter {
    arrays: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl ArrayWriter {
    pub(super) fn add<T: Number>(&mut self, name: &str, values: impl ExactSizeIterator<Item = T>) {
        let shape = vec![values.len()];
        self.add_shaped(name, shape, values);
    }

    pub(super) fn add_matrix(&mut self, name: &str, matrix: ArrayView2<'_, f32>) {
        self.add_shaped(name, matrix.shape().to_vec(), matrix.iter().copied());
    }

    pub(super) fn add_links<F: Node, T: Node>(&mut self, name: &str, links: &Links<F, T>) {
        let (offsets, targets, weights) = links.parts();
        self.add(
            &format!("{name}.offsets"),
            offsets.iter().map(|&offset| offset as u64),
        );
        self.add(&format!("{name}.targets"), targets.iter().copied());
        self.add(&format!("{name}.weights"), weights.iter().copied());
    }

    fn add_shaped<T: Number>(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        values: impl Iterator<Item = T>,
    ) {
        let mut bytes = Vec::new();
        values.for_each(|value| value.write(&mut bytes));
        self.arrays.push((name.to_owned(), T::DTYPE, shape, bytes));
    }

    pub(super) fn finish(&self, path: &Path) -> Result<Vec<u8>> {
        let failed = |error: safetensors::SafeTensorError| damaged(path, error.to_string());
        let views = (self.arrays.iter())
            .map(|(name, dtype, shape, bytes)| {
                let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(failed)?;
                Ok((name.as_str(), view))
            })
            .collect::<Result<Vec<_>>>()?;
        safetensors::serialize(views, None).map_err(failed)
    }
}

/// The arrays of a file.
pub(super) struct ArrayReader<'a> {
    path: PathBuf,
    arrays: SafeTensors<'a>,
}

impl<'a> ArrayReader<'a> {
    pub(super) fn new(path: PathBuf, bytes: &'a [u8]) -> Result<Self> {
        let arrays =
            SafeTensors::deserialize(bytes).map_err(|error| damaged(&path, error.to_string()))?;
        Ok(Self { path, arrays })
    }

    fn failed(&self, name: &str, reason: impl std::fmt::Display) -> Error {
        damaged(&self.path, format!("array {name:?}: {reason}"))
    }

    fn read<T: Number>(&self, name: &str) -> Result<(Vec<usize>, Vec<T>)> {
        let view = (self.arrays.tensor(name)).map_err(|error| self.failed(name, error))?;
        if view.dtype() != T::DTYPE {
            let reason = format!("it is of {:?}, not {:?}", view.dtype(), T::DTYPE);
            return Err(self.failed(name, reason));
        }
        let values = view.data().chunks_exact(size_of::<T>()).map(T::read);
        Ok((view.shape().to_vec(), values.collect()))
    }

    pub(super) fn get<T: Number>(&self, name: &str) -> Result<Vec<T>> {
        Ok(self.read(name)?.1)
    }

    pub(super) fn matrix(&self, name: &str) -> Result<Array2<f32>> {
        let (shape, values) = self.read(name)?;
        let &[rows, columns] = shape.as_slice() else {
            return Err(self.failed(
                name,
                format!("its shape is {shape:?}, not that of a matrix"),
            ));
        };
        Array2::from_shape_vec((rows, columns), values).map_err(|error| self.failed(name, error))
    }

    pub(super) fn offsets(&self, name: &str) -> Result<Vec<usize>> {
        let offsets = self.get::<u64>(name)?;
        Ok(offsets.into_iter().map(|offset| offset as usize).collect())
    }

    pub(super) fn links<F: Node, T: Node>(&self, name: &str, nodes: usize) -> Result<Links<F, T>> {
        let offsets = self.offsets(&format!("{name}.offsets"))?;
        let targets = self.get(&format!("{name}.targets"))?;
        let weights = self.get(&format!("{name}.weights"))?;
        Links::from_parts(offsets, targets, weights, nodes)
            .map_err(|error| self.failed(name, error))
    }
}
