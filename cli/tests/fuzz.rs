//! The targets of `fuzz/`, each for a moment: on their seeds, and on what becomes of those by
//! chance.
//!
//! `cargo +nightly fuzz run NAME` finds inputs by the code that they reach; this takes no more than
//! a stable compiler. `SEQREC_FUZZ_SECONDS=60 cargo test -p seqrec-cli --test fuzz` goes on for
//! longer.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/checkpoint.rs"]
mod checkpoint;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/http.rs"]
mod http;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/ids.rs"]
mod ids;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/index_file.rs"]
mod index_file;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/interactions.rs"]
mod interactions;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/parquet.rs"]
mod parquet_file;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/run_folder.rs"]
mod run_folder;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/sequence_store.rs"]
mod sequence_store;
#[allow(unused_attributes, reason = "it is a program's root elsewhere")]
#[path = "../../fuzz/fuzz_targets/settings.rs"]
mod settings;

// Targets name the crate whose macro makes them programs, and are functions here; and their own
// package's library.
extern crate self as libfuzzer_sys;
extern crate self as seqrec_fuzz;
#[path = "../../fuzz/src/lib.rs"]
mod edits;
pub(crate) use edits::overwrite_bytes;

macro_rules! fuzz_target {
    (|$data:ident: &[u8]| $body:block) => {
        pub fn run($data: &[u8]) $body
    };
}
pub(crate) use fuzz_target;

/// How long one target runs, in seconds.
const SECONDS: &str = "SEQREC_FUZZ_SECONDS";

/// No input may take longer.
const LONGEST: Duration = Duration::from_secs(30);

#[test]
fn checkpoints() {
    fuzz("checkpoint", checkpoint::run);
}

#[test]
fn requests() {
    fuzz("http", http::run);
}

#[test]
fn external_ids() {
    fuzz("ids", ids::run);
}

#[test]
fn index_files() {
    fuzz("index_file", index_file::run);
}

#[test]
fn files_of_interactions() {
    fuzz("interactions", interactions::run);
}

#[test]
fn parquet_files() {
    fuzz("parquet", parquet_file::run);
}

#[test]
fn run_folders() {
    fuzz("run_folder", run_folder::run);
}

#[test]
fn sequence_stores() {
    fuzz("sequence_store", sequence_store::run);
}

#[test]
fn settings_as_text() {
    fuzz("settings", settings::run);
}

/// Every target is one of the tests.
#[test]
fn no_target_is_left_out() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    for target in std::fs::read_dir(targets).unwrap() {
        let name = target.unwrap().file_name().into_string().unwrap();
        let tests = include_str!("fuzz.rs");
        assert!(tests.contains(&format!("fuzz_targets/{name}")), "{name}");
    }
}

/// Runs a target on its seeds, and then on changed ones.
fn fuzz(target: &str, run: fn(&[u8])) {
    let seconds = std::env::var(SECONDS).map_or(1.0, |text| text.parse().unwrap());
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(seeds)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    for seed in &seeds {
        run_on(run, target, seed);
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let start = Instant::now();
    let mut inputs = 0;
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        let mut input = seeds.choose(&mut random).unwrap().clone();
        for _ in 0..random.random_range(1..=6) {
            change(&mut input, &seeds, &mut random);
        }
        run_on(run, target, &input);
        inputs += 1;
    }
    println!("{target}: {inputs} inputs");
}

/// Tells of an input where it ends in a panic.
struct Tell<'a>(&'a str, &'a [u8]);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} on {:?}", self.0, self.1);
        }
    }
}

fn run_on(run: fn(&[u8]), target: &str, input: &[u8]) {
    let _tell = Tell(target, input);
    let start = Instant::now();
    run(input);
    let took = start.elapsed();
    assert!(took < LONGEST, "it took {took:?}");
}

/// Makes one change of the kinds that fuzzers make.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut ChaCha8Rng) {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'9'];
    let place = random.random_range(0..=input.len());
    match random.random_range(0..8) {
        0 | 1 if place < input.len() => input[place] ^= 1 << random.random_range(0..8),
        2 if place < input.len() => input[place] = random.random(),
        3 if place < input.len() => input[place] = *TELLING.choose(random).unwrap(),
        4 => input.insert(place, random.random()),
        // A few bytes more, as those that name a place and a value are.
        5 => {
            let bytes: [u8; 6] = random.random();
            input.extend(&bytes[..random.random_range(1..=6)]);
        }
        // A part is lost, or comes twice, or comes from elsewhere.
        6 => {
            let end = random.random_range(place..=input.len());
            let part: Vec<u8> = input.drain(place..end).collect();
            if random.random() {
                let place = random.random_range(0..=input.len());
                input.splice(place..place, [&part[..], &part[..]].concat());
            }
        }
        _ => {
            let other = seeds.choose(random).unwrap();
            let from = random.random_range(0..=other.len());
            input.truncate(place);
            input.extend(&other[from..]);
        }
    }
    // More would take longer and find no more.
    input.truncate(1 << 14);
}
