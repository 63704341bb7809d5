//! Inner products of one query with rows that lie apart in memory.

use pulp::{Arch, Simd, WithSimd};

use super::for_each_instruction_set;

/// Sixteen values, or the bytes of more smaller ones, in a cache line of their own: rows made of
/// lines are read without ever crossing one.
#[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; Line::WIDTH]);

impl Line {
    pub(crate) const WIDTH: usize = 16;
    pub(crate) const BYTES: usize = 64;
}

/// Asks for the memory that a slice lies in.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = slice.as_ptr().cast::<i8>();
        let before = start.addr() % Line::BYTES;
        for offset in (0..before + size_of_val(slice)).step_by(Line::BYTES) {
            // SAFETY: a prefetch is a hint that reads nothing, whatever the address, and every
            // x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_sub(before).wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

/// The inner products of `query` with the rows of `vectors` that `rows` names; a row has as many
/// lines as the query.
pub(crate) fn score_rows(query: &[Line], vectors: &[Line], rows: &[u32], scores: &mut [f32]) {
    Arch::new().dispatch(ScoreRows {
        query,
        vectors,
        rows,
        scores,
    });
}

struct ScoreRows<'a> {
    query: &'a [Line],
    vectors: &'a [Line],
    rows: &'a [u32],
    scores: &'a mut [f32],
}

impl WithSimd for ScoreRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lines = self.query.len();
        let (query, _) = S::as_simd_f32s(bytemuck::cast_slice::<Line, f32>(self.query));
        for (&row, score) in self.rows.iter().zip(self.scores) {
            let row = &self.vectors[row as usize * lines..][..lines];
            let (row, _) = S::as_simd_f32s(bytemuck::cast_slice::<Line, f32>(row));
            // Two sums, since each waits for its last addition.
            let mut sums = [simd.splat_f32s(0.0); 2];
            let (pairs, rest) = pulp::as_arrays::<2, _>(query);
            let (row_pairs, row_rest) = pulp::as_arrays::<2, _>(row);
            for (a, b) in pairs.iter().zip(row_pairs) {
                sums[0] = simd.mul_add_f32s(a[0], b[0], sums[0]);
                sums[1] = simd.mul_add_f32s(a[1], b[1], sums[1]);
            }
            for (a, b) in rest.iter().zip(row_rest) {
                sums[0] = simd.mul_add_f32s(*a, *b, sums[0]);
            }
            *score = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
        }
    }
}

/// A half-precision number (IEEE 754 binary16) as a single one, by its bits: the exponent is put
/// right by a product, which makes subnormal numbers right as well.
#[inline(always)]
pub(crate) fn from_half(half: u16) -> f32 {
    let bits = u32::from(half);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | ((bits & 0x8000) << 16))
}

/// The largest number of half precision.
pub(crate) const LARGEST_HALF: f32 = half::f16::MAX.to_f32_const();

/// The nearest half-precision number, ties to the even one; beyond the range the largest.
pub(crate) fn to_half(value: f32) -> u16 {
    let sign = ((value.to_bits() >> 16) & 0x8000) as u16;
    // The reverse product rounds what is subnormal in half precision; the rest is rounded by
    // its bits, and a carry runs on into the exponent as it should.
    let scaled = value.abs().min(LARGEST_HALF) * f32::from_bits(0x0780_0000);
    let bits = scaled.to_bits();
    let rounded = (bits + 0x0fff + ((bits >> 13) & 1)) >> 13;
    sign | (rounded as u16).min(0x7bff)
}

