//! Elementwise functions that the compiler can vectorise, with no branch and no table.

/// `e^x` to about 2 units in the last place; 0 below -87.3 and a large finite number above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // x = n ln 2 + r with |r| <= ln 2 / 2; the constant rounds to the nearest integer when it is
    // added, since its unit in the last place is 1. ln 2 is split so that n's part is exact.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.336_54, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    // The minimax polynomial of Cephes' expf.
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let fraction = p * (r * r) + r + 1.0;
    // 2^n by its bits: `shifted` holds n in its lowest bits.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let value = fraction * power;
    if x < -87.336_54 { 0.0 } else { value }
}

/// The logistic function `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The normal distribution: the share of it that is below `x`, to about 1e-7.
///
/// Abramowitz & Stegun, "Handbook of Mathematical Functions", 7.1.26.
#[inline(always)]
pub(crate) fn normal_distribution(x: f32) -> f32 {
    let size = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152;
    p = p * t + 1.421_413_7;
    p = p * t - 0.284_496_74;
    p = p * t + 0.254_829_6;
    let above = 0.5 * p * t * exp(-size * size);
    if x < 0.0 { above } else { 1.0 - above }
}

/// The normal distribution's density.
#[inline(always)]
pub(crate) fn normal_density(x: f32) -> f32 {
    const FRAC_1_SQRT_2_PI: f32 = 0.398_942_3;
    FRAC_1_SQRT_2_PI * exp(-0.5 * x * x)
}

/// The hyperbolic tangent, by a rational approximation on `[-7.9, 7.9]`, outside of which it is
/// ±1 in this precision.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let square = x * x;
    let mut p = -2.760_768_5e-16;
    p = p * square + 2.000_188e-13;
    p = p * square - 8.604_672e-11;
    p = p * square + 5.122_297_1e-8;
    p = p * square + 1.485_722_4e-5;
    p = p * square + 6.372_619_3e-4;
    p = p * square + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6;
    q = q * square + 1.185_347_1e-4;
    q = q * square + 2.268_434_6e-3;
    q = q * square + 4.893_525e-3;
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-90_000..=90_000).map(|step| step as f32 / 1000.0)
    }

    fn assert_close(name: &str, got: f32, exact: f64, relative: f64, x: f32) {
        let error = (f64::from(got) - exact).abs();
        assert!(
            error <= relative * exact.abs(),
            "{name}({x}) = {got}, exactly {exact}"
        );
    }

    #[test]
    fn functions_agree_with_double_precision() {
        for x in grid() {
            let exact = f64::from(x);
            if (-87.3..=87.9).contains(&x) {
                assert_close("exp", exp(x), exact.exp(), 3e-7, x);
            }
            if x > -80.0 {
                assert_close("sigmoid", sigmoid(x), 1.0 / (1.0 + (-exact).exp()), 4e-7, x);
            }
            assert_close("tanh", tanh(x), exact.tanh(), 5e-7, x);
        }
    }

    #[test]
    fn the_normal_distribution_is_the_one_in_tables() {
        let table = [
            (0.0, 0.5),
            (0.5, 0.691_462_461),
            (1.0, 0.841_344_746),
            (2.0, 0.977_249_868),
            (3.5, 0.999_767_371),
        ];
        for (x, share) in table {
            assert!(
                (f64::from(normal_distribution(x)) - share).abs() < 2e-7,
                "{x}"
            );
            assert!(
                (f64::from(normal_distribution(-x)) - (1.0 - share)).abs() < 2e-7,
                "{x}"
            );
        }
        // The density is its slope.
        for x in grid().filter(|x| x.abs() < 6.0).step_by(500) {
            let slope = (normal_distribution(x + 0.02) - normal_distribution(x - 0.02)) / 0.04;
            assert!((slope - normal_density(x)).abs() < 1e-4, "{x}");
        }
    }

    #[test]
    fn extremes_stay_finite() {
        for x in [-1e30, -1000.0, 1000.0, 1e30] {
            assert!(
                exp(x).is_finite() && sigmoid(x).is_finite() && tanh(x).is_finite(),
                "{x}"
            );
        }
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(tanh(0.0), 0.0);
    }
}
