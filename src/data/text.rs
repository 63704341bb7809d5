//! The text that interactions are read from: a file, or what came from elsewhere.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fs::File;
#[cfg(feature = "gzip")]
use std::io::BufReader;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::BlockSource;
use crate::{Error, Result};

/// How a file may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstandard,
}

impl Compression {
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

    /// The feature that brings what unpacks it, and whether that is built in.
    fn feature(self) -> (&'static str, bool) {
        match self {
            Self::Gzip => ("gzip", cfg!(feature = "gzip")),
            Self::Zstandard => ("zstd", cfg!(feature = "zstd")),
        }
    }

    fn check_built_in(self, path: &Path) -> Result<()> {
        let (feature, built_in) = self.feature();
        if built_in {
            return Ok(());
        }
        let reason = format!(
            "it is compressed by {feature}: unpack it, or build with the feature `{feature}`"
        );
        Err(Error::invalid("path", path.display(), reason))
    }

    /// What packed bytes hold, whose errors say that they could not be unpacked.
    fn unpacked(self, packed: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => {
                let packed = BufReader::new(packed);
                Ok(self.told(flate2::bufread::MultiGzDecoder::new(packed)))
            }
            #[cfg(feature = "zstd")]
            Self::Zstandard => Ok(self.told(zstd::stream::read::Decoder::new(packed)?)),
            #[allow(unreachable_patterns)]
            _ => {
                drop(packed);
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    #[cfg(any(feature = "gzip", feature = "zstd"))]
    fn told(self, source: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        Box::new(Unpacked {
            source,
            packing: self,
        })
    }

    /// The packing of what begins so, if it has any.
    fn of(start: &[u8]) -> Option<Self> {
        let packings = Self::ALL.into_iter();
        let mut found = packings.filter(|packing| start.starts_with(packing.magic()));
        found.next()
    }
}

/// What is unpacked, whose errors say so.
#[cfg(any(feature = "gzip", feature = "zstd"))]
struct Unpacked<R> {
    source: R,
    packing: Compression,
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.source.read(into).map_err(|error| {
            let (feature, _) = self.packing.feature();
            let text = format!("it can't be unpacked ({feature}): {error}");
            io::Error::new(error.kind(), text)
        })
    }
}

/// As many bytes as tell what a file is.
const START: u64 = 8;

/// What a Parquet file begins with.
pub(super) const PARQUET: [u8; 4] = *b"PAR1";

/// The first bytes of a file, which tell what it is, whatever its name.
pub(super) fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(START).read_to_end(&mut start)?;
    Ok(start)
}

/// Text that can be read any number of times, and is unpacked while it is read.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// What errors call it: the path, without `.gz` or `.zst`.
    name: PathBuf,
    bytes: Bytes,
    packing: Option<Compression>,
}

/// Bytes that are read from any place.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    /// A regular file.
    File(PathBuf),
    /// What can be read only once, in memory.
    Memory(Arc<[u8]>),
}

pub(super) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

impl Text {
    /// The text of a file; pipes are read into memory.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path)(error);
        let mut file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Self::from_reader(path, file);
        }
        let mut start = Vec::new();
        (&mut file)
            .take(START)
            .read_to_end(&mut start)
            .map_err(failed)?;
        Self::new(path, Bytes::File(path.to_owned()), &start)
    }

    /// All that a reader gives.
    pub(super) fn from_reader(name: &Path, mut source: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        source
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", name))?;
        Self::new(name, Bytes::Memory(bytes.as_slice().into()), &bytes)
    }

    fn new(path: &Path, bytes: Bytes, start: &[u8]) -> Result<Self> {
        let mut name = path.to_owned();
        let packing = Compression::of(start);
        if let Some(packing) = packing {
            packing.check_built_in(path)?;
            if (name.extension()).is_some_and(|end| end == packing.extension()) {
                name.set_extension("");
            }
        }
        Ok(Self {
            name,
            bytes,
            packing,
        })
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// The bytes, where they are the text.
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        self.packing.is_none().then_some(&self.bytes)
    }

    /// The text from its start.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.bytes.open()?;
        match self.packing {
            None => Ok(Box::new(bytes)),
            Some(packing) => packing.unpacked(bytes),
        }
    }
}

impl Bytes {
    /// How many there are.
    pub(super) fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(path) => std::fs::metadata(path).map(|file| file.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn open(&self) -> io::Result<Box<dyn ReadSeek>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
        })
    }
}

impl BlockSource for Bytes {
    fn open(&self) -> io::Result<impl Read + Seek> {
        Self::open(self)
    }
}
