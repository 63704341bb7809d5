//! Rows of tables.

use ndarray::{ArrayViewMut2, Axis};

super::for_each_instruction_set! {
    /// Adds each row of `values` `[n, dim]` to the row of `table` `[rows, dim]` that `numbers`
    /// `[n]` names, in order.
    pub(crate) fn add(table: &mut [f32], dim: usize, numbers: &[usize], values: &[f32]) {
        for (&number, values) in numbers.iter().zip(values.chunks_exact(dim)) {
            let row = &mut table[number * dim..][..dim];
            for (sum, value) in row.iter_mut().zip(values) {
                *sum += value;
            }
        }
    }
}

/// Replaces the rows of `table` `[rows, dim]` that `numbers` `[n]` names, each once, by `values`
/// `[n, dim]`.
#[cfg(feature = "flex")]
pub(crate) fn replace(table: &mut [f32], dim: usize, numbers: &[usize], values: &[f32]) {
    for (&number, values) in numbers.iter().zip(values.chunks_exact(dim)) {
        table[number * dim..][..dim].copy_from_slice(values);
    }
}

/// The square of the length below which vectors are not scaled up to 1, so that a vector of zeros
/// stays one.
pub(crate) const SHORTEST_SQUARE: f32 = 1e-12;

/// Scales each row to length 1, after which inner products are cosines.
pub(crate) fn scale_to_length_one(mut rows: ArrayViewMut2<'_, f32>) {
    for mut row in rows.axis_iter_mut(Axis(0)) {
        let length = row.dot(&row).max(SHORTEST_SQUARE).sqrt();
        row /= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_named_twice_gets_both() {
        let mut table = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        add(
            &mut table,
            2,
            &[2, 0, 2],
            &[0.5, 0.25, 10.0, 20.0, 1.0, 1.0],
        );
        assert_eq!(table, [11.0, 22.0, 3.0, 4.0, 6.5, 7.25]);
    }
}
