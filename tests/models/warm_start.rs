//! Training that begins with a trained model, on a catalog that has got items and lost others.

use std::collections::BTreeMap;

use burn::config::Config;
use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};
use seqrec::backend::{Autodiff, Backend, Flex};
use seqrec::data::{
    Dataset, Features, Filters, Interaction, Interactions, Protocol, SequenceBatch, Split,
};
use seqrec::model::parts::{Dropout, Weights, at_positions};
use seqrec::model::{
    Description, Gru4RecConfig, InputEmbedding, ItemTable, MODEL_NAMES, ModelVisitor, Objective,
    RecallerConfig, SasRecConfig, SequenceRecaller, TrainableConfig, TwoTowerConfig, visit_model,
};
use seqrec::retrieve::item_vectors;
use seqrec::store::{ModelRegistry, Recaller, Run};
use seqrec::train::{
    NewItems, Optimizer, Overlap, Trained, Trainer, TrainerConfig, TrainingObserver, TrainingPlan,
    WarmStart,
};
use seqrec::{Error, ErrorKind, Result};

type Train = Autodiff<Flex>;

/// Users who each take eight items, from `first` on in steps of `step`, out of `items`.
fn dataset(users: usize, items: usize, first: usize, step: usize) -> Dataset {
    let mut log = Interactions::default();
    for user in 0..users {
        for place in 0..8 {
            let item = first + (user * 3 + place * step) % items;
            let item = format!("item {item}");
            log.push(Interaction::new(format!("user {user}"), item, place as f64));
        }
    }
    Dataset::new(log, Filters::default()).unwrap()
}

