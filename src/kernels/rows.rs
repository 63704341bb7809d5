//! Rows of tables.

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