macro_rules! compact_scores {
    ($(#[$attribute:meta])* $name:ident, $kind:ty, $to_f32:expr) => {
        for_each_instruction_set! {
            $(#[$attribute])*
            pub(crate) fn $name(
                query: &[f32], vectors: &[Line], per_row: usize, rows: &[u32], scores: &mut [f32],
            ) {
                for (&row, score) in rows.iter().zip(scores) {
                    let row = &vectors[row as usize * per_row..][..per_row];
                    let row = bytemuck::cast_slice::<Line, $kind>(row).as_chunks::<{ Line::WIDTH }>().0;
                    let query = query.as_chunks::<{ Line::WIDTH }>().0;
                    let mut sums = [0.0f32; Line::WIDTH];
                    for (query, row) in query.iter().zip(row) {
                        for ((sum, &query), &value) in sums.iter_mut().zip(query).zip(row) {
                            *sum += query * $to_f32(value);
                        }
                    }
                    *score = sum_lanes(sums);
                }
            }
        }
    };
}

compact_scores! {
    /// The inner products of `query` with the half-precision rows that `rows` names, each of
    /// `per_row` lines.
    score_half_rows, u16, from_half
}

compact_scores! {
    /// The inner products of `query` with the rows of bytes that `rows` names, each of `per_row`
    /// lines.
    score_byte_rows, i8, f32::from
}

/// The inner products of the bytes of `query` with the rows of bytes that `rows` names, each of as
/// many lines; exact, and so the same on every machine.
pub(crate) fn score_bytes_by_bytes(
    query: &[Line],
    vectors: &[Line],
    rows: &[u32],
    scores: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
    {
        // SAFETY: the machine has the features that the function is compiled for.
        return unsafe { bytes_by_bytes_vnni(query, vectors, rows, scores) };
    }
    bytes_by_bytes(query, vectors, rows, scores);
}

for_each_instruction_set! {
    fn bytes_by_bytes(query: &[Line], vectors: &[Line], rows: &[u32], scores: &mut [f32]) {
        let lines = query.len();
        let query = bytemuck::cast_slice::<Line, i8>(query);
        for (&row, score) in rows.iter().zip(scores) {
            let row = &vectors[row as usize * lines..][..lines];
            let row = bytemuck::cast_slice::<Line, i8>(row);
            let product = |(&a, &b): (&i8, &i8)| i32::from(i16::from(a) * i16::from(b));
            *score = query.iter().zip(row).map(product).sum::<i32>() as f32;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn bytes_by_bytes_vnni(query: &[Line], vectors: &[Line], rows: &[u32], scores: &mut [f32]) {
    use core::arch::x86_64::{
        __m512i, _mm512_dpbusd_epi32, _mm512_reduce_add_epi32, _mm512_set1_epi8,
        _mm512_setzero_si512, _mm512_xor_si512,
    };
    let lines = query.len();
    let load = |line: &Line| {
        // SAFETY: a line is 64 bytes, aligned as the vector is, and any bits are a vector.
        unsafe { std::ptr::from_ref(line).cast::<__m512i>().read() }
    };
    // The instruction takes one side as unsigned: 128 is added to each of the row's bytes by
    // flipping the highest bit, and what that adds to the sum is taken off.
    let sign = _mm512_set1_epi8(i8::MIN);
    let ones = _mm512_set1_epi8(1);
    let mut shift = _mm512_setzero_si512();
    for line in query {
        shift = _mm512_dpbusd_epi32(shift, ones, load(line));
    }
    let shift = 128 * _mm512_reduce_add_epi32(shift);
    for (&row, score) in rows.iter().zip(scores) {
        let row = &vectors[row as usize * lines..][..lines];
        let mut sums = _mm512_setzero_si512();
        for (query, row) in query.iter().zip(row) {
            sums = _mm512_dpbusd_epi32(sums, _mm512_xor_si512(load(row), sign), load(query));
        }
        *score = (_mm512_reduce_add_epi32(sums) - shift) as f32;
    }
}

/// The sum of all lanes, by halves, as vectors are added up.
#[inline(always)]
fn sum_lanes(mut lanes: [f32; Line::WIDTH]) -> f32 {
    let mut half = Line::WIDTH / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_by_bytes_are_exact_everywhere() {
        let byte = |place: usize| ((place * 2_654_435_761) >> 9) as u8 as i8;
        for lines in 1..4 {
            let bytes: Vec<i8> = (0..7 * lines * Line::BYTES)
                .map(|place| if place % 50 < 3 { i8::MIN } else { byte(place) })
                .collect();
            let mut kept = vec![Line::default(); 7 * lines];
            bytemuck::cast_slice_mut::<Line, i8>(&mut kept).copy_from_slice(&bytes);
            let (query, rows) = (&kept[..lines], [6, 1, 1, 3]);
            let (mut found, mut plain) = ([0.0; 4], [0.0; 4]);
            score_bytes_by_bytes(query, &kept, &rows, &mut found);
            bytes_by_bytes(query, &kept, &rows, &mut plain);
            assert_eq!(found, plain);
            for (row, found) in rows.into_iter().zip(found) {
                let row = &bytes[row as usize * lines * Line::BYTES..];
                let products = bytes.iter().zip(row).take(lines * Line::BYTES);
                let sum: i32 = products.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                assert_eq!(found, sum as f32);
            }
        }
    }

    #[test]
    fn halves_are_the_nearest() {
        for (value, bits) in [
            (0.0, 0x0000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (LARGEST_HALF, 0x7bff),
            (1e9, 0x7bff),
            (6.103_515_6e-5, 0x0400),
            (5.960_464_5e-8, 0x0001),
            (0.333_251_95, 0x3555),
            (1.000_488_3, 0x3c00),
            (1.001_464_8, 0x3c02),
            (-1e-9, 0x8000),
        ] {
            assert_eq!(to_half(value), bits, "{value}");
        }
        for bits in (0..0x7c00).chain(0x8000..0xfc00) {
            assert_eq!(to_half(from_half(bits)), bits, "{bits:#x}");
        }
        assert_eq!(from_half(0x3555), 0.333_251_95);
        assert_eq!(from_half(0x0001), 5.960_464_5e-8);
    }
}
