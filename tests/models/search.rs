//! Searching for settings.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use seqrec::prelude::*;
use seqrec::train::Search;
use seqrec::train::search::{SearchReport, Trial};
use seqrec::{Error, ErrorKind, Result};
use serde_json::Value;

/// Users who walk along a ring of twenty items, each from another one.
fn split() -> Split {
    let walk = |user: i64| {
        (0..8).map(move |step| Interaction::new(user, (user * 7 + step) % 20, step as f64))
    };
    let log: Interactions = (0..40).flat_map(walk).collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

fn trainer() -> TrainerConfig {
    TrainerConfig::new()
        .with_epochs(4)
        .with_batch_size(8)
        .with_minimum_steps(0)
        .with_metric(Metric::ndcg(5).unwrap())
}

/// One learning rate learns, and the other next to nothing.
const RATES: &str = r#"{"trainer.learning_rate": [1e-7, 0.05],
    "model": {"max_len": [10, 20], "embedding_dropout": [0.0, 0.1, 0.2]}}"#;

fn search<'a>(space: &str, trials: usize) -> Search<'a, Autodiff<Flex>> {
    Search::new(trainer())
        .model("gru4rec", Gru4RecConfig::new().with_dim(8), space)
        .unwrap()
        .trials(trials)
        .first_epochs(1)
}

fn run(search: Search<'_, Autodiff<Flex>>, folder: &Path) -> Result<SearchReport> {
    search.run(&split(), folder, &Default::default())
}

/// Without seconds, which no two runs have in common.
fn without_seconds(found: &SearchReport) -> Value {
    let mut found = serde_json::to_value(found).unwrap();
    for trial in found["trials"].as_array_mut().unwrap() {
        trial["seconds"] = Value::Null;
    }
    found
}

#[test]
fn the_setting_that_matters_is_found_and_named() {
    let home = tempfile::tempdir().unwrap();
    let found = run(search(RATES, 13), &home.path().join("a")).unwrap();
    // Twelve settings there are, and one that was given.
    assert_eq!(found.rounds, [(1, 13), (3, 5), (4, 2)]);
    assert_eq!(found.trials.len(), 13);
    let best = found.best().trainer_config().unwrap();
    assert!(best.learning_rate > 1e-3, "{found}");
    assert_eq!(found.effects[0].setting, "trainer.learning_rate", "{found}");
    assert!(
        found.effects[0].explains > 0.4 && found.effects[0].chance < 0.05,
        "{found}"
    );
    assert_eq!(
        found
            .effects
            .iter()
            .map(|effect| effect.groups.iter().map(|group| group.2).sum::<usize>())
            .max(),
        Some(12)
    );
    let shown = found.to_string();
    assert!(
        shown.contains("13 trials of 1 epoch, then 5 trials of 3 epochs"),
        "{shown}"
    );
    assert!(shown.lines().count() < 20, "{shown}");
    // Nothing is left of it but what it found.
    assert!(
        !home
            .path()
            .join("a/checkpoints")
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some())
    );
    // The same seed gives the same, and what is known is not trained again.
    let again = run(search(RATES, 13), &home.path().join("b")).unwrap();
    assert_eq!(without_seconds(&again), without_seconds(&found));
    let file = home.path().join("b/trials.jsonl");
    assert_eq!(
        run(search(RATES, 13), &home.path().join("b")).unwrap(),
        again
    );
    // What the file says is believed: of all values alike, none matters.
    let text = std::fs::read_to_string(&file).unwrap();
    let alike = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["outcome"]["trained"]["value"] = Value::from(0.5);
        format!("{line}\n")
    });
    std::fs::write(&file, alike.collect::<String>()).unwrap();
    let alike = run(search(RATES, 13), &home.path().join("b")).unwrap();
    assert!(alike.effects.is_empty(), "{alike}");
}

#[test]
fn the_best_settings_train_to_what_the_search_saw() {
    let home = tempfile::tempdir().unwrap();
    let found = run(search(RATES, 6), home.path().join("a").as_path()).unwrap();
    let best = found.best();
    let split = split();
    let trained = best.model_config::<Gru4RecConfig>().unwrap();
    let trained = trained
        .fit_with(&split, best.trainer_config().unwrap())
        .unwrap();
    let report = Evaluation::new(&[5], Seen::default())
        .run(&trained.channel().unwrap(), &split.valid, split.catalog())
        .unwrap();
    assert_eq!(report.ndcg(5), Some(best.value().unwrap().mean));
    let other = best.model_config::<SasRecConfig>();
    assert!(matches!(
        other.as_ref().map_err(Error::kind),
        Err(ErrorKind::InvalidValue { field: "model", .. })
    ));
}

