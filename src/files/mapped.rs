//! Files of this crate's own that are mapped into memory: a header, and arrays as they lie in
//! memory.
//!
//! A file begins with the [`HEADER`] bytes of its [`Header`]; each array begins at a multiple of
//! [`ALIGNMENT`](crate::buffer::ALIGNMENT) after it, so that a map of the file holds them aligned.
//! Numbers are little-endian.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

use crate::buffer::{Buffer, sections};
use crate::error::damaged;
use crate::{Error, ErrorKind, Result};

/// The size of a header, in bytes.
pub(crate) const HEADER: usize = 256;

/// How many bytes of a header its checksum is of.
const CHECKED: usize = HEADER - 4;

/// The first bytes of a file, which begin with the magic number and the version (`u32`) and end
/// with the CRC-32 of all before.
pub(crate) trait Header: Pod {
    const MAGIC: [u8; 8];
    const VERSION: u32;
    /// What such a file is called, with its article.
    const NAME: &'static str;
    /// Where to get one, for whoever gives another file.
    const ADVICE: &'static str;

    /// The header with its magic number, its version and its checksum.
    fn sealed(mut self) -> Self {
        const { assert!(size_of::<Self>() == HEADER) };
        let (start, checksum) = bytemuck::bytes_of_mut(&mut self).split_at_mut(CHECKED);
        let (magic, rest) = start.split_at_mut(Self::MAGIC.len());
        magic.copy_from_slice(&Self::MAGIC);
        let (version, _) = rest.split_at_mut(size_of::<u32>());
        version.copy_from_slice(&Self::VERSION.to_le_bytes());
        checksum.copy_from_slice(&crc32fast::hash(start).to_le_bytes());
        self
    }
}

/// Refuses to read or write numbers in an order that is not this machine's.
pub(crate) fn check_byte_order(path: &Path, name: &str) -> Result<()> {
    if cfg!(target_endian = "big") {
        let reason = format!("{name} is little-endian, and this machine is not");
        return Err(damaged(path, reason));
    }
    Ok(())
}

/// The header of an open file, from its start.
pub(crate) fn read_header<H: Header>(path: &Path, file: &File) -> Result<H> {
    let mut bytes = Vec::with_capacity(HEADER);
    let read = file.take(HEADER as u64).read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    if !bytes.starts_with(&H::MAGIC) {
        return Err(damaged(path, format!("it is not {}{}", H::NAME, H::ADVICE)));
    }
    let (Some(checked), true) = (bytes.get(..CHECKED), bytes.len() == HEADER) else {
        return Err(damaged(
            path,
            format!("it is shorter than the header of {}", H::NAME),
        ));
    };
    let [.., a, b, c, d] = *bytes else {
        return Err(damaged(path, "it has no checksum"));
    };
    let mut version = [0; 4];
    version.copy_from_slice(checked.get(8..12).unwrap_or_default());
    let found = u32::from_le_bytes(version);
    if found != H::VERSION {
        return Err(ErrorKind::FormatVersion {
            path: path.to_owned(),
            found,
            supported: H::VERSION,
        }
        .into());
    }
    if crc32fast::hash(checked) != u32::from_le_bytes([a, b, c, d]) {
        return Err(damaged(path, "its header's checksum is wrong"));
    }
    Ok(bytemuck::pod_read_unaligned(&bytes))
}

/// A file that is mapped into memory.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    file: File,
    map: Arc<Mmap>,
}

impl MappedFile {
    /// Opens a file and maps it, after its header was checked.
    pub(crate) fn open<H: Header>(path: &Path) -> Result<(H, Self)> {
        check_byte_order(path, H::NAME)?;
        let file = File::open(path).map_err(Error::io("open", path))?;
        let header = read_header(path, &file)?;
        // SAFETY: the map is read as bytes and as numbers of which any bits are valid. Should
        // another process change the file, numbers change under our hands: every index into an
        // array is checked against the array, so that gives wrong answers and no more. Should it
        // cut the file short, reading on ends the process, which `check` foresees; the
        // documentation of the types that are opened so forbids both. Our own writers do neither,
        // since they write aside and rename.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
        let mapped = Self {
            path: path.to_owned(),
            file,
            map: Arc::new(map),
        };
        Ok((header, mapped))
    }

    /// Where arrays of these lengths, in bytes, lie: they have to be all that is after the header.
    pub(crate) fn sections<const N: usize>(&self, lengths: [u64; N]) -> Result<[Range<usize>; N]> {
        sections(lengths, HEADER, self.map.len()).map_err(|reason| self.damaged(reason))
    }

    /// An array of the file; `None` when the values are not whole.
    pub(crate) fn array<T: Pod>(&self, bytes: Range<usize>) -> Option<Buffer<T>> {
        Buffer::mapped(&self.map, bytes)
    }

    /// The CRC-32 of all after the header.
    pub(crate) fn body_checksum(&self) -> u32 {
        crc32fast::hash(self.map.get(HEADER..).unwrap_or_default())
    }

    /// The file itself, for what is better read than mapped.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// An [`ErrorKind::Damaged`] of this file.
    pub(crate) fn damaged(&self, reason: impl Into<String>) -> Error {
        damaged(&self.path, reason)
    }

    /// Refuses to go on with a file that is shorter than its map: reading on would end the
    /// process.
    pub(crate) fn check(&self) -> Result<()> {
        let file = self.file.metadata();
        let file = file.map_err(Error::io("look at", &self.path))?;
        if file.len() < self.map.len() as u64 {
            return Err(self.damaged("it was cut short while it was in use"));
        }
        Ok(())
    }
}
