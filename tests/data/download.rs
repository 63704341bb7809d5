//! Fetching MovieLens, from a server on this machine with a real archive.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::TcpListener;
use std::path::Path;

use seqrec::ErrorKind;
use seqrec::data::movielens::{self, Downloader, Edition};
use seqrec::data::{Format, InteractionReader};
use zip::write::SimpleFileOptions;

const RATINGS: &str = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,32,4.0,1260759179\n";
const MOVIES: &str =
    "movieId,title,genres\n31,Dangerous Minds (1995),Drama\n32,\"Monkeys, 12 (1995)\",Sci-Fi\n";

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(contents.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn md5(contents: &[u8]) -> String {
    format!("{:x}", md5::compute(contents))
}

/// Serves files by name until the test process ends; gives the server's address.
fn serve(files: HashMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            // The whole head is read, so that closing does not reset the connection.
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let name = request.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match files.get(name) {
                Some(body) => ("200 OK", body.as_slice()),
                None => ("404 Not Found", &b"no such file"[..]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    address
}

fn with_checksum(archive: Vec<u8>, checksum: String) -> String {
    serve(HashMap::from([
        ("ml-latest-small.zip".to_owned(), archive),
        ("ml-latest-small.zip.md5".to_owned(), checksum.into_bytes()),
    ]))
}

fn whole_archive() -> Vec<u8> {
    archive(&[
        ("ml-latest-small/README.txt", "hello"),
        ("ml-latest-small/movies.csv", MOVIES),
        ("ml-latest-small/ratings.csv", RATINGS),
        ("../outside.txt", "this must not be unpacked"),
    ])
}

fn fetch(address: &str, cache: &Path) -> seqrec::Result<std::path::PathBuf> {
    Downloader::new(address).fetch(Edition::LatestSmall, cache, |_| {})
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn an_archive_is_fetched_checked_unpacked_and_then_found_in_the_cache() {
    let archive = whole_archive();
    let size = archive.len() as u64;
    let checksum = format!("{}  ml-latest-small.zip\n", md5(&archive).to_uppercase());
    let address = with_checksum(archive, checksum);
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join("cache");
    let mut last = None;
    let ratings = Downloader::new(&address)
        .fetch(Edition::LatestSmall, &cache, |come| last = Some(come))
        .unwrap();
    assert_eq!(last, Some(size));
    let reader = InteractionReader::detect(&ratings).unwrap();
    assert_eq!(*reader.format(), Format::RatingsCsv);
    assert_eq!(reader.read().unwrap().len(), 2);
    assert_eq!(
        movielens::movies(&ratings)
            .unwrap()
            .unwrap()
            .title(&32.into()),
        "Monkeys, 12 (1995)"
    );
    assert!(!home.path().join("outside.txt").exists() && !cache.join("outside.txt").exists());
    // With nobody there to ask, the cache answers.
    assert_eq!(fetch("http://127.0.0.1:9", &cache).unwrap(), ratings);
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let address = with_checksum(whole_archive(), md5(b"something else"));
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&address, cache.path()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Checksum { .. }),
        "{error}"
    );
    assert!(is_empty(cache.path()));
}

#[test]
fn a_truncated_or_incomplete_archive_leaves_nothing() {
    let mut truncated = whole_archive();
    truncated.truncate(truncated.len() / 2);
    let incomplete = archive(&[("ml-latest-small/movies.csv", MOVIES)]);
    for bad in [truncated, incomplete, b"not a zip at all".to_vec()] {
        let checksum = md5(&bad);
        let cache = tempfile::tempdir().unwrap();
        let error = fetch(&with_checksum(bad, checksum), cache.path()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Archive { .. }), "{error}");
        assert!(is_empty(cache.path()));
    }
}

#[test]
fn no_server_no_file_and_no_checksum_are_download_errors() {
    let cache = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for address in [
        format!("http://{nobody}"),
        serve(HashMap::new()),
        with_checksum(whole_archive(), "no checksum here".to_owned()),
    ] {
        let error = fetch(&address, cache.path()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Download { .. }),
            "{error}"
        );
    }
    assert!(is_empty(cache.path()));
}