fn split(users: usize, items: usize, first: usize, step: usize) -> Split {
    let dataset = dataset(users, items, first, step);
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

/// The same with a feature of users for each of these tags.
fn with_tags(dataset: Dataset, tags: &[&str]) -> Split {
    let features = Features::from_user_tags(&dataset, tagged("user", 40, tags));
    let dataset = dataset.with_user_features(features).unwrap();
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

fn old_split() -> Split {
    split(40, 20, 0, 1)
}

/// Items 5 to 24, in another order: 0 to 4 are gone, 20 to 24 are new.
fn new_split() -> Split {
    split(40, 20, 5, 3)
}

fn config() -> TrainerConfig {
    TrainerConfig::new()
        .with_epochs(2)
        .with_batch_size(8)
        .with_learning_rate(0.01)
        .with_metric("recall@5".parse().unwrap())
        .with_ks(vec![5])
}

/// Steps too small to be seen.
fn still() -> TrainerConfig {
    config().with_epochs(1).with_learning_rate(1e-30)
}

fn gru() -> Gru4RecConfig {
    Gru4RecConfig::new()
        .with_dim(6)
        .with_max_len(8)
        // Its vectors are searched as they are.
        .with_objective(Objective::new())
        .with_input(InputEmbedding::Separate { dim: 4 })
}

fn fit<C: TrainableConfig<Train>>(
    model: &C,
    trainer: Trainer<'_>,
    split: &Split,
    seed: u64,
) -> Result<Trained<C::Recaller<Flex>>> {
    let device = Default::default();
    let model = model.init::<Train>(split.catalog().len(), seed, &device)?;
    trainer.fit(model, split)
}

/// The vector of an item.
fn vector(vectors: &ndarray::Array2<f32>, split: &Split, item: usize) -> Vec<f32> {
    let id = format!("item {item}").into();
    let index = split.catalog().index_of(&id).unwrap();
    vectors.row(index.to_usize()).to_vec()
}

#[test]
fn vectors_follow_their_items_and_weights_stay() {
    let (old, new) = (old_split(), new_split());
    let before = fit(&gru(), Trainer::new(config()), &old, 1).unwrap().model;
    let start = WarmStart::new(&before, old.catalog());
    let overlap = Overlap {
        kept: 15,
        new: 5,
        gone: 5,
    };
    assert_eq!(start.overlap(new.catalog()), overlap);
    let trainer = || Trainer::new(still());
    let after = fit(&gru(), trainer().warm_start(start), &new, 2).unwrap();
    let cold = fit(&gru(), trainer(), &new, 2).unwrap().model;
    let inputs = |model: &seqrec::model::Gru4Rec<Flex>| {
        let table = model.input_embedding.as_ref().unwrap().kept();
        let shape = table.dims();
        let values = table.into_data().to_vec::<f32>().unwrap();
        ndarray::Array2::from_shape_vec(shape, values).unwrap()
    };
    let tables = [
        [&before, &after.model, &cold].map(item_vectors),
        [&before, &after.model, &cold].map(inputs),
    ];
    for [before, after, cold] in &tables {
        assert_eq!(before.dim(), after.dim());
        for item in 5..20 {
            let expected = vector(before, &old, item);
            assert_eq!(vector(after, &new, item), expected, "{item}");
        }
        // New ones begin as those of a new model, unless told otherwise.
        for item in 20..25 {
            assert_eq!(vector(after, &new, item), vector(cold, &new, item));
        }
    }
    // An order of its own shows that rows were not just copied.
    assert_ne!(tables[0][0], tables[0][1]);
    let hidden = |model: &seqrec::model::Gru4Rec<Flex>| {
        let weights = model.layers[0].weight_hidden.val().into_data();
        weights.to_vec::<f32>().unwrap()
    };
    assert_eq!(hidden(&before), hidden(&after.model));
    assert_ne!(hidden(&before), hidden(&cold));
}

/// An item that was in the old catalog, but in no training sequence, is as new as one that was not.
#[test]
fn items_that_were_never_trained_are_new() {
    let (old, new) = (old_split(), new_split());
    let seven = old.catalog().index_of(&"item 7".into()).unwrap();
    let old = old.without_items(|item| item == seven).unwrap();
    let before = fit(&gru(), Trainer::new(config()), &old, 1).unwrap().model;
    let start = WarmStart::new(&before, old.catalog()).new_items(NewItems::neighbors());
    let after = fit(&gru(), Trainer::new(still()).warm_start(start), &new, 2).unwrap();
    let [before, after] = [item_vectors(&before), item_vectors(&after.model)];
    assert_ne!(vector(&before, &old, 7), vector(&after, &new, 7));
    assert_eq!(vector(&before, &old, 8), vector(&after, &new, 8));
}

#[test]
fn new_items_begin_where_they_are_told() {
    let (old, new) = (old_split(), new_split());
    let before = fit(&gru(), Trainer::new(config()), &old, 1).unwrap().model;
    let after = |new_items| {
        let start = WarmStart::new(&before, old.catalog()).new_items(new_items);
        let trainer = Trainer::new(still()).warm_start(start);
        let model = fit(&gru(), trainer, &new, 2)?.model;
        Ok::<_, Error>(item_vectors(&model))
    };
    let vectors = item_vectors(&before);
    // By hand, item 22's neighbors in the training data.
    let id = "item 22".into();
    let item = new.catalog().index_of(&id).unwrap();
    let mut near = Vec::new();
    for sequence in new.train.sequences().item_lists() {
        for place in (0..sequence.len()).filter(|&place| sequence[place] == item) {
            let around = [place.checked_sub(1), Some(place + 1)]
                .into_iter()
                .flatten();
            for other in around.filter_map(|place| sequence.get(place)) {
                let id = new.catalog().id_of(*other).unwrap();
                near.extend(old.catalog().index_of(id));
            }
        }
    }
    assert!(near.len() > 3);
    let mean = |rows: &[seqrec::data::ItemIndex]| -> Vec<f32> {
        let sum = |column| -> f32 {
            let values = rows.iter().map(|row| vectors[[row.to_usize(), column]]);
            values.sum()
        };
        (0..6)
            .map(|column| sum(column) / rows.len() as f32)
            .collect()
    };
    let close = |found: &[f32], expected: &[f32]| {
        let pairs = found.iter().zip(expected);
        assert!(
            pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5),
            "{found:?} {expected:?}"
        );
    };
    let found = after(NewItems::Neighbors { window: 1 }).unwrap();
    close(&vector(&found, &new, 22), &mean(&near));

    let tags = [(7, "red"), (9, "red"), (22, "red"), (23, "unheard of")];
    let tags = tags.map(|(item, tag)| (format!("item {item}").into(), vec![tag]));
    let features = Features::from_item_tags(new.catalog(), tags);
    let found = after(NewItems::Features(features)).unwrap();
    let red: Vec<_> = [7, 9]
        .map(|item| {
            old.catalog()
                .index_of(&format!("item {item}").into())
                .unwrap()
        })
        .into();
    close(&vector(&found, &new, 22), &mean(&red));
    // Nothing is known of its feature, and of 24 there is none.
    let noise = after(NewItems::Noise).unwrap();
    for item in [23, 24] {
        assert_eq!(vector(&found, &new, item), vector(&noise, &new, item));
    }
    let of_the_old = Features::from_item_tags(
        split(40, 30, 0, 1).catalog(),
        [("item 7".into(), vec!["red"])],
    );
    let refused = after(NewItems::Features(of_the_old)).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::Shape { .. }),
        "{refused}"
    );
}

