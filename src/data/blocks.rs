//! Text as blocks of whole lines.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io::{self, Read};

/// Room for bytes that come to a file while it is read.
const SPARE: u64 = 1 << 13;

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
    /// Blocks of about `size` bytes of a source that has so many, where that is known.
    pub(super) fn new(source: Box<dyn Read + Send + 'a>, bytes: Option<u64>, size: usize) -> Self {
        Self {
            source,
            bytes,
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

    /// Takes back the memory of a block.
    pub(super) fn give_back(&mut self, text: Vec<u8>) {
        self.spare.push(text);
    }

    fn read_block(&mut self) -> io::Result<Vec<u8>> {
        let mut text = self.spare.pop().unwrap_or_default();
        let mut filled = self.begun.len();
        loop {
            // A little more than is left shows that nothing comes after it.
            let left = self
                .bytes
                .map(|bytes| bytes.saturating_sub(self.read) + SPARE);
            let left = left.and_then(|left| usize::try_from(left).ok());
            // What the memory held before stays in it until it is read over.
            text.resize(
                filled + left.map_or(self.size, |left| left.min(self.size)),
                0,
            );
            if let Some(start) = text.get_mut(..self.begun.len()) {
                start.copy_from_slice(&self.begun);
            }
            self.begun.clear();
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
