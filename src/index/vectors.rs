//! Vectors as an index keeps them.

use bytemuck::Zeroable;
use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::kernels::precision;
use crate::kernels::scoring::{self, Line};

pub use crate::kernels::precision::Precision;

/// Vectors of one dimension, by row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vectors {
    dim: usize,
    precision: Precision,
    per_row: usize,
    /// Whole lines for each row.
    rows: Buffer<Line>,
    /// What each row's values are multiples of; for int8 alone.
    scales: Buffer<f32>,
}

/// A vector made ready to be compared with many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    lines: Vec<Line>,
    /// For int8 alone: the vector as bytes, and what these are multiples of.
    bytes: Vec<Line>,
    scale: f32,
}

impl Query {
    /// Room for a vector, filled up with zeros to whole lines of every precision.
    fn room(&mut self, dim: usize) -> &mut [f32] {
        let padded = dim.next_multiple_of(Line::BYTES);
        self.lines.resize(padded / Line::WIDTH, Line::zeroed());
        let values: &mut [f32] = bytemuck::cast_slice_mut(&mut self.lines);
        values[dim..].fill(0.0);
        &mut values[..dim]
    }

    /// The vector, filled up with zeros.
    pub(crate) fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.lines)
    }
}

impl Vectors {
    /// The rows of `vectors` `[len, dim]`.
    pub(crate) fn new(vectors: &[f32], dim: usize, precision: Precision) -> Self {
        let mut all = Self {
            dim,
            precision,
            per_row: lines_per_row(dim, precision),
            rows: Buffer::default(),
            scales: Buffer::default(),
        };
        let len = vectors.len() / dim;
        let per_row = all.lines_per_row();
        let mut scales = vec![0.0; len];
        let mut rows = vec![Line::zeroed(); len * per_row];
        rows.par_chunks_exact_mut(per_row)
            .zip(vectors.par_chunks_exact(dim))
            .zip(&mut scales)
            .for_each(|((row, vector), scale)| *scale = encode(vector, precision, row));
        all.rows = rows.into();
        if precision == Precision::Int8 {
            all.scales = scales.into();
        }
        all
    }

    /// The same vectors out of a file; `None` when the parts don't fit each other.
    pub(super) fn from_parts(
        dim: usize,
        precision: Precision,
        rows: Buffer<Line>,
        scales: Buffer<f32>,
    ) -> Option<Self> {
        let all = Self {
            dim,
            precision,
            per_row: lines_per_row(dim, precision),
            rows,
            scales,
        };
        let len = all.len();
        let scales = if precision == Precision::Int8 { len } else { 0 };
        (all.rows.len() == len * all.lines_per_row() && all.scales.len() == scales).then_some(all)
    }

    /// The rows and their scales, for the writer of files.
    pub(super) fn parts(&self) -> (&[Line], &[f32]) {
        (&self.rows, &self.scales)
    }

    #[inline(always)]
    pub(super) fn lines_per_row(&self) -> usize {
        self.per_row
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len() / self.lines_per_row()
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Replaces a row, or adds the next one.
    pub(crate) fn set(&mut self, row: usize, vector: &[f32]) {
        let per_row = self.lines_per_row();
        let rows = self.rows.make_own();
        if rows.len() == row * per_row {
            rows.resize((row + 1) * per_row, Line::zeroed());
        }
        let scale = encode(
            vector,
            self.precision,
            &mut rows[row * per_row..][..per_row],
        );
        if self.precision == Precision::Int8 {
            let scales = self.scales.make_own();
            scales.resize(scales.len().max(row + 1), 0.0);
            scales[row] = scale;
        }
    }

    /// Asks for a row's memory, some time before it is scored.
    #[inline(always)]
    pub(crate) fn prefetch(&self, row: u32) {
        let per_row = self.lines_per_row();
        scoring::prefetch(&self.rows[row as usize * per_row..][..per_row]);
    }

    /// Makes a vector ready to be compared with these.
    pub(crate) fn prepare(&self, vector: &[f32], query: &mut Query) {
        query.room(self.dim).copy_from_slice(vector);
        if self.precision == Precision::Int8 {
            query.bytes.resize(self.lines_per_row(), Line::zeroed());
            query.scale = encode(vector, Precision::Int8, &mut query.bytes);
        }
    }

    /// The inner products of the query with some rows; for int8 those of the bytes alone, which
    /// [`rescore`](Self::rescore) makes good.
    #[inline(always)]
    pub(crate) fn score(&self, query: &Query, rows: &[u32], scores: &mut [f32]) {
        let per_row = self.lines_per_row();
        match self.precision {
            Precision::F32 => {
                scoring::score_rows(&query.lines[..per_row], &self.rows, rows, scores);
            }
            Precision::F16 => {
                scoring::score_half_rows(query.values(), &self.rows, per_row, rows, scores);
            }
            Precision::Int8 => {
                scoring::score_bytes_by_bytes(&query.bytes, &self.rows, rows, scores);
                for (score, &row) in scores.iter_mut().zip(rows) {
                    *score *= query.scale * self.scales[row as usize];
                }
            }
        }
    }

    /// The inner products of the query with some rows, the query not rounded to bytes.
    pub(crate) fn rescore(&self, query: &Query, rows: &[u32], scores: &mut [f32]) {
        if self.precision != Precision::Int8 {
            return self.score(query, rows, scores);
        }
        let per_row = self.lines_per_row();
        scoring::score_byte_rows(query.values(), &self.rows, per_row, rows, scores);
        for (score, &row) in scores.iter_mut().zip(rows) {
            *score *= self.scales[row as usize];
        }
    }

    /// A row as a query.
    pub(crate) fn load(&self, row: u32, query: &mut Query) {
        let (row, per_row) = (row as usize, self.lines_per_row());
        let lines = &self.rows[row * per_row..][..per_row];
        let values = query.room(self.dim);
        match self.precision {
            Precision::F32 => {
                values.copy_from_slice(&bytemuck::cast_slice(lines)[..self.dim]);
            }
            Precision::F16 => {
                for (value, &half) in values.iter_mut().zip(bytemuck::cast_slice::<_, u16>(lines)) {
                    *value = scoring::from_half(half);
                }
            }
            Precision::Int8 => {
                let scale = self.scales[row];
                for (value, &byte) in values.iter_mut().zip(bytemuck::cast_slice::<_, i8>(lines)) {
                    *value = f32::from(byte) * scale;
                }
                query.bytes.clear();
                query.bytes.extend_from_slice(lines);
                query.scale = scale;
            }
        }
    }

    /// A row as it is kept: rows with the same bits are the same vector.
    pub(super) fn bits(&self, row: u32) -> (&[u8], u32) {
        let (row, per_row) = (row as usize, self.lines_per_row());
        let lines = &self.rows[row * per_row..][..per_row];
        let scale = self.scales.get(row).map_or(0, |scale| scale.to_bits());
        (bytemuck::cast_slice(lines), scale)
    }

    /// How many bytes the vectors take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val::<[Line]>(&self.rows) + size_of_val::<[f32]>(&self.scales)
    }

