//! Files of vectors that other programs wrote.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use half::f16;
use ndarray::Array2;

use super::VectorTable;
use crate::data::ExternalId;
use crate::error::damaged;
use crate::files::read_file;
use crate::{Error, Result};

impl VectorTable {
    /// Reads vectors with their ids: a `.npy` file `[n, dim]` of numpy's, of numbers of 16, 32 or
    /// 64 bits, with the ids in the order of rows beside it, as a list in a `.json` of the same
    /// name; or, with the feature `parquet`, a `.parquet` file with the columns `id` and `vector`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when a file can't be read,
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) when it is none of these,
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when there are not as many ids as vectors, and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a path of another ending.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => {
                let beside = path.with_extension("json");
                let ids: Vec<ExternalId> = serde_json::from_slice(&read_file(&beside)?).map_err(|error| {
                    let reason = format!("it must be a list of the ids of {}'s rows, of numbers or texts: {error}", path.display());
                    damaged(&beside, reason)
                })?;
                Self::new(ids, npy(&read_file(path)?, path)?)
            }
            #[cfg(feature = "parquet")]
            Some("parquet") => super::parquet_vectors::read(path),
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => {
                let reason = "Parquet files need the crate's feature `parquet`; give a .npy file";
                Err(Error::invalid("path", path.display(), reason))
            }
            _ => {
                let reason =
                    "the name must end in .npy or .parquet, which says what is in the file";
                Err(Error::invalid("path", path.display(), reason))
            }
        }
    }
}

/// The matrix of a `.npy` file: see `numpy.lib.format`. Read by hand for numbers of 16 bits, which
/// text vectors are mostly kept in and `ndarray-npy` doesn't know.
fn npy(bytes: &[u8], path: &Path) -> Result<Array2<f32>> {
    let failed = |reason: &str| damaged(path, reason);
    let rest = bytes.strip_prefix(b"\x93NUMPY");
    let rest = rest.ok_or_else(|| failed("it is no file of numpy's"))?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => {
            return Err(failed(
                "it is of a version of numpy's format that isn't known",
            ));
        }
    };
    let short = || failed("it ends before its numbers do");
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = String::from_utf8_lossy(header);
    if header.contains("'fortran_order': True") {
        let reason =
            "its numbers are in the order of columns: save `numpy.ascontiguousarray(vectors)`";
        return Err(failed(reason));
    }
    let sizes = header
        .split_once("'shape': (")
        .and_then(|(_, rest)| rest.split_once(')'));
    let sizes: Vec<usize> = (sizes.map_or("", |(sizes, _)| sizes).split(','))
        .filter_map(|size| size.trim().parse().ok())
        .collect();
    let &[rows, dim] = sizes.as_slice() else {
        return Err(failed(&format!(
            "its shape is {sizes:?}, not [vectors, dim]"
        )));
    };
    let values = match header
        .split_once("'descr': '")
        .and_then(|(_, rest)| rest.get(..3))
    {
        Some("<f2") => numbers(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Some("<f4") => numbers(data, f32::from_le_bytes),
        Some("<f8") => numbers(data, |bytes| f64::from_le_bytes(bytes) as f32),
        _ => {
            let reason = "its numbers are of another kind than float16, float32 or float64: save \
                          `vectors.astype(\"float32\")`";
            return Err(failed(reason));
        }
    };
    let count = rows.saturating_mul(dim);
    if values.len() != count {
        return Err(failed(&format!(
            "it has {} numbers, not {rows} times {dim}",
            values.len()
        )));
    }
    Array2::from_shape_vec((rows, dim), values).map_err(|error| failed(&error.to_string()))
}

fn numbers<const SIZE: usize>(data: &[u8], number: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    let (chunks, _) = data.as_chunks::<SIZE>();
    chunks.iter().map(|&bytes| number(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn numbers_of_every_size_are_read_and_others_told() {
        let header = |kind: &str, shape: &str| {
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
        };
        let values = [1.5f32, -2.0, 0.25, 8.0];
        let expected = ndarray::array![[1.5, -2.0], [0.25, 8.0]];
        let halves = values
            .map(|value| f16::from_f32(value).to_le_bytes())
            .concat();
        let singles = values.map(f32::to_le_bytes).concat();
        let doubles = values.map(|value| f64::from(value).to_le_bytes()).concat();
        let path = Path::new("text.npy");
        for (kind, data) in [("<f2", halves), ("<f4", singles.clone()), ("<f8", doubles)] {
            let read = npy(&file(&header(kind, "(2, 2)"), &data), path).unwrap();
            assert_eq!(read, expected, "{kind}");
        }
        let fortran = header("<f4", "(2, 2)").replace("False", "True");
        for (bytes, expected) in [
            (b"PK\x03\x04".to_vec(), "no file of numpy's"),
            (file(&header("<i8", "(2, 2)"), &singles), "float32"),
            (file(&header("<f4", "(4,)"), &singles), "[4]"),
            (
                file(&header("<f4", "(3, 2)"), &singles),
                "has 4 numbers, not 3 times 2",
            ),
            (file(&fortran, &singles), "order of columns"),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "ends before"),
        ] {
            let error = npy(&bytes, path).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("text.npy"),
                "{error}"
            );
        }
    }
}
