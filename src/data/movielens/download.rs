//! Fetching MovieLens archives from GroupLens.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use zip::ZipArchive;

use super::Edition;
use crate::files::{aside, write_new_folder};
use crate::{Error, ErrorKind, Result};

/// Fetches an edition's archive, checks it against the MD5 published beside it, and unpacks its
/// ratings and movies.
///
/// It is fetched by the system's `curl`; connecting times out after ten seconds.
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
    /// `progress` is called with how many bytes have come. Nothing is left in the cache unless all
    /// went well.
    ///
    /// # Errors
    /// [`ErrorKind::Download`] without `curl`, a network or the archive, [`ErrorKind::Checksum`]
    /// when it is not the published one, [`ErrorKind::Archive`] when it can't be unpacked,
    /// [`ErrorKind::NotOurs`] when the edition's folder is there with something else in it, and
    /// [`ErrorKind::Io`] when the cache can't be written.
    pub fn fetch(
        &self,
        edition: Edition,
        cache: impl AsRef<Path>,
        mut progress: impl FnMut(u64),
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
        let mut fetch = Fetch::begin(url)?;
        let mut text = vec![0; 4096];
        let mut come = 0;
        // No more than a page of it is looked at.
        while come < text.len() {
            match fetch.read(&mut text[come..])? {
                0 => break,
                count => come += count,
            }
        }
        if come < text.len() {
            fetch.end()?;
        }
        let text = String::from_utf8_lossy(&text[..come]);
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

/// What is at an address, read while `curl` fetches it. It knows the system's proxies and
/// certificates, and TLS of our own would be thirty packages for one call.
struct Fetch<'a> {
    url: &'a str,
    curl: Child,
}

impl<'a> Fetch<'a> {
    fn begin(url: &'a str) -> Result<Self> {
        let curl = Command::new("curl")
            .args(["--fail", "--silent", "--show-error", "--location"])
            .args(["--connect-timeout", "10", "--max-time", "3600"])
            .args(["--url", url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let what_to_do = "install curl, or fetch and unpack the archive by hand";
                failed(url, format!("curl can't be run ({error}); {what_to_do}"))
            })?;
        Ok(Self { url, curl })
    }

    /// The next bytes, of which there are none at the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let out = self.curl.stdout.as_mut().expect("piped");
        loop {
            match out.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| failed(self.url, error)),
            }
        }
    }

    /// Whether all of it came.
    fn end(mut self) -> Result<()> {
        let mut said = String::new();
        let mut errors = self.curl.stderr.take().expect("piped");
        // What it says beside a failure, where that can be read.
        let _ = errors.read_to_string(&mut said);
        let status = (self.curl.wait()).map_err(|error| failed(self.url, error))?;
        match status.success() {
            true => Ok(()),
            false => Err(failed(self.url, said.trim())),
        }
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        // Of one that has ended there is nothing left to stop.
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// Writes what is at `url` into a file and gives its MD5.
fn download(
    url: &str,
    file: &mut File,
    path: &Path,
    progress: &mut impl FnMut(u64),
) -> Result<String> {
    let mut fetch = Fetch::begin(url)?;
    let mut digest = md5::Context::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut come = 0;
    loop {
        let count = fetch.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        digest.consume(&buffer[..count]);
        file.write_all(&buffer[..count])
            .map_err(Error::io("write", path))?;
        come += count as u64;
        progress(come);
    }
    fetch.end()?;
    Ok(format!("{:x}", digest.finalize()))
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
