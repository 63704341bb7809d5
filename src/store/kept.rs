//! The part of a channel that a folder keeps, in the form that its manifest says.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::index::{AnyIndex, IndexReport};
use crate::recall::Kept;

use super::arrays::{ArrayReader, ArrayWriter};

/// The form of what is kept of a channel, and so where it is read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeptForm {
    Links,
    Vectors,
    Bytes,
    /// In a file of its own, with what the index was found to find.
    Index(IndexReport),
}

impl KeptForm {
    pub(super) fn of(kept: &Kept) -> Self {
        match kept {
            Kept::Links(_) => Self::Links,
            Kept::Vectors(_) => Self::Vectors,
            Kept::Bytes(_) => Self::Bytes,
            Kept::Index(_, report) => Self::Index(*report),
        }
    }

    /// Reads what was kept of a channel, whose index is at `index`.
    pub(super) fn read(
        self,
        channel: &str,
        arrays: &ArrayReader<'_>,
        items: usize,
        index: &Path,
        fingerprint: u64,
    ) -> Result<Kept> {
        let name = array_name(channel);
        Ok(match self {
            Self::Links => Kept::Links(Arc::new(arrays.links(&name, items + 1)?)),
            Self::Vectors => Kept::Vectors(Arc::new(arrays.matrix(&name)?)),
            Self::Bytes => Kept::Bytes(Arc::new(arrays.get(&name)?)),
            Self::Index(report) => {
                let index = AnyIndex::open(index, fingerprint)?;
                Kept::Index(Arc::new(index), report)
            }
        })
    }
}

/// Adds what is kept of a channel to the stage's arrays, unless it is an index, which has a file of
/// its own.
pub(super) fn add_to_arrays(kept: &Kept, channel: &str, arrays: &mut ArrayWriter) {
    let name = array_name(channel);
    match kept {
        Kept::Links(links) => arrays.add_links(&name, links),
        Kept::Vectors(vectors) => arrays.add_matrix(&name, vectors.view()),
        Kept::Bytes(bytes) => arrays.add(&name, bytes.iter().copied()),
        Kept::Index(..) => {}
    }
}

/// The beginning of the names of a channel's arrays: with the length of its own name, since that
/// may be another's with an array's ending.
fn array_name(channel: &str) -> String {
    format!("channel-{}-{channel}", channel.len())
}
