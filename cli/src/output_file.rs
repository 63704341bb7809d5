//! One file that a program writes, where nothing else's may be lost.

use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A file that is absent, empty or the program's own: it begins with the program's mark.
pub struct OutputFile {
    path: PathBuf,
    mark: &'static str,
}

impl OutputFile {
    /// Refuses the place of anything else, before any time is spent.
    pub fn new(path: &Path, mark: &'static str) -> Result<Self, Box<dyn Error>> {
        let start = || -> io::Result<Vec<u8>> {
            let mut start = Vec::new();
            let file = File::open(path)?;
            file.take(mark.len() as u64).read_to_end(&mut start)?;
            Ok(start)
        };
        let there = match start() {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        if !there.is_empty() && there != mark.as_bytes() {
            let path = path.display();
            let reason = "is there and was not written by this program; choose another name";
            return Err(format!("{path} {reason}").into());
        }
        Ok(Self {
            path: path.to_owned(),
            mark,
        })
    }

    /// Writes the mark and then the contents.
    pub fn write(&self, contents: &str) -> Result<(), Box<dyn Error>> {
        // Whatever may have been put there meanwhile.
        Self::new(&self.path, self.mark)?;
        let written = std::fs::write(&self.path, [self.mark, contents].concat());
        written.map_err(|error| format!("{}: {error}", self.path.display()).into())
    }
}
