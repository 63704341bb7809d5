//! Groups of rows that are passed over, by what a file says of its columns.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use super::columns::{Columns, Times, place};
use crate::data::only::{Condition, Only, may_lie_within};

/// Whether a group of rows may hold one that is wanted, by what the file says of its columns.
pub(super) fn may_hold_some(metadata: &ArrowReaderMetadata, group: usize, only: &[Only]) -> bool {
    only.iter().all(|only| match only.condition {
        Condition::OneOf(_) => true,
        Condition::Within(range) => bounds(metadata, group, &only.column)
            .is_none_or(|(least, most)| may_lie_within(range, least, most)),
    })
}

/// The least and the greatest number or time of a column in a group, where the file says them.
pub(super) fn bounds(
    metadata: &ArrowReaderMetadata,
    group: usize,
    column: &str,
) -> Option<(f64, f64)> {
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
