//! Training from end to end on small data: it learns, repeats itself, resumes, and stops.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Int, Tensor};
use seqrec::backend::{Autodiff, Backend, Flex};
use seqrec::burn;
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    Batcher, Dataset, Filters, Interaction, Interactions, Protocol, Seen, SequenceBatch,
    SequenceStore, Split, TargetCounts, Targets, TrainingBatch, TrainingData,
};
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, VectorIndex};
use seqrec::model::parts::Dropout;
use seqrec::model::{
    Gru4Rec, Gru4RecConfig, ItemTable, Objective, RecallerConfig, SequenceRecaller, Similarity,
};
use seqrec::recall::{Evaluation, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::train::{
    CsvLog, EpochReport, Schedule, StepReport, StopReason, Trained, Trainer, TrainerConfig,
    TrainingObserver, TrainingPlan,
};
use seqrec::{Error, ErrorKind, Result};

fn split(protocol: Protocol) -> Split {
    let synthetic = Synthetic::new()
        .with_users(120)
        .with_items(150)
        .with_mean_per_user(40)
        .with_genres(6)
        // A model has more to learn than what is popular.
        .with_drift(0.04)
        .with_popularity(0.7);
    let dataset = Dataset::new(synthetic.generate().unwrap(), Filters::default()).unwrap();
    Split::new(&dataset, protocol).unwrap()
}

fn config() -> TrainerConfig {
    TrainerConfig::new()
        .with_epochs(4)
        .with_batch_size(16)
        .with_learning_rate(0.01)
        .with_metric("recall@10".parse().unwrap())
        .with_ks(vec![10])
}

fn model<B: Backend>(split: &Split) -> Gru4Rec<B> {
    let config = Gru4RecConfig::new()
        .with_dim(16)
        .with_embedding_dropout(0.2)
        .with_max_len(10);
    config
        .init(split.catalog().len(), 5, &B::Device::default())
        .unwrap()
}

fn fit<B: Backend>(split: &Split, trainer: Trainer<'_>) -> Result<Trained<Gru4Rec<B>>> {
    trainer.fit(model::<Autodiff<B>>(split), split)
}

/// Runs on one thread, where results are the same bits each time.
fn on_one_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap()
        .install(work)
}

/// What must be the same: everything but the clock.
fn comparable(epochs: &[EpochReport]) -> Vec<EpochReport> {
    let mut timeless = epochs.to_vec();
    for epoch in &mut timeless {
        (epoch.seconds, epoch.waited_seconds) = (0.0, 0.0);
    }
    timeless
}

fn weights<B: Backend>(model: &Gru4Rec<B>) -> Vec<f32> {
    item_vectors(model).into_iter().collect()
}

fn training_beats_popularity<B: Backend>() {
    let split = split(Protocol::Ratio { seed: 1 });
    // An epoch sees a quarter of each sequence.
    let trained = fit::<B>(&split, Trainer::new(config().with_epochs(30))).unwrap();
    let first = trained.epochs.first().unwrap();
    assert!(trained.epochs.last().unwrap().loss < first.loss - 0.5);
    let index = FlatIndex::new(&item_vectors(&trained.model)).unwrap();
    let report = Evaluation::new(&[10], Seen::Keep)
        .run(
            &VectorChannel::from_model(trained.model.clone(), index),
            &split.test,
            split.catalog(),
        )
        .unwrap();
    let mut popular = seqrec::eval::Scorer::new(split.catalog(), &[10]).unwrap();
    for case in split.test.iter() {
        popular.add(&split.catalog().by_popularity()[..10], case.labels);
    }
    let metric = "recall@10".parse().unwrap();
    let (model, popular) = (
        report.get(metric).unwrap(),
        popular.report().get(metric).unwrap(),
    );
    assert!(model > 1.2 * popular, "model {model}, popularity {popular}");
}

#[test]
fn training_beats_popularity_on_flex() {
    training_beats_popularity::<Flex>();
}

#[cfg(feature = "ndarray")]
#[test]
fn training_beats_popularity_on_ndarray() {
    training_beats_popularity::<seqrec::backend::NdArray>();
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    on_one_thread(|| {
        let split = split(Protocol::LeaveOneOut);
        for targets in [Targets::All, Targets::ONE_RANDOM] {
            let run = |seed| {
                let config = config().with_targets(targets).with_seed(seed);
                fit::<Flex>(&split, Trainer::new(config)).unwrap()
            };
            let (a, b, c) = (run(1), run(1), run(2));
            assert_eq!(comparable(&a.epochs), comparable(&b.epochs));
            assert_eq!(weights(&a.model), weights(&b.model));
            assert_ne!(weights(&a.model), weights(&c.model));
        }
    });
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let split = split(Protocol::LeaveOneOut);
    let run = || fit::<Flex>(&split, Trainer::new(config())).unwrap();
    let one = on_one_thread(run);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .unwrap();
    let three = pool.install(run);
    assert_eq!(weights(&one.model), weights(&three.model));
}

