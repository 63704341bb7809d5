//! The text that interactions are read from: a file, or what came from elsewhere.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::Source;
use crate::{Error, Result};

/// What a file compressed by gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Text that can be opened any number of times.
#[derive(Debug, Clone)]
pub(super) enum Text {
    /// A regular file, which is read as it is.
    File(PathBuf),
    /// What can be read only once, or is compressed, in memory.
    Memory {
        /// What errors call it.
        name: PathBuf,
        bytes: Arc<[u8]>,
    },
}

pub(super) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Text {
    /// The text of a file: pipes and files that are compressed by gzip are read into memory.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path)(error);
        let mut file = File::open(path).map_err(failed)?;
        let mut start = Vec::new();
        (&mut file)
            .take(GZIP.len() as u64)
            .read_to_end(&mut start)
            .map_err(failed)?;
        let is_file = file.metadata().map_err(failed)?.is_file();
        if is_file && start != GZIP {
            return Ok(Self::File(path.to_owned()));
        }
        Self::from_reader(path, start.chain(file))
    }

    /// All that a reader gives, unpacked if it is compressed by gzip.
    pub(super) fn from_reader(name: &Path, mut source: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        source
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", name))?;
        let mut name = name.to_owned();
        if bytes.starts_with(&GZIP) {
            bytes = unpacked(&bytes, &name)?;
            if name.extension().is_some_and(|end| end == "gz") {
                name.set_extension("");
            }
        }
        let bytes = bytes.into();
        Ok(Self::Memory { name, bytes })
    }

    /// What errors call it: the path, without `.gz`.
    pub(super) fn name(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory { name, .. } => name,
        }
    }

    /// The number of bytes.
    pub(super) fn size(&self) -> Result<u64> {
        match self {
            Self::File(path) => std::fs::metadata(path)
                .map(|file| file.len())
                .map_err(Error::io("read", path)),
            Self::Memory { bytes, .. } => Ok(bytes.len() as u64),
        }
    }

    /// The text from its start.
    pub(super) fn open(&self) -> io::Result<Box<dyn ReadSeek>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Memory { bytes, .. } => Box::new(Cursor::new(bytes.clone())),
        })
    }
}

impl Source for Text {
    fn open(&self) -> io::Result<impl Read + Seek> {
        Self::open(self)
    }
}

#[cfg(feature = "gzip")]
fn unpacked(packed: &[u8], name: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .map_err(Error::io("unpack", name))?;
    Ok(bytes)
}

#[cfg(not(feature = "gzip"))]
fn unpacked(_packed: &[u8], name: &Path) -> Result<Vec<u8>> {
    Err(Error::invalid(
        "path",
        name.display(),
        "is compressed by gzip: unpack it, or build with the feature `gzip`",
    ))
}
