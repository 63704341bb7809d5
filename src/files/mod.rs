//! Files and folders that are written whole or not at all, and that are nobody else's.
//!
//! Whatever is written is written aside, under a name that begins with a point and ends in
//! `.writing`, and renamed. A writer holds a lock on what it writes aside for as long as it lives,
//! so that the next writer of the same name can tell what a killed one left behind, and removes it.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, ErrorKind, Result};

mod aside;
pub(crate) mod mapped;
pub(crate) mod output_folder;

use aside::{ASIDE, aside_prefix, lock};
pub(crate) use aside::{FolderLock, is_aside, sweep};

use output_folder::is_in_output_folder;

/// Writes a file aside and renames it, so that a crash leaves the old one or the new one.
pub(crate) fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    write_file_with(path, |file| file.write_all(contents))
}

/// The same for contents that are written bit by bit.
pub(crate) fn write_file_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    let mut file = aside(path)?;
    let written = write(file.as_file_mut()).and_then(|()| file.as_file().sync_all());
    written.map_err(Error::io("write", path))?;
    persist(file, path)
}

/// The same for a file whose place may be taken: what is there is only replaced where it is ours.
///
/// # Errors
/// As [`check_replaceable`], and then nothing is written.
pub(crate) fn replace_file(
    path: &Path,
    is_ours: impl FnOnce(&mut File) -> bool,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    check_replaceable(path, is_ours)?;
    write_file_with(path, write)
}

/// Refuses what is there and is not ours: all that an output folder holds is, what is empty, and
/// what `is_ours` knows again.
///
/// # Errors
/// [`ErrorKind::NotOurs`] for anything else.
pub(crate) fn check_replaceable(
    path: &Path,
    is_ours: impl FnOnce(&mut File) -> bool,
) -> Result<()> {
    let target = followed(path)?;
    let there = match fs::metadata(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there.map_err(Error::io("look at", path))?,
    };
    let known = || -> Result<bool> {
        let mut file = File::open(&target).map_err(Error::io("read", path))?;
        Ok(there.len() == 0 || is_in_output_folder(&target) || is_ours(&mut file))
    };
    if there.is_file() && known()? {
        return Ok(());
    }
    Err(not_ours(parent(path), path.file_name().unwrap_or_default()))
}

/// Whether a file begins so, for [`replace_file`].
pub(crate) fn begins_with(start: &[u8]) -> impl FnOnce(&mut File) -> bool + '_ {
    move |file| {
        let mut found = vec![0; start.len()];
        file.read_exact(&mut found).is_ok() && found == start
    }
}

/// Where a path leads. What is written to a link goes to the file that it names, and the link
/// stays.
fn followed(path: &Path) -> Result<PathBuf> {
    /// As many links as systems follow.
    const LINKS: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = parent(&target).join(next),
            // It is no link, or nothing yet.
            Err(_) => return Ok(target),
        }
    }
    let error = std::io::Error::other("its links lead nowhere");
    Err(Error::io("write", path)(error))
}

/// Renames a file that was written aside and synced.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    let path = followed(path)?;
    file.persist(&path)
        .map_err(|error| Error::io("write", &path)(error.error))?;
    sync_folder(parent(&path))
}

/// An empty file beside `path`, or beside what it links to, to be filled and then renamed, or
/// dropped and then gone.
pub(crate) fn aside(path: &Path) -> Result<NamedTempFile> {
    let path = &followed(path)?;
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        // A device or a pipe, in whose place a file would be in everybody's way.
        let error = std::io::Error::other("it is no file");
        return Err(Error::io("write", path)(error));
    }
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    sweep(folder, Some(path));
    let prefix = aside_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(ASIDE);
    // Temporary files are for their owner alone; this one is to be like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder
        .tempfile_in(folder)
        .map_err(Error::io("write", path))?;
    lock(file.as_file(), path)?;
    Ok(file)
}

