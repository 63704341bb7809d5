//! Rows of tables of half precision.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::random;
use super::scoring::LARGEST_HALF;

/// Rows to a piece of work.
const PIECE: usize = 256;

/// Replaces the rows of `table` `[rows, dim]` that `numbers` `[n]` names, each once, by `values`
/// `[n, dim]`, which are rounded by chance: see [`round`].
pub(crate) fn replace(table: &mut [f16], dim: usize, numbers: &[usize], values: &[f32], seed: u64) {
    let mut rounded = vec![0.0; values.len()];
    (rounded.par_chunks_mut(PIECE * dim))
        .zip(values.par_chunks(PIECE * dim))
        .enumerate()
        .for_each(|(piece, (out, values))| {
            round(values, seed, (piece * PIECE * dim) as u64, out);
        });
    for (&number, rounded) in numbers.iter().zip(rounded.chunks_exact(dim)) {
        table[number * dim..][..dim].convert_from_f32_slice(rounded);
    }
}

/// The rows of a table of half precision that `numbers` `[n]` names, in single precision,
/// `[n, dim]`.
pub(crate) fn select(table: &[f16], dim: usize, numbers: &[usize]) -> Vec<f32> {
    let mut rows = vec![0.0; numbers.len() * dim];
    (rows.par_chunks_mut(PIECE * dim))
        .zip(numbers.par_chunks(PIECE))
        .for_each(|(rows, numbers)| {
            for (row, &number) in rows.chunks_exact_mut(dim).zip(numbers) {
                table[number * dim..][..dim].convert_to_f32_slice(row);
            }
        });
    rows
}

super::for_each_instruction_set! {
    /// Each value as one of its two neighbors among the numbers of half precision, the nearer one
    /// the more often, so that the mean over seeds is the value: what is too small for one step to
    /// show is not lost over many. The seed and the values' places, which begin at `first`, decide.
    ///
    /// Values beyond the largest such number become that number; NaN stays NaN.
    fn round(values: &[f32], seed: u64, first: u64, out: &mut [f32]) {
        /// The exponent of the smallest number that has all 11 digits, and what is left of it.
        const LEAST: u32 = 127 - 14;
        const DIGITS: u32 = 10;
        for ((place, &value), out) in (first..).zip(values).zip(out.iter_mut()) {
            let exponent = ((value.to_bits() >> 23) & 0xff).clamp(LEAST, 250);
            // Powers of two, so that nothing is rounded but by what is meant to.
            let unit = f32::from_bits((exponent - DIGITS) << 23);
            let per_unit = f32::from_bits((254 + DIGITS - exponent) << 23);
            // As fine as what is lost, so that the sum is exact.
            let chance = chance(seed, place);
            let units = (value.abs() * per_unit + chance).floor();
            let rounded = (units * unit).min(LARGEST_HALF).copysign(value);
            *out = if value.is_finite() { rounded } else { value };
        }
    }
}

/// A number from 0 up to 1, in steps of 2^-13: as fine as what half precision lacks of single.
#[inline(always)]
fn chance(seed: u64, place: u64) -> f32 {
    (random::bits(seed, place) >> 51) as f32 * (1.0 / 8192.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_gives_a_neighbor_and_the_mean_is_the_value() {
        const SEEDS: u64 = 20_000;
        // Ordinary ones, a power of two, one between powers, the smallest there are, below them, 0.
        let values = [
            0.1f32, -0.1, 1.0, 0.999_9, 1.5e-5, -3.3e-8, 2e-8, 0.0, 1234.567,
        ];
        let mut sums = [0.0f64; 9];
        for seed in 0..SEEDS {
            let mut out = [0.0; 9];
            round(&values, seed, 0, &mut out);
            for ((&value, &out), sum) in values.iter().zip(&out).zip(&mut sums) {
                assert_eq!(f16::from_f32(out).to_f32(), out, "{value} became {out}");
                *sum += f64::from(out);
            }
        }
        for (&value, sum) in values.iter().zip(sums) {
            let nearest = f16::from_f32(value).to_f32();
            let mean = sum / SEEDS as f64;
            let unit = f64::from(value.abs()).max(6.2e-5) / 1024.0;
            assert!(
                (mean - f64::from(value)).abs() < unit * 0.02,
                "{value}: {mean}, nearest {nearest}"
            );
            // What can be said exactly is left as it is.
            if nearest == value {
                assert_eq!(mean, f64::from(value));
            }
        }
    }

    #[test]
    fn rounding_keeps_within_the_numbers_there_are() {
        let values = [1e9, -1e9, 65_519.0, f32::INFINITY, f32::NAN];
        let mut out = [0.0; 5];
        round(&values, 3, 0, &mut out);
        assert_eq!(
            out[..4],
            [LARGEST_HALF, -LARGEST_HALF, LARGEST_HALF, f32::INFINITY]
        );
        assert!(out[4].is_nan());
    }

    #[test]
    fn the_place_of_a_value_decides_and_not_how_the_work_is_divided() {
        const DIM: usize = 3;
        const ROWS: usize = 2 * PIECE + 7;
        let values: Vec<f32> = (0..ROWS * DIM).map(|place| place as f32 * 1e-3).collect();
        let numbers: Vec<usize> = (0..ROWS).rev().collect();
        let mut table = vec![f16::ZERO; ROWS * DIM];
        replace(&mut table, DIM, &numbers, &values, 9);
        let mut expected = vec![0.0; values.len()];
        round(&values, 9, 0, &mut expected);
        assert_eq!(select(&table, DIM, &numbers), expected);
        assert_ne!(expected, values);
    }
}
