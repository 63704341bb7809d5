//! The header of a text: the names of its columns.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io;
use std::path::Path;

use memchr::memchr;

use super::blocks::Blocks;
use super::lines::{field, first_line, is_remark, line_at, pieces};
use super::record::{Fault, LONGEST, Record};
use super::rows::RETURNS;
use crate::{Error, ErrorKind, Result};

/// The first block, from the first line on that says something, and how many lines come before
/// that: blank ones, and remarks where there are any.
pub(super) fn first_block(
    blocks: &mut Blocks<'_>,
    remarks: bool,
) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut lines = 0;
    while let Some(mut text) = blocks.next_one()? {
        let mut at = 0;
        while at < text.len() {
            let line = line_at(&text, at);
            let says_nothing = line.trim_ascii().is_empty() || (remarks && is_remark(line));
            if !says_nothing {
                text.drain(..at);
                return Ok(Some((text, lines)));
            }
            at += line.len();
            lines += 1;
        }
    }
    Ok(None)
}

/// The names of the columns in the header that a text begins with, which is line `number`, and its
/// length. Its fields may be quoted where there are `quotes`.
pub(super) fn header(
    text: &mut Vec<u8>,
    blocks: &mut Blocks<'_>,
    number: u64,
    (delimiter, quotes): (&str, bool),
    path: &Path,
) -> Result<(Vec<String>, usize)> {
    let delimiter = delimiter.as_bytes();
    let name = |name: &[u8]| String::from_utf8_lossy(name).trim().to_owned();
    let is_quoted = quotes && memchr(b'"', line_at(text, 0)).is_some();
    if let (&[delimiter], true) = (delimiter, is_quoted) {
        let mut record = Record::default();
        loop {
            let (at, fault) = match record.read(text, delimiter, None) {
                Ok(length) => {
                    let names = (0..record.len()).map(|column| name(record.field(column)));
                    return Ok((names.collect(), length));
                }
                Err(fault) => fault,
            };
            let more = match fault {
                Fault::Unclosed if text.len() - at <= LONGEST => blocks.next_one(),
                _ => Ok(None),
            };
            match more.map_err(Error::io("read", path))? {
                Some(more) => text.extend(more),
                None => return Err(fault.error(text, at, number, path)),
            }
        }
    }
    let line = line_at(text, 0);
    if pieces(line) > 1 {
        return Err(ErrorKind::Malformed {
            path: path.to_owned(),
            line: number,
            reason: RETURNS.to_owned(),
        }
        .into());
    }
    let mut fields = Vec::new();
    let (line, length) = first_line(line, delimiter, &mut fields);
    let names = (0..fields.len()).map(|column| name(field(line, &fields, column)));
    Ok((names.collect(), length))
}