/// Writes a folder that is not there yet, or is empty, aside and renames it: it is there whole or
/// not at all.
pub(crate) fn write_new_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = &followed(path)?;
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    if let Some(entry) = entries(path)?.first() {
        return Err(not_ours(path, entry));
    }
    sweep(folder, Some(path));
    let aside = tempfile::Builder::new()
        .prefix(&aside_prefix(path))
        .suffix(ASIDE)
        .tempdir_in(folder)
        .map_err(Error::io("create a folder in", folder))?;
    let _alive = FolderLock::acquire(aside.path())?;
    fill(aside.path())?;
    sync_folder(aside.path())?;
    // Not everywhere is an empty folder replaced by renaming; one that was filled meanwhile stays.
    let _ = fs::remove_dir(path);
    fs::rename(aside.path(), path).map_err(Error::io("write", path))?;
    let _ = aside.keep();
    sync_folder(folder)
}

/// Removes a folder that holds nothing but files of these names, at one stroke.
///
/// # Errors
/// [`ErrorKind::NotOurs`] when it holds anything else, and then all of it stays.
pub(crate) fn remove_folder(path: &Path, ours: impl Fn(&OsStr) -> bool) -> Result<()> {
    check_holds(path, ours)?;
    let aside = path.with_file_name(format!("{}removed{ASIDE}", aside_prefix(path)));
    fs::rename(path, &aside).map_err(Error::io("remove", path))?;
    fs::remove_dir_all(&aside).map_err(Error::io("remove", path))
}

/// Refuses a folder that holds anything but files of our names and what killed writers of ours
/// left.
pub(crate) fn check_holds(path: &Path, ours: impl Fn(&OsStr) -> bool) -> Result<()> {
    for entry in entries(path)? {
        let ours = ours(&entry) || is_aside(&entry);
        if !ours || (!is_aside(&entry) && path.join(&entry).is_dir()) {
            return Err(not_ours(path, &entry));
        }
    }
    Ok(())
}

pub(crate) fn not_ours(path: &Path, entry: &OsStr) -> Error {
    Error::from(ErrorKind::NotOurs {
        path: path.to_owned(),
        entry: entry.to_owned().into(),
    })
}

/// The names in a folder, in order; none where there is no folder.
pub(crate) fn entries(path: &Path) -> Result<Vec<std::ffi::OsString>> {
    let read = Error::io("read the folder", path);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(read(error)),
    };
    let names: std::io::Result<Vec<_>> = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect();
    let mut names = names.map_err(read)?;
    names.sort();
    Ok(names)
}

/// Tells the disk to remember the names in a folder.
fn sync_folder(folder: &Path) -> Result<()> {
    // Elsewhere folders can't be opened, and need not be synced.
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        match synced {
            // Some file systems have no such call for folders.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            synced => synced.map_err(Error::io("write the folder", folder))?,
        }
    }
    Ok(())
}

/// Reads a file whole.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io("read", path))
}