/// Sequences of these lengths, of items that nobody else has and nobody has twice.
fn of_lengths(lengths: &[usize]) -> Dataset {
    let rows = (lengths.iter().enumerate()).flat_map(|(user, &length)| {
        (0..length).map(move |place| {
            Interaction::new(user as i64, (1_000 * user + place) as i64, place as f64)
        })
    });
    Dataset::new(rows.collect::<Interactions>(), Filters::default()).unwrap()
}

/// The targets of an epoch in order of items, each with how many items its row has before it.
fn targets_of(batcher: &Batcher, epoch: usize) -> Vec<(u32, usize)> {
    let mut found = Vec::new();
    let mut batches = 0;
    for batch in batcher.epoch::<Flex>(epoch, &Default::default()) {
        let [_, len] = batch.histories.items.dims();
        let numbers = |of: Tensor<Flex, 1, Int>| of.into_data().to_vec::<i32>();
        let positions = numbers(batch.positions).unwrap();
        let targets = numbers(batch.targets).unwrap();
        let seen = positions
            .iter()
            .map(|&position| position as usize % len + 1);
        found.extend(targets.iter().map(|&target| target as u32).zip(seen));
        batches += 1;
    }
    assert_eq!(batches, batcher.batches_per_epoch());
    found.sort_unstable();
    found
}

/// The places of targets with an item before them, in order of items.
fn all_targets(data: &TrainingData) -> Vec<(u32, usize)> {
    let mut all: Vec<(u32, usize)> = (data.sequences().item_lists())
        .flat_map(|items| items.iter().enumerate().skip(1))
        .map(|(place, item)| (item.get(), place))
        .collect();
    all.sort_unstable();
    all
}

const LENGTHS: [usize; 6] = [57, 1, 3, 12, 101, 2];

/// However long a sequence and short `max_len`, epochs see all of it in the end, each of them as
/// many targets as it says, and shorter ones wholly in each.
#[test]
fn over_epochs_every_position_of_a_long_sequence_is_a_target() {
    let dataset = of_lengths(&LENGTHS);
    let sequences = dataset.training_data();
    let all = all_targets(&sequences);
    for max_len in [1, 2, 3, 10, 55, 56, 57, 99, 100, 500] {
        let batcher = Batcher::new(&sequences, 3, max_len, Targets::All, 7).unwrap();
        for batcher in [batcher.clone().windows(2), batcher] {
            let counts = batcher.target_counts();
            let mut found = Vec::new();
            for epoch in 0..1_000 {
                let targets = targets_of(&batcher, epoch);
                assert_eq!(counts.per_epoch, targets.len());
                found.extend(targets.into_iter().map(|(item, _)| item));
                found.sort_unstable();
                found.dedup();
            }
            assert!(
                found.iter().eq(all.iter().map(|(item, _)| item)),
                "{max_len}"
            );
            let each = LENGTHS.map(|length| max_len.min(length - 1));
            assert_eq!(counts.per_epoch, each.iter().sum::<usize>());
            // The first items of six sequences never are.
            assert_eq!((counts.all, counts.never), (170, 0));
            assert_eq!((counts.items, counts.items_never), (176, 6));
            if max_len <= 10 {
                assert_ne!(targets_of(&batcher, 0), targets_of(&batcher, 1));
            }
            assert_eq!(targets_of(&batcher, 3), targets_of(&batcher, 3));
        }
    }
}

#[test]
fn each_epoch_of_prefixes_or_sessions_side_by_side_has_every_target_once() {
    let dataset = of_lengths(&LENGTHS);
    let sequences = dataset.training_data();
    for targets in [Targets::EveryPrefix, Targets::SessionParallel] {
        for max_len in [1, 10, 500] {
            let batcher = Batcher::new(&sequences, 3, max_len, targets, 7).unwrap();
            let found = targets_of(&batcher, 1);
            let items = found.iter().map(|(item, _)| item);
            assert!(items.eq(all_targets(&sequences).iter().map(|(item, _)| item)));
            let counts = batcher.target_counts();
            assert_eq!((counts.per_epoch, counts.all, counts.never), (170, 170, 0));
        }
    }
}

