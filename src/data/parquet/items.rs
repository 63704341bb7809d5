//! Tables of items in Parquet files.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::columns::{Columns, Times};
use super::folder::{DataFile, files};
use super::{guarded, header, metadata};
use crate::data::id::Key;
use crate::data::items::cells::Cells;
use crate::error::damaged;
use crate::{Error, ErrorKind, Result};

/// A table of items: ids as texts, and all other columns.
pub(in crate::data) struct ItemTableFile {
    pub(in crate::data) ids: Cells,
    pub(in crate::data) columns: Vec<(String, ItemColumn)>,
}

/// The values of a column, one for each row.
pub(in crate::data) enum ItemColumn {
    Texts(Cells),
    Lists(Vec<Vec<String>>),
    Numbers(Vec<Option<f64>>),
    Dates(Vec<Option<f64>>),
    Booleans(Vec<Option<bool>>),
    /// Of another type, which is told.
    LeftOut(String),
}

/// Integers above this, to either side, are not exact as numbers, and become texts.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads all files of a path.
pub(in crate::data) fn read_items(path: &Path, id: &str) -> Result<ItemTableFile> {
    let header = header(path)?;
    if !header.iter().any(|name| name == id) {
        return Err(ErrorKind::MissingColumn {
            path: path.to_owned(),
            column: id.to_owned(),
            header,
        }
        .into());
    }
    let mut table = ItemTableFile {
        ids: Cells::default(),
        columns: Vec::new(),
    };
    let names: Vec<&String> = header.iter().filter(|name| *name != id).collect();
    for file in files(path, &[])? {
        guarded(&file.path, || {
            read_file(&file, id, &names, &header, &mut table)
        })?;
    }
    if table.ids.len() == 0 {
        return Err(ErrorKind::EmptyFile {
            path: path.to_owned(),
        }
        .into());
    }
    Ok(table)
}

fn read_file(
    file: &DataFile,
    id: &str,
    names: &[&String],
    header: &[String],
    table: &mut ItemTableFile,
) -> Result<()> {
    let path = file.path.as_path();
    let failed = |error: &dyn std::fmt::Display| damaged(path, error.to_string());
    let metadata = metadata(path)?;
    let opened = File::open(path).map_err(Error::io("read", path))?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, metadata)
        .with_batch_size(1 << 16)
        .build()
        .map_err(|error| failed(&error))?;
    for batch in reader {
        let batch = batch.map_err(|error| failed(&error))?;
        let columns = Columns {
            path,
            batch: &batch,
            partition: Some(&file.partition),
            header,
        };
        let ids = columns.ids(id)?;
        for row in 0..batch.num_rows() {
            match ids.get(row) {
                Some(Key::Integer(number)) => table.ids.push(&number.to_string()),
                Some(Key::Text(text)) => table.ids.push(text),
                None => table.ids.push(""),
            }
        }
        let is_first = table.columns.is_empty();
        for (place, name) in names.iter().enumerate() {
            let column = item_column(&columns, name)?;
            if is_first {
                table.columns.push(((*name).clone(), column));
            } else if let Some((_, before)) = table.columns.get_mut(place) {
                before.append(column).map_err(|expected| {
                    let found = columns
                        .get(name)
                        .map(|column| column.data_type().to_string());
                    Error::from(ErrorKind::ColumnType {
                        path: path.to_owned(),
                        column: (*name).clone(),
                        found: found.unwrap_or_default(),
                        expected: format!("{expected}, as in the rows before"),
                    })
                })?;
            }
        }
    }
    Ok(())
}

