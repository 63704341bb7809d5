//! Products of panels of bytes with queries, by the instructions that multiply bytes.

use super::super::precision::{byte_scale, to_byte};
#[cfg(target_arch = "x86_64")]
use super::super::scoring::Line;
#[cfg(target_arch = "x86_64")]
use super::WIDTH;

/// Queries as bytes.
pub(super) struct ByteQueries {
    /// `[queries, dim / 4]`, four bytes in each number.
    fours: Vec<i32>,
    /// The unit of each query's bytes.
    scales: Vec<f32>,
    /// 128 times the sum of each query's bytes.
    shifts: Vec<i32>,
}

impl ByteQueries {
    pub(super) fn new(queries: &[f32], dim: usize) -> Self {
        let mut bytes = Self {
            fours: Vec::new(),
            scales: Vec::new(),
            shifts: Vec::new(),
        };
        for query in queries.chunks_exact(dim) {
            let scale = byte_scale(query);
            let mut sum = 0;
            for four in query.chunks(4) {
                let mut packed = [0; 4];
                for (byte, &value) in packed.iter_mut().zip(four) {
                    let value = to_byte(value, scale);
                    sum += i32::from(value);
                    *byte = value as u8;
                }
                bytes.fours.push(i32::from_le_bytes(packed));
            }
            bytes.scales.push(scale);
            bytes.shifts.push(128 * sum);
        }
        bytes
    }

    /// The scores `[queries, WIDTH]` of a panel of bytes.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn score(&self, panel: &[Line], scales: &[f32], scores: &mut [f32]) {
        assert!(
            has_byte_products(),
            "queries are bytes on such machines alone"
        );
        // SAFETY: the machine has the features that one of the functions is compiled for.
        unsafe {
            if has_wide_byte_products() {
                score_bytes(self, panel, scales, scores);
            } else {
                score_bytes_by_pairs(self, panel, scales, scores);
            }
        }
    }
}

/// True where the machine has instructions that multiply bytes.
pub(super) fn has_byte_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        has_wide_byte_products() || is_x86_feature_detected!("avx2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// True where it multiplies four bytes at a time, in vectors of 64.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_wide_byte_products() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// The scales of a whole panel, of which the last has fewer.
#[cfg(target_arch = "x86_64")]
#[inline]
fn filled_up(scales: &[f32]) -> [f32; WIDTH] {
    <[f32; WIDTH]>::try_from(scales).unwrap_or_else(|_| {
        let mut all = [0.0; WIDTH];
        all[..scales.len()].copy_from_slice(scales);
        all
    })
}

/// As [`score_bytes`], for machines without the instructions that it is made of.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(super) fn score_bytes_by_pairs(
    queries: &ByteQueries,
    panel: &[Line],
    scales: &[f32],
    scores: &mut [f32],
) {
    use core::arch::x86_64::{
        __m256i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_loadu_ps,
        _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_sign_epi8,
        _mm256_storeu_ps,
    };
    const VECTORS: usize = WIDTH / 8;
    let all = filled_up(scales);
    let vectors = bytemuck::cast_slice::<Line, [[u8; 32]; VECTORS]>(panel);
    let ones = _mm256_set1_epi16(1);
    let queries = (queries.fours.chunks_exact(vectors.len())).zip(&queries.scales);
    for ((fours, &scale), scores) in queries.zip(scores.chunks_exact_mut(WIDTH)) {
        let mut sums = [_mm256_setzero_si256(); VECTORS];
        for (&four, vectors) in fours.iter().zip(vectors) {
            // One side is taken as unsigned: the query's bytes lose their signs, and the vectors'
            // get them. A sum of two such products is at most 2 * 127 * 128, which fits.
            let query = _mm256_set1_epi32(four);
            let size = _mm256_abs_epi8(query);
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                // SAFETY: these are 32 bytes, and any bits are a vector.
                let vector = unsafe {
                    std::ptr::from_ref(vector)
                        .cast::<__m256i>()
                        .read_unaligned()
                };
                let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(vector, query));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        let scale = _mm256_set1_ps(scale);
        let (scores, scales) = (scores.as_chunks_mut::<8>().0, all.as_chunks::<8>().0);
        for ((scores, scales), sum) in scores.iter_mut().zip(scales).zip(sums) {
            // SAFETY: both are eight numbers; neither access needs alignment.
            unsafe {
                let scales = _mm256_mul_ps(_mm256_loadu_ps(scales.as_ptr()), scale);
                let sum = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scales);
                _mm256_storeu_ps(scores.as_mut_ptr(), sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn score_bytes(queries: &ByteQueries, panel: &[Line], scales: &[f32], scores: &mut [f32]) {
    const ROWS: usize = 6;
    let all = filled_up(scales);
    let fours = panel.len() / (WIDTH * 4 / Line::BYTES);
    let mut first = 0;
    let count = queries.scales.len();
    while first < count {
        let rows = ROWS.min(count - first);
        macro_rules! of_rows {
            ($($rows:literal)*) => {
                match rows {
                    $($rows => score_byte_rows::<$rows>(queries, first, fours, panel, &all, scores),)*
                    _ => unreachable!("there are between 1 and ROWS rows"),
                }
            };
        }
        of_rows!(1 2 3 4 5 6);
        first += rows;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn score_byte_rows<const ROWS: usize>(
    queries: &ByteQueries,
    first: usize,
    fours: usize,
    panel: &[Line],
    scales: &[f32; WIDTH],
    scores: &mut [f32],
) {
    use core::arch::x86_64::{
        __m512i, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_mul_ps,
        _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
        _mm512_storeu_ps, _mm512_sub_epi32, _mm512_xor_si512,
    };
    const VECTORS: usize = WIDTH / 16;
    // One side is taken as unsigned: 128 is added to the vectors' bytes by flipping the highest
    // bit, and what that adds to each sum is taken off again.
    let sign = _mm512_set1_epi8(i8::MIN);
    let rows = &queries.fours[first * fours..][..ROWS * fours];
    let mut sums = [[_mm512_setzero_si512(); VECTORS]; ROWS];
    for (four, lines) in panel.as_chunks::<VECTORS>().0.iter().enumerate() {
        let vectors = lines.each_ref().map(|line| {
            // SAFETY: a line is 64 bytes, aligned as the vector is, and any bits are a vector.
            let vector = unsafe { std::ptr::from_ref(line).cast::<__m512i>().read() };
            _mm512_xor_si512(vector, sign)
        });
        for (row, sums) in sums.iter_mut().enumerate() {
            let query = _mm512_set1_epi32(rows[row * fours + four]);
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                *sum = _mm512_dpbusd_epi32(*sum, vector, query);
            }
        }
    }
    // By index, so that the sums stay in registers: an iterator over them would move them to
    // memory.
    for row in 0..ROWS {
        let shift = _mm512_set1_epi32(queries.shifts[first + row]);
        let scale = _mm512_set1_ps(queries.scales[first + row]);
        let scores = &mut scores[(first + row) * WIDTH..][..WIDTH];
        for vector in 0..VECTORS {
            let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[row][vector], shift));
            let (scores, scales) = (
                &mut scores[vector * 16..][..16],
                &scales[vector * 16..][..16],
            );
            // SAFETY: both are sixteen numbers; neither access needs alignment.
            unsafe {
                let scales = _mm512_mul_ps(_mm512_loadu_ps(scales.as_ptr()), scale);
                _mm512_storeu_ps(scores.as_mut_ptr(), _mm512_mul_ps(sum, scales));
            }
        }
    }
}
