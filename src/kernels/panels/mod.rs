//! Vectors laid out for products with many queries.
//!
//! They lie side by side in panels of [`WIDTH`]. A panel of numbers is `[dim, WIDTH]`, so that a
//! product makes the scores of one query with a whole panel in vectors; a panel of bytes is
//! `[dim / 4, WIDTH, 4]`, as the instruction that multiplies four bytes at a time wants them. Two
//! bytes a value are such a panel, and after it `[WIDTH, dim]` finer bytes: the first is what all
//! vectors are scored by, both are what the best are scored again by.

mod bytes;

use std::ops::Range;

use super::for_each_instruction_set;
use super::matmul::{Matrix, matmul};
use super::precision::{Precision, encode, to_byte};
use super::scoring::{Line, prefetch};
use bytes::{ByteQueries, has_byte_products};

/// Vectors in a panel.
pub(crate) const WIDTH: usize = 64;

/// The number of lines of a panel.
pub(crate) fn lines_per_panel(dim: usize, precision: Precision) -> usize {
    let rows = match precision {
        Precision::F32 => dim,
        Precision::F16 | Precision::Int8 => dim.next_multiple_of(4),
    };
    rows * WIDTH * precision.bytes_per_value() / Line::BYTES
}

/// Steps of a finer byte in one step of the others.
const FINER: f32 = 254.0;

/// True where vectors are kept as multiples of a scale.
pub(crate) fn has_scales(precision: Precision) -> bool {
    precision != Precision::F32
}

/// Writes a vector into its column of a panel; gives what its values are multiples of.
pub(crate) fn write(
    panel: &mut [Line],
    column: usize,
    vector: &[f32],
    precision: Precision,
) -> f32 {
    if precision == Precision::F32 {
        return encode(vector, precision, panel, |row| row * WIDTH + column);
    }
    let (bytes, finer) = panel.split_at_mut(lines_per_panel(vector.len(), Precision::Int8));
    let scale = encode(vector, Precision::Int8, bytes, |row| {
        byte_place(row, column)
    });
    if precision == Precision::F16 {
        let finer: &mut [i8] = bytemuck::cast_slice_mut(finer);
        let finer = &mut finer[finer_range(column, vector.len())];
        for (finer, &value) in finer.iter_mut().zip(vector) {
            let byte = f32::from(to_byte(value, scale));
            *finer = to_byte(value / scale - byte, 1.0 / FINER);
        }
    }
    scale
}

#[inline(always)]
fn byte_place(row: usize, column: usize) -> usize {
    (row / 4 * WIDTH + column) * 4 + row % 4
}

/// A view of vectors in panels; the last panel is filled up with zeros.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) lines: &'a [Line],
    /// The scale of each vector, where its values are kept as multiples of one.
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
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "bytes are multiplied by themselves on x86 alone")
    )]
    bytes: Option<ByteQueries>,
}

impl<'a> Panels<'a> {
    pub(crate) fn count(&self) -> usize {
        self.len.div_ceil(WIDTH)
    }

    /// The number of a panel's columns that are vectors.
    pub(crate) fn columns(&self, panel: usize) -> usize {
        (self.len - panel * WIDTH).min(WIDTH)
    }

    /// The numbers of a panel, or its bytes, and its finer bytes where there are any.
    #[inline]
    fn panel(&self, panel: usize) -> (&'a [Line], &'a [Line]) {
        let size = lines_per_panel(self.dim, self.precision);
        let panel = &self.lines[panel * size..][..size];
        match self.precision {
            Precision::F32 | Precision::Int8 => (panel, &[]),
            Precision::F16 => panel.split_at(lines_per_panel(self.dim, Precision::Int8)),
        }
    }

    pub(crate) fn prefetch(&self, panel: usize) {
        if panel < self.count() {
            prefetch(self.panel(panel).0);
        }
    }

    /// True where [`score`](Self::score) rounds, so that the best must be scored again.
    pub(crate) fn rounds(&self) -> bool {
        self.precision != Precision::F32 && has_byte_products()
    }

