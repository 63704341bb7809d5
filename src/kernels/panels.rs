//! Vectors laid out for products with many queries.
//!
//! They lie side by side in panels of [`WIDTH`]. A panel of numbers is `[dim, WIDTH]`, so that a
//! product makes the scores of one query with a whole panel in vectors; a panel of bytes is
//! `[dim / 4, WIDTH, 4]`, as the instruction that multiplies four bytes at a time wants them.

use super::for_each_instruction_set;
use super::matmul::{Matrix, matmul};
use super::precision::{Precision, byte_scale, encode, to_byte};
use super::scoring::{Line, from_half, prefetch};

/// How many vectors a panel holds.
pub(crate) const WIDTH: usize = 64;

/// How many lines a panel takes.
pub(crate) fn lines_per_panel(dim: usize, precision: Precision) -> usize {
    let rows = match precision {
        Precision::F32 | Precision::F16 => dim,
        Precision::Int8 => dim.next_multiple_of(4),
    };
    rows * WIDTH * precision.bytes_per_value() / Line::BYTES
}

/// Writes a vector into its column of a panel; gives what its values are multiples of.
pub(crate) fn write(
    panel: &mut [Line],
    column: usize,
    vector: &[f32],
    precision: Precision,
) -> f32 {
    encode(vector, precision, panel, |row| match precision {
        Precision::F32 | Precision::F16 => row * WIDTH + column,
        Precision::Int8 => byte_place(row, column),
    })
}

#[inline(always)]
fn byte_place(row: usize, column: usize) -> usize {
    (row / 4 * WIDTH + column) * 4 + row % 4
}

/// A view of vectors in panels; the last panel is filled up with zeros.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) lines: &'a [Line],
    /// What each vector's values are multiples of; for int8 alone.
    pub(crate) scales: &'a [f32],
    pub(crate) len: usize,
    pub(crate) dim: usize,
    pub(crate) precision: Precision,
}

/// Queries made ready to be scored with panels.
pub(crate) struct Tile<'a> {
    queries: &'a [f32],
    count: usize,
    /// The panel at hand as numbers, where it is kept as something else.
    decoded: Vec<f32>,
    bytes: Option<ByteQueries>,
}

/// Queries as bytes.
struct ByteQueries {
    /// `[queries, dim / 4]`, four bytes in each number.
    fours: Vec<i32>,
    /// What each query's bytes are multiples of.
    scales: Vec<f32>,
    /// 128 times the sum of each query's bytes.
    shifts: Vec<i32>,
}

impl<'a> Panels<'a> {
    pub(crate) fn count(&self) -> usize {
        self.len.div_ceil(WIDTH)
    }

    /// How many columns of a panel are vectors.
    pub(crate) fn columns(&self, panel: usize) -> usize {
        (self.len - panel * WIDTH).min(WIDTH)
    }

