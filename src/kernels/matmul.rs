//! Matrix products of row-major slices.

use gemm::Parallelism;

/// A row-major matrix `[rows, columns]`, or the transpose of one.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix `[rows, columns]` in row-major order.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix fills its slice");
        Self {
            values,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Whether a product replaces what is there or is added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    Replace,
    Add,
}

/// `out = left · right` or `out += left · right`, on the calling thread; `out` is row-major.
pub(crate) fn matmul(out: &mut [f32], mode: Into, left: Matrix<'_>, right: Matrix<'_>) {
    let (rows, depth, columns) = (left.rows, left.columns, right.columns);
    assert_eq!(depth, right.rows, "the inner dimensions of a product agree");
    assert_eq!(out.len(), rows * columns, "a product fills its output");
    // SAFETY: `Matrix` holds slices of exactly `rows * columns` values, and its strides are a
    // row-major layout's or its transpose's, so every address read lies inside them; `out` is
    // checked above, is not aliased (it is `&mut`), and is written row-major.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            1,
            columns as isize,
            mode == Into::Add,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_transposes_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];
        let mut out = [0.0; 4];
        matmul(
            &mut out,
            Into::Replace,
            Matrix::new(&a, 2, 3),
            Matrix::new(&b, 3, 2),
        );
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        matmul(
            &mut out,
            Into::Add,
            Matrix::new(&a, 2, 3),
            Matrix::new(&a, 2, 3).t(),
        );
        assert_eq!(out, [19.0, 43.0, 46.0, 100.0]);
        let mut out = [9.0; 9];
        matmul(
            &mut out,
            Into::Replace,
            Matrix::new(&a, 2, 3).t(),
            Matrix::new(&a, 2, 3),
        );
        assert_eq!(out, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }
}
