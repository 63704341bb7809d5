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

/// How a file may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstandard,
}

impl Packing {
    const ALL: [Self; 2] = [Self::Gzip, Self::Zstandard];

    /// What such a file begins with.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Zstandard => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }

    /// How its name ends.
    fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstandard => "zst",
        }
    }

    /// The packing of what begins so, if it has any.
    fn of(start: &[u8]) -> Option<Self> {
        let packings = Self::ALL.into_iter();
        let mut found = packings.filter(|packing| start.starts_with(packing.magic()));
        found.next()
    }
}

/// As many bytes as tell how a file is compressed.
const START: u64 = 4;

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
    /// The text of a file: pipes and files that are compressed are read into memory.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path)(error);
        let mut file = File::open(path).map_err(failed)?;
        let mut start = Vec::new();
        (&mut file)
            .take(START)
            .read_to_end(&mut start)
            .map_err(failed)?;
        let is_file = file.metadata().map_err(failed)?.is_file();
        if is_file && Packing::of(&start).is_none() {
            return Ok(Self::File(path.to_owned()));
        }
        Self::from_reader(path, start.chain(file))
    }

    /// All that a reader gives, unpacked if it is compressed.
    pub(super) fn from_reader(name: &Path, mut source: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        source
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", name))?;
        let mut name = name.to_owned();
        if let Some(packing) = Packing::of(&bytes) {
            bytes = match packing {
                Packing::Gzip => gzip(&bytes, &name)?,
                Packing::Zstandard => zstandard(&bytes, &name)?,
            };
            if (name.extension()).is_some_and(|end| end == packing.extension()) {
                name.set_extension("");
            }
        }
        let bytes = bytes.into();
        Ok(Self::Memory { name, bytes })
    }

    /// What errors call it: the path, without `.gz` or `.zst`.
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
fn gzip(packed: &[u8], name: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .map_err(Error::io("unpack", name))?;
    Ok(bytes)
}

#[cfg(not(feature = "gzip"))]
fn gzip(_packed: &[u8], name: &Path) -> Result<Vec<u8>> {
    Err(Error::invalid(
        "path",
        name.display(),
        "it is compressed by gzip: unpack it, or build with the feature `gzip`",
    ))
}

#[cfg(feature = "zstd")]
fn zstandard(packed: &[u8], name: &Path) -> Result<Vec<u8>> {
    zstd::stream::decode_all(packed).map_err(Error::io("unpack", name))
}

#[cfg(not(feature = "zstd"))]
fn zstandard(_packed: &[u8], name: &Path) -> Result<Vec<u8>> {
    Err(Error::invalid(
        "path",
        name.display(),
        "it is compressed by zstd: unpack it, or build with the feature `zstd`",
    ))
}
