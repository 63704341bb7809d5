//! Text by lines, of which some are looked at before they are taken.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io::{self, BufRead};

use memchr::{memchr, memchr_iter};

/// Text by lines, of which more may be looked at than are taken.
pub(super) struct Lines<R> {
    pub(super) source: R,
    /// Whole lines; those before `start` are taken.
    pub(super) text: Vec<u8>,
    pub(super) start: usize,
    /// The number of the next line, from 1.
    pub(super) number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads one line more; whether there was one.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        Ok(self.source.read_until(b'\n', &mut self.text)? > 0)
    }

    /// Sees to it that there is a line that is not taken, if there is any.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        Ok(self.start < self.text.len() || self.read()?)
    }

    /// What was read and is not taken.
    pub(super) fn ahead(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// The next line, with its end.
    pub(super) fn line(&self) -> &[u8] {
        line_at(self.ahead(), 0)
    }

    /// Takes whole lines.
    pub(super) fn take(&mut self, bytes: usize) {
        let taken = self.ahead().get(..bytes).unwrap_or_default();
        self.number += memchr_iter(b'\n', taken).count() as u64;
        self.start += bytes;
        // Half of it at least is given up, so that no byte is moved often.
        if 2 * self.start > self.text.len() {
            self.text.drain(..self.start);
            self.start = 0;
        }
    }
}

/// The line, with its end, in which a byte lies, from that byte on.
pub(super) fn line_at(text: &[u8], at: usize) -> &[u8] {
    let rest = text.get(at..).unwrap_or_default();
    let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    rest.get(..end).unwrap_or_default()
}
