//! Making a sequence store.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SequenceStore;
use super::file::{self, FileWriter, Section};
use super::runs::{Runs, StoredRow};
use crate::data::behaviors::Behaviors;
use crate::data::dataset::{Filters, Repetitions, nothing_passes};
use crate::data::event::Event;
use crate::data::id::{ExternalId, IdTable};
use crate::data::interactions::Interactions;
use crate::data::k_core::k_core;
use crate::data::reader::InteractionReader;
use crate::data::time_unit::TimeSizes;
use crate::data::training_data::TrainingData;
use crate::error::damaged;
use crate::files;
use crate::{Error, Result};

/// How many rows are sorted in memory: 24 bytes each, and as many again while they are.
const RUN: usize = 1 << 23;

/// How many rows of a file are read before they are taken.
const PART: usize = 1 << 21;

/// How many rows of one run are written at a time.
const KEPT_AT_ONCE: usize = 1 << 16;

/// Of how many rows the core is found in memory, 8 bytes each: of more, rows are counted again as
/// often as something is dropped.
const IN_MEMORY: u64 = 1 << 25;

/// Takes the interactions of a [`SequenceStore`], in the order of their source, and writes it.
///
/// Interactions come from files, which are [read](Self::read) bit by bit, or from anywhere else in
/// [parts](Self::append) that fit in memory. Beside the ids of users and items, about half a
/// gigabyte is used, and room on the disk for 24 bytes an interaction more than the store takes,
/// or 48 where there are filters that look at more than one row.
pub struct SequenceStoreWriter {
    path: PathBuf,
    filters: Filters,
    users: IdTable,
    items: IdTable,
    pub(super) runs: Runs,
    rows: Vec<StoredRow>,
    pub(super) rows_per_run: usize,
    counts: RowCounts,
    times: TimeSizes,
    /// The meaning of events, where the first interactions have one.
    behaviors: Option<Arc<Behaviors>>,
    skipped_rows: usize,
    skipped_reasons: Vec<String>,
    /// What there was before the file that is being read.
    before: Option<Before>,
    /// How many rows came, whether or not they pass the filters.
    offered: u64,
    /// Whether rows were lost by a write that failed, without which no store may come of the rest.
    lost_rows: bool,
}

impl std::fmt::Debug for SequenceStoreWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SequenceStoreWriter")
            .field("path", &self.path)
            .field("filters", &self.filters)
            .field("rows", &(self.runs.rows() + self.rows.len() as u64))
            .finish_non_exhaustive()
    }
}

/// How much there was before a file.
struct Before {
    users: usize,
    items: usize,
    runs: usize,
    rows: usize,
    times: TimeSizes,
    skipped_rows: usize,
    offered: u64,
}

/// How many rows each user and each item has.
#[derive(Debug, Default, Clone, PartialEq)]
struct RowCounts {
    users: Vec<u64>,
    items: Vec<u64>,
}

impl RowCounts {
    fn zeros(users: usize, items: usize) -> Self {
        Self {
            users: vec![0; users],
            items: vec![0; items],
        }
    }

    fn add(&mut self, row: &StoredRow) {
        self.users[row.user as usize] += 1;
        self.items[row.item as usize] += 1;
    }
}

impl SequenceStoreWriter {
    pub(super) fn new(path: &Path, filters: Filters) -> Result<Self> {
        filters.validate()?;
        if path.exists() && !(path.is_file() && file::is_store(path)?) {
            let reason = "there is something else there, which was not written here; \
                          choose another name for the sequence store";
            return Err(Error::invalid("path", path.display(), reason));
        }
        let folder = files::parent(path);
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        Ok(Self {
            path: path.to_owned(),
            filters,
            users: IdTable::default(),
            items: IdTable::default(),
            runs: Runs::new(folder).map_err(Error::io("write in", folder))?,
            rows: Vec::new(),
            rows_per_run: RUN,
            counts: RowCounts::default(),
            times: TimeSizes::default(),
            behaviors: None,
            skipped_rows: 0,
            skipped_reasons: Vec::new(),
            before: None,
            offered: 0,
            lost_rows: false,
        })
    }