    fn panel(&self, panel: usize) -> &'a [Line] {
        let size = lines_per_panel(self.dim, self.precision);
        &self.lines[panel * size..(panel + 1) * size]
    }

    pub(crate) fn prefetch(&self, panel: usize) {
        if panel < self.count() {
            prefetch(self.panel(panel));
        }
    }

    /// Whether [`score`](Self::score) rounds queries, so that the best are to be scored again.
    pub(crate) fn rounds_queries(&self) -> bool {
        self.precision == Precision::Int8 && has_byte_products()
    }

    /// Makes the queries `[n, dim]` ready.
    pub(crate) fn tile(&self, queries: &'a [f32]) -> Tile<'a> {
        let decoded = match self.precision {
            Precision::F32 => 0,
            Precision::F16 | Precision::Int8 => self.dim * WIDTH,
        };
        Tile {
            queries,
            count: queries.len() / self.dim,
            decoded: vec![0.0; decoded],
            bytes: self.rounds_queries().then(|| self.byte_queries(queries)),
        }
    }

    fn byte_queries(&self, queries: &[f32]) -> ByteQueries {
        let mut bytes = ByteQueries {
            fours: Vec::new(),
            scales: Vec::new(),
            shifts: Vec::new(),
        };
        for query in queries.chunks_exact(self.dim) {
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

    /// The scores `[queries, WIDTH]` of a tile's queries with a panel.
    pub(crate) fn score(&self, tile: &mut Tile<'_>, panel: usize, scores: &mut [f32]) {
        let queries = Matrix::new(tile.queries, tile.count, self.dim);
        let lines = self.panel(panel);
        if self.precision == Precision::F32 {
            let values = bytemuck::cast_slice(lines);
            return matmul(scores, queries, Matrix::new(values, self.dim, WIDTH));
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(bytes) = &tile.bytes {
            let scales = &self.scales[panel * WIDTH..][..self.columns(panel)];
            // SAFETY: there are byte queries only where the machine has the features that the
            // function is compiled for (`has_byte_products`).
            return unsafe { score_bytes(bytes, lines, scales, scores) };
        }
        #[cfg(target_arch = "x86_64")]
        if self.precision == Precision::F16 && tile.count == 1 && has_halves() {
            // SAFETY: the machine has the features that the function is compiled for.
            return unsafe { score_halves(tile.queries, lines, scores) };
        }
        if self.precision == Precision::F16 {
            decode_halves(bytemuck::cast_slice(lines), &mut tile.decoded);
        } else {
            let scales = &self.scales[panel * WIDTH..][..self.columns(panel)];
            decode_bytes(bytemuck::cast_slice(lines), scales, &mut tile.decoded);
        }
        matmul(scores, queries, Matrix::new(&tile.decoded, self.dim, WIDTH));
    }

    /// The inner product of a query with a vector of bytes, the query not rounded.
    pub(crate) fn rescore(&self, query: &[f32], vector: u32) -> f32 {
        let (panel, column) = (vector as usize / WIDTH, vector as usize % WIDTH);
        let fours = bytemuck::cast_slice::<Line, [i8; 4]>(self.panel(panel));
        let (whole, rest) = query.as_chunks::<4>();
        let mut sums = [0.0; 4];
        for (query, bytes) in whole.iter().zip(fours[column..].iter().step_by(WIDTH)) {
            for ((sum, &query), &byte) in sums.iter_mut().zip(query).zip(bytes) {
                *sum += query * f32::from(byte);
            }
        }
        if let Some(bytes) = fours.get(whole.len() * WIDTH + column) {
            for ((sum, &query), &byte) in sums.iter_mut().zip(rest).zip(bytes) {
                *sum += query * f32::from(byte);
            }
        }
        sums.into_iter().sum::<f32>() * self.scales[vector as usize]
    }
}

for_each_instruction_set! {
    fn decode_halves(halves: &[u16], out: &mut [f32]) {
        for (out, &half) in out.iter_mut().zip(halves) {
            *out = from_half(half);
        }
    }
}

for_each_instruction_set! {
    fn decode_bytes(bytes: &[i8], scales: &[f32], out: &mut [f32]) {
        for (row, out) in out.chunks_exact_mut(WIDTH).enumerate() {
            for (column, (out, &scale)) in out.iter_mut().zip(scales).enumerate() {
                *out = f32::from(bytes[byte_place(row, column)]) * scale;
            }
        }
    }
}

/// Whether the machine takes half-precision numbers for single ones by itself.
#[cfg(target_arch = "x86_64")]
fn has_halves() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// The scores of one query with a panel of halves, which are never written down as single numbers:
/// for one query that takes longer than all else.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn score_halves(query: &[f32], panel: &[Line], scores: &mut [f32]) {
    use core::arch::x86_64::{
        __m256i, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };
    const VECTORS: usize = WIDTH / 16;
    let halves = bytemuck::cast_slice::<Line, [[u16; 16]; VECTORS]>(panel);
    let mut sums = [_mm512_setzero_ps(); VECTORS];
    for (&value, halves) in query.iter().zip(halves) {
        let value = _mm512_set1_ps(value);
        for (sum, halves) in sums.iter_mut().zip(halves) {
            // SAFETY: sixteen halves are as many bytes as the vector, and any bits are a vector.
            let halves = unsafe {
                std::ptr::from_ref(halves)
                    .cast::<__m256i>()
                    .read_unaligned()
            };
            *sum = _mm512_fmadd_ps(value, _mm512_cvtph_ps(halves), *sum);
        }
    }
    for (scores, sum) in scores.as_chunks_mut::<16>().0.iter_mut().zip(sums) {
        // SAFETY: there are sixteen scores to write.
        unsafe { _mm512_storeu_ps(scores.as_mut_ptr(), sum) };
    }
}

/// Whether the machine multiplies bytes four at a time.
fn has_byte_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn score_bytes(queries: &ByteQueries, panel: &[Line], scales: &[f32], scores: &mut [f32]) {
    const ROWS: usize = 6;
    let mut all = [0.0; WIDTH];
    all[..scales.len()].copy_from_slice(scales);
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
    // By index, so that the sums stay in registers: an iterator over them would move them to memory.
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

#[cfg(test)]
mod tests {
    use super::super::scoring::to_half;
    use super::*;

    /// A value as it is after it was kept.
    fn rounded(value: f32, precision: Precision, scale: f32) -> f32 {
        match precision {
            Precision::F32 => value,
            Precision::F16 => from_half(to_half(value)),
            Precision::Int8 => f32::from(to_byte(value, scale)) * scale,
        }
    }

    #[test]
    fn scores_are_those_of_the_kept_vectors() {
        let value = |place: usize| ((place * 2_654_435_761) >> 8) as u16 as f32 / 32_768.0 - 1.0;
        for (dim, len, count) in [
            (1, 1, 1),
            (3, 70, 7),
            (16, 64, 6),
            (30, 130, 13),
            (64, 65, 64),
        ] {
            let vectors: Vec<f32> = (0..len * dim).map(value).collect();
            let queries: Vec<f32> = (0..count * dim).map(|place| value(place + 999)).collect();
            for precision in [Precision::F32, Precision::F16, Precision::Int8] {
                let size = lines_per_panel(dim, precision);
                let mut lines = vec![Line::default(); len.div_ceil(WIDTH) * size];
                let write = |(place, vector): (usize, &[f32])| {
                    let panel = &mut lines[place / WIDTH * size..][..size];
                    write(panel, place % WIDTH, vector, precision)
                };
                let scales: Vec<f32> = vectors.chunks_exact(dim).enumerate().map(write).collect();
                let panels = Panels {
                    lines: &lines,
                    scales: &scales,
                    len,
                    dim,
                    precision,
                };
                let mut tile = panels.tile(&queries);
                // What a rounded query adds to the error.
                let rough = if panels.rounds_queries() {
                    dim as f32 / 127.0
                } else {
                    0.0
                };
                let mut scores = vec![0.0; count * WIDTH];
                for panel in 0..panels.count() {
                    panels.score(&mut tile, panel, &mut scores);
                    for (place, query) in queries.chunks_exact(dim).enumerate() {
                        for column in 0..panels.columns(panel) {
                            let vector = panel * WIDTH + column;
                            let kept = vectors[vector * dim..][..dim]
                                .iter()
                                .map(|&value| rounded(value, precision, scales[vector]));
                            let exact: f32 = kept.zip(query).map(|(a, b)| a * b).sum();
                            let score = scores[place * WIDTH + column];
                            assert!((score - exact).abs() <= 1e-4 + rough, "{precision:?} {dim}");
                            if precision == Precision::Int8 {
                                let again = panels.rescore(query, vector as u32);
                                assert!((again - exact).abs() <= 1e-4, "{again} {exact}");
                            }
                        }
                    }
                }
            }
        }
    }
}