    /// Makes the queries `[n, dim]` ready.
    pub(crate) fn tile(&self, queries: &'a [f32]) -> Tile<'a> {
        let decoded = match self.precision {
            Precision::F32 => 0,
            _ if self.rounds() => 0,
            Precision::F16 | Precision::Int8 => self.dim * WIDTH,
        };
        Tile {
            queries,
            count: queries.len() / self.dim,
            decoded: vec![0.0; decoded],
            bytes: self.rounds().then(|| ByteQueries::new(queries, self.dim)),
        }
    }

    /// The scores `[queries, WIDTH]` of a tile's queries with a panel.
    pub(crate) fn score(&self, tile: &mut Tile<'_>, panel: usize, scores: &mut [f32]) {
        let queries = Matrix::new(tile.queries, tile.count, self.dim);
        let (lines, finer) = self.panel(panel);
        if self.precision == Precision::F32 {
            let values = bytemuck::cast_slice(lines);
            return matmul(scores, queries, Matrix::new(values, self.dim, WIDTH));
        }
        let scales = &self.scales[panel * WIDTH..][..self.columns(panel)];
        #[cfg(target_arch = "x86_64")]
        if let Some(bytes) = &tile.bytes {
            return bytes.score(lines, scales, scores);
        }
        let (lines, finer) = (bytemuck::cast_slice(lines), bytemuck::cast_slice(finer));
        decode_bytes(lines, scales, &mut tile.decoded);
        if self.precision == Precision::F16 {
            add_finer(finer, scales, &mut tile.decoded);
        }
        matmul(scores, queries, Matrix::new(&tile.decoded, self.dim, WIDTH));
    }

    /// A vector, as it is kept.
    pub(crate) fn vector(&self, vector: usize) -> Vec<f32> {
        let (panel, column) = (vector / WIDTH, vector % WIDTH);
        let (lines, finer) = self.panel(panel);
        if self.precision == Precision::F32 {
            let values: &[f32] = bytemuck::cast_slice(lines);
            return (0..self.dim)
                .map(|row| values[row * WIDTH + column])
                .collect();
        }
        let (bytes, finer): (&[i8], &[i8]) =
            (bytemuck::cast_slice(lines), bytemuck::cast_slice(finer));
        let finer = finer.get(finer_range(column, self.dim)).unwrap_or_default();
        let finer = finer.iter().copied().chain(std::iter::repeat(0));
        let scale = self.scales[vector];
        (0..self.dim)
            .zip(finer)
            .map(|(row, finer)| {
                let byte = f32::from(bytes[byte_place(row, column)]);
                (byte + f32::from(finer) * (1.0 / FINER)) * scale
            })
            .collect()
    }

    /// The inner product of a query with a vector by all that is kept of it, the query not rounded.
    pub(crate) fn rescore(&self, query: &[f32], vector: u32) -> f32 {
        let (panel, column) = (vector as usize / WIDTH, vector as usize % WIDTH);
        let (bytes, finer) = self.panel(panel);
        let fours = bytemuck::cast_slice::<Line, [i8; 4]>(bytes);
        let scale = self.scales[vector as usize];
        let finer: &[i8] = bytemuck::cast_slice(finer);
        let finer = finer.get(finer_range(column, self.dim)).unwrap_or_default();
        scale * product_with_bytes(query, &fours[column..], finer)
    }
}

/// The range of finer bytes of the vector in a column.
fn finer_range(column: usize, dim: usize) -> Range<usize> {
    let start = column * dim.next_multiple_of(4);
    start..start + dim
}

/// Values of a vector that are scored at once.
const LANES: usize = 16;

for_each_instruction_set! {
    /// The product of a query with the bytes of the first column of some fours, and with the
    /// finer bytes if there are any.
    fn product_with_bytes(query: &[f32], fours: &[[i8; 4]], finer: &[i8]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let (whole, rest) = query.as_chunks::<LANES>();
        for (part, values) in whole.iter().enumerate() {
            let finer = finer[(part * LANES).min(finer.len())..].first_chunk();
            add_products(&mut sums, values, gather(fours, part), finer.unwrap_or(&[0; LANES]));
        }
        if !rest.is_empty() {
            let (mut values, mut more) = ([0.0; LANES], [0; LANES]);
            values[..rest.len()].copy_from_slice(rest);
            let finer = &finer[(whole.len() * LANES).min(finer.len())..];
            more[..finer.len()].copy_from_slice(finer);
            add_products(&mut sums, &values, gather(fours, whole.len()), &more);
        }
        sums.iter().sum::<f32>()
    }
}

/// The bytes of the first column that belong to a part of a vector, as far as there are any.
#[inline(always)]
fn gather(fours: &[[i8; 4]], part: usize) -> [[i8; 4]; LANES / 4] {
    std::array::from_fn(|four| {
        let four = fours.get((part * LANES / 4 + four) * WIDTH);
        four.copied().unwrap_or_default()
    })
}

#[inline(always)]
fn add_products(
    sums: &mut [f32; LANES],
    values: &[f32; LANES],
    bytes: [[i8; 4]; LANES / 4],
    finer: &[i8; LANES],
) {
    let all = bytes.as_flattened().iter().zip(finer).zip(values);
    for (sum, ((&byte, &finer), &value)) in sums.iter_mut().zip(all) {
        *sum += value * (f32::from(byte) + f32::from(finer) * (1.0 / FINER));
    }
}

for_each_instruction_set! {
    /// Adds what the finer bytes hold to the numbers `[dim, WIDTH]` of a panel.
    fn add_finer(finer: &[i8], scales: &[f32], out: &mut [f32]) {
        let dim = out.len() / WIDTH;
        let rows = finer.chunks_exact(dim.next_multiple_of(4)).zip(scales);
        for (column, (finer, &scale)) in rows.enumerate() {
            for (row, &finer) in finer[..dim].iter().enumerate() {
                out[row * WIDTH + column] += f32::from(finer) * (scale / FINER);
            }
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

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    use super::bytes::{has_wide_byte_products, score_bytes_by_pairs};
    use super::*;

    /// A value as it is after it was kept.
    fn rounded(value: f32, precision: Precision, scale: f32) -> f32 {
        let finest = match precision {
            Precision::F32 => return value,
            Precision::F16 => scale / FINER,
            Precision::Int8 => scale,
        };
        (value / finest).round() * finest
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
                // As on a machine that has no products of bytes.
                let mut plain = Tile {
                    queries: &queries,
                    count,
                    decoded: vec![0.0; dim * WIDTH],
                    bytes: None,
                };
                // What a rounded query adds to the error, and what vectors without finer bytes do.
                let rough = if panels.rounds() {
                    dim as f32 / 127.0
                } else {
                    0.0
                };
                let mut scores = vec![0.0; count * WIDTH];
                let mut plain_scores = vec![0.0; count * WIDTH];
                for panel in 0..panels.count() {
                    panels.score(&mut tile, panel, &mut scores);
                    panels.score(&mut plain, panel, &mut plain_scores);
                    #[cfg(target_arch = "x86_64")]
                    if let Some(bytes) = tile.bytes.as_ref().filter(|_| has_wide_byte_products()) {
                        let mut by_pairs = vec![0.0; count * WIDTH];
                        let scales = &scales[panel * WIDTH..][..panels.columns(panel)];
                        // SAFETY: a machine with wider vectors has the narrow ones.
                        unsafe {
                            score_bytes_by_pairs(
                                bytes,
                                panels.panel(panel).0,
                                scales,
                                &mut by_pairs,
                            );
                        }
                        assert_eq!(by_pairs, scores);
                    }
                    for (place, query) in queries.chunks_exact(dim).enumerate() {
                        for column in 0..panels.columns(panel) {
                            let vector = panel * WIDTH + column;
                            let kept = vectors[vector * dim..][..dim]
                                .iter()
                                .map(|&value| rounded(value, precision, scales[vector]));
                            let exact: f32 = kept.zip(query).map(|(a, b)| a * b).sum();
                            let score = scores[place * WIDTH + column];
                            assert!((score - exact).abs() <= 1e-4 + rough, "{precision:?} {dim}");
                            let score = plain_scores[place * WIDTH + column];
                            assert!((score - exact).abs() <= 2e-4, "{precision:?} {dim}");
                            if precision != Precision::F32 {
                                let again = panels.rescore(query, vector as u32);
                                assert!((again - exact).abs() <= 2e-4, "{again} {exact}");
                            }
                        }
                    }
                }
            }
        }
    }
}
