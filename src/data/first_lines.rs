//! The first lines of a text, and what they tell of its columns.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::columns::{self, bare};
use super::fields::date;
use super::format::{SAMPLE, has_unit, is_remark};
use super::layout::Layout;
use super::rows::pieces;
use super::schema::Schema;
use super::text::Text;
use crate::{Error, Result};

/// A text from its start, without its byte order mark, and how long that is.
pub(super) fn open(text: &Text) -> io::Result<(impl BufRead + Send + use<>, u64)> {
    const MARK: [u8; 3] = *b"\xef\xbb\xbf";
    let mut source = BufReader::with_capacity(1 << 20, text.open()?);
    let mut start = Vec::new();
    source
        .by_ref()
        .take(MARK.len() as u64)
        .read_to_end(&mut start)?;
    let mark = if start == MARK { MARK.len() } else { 0 };
    start.drain(..mark);
    Ok((Cursor::new(start).chain(source), mark as u64))
}

/// The first line of a text that is not blank.
pub(super) fn first_line(text: &Text) -> io::Result<String> {
    let (mut source, _) = open(text)?;
    let mut line = Vec::new();
    while line.trim_ascii().is_empty() && source.read_until(b'\n', &mut line)? > 0 {}
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

/// The lines that a text begins with, but for one that is cut short.
fn first_lines(text: &Text) -> io::Result<String> {
    let (source, _) = open(text)?;
    let mut sample = Vec::new();
    source.take(SAMPLE).read_to_end(&mut sample)?;
    let end = memchr::memrchr(b'\n', &sample);
    if let (Some(end), SAMPLE) = (end, sample.len() as u64) {
        sample.truncate(end);
    }
    Ok(String::from_utf8_lossy(&sample).into_owned())
}

/// Refuses to take rows in the order of a file whose first ones have times in a column without a role.
pub(super) fn check_order(text: &Text, schema: &Schema) -> Result<()> {
    if schema.time.is_some() || schema.in_file_order {
        return Ok(());
    }
    let path = text.name();
    let sample = first_lines(text).map_err(Error::io("read", path))?;
    let mut rows = fields_of(&sample, schema);
    let header = schema.header && !rows.is_empty();
    let header = header.then(|| rows.remove(0).into_iter().map(str::to_owned));
    let header: Option<Vec<String>> = header.map(Iterator::collect);
    // What is wrong with the columns themselves is said by whoever reads them.
    if Layout::new(schema, header.clone(), path).is_err() {
        return Ok(());
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let unnamed = || (0..columns).map(|place| format!("column {place}"));
    let names = header.unwrap_or_else(|| unnamed().collect());
    let is_time = |field: &str| (field.parse()).map_or_else(|_| date(field).is_some(), has_unit);
    let holds_times = |name: &str| {
        let column = names.iter().position(|of| of == name).unwrap_or(columns);
        let fields = rows.iter().filter_map(|row| row.get(column));
        let (times, others): (Vec<&str>, Vec<&str>) = fields
            .filter(|field| !field.is_empty())
            .partition(|field| is_time(field));
        times.len() > others.len()
    };
    columns::check_order(path, schema, &names, holds_times)
}

/// The fields of lines that are not blank, as if quotes meant nothing.
fn fields_of<'t>(text: &'t str, schema: &Schema) -> Vec<Vec<&'t str>> {
    let blanks = schema.delimiter == " ";
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.filter(|line| !blanks || !is_remark(line.as_bytes()));
    let fields = |line: &'t str| -> Vec<&'t str> {
        if blanks {
            line.split_ascii_whitespace().collect()
        } else {
            line.split(&schema.delimiter).map(bare).collect()
        }
    };
    lines.map(fields).collect()
}

/// How many words most of the first lines have, so that a row with one too many or too few doesn't
/// decide for the others.
pub(super) fn usual_columns(text: &Text, header: bool) -> io::Result<Option<usize>> {
    let sample = first_lines(text)?;
    let lines = sample.split('\n').map(str::as_bytes);
    let words = |line: &[u8]| {
        let words = line.split(u8::is_ascii_whitespace);
        words.filter(|word| !word.is_empty()).count()
    };
    let rows = lines.filter(|line| !is_remark(line) && pieces(line) == 1);
    let mut counts = BTreeMap::new();
    for count in rows.map(words).skip(usize::from(header)) {
        *counts.entry(count).or_insert(0usize) += 1;
    }
    let most = counts.into_iter().max_by_key(|&(_, lines)| lines);
    Ok(most.map(|(count, _)| count))
}
