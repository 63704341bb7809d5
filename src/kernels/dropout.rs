//! Dropout whose mask depends on a seed and a place alone.

use super::random;

/// Whether place `index` is kept under `seed`, where a share of `keep / 2^32` is.
#[inline(always)]
fn kept(seed: u64, index: u64, keep: u64) -> bool {
    (random::bits(seed, index) >> 32) < keep
}

super::for_each_instruction_set! {
    /// A mask of 0 where a value is dropped and `1 / (1 - probability)` where it is kept, for the
    /// places from `first` on.
    pub(crate) fn mask(seed: u64, probability: f64, first: u64, out: &mut [f32]) {
        let keep = ((1.0 - probability) * 4_294_967_296.0) as u64;
        let scale = (1.0 / (1.0 - probability)) as f32;
        for (index, out) in (first..).zip(out.iter_mut()) {
            *out = if kept(seed, index, keep) { scale } else { 0.0 };
        }
    }
}

/// Values with a share of them dropped and the others scaled up, by the mask of their places.
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) fn apply(seed: u64, probability: f64, values: &[f32]) -> Vec<f32> {
    use rayon::prelude::*;

    /// How many values are worked on at a time.
    const PIECE: usize = 1 << 14;
    let mut out = vec![0.0; values.len()];
    let pieces = out.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
    pieces.enumerate().for_each(|(piece, (out, values))| {
        masked(seed, probability, (piece * PIECE) as u64, values, out);
    });
    out
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
super::for_each_instruction_set! {
    fn masked(seed: u64, probability: f64, first: u64, values: &[f32], out: &mut [f32]) {
        let keep = ((1.0 - probability) * 4_294_967_296.0) as u64;
        let scale = (1.0 / (1.0 - probability)) as f32;
        for ((index, value), out) in (first..).zip(values).zip(out.iter_mut()) {
            *out = if kept(seed, index, keep) { value * scale } else { value * 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_and_the_mean_are_right_and_the_seed_decides() {
        let mut a = vec![0.0; 100_000];
        let mut b = a.clone();
        mask(1, 0.3, 0, &mut a);
        let dropped = a.iter().filter(|&&value| value == 0.0).count() as f64 / a.len() as f64;
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        let mean = a.iter().map(|&value| f64::from(value)).sum::<f64>() / a.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        mask(1, 0.3, 0, &mut b);
        assert_eq!(a, b);
        mask(2, 0.3, 0, &mut b);
        let same = a.iter().zip(&b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64;
        assert!((same - (0.49 + 0.09)).abs() < 0.01, "{same}");
    }
}
