//! Names and locks of what is being written aside.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::Path;

use super::entries;
use crate::{ErrorKind, Result};

/// The end of the names of what is written aside.
pub(super) const ASIDE: &str = ".writing";

/// Whether this is the name of something that is written aside.
pub(crate) fn is_aside(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') && name.ends_with(ASIDE)
}

/// The beginning of the names under which a file or folder is written aside.
pub(super) fn aside_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.")
}

/// Removes what writers that are no longer alive left in a folder: of a certain file or folder in
/// it, or of any. What can't be removed is left; it is in nobody's way.
pub(crate) fn sweep(folder: &Path, of: Option<&Path>) {
    let prefix = of.map(aside_prefix).unwrap_or_default();
    for name in entries(folder).unwrap_or_default() {
        if !is_aside(&name) || !name.to_string_lossy().starts_with(&prefix) {
            continue;
        }
        let path = folder.join(name);
        let dead = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if dead && path.is_dir() {
            let _ = fs::remove_dir_all(&path);
        } else if dead {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Locks what is being written; where the file system knows no locks, that is ignored.
pub(super) fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(ErrorKind::InUse {
            path: path.to_owned(),
        }
        .into()),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// A folder that one writer at a time has to itself, for as long as this lives. The lock ends with
/// the process, however that ends. Where folders can't be locked, nothing is.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _folder: Option<File>,
}

impl FolderLock {
    /// # Errors
    /// [`ErrorKind::InUse`] when another writer has the folder.
    pub(crate) fn acquire(path: &Path) -> Result<Self> {
        let folder = File::open(path).ok();
        if let Some(folder) = &folder {
            lock(folder, path)?;
        }
        Ok(Self { _folder: folder })
    }
}
