//! The first lines of a text, and what they tell of its columns.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeMap;

use super::columns::bare;
use super::fields::date;
use super::format::has_unit;
use super::lines::{BLANKS, is_remark, pieces};
use super::schema::Schema;

/// The fields of the rows of a text, as if quotes meant nothing.
pub(super) fn first_rows<'t>(text: &'t str, schema: &Schema) -> Vec<Vec<&'t str>> {
    let blanks = schema.delimiter == BLANKS;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.filter(|line| !blanks || !is_remark(line.as_bytes()));
    let fields = |line: &'t str| -> Vec<&'t str> {
        if blanks {
            line.split_ascii_whitespace().collect()
        } else {
            line.split(&schema.delimiter).map(bare).collect()
        }
    };
    lines.skip(usize::from(schema.header)).map(fields).collect()
}

/// True if most rows have a time in a column.
pub(super) fn holds_times(rows: &[Vec<&str>], column: usize) -> bool {
    let is_time = |field: &str| (field.parse()).map_or_else(|_| date(field).is_some(), has_unit);
    let fields = rows.iter().filter_map(|row| row.get(column));
    let (times, others): (Vec<&str>, Vec<&str>) = fields
        .filter(|field| !field.is_empty())
        .partition(|field| is_time(field));
    times.len() > others.len()
}

/// The number of words that most of the first lines have, so that a row with one too many or too
/// few doesn't decide for the others.
pub(super) fn usual_columns(text: &str) -> Option<usize> {
    let rows = text.split('\n').map(str::as_bytes);
    let rows = rows.filter(|line| !is_remark(line) && pieces(line) == 1);
    let mut counts = BTreeMap::new();
    for row in rows {
        let words = row.split(u8::is_ascii_whitespace);
        let count = words.filter(|word| !word.is_empty()).count();
        *counts.entry(count).or_insert(0usize) += 1;
    }
    let most = counts.into_iter().max_by_key(|&(_, lines)| lines);
    most.map(|(count, _)| count)
}
