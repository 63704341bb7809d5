//! Compressed files, unpacked while they are read.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

#[cfg(feature = "gzip")]
use std::io::BufReader;
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// A compression that files may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstandard,
}

impl Compression {
    const ALL: [Self; 2] = [Self::Gzip, Self::Zstandard];

    /// The compression of a file that begins with these bytes, if there is any.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let begins = |of: &Self| start.starts_with(of.magic());
        Self::ALL.into_iter().find(begins)
    }

    /// The bytes that such a file begins with.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Zstandard => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }

    /// The end of such a file's name.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstandard => "zst",
        }
    }

    /// The feature that brings the decoder, and whether it is built in.
    fn feature(self) -> (&'static str, bool) {
        match self {
            Self::Gzip => ("gzip", cfg!(feature = "gzip")),
            Self::Zstandard => ("zstd", cfg!(feature = "zstd")),
        }
    }

    pub(super) fn check_built_in(self, path: &Path) -> Result<()> {
        let (feature, built_in) = self.feature();
        if built_in {
            return Ok(());
        }
        let reason = format!(
            "it is compressed by {feature}: unpack it, or build with the feature `{feature}`"
        );
        Err(Error::invalid("path", path.display(), reason))
    }

    /// A reader of what packed bytes hold, whose errors say that they could not be unpacked.
    pub(super) fn unpacked(
        self,
        packed: impl Read + Send + 'static,
    ) -> io::Result<Box<dyn Read + Send>> {
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
}

/// A reader of unpacked bytes, whose errors say so.
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
