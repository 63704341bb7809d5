//! Directions along which vectors are so long that nothing else would count among points.

use ndarray::{Array1, Array2, ArrayView2};

use crate::buffer::Buffer;

/// How much larger the mean square along a direction must be than along the others that are not
/// dominant: vectors that models learned on five data sets reached 16, and evening these out was
/// measured to lose recall.
const OUTWEIGHS: f32 = 32.0;
/// How many dominant directions there are at most.
const MOST: usize = 8;
/// How many vectors are sampled.
pub(super) const SAMPLE: usize = 4096;

/// Directions along which points are compared as if they were no longer than along any other.
///
/// Where one coordinate outweighs the rest, as a factorization's bias column may, each point's
/// largest inner products are with whatever is largest there, and the graph leads nowhere else,
/// although a query may give that coordinate hardly any weight. The inner product of a query and a
/// point is the same after any invertible map of points whose inverse is applied to queries, so
/// points may be compared as such a map has them: `x·y - Σ (d·x)(d·y)` over the directions `d`.
#[derive(Debug)]
pub(super) struct Dominant {
    dim: usize,
    /// `[directions, dim]`, each of a length below 1 that says how much of it is taken off.
    directions: Buffer<f32>,
    /// `[points, directions]`: the inner product of each point with each direction.
    products: Buffer<f32>,
}

impl Dominant {
    /// The dominant directions of vectors, without any point yet.
    pub(super) fn find(vectors: ArrayView2<'_, f32>) -> Self {
        let (len, dim) = vectors.dim();
        let step = len.div_ceil(SAMPLE).max(1);
        let sample = vectors.slice(ndarray::s![..;step, ..]);
        // By the largest value, so that no square is too large or too small.
        let size = sample
            .iter()
            .fold(0.0f32, |size, value| size.max(value.abs()));
        let sample = sample.mapv(|value| value / size.max(f32::MIN_POSITIVE));
        let mut moment = sample.t().dot(&sample) / sample.nrows().max(1) as f32;
        let total = moment.diag().sum();
        let mut found: Vec<(Array1<f32>, f32)> = Vec::new();
        let (mut taken, mut dominant, mut rest) = (0.0, 0, 0.0);
        for count in 1..=MOST.min(dim.saturating_sub(1)) {
            let (direction, size) = largest(&moment);
            taken += size;
            let others = (total - taken).max(0.0) / (dim - count) as f32;
            if size > OUTWEIGHS * others {
                (dominant, rest) = (count, others);
            }
            let column = direction.view().insert_axis(ndarray::Axis(1));
            moment = moment - column.dot(&column.t()) * size;
            found.push((direction, size));
        }
        found.truncate(dominant);
        let directions = found.into_iter().flat_map(|(direction, size)| {
            let left = (rest / size).clamp(1e-4, 1.0);
            direction * (1.0 - left).sqrt()
        });
        Self {
            dim,
            directions: directions.collect::<Vec<f32>>().into(),
            products: Buffer::default(),
        }
    }

    /// The same directions and points out of a file; `None` when the values are not as many as
    /// they must be.
    pub(super) fn from_parts(
        dim: usize,
        directions: Buffer<f32>,
        products: Buffer<f32>,
        points: usize,
    ) -> Option<Self> {
        let count = directions.len() / dim;
        let fits = directions.len() == count * dim && products.len() == count * points;
        fits.then_some(Self {
            dim,
            directions,
            products,
        })
    }

    /// The directions and the points' products with them, for the writer of files.
    pub(super) fn parts(&self) -> (&[f32], &[f32]) {
        (&self.directions, &self.products)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val::<[f32]>(&self.directions) + size_of_val::<[f32]>(&self.products)
    }

    pub(super) fn are_finite(&self) -> bool {
        let (directions, products) = self.parts();
        directions.iter().chain(products).all(|v| v.is_finite())
    }

    /// Adds the next point.
    pub(super) fn push(&mut self, vector: &[f32]) {
        if self.directions.is_empty() {
            return;
        }
        let products = self.directions.chunks_exact(self.dim).map(|direction| {
            let terms = direction.iter().zip(vector).map(|(a, b)| a * b);
            terms.sum::<f32>()
        });
        let products: Vec<f32> = products.collect();
        self.products.make_own().extend(products);
    }

    /// A point's products; none where no direction is dominant.
    #[inline(always)]
    pub(super) fn of(&self, point: u32) -> &[f32] {
        let count = self.directions.len() / self.dim.max(1);
        &self.products[point as usize * count..][..count]
    }
}

/// The eigenvector of the largest eigenvalue of a symmetric matrix, about, and the eigenvalue.
fn largest(matrix: &Array2<f32>) -> (Array1<f32>, f32) {
    const ROUNDS: usize = 60;
    // The row of the largest diagonal is not orthogonal to what is looked for, unless all is 0.
    let place = (0..matrix.nrows()).max_by(|&a, &b| matrix[[a, a]].total_cmp(&matrix[[b, b]]));
    let mut vector = matrix.row(place.unwrap_or(0)).to_owned();
    let mut size = 0.0;
    for _ in 0..ROUNDS {
        let length = vector.dot(&vector).sqrt();
        if length <= f32::MIN_POSITIVE {
            break;
        }
        vector /= length;
        let next = matrix.dot(&vector);
        size = next.dot(&vector);
        vector = next;
    }
    let length = vector.dot(&vector).sqrt();
    if length > f32::MIN_POSITIVE {
        vector /= length;
    }
    (vector, size.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(rows: usize, dim: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, dim), |(row, column)| {
            let bits = (row * dim + column + 1) as u32;
            let bits = bits.wrapping_mul(2_654_435_761) ^ (bits << 13);
            (bits.wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
    }

    #[test]
    fn as_many_directions_are_found_as_outweigh_the_rest() {
        for count in 0..3 {
            let mut vectors = noise(5000, 16);
            for column in 0..count {
                vectors.column_mut(3 * column).mapv_inplace(|v| 20.0 * v);
            }
            let mut dominant = Dominant::find(vectors.view());
            assert_eq!(dominant.directions.len(), count * 16);
            let plain = vectors.mapv(f64::from);
            for row in vectors.rows() {
                dominant.push(row.as_slice().unwrap());
            }
            // What is left along them is about what there is along the others.
            let mut squares = vec![0.0; 2];
            for (point, row) in plain.rows().into_iter().enumerate() {
                let taken: f64 = dominant
                    .of(point as u32)
                    .iter()
                    .map(|&p| f64::from(p * p))
                    .sum();
                squares[0] += row.dot(&row) - taken;
                squares[1] += 16.0 / 3.0;
            }
            assert!((squares[0] / squares[1] - 1.0).abs() < 0.1, "{squares:?}");
        }
    }

    #[test]
    fn lines_points_and_nothing_are_no_trouble() {
        for vectors in [
            Array2::zeros((5, 4)),
            Array2::ones((5, 4)),
            Array2::ones((1, 1)),
            noise(3, 2),
        ] {
            let mut dominant = Dominant::find(vectors.view());
            for row in vectors.rows() {
                dominant.push(row.as_slice().unwrap());
            }
            assert!(dominant.are_finite());
        }
    }
}
