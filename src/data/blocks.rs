//! Text as blocks of whole lines, which all threads read.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use rayon::prelude::*;

/// Bytes that one thread reads and parses at a time.
pub(super) const BLOCK: usize = 2 << 20;

/// Bytes that every thread opens for itself.
pub(super) trait BlockSource: Sync {
    /// The bytes from the start.
    fn open(&self) -> io::Result<impl Read + Seek>;
}

/// Text as blocks of whole lines.
pub(super) trait LineBlocks: Send {
    /// The first line, which is in no block.
    fn first_line(&mut self) -> io::Result<Vec<u8>>;

    /// How many blocks there are in all, where that is known.
    fn count(&self) -> Option<usize>;

    /// What the next blocks are parsed into, so many of them or what is left.
    fn next<T: Send>(
        &mut self,
        count: usize,
        parse: impl Fn(&[u8]) -> T + Sync,
    ) -> Vec<io::Result<T>>;
}

/// Blocks of a source that every thread reads for itself.
///
/// They are read into memory that stays in cache, rather than mapped: mapped pages would count as this
/// process's memory, and a file that shrinks would end it.
pub(super) struct SeekBlocks<'a, S> {
    source: &'a S,
    /// Where lines begin.
    first: u64,
    /// What is left.
    range: Range<u64>,
    block: usize,
}

impl<'a, S: BlockSource> SeekBlocks<'a, S> {
    /// Blocks of `block` bytes of the bytes `range`.
    pub(super) fn new(source: &'a S, range: Range<u64>, block: usize) -> Self {
        Self {
            source,
            first: range.start,
            range,
            block,
        }
    }
}

impl<S: BlockSource> LineBlocks for SeekBlocks<'_, S> {
    fn first_line(&mut self) -> io::Result<Vec<u8>> {
        let line = first_line(self.source, self.first)?;
        self.first += line.len() as u64;
        self.range.start = self.first;
        Ok(line)
    }

    fn count(&self) -> Option<usize> {
        let bytes = self.range.end.saturating_sub(self.first);
        usize::try_from(bytes.div_ceil(self.block as u64)).ok()
    }

    fn next<T: Send>(
        &mut self,
        count: usize,
        parse: impl Fn(&[u8]) -> T + Sync,
    ) -> Vec<io::Result<T>> {
        let block = self.block as u64;
        let starts: Vec<u64> = (self.range.clone().step_by(self.block))
            .take(count)
            .collect();
        let all = self.range.end;
        self.range.start += block * starts.len() as u64;
        let read = |text: &mut Vec<u8>, &start: &u64| {
            let range = start..all.min(start + block);
            read_lines(self.source, self.first, range, text)?;
            Ok(parse(text))
        };
        starts.par_iter().map_init(Vec::new, read).collect()
    }
}

/// Blocks of what can be read from its start alone, such as compressed text: the next ones are read while some
/// are parsed.
pub(super) struct Stream<R> {
    source: R,
    block: usize,
    /// The beginning of a line, whose end has not been read.
    begun: Vec<u8>,
    ahead: Vec<io::Result<Vec<u8>>>,
}

impl<R: BufRead> Stream<R> {
    /// Blocks of about `block` bytes.
    pub(super) fn new(source: R, block: usize) -> Self {
        Self {
            source,
            block,
            begun: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// Up to so many blocks, of which an error is the last.
    fn read(&mut self, count: usize) -> Vec<io::Result<Vec<u8>>> {
        let blocks = std::iter::from_fn(|| self.read_block().transpose());
        let mut failed = false;
        let until_error =
            blocks.take_while(|block| !std::mem::replace(&mut failed, block.is_err()));
        until_error.take(count).collect()
    }

    /// The next block; `None` at the end.
    fn read_block(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut text = std::mem::take(&mut self.begun);
        let mut part = self.source.by_ref().take(self.block as u64);
        part.read_to_end(&mut text)?;
        if part.limit() == 0 {
            match memchr::memrchr(b'\n', &text) {
                Some(end) => self.begun = text.split_off(end + 1),
                None => drop(self.source.read_until(b'\n', &mut text)?),
            }
        }
        Ok((!text.is_empty()).then_some(text))
    }
}

impl<R: BufRead + Send> LineBlocks for Stream<R> {
    fn first_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.source.read_until(b'\n', &mut line)?;
        Ok(line)
    }

    fn count(&self) -> Option<usize> {
        None
    }

    fn next<T: Send>(
        &mut self,
        count: usize,
        parse: impl Fn(&[u8]) -> T + Sync,
    ) -> Vec<io::Result<T>> {
        let mut texts = std::mem::take(&mut self.ahead);
        if texts.is_empty() {
            texts = self.read(count);
        }
        let ended = texts.iter().any(Result::is_err);
        let parse = || {
            let texts = texts.into_par_iter();
            texts.map(|text| text.map(|text| parse(&text))).collect()
        };
        let read = || {
            if ended { Vec::new() } else { self.read(count) }
        };
        let (parsed, ahead) = rayon::join(parse, read);
        self.ahead = ahead;
        parsed
    }
}

fn first_line(source: &impl BlockSource, start: u64) -> io::Result<Vec<u8>> {
    let mut bytes = source.open()?;
    bytes.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    BufReader::new(bytes).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Reads into `text` the whole lines that begin within `range`; lines begin at `first` and after
/// every line end.
fn read_lines(
    source: &impl BlockSource,
    first: u64,
    range: Range<u64>,
    text: &mut Vec<u8>,
) -> io::Result<()> {
    text.clear();
    let mut bytes = source.open()?;
    // The byte before tells whether a line begins right here.
    let from = range.start - u64::from(range.start > first);
    bytes.seek(SeekFrom::Start(from))?;
    let read = bytes.by_ref().take(range.end - from).read_to_end(text)? as u64;
    if read < range.end - from {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it became shorter while it was read",
        ));
    }
    if range.start > first {
        let Some(end) = memchr::memchr(b'\n', text) else {
            text.clear();
            return Ok(());
        };
        text.drain(..=end);
    }
    if text.is_empty() || text.ends_with(b"\n") {
        return Ok(());
    }
    BufReader::new(bytes).read_until(b'\n', text)?;
    Ok(())
}