    /// Whether no row holds a NaN or an infinity.
    pub(super) fn are_finite(&self) -> bool {
        const ROWS: usize = 4096;
        let rows: Vec<u32> = (0..self.len() as u32).step_by(ROWS).collect();
        rows.into_par_iter().all(|first| {
            let mut query = Query::default();
            let end = self.len().min(first as usize + ROWS) as u32;
            (first..end).all(|row| {
                self.load(row, &mut query);
                query.values().iter().all(|value| value.is_finite())
            })
        })
    }
}

/// How many lines a row takes.
pub(super) fn lines_per_row(dim: usize, precision: Precision) -> usize {
    (dim * precision.bytes_per_value()).div_ceil(Line::BYTES)
}

/// Writes a vector to its lines; gives what its values are multiples of.
fn encode(vector: &[f32], precision: Precision, row: &mut [Line]) -> f32 {
    precision::encode(vector, precision, row, |place| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_as_near_as_the_precision_allows() {
        for dim in [1, 7, 16, 33, 64, 100] {
            let value =
                |place: usize| ((place * 2_654_435_761) >> 8) as u16 as f32 / 32_768.0 - 1.0;
            let vectors: Vec<f32> = (0..6 * dim).map(value).collect();
            for (precision, tolerance) in [
                (Precision::F32, 1e-5),
                (Precision::F16, 1e-3),
                (Precision::Int8, 8e-3),
            ] {
                let mut kept = Vectors::new(&vectors[..5 * dim], dim, precision);
                kept.set(5, &vectors[5 * dim..]);
                kept.set(0, &vectors[4 * dim..5 * dim]);
                let rows = [5, 0, 3, 3, 1];
                let (mut scores, mut rough) = ([0.0; 5], [0.0; 5]);
                let (mut query, mut loaded) = (Query::default(), Query::default());
                kept.prepare(&vectors[dim..2 * dim], &mut query);
                kept.score(&query, &rows, &mut rough);
                kept.rescore(&query, &rows, &mut scores);
                for ((row, score), rough) in rows.into_iter().zip(scores).zip(rough) {
                    let from = if row == 0 { 4 } else { row as usize };
                    let vector = &vectors[from * dim..][..dim];
                    let exact: f32 = vector.iter().zip(query.values()).map(|(a, b)| a * b).sum();
                    let size = tolerance * dim as f32;
                    assert!(
                        (score - exact).abs() <= size,
                        "{precision:?} {dim}: {score}, {exact}"
                    );
                    assert!(
                        (rough - exact).abs() <= 2.0 * size,
                        "{precision:?} {dim}: {rough}, {exact}"
                    );
                    kept.load(row, &mut loaded);
                    for (a, b) in loaded.values().iter().zip(vector) {
                        assert!((a - b).abs() <= 5e-3, "{precision:?} {dim}: {a}, {b}");
                    }
                }
            }
        }
    }
}