#[test]
fn moments_are_carried_over_and_those_of_another_training_refused() {
    let (old, new) = (old_split(), new_split());
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    let trainer = Trainer::new(config()).checkpoints(&checkpoints);
    let before = fit(&gru(), trainer, &old, 1).unwrap().model;
    let start = || WarmStart::new(&before, old.catalog());
    let warm =
        |config: TrainerConfig, start| fit(&gru(), Trainer::new(config).warm_start(start), &new, 2);
    let with = warm(config(), start().moments(&checkpoints)).unwrap();
    let without = warm(config(), start()).unwrap();
    assert_ne!(item_vectors(&with.model), item_vectors(&without.model));
    // Into the folder that the moments are in.
    let trainer = Trainer::new(config()).checkpoints(&checkpoints);
    let trainer = trainer.warm_start(start().moments(&checkpoints));
    let again = fit(&gru(), trainer, &new, 2).unwrap();
    assert_eq!(item_vectors(&again.model), item_vectors(&with.model));

    // Now they are of the new catalog, and of Adam.
    let named = |refused: Result<_>| match refused.map(|_: Trained<_>| ()).unwrap_err().kind() {
        ErrorKind::OtherTraining { what, .. } => what.clone(),
        other => panic!("{other}"),
    };
    assert_eq!(
        named(warm(config(), start().moments(&checkpoints))),
        "catalog"
    );
    let start = WarmStart::new(&with.model, new.catalog()).moments(&checkpoints);
    let adagrad = config().with_optimizer(Optimizer::ADAGRAD);
    assert!(named(warm(adagrad, start.clone())).starts_with("trainer.optimizer"));
    let empty = start.moments(folder.path().join("none"));
    let refused = warm(config(), empty).unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::InvalidValue {
                field: "moments",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn another_model_and_another_catalog_are_refused() {
    let (old, new) = (old_split(), new_split());
    let before = fit(&gru(), Trainer::new(still()), &old, 1).unwrap().model;
    let start = || WarmStart::new(&before, old.catalog());
    let warm = |start| Trainer::new(still()).warm_start(start);
    let other_size = fit(&gru().with_dim(5), warm(start()), &new, 2).map(drop);
    let other_kind = SasRecConfig::new().with_dim(6);
    let other_kind = fit(&other_kind, warm(start()), &new, 2).map(drop);
    for (refused, name) in [(other_size, "embedding"), (other_kind, "ends.embedding")] {
        let refused = refused.unwrap_err();
        let named =
            matches!(refused.kind(), ErrorKind::OtherModel { weights, .. } if weights == name);
        assert!(named, "{refused}");
    }
    let strangers = split(40, 20, 100, 1);
    let refused = fit(&gru(), warm(start()), &strangers, 2).map(drop);
    assert!(matches!(
        refused.as_ref().map_err(Error::kind),
        Err(ErrorKind::NothingLeft { .. })
    ));
}

/// A training that was interrupted goes on from its own checkpoint, though the moments that it
/// began with were in the same folder and are gone.
#[test]
fn a_warm_start_is_resumed_in_the_folder_of_the_old_training() {
    let (old, new) = (old_split(), new_split());
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    let other = folder.path().join("other");
    let into = |folder: &std::path::Path| Trainer::new(config()).checkpoints(folder);
    let before = fit(&gru(), into(&checkpoints), &old, 1).unwrap().model;
    fit(&gru(), into(&other), &old, 1).unwrap();
    let trainer = |epochs, folder: &std::path::Path, resume| {
        let start = WarmStart::new(&before, old.catalog()).moments(folder);
        Trainer::new(config().with_epochs(epochs))
            .checkpoints(folder)
            .resume(resume)
            .warm_start(start)
    };
    let whole = fit(&gru(), trainer(2, &other, false), &new, 2).unwrap();
    // Whoever always resumes begins where there is only the old training's checkpoint.
    fit(&gru(), trainer(1, &checkpoints, true), &new, 2).unwrap();
    let resumed = fit(&gru(), trainer(2, &checkpoints, true), &new, 2).unwrap();
    assert_eq!(resumed.epochs.len(), 2);
    assert_eq!(item_vectors(&resumed.model), item_vectors(&whole.model));
    // The old one's is gone by then.
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("epoch")).collect()
    };
    assert_eq!(names(&checkpoints), ["epoch-00002"]);

    // One that was interrupted before its first checkpoint begins again from the old one's.
    let third = folder.path().join("third");
    fit(&gru(), into(&third), &old, 1).unwrap();
    let stopped = trainer(2, &third, false).observer(StopsAtOnce);
    assert!(fit(&gru(), stopped, &new, 2).is_err());
    let again = fit(&gru(), trainer(2, &third, true), &new, 2).unwrap();
    assert_eq!(item_vectors(&again.model), item_vectors(&whole.model));

    // So does one on the same data by the same settings, of which the old one's might be taken for
    // its own.
    let fourth = folder.path().join("fourth");
    fit(&gru(), into(&fourth), &old, 1).unwrap();
    let start = || WarmStart::new(&before, old.catalog()).moments(&fourth);
    let again = |resume| into(&fourth).resume(resume).warm_start(start());
    assert!(fit(&gru(), again(false).observer(StopsAtOnce), &old, 2).is_err());
    let again = fit(&gru(), again(true), &old, 2).unwrap();
    let fifth = folder.path().join("fifth");
    fit(&gru(), into(&fifth), &old, 1).unwrap();
    let start = WarmStart::new(&before, old.catalog()).moments(&fifth);
    let uninterrupted = fit(&gru(), Trainer::new(config()).warm_start(start), &old, 2).unwrap();
    assert_eq!(
        item_vectors(&again.model),
        item_vectors(&uninterrupted.model)
    );
    assert_ne!(item_vectors(&again.model), item_vectors(&before));

    // That of another training is still refused.
    let strangers = split(40, 20, 7, 3);
    let refused = fit(&gru(), trainer(2, &third, true), &strangers, 2).map(drop);
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::OtherTraining { .. })
        ),
        "{refused:?}"
    );
}

