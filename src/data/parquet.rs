//! Interactions in Parquet files and Arrow batches.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

mod columns;
mod folder;
mod items;
mod rows;
mod statistics;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema as ArrowSchema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;

use super::interactions::Interactions;
use super::only::{Condition, Only};
use super::rows::{BadRows, Collector};
use super::schema::{Column, Schema, check_roles};
use super::time_unit::TimeSizes;
use crate::error::{damaged, panic_text};
use crate::{Error, ErrorKind, Result};

use columns::{Columns, is_clock, place};
use folder::{DataFile, Partition, files};
pub(super) use items::{ItemColumn, read_items};
use rows::DecodedRows;
use statistics::may_hold_some;

/// The names of a file's columns, those of its folders among them.
pub(super) fn header(path: &Path) -> Result<Vec<String>> {
    let files = files(path, &[])?;
    let of_each = files.par_iter().map(|part| {
        let metadata = metadata(&part.path)?;
        Ok(part.header(metadata.schema()))
    });
    // Those that only some files have are asked of all, so that none is passed over.
    let mut names: Vec<String> = Vec::new();
    for name in of_each.collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if files.is_empty() {
        return Err(ErrorKind::EmptyFile {
            path: path.to_owned(),
        }
        .into());
    }
    Ok(names)
}

fn metadata(path: &Path) -> Result<ArrowReaderMetadata> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    guarded(path, || {
        ArrowReaderMetadata::load(&file, Default::default())
            .map_err(|error| damaged(path, error.to_string()))
    })
}

/// Reads something of a file whose bytes may be anything: the parquet crate panics on some of what
/// was altered, which to a caller is an error like others.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    caught.unwrap_or_else(|panic| {
        let text = panic_text(&*panic).unwrap_or("it can't be decoded");
        Err(damaged(path, text))
    })
}

/// The columns that rows are made of.
struct WantedColumns<'a> {
    user: &'a str,
    item: &'a str,
    time: Option<&'a str>,
    value: Option<&'a str>,
    event: Option<&'a str>,
}

impl<'a> WantedColumns<'a> {
    fn of(schema: &'a Schema) -> Result<Self> {
        let name = |column: &'a Column| match column {
            Column::Name(name) => Ok(name.as_str()),
            Column::Position(place) => {
                let reason = "columns of Parquet files and Arrow batches have names";
                Err(Error::invalid("schema", place, reason))
            }
        };
        let optional = |column: &'a Option<Column>| column.as_ref().map(name).transpose();
        check_roles(schema.columns())?;
        Ok(Self {
            user: name(&schema.user)?,
            item: name(&schema.item)?,
            time: optional(&schema.time)?,
            value: optional(&schema.value)?,
            event: optional(&schema.event)?,
        })
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        let optional = [self.time, self.value, self.event].into_iter().flatten();
        [self.user, self.item].into_iter().chain(optional)
    }
}

/// Reads all files of a path.
pub(super) fn read(
    path: &Path,
    schema: &Schema,
    only: &[Only],
    into: &mut Collector<'_, '_>,
) -> Result<()> {
    let wanted = WantedColumns::of(schema)?;
    let groups = groups(path, schema, &wanted, only)?;
    // As many groups at a time as there are threads, and the next ones while these are taken: more
    // of them would only wait in memory.
    let decoded = |some: &[Group]| -> Vec<Result<Vec<DecodedRows>>> {
        let some = some.par_iter().map(|(part, group, first_row)| {
            let (part, metadata) = &**part;
            guarded(&part.path, || {
                decode(part, metadata, *group, *first_row, &wanted, only)
            })
        });
        some.collect()
    };
    let mut chunks = groups
        .chunks(rayon::current_num_threads().max(1))
        .peekable();
    let mut ready = chunks.peek().map_or_else(Vec::new, |first| decoded(first));
    while let Some(some) = chunks.next() {
        let mut take = || -> Result<()> {
            for ((part, ..), rows) in some.iter().zip(std::mem::take(&mut ready)) {
                for rows in rows? {
                    rows.push(&part.0.path, into)?;
                    into.give()?;
                }
            }
            Ok(())
        };
        let next = chunks.peek();
        let (taken, next) = rayon::join(&mut take, || next.map(|next| decoded(next)));
        taken?;
        ready = next.unwrap_or_default();
    }
    Ok(())
}

/// A group of rows: its file, its place in it, and the number of its first row.
type Group = (Arc<(DataFile, ArrowReaderMetadata)>, usize, u64);

/// The groups of rows of all files that may hold rows that are wanted.
fn groups(
    path: &Path,
    schema: &Schema,
    wanted: &WantedColumns<'_>,
    only: &[Only],
) -> Result<Vec<Group>> {
    let mut kinds = Kinds::default();
    let mut groups = Vec::new();
    let files = files(path, only)?;
    let of_each = files.par_iter().map(|part| metadata(&part.path));
    let of_each = of_each.collect::<Vec<_>>();
    for (part, metadata) in files.into_iter().zip(of_each) {
        let metadata = metadata?;
        check_order(&part, schema, metadata.schema())?;
        let ranged = only
            .iter()
            .filter(|only| matches!(only.condition, Condition::Within(_)));
        for name in wanted
            .time
            .into_iter()
            .chain(ranged.map(|only| only.column.as_str()))
        {
            kinds.check(&part.path, name, metadata.schema())?;
        }
        let count = metadata.metadata().num_row_groups();
        let part = Arc::new((part, metadata));
        let mut first_row = 0u64;
        for group in 0..count {
            let rows = part.1.metadata().row_group(group).num_rows();
            if may_hold_some(&part.1, group, only) {
                groups.push((part.clone(), group, first_row));
            }
            first_row += u64::try_from(rows).unwrap_or(0);
        }
    }
    Ok(groups)
}