#[test]
fn random_targets_reach_every_position_in_the_end() {
    let dataset = of_lengths(&[30, 3, 12]);
    let sequences = dataset.training_data();
    let targets = Targets::OneRandom { minimum_history: 4 };
    let batcher = Batcher::new(&sequences, 2, 5, targets, 7).unwrap();
    let mut found: Vec<(u32, usize)> = (0..300)
        .flat_map(|epoch| targets_of(&batcher, epoch))
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 26 + 8);
    let counts = batcher.target_counts();
    assert_eq!((counts.per_epoch, counts.all, counts.never), (2, 42, 8));
    assert_eq!((counts.items, counts.items_never), (45, 11));
    assert_eq!(
        counts.to_string(),
        "2 of 42 targets an epoch, 8 in no epoch; 11 of 45 items are never a target"
    );
}

/// Keeps what training says before it begins.
struct Told(Rc<RefCell<Vec<TargetCounts>>>);

impl TrainingObserver for Told {
    fn on_start(&mut self, plan: &TrainingPlan<'_>) -> Result<()> {
        self.0.borrow_mut().push(plan.targets);
        Ok(())
    }
}

#[test]
fn training_says_before_it_begins_how_many_targets_it_has() {
    let split = split(Protocol::LeaveOneOut);
    let positions: usize = split
        .train
        .sequences()
        .item_lists()
        .map(|items| items.len() - 1)
        .sum();
    for targets in [Targets::All, Targets::ONE_RANDOM] {
        let told = Rc::default();
        let config = config().with_epochs(1).with_targets(targets);
        let trainer = Trainer::new(config).observer(Told(Rc::clone(&told)));
        let trained = fit::<Flex>(&split, trainer).unwrap();
        let counts = told.borrow()[0];
        assert!(counts.per_epoch < positions);
        assert_eq!(counts.per_epoch, trained.epochs[0].targets);
        assert_eq!(
            (counts.all, counts.items),
            (positions, split.catalog().len())
        );
        assert_eq!(counts.never > 0, targets == Targets::ONE_RANDOM);
    }
}

