//! Interactions in Parquet files and Arrow batches.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, LargeStringArray, PrimitiveArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema as ArrowSchema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;

use super::columns;
use super::id::{IdTable, Key};
use super::interactions::Interactions;
use super::only::{Condition, Only, is_one_of, may_lie_within};
use super::rows::{A_TIME, BadRows, Collector, time_of};
use super::schema::{Column, Schema, check_roles};
use super::stored_ids::STORE_MAGIC;
use super::text::{PARQUET, first_bytes};
use super::time_unit::TimeSizes;
use crate::error::{damaged, panic_text};
use crate::{Error, Result};

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
        return Err(Error::EmptyFile {
            path: path.to_owned(),
        });
    }
    Ok(names)
}

/// A file of a folder, and what the names of its folders say, as `day=2026-11-28` does.
struct Part {
    path: PathBuf,
    partition: Partition,
}

/// The columns that folders are named for, and their values.
type Partition = BTreeMap<String, Option<String>>;

impl Part {
    /// The names of the columns of its file and its folders.
    fn header(&self, schema: &ArrowSchema) -> Vec<String> {
        let names = schema.fields().iter().map(|field| field.name().clone());
        names.chain(self.partition.keys().cloned()).collect()
    }
}

/// The Parquet files of a path: itself, or those of a folder and its folders, in order of their
/// names, but for folders that hold nothing of what is wanted.
fn files(path: &Path, only: &[Only]) -> Result<Vec<Part>> {
    let mut found = Vec::new();
    collect(path, &Partition::new(), &mut found)?;
    if !path.is_dir() {
        return Ok(found);
    }
    let mut wanted = Vec::new();
    for part in found {
        if holds_some(&part, only)? {
            wanted.push(part);
        }
    }
    let is_parquet = wanted.par_iter().map(|part| is_parquet(&part.path));
    let is_parquet = is_parquet.collect::<Result<Vec<_>>>()?;
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for (part, is_parquet) in wanted.into_iter().zip(is_parquet) {
        match is_parquet {
            Some(true) => files.push(part),
            Some(false) => others.push(part.path),
            None => {}
        }
    }
    let (other, reason) = if files.is_empty() {
        let reason = "it is a folder of files that are not Parquet, and only Parquet is read by the folder: \
                      read them one by one";
        (others.first(), reason)
    } else {
        let reason = "it has Parquet files and others that may be data: move those elsewhere, or give them \
                      names that begin with _ or .";
        (others.iter().find(|other| may_be_data(other)), reason)
    };
    let Some(other) = other else {
        return Ok(files);
    };
    let value = format!("{} with {}", path.display(), other.display());
    Err(Error::invalid("path", value, reason))
}

/// Whether a file of a folder is Parquet; `None` where it holds nothing that may be wanted.
fn is_parquet(path: &Path) -> Result<Option<bool>> {
    let end = path.extension();
    if end.is_some_and(|end| end == "parquet" || end == "parq") {
        return Ok(Some(true));
    }
    let start = start_of(path).map_err(Error::io("read", path))?;
    // Hive leaves files of nothing where there are no rows, and a store may lie beside its source.
    let holds_nothing = start.is_empty() || start == STORE_MAGIC;
    Ok((!holds_nothing).then(|| start.starts_with(&PARQUET)))
}

/// Whether a file beside Parquet files may hold rows, and is not a page about them, as clones of data sets
/// have, or what a table format writes down of itself. What is compressed may be anything.
fn may_be_data(path: &Path) -> bool {
    const DATA: [&str; 19] = [
        "csv", "tsv", "txt", "dat", "data", "inter", "jsonl", "ndjson", "orc", "avro", "arrow",
        "feather", "gz", "zst", "bz2", "xz", "snappy", "deflate", "zip",
    ];
    let Some(end) = path.extension() else {
        return true;
    };
    DATA.iter().any(|data| end.eq_ignore_ascii_case(data))
}

/// The first bytes of a file; none of a pipe, which has them once.
fn start_of(path: &Path) -> std::io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.is_file() {
        true => first_bytes(path),
        false => Ok(Vec::new()),
    }
}

/// All files of a path, but for those whose names begin with `_` or `.`, which are something else's.
fn collect(path: &Path, partition: &Partition, found: &mut Vec<Part>) -> Result<()> {
    let failed = |error| Error::io("read", path)(error);
    if !path.is_dir() {
        found.push(Part {
            path: path.to_owned(),
            partition: partition.clone(),
        });
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .map_err(failed)?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(['_', '.']) {
            continue;
        }
        let mut partition = partition.clone();
        if let (true, Some((key, value))) = (entry.is_dir(), name.split_once('=')) {
            let value = (value != NO_VALUE).then(|| decoded(value));
            partition.insert(decoded(key), value);
        }
        collect(&entry, &partition, found)?;
    }
    Ok(())
}