    /// Adds what a reader reads, after what was added before: a file, or one file after another.
    ///
    /// Of files without times, rows are numbered from 0 in each.
    ///
    /// # Errors
    /// As [`InteractionReader::read`] and [`append`](Self::append). A file that fails adds nothing,
    /// so that it can be mended and read again.
    pub fn read(&mut self, reader: &InteractionReader) -> Result<()> {
        self.check_whole()?;
        self.before = Some(Before {
            users: self.users.len(),
            items: self.items.len(),
            runs: self.runs.count(),
            rows: self.rows.len(),
            times: self.times,
            skipped_rows: self.skipped_rows,
            offered: self.offered,
        });
        let size = PART.min(self.rows_per_run);
        let read = reader.read_parts(size, &mut |part| self.append(part));
        let read = read.and_then(|reasons| {
            reader.check_spelling(&self.users, &self.items)?;
            self.skipped_reasons.extend(reasons);
            Ok(())
        });
        match (read, self.before.take()) {
            (Err(error), Some(before)) => {
                self.go_back_to(before)?;
                Err(error)
            }
            (read, _) => read,
        }
    }

    /// Why rows of the files that were read were left out, as
    /// [`Interactions::skipped_reasons`] says it of one.
    pub fn skipped_reasons(&self) -> &[String] {
        &self.skipped_reasons
    }

    /// Forgets what a file that failed has added.
    fn go_back_to(&mut self, before: Before) -> Result<()> {
        if self.lost_rows {
            return Ok(());
        }
        self.runs.truncate(before.runs);
        self.rows.truncate(before.rows);
        let first = |table: &IdTable, count| table.ids().iter().take(count).cloned().collect();
        self.users = first(&self.users, before.users);
        self.items = first(&self.items, before.items);
        (self.times, self.skipped_rows) = (before.times, before.skipped_rows);
        self.offered = before.offered;
        let mut counts = RowCounts::zeros(self.users.len(), self.items.len());
        self.rows.iter().for_each(|row| counts.add(row));
        let counted = self.runs.merge(|row| {
            counts.add(&row);
            Ok(())
        });
        self.counts = counts;
        self.lost_rows = counted.is_err();
        counted.map_err(|error| self.io(error))
    }

