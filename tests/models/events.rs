//! Events in every model: what a user did with an item is seen beside it, and all else is as
//! without.

use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::{Autodiff, Flex};
use seqrec::burn;
use seqrec::data::{
    Behaviors, Interaction, Interactions, ItemIndex, SequenceBatch, Targets, TrainingBatch, User,
};
use seqrec::model::{
    Gru4RecConfig, InputEmbedding, MODEL_NAMES, ModelVisitor, SequenceRecaller, TrainableConfig,
    visit_model,
};
use seqrec::prelude::*;
use seqrec::recall::{Evaluation, VectorChannel};
use seqrec::retrieve::{exact_index, item_vectors, user_vectors};
use seqrec::settings::overridden;
use seqrec::store::Run;
use seqrec::train::WarmStart;
use serde_json::json;

use crate::batches::{batch, integers};
use crate::tensors::{assert_close, values};

const ITEMS: usize = 12;

/// Users who go one item on after an `up` and one back after a `down`, with a value that tells
/// nothing; one says `no` now and then.
fn log(behaviors: &str) -> Interactions {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut rows = Vec::new();
    for user in 0..80i64 {
        let mut item = random.random_range(0..ITEMS as i64);
        for time in 0..20 {
            let up = random.random_bool(0.5);
            let what = if up { "up" } else { "down" };
            let row = Interaction::new(user, item, f64::from(2 * time)).with_event(what);
            rows.push(row.with_value(random.random_range(0..3) as f32));
            if random.random_bool(0.1) {
                let other = random.random_range(0..ITEMS as i64);
                let no = Interaction::new(user, other, f64::from(2 * time + 1));
                rows.push(no.with_event("no"));
            }
            item = (item + if up { 1 } else { -1 }).rem_euclid(ITEMS as i64);
        }
    }
    let log: Interactions = rows.into_iter().collect();
    log.with_behaviors(&behaviors.parse::<Behaviors>().unwrap())
        .unwrap()
}

const RULES: &str = "up=target, down=target*2, no=negative";