#[test]
fn a_search_that_was_interrupted_continues_to_the_same_end() {
    let home = tempfile::tempdir().unwrap();
    let whole = run(search(RATES, 9), &home.path().join("whole")).unwrap();
    let folder = home.path().join("parts");
    let mut trained = 0;
    for stop in [3, 11] {
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            let mut told = 0;
            let search = search(RATES, 9).on_trial(|_: &Trial| {
                told += 1;
                trained = told;
                assert!(told < stop, "the process is interrupted here");
            });
            run(search, &folder)
        }));
        assert!(stopped.is_err());
        assert_eq!(trained, stop);
    }
    let continued = run(search(RATES, 9), &folder).unwrap();
    assert_eq!(without_seconds(&continued), without_seconds(&whole));
}

#[test]
fn trials_that_fail_are_recorded_and_stop_nothing() {
    let home = tempfile::tempdir().unwrap();
    let space = r#"{"model.dim": [4, 5], "model.heads": [2], "trainer.learning_rate": [0.01, 1e30],
                    "model.objective.loss": ["nothing of the kind", "softmax"]}"#;
    let config = SasRecConfig::new().with_dim(4);
    let of = |space: &str| {
        let search = Search::<Autodiff<Flex>>::new(trainer());
        let search = search.model("sasrec", config.clone(), space);
        search.unwrap().trials(12).first_epochs(2)
    };
    let found = run(of(space), &home.path().join("a")).unwrap();
    let failed: Vec<&str> = found
        .trials
        .iter()
        .filter_map(|trial| trial.error.as_deref())
        .collect();
    let said = |text: &str| failed.iter().any(|error| error.contains(text));
    assert!(said("heads is 2, but must divide dim, 5"), "{failed:?}");
    assert!(said("lower the learning rate"), "{failed:?}");
    assert!(said("these are no settings of it"), "{failed:?}");
    assert!(found.best().error.is_none());
    assert!(found.to_string().contains("trials failed"), "{found}");
    let error = run(
        of(r#"{"model.dim": 5, "model.heads": 2}"#),
        &home.path().join("b"),
    )
    .unwrap_err();
    assert!(error.to_string().contains("all 1 trials failed"), "{error}");
}

#[test]
fn models_and_seeds_share_one_budget() {
    let home = tempfile::tempdir().unwrap();
    let mut told = 0;
    let search = search(RATES, 10)
        .model(
            "mind",
            MultiInterestConfig::mind().with_dim(4),
            r#"{"trainer.learning_rate": [0.01, 0.02, 0.03, 0.04]}"#,
        )
        .unwrap()
        .seeds([1, 2, 3])
        .on_trial(|_| told += 1);
    let found = run(search, &home.path().join("a")).unwrap();
    let of = |name: &str| {
        found
            .trials
            .iter()
            .filter(|trial| trial.model == name)
            .count()
    };
    assert_eq!(of("gru4rec") + of("mind"), 10);
    assert!(of("mind") >= 4, "{found}");
    // 10, 4 and 2 with the first seed, and the last two with two more.
    assert_eq!(told, 10 + 4 + 2 + 2 * 2);
    assert_eq!(found.best().values.len(), 3);
    assert_eq!(found.trials[2].values.len(), 1);
    assert_eq!(found.best().trainer_config().unwrap().seed, 1);
    assert!(
        found
            .effects
            .iter()
            .any(|effect| effect.model.is_none() && effect.setting == "model"),
        "{found}"
    );
}

#[test]
fn what_can_be_no_search_is_refused_before_any_training() {
    let home = tempfile::tempdir().unwrap();
    let refused =
        |search: Search<'_, Autodiff<Flex>>| run(search, home.path()).unwrap_err().to_string();
    assert!(refused(Search::new(trainer())).contains("models is 0"));
    assert!(refused(search(RATES, 0)).contains("trials is 0"));
    assert!(refused(search(RATES, 2).seeds([])).contains("seeds is 0"));
    let twice = search(RATES, 2)
        .model("gru4rec", Gru4RecConfig::new(), "{}")
        .map(drop);
    assert!(
        twice
            .unwrap_err()
            .to_string()
            .contains("name of two models")
    );
    // Somebody's folder.
    std::fs::write(home.path().join("thesis.txt"), "x").unwrap();
    let error = run(search(RATES, 2), home.path()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotOurs { .. }), "{error}");
}