struct StopsAtOnce;

impl TrainingObserver for StopsAtOnce {
    fn on_start(&mut self, _: &TrainingPlan<'_>) -> Result<()> {
        Err(ErrorKind::NothingLeft {
            reason: "on purpose".to_owned(),
        }
        .into())
    }
}

/// A model of your own: the last item's vector.
#[derive(Config, Debug)]
struct LastItemConfig {
    /// Whether items are seen by the vectors of burn's `Embedding`.
    in_embedding: bool,
    /// Whether there is a layer with an output for each item.
    #[config(default = false)]
    outputs: bool,
    #[config(default = "Objective::cosine(0.1)")]
    objective: Objective,
}

#[derive(Module, Debug)]
struct LastItem<B: BurnBackend> {
    items: ItemTable<B>,
    seen: Option<Embedding<B>>,
    outputs: Option<Linear<B>>,
    #[module(skip)]
    config: LastItemConfig,
}

impl RecallerConfig for LastItemConfig {
    type Recaller<B: Backend> = LastItem<B>;
    const NAME: &'static str = "last_item";

    fn describe(&self) -> Description<'_> {
        Description::new(&self.objective, 8)
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> LastItem<B> {
        let seen = (self.in_embedding).then(|| Embedding {
            weight: weights.normal(items + 1, 6, 1.0),
        });
        LastItem {
            items: weights.items(items, 6),
            seen,
            outputs: self.outputs.then(|| weights.linear(6, items)),
            config: self.clone(),
        }
    }
}

impl<B: Backend> SequenceRecaller<B> for LastItem<B> {
    type Config = LastItemConfig;

    fn config(&self) -> &LastItemConfig {
        &self.config
    }