fn split(behaviors: &str) -> Split {
    let dataset = Dataset::new(log(behaviors), Filters::default()).unwrap();
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

/// A user's items alone.
fn items_of(user: User<'_>) -> User<'_> {
    User::from(user.items())
}

/// The parameters of a model by their names.
#[derive(Default)]
struct Parameters(Vec<String>, Vec<(String, Vec<f32>)>);

impl ModuleVisitor<Flex> for Parameters {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Flex, D>>) {
        self.1.push((self.0.join("."), values(param.val())));
    }
}

fn parameters(model: &impl Module<Flex>) -> Vec<(String, Vec<f32>)> {
    let mut found = Parameters::default();
    model.visit(&mut found);
    found.1
}

fn encoded<M: SequenceRecaller<Flex>>(model: &M, users: &[User<'_>]) -> Vec<f32> {
    let max_len = model.config().describe().max_len;
    let users = users.iter().copied();
    let histories = SequenceBatch::<Flex>::new(users, max_len, &Default::default()).unwrap();
    values(model.encode(&histories))
}

/// What every model that sees events promises.
fn check_promises<C: RecallerConfig>(name: &str, config: &C) {
    let split = split(RULES);
    let (device, catalog) = (Default::default(), split.catalog());
    let model = config.init_for::<Flex>(catalog, 3, &device).unwrap();
    let without = config.init::<Flex>(catalog.len(), 3, &device).unwrap();

    // All other weights are those of a model without.
    let mut others = parameters(&model);
    let with = others.len();
    others.retain(|(name, _)| !name.contains("events."));
    assert_eq!(with - others.len(), 2, "{name}");
    assert_eq!(others, parameters(&without), "{name}");
    assert_eq!(
        values(model.item_embeddings()),
        values(without.item_embeddings())
    );

    // A user of whom no events are known is as with such a model, also beside one with events.
    let sequences = split.train.sequences();
    let [first, second] = [0, 1].map(|user| sequences.history(user).last(9));
    let plain = items_of(second);
    let (alone, of_events) = (encoded(&model, &[plain]), encoded(&model, &[first]));
    assert_close(name, &alone, &encoded(&without, &[plain]), 1e-6);
    assert_ne!(of_events, encoded(&model, &[items_of(first)]), "{name}");
    let together = encoded(&model, &[first, plain.last(4), second]);
    let size = alone.len();
    assert_close(name, &together[..size], &of_events, 1e-5);
    let short = encoded(&model, &[plain.last(4)]);
    assert_close(name, &together[size..2 * size], &short, 1e-5);

    // Nothing that stands in padding is seen, and types that the model doesn't know say nothing.
    let max_len = model.config().describe().max_len;
    let users = [first, plain.last(4)];
    let mut padded = SequenceBatch::<Flex>::new(users, max_len, &device).unwrap();
    let [_, len] = padded.items.dims();
    let filled = |numbers: &mut Option<_>, place: usize, number: i32| {
        let tensor: Tensor<Flex, 2, burn::tensor::Int> = numbers.take().unwrap();
        let mut all: Vec<i32> = tensor.into_data().iter::<i32>().collect();
        all[len + place..].fill(number);
        *numbers = Some(integers::<Flex>(&all).reshape([2, len]));
    };
    filled(&mut padded.event_types, 4, 2);
    filled(&mut padded.event_values, 4, 140);
    assert_close(
        name,
        &values(model.encode(&padded)),
        &together[..2 * size],
        1e-5,
    );
    filled(&mut padded.event_types, 0, 77);
    filled(&mut padded.event_values, 0, 0);
    assert_close(
        name,
        &values(model.encode(&padded)),
        &together[..2 * size],
        1e-5,
    );

    // What is done after a position changes nothing there.
    if !model.config().describe().one_target {
        let loss = |user: User<'_>, position: i32| {
            let histories = SequenceBatch::<Flex>::new([user], max_len, &device).unwrap();
            let one = TrainingBatch {
                positions: integers(&[position]),
                ..batch(histories, &[11])
            };
            values(model.loss(&one))
        };
        assert_close(name, &loss(first, 2), &loss(first.first(3), 2), 1e-5);
    }
}

struct Promises;

impl ModelVisitor<Autodiff<Flex>> for Promises {
    type Output = ();

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) {
        let softmax = json!({"dim": 8, "objective": {"loss": "softmax"}});
        let config = overridden(&defaults, &softmax).unwrap();
        if C::NAME == "item2vec" {
            return assert!(!config.describe().event_vectors);
        }
        check_promises(C::NAME, &config);
        let off = overridden(&config, &json!({"event_vectors": false})).unwrap();
        let model = off.init_for::<Flex>(split(RULES).catalog(), 3, &Default::default());
        let names = parameters(&model.unwrap())
            .into_iter()
            .map(|(name, _)| name);
        assert_eq!(names.filter(|name| name.contains("events.")).count(), 0);
    }
}

#[test]
fn every_model_sees_events() {
    for name in MODEL_NAMES {
        visit_model::<Autodiff<Flex>, _>(name, Promises).unwrap();
    }
    for input in [InputEmbedding::Separate { dim: 6 }, InputEmbedding::OneHot] {
        let config = Gru4RecConfig::new().with_dim(8).with_input(input);
        check_promises("gru4rec", &config);
    }
}

fn trainer() -> TrainerConfig {
    TrainerConfig::new()
        .with_epochs(2)
        .with_batch_size(20)
        .with_learning_rate(0.01)
        .with_ks(vec![1, 3])
        .with_metric("hit_rate@1".parse().unwrap())
        .with_seen(Seen::Keep)
}

fn small() -> SasRecConfig {
    SasRecConfig::new()
        .with_dim(16)
        .with_blocks(1)
        .with_dropout(0.0)
}

/// A trained model's share of users whose next item comes first.
fn found_first<C: TrainableConfig<Autodiff<Flex>>>(config: &C, trainer: TrainerConfig) -> f64 {
    let split = split(RULES);
    let model = config.init_for::<Autodiff<Flex>>(split.catalog(), 5, &Default::default());
    let trained = Trainer::new(trainer).fit(model.unwrap(), &split).unwrap();
    let index = exact_index(&trained.model).unwrap();
    let channel = VectorChannel::from_model(trained.model, index);
    let report = Evaluation::new(&[1], Seen::Keep).run(&channel, &split.test, split.catalog());
    report.unwrap().hit_rate(1).unwrap()
}