/// What stands for a missing value in a folder's name.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A part of a folder's name, where what names can't hold stands as `%20` does for a blank.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if let (b'%', [high, low, after @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            bytes.push((16 * high + low) as u8);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
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
struct Wanted<'a> {
    user: &'a str,
    item: &'a str,
    time: Option<&'a str>,
    value: Option<&'a str>,
    event: Option<&'a str>,
}

impl<'a> Wanted<'a> {
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
    let wanted = Wanted::of(schema)?;
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
    // As many groups at a time as there are threads, and the next ones while these are taken: more of
    // them would only wait in memory.
    type Group = (Arc<(Part, ArrowReaderMetadata)>, usize, u64);
    let decoded = |some: &[Group]| -> Vec<Result<Vec<Rows>>> {
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

/// Whether a column's type is a time or a date.
fn is_clock(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    )
}

/// Refuses to take rows in the order of a file that has times.
fn check_order(part: &Part, schema: &Schema, of_file: &ArrowSchema) -> Result<()> {
    let holds_times = |name: &str| {
        place(of_file, name).is_some_and(|place| is_clock(of_file.field(place).data_type()))
    };
    columns::check_order(&part.path, schema, &part.header(of_file), holds_times)
}

/// What columns of times hold, and the file that says so: times that are known to be such, or numbers,
/// whose unit the file doesn't say.
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
        Err(Error::ColumnType {
            path: path.to_owned(),
            column: column.to_owned(),
            found: of.to_string(),
            expected: format!("{before}, as in {}", first.display()),
        })
    }
}

/// The place of a column, whose name may have blanks around it.
fn place(schema: &ArrowSchema, name: &str) -> Option<usize> {
    schema.index_of(name).ok().or_else(|| {
        let fields = schema.fields().iter().enumerate();
        let mut places = fields.filter(|(_, field)| field.name().trim() == name);
        let (place, _) = places.next()?;
        places.next().is_none().then_some(place)
    })
}