/// A store has the sequences of the data set in memory, long ones too, and so has its training.
#[test]
fn training_on_a_store_is_that_on_the_data_set_in_memory() {
    let log = || {
        Synthetic::new()
            .with_users(60)
            .with_items(90)
            .generate()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        SequenceStore::create(folder.path().join("log.store"), Filters::default()).unwrap();
    writer.append(log()).unwrap();
    let store = writer.finish().unwrap();
    let memory = Dataset::new(log(), Filters::default()).unwrap();
    on_one_thread(|| {
        let [stored, known] = [store.dataset(), &memory].map(|dataset| {
            let split = Split::new(dataset, Protocol::LeaveOneOut).unwrap();
            assert!(
                split
                    .train
                    .sequences()
                    .item_lists()
                    .any(|items| items.len() > 30)
            );
            let config = config().with_epochs(2).with_window(Some(20));
            fit::<Flex>(&split, Trainer::new(config)).unwrap()
        });
        assert_eq!(comparable(&stored.epochs), comparable(&known.epochs));
        assert_eq!(weights(&stored.model), weights(&known.model));
    });
}

/// Ends training after some steps, as a crash would.
struct Interrupt {
    epoch: usize,
}

impl TrainingObserver for Interrupt {
    fn on_step(&mut self, step: &StepReport) -> Result<ControlFlow<()>> {
        if step.epoch == self.epoch && step.step == 2 {
            return Err(ErrorKind::InvalidValue {
                field: "test",
                value: "interrupted".into(),
                reason: "as planned".into(),
            }
            .into());
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let scheduled = config()
        .with_warm_up_steps(5)
        .with_schedule(Schedule::Cosine)
        .with_clip_norm(Some(0.1));
    for config in [config(), scheduled] {
        check_resuming(&config, &["1", "2", "3", "4"]);
    }
}

/// Validation and checkpoints within epochs: eight steps each, four of them made of two batches.
#[test]
fn a_run_that_is_resumed_within_an_epoch_equals_an_uninterrupted_one() {
    let often = config()
        .with_validate_every(Some(3))
        .with_warm_up_steps(4)
        .with_schedule(Schedule::Cosine)
        .with_weight_decay(0.5);
    let ends = ["1", "1", "2", "2", "2", "3", "3", "3", "4", "4", "4"];
    check_resuming(&often, &ends);
    let accumulated = often.with_accumulate(2).with_average(Some(0.9));
    check_resuming(&accumulated, &["1", "2", "3", "3", "4", "4"]);
}

/// `ends` are the epochs that reports end in.
fn check_resuming(config: &TrainerConfig, ends: &[&str]) {
    on_one_thread(|| {
        let split = split(Protocol::LeaveOneOut);
        let whole = fit::<Flex>(&split, Trainer::new(config.clone())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.csv");
        let trainer = || {
            Trainer::new(config.clone())
                .checkpoints(folder.path().join("checkpoints"))
                .observer(CsvLog::new(&log))
                .resume(true)
        };
        for epoch in [2, 4] {
            let interrupted = fit::<Flex>(&split, trainer().observer(Interrupt { epoch }));
            assert!(interrupted.is_err());
        }
        let resumed = fit::<Flex>(&split, trainer()).unwrap();
        assert_eq!(comparable(&whole.epochs), comparable(&resumed.epochs));
        assert_eq!(weights(&whole.model), weights(&resumed.model));
        assert_eq!(whole.best_epoch, resumed.best_epoch);
        let rows = std::fs::read_to_string(&log).unwrap();
        let first: Vec<&str> = rows
            .lines()
            .filter_map(|row| row.split(',').next())
            .collect();
        assert_eq!(first, [&["epoch"], ends].concat());
    });
}

/// Two batches a step are one of twice the size, up to rounding.
#[test]
fn accumulated_gradients_are_those_of_a_larger_batch() {
    let split = split(Protocol::LeaveOneOut);
    let train = |config: TrainerConfig| {
        let model = Gru4RecConfig::new()
            .with_dim(16)
            .with_embedding_dropout(0.0)
            .with_hidden_dropout(0.0)
            .init::<Autodiff<Flex>>(split.catalog().len(), 5, &Default::default())
            .unwrap();
        let trainer = Trainer::new(config.with_epochs(1).with_learning_rate(1e-3));
        trainer.fit(model, &split).unwrap()
    };
    let (large, two) = (
        train(config().with_batch_size(32)),
        train(config().with_accumulate(2)),
    );
    let alone = train(config());
    assert_eq!(large.epochs[0].step, two.epochs[0].step);
    assert_eq!(large.epochs[0].targets, two.epochs[0].targets);
    assert!((large.epochs[0].loss - two.epochs[0].loss).abs() < 1e-5);
    let pairs = || weights(&large.model).into_iter().zip(weights(&two.model));
    let furthest = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-4, "{furthest}");
    assert!((large.epochs[0].loss - alone.epochs[0].loss).abs() > 1e-3);
}

/// Time that is up ends training after the step at hand, validated and kept; with more time it goes
/// on from there.
#[test]
fn a_time_limit_ends_training_and_loses_nothing() {
    on_one_thread(|| {
        let split = split(Protocol::LeaveOneOut);
        let whole = fit::<Flex>(&split, Trainer::new(config().with_epochs(1))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let limited = |seconds: Option<f64>| {
            let config = config().with_epochs(1).with_time_limit(seconds);
            let trainer = Trainer::new(config).checkpoints(folder.path()).resume(true);
            fit::<Flex>(&split, trainer).unwrap()
        };
        let first = limited(Some(1e-9));
        assert_eq!((first.stop, first.epochs.len()), (StopReason::Time, 1));
        assert_eq!((first.epochs[0].step, first.best_epoch), (1, 1));
        assert!(first.epochs[0].validation.is_some());
        // Time that was up is up for a run that goes on as well.
        let again = limited(Some(1e-9));
        assert_eq!((again.stop, again.epochs.len()), (StopReason::Time, 1));
        let rest = limited(None);
        assert_eq!(rest.stop, StopReason::Epochs);
        let last = rest.epochs.last().unwrap();
        assert_eq!(last.step, whole.epochs[0].step);
        assert_eq!(last.validation, whole.epochs[0].validation);
        assert_eq!(
            first.epochs[0].targets + last.targets,
            whole.epochs[0].targets
        );
    });
}

/// States that are carried from batch to batch are in no checkpoint.
#[test]
fn what_would_lose_carried_states_is_refused() {
    let split = split(Protocol::LeaveOneOut);
    let carrying = config().with_targets(Targets::SessionParallel);
    let often = carrying.clone().with_validate_every(Some(3));
    let summed = carrying.clone().with_accumulate(2);
    for (config, name) in [(often, "validate_every"), (summed, "accumulate")] {
        let refused = fit::<Flex>(&split, Trainer::new(config)).unwrap_err();
        let named =
            matches!(refused.kind(), ErrorKind::InvalidValue { field, .. } if *field == name);
        assert!(named, "{refused}");
    }
    // And its epochs are ended, however little time there is.
    let limited = carrying.with_epochs(3).with_time_limit(Some(1e-9));
    let trained = fit::<Flex>(&split, Trainer::new(limited)).unwrap();
    assert_eq!((trained.stop, trained.epochs.len()), (StopReason::Time, 1));
    assert!(trained.epochs[0].step > 1);
}

/// Rates rise and fall as they should, gradients are measured and scaled down, and both are told.
#[test]
fn learning_rates_and_gradient_norms_are_told_and_kept_to() {
    #[derive(Default)]
    struct Told(Rc<RefCell<Vec<StepReport>>>);
    impl TrainingObserver for Told {
        fn on_step(&mut self, step: &StepReport) -> Result<ControlFlow<()>> {
            self.0.borrow_mut().push(*step);
            Ok(ControlFlow::Continue(()))
        }
    }
    let split = split(Protocol::LeaveOneOut);
    let train = |config: TrainerConfig| {
        let told = Told::default();
        let steps = told.0.clone();
        let trained = fit::<Flex>(&split, Trainer::new(config).observer(told)).unwrap();
        (trained, steps.take())
    };
    let config = config().with_epochs(2);
    let (plain, steps) = train(config.clone());
    let constant = |step: &StepReport| step.learning_rate == 0.01 && step.gradient_norm.is_none();
    assert!(steps.iter().all(constant));
    let scheduled = config
        .clone()
        .with_warm_up_steps(3)
        .with_schedule(Schedule::Linear)
        .with_clip_norm(Some(1e6));
    let (trained, steps) = train(scheduled.clone());
    let rates: Vec<f64> = steps.iter().map(|step| step.learning_rate).collect();
    assert_eq!(rates[2], 0.01);
    assert!(rates[..3].is_sorted_by(|a, b| a < b) && rates[3..].is_sorted_by(|a, b| a > b));
    assert!(rates.last().is_some_and(|&last| last > 0.0 && last < 1e-3));
    assert!(
        steps
            .iter()
            .all(|step| step.gradient_norm.is_some_and(|norm| norm > 0.0))
    );
    assert_eq!(trained.epochs[1].learning_rate, *rates.last().unwrap());
    // Gradients that are not too large are left alone; others change what is learned.
    let (left_alone, _) = train(config.clone().with_clip_norm(Some(1e6)));
    assert_eq!(weights(&left_alone.model), weights(&plain.model));
    let (clipped, _) = train(config.with_clip_norm(Some(1e-3)));
    assert_ne!(weights(&clipped.model), weights(&plain.model));
    // Where a rate falls until the end, another end is another training.
    let folder = tempfile::tempdir().unwrap();
    let resumed = |config| {
        let trainer = Trainer::new(config).checkpoints(folder.path()).resume(true);
        fit::<Flex>(&split, trainer)
    };
    resumed(scheduled.clone()).unwrap();
    let other = resumed(scheduled.with_epochs(3)).unwrap_err();
    assert!(
        matches!(other.kind(), ErrorKind::OtherTraining { what, .. } if what == "trainer.epochs"),
        "{other}"
    );
}

#[test]
fn resuming_with_other_settings_or_damaged_files_is_refused() {
    let split = split(Protocol::LeaveOneOut);
    let folder = tempfile::tempdir().unwrap();
    let fit_with = |config: TrainerConfig| {
        fit::<Flex>(
            &split,
            Trainer::new(config).checkpoints(folder.path()).resume(true),
        )
    };
    fit_with(config().with_epochs(1)).unwrap();
    let other = fit_with(config().with_learning_rate(0.5)).unwrap_err();
    assert!(
        matches!(other.kind(), ErrorKind::OtherTraining { what, .. } if what == "trainer.learning_rate"),
        "{other}"
    );
    let checkpoint = folder.path().join("epoch-00001");
    let optimizer = checkpoint.join("optimizer.bin");
    let whole = std::fs::read(&optimizer).unwrap();
    std::fs::write(&optimizer, &whole[..whole.len() / 2]).unwrap();
    let damaged = fit_with(config()).unwrap_err();
    assert!(
        matches!(damaged.kind(), ErrorKind::Damaged { .. }),
        "{damaged}"
    );
    std::fs::write(&optimizer, &whole).unwrap();
    assert_eq!(fit_with(config()).unwrap().epochs.len(), 4);
    let state = checkpoint_file(folder.path(), "state.json");
    let text = std::fs::read_to_string(&state).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Numbers that no training leaves.
    for (place, number) in [
        ("/progress/best_epoch", 0.0),
        ("/progress/best_epoch", 99.0),
        ("/progress/epochs/1/step", 0.0),
        ("/progress/wall_seconds", -1.0),
    ] {
        let mut value = value.clone();
        *value.pointer_mut(place).unwrap() = match place {
            "/progress/wall_seconds" => number.into(),
            _ => (number as u64).into(),
        };
        std::fs::write(&state, value.to_string()).unwrap();
        let damaged = fit_with(config()).unwrap_err();
        assert!(
            matches!(damaged.kind(), ErrorKind::Damaged { .. }),
            "{damaged}"
        );
    }
    value["format_version"] = 99.into();
    std::fs::write(&state, value.to_string()).unwrap();
    assert!(matches!(
        fit_with(config()).unwrap_err().kind(),
        ErrorKind::FormatVersion { found: 99, .. }
    ));
}

/// Whatever else a training differs in from its checkpoint is named, and nothing is trained.
#[test]
fn resuming_another_training_is_refused_by_what_differs() {
    let first = split(Protocol::LeaveOneOut);
    let folder = tempfile::tempdir().unwrap();
    let trainer = || {
        Trainer::new(config().with_epochs(1))
            .checkpoints(folder.path())
            .resume(true)
    };
    let base = Gru4RecConfig::new()
        .with_dim(16)
        .with_embedding_dropout(0.2)
        .with_max_len(10);
    let fit = |split: &Split, config: &Gru4RecConfig| {
        let items = split.catalog().len();
        let model = config.init::<Autodiff<Flex>>(items, 5, &Default::default());
        trainer().fit(model?, split)
    };
    fit(&first, &base).unwrap();
    let differs = |split: &Split, config: &Gru4RecConfig| match fit(split, config)
        .as_ref()
        .map_err(Error::kind)
    {
        Err(ErrorKind::OtherTraining { what, .. }) => what.clone(),
        other => panic!("{:?}", other.map(|trained| &trained.epochs)),
    };
    // The same items, divided otherwise: the test split was once trained on.
    let ratio = split(Protocol::Ratio { seed: 1 });
    assert_eq!(ratio.catalog().fingerprint(), first.catalog().fingerprint());
    assert_eq!(differs(&ratio, &base), "set of training sequences");
    let mut judged_otherwise = first.clone();
    judged_otherwise.valid = first.test.clone();
    assert_eq!(differs(&judged_otherwise, &base), "set of validation cases");
    // A file with as many items.
    let renamed: Interactions = (0..first.catalog().len() as i64)
        .flat_map(|item| {
            (0..3).map(move |place| Interaction::new(item / 5, 9_000 + item, place as f64))
        })
        .collect();
    let renamed = Dataset::new(renamed, Filters::default()).unwrap();
    let renamed = Split::new(&renamed, Protocol::LeaveOneOut).unwrap();
    assert_eq!(renamed.catalog().len(), first.catalog().len());
    assert_eq!(differs(&renamed, &base), "catalog");
    for (config, what) in [
        (
            base.clone().with_embedding_dropout(0.3),
            "model.embedding_dropout",
        ),
        (base.clone().with_max_len(11), "model.max_len"),
        (base.clone().with_dim(8), "model.dim"),
        (
            base.clone()
                .with_objective(Objective::new().with_similarity(Similarity::Dot)),
            "model.objective.similarity",
        ),
    ] {
        assert_eq!(differs(&first, &config), what);
    }
    assert!(fit(&first, &base).is_ok());
}

#[test]
fn a_checkpoint_folder_is_one_trainings_at_a_time_and_holds_nothing_elses() {
    let split = split(Protocol::LeaveOneOut);
    let folder = tempfile::tempdir().unwrap();
    /// Trains in the same folder while it is trained.
    struct Again<'a>(&'a Split, &'a Path);
    impl TrainingObserver for Again<'_> {
        fn on_epoch(&mut self, _: &EpochReport, _: bool) -> Result<ControlFlow<()>> {
            let trainer = Trainer::new(config()).checkpoints(self.1);
            let error = fit::<Flex>(self.0, trainer).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InUse { .. }), "{error}");
            Ok(ControlFlow::Continue(()))
        }
    }
    let trainer = Trainer::new(config().with_epochs(1)).checkpoints(folder.path());
    fit::<Flex>(&split, trainer.observer(Again(&split, folder.path()))).unwrap();
    let note = folder.path().join("epoch-00001/notes.txt");
    std::fs::write(&note, "x").unwrap();
    let trainer = Trainer::new(config()).checkpoints(folder.path());
    let error = fit::<Flex>(&split, trainer).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotOurs { .. }), "{error}");
    assert_eq!(std::fs::read(&note).unwrap(), b"x");
}

