//! How vectors are kept.

use serde::{Deserialize, Serialize};

/// How an index keeps its vectors.
///
/// Queries are never rounded in the scores that a search gives. What compact vectors cost and
/// bring is measured by `cargo bench --bench ann -- DIR --precision int8`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// As they are: 4 bytes a value.
    #[default]
    F32,
    /// As half-precision numbers, 2 bytes a value, of which the range is ±65,504.
    F16,
    /// As multiples of a 127th of each vector's largest value, 1 byte a value. The best candidates
    /// of a search by bytes are scored again with the query as it is.
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

/// What a vector's bytes are multiples of.
pub(crate) fn byte_scale(vector: &[f32]) -> f32 {
    let largest = vector
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    if scale > 0.0 { scale } else { 1.0 }
}

pub(crate) fn to_byte(value: f32, scale: f32) -> i8 {
    (value / scale).round() as i8
}
