//! Inner products of two vectors.

/// Number of partial sums, so that they can be added up in vectors.
const LANES: usize = 16;

/// `Σ a b`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let sum: f32 = lanes.into_iter().sum();
    rest.fold(sum, |sum, (&a, &b)| sum + a * b)
}

super::for_each_instruction_set! {
    /// [`dot`], for callers outside the kernels.
    pub(crate) fn inner_product(a: &[f32], b: &[f32]) -> f32 {
        dot(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_taken() {
        for length in [0, 1, 15, 16, 17, 40] {
            // Small integers, so that sums are exact in any order.
            let values: Vec<f32> = (0..length).map(|i| (i * 7 % 11) as f32 - 3.0).collect();
            let expected: f32 = values.iter().map(|x| x * x).sum();
            assert_eq!(inner_product(&values, &values), expected);
        }
    }
}