/// The folder that a path is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::output_folder::OutputFolder;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = entries(folder).unwrap().into_iter();
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run");
        let failed = write_new_folder(&path, |folder| {
            write_file(&folder.join("a"), b"new")?;
            Err(Error::invalid("test", 1, "fails half-way"))
        });
        assert!(failed.is_err());
        assert!(names(home.path()).is_empty());
        let file = home.path().join("a");
        write_file(&file, b"old").unwrap();
        let failed = write_file_with(&file, |file| {
            file.write_all(b"new")?;
            Err(std::io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!(read_file(&file).unwrap(), b"old");
        assert_eq!(names(home.path()), ["a"]);
    }

    #[test]
    fn what_is_not_ours_is_neither_replaced_nor_removed() {
        let home = tempfile::tempdir().unwrap();
        let keep = home.path().join("keep");
        fs::create_dir(&keep).unwrap();
        fs::write(keep.join("thesis.txt"), "x").unwrap();
        for refused in [
            write_new_folder(&keep, |_| Ok(())),
            remove_folder(&keep, |name| name == "state.json"),
            OutputFolder::open(&keep, "test").map(drop),
        ] {
            assert!(
                matches!(refused.as_ref().map_err(Error::kind), Err(ErrorKind::NotOurs { entry, .. }) if entry == Path::new("thesis.txt")),
                "{refused:?}"
            );
        }
        // A file where a folder is to be.
        let file = keep.join("thesis.txt");
        assert!(matches!(
            write_new_folder(&file, |_| Ok(()))
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Io { .. })
        ));
        assert!(matches!(
            OutputFolder::open(&file, "test")
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Io { .. })
        ));
        assert_eq!(fs::read(&file).unwrap(), b"x");
        assert_eq!(names(&keep), ["thesis.txt"]);
    }

    #[test]
    fn only_files_of_ours_are_replaced_and_links_stay() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let replace = |path: &Path| {
            replace_file(path, begins_with(b"mark"), |file| file.write_all(b"mark 2"))
        };
        for (name, contents) in [("new", None), ("old", Some("mark 1")), ("empty", Some(""))] {
            if let Some(contents) = contents {
                fs::write(path(name), contents).unwrap();
            }
            replace(&path(name)).unwrap();
            assert_eq!(fs::read(path(name)).unwrap(), b"mark 2", "{name}");
        }
        fs::write(path("mine.csv"), "mar").unwrap();
        fs::create_dir(path("folder")).unwrap();
        for refused in ["mine.csv", "folder"] {
            let error = replace(&path(refused)).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::NotOurs { entry, .. } if entry == Path::new(refused)),
                "{error}"
            );
        }
        assert_eq!(fs::read(path("mine.csv")).unwrap(), b"mar");
        // All that an output folder holds is ours.
        let folder = OutputFolder::open(path("out"), "test").unwrap();
        folder.write("table.csv", "a").unwrap();
        replace(&folder.join("table.csv")).unwrap();
        assert_eq!(fs::read(folder.join("table.csv")).unwrap(), b"mark 2");
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            // To a file elsewhere, by way of another link; to nothing yet; and round and round.
            fs::create_dir(path("elsewhere")).unwrap();
            fs::write(path("elsewhere/file"), "mark 0").unwrap();
            symlink("elsewhere/file", path("first")).unwrap();
            symlink("first", path("second")).unwrap();
            symlink("elsewhere/later", path("third")).unwrap();
            for (link, target) in [("second", "file"), ("third", "later")] {
                replace(&path(link)).unwrap();
                write_file(&path(link), b"mark 3").unwrap();
                assert!(path(link).is_symlink());
                let written = fs::read(path("elsewhere").join(target)).unwrap();
                assert_eq!(written, b"mark 3");
            }
            symlink("mine.csv", path("fourth")).unwrap();
            assert!(matches!(
                replace(&path("fourth")).as_ref().map_err(Error::kind),
                Err(ErrorKind::NotOurs { .. })
            ));
            symlink("round", path("round")).unwrap();
            assert!(matches!(
                write_file(&path("round"), b"x")
                    .as_ref()
                    .map_err(Error::kind),
                Err(ErrorKind::Io { .. })
            ));
            let device = write_file(Path::new("/dev/null"), b"x");
            assert!(
                matches!(
                    device.as_ref().map_err(Error::kind),
                    Err(ErrorKind::Io { .. })
                ),
                "{device:?}"
            );
            assert_eq!(names(&path("elsewhere")), ["file", "later"]);
        }
    }

    #[test]
    fn what_killed_writers_left_is_swept_and_what_living_ones_write_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path(".a.x1.writing"), "dead").unwrap();
        fs::create_dir(path(".a.x2.writing")).unwrap();
        fs::write(path(".a.x2.writing/part"), "dead").unwrap();
        fs::write(path(".b.x3.writing"), "of another file").unwrap();
        let living = File::create(path(".a.x4.writing")).unwrap();
        living.try_lock().unwrap();
        write_file(&path("a"), b"new").unwrap();
        assert_eq!(names(home.path()), [".a.x4.writing", ".b.x3.writing", "a"]);
        drop(living);
        sweep(home.path(), None);
        assert_eq!(names(home.path()), ["a"]);
    }
}
