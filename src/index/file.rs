//! Index files: what a [mapped file](crate::files::mapped) of an index holds.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use bytemuck::{Pod, Zeroable};

use super::Precision;
use crate::buffer::{ALIGNMENT, Buffer};
pub(super) use crate::error::damaged;
use crate::files::mapped::{Header, MappedFile, check_byte_order, read_header};
use crate::files::{begins_with, replace_file};
use crate::{Error, ErrorKind, Result};

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
struct IndexHeader {
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
    header_checksum: u32,
}

impl Header for IndexHeader {
    const MAGIC: [u8; 8] = *b"seqrecix";
    const VERSION: u32 = 3;
    const NAME: &'static str = "an index file";
    const ADVICE: &'static str = "";
}

/// Writes an index file aside and renames it, in the place of none but an index file.
pub(super) fn write(
    path: &Path,
    kind: Kind,
    fingerprint: u64,
    settings: [u64; SETTINGS],
    sections: [&[u8]; SECTIONS],
) -> Result<()> {
    check_byte_order(path, IndexHeader::NAME)?;
    let mut checksum = crc32fast::Hasher::new();
    for section in sections {
        checksum.update(section);
        checksum.update(padding(section.len()));
    }
    let header = IndexHeader {
        kind: kind as u32,
        fingerprint,
        settings,
        sections: sections.map(|section| section.len() as u64),
        body_checksum: checksum.finalize(),
        ..IndexHeader::zeroed()
    };
    let header = header.sealed();
    replace_file(path, begins_with(&IndexHeader::MAGIC), |file| {
        file.write_all(bytemuck::bytes_of(&header))?;
        for section in sections {
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

/// What kind of index a file says that it holds.
pub(super) fn kind(path: &Path) -> Result<Kind> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let header: IndexHeader = read_header(path, &file)?;
    [Kind::Flat, Kind::Hnsw]
        .into_iter()
        .find(|&kind| kind as u32 == header.kind)
        .ok_or_else(|| damaged(path, "its kind of index is unknown"))
}

/// The arrays of a mapped file.
pub(super) struct Sections {
    pub(super) settings: [u64; SETTINGS],
    ranges: [Range<usize>; SECTIONS],
    pub(super) mapped: MappedFile,
}

/// Maps an index file and checks that it is whole, of this kind, and of the catalog with this
/// fingerprint.
pub(super) fn open(path: &Path, kind: Kind, fingerprint: u64) -> Result<Sections> {
    let (header, mapped) = MappedFile::open::<IndexHeader>(path)?;
    if header.kind != kind as u32 {
        return Err(mapped.damaged(format!("it holds no {kind:?} index")));
    }
    let ranges = mapped.sections(header.sections)?;
    if mapped.body_checksum() != header.body_checksum {
        return Err(mapped.damaged("its checksum is wrong"));
    }
    if header.fingerprint != fingerprint {
        return Err(ErrorKind::OtherCatalog {
            path: path.to_owned(),
            expected: fingerprint,
            found: header.fingerprint,
        }
        .into());
    }
    Ok(Sections {
        settings: header.settings,
        ranges,
        mapped,
    })
}

#[expect(
    clippy::indexing_slicing,
    reason = "indexes ask for sections and settings by numbers of their own"
)]
impl Sections {
    /// An array of the file.
    pub(super) fn array<T: Pod>(&self, section: usize) -> Result<Buffer<T>> {
        (self.mapped.array(self.ranges[section].clone()))
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
        self.mapped.damaged(reason)
    }
}
