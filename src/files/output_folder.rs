//! Folders into which programs write their results.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FolderLock, entries, is_aside, not_ours, sweep, write_file};
use crate::{Error, Result};

/// The file that tells whose an output folder is.
const OWNER: &str = "seqrec.json";

#[derive(Serialize, Deserialize)]
struct Owner {
    program: String,
}

pub(super) fn is_in_output_folder(path: &Path) -> bool {
    let mut folders = path.ancestors().skip(1);
    folders.any(|folder| folder.join(OWNER).is_file())
}

/// A folder into which a program writes its results, which is its own: absent or empty before, or
/// written by the same program. While it is open no other process has it.
///
/// ```
/// use seqrec::OutputFolder;
///
/// # let home = tempfile::tempdir().unwrap();
/// # let (results, keep) = (home.path().join("results"), home.path().join("keep"));
/// let folder = OutputFolder::open(results, "my experiment")?;
/// folder.write("table.md", "| model |")?;
/// // Nothing else's is overwritten.
/// std::fs::create_dir(&keep).unwrap();
/// std::fs::write(keep.join("thesis.txt"), "x").unwrap();
/// assert!(OutputFolder::open(keep, "my experiment").is_err());
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    _lock: FolderLock,
}

impl OutputFolder {
    /// Opens the folder at `path` for a program of this name, and makes it where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`](crate::ErrorKind::NotOurs) when it holds anything and is not the
    /// program's, [`ErrorKind::InUse`](crate::ErrorKind::InUse) while another process has it, and
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it can't be made or written.
    pub fn open(path: impl Into<PathBuf>, program: &str) -> Result<Self> {
        let path = path.into();
        let owner = path.join(OWNER);
        let is_owned = || {
            let written = fs::read(&owner).ok()?;
            let owner: Owner = serde_json::from_slice(&written).ok()?;
            Some(owner.program == program)
        };
        let owned = is_owned().unwrap_or(false);
        let foreign = entries(&path)?.into_iter().find(|name| !is_aside(name));
        if let Some(entry) = foreign.filter(|_| !owned) {
            return Err(not_ours(&path, &entry));
        }
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        let lock = FolderLock::acquire(&path)?;
        sweep(&path, None);
        if !owned {
            let program = program.to_owned();
            let contents = serde_json::to_vec(&Owner { program })
                .map_err(|error| Error::io("write", &owner)(error.into()))?;
            write_file(&owner, &contents)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file or folder in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, aside and then renamed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a name that leads out of the
    /// folder, and [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be written.
    pub fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<()> {
        let name = name.as_ref();
        if !(name.components()).all(|part| matches!(part, Component::Normal(_))) {
            let reason = "must be the name of a file in the folder";
            return Err(Error::invalid("name", name.display(), reason));
        }
        write_file(&self.join(name), contents.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn an_output_folder_is_one_programs_and_one_process_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("out");
        let first = OutputFolder::open(&path, "one").unwrap();
        first.write("table.md", "x").unwrap();
        for name in ["../table.md", "/table.md"] {
            let refused = first.write(name, "x");
            assert!(
                matches!(
                    refused.as_ref().map_err(Error::kind),
                    Err(ErrorKind::InvalidValue { .. })
                ),
                "{name}"
            );
        }
        assert!(matches!(
            OutputFolder::open(&path, "one")
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::InUse { .. })
        ));
        drop(first);
        assert!(OutputFolder::open(&path, "one").is_ok());
        assert!(matches!(
            OutputFolder::open(&path, "other")
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::NotOurs { .. })
        ));
        assert_eq!(fs::read(path.join("table.md")).unwrap(), b"x");
    }
}
