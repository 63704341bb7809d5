//! Lines of text and their fields.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::ops::Range;

/// The delimiter that stands for any number of blanks and tabs.
pub(super) const BLANKS: &str = " ";

/// The line, with its end, in which a byte lies, from that byte on.
pub(super) fn line_at(text: &[u8], at: usize) -> &[u8] {
    let rest = text.get(at..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    rest.get(..end).unwrap_or_default()
}

/// True if a line of a whitespace-separated file is a comment line.
pub(super) fn is_remark(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'%' | b'#'))
}

/// The number of lines, without blank ones, that a line is to programs for which a carriage return
/// ends one.
pub(super) fn pieces(line: &[u8]) -> usize {
    let pieces = line.split(|&byte| byte == b'\r');
    pieces
        .filter(|piece| !piece.trim_ascii().is_empty())
        .count()
}

/// The first line without its end, whose fields are `fields` then, and its length with it.
pub(super) fn first_line<'t>(
    text: &'t [u8],
    delimiter: &[u8],
    fields: &mut Vec<Range<usize>>,
) -> (&'t [u8], usize) {
    if delimiter == BLANKS.as_bytes() {
        let line = line_at(text, 0);
        words(line, fields);
        return (line, line.len());
    }
    let (line, rest) = split_line(text, delimiter, fields);
    (line, text.len() - rest.len())
}

/// The places of a line's words.
fn words(line: &[u8], words: &mut Vec<Range<usize>>) {
    words.clear();
    let mut start = 0;
    for word in line.split(u8::is_ascii_whitespace) {
        let end = start + word.len();
        if !word.is_empty() {
            words.push(start..end);
        }
        start = end + 1;
    }
}

/// The first line without its end and the places of its fields, and what comes after it.
#[expect(
    clippy::indexing_slicing,
    reason = "what memchr finds lies in the text, and a delimiter has a first byte"
)]
fn split_line<'t>(
    text: &'t [u8],
    delimiter: &[u8],
    fields: &mut Vec<Range<usize>>,
) -> (&'t [u8], &'t [u8]) {
    fields.clear();
    let mut start = 0;
    for place in memchr::memchr2_iter(delimiter[0], b'\n', text) {
        if text[place] == b'\n' {
            let line = without_end(&text[..=place]);
            fields.push(start..line.len().max(start));
            return (line, &text[place + 1..]);
        }
        if place >= start && text[place..].starts_with(delimiter) {
            fields.push(start..place);
            start = place + delimiter.len();
        }
    }
    fields.push(start..text.len());
    (text, &[])
}

/// A line's field, which is empty where it has none.
pub(super) fn field<'t>(line: &'t [u8], fields: &[Range<usize>], column: usize) -> &'t [u8] {
    let range = fields.get(column).cloned().unwrap_or_default();
    line.get(range).unwrap_or_default()
}

/// A line without its end.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
