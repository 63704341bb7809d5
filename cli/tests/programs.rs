//! What the examples share: what they print, read from command lines, write and call things.

#[macro_use]
#[path = "../src/printing.rs"]
mod printing;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use seqrec::backend::{Autodiff, Flex};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, Protocol, Split};
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::train::{EpochTable, Trainer, TrainerConfig};

use seqrec_cli::numbers;
use seqrec_cli::output_file::OutputFile;
use seqrec_cli::report::names;

/// Where the child process leaves word that it came to its end.
const DONE: &str = "SEQREC_PROGRAMS_DONE";

/// What the child does, whose output nobody reads to the end; nothing where it is no child.
#[test]
fn train_and_print() {
    let Some(done) = std::env::var_os(DONE) else {
        return;
    };
    let log = Synthetic::new()
        .with_users(40)
        .with_items(60)
        .generate()
        .unwrap();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let config = Gru4RecConfig::new().with_dim(2);
    let items = split.catalog().len();
    let device = Default::default();
    let model = config.init::<Autodiff<Flex>>(items, 1, &device).unwrap();
    println!("the program begins");
    // More than a pipe holds, so that it is known to be closed.
    for line in 0..10_000 {
        println!("line {line} of the program");
        eprintln!("and what it says beside");
    }
    let trained = Trainer::new(TrainerConfig::new().with_epochs(3).with_minimum_steps(0))
        .observer(EpochTable::new())
        .fit(model, &split)
        .unwrap();
    println!("the program ends");
    std::fs::write(done, trained.epochs.len().to_string()).unwrap();
}

/// As in `movielens 2>&1 | head -n 1`.
#[test]
fn a_closed_pipe_ends_printing_and_not_training() {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "train_and_print", "--nocapture"])
        .env(DONE, &done)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "the program begins"));
    drop(lines);
    // What runs the tests of the child may fail to print what became of them.
    let _ = child.wait().unwrap();
    assert_eq!(std::fs::read_to_string(done).unwrap(), "3");
}

#[test]
fn only_files_of_the_program_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty.svg"), "").unwrap();
    for name in ["new.svg", "empty.svg"] {
        for contents in ["<svg/>", "<svg></svg>"] {
            let out = OutputFile::new(&path(name), "<!-- a mark -->").unwrap();
            out.write(contents).unwrap();
            let written = std::fs::read_to_string(path(name)).unwrap();
            assert_eq!(written, format!("<!-- a mark -->{contents}"));
        }
    }
    let other = OutputFile::new(&path("new.svg"), "<!-- another mark -->");
    assert!(other.is_err());
    // Not even where it was not there when the program began.
    let late = OutputFile::new(&path("late.csv"), "<!-- a mark -->").unwrap();
    for (name, contents) in [("mine.csv", &b"user,item"[..]), ("late.csv", b"\xff")] {
        std::fs::write(path(name), contents).unwrap();
        let refused = OutputFile::new(&path(name), "<!-- a mark -->")
            .err()
            .unwrap();
        assert!(refused.to_string().contains(name), "{refused}");
    }
    assert!(late.write("<svg/>").is_err());
    assert_eq!(std::fs::read(path("mine.csv")).unwrap(), b"user,item");
    assert_eq!(std::fs::read(path("late.csv")).unwrap(), b"\xff");
    assert!(OutputFile::new(folder.path(), "<!-- a mark -->").is_err());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("new.svg", path("link.svg")).unwrap();
        let out = OutputFile::new(&path("link.svg"), "<!-- a mark -->").unwrap();
        out.write("<svg/>").unwrap();
        assert!(path("link.svg").is_symlink());
    }
}

#[test]
fn runs_of_one_name_are_told_apart() {
    let named = |paths: &[&str]| names::names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
    assert_eq!(named(&["a/run", "b/other/"]), ["run", "other"]);
    let parts = |names: [&[&str]; 3]| names.map(|parts| parts.iter().collect::<PathBuf>());
    let found = named(&["x/a/run", "x/b/run", "other"]);
    let expected = parts([&["a", "run"], &["b", "run"], &["other"]]);
    assert_eq!(found.iter().map(Path::new).collect::<Vec<_>>(), expected);
    let found = named(&["run", "b/run", "c/d/run"]);
    let expected = parts([&["run"], &["b", "run"], &["d", "run"]]);
    assert_eq!(found.iter().map(Path::new).collect::<Vec<_>>(), expected);
    assert_eq!(named(&["run", "run"]), ["run (1)", "run (2)"]);
}

#[test]
fn options_are_numbers_that_can_be_reckoned_with() {
    assert_eq!(numbers::finite::<f64>("-1e-3"), Ok(-1e-3));
    assert_eq!(numbers::finite::<f32>("3.5"), Ok(3.5));
    for text in ["nan", "NaN", "inf", "-infinity", "1e999"] {
        let error = numbers::finite::<f64>(text).unwrap_err();
        assert_eq!(error, "must be a finite number", "{text}");
    }
    assert!(numbers::finite::<f32>("1e39").is_err());
    assert!(numbers::finite::<f64>("three").is_err());
}
