//! Rows of a table as Parquet.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;

use super::ColumnValues;

/// Properties of a file whose own metadata have a mark, by which it is known again.
pub(crate) fn marked(mark: &str) -> WriterPropertiesBuilder {
    let pairs = vec![KeyValue::new(mark.to_owned(), None)];
    WriterProperties::builder().set_key_value_metadata(Some(pairs))
}

/// Whether a file is a Parquet file with a mark.
pub(crate) fn has_mark(file: &mut File, mark: &str) -> bool {
    let reader = file.try_clone().map(SerializedFileReader::new);
    let Ok(Ok(reader)) = reader else {
        return false;
    };
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == mark))
}

/// Appends rows to a Parquet file.
pub(super) struct ParquetFile(ArrowWriter<File>);

impl ParquetFile {
    pub(super) fn new(
        file: File,
        columns: &[(String, ColumnValues)],
        mark: &str,
    ) -> io::Result<Self> {
        let mut properties = marked(mark).set_compression(Compression::SNAPPY);
        for (name, column) in columns {
            // Scores repeat too little for a dictionary.
            if matches!(column, ColumnValues::Numbers(_)) {
                let path = ColumnPath::new(vec![name.clone()]);
                properties = properties.set_column_dictionary_enabled(path, false);
            }
        }
        let writer = ArrowWriter::try_new(file, schema(columns), Some(properties.build()))?;
        Ok(Self(writer))
    }

    pub(super) fn append(&mut self, rows: &RecordBatch) -> io::Result<()> {
        Ok(self.0.write(rows)?)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.0.close()?;
        Ok(())
    }
}

fn schema(columns: &[(String, ColumnValues)]) -> Arc<Schema> {
    let field = |(name, column): &(String, ColumnValues)| {
        let (kind, may_lack) = match column {
            ColumnValues::Integers(_) => (DataType::Int64, false),
            ColumnValues::Places(_) => (DataType::Int32, true),
            ColumnValues::Numbers(_) => (DataType::Float32, true),
            ColumnValues::Doubles(_) => (DataType::Float64, true),
            ColumnValues::Texts(_) => (DataType::Utf8, false),
            ColumnValues::Labels(_) => (DataType::Utf8, true),
        };
        Field::new(name, kind, may_lack)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// Rows as Arrow has them.
pub(super) fn rows(
    named: &[(String, ColumnValues)],
    columns: Vec<ColumnValues>,
) -> io::Result<RecordBatch> {
    let array = |column: ColumnValues| -> ArrayRef {
        match column {
            ColumnValues::Integers(values) => Arc::new(Int64Array::from(values)),
            ColumnValues::Places(values) => Arc::new(Int32Array::from(values)),
            ColumnValues::Numbers(values) => Arc::new(Float32Array::from(values)),
            ColumnValues::Doubles(values) => Arc::new(Float64Array::from(values)),
            ColumnValues::Texts(texts) => Arc::new(StringArray::from_iter_values(texts.iter())),
            ColumnValues::Labels(texts) => {
                let texts = texts.iter().map(|text| (!text.is_empty()).then_some(text));
                Arc::new(texts.collect::<StringArray>())
            }
        }
    };
    let arrays = columns.into_iter().map(array).collect();
    RecordBatch::try_new(schema(named), arrays).map_err(io::Error::other)
}
