//! Files and other sources of interactions, opened once and looked at.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::Blocks;
use super::compression::Compression;
use crate::{Error, Result};

/// The bytes that a Parquet file begins with.
pub(super) const PARQUET: [u8; 4] = *b"PAR1";

/// The number of bytes at a text's beginning that are looked at to tell its format.
const LOOK: u64 = 64 * 1024;

/// The mark that some programs write before text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A source of interactions that was opened and looked at.
#[derive(Debug, Clone)]
pub(super) enum Opened {
    /// A Parquet file, or a folder of such.
    Parquet,
    Text(Text),
}

impl Opened {
    /// Opens a path; pipes are read into memory.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path)(error);
        if path.is_dir() {
            return Ok(Self::Parquet);
        }
        let mut file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Text::from_reader(path, file).map(Self::Text);
        }
        let mut start = Vec::new();
        let mut look = (&mut file).take(LOOK);
        look.read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(&PARQUET) {
            return Ok(Self::Parquet);
        }
        let file = Arc::new(file);
        Text::new(path, Bytes::File { file, at: 0 }, &start).map(Self::Text)
    }
}

/// Text that can be read any number of times, and is unpacked while it is read.
#[derive(Clone)]
pub(super) struct Text {
    /// The name in errors: the path, without `.gz` or `.zst`.
    name: PathBuf,
    bytes: Bytes,
    packing: Option<Compression>,
    /// The length of its byte order mark.
    mark: u64,
    /// The beginning, after that.
    start: Arc<str>,
    /// True if there is more text than `start`.
    is_cut: bool,
}

/// Without the users' rows that it begins with.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("name", &self.name)
            .field("packing", &self.packing)
            .finish_non_exhaustive()
    }
}

impl Text {
    /// All that a reader gives.
    pub(super) fn from_reader(name: &Path, mut source: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        source
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", name))?;
        let start = bytes.get(..LOOK as usize).unwrap_or(&bytes);
        let memory = Cursor::new(bytes.as_slice().into());
        Self::new(name, Bytes::Memory(memory), start)
    }

    /// The text of bytes that begin so.
    fn new(path: &Path, bytes: Bytes, start: &[u8]) -> Result<Self> {
        let mut text = Self {
            name: path.to_owned(),
            bytes,
            packing: Compression::of(start),
            mark: 0,
            start: Arc::default(),
            is_cut: false,
        };
        let mut unpacked = Vec::new();
        let mut start = start;
        if let Some(packing) = text.packing {
            packing.check_built_in(path)?;
            if (path.extension()).is_some_and(|end| end == packing.extension()) {
                text.name.set_extension("");
            }
            text.open()
                .and_then(|source| source.take(LOOK).read_to_end(&mut unpacked))
                .map_err(Error::io("read", &text.name))?;
            start = &unpacked;
        }
        text.is_cut = start.len() as u64 == LOOK;
        if let Some(after) = start.strip_prefix(BYTE_ORDER_MARK) {
            text.mark = BYTE_ORDER_MARK.len() as u64;
            start = after;
        }
        text.start = String::from_utf8_lossy(start).into();
        Ok(text)
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// The lines that it begins with, but for one that is cut short; one alone is better than none.
    pub(super) fn first_lines(&self) -> &str {
        let whole = match self.start.rfind('\n') {
            Some(end) if self.is_cut => self.start.get(..end),
            _ => None,
        };
        whole.unwrap_or(&self.start)
    }

    /// The first line that says something, without blanks around it; all of it, however long it is.
    pub(super) fn first_line(&self) -> io::Result<String> {
        let block;
        let lines = if self.is_cut_line() {
            block = self.blocks(LOOK as usize)?.next_one()?.unwrap_or_default();
            String::from_utf8_lossy(&block)
        } else {
            self.first_lines().into()
        };
        let said = lines.lines().map(str::trim).find(|line| !line.is_empty());
        Ok(said.unwrap_or_default().to_owned())
    }

    /// True if there is but one whole line at its start, or a part of one.
    pub(super) fn is_cut_line(&self) -> bool {
        self.is_cut && self.start.matches('\n').count() <= 1
    }

    /// The text from its start, as blocks of about so many bytes.
    pub(super) fn blocks(&self, size: usize) -> io::Result<Blocks<'static>> {
        let bytes = match self.packing {
            None => Some(self.bytes.count()?.saturating_sub(self.mark)),
            Some(_) => None,
        };
        Ok(Blocks::new(self.open()?, bytes, size))
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.bytes.clone();
        let mut source = match self.packing {
            None => Box::new(bytes),
            Some(packing) => packing.unpacked(bytes)?,
        };
        io::copy(&mut source.by_ref().take(self.mark), &mut io::sink())?;
        Ok(source)
    }
}

/// Bytes from a place on; clones are read each for itself.
#[derive(Debug, Clone)]
enum Bytes {
    /// A regular file.
    File { file: Arc<File>, at: u64 },
    /// Bytes that can be read only once, in memory.
    Memory(Cursor<Arc<[u8]>>),
}

impl Bytes {
    /// The number of bytes in all.
    fn count(&self) -> io::Result<u64> {
        match self {
            Self::File { file, .. } => file.metadata().map(|file| file.len()),
            Self::Memory(bytes) => Ok(bytes.get_ref().len() as u64),
        }
    }
}

impl Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File { file, at } => {
                let read = read_at(file, into, *at)?;
                *at += read as u64;
                Ok(read)
            }
            Self::Memory(bytes) => bytes.read(into),
        }
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, at)
}

/// Elsewhere a file has one place that is read, so that reads take turns.
#[cfg(not(any(unix, windows)))]
fn read_at(mut file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
    file.read(into)
}

#[cfg(windows)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, at)
}
