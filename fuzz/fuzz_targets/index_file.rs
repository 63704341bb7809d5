//! Index files of any contents, with right and wrong checksums: opened or refused, and searched
//! and updated where they are opened.
//!
//! `cargo +nightly fuzz run index_file` from the repository's root.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ndarray::{Array2, ArrayView2};
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, Precision, UpdatableIndex};
use seqrec_fuzz::overwrite_bytes;
use std::sync::LazyLock;

const DIM: usize = 6;
const HEADER: usize = 256;

/// Whole files, which the fuzzer's bytes are laid over.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let vectors = Array2::from_shape_fn((40, DIM), |(row, column)| {
        ((row * 7 + column * 13) % 17) as f32 - 8.0
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let mut files = Vec::new();
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let config = HnswConfig::new().with_m(4).with_precision(precision);
        HnswIndex::new(vectors.view(), &config)
            .unwrap()
            .save(&path, 1)
            .unwrap();
        files.push(std::fs::read(&path).unwrap());
        FlatIndex::with_precision(vectors.view(), precision)
            .unwrap()
            .save(&path, 1)
            .unwrap();
        files.push(std::fs::read(&path).unwrap());
    }
    files
});

fuzz_target!(|data: &[u8]| {
    let [which, mode, rest @ ..] = data else {
        return;
    };
    let mut file = WHOLE[usize::from(*which) % WHOLE.len()].clone();
    if mode & 1 == 0 {
        file = rest.to_vec();
    } else {
        overwrite_bytes(&mut file, rest);
    }
    if mode & 2 == 0 && file.len() >= HEADER {
        let body = crc32(&file[HEADER..]);
        file[HEADER - 8..HEADER - 4].copy_from_slice(&body.to_le_bytes());
        let header = crc32(&file[..HEADER - 4]);
        file[HEADER - 4..HEADER].copy_from_slice(&header.to_le_bytes());
    }
    let file = {
        use std::io::Write;
        let mut whole = tempfile::NamedTempFile::new().unwrap();
        whole.write_all(&file).unwrap();
        whole
    };
    if let Ok(index) = HnswIndex::open(file.path(), 1) {
        exercise(&index);
    }
    if let Ok(index) = FlatIndex::open(file.path(), 1) {
        exercise(&index);
    }
});

fn exercise(index: &dyn UpdatableIndex) {
    if index.dim() > 64 {
        return;
    }
    let query = vec![0.5; index.dim()];
    let queries = ArrayView2::from_shape((1, query.len()), &query).unwrap();
    let hits = index.search(queries, 5, None).unwrap();
    assert!(hits.items(0).len() <= 5);
    for &item in hits.items(0) {
        index.remove(item).unwrap();
    }
    let _ = index.add(seqrec::data::ItemIndex::new(41), &query);
    index.search(queries, 5, None).unwrap();
}

fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
