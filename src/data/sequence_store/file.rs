//! The file of a sequence store: a header, and arrays as they lie in memory.
//!
//! A file begins with 256 bytes of [`Header`]; each array begins at a multiple of 64 bytes after
//! it, so that a map of the file holds them aligned. Numbers are little-endian.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use memmap2::Mmap;
use tempfile::NamedTempFile;

use super::SEQUENCE_STORE_VERSION;
use crate::buffer::{ALIGNMENT, Buffer, sections};
use crate::data::catalog::Catalog;
use crate::data::dataset::{Dataset, UserIds};
use crate::data::sequences::Sequences;
use crate::data::stored_ids::{STORE_MAGIC, StoredIds};
use crate::error::damaged;
use crate::files;
use crate::item::ItemIndex;
use crate::{Error, Result};

const HEADER: usize = 256;

/// The arrays, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Each interaction's item, `u32`.
    Items,
    /// Each interaction's time, `f64`.
    Times,
    /// Where each user's interactions begin, and where the last one's end, `u64`.
    Offsets,
    /// How often each item was taken, `u64`, padding first.
    Counts,
    /// Where the text of each item's id ends, `u64`.
    ItemEnds,
    /// The texts of items' ids.
    ItemText,
    /// The same for users.
    UserEnds,
    UserText,
}

const SECTIONS: usize = 8;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u32,
    unused: u32,
    skipped_rows: u64,
    /// How many bytes each array takes.
    lengths: [u64; SECTIONS],
    /// CRC-32 of each array.
    checksums: [u32; SECTIONS],
    rest: [u64; 16],
    unused_too: u32,
    /// CRC-32 of the header up to here.
    header_checksum: u32,
}

const _: () = assert!(size_of::<Header>() == HEADER);
/// How many bytes of the header its checksum is of.
const CHECKED: usize = HEADER - 4;

/// A file that is written aside, several arrays at a time.
pub(super) struct FileWriter {
    path: PathBuf,
    file: NamedTempFile,
    arrays: Vec<Array>,
}

/// An array that is being written.
struct Array {
    /// Where the next bytes belong.
    next: u64,
    end: u64,
    length: u64,
    checksum: crc32fast::Hasher,
    /// What is not written yet.
    pending: Vec<u8>,
}

/// How many bytes are written at a time.
const BLOCK: usize = 1 << 20;

impl FileWriter {
    /// A file whose arrays have these lengths, in bytes.
    pub(super) fn new(path: &Path, lengths: [u64; SECTIONS]) -> Result<Self> {
        let mut next = HEADER as u64;
        let arrays = lengths.map(|length| {
            let start = next;
            next = (start + length).next_multiple_of(ALIGNMENT as u64);
            Array {
                next: start,
                end: start + length,
                length,
                checksum: crc32fast::Hasher::new(),
                pending: Vec::new(),
            }
        });
        let file = files::aside(path)?;
        (file.as_file().set_len(next)).map_err(Error::io("write", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            arrays: arrays.into(),
        })
    }

    /// Adds to an array.
    pub(super) fn push(&mut self, section: Section, bytes: &[u8]) -> io::Result<()> {
        let array = &mut self.arrays[section as usize];
        array.pending.extend_from_slice(bytes);
        if array.pending.len() >= BLOCK {
            array.write(self.file.as_file_mut())?;
        }
        Ok(())
    }

    /// Puts the file in its place.
    pub(super) fn finish(mut self, skipped_rows: u64) -> Result<()> {
        let mut header = Header {
            magic: STORE_MAGIC,
            version: SEQUENCE_STORE_VERSION,
            skipped_rows,
            ..Header::zeroed()
        };
        let file = self.file.as_file_mut();
        let write = || {
            for (section, mut array) in self.arrays.into_iter().enumerate() {
                array.write(file)?;
                assert_eq!(array.next, array.end, "an array is as long as was said");
                header.lengths[section] = array.length;
                header.checksums[section] = array.checksum.finalize();
            }
            header.header_checksum = crc32fast::hash(&bytemuck::bytes_of(&header)[..CHECKED]);
            file.seek(SeekFrom::Start(0))?;
            file.write_all(bytemuck::bytes_of(&header))?;
            file.sync_all()
        };
        write().map_err(Error::io("write", &self.path))?;
        files::persist(self.file, &self.path)
    }
}

impl Array {
    fn write(&mut self, file: &mut File) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.next))?;
        file.write_all(&self.pending)?;
        self.checksum.update(&self.pending);
        self.next += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// Whether a file is a sequence store, by how it begins.
pub(super) fn is_store(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    let read = file.take(STORE_MAGIC.len() as u64).read_to_end(&mut start);
    read.map_err(Error::io("read", path))?;
    Ok(start == STORE_MAGIC)
}

/// The data set of a file, and how many rows were skipped when it was made.
pub(super) fn open(path: &Path) -> Result<(Dataset, usize)> {
    if cfg!(target_endian = "big") || size_of::<usize>() != size_of::<u64>() {
        let reason = "sequence stores are for little-endian machines of 64 bits";
        return Err(damaged(path, reason));
    }
    if path.is_dir() {
        let reason = "it is a folder, and a sequence store is a file";
        return Err(damaged(path, reason));
    }
    let file = File::open(path).map_err(Error::io("open", path))?;
    let header = read_header(path)?;
    // SAFETY: the map is read as bytes and as numbers of which any bits are valid. Who changes the
    // file while it is open changes numbers under our hands, or ends the process by cutting it
    // short; the type's documentation forbids both, and our own writers do neither, since they
    // write aside and rename.
    let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?);
    let ranges = sections(header.lengths, HEADER, map.len());
    let ranges = ranges.map_err(|reason| damaged(path, reason))?;
    check_arrays(path, &file, &header, &ranges)?;
    let (users, items) = ids(&map, &ranges).ok_or_else(|| not_whole(path))?;
    if !(users.are_trimmed() && items.are_trimmed()) {
        let reason =
            "it has ids with blanks around them, or an empty one; make it again, of rows with ids";
        return Err(damaged(path, reason));
    }
    let dataset = dataset(&map, &ranges, users, &items).ok_or_else(|| not_whole(path))?;
    Ok((dataset, header.skipped_rows as usize))
}

