//! Fetching MovieLens archives from GroupLens.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};
use zip::ZipArchive;

use super::Edition;
use crate::files::{aside, write_new_folder};
use crate::{Error, ErrorKind, Result};

/// Fetches an edition's archive, checks it against the MD5 published beside it, and unpacks its
/// ratings and movies.
///
/// Connecting is given up after ten seconds.
#[derive(Debug, Clone)]
pub struct Downloader {
    base_url: String,
}

impl Default for Downloader {
    fn default() -> Self {
        Self::new("https://files.grouplens.org/datasets/movielens")
    }
}

impl Downloader {
    /// A downloader from a mirror, which holds `ml-latest-small.zip`, `ml-latest-small.zip.md5`
    /// and so on below `base_url`.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
        }
    }

    /// The file of ratings of an edition in the folder `cache`, fetched if it is not there yet.
    ///
    /// `progress` is called with how many bytes have come and, where it is known, how many there
    /// are. Nothing is left in the cache unless all went well.
    ///
    /// # Errors
    /// [`ErrorKind::Download`] without a network or the archive, [`ErrorKind::Checksum`] when it is
    /// not the published one, [`ErrorKind::Archive`] when it can't be unpacked,
    /// [`ErrorKind::NotOurs`] when the edition's folder is there with something else in it, and
    /// [`ErrorKind::Io`] when the cache can't be written.
    pub fn fetch(
        &self,
        edition: Edition,
        cache: impl AsRef<Path>,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<PathBuf> {
        let cache = cache.as_ref();
        let folder = cache.join(edition.archive());
        let ratings = folder.join(edition.ratings_file());
        if ratings.exists() {
            return Ok(ratings);
        }
        fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
        let url = format!("{}/{}.zip", self.base_url, edition.archive());
        let expected = self.published_checksum(&format!("{url}.md5"))?;

        let mut archive = aside(&cache.join(format!("{}.zip", edition.archive())))?;
        let path = archive.path().to_owned();
        let found = download(&url, archive.as_file_mut(), &path, &mut progress)?;
        if found != expected {
            return Err(ErrorKind::Checksum {
                path,
                expected,
                found,
            }
            .into());
        }
        write_new_folder(&folder, |folder| unpack(&path, edition, folder))?;
        Ok(ratings)
    }

    /// The MD5 that is published beside an archive, in lower-case hexadecimal digits.
    fn published_checksum(&self, url: &str) -> Result<String> {
        let mut text = String::new();
        let mut body = request(url)?;
        let mut limited = body.as_reader().take(4096);
        limited
            .read_to_string(&mut text)
            .map_err(|error| failed(url, error))?;
        let is_checksum =
            |word: &&str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let checksum = text.split_whitespace().find(is_checksum);
        checksum
            .map(str::to_lowercase)
            .ok_or_else(|| failed(url, "it holds no MD5 checksum"))
    }
}

fn failed(url: &str, reason: impl ToString) -> Error {
    Error::from(ErrorKind::Download {
        url: url.to_owned(),
        reason: reason.to_string(),
    })
}

fn request(url: &str) -> Result<ureq::Body> {
    // Resolving and connecting together take at most ten seconds.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(4)))
        .timeout_connect(Some(Duration::from_secs(6)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_recv_body(Some(Duration::from_secs(3600)))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|error| failed(url, error))?;
    Ok(response.into_body())
}

/// Writes what is at `url` into a file and gives its MD5.
fn download(
    url: &str,
    file: &mut File,
    path: &Path,
    progress: &mut impl FnMut(u64, Option<u64>),
) -> Result<String> {
    let mut body = request(url)?;
    let length = body.content_length();
    let mut reader = body.as_reader();
    let mut digest = Md5::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut come = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(url, error)),
        };
        digest.update(&buffer[..count]);
        file.write_all(&buffer[..count])
            .map_err(Error::io("write", path))?;
        come += count as u64;
        progress(come, length);
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Unpacks an edition's two files, wherever in the archive they are, and nothing else.
fn unpack(path: &Path, edition: Edition, folder: &Path) -> Result<()> {
    let unusable = |reason: String| {
        Error::from(ErrorKind::Archive {
            path: path.to_owned(),
            reason,
        })
    };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut archive = ZipArchive::new(file).map_err(|error| unusable(error.to_string()))?;
    for name in [edition.ratings_file(), edition.movies_file()] {
        let names = archive.file_names().map(str::to_owned);
        let entry = { names }.find(|entry| entry.rsplit('/').next() == Some(name));
        let entry = entry.ok_or_else(|| unusable(format!("it holds no {name}")))?;
        let mut source = archive
            .by_name(&entry)
            .map_err(|error| unusable(error.to_string()))?;
        let target = folder.join(name);
        let mut out = File::create(&target).map_err(Error::io("write", &target))?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let count = source
                .read(&mut buffer)
                .map_err(|error| unusable(error.to_string()))?;
            if count == 0 {
                break;
            }
            out.write_all(&buffer[..count])
                .map_err(Error::io("write", &target))?;
        }
        out.sync_all().map_err(Error::io("write", &target))?;
    }
    Ok(())
}
