//! Training that is killed at any moment goes on as if it had not been, and so does what is
//! written.
//!
//! The test starts itself as another process, which trains with checkpoints and saves its run, and
//! kills that at random moments until it comes to its end. `SEQREC_KILLS=50 cargo test --release
//! --test kills -- --nocapture` is the long form.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, Protocol, SequenceStore, Split};
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::retrieve::item_vectors;
use seqrec::store::Run;
use seqrec::train::{CsvLog, Trainer, TrainerConfig};

/// Where the child process trains.
const FOLDER: &str = "SEQREC_KILLS_FOLDER";
/// Where the child process writes a sequence store.
const STORE_FOLDER: &str = "SEQREC_KILLS_STORE_FOLDER";
/// How often children are killed in all.
const KILLS: &str = "SEQREC_KILLS";

/// As many as a moment allows, with and without optimization.
const EPOCHS: usize = if cfg!(debug_assertions) { 6 } else { 40 };

type TrainedRun = Run<Flex, Gru4RecConfig>;

/// What the child does; nothing where it is no child.
#[test]
fn train_in_a_folder() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        train(&PathBuf::from(folder));
    }
}

fn train(folder: &Path) {
    let log = Synthetic::new()
        .with_users(120)
        .with_items(80)
        .generate()
        .unwrap();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let device = Default::default();
    let config = Gru4RecConfig::new().with_dim(8).with_embedding_dropout(0.3);
    let model = config
        .init::<Autodiff<Flex>>(split.catalog().len(), 3, &device)
        .unwrap();
    let trainer = TrainerConfig::new()
        .with_epochs(EPOCHS)
        .with_patience(EPOCHS)
        .with_batch_size(16);
    let trained = Trainer::new(trainer)
        .observer(CsvLog::new(folder.join("log.csv")))
        .checkpoints(folder.join("checkpoints"))
        .resume(true)
        .fit(model, &split)
        .unwrap();
    let run = TrainedRun::new(config, trained.model, split.catalog().clone());
    run.save(folder.join("run")).unwrap();
    let metrics: Vec<String> = (trained.epochs.iter())
        .map(|epoch| format!("{:?} {:?}", epoch.loss.to_bits(), epoch.validation))
        .collect();
    std::fs::write(folder.join("metrics"), metrics.join("\n")).unwrap();
}

/// Writes one store after another of the same name; nothing where it is no child.
#[test]
fn write_stores_in_a_folder() {
    if let Some(folder) = std::env::var_os(STORE_FOLDER) {
        loop {
            write_store(&PathBuf::from(&folder));
        }
    }
}

fn write_store(folder: &Path) -> SequenceStore {
    let filters = Filters::new().with_minimum_per_item(2);
    let mut writer = SequenceStore::create(folder.join("log.store"), filters).unwrap();
    let log = Synthetic::new()
        .with_users(400)
        .with_items(80)
        .generate()
        .unwrap();
    writer.append(log).unwrap();
    writer.finish().unwrap()
}

/// Whenever a writer is killed, the store that was there is there, whole, and the next writer
/// removes what the killed one left.
#[test]
fn a_killed_writer_of_a_store_leaves_the_one_before() {
    if std::env::var_os(FOLDER).is_some() || std::env::var_os(STORE_FOLDER).is_some() {
        return;
    }
    let kills: usize = std::env::var(KILLS).map_or(4, |kills| kills.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let expected = write_store(home.path());
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(8);
    for _ in 0..kills {
        let mut child = child_in("write_stores_in_a_folder", STORE_FOLDER, home.path());
        std::thread::sleep(Duration::from_millis(random.random_range(5..150)));
        assert!(child.try_wait().unwrap().is_none(), "it failed by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let left = SequenceStore::open(home.path().join("log.store")).unwrap();
        let (left, expected) = (left.dataset(), expected.dataset());
        assert_eq!(left.sequences(), expected.sequences());
        assert_eq!(left.catalog(), expected.catalog());
    }
    write_store(home.path());
    let names = names(home.path());
    assert!(
        matches!(&names[..], [name] if name.ends_with("log.store")),
        "{names:?}"
    );
}

fn child(folder: &Path) -> std::process::Child {
    child_in("train_in_a_folder", FOLDER, folder)
}

/// This program, running one of its tests in a folder.
fn child_in(test: &str, variable: &str, folder: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads", "1"])
        .env(variable, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// All names below a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(names(&path));
        }
        all.push(path.display().to_string());
    }
    all
}

#[test]
fn killed_trainings_end_like_one_that_was_not() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let kills: usize = std::env::var(KILLS).map_or(4, |kills| kills.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let begun = std::time::Instant::now();
    assert!(child(&whole).wait().unwrap().success());
    let takes = begun.elapsed();
    let outcome = |folder: &Path| {
        let run = TrainedRun::load(folder.join("run"), &Default::default()).unwrap();
        let vectors = item_vectors::<Flex, _>(&run.model);
        let bits: Vec<u32> = vectors.iter().map(|value| value.to_bits()).collect();
        (
            std::fs::read_to_string(folder.join("metrics")).unwrap(),
            bits,
        )
    };
    let expected = outcome(&whole);
    assert_eq!(expected.0.lines().count(), EPOCHS);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let (mut killed, mut trainings) = (0, 0);
    while killed < kills {
        trainings += 1;
        let folder = home.path().join(format!("killed-{trainings}"));
        std::fs::create_dir(&folder).unwrap();
        loop {
            let mut child = child(&folder);
            // Seldom longer than a training takes, so that most are killed.
            let wait = takes.mul_f64(random.random_range(0.02..0.9));
            std::thread::sleep(if killed < kills { wait } else { Duration::ZERO });
            let ended = child.try_wait().unwrap();
            if killed < kills && ended.is_none() {
                child.kill().unwrap();
                killed += 1;
            }
            let status = child.wait().unwrap();
            if status.success() {
                break;
            }
            assert!(status.code().is_none(), "it failed by itself: {status:?}");
        }
        assert_eq!(outcome(&folder), expected, "after {killed} kills");
        let left = names(&folder);
        let litter: Vec<_> = left
            .iter()
            .filter(|name| name.contains(".writing"))
            .collect();
        assert!(litter.is_empty(), "{litter:?}");
        assert!(!left.iter().any(|name| name.contains(".tmp/")), "{left:?}");
    }
    println!("{killed} kills in {trainings} trainings: every end is the same, bit for bit");
}