/// Whether what a file's folders are named for is wanted.
fn holds_some(part: &Part, only: &[Only]) -> Result<bool> {
    for only in only {
        let value = match part.partition.get(&only.column) {
            None => continue,
            Some(None) => return Ok(false),
            Some(Some(value)) => value,
        };
        let holds = match &only.condition {
            Condition::OneOf(values) => is_one_of(Key::of_text(value), values),
            Condition::Within(range) => {
                let number = time_of(value).ok_or_else(|| Error::ColumnType {
                    path: part.path.clone(),
                    column: only.column.clone(),
                    found: format!("a folder's name, {value}"),
                    expected: "numbers or times".to_owned(),
                })?;
                range.contains(&number)
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a group of rows may hold one that is wanted, by what the file says of its columns.
fn may_hold_some(metadata: &ArrowReaderMetadata, group: usize, only: &[Only]) -> bool {
    only.iter().all(|only| match only.condition {
        Condition::OneOf(_) => true,
        Condition::Within(range) => bounds(metadata, group, &only.column)
            .is_none_or(|(least, most)| may_lie_within(range, least, most)),
    })
}

/// The least and the greatest number or time of a column in a group, where the file says them.
fn bounds(metadata: &ArrowReaderMetadata, group: usize, column: &str) -> Option<(f64, f64)> {
    let schema = metadata.schema();
    let column = schema.field(place(schema, column)?).name().as_str();
    let converter = StatisticsConverter::try_new(column, schema, metadata.parquet_schema()).ok()?;
    let group = || std::iter::once(metadata.metadata().row_group(group));
    let number = |values: ArrayRef| {
        let batch = RecordBatch::try_from_iter([(column, values)]).ok()?;
        let columns = Columns {
            path: Path::new(""),
            batch: &batch,
            partition: None,
            header: &[],
        };
        match columns.times(column).ok()? {
            Times::Numbers(numbers) => {
                let numbers = numbers.as_primitive::<Float64Type>();
                let known = !numbers.is_empty() && numbers.is_valid(0);
                known.then(|| numbers.value(0)).filter(|x| x.is_finite())
            }
            // Texts are ordered by their letters.
            Times::Texts(_) => None,
        }
    };
    Some((
        number(converter.row_group_mins(group()).ok()?)?,
        number(converter.row_group_maxes(group()).ok()?)?,
    ))
}

/// The rows of a group.
fn decode(
    part: &Part,
    metadata: &ArrowReaderMetadata,
    group: usize,
    mut row: u64,
    wanted: &Wanted<'_>,
    only: &[Only],
) -> Result<Vec<Rows>> {
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
        all.push(Rows::new(&columns, row, wanted, only)?);
        row += count;
    }
    Ok(all)
}

/// The columns of a batch, and of the folders that it lies in.
struct Columns<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
    partition: Option<&'a Partition>,
    /// The names of all columns, whichever are read.
    header: &'a [String],
}

impl Columns<'_> {
    fn get(&self, name: &str) -> Result<ArrayRef> {
        if let Some(place) = place(self.batch.schema_ref(), name) {
            return Ok(self.batch.column(place).clone());
        }
        if let Some(value) = self.of_folder(name) {
            let values = std::iter::repeat_n(value, self.batch.num_rows());
            return Ok(Arc::new(LargeStringArray::from_iter(values)));
        }
        Err(Error::MissingColumn {
            path: self.path.to_owned(),
            column: name.to_owned(),
            header: self.header.to_owned(),
        })
    }

    /// What a folder's name says of a column, which may be that there is no value.
    fn of_folder(&self, name: &str) -> Option<Option<&str>> {
        let value = self.partition?.get(name)?;
        Some(value.as_deref())
    }

    /// A column as another type, which it must be able to be.
    fn as_type(&self, name: &str, column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
        cast(column, to).map_err(|_| self.wrong_type(name, column, "another type"))
    }

    fn wrong_type(&self, name: &str, column: &ArrayRef, expected: &'static str) -> Error {
        Error::ColumnType {
            path: self.path.to_owned(),
            column: name.to_owned(),
            found: column.data_type().to_string(),
            expected: expected.to_owned(),
        }
    }

    fn ids(&self, name: &str) -> Result<Ids> {
        use DataType::*;
        let column = self.get(name)?;
        let values = match column.data_type() {
            Dictionary(_, values) => (**values).clone(),
            other => other.clone(),
        };
        match values {
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => {
                Ok(Ids::Integers(self.as_type(name, &column, &Int64)?))
            }
            // Above what 64 bits with a sign hold, an integer is a text.
            UInt64 | Utf8 | LargeUtf8 | Utf8View => {
                Ok(Ids::Texts(self.as_type(name, &column, &LargeUtf8)?))
            }
            _ => Err(self.wrong_type(name, &column, "integers or texts")),
        }
    }

    fn times(&self, name: &str) -> Result<Times> {
        use DataType::*;
        let column = self.get(name)?;
        let numbers = |per_second: f64| -> Result<Times> {
            let integers = self.as_type(name, &column, &Int64)?;
            Ok(seconds(&integers, per_second))
        };
        match column.data_type() {
            Timestamp(TimeUnit::Second, _) => numbers(1.0),
            Timestamp(TimeUnit::Millisecond, _) | Date64 => numbers(1e3),
            Timestamp(TimeUnit::Microsecond, _) => numbers(1e6),
            Timestamp(TimeUnit::Nanosecond, _) => numbers(1e9),
            Date32 => {
                let days = self.as_type(name, &column, &Int32)?;
                let days = self.as_type(name, &days, &Int64)?;
                Ok(seconds(&days, 1.0 / 86_400.0))
            }
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float16 | Float32
            | Float64 | Decimal128(..) => {
                Ok(Times::Numbers(self.as_type(name, &column, &Float64)?))
            }
            Utf8 | LargeUtf8 | Utf8View => {
                Ok(Times::Texts(self.as_type(name, &column, &LargeUtf8)?))
            }
            _ => Err(self.wrong_type(name, &column, "times, numbers or dates")),
        }
    }

    /// A column's numbers, or its times as numbers; `first` rows of the file come before it.
    fn numbers_or_times(&self, name: &str, first: u64) -> Result<Vec<Option<f64>>> {
        match self.times(name)? {
            Times::Numbers(numbers) => Ok(numbers.as_primitive::<Float64Type>().iter().collect()),
            Times::Texts(texts) => (texts.as_string::<i64>().iter().zip(first + 1..))
                .map(|(text, line)| {
                    let Some(text) = text else {
                        return Ok(None);
                    };
                    let number = time_of(text.trim()).ok_or_else(|| Error::Field {
                        path: self.path.to_owned(),
                        line,
                        field: "a column that rows are chosen by",
                        value: text.to_owned(),
                        expected: A_TIME,
                    })?;
                    Ok(Some(number))
                })
                .collect(),
        }
    }

    fn numbers(&self, name: &str) -> Result<ArrayRef> {
        use DataType::*;
        let column = self.get(name)?;
        let is_of_folder = place(self.batch.schema_ref(), name).is_none();
        if let (true, Some(value)) = (is_of_folder, self.of_folder(name)) {
            let number = value.map(|text| text.trim().parse::<f64>()).transpose();
            let number = number.map_err(|_| self.wrong_type(name, &column, "numbers"))?;
            let numbers = std::iter::repeat_n(number, self.batch.num_rows());
            return Ok(Arc::new(Float64Array::from_iter(numbers)));
        }
        match column.data_type() {
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float16 | Float32
            | Float64 | Decimal128(..) | Boolean => self.as_type(name, &column, &Float64),
            _ => Err(self.wrong_type(name, &column, "numbers")),
        }
    }
}

/// Ids of a batch: of 64 bits, or texts.
enum Ids {
    Integers(ArrayRef),
    Texts(ArrayRef),
}

impl Ids {
    /// A row's id; `None` where it has none.
    fn get(&self, row: usize) -> Option<Key<'_>> {
        match self {
            Self::Integers(ids) => {
                let ids = ids.as_primitive::<Int64Type>();
                ids.is_valid(row).then(|| Key::Integer(ids.value(row)))
            }
            Self::Texts(ids) => {
                let ids = ids.as_string::<i64>();
                let id = ids.is_valid(row).then(|| Key::of_text(ids.value(row)));
                id.filter(|id| !id.is_missing())
            }
        }
    }
}