/// Refuses to take rows in the order of a file that has times.
fn check_order(part: &DataFile, schema: &Schema, of_file: &ArrowSchema) -> Result<()> {
    let holds_times = |place: usize| {
        let field = of_file.fields().get(place);
        field.is_some_and(|field| is_clock(field.data_type()))
    };
    super::columns::check_order(&part.path, schema, &part.header(of_file), holds_times)
}

/// What columns of times hold, and the file that says so: times that are known to be such, or
/// numbers, whose unit the file doesn't say.
#[derive(Default)]
struct Kinds<'a>(BTreeMap<&'a str, (PathBuf, DataType)>);

impl<'a> Kinds<'a> {
    /// Refuses a file whose column holds the other.
    fn check(&mut self, path: &Path, column: &'a str, schema: &ArrowSchema) -> Result<()> {
        let Some(place) = place(schema, column) else {
            return Ok(());
        };
        let of = schema.field(place).data_type();
        if !is_clock(of) && !of.is_numeric() {
            return Ok(());
        }
        let new = || (path.to_owned(), of.clone());
        let (first, before) = &*self.0.entry(column).or_insert_with(new);
        if is_clock(before) == is_clock(of) {
            return Ok(());
        }
        Err(ErrorKind::ColumnType {
            path: path.to_owned(),
            column: column.to_owned(),
            found: of.to_string(),
            expected: format!("{before}, as in {}", first.display()),
        }
        .into())
    }
}

/// The rows of a group.
fn decode(
    part: &DataFile,
    metadata: &ArrowReaderMetadata,
    group: usize,
    mut row: u64,
    wanted: &WantedColumns<'_>,
    only: &[Only],
) -> Result<Vec<DecodedRows>> {
    let path = part.path.as_path();
    let failed = |error: &dyn std::fmt::Display| damaged(path, error.to_string());
    let file = File::open(path).map_err(Error::io("read", path))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let schema = builder.schema().clone();
    let names = wanted
        .names()
        .chain(only.iter().map(|only| only.column.as_str()));
    let places = names.filter_map(|name| place(&schema, name));
    let header = part.header(&schema);
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let reader = builder
        .with_row_groups(vec![group])
        .with_projection(mask)
        .with_batch_size(1 << 16)
        .build()
        .map_err(|error| failed(&error))?;
    let mut all = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| failed(&error))?;
        let count = batch.num_rows() as u64;
        let columns = Columns {
            path,
            batch: &batch,
            partition: Some(&part.partition),
            header: &header,
        };
        all.push(DecodedRows::new(&columns, row, wanted, only)?);
        row += count;
    }
    Ok(all)
}

impl Interactions {
    /// Interactions out of Arrow batches, whose columns `schema` names.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use seqrec::data::{Column, Interactions, Schema};
    /// use seqrec::data::arrow::{Int64Array, RecordBatch, StringArray};
    ///
    /// let batch = RecordBatch::try_from_iter([
    ///     ("who", Arc::new(Int64Array::from(vec![7, 7, 8])) as _),
    ///     ("what", Arc::new(StringArray::from(vec!["pen", "desk", "pen"])) as _),
    ///     ("at", Arc::new(Int64Array::from(vec![1, 2, 3])) as _),
    /// ])?;
    /// let schema = Schema::names("who", "what").time(Column::name("at"));
    /// let log = Interactions::from_arrow([batch], &schema)?;
    /// assert_eq!(log.times(), [1.0, 2.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::MissingColumn`], [`ErrorKind::ColumnType`] and [`ErrorKind::Field`], with the
    /// row in place of the line, for columns and rows that are no interactions;
    /// [`ErrorKind::UncertainColumns`] where the schema has no time and a column may be it;
    /// [`ErrorKind::InvalidValue`] for a time as that of [`from_columns`](Self::from_columns).
    pub fn from_arrow(
        batches: impl IntoIterator<Item = RecordBatch>,
        schema: &Schema,
    ) -> Result<Self> {
        let wanted = WantedColumns::of(schema)?;
        let part = DataFile {
            path: PathBuf::from("Arrow batches"),
            partition: Partition::new(),
        };
        let path = part.path.as_path();
        let mut into = Collector::new(path, BadRows::Fail, None);
        let mut kinds = Kinds::default();
        let mut row = 0;
        for batch in batches {
            check_order(&part, schema, batch.schema_ref())?;
            if let Some(time) = wanted.time {
                kinds.check(path, time, batch.schema_ref())?;
            }
            let columns = Columns {
                path,
                batch: &batch,
                partition: None,
                header: &part.header(batch.schema_ref()),
            };
            DecodedRows::new(&columns, row, &wanted, &[])?.push(path, &mut into)?;
            row += batch.num_rows() as u64;
        }
        into.interactions.check_times(TimeSizes::default())?;
        Ok(into.interactions)
    }
}
