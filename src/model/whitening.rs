//! Vectors made such that no direction of theirs stands out.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// A share of the variance that each direction is given besides its own, so that directions in
/// which vectors hardly differ are not blown up.
const RIDGE: f64 = 1e-3;

/// The rows that are known, less their mean, by the inverse of the Cholesky factor of their
/// covariance; the others are 0. The variance of a place is 1 over the number of places, so that
/// vectors have a length of about 1.
pub(super) fn whitened(vectors: ArrayView2<'_, f32>, known: &[bool]) -> Array2<f32> {
    let dim = vectors.ncols();
    let rows: Vec<usize> = (0..vectors.nrows()).filter(|&row| known[row]).collect();
    let mut centered = vectors.select(Axis(0), &rows).mapv(f64::from);
    let mean = centered
        .mean_axis(Axis(0))
        .unwrap_or_else(|| Array1::zeros(dim));
    centered -= &mean;
    let mut covariance = centered.t().dot(&centered) / rows.len().max(1) as f64;
    let ridge = RIDGE * covariance.diag().mean().unwrap_or(0.0) + f64::MIN_POSITIVE;
    covariance
        .diag_mut()
        .mapv_inplace(|variance| variance + ridge);
    let factor = cholesky(covariance);
    let mut all = Array2::zeros(vectors.raw_dim());
    let scale = (dim as f64).sqrt();
    for (&row, vector) in rows.iter().zip(centered.rows()) {
        let solved = solve(&factor, vector.to_owned());
        all.row_mut(row)
            .assign(&solved.mapv(|value| (value / scale) as f32));
    }
    all
}

/// The lower triangle whose product with its transpose is a positive definite matrix.
fn cholesky(mut matrix: Array2<f64>) -> Array2<f64> {
    let dim = matrix.nrows();
    for column in 0..dim {
        for row in column..dim {
            let (a, b) = (matrix.row(row), matrix.row(column));
            let before: f64 = (0..column).map(|place| a[place] * b[place]).sum();
            let rest = matrix[[row, column]] - before;
            matrix[[row, column]] = if row == column {
                rest.max(f64::MIN_POSITIVE).sqrt()
            } else {
                rest / matrix[[column, column]]
            };
        }
    }
    matrix
}

/// The vector that a lower triangle makes this one of.
fn solve(triangle: &Array2<f64>, mut vector: Array1<f64>) -> Array1<f64> {
    for place in 0..vector.len() {
        let before = triangle.row(place);
        let before: f64 = (before.iter().zip(&vector).take(place))
            .map(|(a, b)| a * b)
            .sum();
        vector[place] = (vector[place] - before) / triangle[[place, place]];
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_direction_of_whitened_vectors_stands_out() {
        // The first place is three times the second, and the third is nearly their sum.
        let vectors = Array2::from_shape_fn((400, 3), |(row, place)| {
            let noise = |salt: usize| ((row * 7919 + salt * 104_729) % 997) as f32 / 997.0 - 0.5;
            [
                3.0 * noise(1),
                noise(2),
                3.0 * noise(1) + noise(2) + noise(3),
            ][place]
                + 5.0
        });
        let mut known = vec![true; 400];
        known[7] = false;
        let white = whitened(vectors.view(), &known);
        assert!(white.row(7).iter().all(|&value| value == 0.0));
        let product = white.t().dot(&white) * 3.0 / 399.0;
        for ((row, column), &value) in product.indexed_iter() {
            let expected = if row == column { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 0.15, "{row}, {column}: {value}");
        }
    }
}
