//! The files of a folder, and what its folders are named for.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};

use arrow_schema::Schema as ArrowSchema;
use rayon::prelude::*;

use crate::data::fields::time_of;
use crate::data::id::Key;
use crate::data::only::{Condition, Only, is_one_of};
use crate::data::opened::PARQUET;
use crate::data::stored_ids::STORE_MAGIC;
use crate::{Error, ErrorKind, Result};

/// A file of a folder, and what the names of its folders say, as `day=2026-11-28` does.
pub(super) struct DataFile {
    pub(super) path: PathBuf,
    pub(super) partition: Partition,
}

/// The columns that folders are named for, and their values.
pub(super) type Partition = BTreeMap<String, Option<String>>;

impl DataFile {
    /// The names of the columns of its file and its folders.
    pub(super) fn header(&self, schema: &ArrowSchema) -> Vec<String> {
        let names = schema.fields().iter().map(|field| field.name().clone());
        names.chain(self.partition.keys().cloned()).collect()
    }
}

/// The Parquet files of a path: itself, or those of a folder and its folders, in order of their
/// names, but for folders that hold nothing of what is wanted.
pub(super) fn files(path: &Path, only: &[Only]) -> Result<Vec<DataFile>> {
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
pub(super) fn is_parquet(path: &Path) -> Result<Option<bool>> {
    let end = path.extension();
    if end.is_some_and(|end| end == "parquet" || end == "parq") {
        return Ok(Some(true));
    }
    let start = start_of(path).map_err(Error::io("read", path))?;
    // Hive leaves files of nothing where there are no rows, and a store may lie beside its source.
    let holds_nothing = start.is_empty() || start == STORE_MAGIC;
    Ok((!holds_nothing).then(|| start.starts_with(&PARQUET)))
}

/// Whether a file beside Parquet files may hold rows, and is not a page about them, as clones of
/// data sets have, or what a table format writes down of itself. What is compressed may be
/// anything.
pub(super) fn may_be_data(path: &Path) -> bool {
    const DATA: [&str; 19] = [
        "csv", "tsv", "txt", "dat", "data", "inter", "jsonl", "ndjson", "orc", "avro", "arrow",
        "feather", "gz", "zst", "bz2", "xz", "snappy", "deflate", "zip",
    ];
    let Some(end) = path.extension() else {
        return true;
    };
    DATA.iter().any(|data| end.eq_ignore_ascii_case(data))
}

/// The first bytes of a file, as many as tell what it is; none of a pipe, which has them once.
fn start_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    if std::fs::metadata(path)?.is_file() {
        let file = File::open(path)?;
        file.take(STORE_MAGIC.len() as u64)
            .read_to_end(&mut start)?;
    }
    Ok(start)
}

/// All files of a path, but for those whose names begin with `_` or `.`, which are something
/// else's.
pub(super) fn collect(path: &Path, partition: &Partition, found: &mut Vec<DataFile>) -> Result<()> {
    let failed = |error| Error::io("read", path)(error);
    if !path.is_dir() {
        found.push(DataFile {
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
pub(super) const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A part of a folder's name, where what names can't hold stands as `%20` does for a blank.
pub(super) fn decoded(text: &str) -> String {
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

/// Whether what a file's folders are named for is wanted.
pub(super) fn holds_some(part: &DataFile, only: &[Only]) -> Result<bool> {
    for only in only {
        let value = match part.partition.get(&only.column) {
            None => continue,
            Some(None) => return Ok(false),
            Some(Some(value)) => value,
        };
        let holds = match &only.condition {
            Condition::OneOf(values) => is_one_of(Key::of_text(value), values),
            Condition::Within(range) => {
                let number = time_of(value).ok_or_else(|| {
                    Error::from(ErrorKind::ColumnType {
                        path: part.path.clone(),
                        column: only.column.clone(),
                        found: format!("a folder's name, {value}"),
                        expected: "numbers or times".to_owned(),
                    })
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
