//! Index files: a header, and the index's arrays as they lie in memory.
//!
//! A file begins with 256 bytes of [`Header`]; each array begins at a multiple of 64 bytes after
//! it, so that a map of the file holds them aligned. Numbers are little-endian.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use memmap2::Mmap;

use super::Precision;
use crate::buffer::{ALIGNMENT, Buffer, sections};
pub(super) use crate::error::damaged;
use crate::files::{begins_with, replace_file};
use crate::{Error, Result};

/// The version of index files that this build writes and reads.
const INDEX_FORMAT_VERSION: u32 = 3;

const MAGIC: [u8; 8] = *b"seqrecix";
const HEADER: usize = 256;
const SECTIONS: usize = 10;
const SETTINGS: usize = 10;

/// What kind of index a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Flat = 1,
    Hnsw = 2,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u32,
    kind: u32,
    /// Of the catalog whose items the index holds.
    fingerprint: u64,
    /// What the kind of index makes of them.
    settings: [u64; SETTINGS],
    /// How many bytes each array takes.
    sections: [u64; SECTIONS],
    rest: [u64; 8],
    /// CRC-32 of all after the header.
    body_checksum: u32,
    /// CRC-32 of the header up to here.
    header_checksum: u32,
}

const _: () = assert!(size_of::<Header>() == HEADER);
/// How many bytes of the header its checksum is of.
const CHECKED: usize = HEADER - 4;

/// What goes into a file.
pub(super) struct Contents<'a> {
    pub(super) kind: Kind,
    pub(super) fingerprint: u64,
    pub(super) settings: [u64; SETTINGS],
    pub(super) sections: [&'a [u8]; SECTIONS],
}

/// Writes an index file aside and renames it, in the place of none but an index file.
#[expect(
    clippy::indexing_slicing,
    reason = "a header has more bytes than are checked"
)]
pub(super) fn write(path: &Path, contents: &Contents<'_>) -> Result<()> {
    little_endian(path)?;
    let mut checksum = crc32fast::Hasher::new();
    for section in contents.sections {
        checksum.update(section);
        checksum.update(padding(section.len()));
    }
    let mut header = Header {
        magic: MAGIC,
        version: INDEX_FORMAT_VERSION,
        kind: contents.kind as u32,
        fingerprint: contents.fingerprint,
        settings: contents.settings,
        sections: contents.sections.map(|section| section.len() as u64),
        body_checksum: checksum.finalize(),
        ..Header::zeroed()
    };
    header.header_checksum = crc32fast::hash(&bytemuck::bytes_of(&header)[..CHECKED]);
    replace_file(path, begins_with(&MAGIC), |file| {
        file.write_all(bytemuck::bytes_of(&header))?;
        for section in contents.sections {
            file.write_all(section)?;
            file.write_all(padding(section.len()))?;
        }
        Ok(())
    })
}

/// The zeros that follow a section.
#[expect(
    clippy::indexing_slicing,
    reason = "what is missing to a multiple is less than it"
)]
fn padding(len: usize) -> &'static [u8] {
    &[0; ALIGNMENT][..len.next_multiple_of(ALIGNMENT) - len]
}

fn little_endian(path: &Path) -> Result<()> {
    if cfg!(target_endian = "big") {
        return Err(damaged(
            path,
            "index files are little-endian, and this machine is not",
        ));
    }
    Ok(())
}

/// An index file that is mapped into memory.
#[derive(Debug)]
pub(super) struct Mapped {
    path: PathBuf,
    file: File,
    map: Arc<Mmap>,
}

/// What kind of index a file says that it holds.
pub(super) fn kind(path: &Path) -> Result<Kind> {
    let mut header = [0; HEADER];
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    if let Err(error) = file.read_exact(&mut header) {
        return Err(match error.kind() {
            ErrorKind::UnexpectedEof => damaged(path, "it is shorter than an index file's header"),
            _ => Error::io("read", path)(error),
        });
    }
    let header: Header = bytemuck::cast(header);
    [Kind::Flat, Kind::Hnsw]
        .into_iter()
        .find(|&kind| header.magic == MAGIC && kind as u32 == header.kind)
        .ok_or_else(|| damaged(path, "it is no index file"))
}

