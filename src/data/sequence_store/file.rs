//! The file of a sequence store: what its [mapped file](crate::files::mapped) holds.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use tempfile::NamedTempFile;

use crate::buffer::{ALIGNMENT, Buffer};
use crate::data::behaviors::Behaviors;
use crate::data::catalog::Catalog;
use crate::data::dataset::{Dataset, UserIds};
use crate::data::sequences::{CodedEvents, Sequences};
use crate::data::stored_ids::{STORE_MAGIC, StoredIds};
use crate::error::damaged;
use crate::files;
use crate::files::mapped::{HEADER, Header, MappedFile, read_header};
use crate::item::ItemIndex;
use crate::{Error, Result};

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
    /// Each interaction's event, two bytes; empty where events have no meaning.
    Events,
    /// The rules that say what they mean.
    Behaviors,
}

pub(super) const SECTIONS: usize = 10;

/// How many sections stores had before there were events, in whose files those are of no length.
const FIRST_SECTIONS: usize = 8;
const MORE_SECTIONS: usize = SECTIONS - FIRST_SECTIONS;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct StoreHeader {
    magic: [u8; 8],
    version: u32,
    unused: u32,
    skipped_rows: u64,
    /// How many bytes each array takes.
    lengths: [u64; FIRST_SECTIONS],
    /// CRC-32 of each array.
    checksums: [u32; FIRST_SECTIONS],
    more_lengths: [u64; MORE_SECTIONS],
    more_checksums: [u32; MORE_SECTIONS],
    rest: [u64; 13],
    unused_too: u32,
    header_checksum: u32,
}

impl StoreHeader {
    fn length(&mut self, section: usize) -> &mut u64 {
        match section.checked_sub(FIRST_SECTIONS) {
            Some(more) => &mut self.more_lengths[more],
            None => &mut self.lengths[section],
        }
    }

    fn checksum(&mut self, section: usize) -> &mut u32 {
        match section.checked_sub(FIRST_SECTIONS) {
            Some(more) => &mut self.more_checksums[more],
            None => &mut self.checksums[section],
        }
    }
}

impl Header for StoreHeader {
    const MAGIC: [u8; 8] = STORE_MAGIC;
    const VERSION: u32 = 1;
    const NAME: &'static str = "a sequence store";
    const ADVICE: &'static str = "; make one of interactions by `SequenceStore::create`";
}

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
        let mut header = StoreHeader {
            skipped_rows,
            ..StoreHeader::zeroed()
        };
        let file = self.file.as_file_mut();
        let write = || {
            for (section, mut array) in self.arrays.into_iter().enumerate() {
                array.write(file)?;
                assert_eq!(array.next, array.end, "an array is as long as was said");
                *header.length(section) = array.length;
                *header.checksum(section) = array.checksum.finalize();
            }
            file.seek(SeekFrom::Start(0))?;
            file.write_all(bytemuck::bytes_of(&header.sealed()))?;
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

/// The checksum of a file's header, which has those of its arrays.
pub(super) fn checksum(path: &Path) -> Result<u32> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    Ok(read_header::<StoreHeader>(path, &file)?.header_checksum)
}

/// The data set of a file, and how many rows were skipped when it was made.
pub(super) fn open(path: &Path) -> Result<(Dataset, usize)> {
    if size_of::<usize>() != size_of::<u64>() {
        return Err(damaged(path, "sequence stores are for machines of 64 bits"));
    }
    if path.is_dir() {
        let reason = "it is a folder, and a sequence store is a file";
        return Err(damaged(path, reason));
    }
    let (mut header, mapped) = MappedFile::open::<StoreHeader>(path)?;
    let lengths = std::array::from_fn(|section| *header.length(section));
    let arrays = Arrays {
        ranges: mapped.sections(lengths)?,
        mapped,
    };
    let checksums = std::array::from_fn(|section| *header.checksum(section));
    arrays.check(path, checksums)?;
    let (users, items) = arrays.ids().ok_or_else(|| not_whole(path))?;
    if !(users.are_trimmed() && items.are_trimmed()) {
        let reason =
            "it has ids with blanks around them, or an empty one; make it again, of rows with ids";
        return Err(damaged(path, reason));
    }
    let dataset = arrays.dataset(users, &items);
    let dataset = dataset.ok_or_else(|| not_whole(path))?;
    Ok((dataset, header.skipped_rows as usize))
}