fn checkpoint_file(folder: &Path, name: &str) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let folders: Vec<_> = entries.collect();
    assert_eq!(folders.len(), 1, "only the last checkpoint is kept");
    folders[0].join(name)
}

#[test]
fn divergence_names_epoch_and_step_and_keeps_the_checkpoint() {
    let split = split(Protocol::LeaveOneOut);
    let folder = tempfile::tempdir().unwrap();
    let trainer = |config| Trainer::new(config).checkpoints(folder.path()).resume(true);
    fit::<Flex>(&split, trainer(config().with_epochs(1))).unwrap();
    // A model whose weights are not numbers has a loss that is none.
    let mut broken = model::<Autodiff<Flex>>(&split);
    broken.embedding = ItemTable::new(broken.embedding.kept().mul_scalar(f32::NAN));
    let error = Trainer::new(config()).fit(broken, &split).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::NonFiniteLoss {
                epoch: 1,
                step: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(checkpoint_file(folder.path(), "model.bin").exists());
}

/// A model whose loss is no number from some step on.
#[derive(burn::module::Module, Debug)]
struct Faulty<B: burn::tensor::backend::Backend> {
    sound: Gru4Rec<B>,
    #[module(skip)]
    steps_left: Arc<AtomicUsize>,
}

impl<B: Backend> SequenceRecaller<B> for Faulty<B> {
    type Config = Gru4RecConfig;

    fn config(&self) -> &Gru4RecConfig {
        self.sound.config()
    }

    fn items(&self) -> &ItemTable<B> {
        self.sound.items()
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        dropout: Dropout,
    ) -> Tensor<B, 3> {
        self.sound.states(histories, positions, dropout)
    }

    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let left = self.steps_left.load(Ordering::Relaxed);
        self.steps_left
            .store(left.saturating_sub(1), Ordering::Relaxed);
        let factor = if left == 0 { f64::NAN } else { 1.0 };
        self.sound.loss(batch).mul_scalar(factor)
    }
}

