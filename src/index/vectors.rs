//! Vectors as an index keeps them.

use super::buffer::Buffer;
use crate::kernels::scoring::{self, Line};

/// Vectors of one dimension, by row.
#[derive(Debug, Clone)]
pub(crate) struct Vectors {
    dim: usize,
    rows: Rows,
}

#[derive(Debug, Clone)]
enum Rows {
    F32(Buffer<Line>),
}

/// A vector made ready to be compared with many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    lines: Vec<Line>,
}

impl Query {
    pub(crate) fn set(&mut self, vector: &[f32]) {
        self.lines
            .resize(Line::per_vector(vector.len()), bytemuck::Zeroable::zeroed());
        Line::write(vector, &mut self.lines);
    }
}

impl Vectors {
    /// The rows of `vectors` `[len, dim]`.
    pub(crate) fn new(vectors: &[f32], dim: usize) -> Self {
        let lines = Line::per_vector(dim);
        let mut rows = vec![bytemuck::Zeroable::zeroed(); vectors.len() / dim * lines];
        for (vector, row) in vectors.chunks_exact(dim).zip(rows.chunks_exact_mut(lines)) {
            Line::write(vector, row);
        }
        Self {
            dim,
            rows: Rows::F32(rows.into()),
        }
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// The inner products of the query with some rows.
    #[inline(always)]
    pub(crate) fn score(&self, query: &Query, rows: &[u32], scores: &mut [f32]) {
        match &self.rows {
            Rows::F32(lines) => scoring::score_rows(&query.lines, lines, rows, scores),
        }
    }

    /// A row as a query.
    pub(crate) fn load(&self, row: u32, query: &mut Query) {
        let lines = Line::per_vector(self.dim);
        match &self.rows {
            Rows::F32(rows) => {
                query.lines.clear();
                query
                    .lines
                    .extend_from_slice(&rows[row as usize * lines..][..lines]);
            }
        }
    }

    /// How many bytes the vectors take.
    pub(crate) fn bytes(&self) -> usize {
        match &self.rows {
            Rows::F32(lines) => size_of_val::<[Line]>(lines),
        }
    }
}
