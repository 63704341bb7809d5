//! Inner products of one query with rows that lie apart in memory.

use bytemuck::Zeroable;
use pulp::{Arch, Simd, WithSimd};

/// Sixteen values in a cache line of their own: rows made of lines are read without ever
/// crossing one.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; Line::WIDTH]);

impl Line {
    pub(crate) const WIDTH: usize = 16;

    /// How many lines hold a vector.
    pub(crate) fn per_vector(dim: usize) -> usize {
        dim.div_ceil(Self::WIDTH)
    }

    /// A vector filled up with zeros to whole lines.
    pub(crate) fn from_vector(vector: &[f32]) -> Vec<Self> {
        let mut lines = vec![Self::zeroed(); Self::per_vector(vector.len())];
        Self::write(vector, &mut lines);
        lines
    }

    /// Writes a vector to the lines that hold it.
    pub(crate) fn write(vector: &[f32], lines: &mut [Self]) {
        let values: &mut [f32] = bytemuck::cast_slice_mut(lines);
        values[..vector.len()].copy_from_slice(vector);
        values[vector.len()..].fill(0.0);
    }
}

/// Asks for the memory that a slice lies in.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = slice.as_ptr().cast::<i8>();
        for offset in (0..size_of_val(slice)).step_by(64) {
            // SAFETY: a prefetch is a hint that reads nothing, and every x86-64 has it; the
            // address stays within the slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

/// The inner products of `query` with the rows of `vectors` that `rows` names; a row has as many
/// lines as the query.
pub(crate) fn score_rows(query: &[Line], vectors: &[Line], rows: &[u32], scores: &mut [f32]) {
    for &row in rows {
        prefetch(&vectors[row as usize * query.len()..][..query.len()]);
    }
    Arch::new().dispatch(ScoreRows {
        query,
        vectors,
        rows,
        scores,
    });
}

struct ScoreRows<'a> {
    query: &'a [Line],
    vectors: &'a [Line],
    rows: &'a [u32],
    scores: &'a mut [f32],
}

impl WithSimd for ScoreRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lines = self.query.len();
        let (query, _) = S::as_simd_f32s(bytemuck::cast_slice::<Line, f32>(self.query));
        for (&row, score) in self.rows.iter().zip(self.scores) {
            let row = &self.vectors[row as usize * lines..][..lines];
            let (row, _) = S::as_simd_f32s(bytemuck::cast_slice::<Line, f32>(row));
            // Two sums, since each waits for its last addition.
            let mut sums = [simd.splat_f32s(0.0); 2];
            let (pairs, rest) = pulp::as_arrays::<2, _>(query);
            let (row_pairs, row_rest) = pulp::as_arrays::<2, _>(row);
            for (a, b) in pairs.iter().zip(row_pairs) {
                sums[0] = simd.mul_add_f32s(a[0], b[0], sums[0]);
                sums[1] = simd.mul_add_f32s(a[1], b[1], sums[1]);
            }
            for (a, b) in rest.iter().zip(row_rest) {
                sums[0] = simd.mul_add_f32s(*a, *b, sums[0]);
            }
            *score = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dimension_is_taken() {
        for dim in [1, 15, 16, 17, 33, 64, 100] {
            // Small integers, so that sums are exact in any order.
            let value = |place: usize| (place * 7 % 11) as f32 - 3.0;
            let vectors: Vec<Vec<f32>> = (0..5)
                .map(|row| (0..dim).map(|column| value(row * 31 + column)).collect())
                .collect();
            let lines: Vec<Line> = vectors
                .iter()
                .flat_map(|row| Line::from_vector(row))
                .collect();
            let query: Vec<f32> = (0..dim).map(|column| value(column + 5)).collect();
            let rows = [4, 0, 2, 2];
            let mut scores = [0.0; 4];
            score_rows(&Line::from_vector(&query), &lines, &rows, &mut scores);
            for (row, score) in rows.into_iter().zip(scores) {
                let pairs = vectors[row as usize].iter().zip(&query);
                assert_eq!(score, pairs.map(|(a, b)| a * b).sum::<f32>(), "dim {dim}");
            }
        }
    }
}
