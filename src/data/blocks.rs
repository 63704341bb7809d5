//! Text as blocks of whole lines.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io::{self, Read};

/// The number of bytes that are read at a time for the rest of the last line.
const PIECE: usize = 1 << 13;

/// Text as blocks of whole lines, one after another.
///
/// They are read into memory that is used again, rather than mapped: mapped pages would count as
/// this process's memory, and a file that shrinks would end it.
pub(super) struct Blocks<'a> {
    source: Box<dyn Read + Send + 'a>,
    /// The number of bytes in all, where that is known.
    bytes: Option<u64>,
    read: u64,
    size: usize,
    /// The beginning of a line, whose end has not been read.
    begun: Vec<u8>,
    has_ended: bool,
    /// Memory of blocks that were parsed.
    spare: Vec<Vec<u8>>,
}

impl<'a> Blocks<'a> {
    /// Blocks of about `size` bytes of a source that has so many, where that is known; of what
    /// comes to it later only the rest of the last line is read.
    pub(super) fn new(source: Box<dyn Read + Send + 'a>, bytes: Option<u64>, size: usize) -> Self {
        Self {
            source,
            // Some systems say so of files that have bytes.
            bytes: bytes.filter(|&bytes| bytes > 0),
            read: 0,
            size,
            begun: Vec::new(),
            has_ended: false,
            spare: Vec::new(),
        }
    }

    /// The number of bytes in all, where that is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Up to so many blocks, of which an error is the last.
    pub(super) fn next(&mut self, count: usize) -> Vec<io::Result<Vec<u8>>> {
        let blocks = std::iter::from_fn(|| self.next_one().transpose());
        blocks.take(count).collect()
    }

    /// The next block; `None` at the end, and after an error.
    pub(super) fn next_one(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.has_ended {
            return Ok(None);
        }
        let block = self.read_block();
        self.has_ended |= block.is_err();
        block.map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// Takes back the memory of a block, unless it held an uncommonly long line.
    pub(super) fn give_back(&mut self, text: Vec<u8>) {
        if text.capacity() <= 2 * self.size {
            self.spare.push(text);
        }
    }

    fn read_block(&mut self) -> io::Result<Vec<u8>> {
        // What the memory held before stays in it until it is read over.
        let mut text = self.spare.pop().unwrap_or_default();
        let mut filled = self.begun.len();
        if text.len() < filled {
            text.resize(filled, 0);
        }
        if let Some(start) = text.get_mut(..filled) {
            start.copy_from_slice(&self.begun);
        }
        self.begun.clear();
        loop {
            let left = self.bytes.map(|bytes| bytes.saturating_sub(self.read));
            if left == Some(0) {
                text.truncate(filled);
                return self.last_line(text);
            }
            let left = left.and_then(|left| usize::try_from(left).ok());
            let room = left.map_or(self.size, |left| left.min(self.size));
            text.resize(filled + room, 0);
            let end = filled + self.fill(text.get_mut(filled..).unwrap_or_default())?;
            if self.has_ended {
                text.truncate(end);
                return Ok(text);
            }
            let new = text.get(filled..end).unwrap_or_default();
            if let Some(last) = memchr::memrchr(b'\n', new) {
                let whole = filled + last + 1;
                (self.begun).extend_from_slice(text.get(whole..end).unwrap_or_default());
                text.truncate(whole);
                return Ok(text);
            }
            filled = end;
        }
    }

    /// A text that ends where the source was to end, with the rest of the line that it begins:
    /// lines that were written since are not read, as the last of these may not be whole.
    fn last_line(&mut self, mut text: Vec<u8>) -> io::Result<Vec<u8>> {
        while !text.is_empty() && !self.has_ended {
            let filled = text.len();
            text.resize(filled + PIECE, 0);
            let end = filled + self.fill(text.get_mut(filled..).unwrap_or_default())?;
            text.truncate(end);
            let new = text.get(filled..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', new) {
                text.truncate(filled + at + 1);
                break;
            }
        }
        self.has_ended = true;
        Ok(text)
    }

    /// Reads as many bytes as there is room for, or all that are left.
    fn fill(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(left) = room.get_mut(filled..).filter(|left| !left.is_empty()) {
            match self.source.read(left) {
                Ok(0) => {
                    self.has_ended = true;
                    break;
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.read += filled as u64;
        if self.has_ended && self.bytes.is_some_and(|bytes| self.read < bytes) {
            let reason = "it became shorter while it was read";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last line of a file that somebody writes on may be half a row.
    #[test]
    fn of_what_comes_later_only_the_rest_of_a_line_is_read() {
        let text = "1,2\n3,4\n5,6\n7";
        for size in 1..20 {
            let read = |bytes: u64| -> String {
                let mut blocks = Blocks::new(Box::new(text.as_bytes()), Some(bytes), size);
                let blocks = std::iter::from_fn(|| blocks.next_one().unwrap());
                blocks
                    .map(|block| String::from_utf8(block).unwrap())
                    .collect()
            };
            for (bytes, expected) in [(1, 4), (4, 4), (5, 8), (7, 8), (8, 8), (13, 13), (0, 13)] {
                assert_eq!(read(bytes), text[..expected], "{bytes} in blocks of {size}");
            }
        }
    }
}
