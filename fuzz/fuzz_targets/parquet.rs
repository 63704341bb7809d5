//! Parquet files of any contents: read or refused, and the same with and without complaints where
//! there are none.
//!
//! `cargo +nightly fuzz run parquet` from the repository's root.
#![no_main]

use std::sync::{Arc, LazyLock};

use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, types::Int64Type,
};
use libfuzzer_sys::fuzz_target;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use seqrec::data::{BadRows, Dataset, Filters, InteractionReader, Protocol, SequenceStore, Split};
use seqrec_fuzz::overwrite_bytes;

/// Whole files, which the fuzzer's bytes are laid over.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let rows = || 0..40i64;
    let users: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|row| row % 7)));
    let texts = |what: &str| -> ArrayRef {
        let texts = rows().map(|row| format!("{what}-{}", row * row % 11));
        Arc::new(StringArray::from_iter_values(texts))
    };
    let seconds = |row: i64| 1_700_000_000 + 61 * row;
    let stamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(
        rows().map(|row| 1_000_000 * seconds(row)),
    ));
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(seconds)));
    let values: ArrayRef = Arc::new(Float64Array::from_iter(
        rows().map(|row| (row % 5 > 0).then_some(row as f64 / 2.0)),
    ));
    let counts: ArrayRef = Arc::new(Int32Array::from_iter_values(0..40));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
        rows().map(|row| Some((0..row % 4).map(Some).collect::<Vec<_>>())),
    ));
    let zstd = Compression::ZSTD(ZstdLevel::default());
    [
        (
            zstd,
            vec![
                ("user_id", users.clone()),
                ("item_id", texts("item")),
                ("timestamp", stamps),
                ("rating", values.clone()),
                ("event", texts("event")),
            ],
        ),
        (
            Compression::UNCOMPRESSED,
            vec![
                ("user", texts("user")),
                ("item", counts.clone()),
                ("time", times),
                ("value", counts),
            ],
        ),
        (
            Compression::UNCOMPRESSED,
            vec![("user", users.clone()), ("item", lists), ("time", values)],
        ),
    ]
    .map(|(compression, columns)| {
        let columns = columns
            .into_iter()
            .map(|(name, values)| (name, values, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(16))
            .set_compression(compression)
            .build();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        file
    })
    .into()
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
    if mode & 2 != 0 {
        file.truncate(file.len() - usize::from(*mode) % file.len().max(1));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.parquet");
    std::fs::write(&path, file).unwrap();
    let Ok(reader) = InteractionReader::detect(&path) else {
        return;
    };
    let (strict, lenient) = (reader.read(), reader.clone().bad_rows(BadRows::Skip).read());
    // What is read without complaint is read the same where complaints are not wanted.
    if let Ok(strict) = &strict {
        let lenient = lenient.as_ref().unwrap();
        assert_eq!(strict.times(), lenient.times());
        assert_eq!(lenient.skipped_rows(), 0);
    }
    for log in [strict, lenient].into_iter().flatten() {
        assert!(!log.is_empty());
        assert!(log.times().iter().all(|time| time.is_finite()));
        let dataset = Dataset::new(log, Filters::default()).unwrap();
        if let Ok(split) = Split::new(&dataset, Protocol::LeaveOneOut) {
            split.fingerprint();
        }
    }
    let mut writer =
        SequenceStore::create(folder.path().join("store"), Filters::default()).unwrap();
    if writer.read(&reader).is_ok() {
        writer.finish().unwrap();
    }
});