fn not_whole(path: &Path) -> Error {
    damaged(path, "its arrays do not fit together")
}

/// The arrays of a store.
struct Arrays {
    ranges: [Range<usize>; SECTIONS],
    mapped: MappedFile,
}

impl Arrays {
    fn array<T: Pod>(&self, section: Section) -> Option<Buffer<T>> {
        self.mapped.array(self.ranges[section as usize].clone())
    }

    /// Checks what arrays hold: by reading, and not by way of the map, whose pages would all count
    /// as this process's memory.
    fn check(&self, path: &Path, checksums: [u32; SECTIONS]) -> Result<()> {
        let mut file = self.mapped.file();
        let items = self.ranges[Section::ItemEnds as usize].len() as u64 / 8;
        let known = |item: &[u8]| {
            let item = u32::from_le_bytes([item[0], item[1], item[2], item[3]]);
            item != 0 && u64::from(item) <= items
        };
        let finite = |time: &[u8]| {
            let time: [u8; 8] = time.try_into().unwrap_or_default();
            f64::from_le_bytes(time).is_finite()
        };
        let mut block = vec![0; BLOCK];
        for (section, range) in self.ranges.iter().enumerate() {
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
            if checksum.finalize() != checksums[section] {
                return Err(damaged(path, "its checksum is wrong"));
            }
            if !all_right {
                return Err(not_whole(path));
            }
        }
        Ok(())
    }

    /// The ids of users and of items; `None` where the arrays are none.
    fn ids(&self) -> Option<(StoredIds, StoredIds)> {
        let ids = |ends, text| StoredIds::new(self.array(ends)?, self.array(text)?);
        let users = ids(Section::UserEnds, Section::UserText)?;
        Some((users, ids(Section::ItemEnds, Section::ItemText)?))
    }

    /// The events and their meaning, where the data have one; an error where the arrays are none.
    fn events(&self) -> std::result::Result<Option<CodedEvents>, ()> {
        let rules: Buffer<u8> = self.array(Section::Behaviors).ok_or(())?;
        if rules.is_empty() {
            return Ok(None);
        }
        let rules = std::str::from_utf8(&rules).map_err(|_| ())?;
        Ok(Some(CodedEvents {
            all: self.array(Section::Events).ok_or(())?,
            behaviors: Arc::new(rules.parse::<Behaviors>().map_err(|_| ())?),
        }))
    }

    /// What the arrays are together; `None` where they do not fit.
    fn dataset(&self, user_ids: StoredIds, item_ids: &StoredIds) -> Option<Dataset> {
        let counts: Buffer<u64> = self.array(Section::Counts)?;
        let all = counts
            .iter()
            .try_fold(0u64, |all, &count| all.checked_add(count));
        let catalog = Catalog::from_ids(item_ids.iter()).ok()?;
        let catalog = catalog.counted(counts.to_vec())?;
        let offsets: Buffer<usize> = self.array(Section::Offsets)?;
        let items: Buffer<ItemIndex> = self.array(Section::Items)?;
        let times: Buffer<f64> = self.array(Section::Times)?;
        let events = self.events().ok()?;
        let fits = offsets.first() == Some(&0)
            && offsets.is_sorted()
            && offsets.last() == Some(&items.len())
            && times.len() == items.len()
            && (events.as_ref()).is_none_or(|events| events.all.len() == items.len())
            && offsets.len() == user_ids.len() + 1
            && all == Some(items.len() as u64);
        fits.then(|| {
            let sequences = Sequences::from_buffers(offsets, items, times).with_events(events);
            let catalog = catalog.with_behaviors(sequences.behaviors().cloned());
            Dataset::of_store(catalog, UserIds::Stored(user_ids.into()), sequences)
        })
    }
}