/// The arrays of a mapped file.
pub(super) struct Sections {
    pub(super) settings: [u64; SETTINGS],
    ranges: [Range<usize>; SECTIONS],
    pub(super) mapped: Mapped,
}

/// Maps an index file and checks that it is whole, of this kind, and of the catalog with this
/// fingerprint.
#[expect(
    clippy::indexing_slicing,
    reason = "the file was seen to have a header"
)]
pub(super) fn open(path: &Path, kind: Kind, fingerprint: u64) -> Result<Sections> {
    little_endian(path)?;
    let file = File::open(path).map_err(Error::io("open", path))?;
    // SAFETY: the map is read as bytes and as numbers of which any bits are valid. Should another
    // process change the file, numbers change under our hands: every index into an array is
    // checked against the array, so that gives wrong answers and no more. Should it cut the file
    // short, `Mapped::check` says so before a search; our own writers never do either, since they
    // write aside and rename.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    let bytes = map
        .get(..HEADER)
        .ok_or_else(|| damaged(path, "it is shorter than an index file's header"))?;
    let header: Header = bytemuck::pod_read_unaligned(bytes);
    if header.magic != MAGIC {
        return Err(damaged(path, "it is no index file"));
    }
    if header.version != INDEX_FORMAT_VERSION {
        return Err(Error::FormatVersion {
            path: path.to_owned(),
            found: header.version,
            supported: INDEX_FORMAT_VERSION,
        });
    }
    if crc32fast::hash(&bytes[..CHECKED]) != header.header_checksum {
        return Err(damaged(path, "its header's checksum is wrong"));
    }
    if header.kind != kind as u32 {
        return Err(damaged(path, format!("it holds no {kind:?} index")));
    }
    let ranges = sections(header.sections, HEADER, map.len());
    let ranges = ranges.map_err(|reason| damaged(path, reason))?;
    if crc32fast::hash(&map[HEADER..]) != header.body_checksum {
        return Err(damaged(path, "its checksum is wrong"));
    }
    if header.fingerprint != fingerprint {
        return Err(Error::OtherCatalog {
            path: path.to_owned(),
            expected: fingerprint,
            found: header.fingerprint,
        });
    }
    Ok(Sections {
        settings: header.settings,
        ranges,
        mapped: Mapped {
            path: path.to_owned(),
            file,
            map: Arc::new(map),
        },
    })
}

#[expect(
    clippy::indexing_slicing,
    reason = "indexes ask for sections and settings by numbers of their own"
)]
impl Sections {
    /// An array of the file.
    pub(super) fn array<T: Pod>(&self, section: usize) -> Result<Buffer<T>> {
        Buffer::mapped(&self.mapped.map, self.ranges[section].clone())
            .ok_or_else(|| self.damaged("its arrays are not whole"))
    }

    /// A setting as a number of this machine.
    pub(super) fn number(&self, setting: usize) -> Result<usize> {
        usize::try_from(self.settings[setting]).map_err(|_| self.damaged("a setting is too large"))
    }

    /// A setting as a dimension.
    pub(super) fn dimension(&self, setting: usize) -> Result<usize> {
        let dim = self.number(setting)?;
        if dim == 0 || dim > 1 << 20 {
            return Err(self.damaged("its dimension can't be right"));
        }
        Ok(dim)
    }

    /// A setting as a precision.
    pub(super) fn precision(&self, setting: usize) -> Result<Precision> {
        match self.settings[setting] {
            0 => Ok(Precision::F32),
            1 => Ok(Precision::F16),
            2 => Ok(Precision::Int8),
            _ => Err(self.damaged("its precision is unknown")),
        }
    }

    pub(super) fn damaged(&self, reason: &str) -> Error {
        damaged(&self.mapped.path, reason)
    }
}

impl Mapped {
    /// Refuses to go on with a file that is shorter than its map: reading on would end the
    /// process.
    pub(super) fn check(&self) -> Result<()> {
        let file = self
            .file
            .metadata()
            .map_err(Error::io("look at", &self.path))?;
        if file.len() < self.map.len() as u64 {
            return Err(damaged(&self.path, "it was cut short while it was in use"));
        }
        Ok(())
    }
}