enum Times {
    Numbers(ArrayRef),
    Texts(ArrayRef),
}

/// Times in a unit of which a second has so many.
fn seconds(times: &ArrayRef, per_second: f64) -> Times {
    let times = times.as_primitive::<Int64Type>();
    Times::Numbers(Arc::new(
        times.unary::<_, Float64Type>(|time| time as f64 / per_second),
    ))
}

/// Rows of a batch that are wanted.
struct Rows {
    /// Of the file, from 1: which row each is.
    first: u64,
    keep: Vec<usize>,
    users: Ids,
    items: Ids,
    times: Option<Times>,
    values: Option<ArrayRef>,
    events: Option<Ids>,
}

impl Rows {
    fn new(columns: &Columns<'_>, row: u64, wanted: &Wanted<'_>, only: &[Only]) -> Result<Self> {
        let mut keep: Vec<usize> = (0..columns.batch.num_rows()).collect();
        for only in only {
            match &only.condition {
                Condition::OneOf(values) => {
                    let ids = columns.ids(&only.column)?;
                    keep.retain(|&row| ids.get(row).is_some_and(|id| is_one_of(id, values)));
                }
                Condition::Within(range) => {
                    let numbers = columns.numbers_or_times(&only.column, row)?;
                    keep.retain(|&row| {
                        let number = numbers.get(row).copied().flatten();
                        number.is_some_and(|number| range.contains(&number))
                    });
                }
            }
        }
        Ok(Self {
            first: row + 1,
            keep,
            users: columns.ids(wanted.user)?,
            items: columns.ids(wanted.item)?,
            times: wanted.time.map(|name| columns.times(name)).transpose()?,
            values: wanted.value.map(|name| columns.numbers(name)).transpose()?,
            events: wanted.event.map(|name| columns.ids(name)).transpose()?,
        })
    }

    /// Adds the rows column by column, where none of them is bad and there are no event types; whether
    /// that was so.
    fn push_columns(&self, into: &mut Collector<'_, '_>) -> bool {
        let (Ids::Integers(users), Ids::Integers(items), None) =
            (&self.users, &self.items, &self.events)
        else {
            return false;
        };
        let first = into.rows();
        let into = &mut into.interactions;
        let start = into.len();
        let times: Option<Vec<f64>> = match &self.times {
            None => Some(
                (first..first + self.keep.len())
                    .map(|row| row as f64)
                    .collect(),
            ),
            Some(Times::Numbers(times)) if times.null_count() == 0 => {
                let times = times.as_primitive::<Float64Type>();
                let time = |&row| Some(times.value(row)).filter(|time| time.is_finite());
                self.keep.iter().map(time).collect()
            }
            Some(_) => None,
        };
        let values: Option<Vec<f32>> = (self.values.as_ref().map_or(Some(Vec::new()), |values| {
            let values = values.as_primitive::<Float64Type>();
            let value = |&row| match values.is_valid(row) {
                true => Some(values.value(row) as f32).filter(|value| !value.is_infinite()),
                false => Some(f32::NAN),
            };
            self.keep.iter().map(value).collect()
        }))
        .filter(|_| users.null_count() == 0 && items.null_count() == 0);
        let (Some(times), Some(values)) = (times, values) else {
            return false;
        };
        let [users, items] = [users, items].map(|ids| ids.as_primitive::<Int64Type>());
        let number = |table: &mut IdTable, ids: &PrimitiveArray<Int64Type>, row: usize| {
            table.intern_key(Key::Integer(ids.value(row)))
        };
        let keep = || self.keep.iter().copied();
        into.user
            .extend(keep().map(|row| number(&mut into.users, users, row)));
        into.item
            .extend(keep().map(|row| number(&mut into.items, items, row)));
        into.time.extend(times);
        if !values.is_empty() || !into.value.is_empty() {
            into.value.resize(start, f32::NAN);
            into.value.extend(values);
            into.value.resize(into.user.len(), f32::NAN);
        }
        true
    }

