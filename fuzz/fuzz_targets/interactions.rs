//! Files of interactions of any contents, in every format: read or refused, and split where they
//! are read.
//!
//! `cargo +nightly fuzz run interactions` from the repository's root.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use seqrec::data::{
    BadRows, Dataset, Filters, Format, InteractionReader, Interactions, Protocol, Split,
};

const NAMES: [&str; 4] = ["log.csv", "log.txt", "log.inter", "ratings.dat"];
const FORMATS: [&str; 12] = [
    "ratings-csv",
    "ratings-dat",
    "u-data",
    "columns",
    "inter",
    "sequences",
    "user=0,item=1",
    "user=0,item=2,time=1,value=3,event=4,delimiter=;",
    "user=user,item=item,time=t",
    "user=0,item=1,time=2,delimiter=tab,quotes=yes",
    "user=u,item=i,delimiter=blank,header=yes",
    "user=0,item=1,value=2,delimiter=::,header=yes",
];

fuzz_target!(|data: &[u8]| {
    let [name, format, text @ ..] = data else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAMES[usize::from(*name) % NAMES.len()]);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text)
        .unwrap();
    let detected = Format::detect(&path).ok();
    let named: Format = FORMATS[usize::from(*format) % FORMATS.len()]
        .parse()
        .unwrap();
    for format in detected.into_iter().chain([named]) {
        let read = |bad_rows| {
            InteractionReader::new(&path, format.clone())
                .bad_rows(bad_rows)
                .read()
        };
        let (strict, lenient) = (read(BadRows::Fail), read(BadRows::Skip));
        // What is read without complaint is read the same where complaints are not wanted.
        if let Ok(strict) = &strict {
            let lenient = lenient.as_ref().unwrap();
            assert_eq!(strict.times(), lenient.times());
            assert_eq!(lenient.skipped_rows(), 0);
        }
        for log in [strict, lenient].into_iter().flatten() {
            check(log);
        }
    }
});

fn check(log: Interactions) {
    assert!(!log.is_empty());
    assert!(log.times().iter().all(|time| time.is_finite()));
    let rows = log.len();
    let filters = Filters::new()
        .with_minimum_value(Some(1.0))
        .with_minimum_per_user(2);
    for filters in [Filters::default(), filters] {
        let Ok(dataset) = Dataset::new(log.clone(), filters) else {
            continue;
        };
        assert!(dataset.sequences().interactions() <= rows);
        for protocol in [Protocol::LeaveOneOut, Protocol::Ratio { seed: 1 }] {
            if let Ok(split) = Split::new(&dataset, protocol) {
                split.fingerprint();
            }
        }
    }
}
