//! The precision of stored vectors.

use serde::{Deserialize, Serialize};

use super::scoring::{Line, to_half};

/// The precision that an index keeps its vectors in.
///
/// Queries are never rounded in the scores that a search gives. What compact vectors cost and
/// bring is measured by `cargo bench -p seqrec-bench --bench ann -- DIR --precision int8`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Precision {
    /// As they are: 4 bytes a value.
    #[default]
    F32,
    /// In 2 bytes a value, of which the range is ±65,504. A graph keeps half-precision numbers; an
    /// exact index keeps multiples of a 32,258th of each vector's largest value, so that it can
    /// search by one byte of each value and score the best again by both.
    F16,
    /// As multiples of a 127th of each vector's largest value, 1 byte a value. The best candidates
    /// of a search by bytes are scored again with the query as it is. Where one value of a vector
    /// is very much larger than the others, as a bias column may be, little is left of these: keep
    /// such vectors in `F16` or as they are.
    Int8,
}

impl Precision {
    pub(crate) fn bytes_per_value(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// The unit of a vector's bytes.
pub(crate) fn byte_scale(vector: &[f32]) -> f32 {
    let largest = vector
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    if scale > 0.0 { scale } else { 1.0 }
}

/// Writes a vector to the lines that hold it, each value at its place; gives what its values are
/// multiples of.
pub(crate) fn encode(
    vector: &[f32],
    precision: Precision,
    lines: &mut [Line],
    place: impl Fn(usize) -> usize,
) -> f32 {
    match precision {
        Precision::F32 => {
            let values: &mut [f32] = bytemuck::cast_slice_mut(lines);
            for (number, &value) in vector.iter().enumerate() {
                values[place(number)] = value;
            }
            1.0
        }
        Precision::F16 => {
            let values: &mut [u16] = bytemuck::cast_slice_mut(lines);
            for (number, &value) in vector.iter().enumerate() {
                values[place(number)] = to_half(value);
            }
            1.0
        }
        Precision::Int8 => {
            let scale = byte_scale(vector);
            let values: &mut [i8] = bytemuck::cast_slice_mut(lines);
            for (number, &value) in vector.iter().enumerate() {
                values[place(number)] = to_byte(value, scale);
            }
            scale
        }
    }
}

pub(crate) fn to_byte(value: f32, scale: f32) -> i8 {
    (value / scale).round() as i8
}