fn not_whole(path: &Path) -> Error {
    damaged(path, "its arrays do not fit together")
}

/// The first bytes of a file, as many as a header has, or all where there are fewer.
pub(super) fn header_bytes(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    let read = file.take(HEADER as u64).read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    Ok(bytes)
}

fn read_header(path: &Path) -> Result<Header> {
    let bytes = header_bytes(path)?;
    if !bytes.starts_with(&STORE_MAGIC) {
        let reason = "it is no sequence store; make one of interactions by `SequenceStore::create`";
        return Err(damaged(path, reason));
    }
    if bytes.len() < HEADER {
        let reason = "it is shorter than a sequence store's header";
        return Err(damaged(path, reason));
    }
    let header: Header = bytemuck::pod_read_unaligned(&bytes);
    if header.version != SEQUENCE_STORE_VERSION {
        return Err(Error::FormatVersion {
            path: path.to_owned(),
            found: header.version,
            supported: SEQUENCE_STORE_VERSION,
        });
    }
    if crc32fast::hash(&bytes[..CHECKED]) != header.header_checksum {
        return Err(damaged(path, "its header's checksum is wrong"));
    }
    Ok(header)
}

/// Checks what arrays hold: by reading, and not by way of the map, whose pages would all count as
/// this process's memory.
fn check_arrays(
    path: &Path,
    mut file: &File,
    header: &Header,
    ranges: &[Range<usize>; SECTIONS],
) -> Result<()> {
    let items = header.lengths[Section::ItemEnds as usize] / 8;
    let known = |item: &[u8]| {
        let item = u32::from_le_bytes([item[0], item[1], item[2], item[3]]);
        item != 0 && u64::from(item) <= items
    };
    let finite = |time: &[u8]| {
        let time: [u8; 8] = time.try_into().unwrap_or_default();
        f64::from_le_bytes(time).is_finite()
    };
    let mut block = vec![0; BLOCK];
    for (section, range) in ranges.iter().enumerate() {
        let mut checksum = crc32fast::Hasher::new();
        let mut all_right = true;
        let mut left = range.len();
        let start = SeekFrom::Start(range.start as u64);
        file.seek(start).map_err(Error::io("read", path))?;
        while left > 0 {
            let block = &mut block[..left.min(BLOCK)];
            file.read_exact(block).map_err(Error::io("read", path))?;
            checksum.update(block);
            if section == Section::Items as usize {
                all_right &= block.chunks_exact(4).all(known);
            } else if section == Section::Times as usize {
                all_right &= block.chunks_exact(8).all(finite);
            }
            left -= block.len();
        }
        if checksum.finalize() != header.checksums[section] {
            return Err(damaged(path, "its checksum is wrong"));
        }
        if !all_right {
            return Err(not_whole(path));
        }
    }
    Ok(())
}

fn array<T: Pod>(
    map: &Arc<Mmap>,
    ranges: &[Range<usize>; SECTIONS],
    section: Section,
) -> Option<Buffer<T>> {
    Buffer::mapped(map, ranges[section as usize].clone())
}

/// The ids of users and of items; `None` where the arrays are none.
fn ids(map: &Arc<Mmap>, ranges: &[Range<usize>; SECTIONS]) -> Option<(StoredIds, StoredIds)> {
    let ids = |ends, text| StoredIds::new(array(map, ranges, ends)?, array(map, ranges, text)?);
    let users = ids(Section::UserEnds, Section::UserText)?;
    Some((users, ids(Section::ItemEnds, Section::ItemText)?))
}

/// What the arrays are together; `None` where they do not fit.
fn dataset(
    map: &Arc<Mmap>,
    ranges: &[Range<usize>; SECTIONS],
    user_ids: StoredIds,
    item_ids: &StoredIds,
) -> Option<Dataset> {
    let counts: Buffer<u64> = array(map, ranges, Section::Counts)?;
    let all = counts
        .iter()
        .try_fold(0u64, |all, &count| all.checked_add(count));
    let catalog = Catalog::from_ids(item_ids.iter()).ok()?;
    let catalog = catalog.counted(counts.to_vec())?;
    let offsets: Buffer<usize> = array(map, ranges, Section::Offsets)?;
    let items: Buffer<ItemIndex> = array(map, ranges, Section::Items)?;
    let times: Buffer<f64> = array(map, ranges, Section::Times)?;
    let fits = offsets.first() == Some(&0)
        && offsets.is_sorted()
        && offsets.last() == Some(&items.len())
        && times.len() == items.len()
        && offsets.len() == user_ids.len() + 1
        && all == Some(items.len() as u64);
    fits.then(|| {
        let sequences = Sequences::from_buffers(offsets, items, times);
        Dataset::of_store(catalog, UserIds::Stored(user_ids.into()), sequences)
    })
}
