//! Dropout whose mask depends on a seed and a place alone.

use super::random;

/// The rule by which bits keep a value, and the factor of those that are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropoutRule {
    /// The upper half of those that do is below this.
    below: u64,
    pub(crate) scale: f32,
}

impl DropoutRule {
    /// The rule by which a share `probability` is dropped.
    pub(crate) fn new(probability: f64) -> Self {
        let below = ((1.0 - probability) * 4_294_967_296.0) as u64;
        Self {
            below: below.max(1),
            scale: (1.0 / (1.0 - probability)) as f32,
        }
    }

    /// The largest [upper bits](super::random::upper_bits) that keep a value.
    pub(crate) fn last(self) -> i32 {
        (self.below as i64 - 1 + i64::from(i32::MIN)) as i32
    }

    /// True where the value of a place is kept. In 64 bits: where they were made 32 to be compared,
    /// a step of SASRec took a tenth longer.
    #[inline(always)]
    fn keeps(self, seed: u64, place: u64) -> bool {
        (random::bits(seed, place) >> 32) < self.below
    }
}

super::for_each_instruction_set! {
    /// A mask of 0 where a value is dropped and a scale where it is kept, for the places from
    /// `first` on.
    pub(crate) fn mask(seed: u64, probability: f64, first: u64, out: &mut [f32]) {
        let rule = DropoutRule::new(probability);
        for (index, out) in (first..).zip(out.iter_mut()) {
            *out = if rule.keeps(seed, index) { rule.scale } else { 0.0 };
        }
    }
}

/// Values with a share of them dropped and the others scaled up, by the mask of their places.
pub(crate) fn apply(seed: u64, probability: f64, values: &[f32]) -> Vec<f32> {
    use rayon::prelude::*;

    /// Values that are worked on at a time.
    const PIECE: usize = 1 << 14;
    let rule = DropoutRule::new(probability);
    let mut out = vec![0.0; values.len()];
    let pieces = out.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
    pieces.enumerate().for_each(|(piece, (out, values))| {
        masked(seed, rule, (piece * PIECE) as u64, values, out);
    });
    out
}

super::for_each_instruction_set! {
    fn masked(seed: u64, rule: DropoutRule, first: u64, values: &[f32], out: &mut [f32]) {
        for ((index, value), out) in (first..).zip(values).zip(out.iter_mut()) {
            *out = if rule.keeps(seed, index) { value * rule.scale } else { value * 0.0 };
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn the_share_and_the_mean_are_right_and_the_seed_decides() {
        let ones = vec![1.0; 100_000];
        let a = apply(1, 0.3, &ones);
        let dropped = a.iter().filter(|&&value| value == 0.0).count() as f64 / a.len() as f64;
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        let mean = a.iter().map(|&value| f64::from(value)).sum::<f64>() / a.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert_eq!(a, apply(1, 0.3, &ones));
        let b = apply(2, 0.3, &ones);
        let same = a.iter().zip(&b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64;
        assert!((same - (0.49 + 0.09)).abs() < 0.01, "{same}");
    }

    #[test]
    fn all_are_kept_where_next_to_none_is_dropped() {
        let ones = vec![1.0; 1000];
        assert_eq!(apply(1, 1e-12, &ones), ones);
        assert_eq!(DropoutRule::new(0.5).last(), -1);
        assert_eq!(DropoutRule::new(1.0 - 1e-12).last(), i32::MIN);
    }
}