    fn push(&self, path: &Path, into: &mut Collector<'_, '_>) -> Result<()> {
        if self.times.is_none() {
            into.untimed = true;
        }
        let by_columns = into.interactions.event.is_empty() && into.rule.is_none();
        if by_columns && self.push_columns(into) {
            return Ok(());
        }
        for &row in &self.keep {
            let taken = self.push_row(path, row, into);
            into.take(taken)?;
        }
        Ok(())
    }

    fn push_row(&self, path: &Path, row: usize, into: &mut Collector<'_, '_>) -> Result<()> {
        let line = self.first + row as u64;
        let bad = |field, value: String, expected| Error::Field {
            path: path.to_owned(),
            line,
            field,
            value,
            expected,
        };
        let missing = |field| bad(field, "nothing".to_owned(), "an id");
        let user = self.users.get(row).ok_or_else(|| missing("user"))?;
        let item = self.items.get(row).ok_or_else(|| missing("item"))?;
        let no_time = || bad("timestamp", "nothing".to_owned(), "a time");
        let time = match &self.times {
            None => into.rows() as f64,
            Some(Times::Numbers(times)) => {
                let times = times.as_primitive::<Float64Type>();
                let time = times.is_valid(row).then(|| times.value(row));
                time.filter(|time| time.is_finite()).ok_or_else(no_time)?
            }
            Some(Times::Texts(times)) => {
                let times = times.as_string::<i64>();
                let text = times.is_valid(row).then(|| times.value(row).trim());
                let text = text.ok_or_else(no_time)?;
                time_of(text).ok_or_else(|| bad("timestamp", text.to_owned(), A_TIME))?
            }
        };
        if let Some(rule) = into.rule.filter(|rule| !rule.takes(time)) {
            return Err(bad("timestamp", rule.odd(time, time), rule.expected()));
        }
        let value = match &self.values {
            None => None,
            Some(values) => {
                let values = values.as_primitive::<Float64Type>();
                let value = values.is_valid(row).then(|| values.value(row) as f32);
                // What pandas writes where there is none.
                let value = value.filter(|value| !value.is_nan());
                if let Some(value) = value.filter(|value| value.is_infinite()) {
                    let expected = "a number that single precision holds";
                    return Err(bad("value", value.to_string(), expected));
                }
                value
            }
        };
        let number;
        let event = match self.events.as_ref().and_then(|events| events.get(row)) {
            None => None,
            Some(Key::Text(text)) => Some(text),
            Some(Key::Integer(integer)) => {
                number = integer.to_string();
                Some(number.as_str())
            }
        };
        let user = into.interactions.users.intern_key(user);
        let item = into.interactions.items.intern_key(item);
        (into.interactions).push_numbers(user, item, time, value, event);
        Ok(())
    }
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
    /// [`Error::MissingColumn`], [`Error::ColumnType`] and [`Error::Field`], with the row in place of
    /// the line, for columns and rows that are no interactions; [`Error::UncertainColumns`] where the schema
    /// has no time and a column may be it; [`Error::InvalidValue`] for a time as that of
    /// [`from_columns`](Self::from_columns).
    pub fn from_arrow(
        batches: impl IntoIterator<Item = RecordBatch>,
        schema: &Schema,
    ) -> Result<Self> {
        let wanted = Wanted::of(schema)?;
        let part = Part {
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
            Rows::new(&columns, row, &wanted, &[])?.push(path, &mut into)?;
            row += batch.num_rows() as u64;
        }
        into.interactions.check_times(TimeSizes::default())?;
        Ok(into.interactions)
    }
}
