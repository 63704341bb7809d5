//! What of sequences changes slowly: a low-pass filter over packed tokens.
//!
//! The lowest frequencies of a sequence's Fourier transform are a few waves; the filter projects onto
//! them. So it takes time that grows with tokens, and no `[len, len]` matrix.

use rayon::prelude::*;

use super::matmul::{Matrix, matmul};

/// Each sequence's values `[tokens, dim]` with only the lowest `frequencies` left, the mean among
/// them. The filter is symmetric, so that it is its own backward pass.
pub(crate) fn low_pass(
    values: &[f32],
    dim: usize,
    lengths: &[usize],
    frequencies: usize,
) -> Vec<f32> {
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
            let waves = Waves::new(len, frequencies);
            let basis = Matrix::new(&waves.values, len, waves.count);
            let mut shares = vec![0.0; waves.count * dim];
            matmul(&mut shares, basis.t(), Matrix::new(values, len, dim));
            matmul(out, basis, Matrix::new(&shares, waves.count, dim));
        });
    out
}

/// Waves of length 1 at right angles to each other, side by side: `[len, count]`.
struct Waves {
    values: Vec<f32>,
    count: usize,
}

impl Waves {
    /// The mean, and a cosine and a sine for each of the other lowest frequencies. The fastest wave
    /// of an even length has no sine.
    fn new(len: usize, frequencies: usize) -> Self {
        let turns: Vec<(f64, f64)> = (0..len)
            .map(|place| {
                let turn = std::f64::consts::TAU * place as f64 / len as f64;
                (turn.cos(), turn.sin())
            })
            .collect();
        let highest = frequencies.min(len / 2 + 1);
        let has_sine = |frequency: usize| 2 * frequency != len;
        let count = (1..highest)
            .map(|f| 1 + usize::from(has_sine(f)))
            .sum::<usize>()
            + 1;
        let (whole, half) = ((1.0 / len as f64).sqrt(), (2.0 / len as f64).sqrt());
        let mut values = Vec::with_capacity(len * count);
        for place in 0..len {
            values.push(whole as f32);
            for frequency in 1..highest {
                let (cosine, sine) = turns[frequency * place % len];
                if has_sine(frequency) {
                    values.extend([(half * cosine) as f32, (half * sine) as f32]);
                } else {
                    values.push((whole * cosine) as f32);
                }
            }
        }
        Self { values, count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_that_of_a_fourier_transform() {
        let lengths = [6, 3, 1, 9];
        let signal: Vec<f32> = (0..19).map(|t| ((t * t + 3) % 5) as f32).collect();
        for frequencies in 1..7 {
            let filtered = low_pass(&signal, 1, &lengths, frequencies);
            let mut start = 0;
            for len in lengths {
                let signal = &signal[start..start + len];
                let angle =
                    |f: usize, t: usize| (f * t) as f64 * std::f64::consts::TAU / len as f64;
                for t in 0..len {
                    let kept = (0..len).filter(|&f| f.min(len - f) < frequencies);
                    let expected: f64 = kept
                        .map(|f| {
                            let part = |wave: fn(f64) -> f64| {
                                let waves = signal.iter().enumerate();
                                waves
                                    .map(|(s, &x)| f64::from(x) * wave(angle(f, s)))
                                    .sum::<f64>()
                            };
                            part(f64::cos) * angle(f, t).cos() + part(f64::sin) * angle(f, t).sin()
                        })
                        .sum::<f64>()
                        / len as f64;
                    let found = f64::from(filtered[start + t]);
                    assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
                }
                start += len;
            }
        }
    }
}