    /// Adds interactions, after those that were added before.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for an empty id, a time or value
    /// that is not finite, a time in another [unit](crate::data::TimeUnit) than most of these and
    /// of those before, or events of another [meaning](Interactions::with_behaviors) than those
    /// before, and then none is added; [`ErrorKind::Io`](crate::ErrorKind::Io) when
    /// the disk is full, after which the store has to be begun anew, and
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) says so.
    pub fn append(&mut self, part: Interactions) -> Result<()> {
        self.check_whole()?;
        part.check_rows()?;
        self.check_behaviors(&part)?;
        let coded = part.coded()?;
        self.times = part.check_times(self.times)?;
        let users = self.users.intern_all(&part.users);
        let items = self.items.intern_all(&part.items);
        self.counts.users.resize(self.users.len(), 0);
        self.counts.items.resize(self.items.len(), 0);
        self.skipped_rows += part.skipped_rows;
        self.offered += part.len() as u64;
        for row in 0..part.len() {
            if !self.filters.passes(part.value(row)) {
                continue;
            }
            let event = match &coded {
                Some(coded) => match coded.event(row) {
                    Some(event) => event,
                    None => continue,
                },
                None => Event::default(),
            };
            let row = StoredRow {
                user: users[part.user[row] as usize],
                item: items[part.item[row] as usize],
                time: part.time[row],
                event,
                unused: [0; 6],
            };
            self.counts.add(&row);
            self.rows.push(row);
            if self.rows.len() >= self.rows_per_run {
                self.end_run()?;
            }
        }
        Ok(())
    }

    /// Takes the meaning of events from the first interactions, and refuses another one.
    fn check_behaviors(&mut self, part: &Interactions) -> Result<()> {
        if self.offered == 0 {
            self.behaviors.clone_from(&part.behaviors);
        }
        if self.behaviors == part.behaviors || part.is_empty() {
            return Ok(());
        }
        let [before, given] = [&self.behaviors, &part.behaviors]
            .map(|behaviors| Behaviors::said(behaviors.as_deref()));
        let reason = format!("those before have {before}; give all the same");
        Err(Error::invalid("behaviors", given, reason))
    }

    fn end_run(&mut self) -> Result<()> {
        let mut rows = self.rows.as_mut_slice();
        let mut written = Ok(());
        // Those from before a file that may fail are a run of their own, which stays.
        if let Some(before) = &mut self.before
            && before.rows > 0
        {
            let kept;
            (kept, rows) = rows.split_at_mut(std::mem::take(&mut before.rows));
            written = self.runs.push(kept);
            before.runs = self.runs.count();
        }
        let written = written.and_then(|()| self.runs.push(rows));
        self.rows.clear();
        self.lost_rows |= written.is_err();
        written.map_err(|error| self.io(error))
    }

    fn check_whole(&self) -> Result<()> {
        if self.lost_rows {
            let reason = "rows of it could not be written before; begin it anew";
            return Err(damaged(&self.path, reason));
        }
        Ok(())
    }

    fn io(&self, error: io::Error) -> Error {
        Error::io("write", &self.path)(error)
    }

    /// Writes the store and opens it.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) when no interaction passes the
    /// filters, [`ErrorKind::Io`](crate::ErrorKind::Io) when the disk is full, and
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) when it was before. What was at the path
    /// before stays until the new store is whole.
    pub fn finish(mut self) -> Result<SequenceStore> {
        self.check_whole()?;
        self.end_run()?;
        self.rows = Vec::new();
        let valued = self.runs.rows();
        let by_row = Filters {
            minimum_value: self.filters.minimum_value,
            ..Filters::default()
        };
        if self.filters != by_row {
            self.drop_repeats()?;
            self.retain_core()?;
        }
        if self.counts.items.iter().all(|&count| count == 0) {
            return Err(nothing_passes(&self.filters, self.offered, valued));
        }
        self.write()?;
        SequenceStore::open(&self.path)
    }

    /// Leaves one run, without repeats.
    fn drop_repeats(&mut self) -> Result<()> {
        let folder = files::parent(&self.path);
        let mut kept = Runs::new(folder).map_err(Error::io("write in", folder))?;
        let mut rows = Vec::with_capacity(KEPT_AT_ONCE);
        let mut counts = RowCounts::zeros(self.users.len(), self.items.len());
        let mut repetitions = Repetitions::new(self.filters.repeats, self.items.len());
        let merged = self.runs.merge(|row| {
            if !repetitions.keep(row.user as usize, row.item, row.event) {
                return Ok(());
            }
            counts.add(&row);
            rows.push(row);
            if rows.len() == KEPT_AT_ONCE {
                kept.extend(&rows)?;
                rows.clear();
            }
            Ok(())
        });
        let written = merged.and_then(|()| kept.extend(&rows));
        written.map_err(|error| self.io(error))?;
        self.runs = kept;
        self.counts = counts;
        Ok(())
    }

    /// Drops users and items with too few rows until all that are left have enough. Rows are only
    /// counted: they are dropped when the store is written.
    fn retain_core(&mut self) -> Result<()> {
        let per_user = self.filters.minimum_per_user as u64;
        let per_item = self.filters.minimum_per_item as u64;
        let enough = |counts: &RowCounts, row: &StoredRow| {
            let (user, item) = (row.user as usize, row.item as usize);
            counts.users[user] >= per_user.max(1) && counts.items[item] >= per_item.max(1)
        };
        let small = |counts: &[u64], least| counts.iter().any(|&count| 0 < count && count < least);
        while small(&self.counts.users, per_user) || small(&self.counts.items, per_item) {
            if self.counts.users.iter().sum::<u64>() <= IN_MEMORY {
                let Filters {
                    minimum_per_user,
                    minimum_per_item,
                    ..
                } = self.filters;
                return self.core_in_memory([minimum_per_user, minimum_per_item]);
            }
            let mut counts = RowCounts::zeros(self.users.len(), self.items.len());
            let merged = self.runs.merge(|row| {
                if enough(&self.counts, &row) {
                    counts.add(&row);
                }
                Ok(())
            });
            merged.map_err(|error| self.io(error))?;
            self.counts = counts;
        }
        Ok(())
    }

    /// The core of rows whose items fit in memory, in one pass.
    fn core_in_memory(&mut self, least: [usize; 2]) -> Result<()> {
        let counts = &self.counts;
        let (mut offsets, mut items) = (vec![0], Vec::new());
        for &rows in &counts.users {
            offsets.push(offsets[offsets.len() - 1] + rows as usize);
        }
        let merged = self.runs.merge(|row| {
            if counts.users[row.user as usize] > 0 && counts.items[row.item as usize] > 0 {
                items.push(row.item);
            }
            Ok(())
        });
        merged.map_err(|error| self.io(error))?;
        let [users_left, items_left] = k_core(&offsets, &items, counts.items.len(), least);
        let mut counts = RowCounts::zeros(counts.users.len(), counts.items.len());
        for (user, rows) in offsets.windows(2).enumerate() {
            for &item in &items[rows[0]..rows[1]] {
                if users_left[user] && items_left[item as usize] {
                    counts.users[user] += 1;
                    counts.items[item as usize] += 1;
                }
            }
        }
        self.counts = counts;
        Ok(())
    }

    fn write(&self) -> Result<()> {
        let Self { users, items, .. } = self;
        let user_ids = || left(users.ids(), &self.counts.users);
        let item_ids = || left(items.ids(), &self.counts.items);
        let mut indices = vec![0u32; items.len()];
        for (place, (number, _)) in item_ids().enumerate() {
            indices[number] = place as u32 + 1;
        }
        let rows: u64 = self.counts.users.iter().sum();
        let events = self.behaviors.as_deref();
        let lengths = lengths(rows, events, user_ids(), item_ids());
        let mut file = FileWriter::new(&self.path, lengths)?;
        let mut write = || {
            self.runs.merge(|row| {
                let index = indices[row.item as usize];
                if index != 0 && self.counts.users[row.user as usize] != 0 {
                    file.push(Section::Items, &index.to_le_bytes())?;
                    file.push(Section::Times, &row.time.to_le_bytes())?;
                    if events.is_some() {
                        file.push(Section::Events, bytemuck::bytes_of(&row.event))?;
                    }
                }
                Ok(())
            })?;
            let mut offset = 0u64;
            file.push(Section::Offsets, &offset.to_le_bytes())?;
            for (user, _) in user_ids() {
                offset += self.counts.users[user];
                file.push(Section::Offsets, &offset.to_le_bytes())?;
            }
            file.push(Section::Counts, &0u64.to_le_bytes())?;
            for (item, _) in item_ids() {
                file.push(Section::Counts, &self.counts.items[item].to_le_bytes())?;
            }
            write_ids(
                &mut file,
                [Section::ItemEnds, Section::ItemText],
                item_ids(),
            )?;
            write_ids(
                &mut file,
                [Section::UserEnds, Section::UserText],
                user_ids(),
            )?;
            file.push(Section::Behaviors, text_of(events).as_bytes())
        };
        write().map_err(|error| self.io(error))?;
        file.finish(self.skipped_rows as u64)
    }
}

