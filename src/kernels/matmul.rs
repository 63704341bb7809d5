//! Matrix products of row-major slices, for the shapes that recall models have.
//!
//! Their inner dimension is a few dozen to a few hundred, so what a general product spends on
//! packing its operands is a large share of the work. Here the right side is read as it lies: its
//! rows are what vectors are made of. A tile of the output stays in registers (the microkernel of
//! Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).

use pulp::{Arch, Simd, WithSimd};

/// A row-major matrix `[rows, columns]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// The distance of rows' starts.
    stride: usize,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix fills its slice");
        Self {
            values,
            rows,
            columns,
            stride: columns,
        }
    }

    /// The first columns of a matrix whose rows begin `stride` values apart.
    pub(crate) fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(columns <= stride, "rows do not overlap");
        let used = rows
            .checked_sub(1)
            .map_or(0, |last| last * stride + columns);
        assert!(used <= values.len(), "all rows are there");
        Self {
            values,
            rows,
            columns,
            stride,
        }
    }

    /// All values of a matrix whose rows lie one after another.
    pub(crate) fn values(self) -> &'a [f32] {
        self.values
    }

    /// The transpose as the left side of a product, without moving anything.
    pub(crate) fn t(self) -> LeftOperand<'a> {
        LeftOperand {
            values: self.values,
            rows: self.columns,
            depth: self.rows,
            row_stride: 1,
            depth_stride: self.stride,
        }
    }

    /// The transpose in row-major order, written to `out`.
    pub(crate) fn transpose_into(self, out: &mut [f32]) {
        assert_eq!(
            out.len(),
            self.rows * self.columns,
            "a transpose fills its output"
        );
        for (column, out) in out.chunks_exact_mut(self.rows.max(1)).enumerate() {
            for (row, out) in out.iter_mut().enumerate() {
                *out = self.values[row * self.stride + column];
            }
        }
    }

    /// The transpose in row-major order.
    pub(crate) fn transposed(self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.columns];
        self.transpose_into(&mut out);
        out
    }
}

/// The left side of a product: a matrix `[rows, depth]`, or the transpose of one.
#[derive(Clone, Copy)]
pub(crate) struct LeftOperand<'a> {
    values: &'a [f32],
    rows: usize,
    depth: usize,
    row_stride: usize,
    depth_stride: usize,
}

impl<'a> From<Matrix<'a>> for LeftOperand<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Self {
            values: matrix.values,
            rows: matrix.rows,
            depth: matrix.columns,
            row_stride: matrix.stride,
            depth_stride: 1,
        }
    }
}

/// `out = left · right`, on the calling thread; `out` is row-major.
pub(crate) fn matmul<'a>(out: &mut [f32], left: impl Into<LeftOperand<'a>>, right: Matrix<'_>) {
    multiply(out, false, left.into(), right);
}

/// `out += left · right`, on the calling thread; `out` is row-major.
pub(crate) fn matmul_add<'a>(out: &mut [f32], left: impl Into<LeftOperand<'a>>, right: Matrix<'_>) {
    multiply(out, true, left.into(), right);
}

fn multiply(out: &mut [f32], add: bool, left: LeftOperand<'_>, right: Matrix<'_>) {
    assert_eq!(
        left.depth, right.rows,
        "the inner dimensions of a product agree"
    );
    assert_eq!(
        out.len(),
        left.rows * right.columns,
        "a product fills its output"
    );
    Arch::new().dispatch(MatrixProduct {
        out,
        add,
        left,
        right,
    });
}

struct MatrixProduct<'a> {
    out: &'a mut [f32],
    add: bool,
    left: LeftOperand<'a>,
    right: Matrix<'a>,
}

impl WithSimd for MatrixProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let whole = self.right.columns / S::F32_LANES;
        let mut done = 0;
        while done < whole {
            let first = done * S::F32_LANES;
            let wide = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
            let vectors = (whole - done).min(wide);
            // Rows times vectors is as many sums as the registers hold beside the operands.
            match (S::REGISTER_COUNT >= 32, vectors) {
                (true, 4) => self.panel::<S, 4, 6>(simd, first, S::F32_LANES),
                (true, 3) => self.panel::<S, 3, 8>(simd, first, S::F32_LANES),
                (true, 2) => self.panel::<S, 2, 12>(simd, first, S::F32_LANES),
                (false, 2) => self.panel::<S, 2, 6>(simd, first, S::F32_LANES),
                _ => self.panel::<S, 1, 12>(simd, first, S::F32_LANES),
            }
            done += vectors;
        }
        let rest = self.right.columns % S::F32_LANES;
        if rest > 0 {
            self.panel::<S, 1, 12>(simd, done * S::F32_LANES, rest);
        }
    }
}

