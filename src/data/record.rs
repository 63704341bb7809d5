//! Fields that may be quoted.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use memchr::{memchr, memchr_iter, memchr2};

use super::layout::Layout;
use super::lines::line_at;
use super::rows::RETURNS;
use crate::{Error, ErrorKind};

/// The length that a quoted field may have, so that a quote that is never closed doesn't take all
/// of a large file into memory.
pub(super) const LONGEST: usize = 16 << 20;

/// The fields of one row, without their quotes.
#[derive(Default)]
pub(super) struct Record {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// The place of the quote that opens the first field of several lines.
    pub(super) opens: Option<usize>,
}

/// Why a row has no fields.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    /// Its quote is never closed, or too far from here.
    Unclosed,
    /// After the quote that closes it, at this place, the field goes on.
    GoesOn(usize),
    /// There is a carriage return outside of quotes.
    Return,
    /// The lines that it quotes, up to this place, read as rows of their own.
    Swallows(usize),
}

impl Record {
    /// The number of fields.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn field(&self, column: usize) -> &[u8] {
        let before = column
            .checked_sub(1)
            .and_then(|column| self.ends.get(column));
        let start = before.copied().unwrap_or(0);
        let end = self.ends.get(column).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Takes the row apart that a text begins with: its length, or which byte of it is at fault.
    pub(super) fn read(
        &mut self,
        text: &[u8],
        delimiter: u8,
        layout: Option<&Layout>,
    ) -> Result<usize, (usize, Fault)> {
        self.text.clear();
        self.ends.clear();
        self.opens = None;
        let mut at = 0;
        loop {
            let opens = at;
            let rest = text.get(at..).unwrap_or_default();
            if rest.first() == Some(&b'"') {
                at = self.quoted_field(text, at).ok_or((at, Fault::Unclosed))?;
            } else {
                let end = memchr2(delimiter, b'\n', rest).unwrap_or(rest.len());
                let mut field = rest.get(..end).unwrap_or_default();
                if rest.get(end) != Some(&delimiter) {
                    field = field.trim_ascii_end();
                }
                if memchr(b'\r', field).is_some() {
                    let in_text = layout.is_some_and(|layout| {
                        !layout.has_role(self.len())
                            && !layout.returns_end_rows(line_at(rest, 0), &[delimiter])
                    });
                    if !in_text {
                        return Err((at, Fault::Return));
                    }
                }
                self.text.extend_from_slice(field);
                at += end;
            }
            self.ends.push(self.text.len());
            let rest = text.get(at..).unwrap_or_default();
            // Some programs end lines by several carriage returns and a line feed.
            let returns = rest.iter().take_while(|&&byte| byte == b'\r').count();
            match rest.get(returns..).unwrap_or_default() {
                [b'\n', ..] => return Ok(at + returns + 1),
                [] => return Ok(text.len()),
                [next, ..] if *next == delimiter && returns == 0 => at += 1,
                _ => return Err((opens, Fault::GoesOn(at))),
            }
        }
    }

    /// Adds the field that a quote at `opens` begins, and gives the place after it and the blanks
    /// that follow; `None` where it has no end.
    fn quoted_field(&mut self, text: &[u8], opens: usize) -> Option<usize> {
        let mut at = opens + 1;
        let before = self.text.len();
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let quote = memchr(b'"', rest)?;
            self.text
                .extend_from_slice(rest.get(..quote).unwrap_or_default());
            at += quote + 1;
            if at - opens > LONGEST {
                return None;
            }
            if text.get(at) != Some(&b'"') {
                break;
            }
            self.text.push(b'"');
            at += 1;
        }
        let field = self.text.get(before..).unwrap_or_default();
        if self.opens.is_none() && memchr(b'\n', field).is_some() {
            self.opens = Some(opens);
        }
        let rest = text.get(at..).unwrap_or_default();
        let blanks = rest.iter().take_while(|&&byte| byte == b' ').count();
        Some(at + blanks)
    }
}

impl Fault {
    /// The error of a fault at a byte of a text, whose first line has this number.
    pub(super) fn error(self, text: &[u8], at: usize, first: u64, path: &Path) -> Error {
        let number = |at: usize| {
            let before = text.get(..at).unwrap_or_default();
            first + memchr_iter(b'\n', before).count() as u64
        };
        let reason = match self {
            Self::Unclosed => {
                "a quote opens here that is never closed, or not within 16 MiB; close it, or read the file \
                 with `quotes=no` if quotes mean nothing in it"
                    .to_owned()
            }
            Self::GoesOn(end) => format!(
                "a quote opens here, and the field goes on after the quote that closes it (line {}); write \
                 quotes inside of a field twice, or read the file with `quotes=no` if they mean nothing in it",
                number(end)
            ),
            Self::Return => RETURNS.to_owned(),
            Self::Swallows(end) => format!(
                "a quote opens here that is closed in line {}, and the lines up to there read as rows of \
                 their own; say `quotes=yes` if they are one field, or `quotes=no` if quotes mean nothing",
                number(end)
            ),
        };
        Error::from(ErrorKind::Malformed {
            path: path.to_owned(),
            line: number(at),
            reason,
        })
    }
}