#[test]
fn divergence_after_an_epoch_keeps_the_best_weights() {
    let split = split(Protocol::LeaveOneOut);
    let plan = config().with_epochs(1);
    let first = fit::<Flex>(&split, Trainer::new(plan)).unwrap();
    let steps = split.train.sequences().len().div_ceil(config().batch_size);
    let model = Faulty {
        sound: model::<Autodiff<Flex>>(&split),
        steps_left: Arc::new(AtomicUsize::new(steps + 2)),
    };
    let trained = Trainer::new(config()).fit(model, &split).unwrap();
    let expected = StopReason::Diverged { epoch: 2, step: 3 };
    assert_eq!((trained.stop, trained.best_epoch), (expected, 1));
    let vectors = |table: Tensor<Flex, 2>| table.into_data().to_vec::<f32>().unwrap();
    assert_eq!(
        vectors(trained.model.item_embeddings()),
        vectors(first.model.item_embeddings())
    );
}

/// A learning rate that is far too high shows in no loss where an epoch has one step.
#[test]
fn a_last_step_that_goes_too_far_is_divergence() {
    let split = split(Protocol::LeaveOneOut);
    let one_step = |rate| config().with_batch_size(1_000).with_learning_rate(rate);
    let error = fit::<Flex>(&split, Trainer::new(one_step(1e38))).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::NonFiniteLoss {
                epoch: 1,
                step: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("lower the learning rate"));
    // So without any validation users.
    let mut unwatched = split.clone();
    unwatched.valid = split.valid.filtered(|_| false);
    let error = fit::<Flex>(&unwatched, Trainer::new(one_step(1e38))).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NonFiniteLoss { .. }),
        "{error}"
    );
    // In a later epoch, the best weights are kept.
    let model = Leaping {
        sound: model::<Autodiff<Flex>>(&split),
        steps: Arc::new(AtomicUsize::new(0)),
    };
    let trained = Trainer::new(one_step(0.01)).fit(model, &split).unwrap();
    assert_eq!(
        (trained.stop, trained.best_epoch),
        (StopReason::Diverged { epoch: 2, step: 1 }, 1)
    );
    let vectors = item_vectors::<Flex, _>(&trained.model);
    assert!(vectors.iter().all(|value| value.is_finite()));
}