    fn items(&self) -> &ItemTable<B> {
        &self.items
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        _: Dropout,
    ) -> Tensor<B, 3> {
        let items = histories.items.clone();
        let states = match &self.seen {
            Some(seen) => seen.forward(items),
            None => self.items.lookup(items),
        };
        at_positions(states, positions).unsqueeze_dim(1)
    }
}

/// Of a model that the crate does not know, the error says how it is opened, and so it is.
#[test]
fn a_run_of_a_model_of_ones_own_is_opened_by_a_registry_that_has_it() {
    let split = old_split();
    let config = LastItemConfig::new(false);
    let model = config.init::<Flex>(split.catalog().len(), 1, &Default::default());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let run = Run::<Flex, _>::new(config, model.unwrap(), split.catalog().clone());
    run.save(&path).unwrap();
    let error = Recaller::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("\"last_item\"") && error.contains("`open_with`"),
        "{error}"
    );
    let said = "ModelRegistry::<Flex>::builtin().with::<YourConfig>()";
    assert!(error.contains(said), "{error}");
    let models = ModelRegistry::<Flex>::builtin().with::<LastItemConfig>();
    Recaller::open_with(&path, &models, &Default::default()).unwrap();
}

/// What grows with the catalog and is no table of items is not copied row for row, by which each
/// item would begin with the vector of another.
#[test]
fn weights_of_items_in_no_table_of_items_are_refused() {
    let (old, new) = (old_split(), new_split());
    assert_eq!(old.catalog().len(), new.catalog().len());
    let warm_of = |model: LastItemConfig, split: &Split| {
        let before = fit(&model, Trainer::new(still()), &old, 1)?.model;
        let start = WarmStart::new(&before, old.catalog());
        let after = fit(&model, Trainer::new(still()).warm_start(start), split, 2)?.model;
        Ok::<_, Error>([before, after].map(|model| item_vectors(&model)))
    };
    let warm = |in_embedding, split: &Split| warm_of(LastItemConfig::new(in_embedding), split);
    let refused = warm(true, &new).unwrap_err().to_string();
    assert!(
        refused.contains("seen.weight [21, 6]") && refused.contains("ItemTable"),
        "{refused}"
    );
    let outputs = LastItemConfig::new(false).with_outputs(true);
    let refused = warm_of(outputs.clone(), &new).unwrap_err().to_string();
    assert!(
        refused.contains("outputs.weight [6, 20]") || refused.contains("outputs.bias [20]"),
        "{refused}"
    );
    assert!(warm_of(outputs, &old).is_ok());
    // So they are where the catalog has grown, which makes the model no other one.
    let refused = warm(true, &split(40, 23, 0, 1)).unwrap_err().to_string();
    assert!(
        refused.contains("seen.weight [24, 6]") && refused.contains("ItemTable"),
        "{refused}"
    );
    // A table of items is one, whatever its name.
    let [before, after] = warm(false, &new).unwrap();
    assert_eq!(vector(&before, &old, 9), vector(&after, &new, 9));
    assert_ne!(before.row(1), after.row(1));
    // Of the same items in the same order every row is where it was.
    let [before, after] = warm(true, &old).unwrap();
    assert_eq!(before, after);
}

/// A model of your own that has the settings of one of this crate.
#[derive(Module, Debug)]
struct Reuses<B: BurnBackend> {
    items: ItemTable<B>,
    seen: Embedding<B>,
    #[module(skip)]
    config: Gru4RecConfig,
}

impl<B: Backend> SequenceRecaller<B> for Reuses<B> {
    type Config = Gru4RecConfig;

    fn config(&self) -> &Gru4RecConfig {
        &self.config
    }

    fn items(&self) -> &ItemTable<B> {
        &self.items
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        _: Dropout,
    ) -> Tensor<B, 3> {
        let states = self.seen.forward(histories.items.clone());
        at_positions(states, positions).unsqueeze_dim(1)
    }
}

/// What is known of a model of this crate is not known of another with its settings.
#[test]
fn settings_of_this_crate_make_no_model_of_it() {
    let (old, new) = (old_split(), new_split());
    let device = Default::default();
    let model = |split: &Split| {
        let (items, mut weights) = (split.catalog().len(), Weights::new(1, &device).unwrap());
        Reuses::<Train> {
            items: weights.items(items, 6),
            seen: Embedding {
                weight: weights.normal(items + 1, 6, 1.0),
            },
            config: gru(),
        }
    };
    let start = WarmStart::new(&model(&old), old.catalog());
    let refused = start.apply(model(&new), &new).map(drop).unwrap_err();
    assert!(
        refused.to_string().contains("seen.weight [21, 6]"),
        "{refused}"
    );
}

