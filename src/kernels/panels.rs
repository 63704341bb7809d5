//! Vectors laid out for products with many queries.

use rayon::prelude::*;

/// Vectors side by side in panels of [`Panels::WIDTH`]: each panel is `[dim, WIDTH]`, so that a
/// product makes the scores of one query with a whole panel in vectors. The last panel is filled
/// up with zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panels {
    values: Vec<f32>,
    len: usize,
    dim: usize,
}

impl Panels {
    pub(crate) const WIDTH: usize = 64;

    /// The rows of `vectors` `[len, dim]`.
    pub(crate) fn new(vectors: &[f32], dim: usize) -> Self {
        assert_eq!(vectors.len() % dim, 0, "vectors are whole");
        let len = vectors.len() / dim;
        let mut values = vec![0.0; len.div_ceil(Self::WIDTH) * Self::WIDTH * dim];
        values
            .par_chunks_mut(Self::WIDTH * dim)
            .zip(vectors.par_chunks(Self::WIDTH * dim))
            .for_each(|(panel, vectors)| {
                for (column, vector) in vectors.chunks_exact(dim).enumerate() {
                    for (row, &value) in vector.iter().enumerate() {
                        panel[row * Self::WIDTH + column] = value;
                    }
                }
            });
        Self { values, len, dim }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val::<[f32]>(&self.values)
    }

    pub(crate) fn count(&self) -> usize {
        self.len.div_ceil(Self::WIDTH)
    }

    /// The `[dim, WIDTH]` of a panel, and how many of its columns are vectors.
    pub(crate) fn get(&self, panel: usize) -> (&[f32], usize) {
        let size = Self::WIDTH * self.dim;
        let columns = (self.len - panel * Self::WIDTH).min(Self::WIDTH);
        (&self.values[panel * size..(panel + 1) * size], columns)
    }
}