/// A model whose second step has a finite loss and a gradient that is not.
#[derive(burn::module::Module, Debug)]
struct Leaping<B: burn::tensor::backend::Backend> {
    sound: Gru4Rec<B>,
    #[module(skip)]
    steps: Arc<AtomicUsize>,
}

impl<B: Backend> SequenceRecaller<B> for Leaping<B> {
    type Config = Gru4RecConfig;

    fn config(&self) -> &Gru4RecConfig {
        self.sound.config()
    }

    fn items(&self) -> &ItemTable<B> {
        self.sound.items()
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        dropout: Dropout,
    ) -> Tensor<B, 3> {
        self.sound.states(histories, positions, dropout)
    }

    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let loss = self.sound.loss(batch);
        if self.steps.fetch_add(1, Ordering::Relaxed) == 0 {
            return loss;
        }
        // The square root of 0 is 0, and its slope is infinite.
        let zero = self.sound.item_embeddings().sum().mul_scalar(0.0);
        loss + zero.sqrt()
    }
}

#[test]
fn small_data_are_given_steps_before_patience_ends() {
    let split = split(Protocol::LeaveOneOut);
    let steps = split.train.sequences().len().div_ceil(config().batch_size);
    let config = config()
        .with_epochs(50)
        .with_patience(3)
        .with_minimum_steps(10 * steps)
        .with_learning_rate(1e-12);
    let trained = fit::<Flex>(&split, Trainer::new(config)).unwrap();
    assert_eq!(
        (trained.stop, trained.best_epoch),
        (StopReason::Patience, 1)
    );
    assert_eq!(trained.epochs.len(), 10);
}

