//! What the benchmark example keeps: results are told apart by all that they depend on.

use seqrec::channels::Popularity;
use seqrec::data::{Dataset, Filters, InteractionReader, Protocol, Seen, Split};
use seqrec::recall::Evaluation;

use seqrec_cli::compare::models::results::{Outcome, Results, Run, table};
use seqrec_cli::compare::models::settings::Settings;

/// A run on a file of these contents, always under the same name.
fn run(contents: &str, filters: Filters, protocol: Protocol, exclude_seen: bool) -> (Run, Split) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ratings.csv");
    std::fs::write(&path, contents).unwrap();
    let log = InteractionReader::detect(&path).unwrap().read().unwrap();
    let split = Split::new(&Dataset::new(log, filters).unwrap(), protocol).unwrap();
    let run = Run {
        data: "ratings".to_owned(),
        split: format!("{:016x}", split.fingerprint()),
        protocol: "leave-one-out".to_owned(),
        exclude_seen,
    };
    (run, split)
}

fn contents(changed: &str) -> String {
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for user in 0..12 {
        for item in 0..6 {
            text += &format!(
                "{user},{},3.5,{}\n",
                (user + item) % 9,
                1_000_000_000 + item
            );
        }
    }
    text + changed
}

#[test]
fn other_contents_protocols_filters_and_settings_have_other_keys() {
    let none = Filters::default();
    let (first, _) = run(&contents(""), none, Protocol::LeaveOneOut, false);
    let entry = Settings::read(None)
        .unwrap()
        .entry("gru4rec", "ratings")
        .unwrap();
    let mut keys = vec![entry.key(&first, 1), entry.key(&first, 2)];
    let core = none.with_minimum_per_item(9);
    for (text, filters, protocol, exclude_seen) in [
        ("", none, Protocol::LeaveOneOut, true),
        ("", none, Protocol::Ratio { seed: 42 }, false),
        ("", none, Protocol::Ratio { seed: 43 }, false),
        ("", core, Protocol::LeaveOneOut, false),
        // Another file of the same name: one more row, another item, another time.
        ("0,8,3.5,1000000009\n", none, Protocol::LeaveOneOut, false),
        ("0,7,3.5,1000000009\n", none, Protocol::LeaveOneOut, false),
        ("0,8,3.5,1000000008\n", none, Protocol::LeaveOneOut, false),
    ] {
        let (other, _) = run(&contents(text), filters, protocol, exclude_seen);
        keys.push(entry.key(&other, 1));
    }
    let mut other = entry.clone();
    other.model["dim"] = 9.into();
    keys.push(other.key(&first, 1));
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "{keys:?}");
    // The same is the same.
    let (again, _) = run(&contents(""), none, Protocol::LeaveOneOut, false);
    assert_eq!(entry.key(&again, 1), entry.key(&first, 1));
}

#[test]
fn a_table_is_of_one_run_and_a_line_cut_short_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let none = Filters::default();
    let (first, split) = run(&contents(""), none, Protocol::LeaveOneOut, false);
    let (second, _) = run(
        &contents("0,8,3.5,1000000009\n"),
        none,
        Protocol::LeaveOneOut,
        false,
    );
    let unseen = Run {
        exclude_seen: true,
        ..first.clone()
    };
    let popular = Popularity::new(split.catalog());
    let test = Evaluation::new(&[1, 2], Seen::Keep)
        .run(&popular, &split.test, split.catalog())
        .unwrap();
    let outcome = |run: &Run, model: &str| Outcome {
        model: model.to_owned(),
        run: run.clone(),
        seed: 1,
        epochs: 0,
        train_seconds: 0.0,
        recall_milliseconds: 0.0,
        valid: None,
        test: test.clone(),
    };
    let mut results = Results::open(path.clone()).unwrap();
    for (run, model) in [(&first, "one"), (&second, "two"), (&unseen, "three")] {
        results
            .add(format!("{run}-{model}-1"), outcome(run, model))
            .unwrap();
    }
    drop(results);
    // Killed while the fourth was written.
    let whole = std::fs::read(&path).unwrap();
    let cut = [&whole[..], &whole[..40]].concat();
    std::fs::write(&path, cut).unwrap();
    let mut results = Results::open(path.clone()).unwrap();
    results
        .add(format!("{first}-four-1"), outcome(&first, "four"))
        .unwrap();
    drop(results);
    let results = Results::open(path.clone()).unwrap();
    assert!(results.has(&format!("{first}-four-1"), &[1, 2]));
    // A line that is damaged elsewhere takes nothing with it.
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[2] = b'!';
    let other = folder.path().join("damaged.jsonl");
    std::fs::write(&other, &damaged).unwrap();
    let error = Results::open(other.clone()).err().unwrap().to_string();
    assert!(error.contains("damaged.jsonl:1: "), "{error}");
    assert_eq!(std::fs::read(&other).unwrap(), damaged);
    for (run, models) in [
        (&first, &["one", "four"][..]),
        (&second, &["two"]),
        (&unseen, &["three"]),
    ] {
        let table = table(&results, run, &[2]).unwrap();
        let rows: Vec<&str> = table
            .csv
            .lines()
            .skip(1)
            .map(|row| row.split(',').nth(4).unwrap())
            .collect();
        assert_eq!(rows, models, "{}", table.markdown);
        assert!(
            table
                .markdown
                .contains(if run.exclude_seen { "left out" } else { "kept" })
        );
    }
}
