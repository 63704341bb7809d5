//! Training that begins with a trained model, on a catalog that has got items and lost others.

use seqrec::backend::{Autodiff, Flex};
use seqrec::data::{Dataset, Features, Filters, Interaction, Interactions, Protocol, Split};
use seqrec::model::{Gru4RecConfig, InputEmbedding, Objective, SasRecConfig, TrainableConfig};
use seqrec::retrieve::item_vectors;
use seqrec::train::{
    Adagrad, NewItems, Optimizer, Overlap, Trained, Trainer, TrainerConfig, WarmStart,
};
use seqrec::{Error, Result};

type Train = Autodiff<Flex>;

/// Users who each take eight items, from `first` on in steps of `step`, out of `items`.
fn split(users: usize, items: usize, first: usize, step: usize) -> Split {
    let mut log = Interactions::default();
    for user in 0..users {
        for place in 0..8 {
            let item = first + (user * 3 + place * step) % items;
            let item = format!("item {item}");
            log.push(Interaction::new(format!("user {user}"), item, place as f64));
        }
    }
    let dataset = Dataset::new(log, Filters::default()).unwrap();
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
    trainer.fit(model, split, &device)
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
        let table = model.input_embedding.as_ref().unwrap().val();
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
    for sequence in new.train.iter() {
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
    let features = Features::of_items(new.catalog(), tags);
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
    let of_the_old = Features::of_items(
        split(40, 30, 0, 1).catalog(),
        [("item 7".into(), vec!["red"])],
    );
    let refused = after(NewItems::Features(of_the_old)).unwrap_err();
    assert!(matches!(refused, Error::Shape { .. }), "{refused}");
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
    let named = |refused: Result<_>| match refused.map(|_: Trained<_>| ()).unwrap_err() {
        Error::OtherTraining { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(
        named(warm(config(), start().moments(&checkpoints))),
        "catalog"
    );
    let start = WarmStart::new(&with.model, new.catalog()).moments(&checkpoints);
    let adagrad = config().with_optimizer(Optimizer::Adagrad(Adagrad::default()));
    assert!(named(warm(adagrad, start.clone())).starts_with("trainer.optimizer"));
    let empty = start.moments(folder.path().join("none"));
    let refused = warm(config(), empty).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::InvalidValue {
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
        let named = matches!(&refused, Error::OtherModel { weights, .. } if weights == name);
        assert!(named, "{refused}");
    }
    let strangers = split(40, 20, 100, 1);
    let refused = fit(&gru(), warm(start()), &strangers, 2).map(drop);
    assert!(matches!(refused, Err(Error::NothingLeft { .. })));
}