#[test]
fn training_stops_when_it_gets_no_better_and_keeps_the_best() {
    let split = split(Protocol::LeaveOneOut);
    // So small a step changes no ranking.
    let config = config()
        .with_epochs(50)
        .with_patience(3)
        .with_minimum_steps(0)
        .with_learning_rate(1e-12);
    let trained = fit::<Flex>(&split, Trainer::new(config)).unwrap();
    assert_eq!(
        (trained.stop, trained.best_epoch),
        (StopReason::Patience, 1)
    );
    assert_eq!(trained.epochs.len(), 4);
}

#[test]
fn settings_and_outputs_that_cannot_be_are_errors() {
    let split = split(Protocol::LeaveOneOut);
    let cases = [
        (config().with_epochs(0), "epochs"),
        (config().with_batch_size(0), "batch_size"),
        (config().with_patience(0), "patience"),
        (config().with_learning_rate(f64::NAN), "learning_rate"),
        (
            config().with_metric("mean_popularity@5".parse().unwrap()),
            "metric",
        ),
        (config().with_ks(vec![0]), "k"),
        (config().with_ks(vec![100_000]), "k"),
    ];
    for (config, name) in cases {
        let error = fit::<Flex>(&split, Trainer::new(config)).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidValue { field, .. } if *field == name),
            "{error}"
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = CsvLog::new(file.path().join("log.csv"));
    let error = fit::<Flex>(&split, Trainer::new(config()).observer(log)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
    // Its k is the default's, so that the error must say where it comes from.
    let small = config().with_metric("recall@5000".parse().unwrap());
    let error = fit::<Flex>(&split, Trainer::new(small))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("metric is recall@5000") && error.contains("with_metric"),
        "{error}"
    );
}

#[test]
fn the_graph_finds_what_the_exact_search_finds() {
    let split = split(Protocol::LeaveOneOut);
    let trained = fit::<Flex>(&split, Trainer::new(config())).unwrap();
    let vectors = item_vectors(&trained.model);
    let exact = FlatIndex::new(vectors.view()).unwrap();
    let graph = on_one_thread(|| HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap());
    let found = |index: &dyn VectorIndex| {
        Evaluation::new(&[10], Seen::Exclude)
            .run(
                &VectorChannel::from_model(trained.model.clone(), index),
                &split.test,
                split.catalog(),
            )
            .unwrap()
            .get("recall@10".parse().unwrap())
            .unwrap()
    };
    let (exact, graph) = (found(&exact), found(&graph));
    assert!(
        (exact - graph).abs() <= 0.02,
        "exact {exact}, graph {graph}"
    );
}