/// Another module, which has the name of a table of items.
mod other {
    use super::*;

    #[derive(Module, Debug)]
    pub struct ItemTable<B: BurnBackend> {
        pub vectors: Param<Tensor<B, 2>>,
    }
}

#[derive(Module, Debug)]
struct Mixed<B: BurnBackend> {
    first: Option<ItemTable<B>>,
    layer: Param<Tensor<B, 2>>,
    more: Vec<ItemTable<B>>,
    foreign: other::ItemTable<B>,
}

/// The names of a model's parameters, and whether each is of items.
#[derive(Default)]
struct OfItems {
    path: Vec<String>,
    of_items: bool,
    found: Vec<(String, bool)>,
}

impl ModuleVisitor<Flex> for OfItems {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        self.path.pop();
        self.of_items = container == ItemTable::<Flex>::CONTAINER;
    }

    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<Flex, D>>) {
        self.found.push((self.path.join("."), self.of_items));
    }
}

#[test]
fn visitors_know_tables_of_items_by_their_type() {
    let values = || Tensor::<Flex, 2>::zeros([3, 2], &Default::default());
    let model = Mixed {
        first: Some(ItemTable::new(values())),
        layer: Param::from_tensor(values()),
        more: vec![ItemTable::new(values())],
        foreign: other::ItemTable {
            vectors: Param::from_tensor(values()),
        },
    };
    let mut visitor = OfItems::default();
    model.visit(&mut visitor);
    let expected = [
        ("first", true),
        ("layer", false),
        ("more.0", true),
        ("foreign.vectors", false),
    ];
    let expected = expected.map(|(name, of_items)| (name.to_owned(), of_items));
    assert_eq!(visitor.found, expected);
}

/// The parameters of a model with a row for each item and padding, by their names.
struct Tables {
    rows: usize,
    path: Vec<String>,
    container: String,
    found: BTreeMap<String, ndarray::Array2<f32>>,
}

impl Tables {
    fn of(model: &impl Module<Train>, split: &Split) -> BTreeMap<String, ndarray::Array2<f32>> {
        let mut tables = Self {
            rows: split.catalog().len() + 1,
            path: Vec::new(),
            container: String::new(),
            found: BTreeMap::new(),
        };
        model.visit(&mut tables);
        tables.found
    }
}

impl ModuleVisitor<Train> for Tables {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.pop();
        self.container = container.to_owned();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Train, D>>) {
        let shape = param.dims();
        if shape[0] == self.rows {
            assert_eq!(
                self.container,
                ItemTable::<Train>::CONTAINER,
                "{:?}",
                self.path
            );
            let values = param.val().into_data().iter::<f32>().collect();
            let shape = (self.rows, shape[1..].iter().product());
            let values = ndarray::Array2::from_shape_vec(shape, values).unwrap();
            self.found.insert(self.path.join("."), values);
        }
    }
}

/// In every model of this crate, every table of items follows their ids.
#[test]
fn the_tables_of_all_models_are_known() {
    struct Follows;
    impl ModelVisitor<Train> for Follows {
        type Output = usize;

        fn visit<C: TrainableConfig<Train>>(self, defaults: C) -> usize {
            // More items than any loss draws, and other rows than any layer has.
            let (old, new) = (split(60, 97, 0, 1), split(60, 97, 5, 1));
            let device = Default::default();
            let init = |seed| defaults.init::<Train>(97, seed, &device).unwrap();
            let before = init(1);
            let start = WarmStart::new(&before, old.catalog());
            let after = start.apply(init(2), &new).unwrap();
            let [before, after] = [(&before, &old), (&after, &new)].map(|(m, s)| Tables::of(m, s));
            for (name, before) in &before {
                let after = vector(&after[name], &new, 9);
                assert_eq!(vector(before, &old, 9), after, "{name} of {}", C::NAME);
            }
            before.len()
        }
    }
    for name in MODEL_NAMES {
        assert!(visit_model(name, Follows).unwrap() > 0, "{name}");
    }
}