/// Writes training data, a block at a time: each span is a user's sequence.
pub(super) fn write_training_data(path: &Path, data: &TrainingData) -> Result<()> {
    let sequences = data.sequences();
    let mut counts = vec![0u64; data.catalog().len() + 1];
    for item in sequences.item_lists().flatten() {
        counts[item.to_usize()] += 1;
    }
    let users = || data.user_ids().enumerate();
    let items = || data.catalog().ids().enumerate();
    let behaviors = data.catalog().behaviors();
    let lengths = lengths(counts.iter().sum(), behaviors, users(), items());
    let mut file = FileWriter::new(path, lengths)?;
    let mut write = || {
        let mut offset = 0u64;
        file.push(Section::Offsets, &offset.to_le_bytes())?;
        for span in 0..sequences.len() {
            let history = sequences.history(span);
            for (item, time) in history.items().iter().zip(history.times()) {
                file.push(Section::Items, &item.get().to_le_bytes())?;
                file.push(Section::Times, &time.to_le_bytes())?;
            }
            file.push(Section::Events, bytemuck::cast_slice(history.events()))?;
            offset += history.items().len() as u64;
            file.push(Section::Offsets, &offset.to_le_bytes())?;
        }
        for count in &counts {
            file.push(Section::Counts, &count.to_le_bytes())?;
        }
        write_ids(&mut file, [Section::ItemEnds, Section::ItemText], items())?;
        write_ids(&mut file, [Section::UserEnds, Section::UserText], users())?;
        file.push(Section::Behaviors, text_of(behaviors).as_bytes())
    };
    write().map_err(Error::io("write", path))?;
    file.finish(0)
}

