//! Run folders: versions that are never changed, and one file that names the one that counts.
//!
//! A reader that has resolved a version reads nothing else, so it never sees half of one run and
//! half of another, however often the folder is saved meanwhile.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::damaged;
use crate::files::{
    FolderLock, check_holds, entries, is_aside, not_ours, read_file, remove_folder, sweep,
    write_file, write_new_folder,
};
use crate::{Error, ErrorKind, Result};

/// The version of run folders that this build writes.
pub(super) const RUN_FORMAT_VERSION: u32 = 8;

/// The versions that it reads: settings of models had other names before.
pub(super) const RUN_FORMAT_VERSIONS: RangeInclusive<u32> = RUN_FORMAT_VERSION..=RUN_FORMAT_VERSION;

/// The file that names the version that counts.
const POINTER: &str = "run.json";

/// All files that a version may hold, beside further models and the indexes of channels.
const FILES: [&str; 9] = [
    "model.json",
    "config.json",
    "catalog.json",
    "weights.safetensors",
    "stage.json",
    "sequences.store",
    "segments.json",
    "stage.safetensors",
    // Of stages before version 8.
    "users.json",
];

fn is_ours(name: &OsStr) -> bool {
    FILES.iter().any(|file| name == *file) || is_numbered(name)
}

/// The name of the index of a stage's channel, by the channel's place.
pub(super) fn index_name(channel: usize) -> String {
    format!("channel-{channel}.index")
}