/// The last event alone says what comes next.
#[test]
fn a_model_learns_what_events_say() {
    let trainer = trainer().with_epochs(40).with_validate_every(Some(160));
    let with = found_first(&small(), trainer.clone());
    let without = found_first(&small().with_event_vectors(false), trainer.clone());
    assert!(with > 0.8 && without < 0.7, "{with}, {without}");
    let config = Gru4RecConfig::new().with_dim(24).with_hidden_dropout(0.1);
    let config = config.with_embedding_dropout(0.1);
    for targets in [Targets::All, Targets::SessionParallel] {
        let epochs = if targets == Targets::All { 40 } else { 10 };
        let trainer = trainer.clone().with_targets(targets).with_epochs(epochs);
        let trainer = trainer.with_validate_every(None);
        let with = found_first(&config, trainer.clone());
        let without = found_first(&config.clone().with_event_vectors(false), trainer);
        assert!(with > without + 0.15, "{targets:?}: {with}, {without}");
    }
}

/// After each item, the one after it is liked, or a bait that half of those who meet it dislike.
fn log_of_baits() -> Interactions {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut rows = Vec::new();
    for user in 0..80i64 {
        let mut item = random.random_range(0..ITEMS as i64);
        let mut did = |item: i64, what: &str, time: f64| {
            rows.push(Interaction::new(user, item, time).with_event(what));
        };
        did(item, "yes", 0.0);
        for time in 1..20 {
            match random.random_range(0..20) {
                0..6 => {
                    item = (item + 1) % ITEMS as i64;
                    did(item, "yes", f64::from(time));
                }
                6..13 => did(BAIT + item, "yes", f64::from(time)),
                _ => did(BAIT + item, "no", f64::from(time)),
            }
        }
    }
    let log: Interactions = rows.into_iter().collect();
    log.with_behaviors(&"yes=target, no=negative".parse().unwrap())
        .unwrap()
}

/// The ids of baits begin here.
const BAIT: i64 = 100;

