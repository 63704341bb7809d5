//! Sparse matrices that are not trained, times dense ones that are.

use std::sync::Arc;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, TensorMetadata};

use super::Backend;
use super::operations::Fused;
use super::primitives::{from_values, primitive, tensor};
use crate::kernels::sparse::SparseRows;

/// A sparse matrix with its transposed one, which gradients go by.
#[derive(Debug, Clone)]
pub(crate) struct SparseMatrix {
    rows: Arc<SparseRows>,
    transposed: Arc<SparseRows>,
}

impl SparseMatrix {
    pub(crate) fn new(rows: SparseRows) -> Self {
        Self {
            transposed: Arc::new(rows.transposed()),
            rows: Arc::new(rows),
        }
    }

    /// This matrix `[rows, width]` times a dense one `[width, dim]`, `[rows, dim]`.
    pub(crate) fn times<B: Backend>(&self, dense: Tensor<B, 2>) -> Tensor<B, 2> {
        assert_eq!(dense.dims()[0], self.rows.width, "a row for each column");
        let operation = FusedSparse {
            matrix: self.clone(),
        };
        tensor(B::fused(operation, [primitive(dense)]))
    }
}

/// The product; its operand is the dense matrix.
#[derive(Debug, Clone)]
struct FusedSparse {
    matrix: SparseMatrix,
}

impl<I> Fused<I, 1> for FusedSparse {
    type Saved<B: BurnBackend> = ();

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [dense]: [FloatTensor<B>; 1],
    ) -> (FloatTensor<B>, ()) {
        (
            primitive(product::<B>(&self.matrix.rows, tensor(dense))),
            (),
        )
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [dense]: [FloatTensor<B>; 1],
    ) -> (FloatTensor<B>, ()) {
        let [_, dim] = dense.shape().dims();
        let rows = &self.matrix.rows;
        let product = rows.times(&B::floats(dense), dim);
        (from_values::<B>(product, [rows.len(), dim]), ())
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        vec![primitive(product::<B>(
            &self.matrix.transposed,
            tensor(gradient),
        ))]
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        let [_, dim] = gradient.shape().dims();
        let rows = &self.matrix.transposed;
        let product = rows.times(&B::floats(gradient), dim);
        vec![from_values::<B>(product, [rows.len(), dim])]
    }
}

/// The product by looking up the rows that values stand at and adding them up.
fn product<B: Backend>(sparse: &SparseRows, dense: Tensor<B, 2>) -> Tensor<B, 2> {
    let device = dense.device();
    let sums = Tensor::zeros([sparse.len(), dense.dims()[1]], &device);
    let count = sparse.columns.len();
    if count == 0 {
        return sums;
    }
    let integers = |values: Vec<i32>| {
        Tensor::<B, 1, Int>::from_data(TensorData::new(values, [count]), &device)
    };
    let columns = sparse.columns.iter().map(|&column| column as i32);
    let owners = (0..sparse.len()).flat_map(|row| {
        let values = sparse.offsets[row + 1] - sparse.offsets[row];
        std::iter::repeat_n(row as i32, values)
    });
    let values = TensorData::new(sparse.values.clone(), [count, 1]);
    let values = Tensor::<B, 2>::from_data(values, &device);
    let parts = dense.select(0, integers(columns.collect())) * values;
    let owners = integers(owners.collect());
    sums.select_assign(0, owners, parts, IndexingUpdateOp::Add)
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
            (rows, width, dim) in (1..300usize, 1..20usize, 1..40usize),
            numbers in floats(320 * 40, 2.0),
        ) {
            let mut numbers = Numbers::new(numbers);
            // None to two values a row, of which two may stand in one place.
            let values: Vec<f32> = (0..2 * rows).map(|place| (place % 7) as f32 - 3.0).collect();
            let of = |row: usize| (row % 3).min(2);
            let ends = (0..rows).scan(0, |end, row| { *end += of(row); Some(*end) });
            let offsets: Vec<usize> = std::iter::once(0).chain(ends).collect();
            let count = offsets[rows];
            let matrix = SparseMatrix::new(SparseRows {
                columns: (0..count).map(|place| (place * 7 % width) as u32).collect(),
                values: values[..count].to_vec(),
                offsets,
                width,
            });
            let operands = [numbers.tensor([width, dim])];
            let gradient = numbers.tensor([rows, dim]);
            assert_agreement(&FusedSparse { matrix }, operands, gradient, [1e-4, 1e-3]);
        }
    }
}
