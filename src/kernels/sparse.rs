//! Sparse matrices, times dense ones.

use rayon::prelude::*;

use super::for_each_instruction_set;

/// Rows to a piece of work.
const ROWS: usize = 256;

/// A matrix of which most values are 0, by rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SparseRows {
    /// Where each row's values begin, and where the last one's end.
    pub(crate) offsets: Vec<usize>,
    /// The column of each value, below `width`.
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Vec<f32>,
    /// The number of columns.
    pub(crate) width: usize,
}

impl SparseRows {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The same with columns as rows.
    pub(crate) fn transposed(&self) -> Self {
        let mut offsets = vec![0; self.width + 1];
        for &column in &self.columns {
            offsets[column as usize + 1] += 1;
        }
        for column in 0..self.width {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.0; self.columns.len()];
        for row in 0..self.len() {
            for place in self.offsets[row]..self.offsets[row + 1] {
                let next = &mut next[self.columns[place] as usize];
                columns[*next] = row as u32;
                values[*next] = self.values[place];
                *next += 1;
            }
        }
        Self {
            offsets,
            columns,
            values,
            width: self.len(),
        }
    }

    /// This matrix times a dense one `[width, dim]`, `[rows, dim]`.
    pub(crate) fn times(&self, dense: &[f32], dim: usize) -> Vec<f32> {
        assert_eq!(dense.len(), self.width * dim, "a row for each column");
        let mut out = vec![0.0; self.len() * dim];
        if dim > 0 {
            let pieces = out.par_chunks_mut(ROWS * dim).enumerate();
            pieces.for_each(|(piece, out)| {
                let first = piece * ROWS;
                let last = (first + ROWS).min(self.len());
                let (columns, values) = (&self.columns, &self.values);
                rows(
                    &self.offsets[first..=last],
                    columns,
                    values,
                    dense,
                    dim,
                    out,
                );
            });
        }
        out
    }
}

for_each_instruction_set! {
    /// Adds to each row of `out` the rows of `dense` that it names, times their values.
    fn rows(offsets: &[usize], columns: &[u32], values: &[f32], dense: &[f32], dim: usize, out: &mut [f32]) {
        for (bounds, out) in offsets.windows(2).zip(out.chunks_exact_mut(dim)) {
            for place in bounds[0]..bounds[1] {
                let value = values[place];
                let row = &dense[columns[place] as usize * dim..][..dim];
                for (sum, more) in out.iter_mut().zip(row) {
                    *sum += value * more;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_and_that_of_the_transposed_are_right() {
        // [[0, 2, 0], [0, 0, 0], [1, 0, 3], [0, 0, 4]]
        let sparse = SparseRows {
            offsets: vec![0, 1, 1, 3, 4],
            columns: vec![1, 0, 2, 2],
            values: vec![2.0, 1.0, 3.0, 4.0],
            width: 3,
        };
        let dense = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        let expected = [4.0, 40.0, 0.0, 0.0, 10.0, 100.0, 12.0, 120.0];
        assert_eq!(sparse.times(&dense, 2), expected);
        let back = sparse.transposed();
        assert_eq!(back.times(&[1.0, 2.0, 3.0, 4.0], 1), [3.0, 2.0, 25.0]);
        assert_eq!(back.transposed(), sparse);
        assert_eq!(SparseRows::default().len(), 0);
    }
}