#[test]
fn what_users_dislike_is_recalled_less() {
    let dataset = Dataset::new(log_of_baits(), Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let device = Default::default();
    // The share of users for whom a bait comes first.
    let baited = |objective: Objective| {
        let config = small().with_objective(objective).with_event_vectors(false);
        let model = config
            .init_for::<Autodiff<Flex>>(split.catalog(), 5, &device)
            .unwrap();
        let trainer = trainer().with_epochs(40).with_validate_every(Some(160));
        let trained = Trainer::new(trainer).fit(model, &split).unwrap();
        let users = (0..split.test.len()).map(|case| split.test.get(case).user);
        let histories = SequenceBatch::<Flex>::new(users, 50, &device).unwrap();
        let users = user_vectors(&trained.model, &histories);
        let scores = users.dot(&item_vectors(&trained.model).t());
        let is_bait = |item: ItemIndex| {
            let id = split.catalog().id_of(item).unwrap().to_string();
            id.parse::<i64>().unwrap() >= BAIT
        };
        let score = |row: usize, item: ItemIndex| scores[[row, item.to_usize()]];
        let first = (0..scores.nrows()).map(|row| {
            let items = split.catalog().items();
            items
                .max_by(|&a, &b| score(row, a).total_cmp(&score(row, b)))
                .unwrap()
        });
        first.filter(|&item| is_bait(item)).count() as f64 / scores.nrows() as f64
    };
    for objective in [Objective::cosine(0.1), Objective::new()] {
        let not = baited(objective.clone().with_dislike_weight(0.0));
        let kept_away = baited(objective);
        assert!(kept_away < 0.6 * not && not > 0.4, "{kept_away}, {not}");
    }
}

#[test]
fn a_run_folder_and_a_resumed_training_have_events() {
    let split = split(RULES);
    let device = Default::default();
    let model = || {
        small()
            .init_for::<Autodiff<Flex>>(split.catalog(), 5, &device)
            .unwrap()
    };
    let whole = Trainer::new(trainer()).fit(model(), &split).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    let kept = || {
        Trainer::new(trainer())
            .checkpoints(&checkpoints)
            .resume(true)
    };
    let first = Trainer::new(trainer().with_epochs(1)).checkpoints(&checkpoints);
    first.fit(model(), &split).unwrap();
    let resumed = kept().fit(model(), &split).unwrap();
    assert_eq!(parameters(&whole.model), parameters(&resumed.model));
    let moved = parameters(&whole.model)
        .into_iter()
        .zip(parameters(&model().valid()));
    for ((name, trained), (_, before)) in moved.filter(|((name, _), _)| name.contains("events.")) {
        assert_ne!(trained, before, "{name}");
        assert_eq!(
            trained[..16],
            [0.0; 16],
            "{name}: what isn't known says nothing"
        );
    }

    let path = folder.path().join("run");
    let users = [split.test.get(0).user, split.test.get(1).user];
    let expected = encoded(&whole.model, &users);
    Run::<Flex, _>::new(small(), whole.model, split.catalog().clone())
        .save(&path)
        .unwrap();
    let run = Run::<Flex, SasRecConfig>::load(&path, &device).unwrap();
    assert_eq!(encoded(&run.model, &users), expected);

    // A model that was made without the catalog knows of no events.
    let without = small()
        .init::<Autodiff<Flex>>(split.catalog().len(), 5, &device)
        .unwrap();
    let refused = Trainer::new(trainer())
        .fit(without.clone(), &split)
        .unwrap_err();
    assert!(refused.to_string().contains("init_for"), "{refused}");
    let run = Run::<Flex, _>::new(small(), without.valid(), split.catalog().clone());
    let refused = run.save(&path).unwrap_err();
    assert!(refused.to_string().contains("event_vectors"), "{refused}");
    let off = small().with_event_vectors(false);
    let run = off.init::<Flex>(split.catalog().len(), 5, &device).unwrap();
    Run::<Flex, _>::new(off, run, split.catalog().clone())
        .save(&path)
        .unwrap();
    Run::<Flex, SasRecConfig>::load(&path, &device).unwrap();
}

/// Vectors of types follow their rules, and those of values their steps.
#[test]
fn a_warm_start_knows_the_rules_by_what_they_name() {
    let (before, after) = (
        split(RULES),
        split("new=target, no=negative*2, up=target, down=target"),
    );
    let device = Default::default();
    let old = small()
        .init_for::<Autodiff<Flex>>(before.catalog(), 5, &device)
        .unwrap();
    let old = Trainer::new(trainer()).fit(old, &before).unwrap();
    let start = WarmStart::new(&old.model, before.catalog());
    let new = small()
        .init_for::<Autodiff<Flex>>(after.catalog(), 9, &device)
        .unwrap();
    let drawn = parameters(&new.valid());
    let new = start.apply(new, &after).unwrap().valid();
    let users = [&before, &after].map(|split| split.train.sequences().history(3));
    let [expected, found] = [encoded(&old.model, &users[..1]), encoded(&new, &users[1..])];
    assert_close("user", &found, &expected, 1e-6);
    let types = |parameters: Vec<(String, Vec<f32>)>| {
        let mut all = parameters.into_iter();
        all.find(|(name, _)| name == "ends.events.types").unwrap().1
    };
    assert_eq!(
        types(parameters(&new))[16..32],
        types(drawn)[16..32],
        "a new rule"
    );

    // A model of data without events begins with vectors that are drawn.
    let plain = small()
        .init::<Flex>(before.catalog().len(), 5, &device)
        .unwrap();
    let start = WarmStart::new(&plain, before.catalog());
    let new = small()
        .init_for::<Autodiff<Flex>>(after.catalog(), 9, &device)
        .unwrap();
    let drawn = types(parameters(&new.valid()));
    let new = start.apply(new, &after).unwrap().valid();
    assert_eq!(types(parameters(&new)), drawn);
    let history = [ItemIndex::new(1), ItemIndex::new(4)];
    let history = [User::from(&history[..])];
    assert_eq!(encoded(&new, &history), encoded(&plain, &history));
}