impl MatrixProduct<'_> {
    /// The columns of `VECTORS` vectors, from column `first` on, in tiles of at most `ROWS` rows
    /// that differ by no more than one; only `lanes` of the last vector are columns.
    #[inline(always)]
    fn panel<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        first: usize,
        lanes: usize,
    ) {
        if self.left.rows == 0 {
            return;
        }
        let tiles = self.left.rows.div_ceil(ROWS);
        let (least, more) = (self.left.rows / tiles, self.left.rows % tiles);
        let mut row = 0;
        for tile in 0..tiles {
            let rows = least + usize::from(tile < more);
            macro_rules! of_rows {
                ($($rows:literal)*) => {
                    match rows {
                        $($rows if $rows <= ROWS => {
                            self.tile::<S, VECTORS, $rows>(simd, row, first, lanes)
                        })*
                        _ => unreachable!("a tile has between 1 and ROWS rows"),
                    }
                };
            }
            of_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
            row += rows;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        row: usize,
        first: usize,
        lanes: usize,
    ) {
        let (columns, stride) = (self.right.columns, self.right.stride);
        assert!(row + ROWS <= self.left.rows && lanes <= S::F32_LANES);
        assert!(first + (VECTORS - 1) * S::F32_LANES + lanes <= columns);
        let (row_stride, depth_stride) = (self.left.row_stride, self.left.depth_stride);
        let partial = lanes < S::F32_LANES;
        let mask = simd.mask_between_m32s(0, lanes as u32);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        // SAFETY: `left.values` holds the `rows * depth` values that the two strides reach,
        // whichever way round they lie, and the rows from `row` on are among them; `right.values`
        // holds `depth` rows of `columns` values, `stride` apart, and the columns from `first` on
        // that are loaded, where the last vector is partial only its first `lanes`, are among them
        // (`Matrix::new`, `Matrix::strided` and the assertions above). Loads need no alignment.
        unsafe {
            let left = self.left.values.as_ptr();
            let right = self.right.values.as_ptr();
            for depth in 0..self.left.depth {
                let left = left.add(row * row_stride + depth * depth_stride);
                let right = right.add(depth * stride + first);
                let mut vectors = [simd.splat_f32s(0.0); VECTORS];
                for (place, vector) in vectors.iter_mut().enumerate() {
                    let from = right.add(place * S::F32_LANES);
                    *vector = if partial {
                        simd.mask_load_ptr_f32s(mask, from)
                    } else {
                        from.cast::<S::f32s>().read_unaligned()
                    };
                }
                for (place, sums) in sums.iter_mut().enumerate() {
                    let factor = simd.splat_f32s(*left.add(place * row_stride));
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = simd.mul_add_f32s(factor, vector, *sum);
                    }
                }
            }
        }
        self.store::<S, VECTORS, ROWS>(simd, sums, row, first, lanes);
    }

    /// Writes or adds the sums of a tile.
    #[inline(always)]
    fn store<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; VECTORS]; ROWS],
        row: usize,
        first: usize,
        lanes: usize,
    ) {
        let columns = self.right.columns;
        let partial = lanes < S::F32_LANES;
        let mask = simd.mask_between_m32s(0, lanes as u32);
        // By index, so that the sums stay in registers: an iterator would move them to memory.
        #[allow(clippy::needless_range_loop)]
        for place in 0..ROWS {
            let start = (row + place) * columns + first;
            let out = &mut self.out[start..start + (VECTORS - 1) * S::F32_LANES + lanes];
            for vector in 0..VECTORS {
                // SAFETY: `out` is as long as all vectors, of which the last has `lanes` values;
                // what is masked out is neither read nor written.
                unsafe {
                    let out = out.as_mut_ptr().add(vector * S::F32_LANES);
                    let before = match (self.add, partial) {
                        (false, _) => simd.splat_f32s(0.0),
                        (true, true) => simd.mask_load_ptr_f32s(mask, out),
                        (true, false) => out.cast::<S::f32s>().read_unaligned(),
                    };
                    let sum = simd.add_f32s(before, sums[place][vector]);
                    if partial {
                        simd.mask_store_ptr_f32s(mask, out, sum);
                    } else {
                        out.cast::<S::f32s>().write_unaligned(sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn products_and_transposes_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];
        let mut out = [0.0; 4];
        matmul(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2));
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        let a_t = Matrix::new(&a, 2, 3).transposed();
        assert_eq!(a_t, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        matmul_add(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&a_t, 3, 2));
        assert_eq!(out, [19.0, 43.0, 46.0, 100.0]);
        let mut out = [9.0; 9];
        matmul(&mut out, Matrix::new(&a, 2, 3).t(), Matrix::new(&a, 2, 3));
        assert_eq!(out, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }

    #[test]
    fn products_of_nothing() {
        let mut out = [7.0; 2];
        matmul_add(&mut out, Matrix::new(&[], 1, 0), Matrix::new(&[], 0, 2));
        assert_eq!(out, [7.0; 2]);
        matmul(&mut out, Matrix::new(&[], 1, 0), Matrix::new(&[], 0, 2));
        assert_eq!(out, [0.0; 2]);
        matmul(
            &mut [],
            Matrix::new(&[], 0, 3),
            Matrix::new(&[1.0; 6], 3, 2),
        );
        matmul(
            &mut [],
            Matrix::new(&[1.0; 6], 2, 3),
            Matrix::new(&[], 3, 0),
        );
    }

    proptest! {
        #[test]
        fn every_shape_equals_the_definition(
            rows in 1..40usize, depth in 0..20usize, columns in 1..150usize,
            transposed in any::<bool>(), add in any::<bool>(), seed in 0..1000usize,
        ) {
            // Small integers, so that sums are exact in any order.
            let value = |place: usize| ((place * 2_654_435_761 + seed) >> 7) as u8 as f32 % 7.0 - 3.0;
            let a: Vec<f32> = (0..rows * depth).map(value).collect();
            let b: Vec<f32> = (0..depth * columns).map(|place| value(place + 5000)).collect();
            let mut out: Vec<f32> = (0..rows * columns).map(|place| value(place + 9000)).collect();
            let mut expected = out.clone();
            for row in 0..rows {
                for column in 0..columns {
                    let product = |k: usize| {
                        let left = if transposed { a[k * rows + row] } else { a[row * depth + k] };
                        left * b[k * columns + column]
                    };
                    let sum: f32 = (0..depth).map(product).sum();
                    let before = &mut expected[row * columns + column];
                    *before = if add { *before + sum } else { sum };
                }
            }
            let left = if transposed {
                Matrix::new(&a, depth, rows).t()
            } else {
                Matrix::new(&a, rows, depth).into()
            };
            multiply(&mut out, add, left, Matrix::new(&b, depth, columns));
            prop_assert_eq!(out, expected);
        }
    }
}