/// How many bytes each array takes.
fn lengths<'a>(
    rows: u64,
    behaviors: Option<&Behaviors>,
    users: impl Iterator<Item = (usize, &'a ExternalId)> + Clone,
    items: impl Iterator<Item = (usize, &'a ExternalId)> + Clone,
) -> [u64; file::SECTIONS] {
    let [user_count, item_count] = [users.clone().count(), items.clone().count()];
    let [user_count, item_count] = [user_count as u64, item_count as u64];
    [
        4 * rows,
        8 * rows,
        8 * (user_count + 1),
        8 * (item_count + 1),
        8 * item_count,
        text_length(items),
        8 * user_count,
        text_length(users),
        if behaviors.is_some() { 2 * rows } else { 0 },
        text_of(behaviors).len() as u64,
    ]
}

/// The rules that say what events mean; nothing where none do.
fn text_of(behaviors: Option<&Behaviors>) -> String {
    behaviors.map_or(String::new(), ToString::to_string)
}

/// Those of some ids that have rows left, with their numbers.
fn left<'a>(
    ids: &'a [ExternalId],
    counts: &'a [u64],
) -> impl Iterator<Item = (usize, &'a ExternalId)> + Clone {
    let ids = ids.iter().zip(counts).enumerate();
    ids.filter_map(|(number, (id, &count))| (count > 0).then_some((number, id)))
}

/// How many bytes ids take as text.
fn text_length<'a>(ids: impl Iterator<Item = (usize, &'a ExternalId)>) -> u64 {
    let mut text = String::new();
    ids.map(|(_, id)| {
        write_text(&mut text, id);
        text.len() as u64
    })
    .sum()
}

fn write_text(text: &mut String, id: &ExternalId) {
    text.clear();
    write!(text, "{id}").expect("writing to a string can't fail");
}

fn write_ids<'a>(
    file: &mut FileWriter,
    [ends, texts]: [Section; 2],
    ids: impl Iterator<Item = (usize, &'a ExternalId)>,
) -> io::Result<()> {
    let (mut text, mut end) = (String::new(), 0u64);
    for (_, id) in ids {
        write_text(&mut text, id);
        end += text.len() as u64;
        file.push(ends, &end.to_le_bytes())?;
        file.push(texts, text.as_bytes())?;
    }
    Ok(())
}
