//! Files and folders that are written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file aside and renames it, so that a crash leaves the old one or the new one.
pub(crate) fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    write_file_with(path, |file| file.write_all(contents))
}

/// The same for contents that are written bit by bit.
pub(crate) fn write_file_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut builder = tempfile::Builder::new();
    // Temporary files are for their owner alone; this one is to be like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder
        .tempfile_in(folder)
        .map_err(Error::io("write", path))?;
    let written = write(file.as_file_mut()).and_then(|()| file.as_file().sync_all());
    written.map_err(Error::io("write", path))?;
    file.persist(path)
        .map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

/// Writes a folder aside and renames it, so that a crash leaves the old one or the new one whole.
///
/// A folder can't be renamed over another. The old one is moved to [`previous`] for the moment in
/// between; [`readable`] finds it there should the moment be the last.
pub(crate) fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let aside = tempfile::Builder::new()
        .prefix(".writing-")
        .tempdir_in(folder)
        .map_err(Error::io("create a folder in", folder))?;
    fill(aside.path())?;
    let previous = previous(path);
    if path.exists() {
        if previous.exists() {
            fs::remove_dir_all(&previous).map_err(Error::io("remove", &previous))?;
        }
        fs::rename(path, &previous).map_err(Error::io("move", path))?;
    }
    let aside = aside.keep();
    if let Err(error) = fs::rename(&aside, path) {
        // Best effort: what can't be put back is still found by `readable`.
        let _ = fs::rename(&previous, path);
        let _ = fs::remove_dir_all(&aside);
        return Err(Error::io("write", path)(error));
    }
    if previous.exists() {
        fs::remove_dir_all(&previous).map_err(Error::io("remove", &previous))?;
    }
    Ok(())
}

/// Where a folder's old contents are while it is replaced.
fn previous(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.previous"))
}

/// The folder to read: `path`, or its old contents where a crash hit between two renames.
pub(crate) fn readable(path: &Path) -> PathBuf {
    let previous = previous(path);
    if !path.exists() && previous.exists() {
        previous
    } else {
        path.to_owned()
    }
}

/// Reads a file whole.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io("read", path))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_folder_and_no_rest() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        write_folder(&run, |folder| write_file(&folder.join("a"), b"old")).unwrap();
        let failed = write_folder(&run, |folder| {
            write_file(&folder.join("a"), b"new")?;
            Err(Error::invalid("test", 1, "fails half-way"))
        });
        assert!(failed.is_err());
        assert_eq!(read_file(&run.join("a")).unwrap(), b"old");
        write_folder(&run, |folder| write_file(&folder.join("b"), b"new")).unwrap();
        assert_eq!(names(&run), ["b"]);
        assert_eq!(names(home.path()), ["run"]);
    }

    #[test]
    fn a_crash_between_the_renames_is_survived() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        write_folder(&run, |folder| write_file(&folder.join("a"), b"old")).unwrap();
        fs::rename(&run, previous(&run)).unwrap();
        assert_eq!(read_file(&readable(&run).join("a")).unwrap(), b"old");
        write_folder(&run, |folder| write_file(&folder.join("a"), b"new")).unwrap();
        assert_eq!(read_file(&readable(&run).join("a")).unwrap(), b"new");
        assert_eq!(names(home.path()), ["run"]);
    }
}
