//! Vectors in Parquet files.
#![deny(clippy::expect_used, clippy::indexing_slicing)]

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use ndarray::Array2;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::VectorTable;
use crate::data::ExternalId;
use crate::error::damaged;
use crate::{Error, Result};

/// Reads a file with the columns `id`, of integers or texts, and `vector`, of lists of numbers.
pub(super) fn read(path: &Path) -> Result<VectorTable> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let failed = |reason: String| damaged(path, reason);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.build())
        .map_err(|error| failed(error.to_string()))?;
    let (mut ids, mut values, mut dim) = (Vec::new(), Vec::new(), None);
    for batch in reader {
        let batch = batch.map_err(|error| failed(error.to_string()))?;
        ids.extend(ids_of(&column(&batch, "id", path)?, path)?);
        let vectors = column(&batch, "vector", path)?;
        for row in 0..vectors.len() {
            let vector = row_of(&vectors, row).ok_or_else(|| {
                let kind = vectors.data_type();
                failed(format!(
                    "the column \"vector\" is of {kind}, not of lists of numbers"
                ))
            })?;
            if *dim.get_or_insert(vector.len()) != vector.len() {
                let id = ids.get(values.len() / dim.unwrap_or(1).max(1));
                let id = id.map_or(String::new(), ToString::to_string);
                return Err(failed(format!(
                    "the vector of {id} has {} numbers, others {}",
                    vector.len(),
                    dim.unwrap_or(0)
                )));
            }
            values.extend(vector);
        }
    }
    let shape = (ids.len(), dim.unwrap_or(0));
    let vectors = Array2::from_shape_vec(shape, values);
    VectorTable::new(ids, vectors.map_err(|error| failed(error.to_string()))?)
}

fn column(batch: &RecordBatch, name: &str, path: &Path) -> Result<ArrayRef> {
    batch.column_by_name(name).cloned().ok_or_else(|| {
        let names: Vec<String> = (batch.schema().fields().iter())
            .map(|field| field.name().clone())
            .collect();
        let reason = format!(
            "it has no column {name:?}, only {names:?}: name its columns \"id\" and \"vector\""
        );
        damaged(path, reason)
    })
}

fn ids_of(column: &ArrayRef, path: &Path) -> Result<Vec<ExternalId>> {
    let failed = |reason: String| damaged(path, reason);
    if column.null_count() > 0 {
        return Err(failed("the column \"id\" has rows without one".to_owned()));
    }
    let kind = column.data_type().clone();
    if kind.is_integer() {
        let cast = arrow_cast::cast(column, &DataType::Int64);
        let cast = cast.map_err(|error| failed(error.to_string()))?;
        let integers = cast.as_primitive::<Int64Type>();
        return Ok(integers.values().iter().map(|&id| id.into()).collect());
    }
    let texts = arrow_cast::cast(column, &DataType::Utf8).ok().filter(|_| {
        matches!(
            kind,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
    });
    let texts = texts.ok_or_else(|| {
        failed(format!(
            "the column \"id\" is of {kind}, not of integers or texts"
        ))
    })?;
    let texts = texts.as_string::<i32>().iter().flatten();
    Ok(texts.map(ExternalId::from).collect())
}

/// The numbers of a row's list.
fn row_of(column: &ArrayRef, row: usize) -> Option<Vec<f32>> {
    if column.is_null(row) {
        return None;
    }
    let values = if let Some(lists) = column.as_fixed_size_list_opt() {
        lists.value(row)
    } else if let Some(lists) = column.as_list_opt::<i32>() {
        lists.value(row)
    } else {
        column.as_list_opt::<i64>()?.value(row)
    };
    let numbers = arrow_cast::cast(&values, &DataType::Float32).ok()?;
    let numbers = numbers.as_primitive_opt::<Float32Type>()?;
    (numbers.null_count() == 0).then(|| numbers.values().to_vec())
}