/// Whether a name is that of a channel's index or of a further model's file.
fn is_numbered(name: &OsStr) -> bool {
    const NUMBERED: [(&str, &str); 4] = [
        ("channel-", ".index"),
        ("model-", ".json"),
        ("config-", ".json"),
        ("weights-", ".safetensors"),
    ];
    let Some(name) = name.to_str() else {
        return false;
    };
    let mut numbers = NUMBERED
        .iter()
        .filter_map(|(before, after)| name.strip_prefix(before)?.strip_suffix(after));
    numbers.any(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The files that hold the other files' checksums, and so need some of their own.
const MANIFESTS: [&str; 2] = ["model.json", "stage.json"];

#[derive(Serialize, Deserialize)]
struct Pointer {
    format_version: u32,
    /// The name of the folder with the run's files.
    current: String,
    /// CRC-32 of each manifest that the folder has.
    manifests: BTreeMap<String, u32>,
}

impl Pointer {
    /// A pointer to a version that was written.
    fn to(path: &Path, current: String) -> Result<Self> {
        let mut manifests = BTreeMap::new();
        for name in MANIFESTS {
            let file = path.join(&current).join(name);
            if file.exists() {
                manifests.insert(name.to_owned(), crc32fast::hash(&read_file(&file)?));
            }
        }
        Ok(Self {
            format_version: RUN_FORMAT_VERSION,
            current,
            manifests,
        })
    }

    /// Reads the pointer of a run folder.
    fn read(path: &Path) -> Result<Self> {
        let file = path.join(POINTER);
        if !file.exists() {
            return Err(no_run_folder(path));
        }
        let pointer: Self = read_manifest(&file, RUN_FORMAT_VERSIONS)?;
        // A name with a path in it would lead elsewhere.
        if version_number(OsStr::new(&pointer.current)).is_none() {
            let reason = format!("{:?} is no version's name", pointer.current);
            return Err(damaged(&file, reason));
        }
        Ok(pointer)
    }

    /// The folder of the version, whose manifests are those that were written.
    fn checked(&self, path: &Path) -> Result<PathBuf> {
        let folder = path.join(&self.current);
        for (name, &checksum) in &self.manifests {
            // A later version may hold another, which nothing here looks at.
            if MANIFESTS.contains(&name.as_str()) {
                read_checked(&folder, name, checksum, POINTER)?;
            }
        }
        Ok(folder)
    }
}

/// The error of a path at which no run was saved.
fn no_run_folder(path: &Path) -> Error {
    let reason = if path.is_dir() {
        "it holds no run.json"
    } else if path.exists() {
        "it is a file"
    } else {
        "it does not exist"
    };
    let makers = "`save` of a `Recaller`, a `Run` or a `StagePlan` makes one";
    let cause = io::Error::new(
        io::ErrorKind::NotFound,
        format!("{reason}, so it is no run folder; {makers}"),
    );
    Error::io("open the run", path)(cause)
}

/// What is read before all else, so that a folder of a later version is not taken for a broken one.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u32,
}

/// Writes a new version with what `fill` writes into a folder, and then lets it count.
///
/// Nothing else in the folder is touched: an index file that lies in it stays. The version before
/// stays until the next one, for those who read it.
pub(super) fn save(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    check_ours(path)?;
    std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
    let _lock = FolderLock::acquire(path)?;
    sweep(path, None);
    let before = check_ours(path)?;
    let last = versions(path)?.into_iter().map(|(number, _)| number).max();
    let name = version_name(last.unwrap_or(0) + 1);
    let saved = write_new_folder(&path.join(&name), fill).and_then(|()| {
        let pointer = Pointer::to(path, name.clone())?;
        let json = serde_json::to_vec_pretty(&pointer)
            .map_err(|error| Error::io("write", path)(error.into()))?;
        write_file(&path.join(POINTER), &json)
    });
    if saved.is_err() && entries(path).is_ok_and(|entries| entries.is_empty()) {
        // A folder that was made for nothing.
        let _ = std::fs::remove_dir(path);
    }
    saved?;
    for (_, old) in versions(path)? {
        if old != name && Some(&old) != before.as_ref() {
            // One that holds something of somebody else's stays.
            match remove_folder(&path.join(old), is_ours) {
                Err(error) if !matches!(error.kind(), ErrorKind::NotOurs { .. }) => {
                    return Err(error);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Calls `read` with the folder of the version that counts, and once more with the next one where
/// that was saved meanwhile.
pub(super) fn read<T>(path: &Path, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
    const TRIES: usize = 8;
    let mut pointer = Pointer::read(path)?;
    for _ in 1..TRIES {
        let failed = match pointer.checked(path).and_then(|folder| read(&folder)) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let next = Pointer::read(path)?;
        if next.current == pointer.current {
            return Err(failed);
        }
        pointer = next;
    }
    read(&pointer.checked(path)?)
}

/// Refuses a folder that is neither absent, nor empty, nor a run folder; gives the name of the
/// version that counts, where there is one.
fn check_ours(path: &Path) -> Result<Option<String>> {
    let file = path.join(POINTER);
    if file.exists() {
        let Pointer { current, .. } = read_manifest(&file, RUN_FORMAT_VERSIONS)?;
        return Ok(Some(current));
    }
    for name in entries(path)? {
        // A first save that was killed may have left a version that does not count yet.
        let version =
            version_number(&name).is_some() && check_holds(&path.join(&name), is_ours).is_ok();
        if !version && !is_aside(&name) {
            return Err(not_ours(path, &name));
        }
    }
    Ok(None)
}

/// All versions that are there, with their numbers.
fn versions(path: &Path) -> Result<Vec<(u64, String)>> {
    let names = entries(path)?.into_iter();
    Ok(names
        .filter_map(|name| Some((version_number(&name)?, name.into_string().ok()?)))
        .collect())
}

fn version_name(number: u64) -> String {
    format!("v{number:06}")
}

fn version_number(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix('v')?;
    let plain = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// Reads a manifest of one of some versions; one of a later version is not taken for a broken one.
pub(super) fn read_manifest<T: DeserializeOwned>(
    path: &Path,
    versions: RangeInclusive<u32>,
) -> Result<T> {
    let json = read_file(path)?;
    let VersionOnly { format_version } = parse(&json, path)?;
    if !versions.contains(&format_version) {
        return Err(ErrorKind::FormatVersion {
            path: path.parent().unwrap_or(path).to_owned(),
            found: format_version,
            supported: *versions.end(),
        }
        .into());
    }
    parse(&json, path)
}

/// Reads a file of a folder whose manifest has its checksum.
pub(super) fn read_checked(
    folder: &Path,
    name: &str,
    checksum: u32,
    manifest: &str,
) -> Result<Vec<u8>> {
    let file = folder.join(name);
    let contents = read_file(&file)?;
    if crc32fast::hash(&contents) == checksum {
        return Ok(contents);
    }
    let reason = format!("its checksum is not the one in {manifest}");
    Err(damaged(&file, reason))
}

pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], path: &Path) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| damaged(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = entries(folder).unwrap().into_iter();
        names.map(|name| name.into_string().unwrap()).collect()
    }

    fn write(path: &Path, contents: &[u8]) -> Result<()> {
        save(path, |folder| {
            write_file(&folder.join("model.json"), contents)
        })
    }

    fn contents(path: &Path) -> Vec<u8> {
        read(path, |folder| read_file(&folder.join("model.json"))).unwrap()
    }

    #[test]
    fn versions_follow_one_another_and_what_lies_beside_them_stays() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
            write(&run, text.as_bytes()).unwrap();
            assert_eq!(contents(&run), text.as_bytes());
            if number == 0 {
                fs::write(run.join("items.index"), "mine").unwrap();
                fs::write(run.join("v000001/notes.txt"), "mine").unwrap();
            }
        }
        write(&run, b"four").unwrap();
        // The one before is there for its readers, the first one since it holds what is not ours.
        assert_eq!(
            names(&run),
            ["items.index", "run.json", "v000001", "v000003", "v000004"]
        );
        assert_eq!(fs::read(run.join("items.index")).unwrap(), b"mine");
        assert_eq!(fs::read(run.join("v000001/notes.txt")).unwrap(), b"mine");
    }

    #[test]
    fn what_is_no_run_folder_is_refused_and_left() {
        let home = tempfile::tempdir().unwrap();
        let keep = home.path().join("keep");
        fs::create_dir(&keep).unwrap();
        fs::write(keep.join("thesis.txt"), "x").unwrap();
        assert!(matches!(
            write(&keep, b"run").as_ref().map_err(Error::kind),
            Err(ErrorKind::NotOurs { .. })
        ));
        assert_eq!(names(&keep), ["thesis.txt"]);
        // Somebody's file, and somebody's folder that looks like a version.
        let file = keep.join("thesis.txt");
        assert!(matches!(
            write(&file, b"run").as_ref().map_err(Error::kind),
            Err(ErrorKind::Io { .. })
        ));
        fs::remove_file(&file).unwrap();
        fs::create_dir(keep.join("v000001")).unwrap();
        fs::write(keep.join("v000001/photo.jpg"), "x").unwrap();
        assert!(matches!(
            write(&keep, b"run").as_ref().map_err(Error::kind),
            Err(ErrorKind::NotOurs { .. })
        ));
        assert_eq!(names(&keep.join("v000001")), ["photo.jpg"]);
        // Another's run.json.
        fs::write(keep.join("run.json"), "{\"mine\": true}").unwrap();
        assert!(matches!(
            write(&keep, b"run").as_ref().map_err(Error::kind),
            Err(ErrorKind::Damaged { .. })
        ));
        assert_eq!(
            fs::read(keep.join("run.json")).unwrap(),
            b"{\"mine\": true}"
        );
    }

    #[test]
    fn a_save_that_was_killed_at_any_moment_leaves_the_last_run_and_no_litter() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        // Killed while the first version is filled, and after it was named.
        fs::create_dir_all(run.join(".v000001.abc.writing")).unwrap();
        fs::write(run.join(".v000001.abc.writing/model.json"), "half").unwrap();
        assert!(read(&run, |_| Ok(())).is_err());
        write(&run, b"one").unwrap();
        assert_eq!(names(&run), ["run.json", "v000001"]);
        fs::remove_file(run.join("run.json")).unwrap();
        write(&run, b"two").unwrap();
        assert_eq!(contents(&run), b"two");
        // Killed after the next one was named, but before it counts.
        fs::create_dir(run.join("v000009")).unwrap();
        fs::write(run.join("v000009/model.json"), "never counted").unwrap();
        fs::write(run.join(".run.json.x.writing"), "half").unwrap();
        assert_eq!(contents(&run), b"two");
        write(&run, b"three").unwrap();
        assert_eq!(contents(&run), b"three");
        write(&run, b"four").unwrap();
        assert_eq!(names(&run), ["run.json", "v000010", "v000011"]);
        // A save that fails leaves nothing.
        let failed = save(&home.path().join("new"), |_| {
            Err(Error::invalid("test", 1, "fails"))
        });
        assert!(failed.is_err());
        assert_eq!(names(home.path()), ["run"]);
    }

    #[test]
    fn a_reader_whose_version_goes_reads_the_next() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        write(&run, b"1").unwrap();
        let tries = std::cell::Cell::new(1);
        let read = read(&run, |folder| {
            if tries.get() < 3 {
                tries.set(tries.get() + 1);
                // Saved twice while it is read.
                let text = tries.get().to_string();
                write(&run, text.as_bytes())?;
                write(&run, text.as_bytes())?;
            }
            read_file(&folder.join("model.json"))
        });
        assert_eq!(read.unwrap(), b"3");
        // What is damaged is damaged, and not tried again and again.
        let tries = std::cell::Cell::new(0);
        let failed = super::read(&run, |folder| {
            tries.set(tries.get() + 1);
            Err::<(), _>(damaged(folder, "broken"))
        });
        assert!(failed.is_err() && tries.get() == 1);
        let outside = format!(
            r#"{{"format_version":{RUN_FORMAT_VERSION},"current":"../run","manifests":{{}}}}"#
        );
        fs::write(run.join("run.json"), outside).unwrap();
        assert!(matches!(
            super::read(&run, |_| Ok(())).as_ref().map_err(Error::kind),
            Err(ErrorKind::Damaged { .. })
        ));
    }
}
