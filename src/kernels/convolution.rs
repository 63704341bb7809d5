//! Causal convolutions over packed tokens: each token mixed with the earlier ones of its sequence.

use rayon::prelude::*;

use super::matmul::{Matrix, matmul};

/// Each token's values `[tokens, dim]` mixed with those of earlier tokens of its sequence: the sum
/// of `taps[distance]` times them. The other way round for `transposed`, which is its backward
/// pass: the sum over the token itself and later ones.
///
/// One triangular matrix as large as the longest sequence serves them all, by its first rows and
/// columns.
///
/// # Panics
/// When a sequence is longer than there are taps.
pub(crate) fn convolve(
    values: &[f32],
    dim: usize,
    lengths: &[usize],
    taps: &[f32],
    transposed: bool,
) -> Vec<f32> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    assert!(longest <= taps.len(), "a tap for each distance");
    let mut filter = vec![0.0; longest * longest];
    for (row, filter) in filter.chunks_exact_mut(longest.max(1)).enumerate() {
        for (weight, tap) in filter[..=row].iter_mut().rev().zip(taps) {
            *weight = *tap;
        }
    }
    let mut out = vec![0.0; values.len()];
    let mut tasks = Vec::with_capacity(lengths.len());
    let (mut from, mut to) = (values, &mut out[..]);
    for &len in lengths {
        let (values, others) = from.split_at(len * dim);
        let (out, rest) = to.split_at_mut(len * dim);
        tasks.push((len, values, out));
        (from, to) = (others, rest);
    }
    tasks
        .into_par_iter()
        .with_max_len(16)
        .for_each(|(len, values, out)| {
            let used = len.checked_sub(1).map_or(0, |last| last * longest + len);
            let filter = Matrix::strided(&filter[..used], len, len, longest);
            let values = Matrix::new(values, len, dim);
            if transposed {
                matmul(out, filter.t(), values);
            } else {
                matmul(out, filter, values);
            }
        });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_mixed_with_earlier_ones_of_its_sequence_alone() {
        let values = [1.0, 2.0, 3.0, 10.0, 20.0];
        let taps = [1.0, 0.5, 0.25];
        assert_eq!(
            convolve(&values, 1, &[3, 2], &taps, false),
            [1.0, 2.5, 4.25, 10.0, 25.0]
        );
        assert_eq!(
            convolve(&values, 1, &[3, 2], &taps, true),
            [2.75, 3.5, 3.0, 20.0, 20.0]
        );
    }
}
