//! Columns of a batch as ids, times and numbers.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, LargeStringArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema as ArrowSchema, TimeUnit};

use super::folder::Partition;
use crate::data::fields::{A_TIME, time_of};
use crate::data::id::Key;
use crate::{Error, ErrorKind, Result};

/// Whether a column's type is a time or a date.
pub(super) fn is_clock(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    )
}

/// The place of a column, whose name may have blanks around it.
pub(super) fn place(schema: &ArrowSchema, name: &str) -> Option<usize> {
    schema.index_of(name).ok().or_else(|| {
        let fields = schema.fields().iter().enumerate();
        let mut places = fields.filter(|(_, field)| field.name().trim() == name);
        let (place, _) = places.next()?;
        places.next().is_none().then_some(place)
    })
}

/// The columns of a batch, and of the folders that it lies in.
pub(super) struct Columns<'a> {
    pub(super) path: &'a Path,
    pub(super) batch: &'a RecordBatch,
    pub(super) partition: Option<&'a Partition>,
    /// The names of all columns, whichever are read.
    pub(super) header: &'a [String],
}

impl Columns<'_> {
    pub(super) fn get(&self, name: &str) -> Result<ArrayRef> {
        if let Some(place) = place(self.batch.schema_ref(), name) {
            return Ok(self.batch.column(place).clone());
        }
        if let Some(value) = self.of_folder(name) {
            let values = std::iter::repeat_n(value, self.batch.num_rows());
            return Ok(Arc::new(LargeStringArray::from_iter(values)));
        }
        Err(ErrorKind::MissingColumn {
            path: self.path.to_owned(),
            column: name.to_owned(),
            header: self.header.to_owned(),
        }
        .into())
    }

    /// What a folder's name says of a column, which may be that there is no value.
    pub(super) fn of_folder(&self, name: &str) -> Option<Option<&str>> {
        let value = self.partition?.get(name)?;
        Some(value.as_deref())
    }

    /// A column as another type, which it must be able to be.
    pub(super) fn as_type(&self, name: &str, column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
        cast(column, to).map_err(|_| self.wrong_type(name, column, "another type"))
    }

    pub(super) fn wrong_type(
        &self,
        name: &str,
        column: &ArrayRef,
        expected: &'static str,
    ) -> Error {
        Error::from(ErrorKind::ColumnType {
            path: self.path.to_owned(),
            column: name.to_owned(),
            found: column.data_type().to_string(),
            expected: expected.to_owned(),
        })
    }

    pub(super) fn ids(&self, name: &str) -> Result<Ids> {
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
            Float16 | Float32 | Float64 => Err(self.wrong_type(
                name,
                &column,
                "integers or texts; pandas makes floating-point numbers of integers of which some are missing: \
                 write them as Int64",
            )),
            _ => Err(self.wrong_type(name, &column, "integers or texts")),
        }
    }

    pub(super) fn times(&self, name: &str) -> Result<Times> {
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
    pub(super) fn numbers_or_times(&self, name: &str, first: u64) -> Result<Vec<Option<f64>>> {
        match self.times(name)? {
            Times::Numbers(numbers) => Ok(numbers.as_primitive::<Float64Type>().iter().collect()),
            Times::Texts(texts) => (texts.as_string::<i64>().iter().zip(first + 1..))
                .map(|(text, line)| {
                    let Some(text) = text else {
                        return Ok(None);
                    };
                    let number = time_of(text.trim()).ok_or_else(|| {
                        Error::from(ErrorKind::Field {
                            path: self.path.to_owned(),
                            line,
                            field: "a column that rows are chosen by",
                            value: text.to_owned(),
                            expected: A_TIME,
                        })
                    })?;
                    Ok(Some(number))
                })
                .collect(),
        }
    }

    pub(super) fn numbers(&self, name: &str) -> Result<ArrayRef> {
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
pub(super) enum Ids {
    Integers(ArrayRef),
    Texts(ArrayRef),
}

impl Ids {
    /// A row's id; `None` where it has none.
    pub(super) fn get(&self, row: usize) -> Option<Key<'_>> {
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

pub(super) enum Times {
    Numbers(ArrayRef),
    Texts(ArrayRef),
}

/// Times in a unit of which a second has so many.
pub(super) fn seconds(times: &ArrayRef, per_second: f64) -> Times {
    let times = times.as_primitive::<Int64Type>();
    Times::Numbers(Arc::new(
        times.unary::<_, Float64Type>(|time| time as f64 / per_second),
    ))
}