/// Layers of the size of the catalog are layers, in the models of this crate.
#[test]
fn a_layer_that_is_as_large_as_the_catalog_stays_what_it_is() {
    let (old, new) = (old_split(), new_split());
    // 20 items and padding: layers and tables have 21 rows, and so have positions.
    let model = Gru4RecConfig::new()
        .with_dim(21)
        .with_max_len(21)
        .with_objective(Objective::new());
    let before = fit(&model, Trainer::new(still()), &old, 1).unwrap().model;
    let start = WarmStart::new(&before, old.catalog());
    let after = fit(&model, Trainer::new(still()).warm_start(start), &new, 2).unwrap();
    let hidden = |model: &seqrec::model::Gru4Rec<Flex>| {
        let weights = model.layers[0].weight_hidden.val().into_data();
        weights.to_vec::<f32>().unwrap()
    };
    assert_eq!(hidden(&before), hidden(&after.model));
    let [vectors, begun] = [&before, &after.model].map(item_vectors);
    assert_eq!(vector(&vectors, &old, 9), vector(&begun, &new, 9));
}

/// Tags of a split's items, or users: `tags` of those whose number leaves a rest of 0, 1, ….
fn tagged<'a>(
    kind: &str,
    count: usize,
    tags: &'a [&'a str],
) -> Vec<(seqrec::data::ExternalId, Vec<&'a str>)> {
    (0..count)
        .map(|number| {
            (
                format!("{kind} {number}").into(),
                vec![tags[number % tags.len()]],
            )
        })
        .collect()
}

fn rows_of(layer: &burn::nn::Linear<Flex>) -> ndarray::Array2<f32> {
    let weight = layer.weight.val();
    let shape = weight.dims();
    let values = weight.into_data().to_vec::<f32>().unwrap();
    ndarray::Array2::from_shape_vec(shape, values).unwrap()
}

#[test]
fn features_are_matched_by_their_names() {
    let old = with_tags(dataset(40, 20, 0, 1), &["city", "age"]);
    let new = with_tags(dataset(40, 20, 5, 3), &["city", "area", "age"]);
    let device = Default::default();
    let towers = |split: &Split, seed| {
        let users = split.catalog().user_features().len();
        let config = TwoTowerConfig::new().with_dim(6).with_hidden(5);
        let config = config.with_user_features(users);
        config.init::<Train>(split.catalog().len(), seed, &device)
    };
    let folder = tempfile::tempdir().unwrap();
    let trainer = |config| Trainer::new(config).checkpoints(folder.path().join("checkpoints"));
    let before = towers(&old, 1).unwrap();
    let before = trainer(config()).fit(before, &old).unwrap().model;
    let model = || towers(&new, 2).unwrap();
    let cold = Trainer::new(still()).fit(model(), &new).unwrap().model;
    let start = WarmStart::new(&before, old.catalog()).moments(folder.path().join("checkpoints"));
    let warm = Trainer::new(still()).warm_start(start.clone());
    let after = warm.fit(model(), &new).unwrap().model;

    type Model = <TwoTowerConfig as RecallerConfig>::Recaller<Flex>;
    let first = |model: &Model| rows_of(&model.user_tower[0]);
    let [old_rows, new_rows, cold_rows] = [&before, &after, &cold].map(first);
    for place in 0..6 {
        assert_eq!(new_rows.row(place), old_rows.row(place), "{place}");
    }
    assert_eq!(new_rows.row(6), old_rows.row(6), "age");
    assert_eq!(new_rows.row(7), cold_rows.row(7), "area");
    assert_eq!(new_rows.row(8), old_rows.row(7), "city");

    // Where names are not known, nothing is matched by place.
    let nameless = WarmStart::new(&before, old_split().catalog());
    let warm = Trainer::new(still()).warm_start(nameless);
    let refused = warm.fit(model(), &new).map(drop).unwrap_err();
    let refused = refused.to_string();
    for part in [
        "user_tower.0.weight",
        "8 rows, and the old model and its catalog name 6 of them",
        "with_user_features",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    let twice = ["a", "a"].map(str::to_owned).to_vec();
    assert!(Features::new(twice, ndarray::Array2::zeros((3, 2))).is_err());
}
