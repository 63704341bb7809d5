//! External sorting: sorted runs in a temporary file, and what they give when they are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use rayon::slice::ParallelSliceMut;

use crate::data::event::Event;
use crate::data::sequences::time_rank;

/// An interaction by the numbers of its user and item.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct StoredRow {
    pub user: u32,
    pub item: u32,
    pub time: f64,
    /// What is kept of the event, where events have a meaning.
    pub event: Event,
    pub unused: [u8; 6],
}

impl StoredRow {
    /// What rows are sorted by: the user, and then the time.
    fn key(&self) -> (u32, u64) {
        (self.user, time_rank(self.time))
    }
}

/// Sorted runs, one after another in a file that ends with the process.
pub(super) struct Runs {
    file: File,
    /// Where each run ends, in rows.
    ends: Vec<u64>,
}

impl Runs {
    /// No runs yet; the file is in `folder`.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile_in(folder)?,
            ends: Vec::new(),
        })
    }

    /// Runs whose file can't be written.
    #[cfg(test)]
    pub(super) fn on_a_full_disk() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        Self {
            file: File::open(file.path()).unwrap(),
            ends: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all runs but the first ones.
    pub(super) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
    }

    /// Adds a run, which is sorted here; among equals the order stays.
    pub(super) fn push(&mut self, rows: &mut [StoredRow]) -> io::Result<()> {
        rows.par_sort_by_key(StoredRow::key);
        self.write(rows)?;
        self.ends.push(self.rows() + rows.len() as u64);
        Ok(())
    }

    /// Writes after the rows that count, and over what a write that failed may have left.
    fn write(&mut self, rows: &[StoredRow]) -> io::Result<()> {
        let start = self.rows() * size_of::<StoredRow>() as u64;
        self.file.seek(SeekFrom::Start(start))?;
        self.file.write_all(bytemuck::cast_slice(rows))
    }

    /// Adds rows that are sorted and come after all that are there: one run with them.
    pub(super) fn extend(&mut self, rows: &[StoredRow]) -> io::Result<()> {
        self.write(rows)?;
        let end = self.rows() + rows.len() as u64;
        self.ends = vec![end];
        Ok(())
    }

    /// Calls `each` with all rows in order, equal ones in the order in which they came.
    pub(super) fn merge(
        &self,
        mut each: impl FnMut(StoredRow) -> io::Result<()>,
    ) -> io::Result<()> {
        let room = (MERGED_AT_ONCE / self.ends.len().max(1)).max(LEAST_AT_ONCE);
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let mut readers: Vec<Reader<'_>> = (starts.zip(&self.ends))
            .map(|(next, &end)| Reader {
                file: &self.file,
                next,
                end,
                room,
                rows: Vec::new(),
                place: 0,
            })
            .collect();
        let mut first = BinaryHeap::new();
        for (run, reader) in readers.iter_mut().enumerate() {
            if let Some(row) = reader.read()? {
                first.push(Reverse((row.key(), run)));
            }
        }
        while let Some(mut top) = first.peek_mut() {
            let run = top.0.1;
            each(readers[run].take())?;
            match readers[run].read()? {
                Some(row) => top.0.0 = row.key(),
                None => drop(PeekMut::pop(top)),
            }
        }
        Ok(())
    }
}

/// How many rows all runs together have in memory while they are merged, and one has at least.
const MERGED_AT_ONCE: usize = 1 << 22;
const LEAST_AT_ONCE: usize = 1 << 12;

/// A run that is read from its beginning to its end.
struct Reader<'a> {
    file: &'a File,
    /// The next row that is not in memory yet.
    next: u64,
    end: u64,
    room: usize,
    rows: Vec<StoredRow>,
    place: usize,
}

impl Reader<'_> {
    /// The row at hand; `None` at the end.
    fn read(&mut self) -> io::Result<Option<StoredRow>> {
        if self.place == self.rows.len() {
            let count = (self.end - self.next).min(self.room as u64);
            self.rows.resize(count as usize, StoredRow::zeroed());
            let mut file = self.file;
            file.seek(SeekFrom::Start(self.next * size_of::<StoredRow>() as u64))?;
            file.read_exact(bytemuck::cast_slice_mut(&mut self.rows))?;
            self.next += count;
            self.place = 0;
        }
        Ok(self.rows.get(self.place).copied())
    }

    /// The row at hand, after which the next one is.
    fn take(&mut self) -> StoredRow {
        self.place += 1;
        self.rows[self.place - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_runs_are_sorted_and_equal_rows_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Runs::new(folder.path()).unwrap();
        let mut all = Vec::new();
        for run in 0..7u32 {
            let mut rows: Vec<StoredRow> = (0..5_000 * (run % 3))
                .map(|place| StoredRow {
                    user: place * 7 % 50,
                    item: run * 100_000 + place,
                    time: f64::from(place * 13 % 11) - 5.0,
                    ..StoredRow::zeroed()
                })
                .collect();
            all.extend_from_slice(&rows);
            runs.push(&mut rows).unwrap();
        }
        all.sort_by(|a, b| a.user.cmp(&b.user).then(a.time.total_cmp(&b.time)));
        let mut merged = Vec::new();
        runs.merge(|row| {
            merged.push(row);
            Ok(())
        })
        .unwrap();
        assert_eq!(merged, all);
        assert_eq!(runs.rows() as usize, all.len());
    }
}