fn item_column(columns: &Columns<'_>, name: &str) -> Result<ItemColumn> {
    use DataType::*;
    let column = columns.get(name)?;
    let values = match column.data_type() {
        Dictionary(_, values) => (**values).clone(),
        other => other.clone(),
    };
    Ok(match values {
        Boolean => {
            let column = columns.as_type(name, &column, &Boolean)?;
            ItemColumn::Booleans(column.as_boolean().iter().collect())
        }
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float16 | Float32
        | Float64 | Decimal128(..) => numbers(columns, name, &column)?,
        Date32 | Date64 | Timestamp(..) => match columns.times(name)? {
            Times::Numbers(seconds) => {
                ItemColumn::Dates(seconds.as_primitive::<Float64Type>().iter().collect())
            }
            Times::Texts(_) => return Err(columns.wrong_type(name, &column, "dates")),
        },
        Utf8 | LargeUtf8 | Utf8View => ItemColumn::Texts(texts(columns, name, &column)?),
        List(of) | LargeList(of) | FixedSizeList(of, _)
            if matches!(of.data_type(), Utf8 | LargeUtf8 | Utf8View | Dictionary(..)) =>
        {
            lists(columns, name, &column)?
        }
        other => ItemColumn::LeftOut(other.to_string()),
    })
}

/// Numbers, or texts of integers that are not exact as such. NaN is what pandas writes where there
/// is none.
fn numbers(columns: &Columns<'_>, name: &str, column: &ArrayRef) -> Result<ItemColumn> {
    let numbers = columns.as_type(name, column, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let is_exact = |number: f64| number.abs() < EXACT;
    if column.data_type().is_integer() && !numbers.iter().flatten().all(is_exact) {
        return Ok(ItemColumn::Texts(texts(columns, name, column)?));
    }
    if numbers.iter().flatten().any(f64::is_infinite) {
        return Err(columns.wrong_type(name, column, "finite numbers"));
    }
    let number = |number: Option<f64>| number.filter(|number| !number.is_nan());
    Ok(ItemColumn::Numbers(numbers.iter().map(number).collect()))
}

fn texts(columns: &Columns<'_>, name: &str, column: &ArrayRef) -> Result<Cells> {
    let texts = columns.as_type(name, column, &DataType::LargeUtf8)?;
    let mut cells = Cells::default();
    for text in texts.as_string::<i64>().iter() {
        cells.push(text.unwrap_or_default());
    }
    Ok(cells)
}

fn lists(columns: &Columns<'_>, name: &str, column: &ArrayRef) -> Result<ItemColumn> {
    let texts = std::sync::Arc::new(arrow_schema::Field::new("item", DataType::LargeUtf8, true));
    let lists = cast(column, &DataType::LargeList(texts))
        .map_err(|_| columns.wrong_type(name, column, "lists of texts"))?;
    let of_row = |list: Option<ArrayRef>| -> Vec<String> {
        let list = list.as_ref().map(|list| list.as_string::<i64>());
        let texts = list.into_iter().flat_map(|list| list.iter().flatten());
        texts.map(str::to_owned).collect()
    };
    let lists = lists.as_list::<i64>();
    Ok(ItemColumn::Lists(lists.iter().map(of_row).collect()))
}

impl ItemColumn {
    /// Adds the rows of a later batch; the error is what they must be.
    fn append(&mut self, more: Self) -> Result<(), &'static str> {
        match (self, more) {
            (Self::Texts(texts), Self::Texts(more)) => {
                more.iter().for_each(|cell| texts.push(cell))
            }
            (Self::Lists(lists), Self::Lists(more)) => lists.extend(more),
            (Self::Numbers(numbers), Self::Numbers(more)) => numbers.extend(more),
            (Self::Dates(seconds), Self::Dates(more)) => seconds.extend(more),
            (Self::Booleans(booleans), Self::Booleans(more)) => booleans.extend(more),
            (Self::LeftOut(_), Self::LeftOut(_)) => {}
            (Self::Texts(_), _) => return Err("texts"),
            (Self::Lists(_), _) => return Err("lists of texts"),
            (Self::Numbers(_), _) => return Err("numbers"),
            (Self::Dates(_), _) => return Err("dates"),
            (Self::Booleans(_), _) => return Err("booleans"),
            (Self::LeftOut(_), _) => return Err("the same type"),
        }
        Ok(())
    }
}
