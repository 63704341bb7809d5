//! Rows of a table as CSV.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::ColumnValues;

/// Appends text to a CSV file.
pub(super) struct CsvFile(BufWriter<File>);

impl CsvFile {
    pub(super) fn new<'a>(file: File, names: impl Iterator<Item = &'a str>) -> io::Result<Self> {
        let mut header = csv::Writer::from_writer(Vec::new());
        header.write_record(names)?;
        let mut sink = Self(BufWriter::with_capacity(1 << 20, file));
        sink.append(&finished(header)?)?;
        Ok(sink)
    }

    pub(super) fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.0.write_all(text)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The lines of some rows, without a header.
pub(super) fn rows(columns: &[ColumnValues]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut number = Vec::new();
    for row in 0..columns.first().map_or(0, ColumnValues::len) {
        for column in columns {
            number.clear();
            match column {
                ColumnValues::Texts(texts) | ColumnValues::Labels(texts) => {
                    writer.write_field(texts.get(row))?;
                    continue;
                }
                ColumnValues::Integers(values) => display(values.get(row), &mut number)?,
                ColumnValues::Places(values) => {
                    display(values.get(row).and_then(Option::as_ref), &mut number)?;
                }
                ColumnValues::Numbers(values) => {
                    display(values.get(row).and_then(Option::as_ref), &mut number)?;
                }
                ColumnValues::Doubles(values) => {
                    display(values.get(row).and_then(Option::as_ref), &mut number)?;
                }
            }
            writer.write_field(&number)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    finished(writer)
}

/// A value's text; none of one that is missing.
fn display(value: Option<&impl std::fmt::Display>, into: &mut Vec<u8>) -> io::Result<()> {
    value.map_or(Ok(()), |value| write!(into, "{value}"))
}

fn finished(writer: csv::Writer<Vec<u8>>) -> io::Result<Vec<u8>> {
    writer.into_inner().map_err(|error| error.into_error())
}
