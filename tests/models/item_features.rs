//! Features of items in every model: what they say joins on the way in and on the way out, an item
//! that nobody has taken has a vector, and all else is as without them.

use ndarray::{Array2, ArrayView1};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{ExternalId, Interactions, ItemFeatures, ItemIndex, Items, Targets};
use seqrec::model::{
    ItemFeaturesConfig, Join, MODEL_NAMES, ModelVisitor, TrainableConfig, visit_model,
};
use seqrec::prelude::*;
use seqrec::retrieve::item_vectors;
use seqrec::settings::overridden;
use seqrec::store::{Recaller, VectorTable};
use seqrec::train::Tables;
use serde_json::{Value, json};

const USERS: usize = 60;
const ITEMS: usize = 90;
const GIVEN: usize = 6;

fn movies() -> Items {
    Synthetic::new()
        .with_users(USERS)
        .with_items(ITEMS)
        .movies()
        .unwrap()
}

/// Every tenth item is in the table of items alone.
fn is_cold(id: &ExternalId) -> bool {
    id.to_string().parse::<usize>().unwrap() % 10 == 3
}

/// A shop with items that nobody has taken, the kind of each as a label and, roughly, as a vector.
fn shop() -> (Dataset, ItemFeatures) {
    let shop = Synthetic::new().with_users(USERS).with_items(ITEMS);
    let log: Interactions = shop.generate().unwrap();
    let rows = (0..log.len()).map(|row| {
        let user = log.users()[log.user_numbers()[row] as usize].clone();
        let item = log.items()[log.item_numbers()[row] as usize].clone();
        seqrec::data::Interaction::new(user, item, log.times()[row])
    });
    let warm: Interactions = rows.filter(|row| !is_cold(&row.item)).collect();
    let movies = shop.movies().unwrap();
    let ids: Vec<ExternalId> = movies.ids().cloned().collect();
    let years = ids.iter().map(|id| {
        let id: f64 = id.to_string().parse().unwrap();
        (id % 7.0 > 0.0).then_some(1990.0 + id)
    });
    let movies = movies.with_numbers("year", years).unwrap();
    let dataset = Dataset::new(warm, Filters::default()).unwrap();
    let dataset = dataset.with_items(&movies).unwrap();
    let features = features(&movies, &dataset);
    (dataset, features)
}

fn features(movies: &Items, dataset: &Dataset) -> ItemFeatures {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let genres = Array2::from_shape_fn((30, GIVEN), |_| random.random_range(-1.0..1.0));
    let given: Vec<ExternalId> = movies.ids().skip(2).cloned().collect();
    let vectors = Array2::from_shape_fn((given.len(), GIVEN), |(row, place)| {
        let labels = movies.labels(&given[row], "genres").unwrap();
        let genre = labels.first().map_or(0, |name| name.len() % 30);
        genres[[genre, place]] + random.random_range(-0.1..0.1)
    });
    movies
        .features(dataset.catalog(), &["genres", "year"])
        .unwrap()
        .with_vectors("text", dataset.catalog(), given, vectors.view())
        .unwrap()
}

fn split(dataset: Dataset) -> Split {
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

fn with_features() -> Split {
    let (dataset, features) = shop();
    split(dataset.with_item_features(features).unwrap())
}

/// Trains a model, whichever it is, for a few epochs.
struct Train<'a> {
    split: &'a Split,
    settings: Value,
    epochs: usize,
    tables: Tables,
}

impl ModelVisitor<Autodiff<Flex>> for Train<'_> {
    type Output = seqrec::Result<Recaller>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let model = overridden(&defaults, &self.settings).unwrap();
        let targets = if model.describe().one_target {
            Targets::EveryPrefix
        } else {
            Targets::All
        };
        let training = TrainerConfig::new()
            .with_epochs(self.epochs)
            .with_metric(Metric::recall(10)?)
            .with_ks(vec![10])
            .with_targets(targets)
            .with_tables(self.tables);
        model.fit_with(self.split, training)
    }
}

fn train(name: &str, split: &Split, features: Value, more: Value) -> seqrec::Result<Recaller> {
    let mut settings = json!({"dim": 8, "item_features": features});
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    // Gradients of half precision are of rows alone.
    let tables = match settings["table_precision"] == "half" {
        true => Tables::Lazy,
        false => Tables::Dense,
    };
    let job = Train {
        split,
        settings,
        epochs: 2,
        tables,
    };
    visit_model::<Autodiff<Flex>, _>(name, job).unwrap()
}

fn cosine(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

#[test]
fn an_item_that_nobody_took_is_near_its_kind_in_every_model() {
    let split = with_features();
    let catalog = split.catalog();
    let movies = movies();
    for name in MODEL_NAMES {
        for join in ["sum", "alone", "beside"] {
            let settings = json!({"join": join});
            let model = train(name, &split, settings, json!({})).unwrap();
            let vectors = model.item_vectors();
            let (mut near, mut far) = (Vec::new(), Vec::new());
            for cold in catalog.ids().filter(|id| is_cold(id)) {
                let row = vectors.row(catalog.index_of(cold).unwrap().to_usize());
                assert!(
                    row.iter().any(|&value| value != 0.0),
                    "{name}, {join}: {cold}"
                );
                for other in catalog.ids().filter(|id| !is_cold(id)) {
                    let genres = |id| movies.labels(id, "genres").unwrap();
                    let same = genres(cold) == genres(other);
                    let of_other = vectors.row(catalog.index_of(other).unwrap().to_usize());
                    let list = if same { &mut near } else { &mut far };
                    list.push(cosine(row, of_other));
                }
            }
            let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
            // Maps that are trained beside have had two epochs, from own vectors that are random.
            let least = if join == "beside" { -0.1 } else { 0.1 };
            assert!(
                mean(&near) > mean(&far) + least,
                "{name}, {join}: {} near, {} far",
                mean(&near),
                mean(&far)
            );
        }
    }
}

#[test]
fn runs_keep_features_and_recall_the_same() {
    let split = with_features();
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({"join": "sum", "hidden": 5, "whiten": true, "own_dropout": 0.3});
    for name in MODEL_NAMES {
        let model = train(name, &split, settings.clone(), json!({})).unwrap();
        let path = folder.path().join(name);
        model.save(&path).unwrap();
        let opened = Recaller::open(&path).unwrap();
        assert_eq!(opened.item_vectors(), model.item_vectors(), "{name}");
        assert_eq!(
            opened.catalog().item_features(),
            model.catalog().item_features()
        );
        if *name != "hstu" {
            let recall = |model: &Recaller| model.recall([1, 5, 9], 10).unwrap();
            assert_eq!(recall(&opened), recall(&model), "{name}");
        }
        // The same seed, the same bytes.
        let again = train(name, &split, settings.clone(), json!({})).unwrap();
        assert_eq!(again.item_vectors(), model.item_vectors(), "{name}");
    }
}

#[test]
fn known_items_are_unchanged_beside_features() {
    let (dataset, features) = shop();
    let without = split(dataset.clone());
    let split = split(dataset.with_item_features(features).unwrap());
    for name in ["sasrec", "gru4rec"] {
        // The loss of the map is added to the other, so that both are clipped where gradients are.
        let plain = Train {
            split: &without,
            settings: json!({"dim": 8}),
            epochs: 1,
            tables: Tables::Dense,
        };
        let plain = visit_model::<Autodiff<Flex>, _>(name, plain)
            .unwrap()
            .unwrap();
        let beside = Train {
            split: &split,
            settings: json!({"dim": 8, "item_features": {"join": "beside"}}),
            epochs: 1,
            tables: Tables::Dense,
        };
        let beside = visit_model::<Autodiff<Flex>, _>(name, beside)
            .unwrap()
            .unwrap();
        let catalog = split.catalog();
        let row = |model: &Recaller, id| {
            let item = catalog.index_of(id).unwrap().to_usize();
            model.item_vectors().row(item).to_owned()
        };
        for id in catalog.ids().filter(|id| !is_cold(id)) {
            let nearness = cosine(row(&plain, id).view(), row(&beside, id).view());
            assert!(nearness > 0.99, "{name}, {id}: {nearness}");
        }
    }
}

#[test]
fn sampled_losses_and_half_precision_have_features_too() {
    let split = with_features();
    let sampled = json!({"objective": {"loss": {"sampled": {
        "loss": {"softmax": {"log_q": true}},
        "negatives": {"in_batch": 0, "drawn": 20, "exponent": 0.0},
        "activation": "linear"}}}});
    let mut half = sampled.clone();
    half["table_precision"] = "half".into();
    for more in [sampled, half] {
        for join in [Join::Sum, Join::Alone, Join::Beside] {
            let features = ItemFeaturesConfig::new()
                .with_join(join)
                .with_own_dropout(0.2);
            let features = serde_json::to_value(&features).unwrap();
            let model = train("sasrec", &split, features, more.clone()).unwrap();
            let vectors = model.item_vectors();
            assert!(vectors.iter().all(|value| value.is_finite()), "{more}");
            let cold = (split.catalog().ids()).find(|id| is_cold(id)).unwrap();
            let row = vectors.row(split.catalog().index_of(cold).unwrap().to_usize());
            assert!(row.iter().any(|&value| value != 0.0), "{more}, {join:?}");
        }
    }
}

#[test]
fn a_warm_start_finds_labels_by_their_names() {
    let (dataset, _) = shop();
    let movies = movies();
    // Labels that come before the others in the order of names, of one item alone.
    let first: ExternalId = 1.into();
    let brands = movies.ids().map(|id| (*id == first).then_some("a"));
    let branded = movies.clone().with_tags("brand", brands).unwrap();
    let columns = |items: &Items, columns: &[&str]| items.features(dataset.catalog(), columns);
    let split_of = |features| split(dataset.clone().with_item_features(features).unwrap());
    let old = split_of(columns(&movies, &["genres"]).unwrap());
    let new = split_of(columns(&branded, &["brand", "genres"]).unwrap());
    let config = SasRecConfig::new()
        .with_dim(8)
        .with_item_features(Some(ItemFeaturesConfig::new().with_join(Join::Alone)));
    let device = Default::default();
    let init = |split: &Split, seed| {
        let model = config.init_for::<Autodiff<Flex>>(split.catalog(), seed, &device);
        model.unwrap()
    };
    let trained = init(&old, 1);
    let start = seqrec::train::WarmStart::new(&trained, old.catalog());
    let begun = start.apply(init(&new, 2), &new).unwrap();
    let [trained, begun] = [trained, begun].map(|model| item_vectors(&model));
    for item in 1..=dataset.catalog().len() {
        let is_branded = dataset.catalog().id_of(ItemIndex::new(item as u32)) == Some(&first);
        let same = trained.row(item) == begun.row(item);
        assert_ne!(same, is_branded, "item {item}");
    }
}

#[test]
fn what_lacks_is_told() {
    let (dataset, features) = shop();
    let without = split(dataset.clone());
    let error = train("sasrec", &without, json!({}), json!({})).unwrap_err();
    assert!(error.to_string().contains("with_item_features"), "{error}");
    let nothing = movies().features(dataset.catalog(), &[]).unwrap();
    let empty = split(dataset.clone().with_item_features(nothing).unwrap());
    let error = train("sasrec", &empty, json!({}), json!({})).unwrap_err();
    assert!(error.to_string().contains("with_item_features"), "{error}");
    let other = Dataset::new(
        Synthetic::new()
            .with_users(20)
            .with_items(30)
            .generate()
            .unwrap(),
        Filters::default(),
    );
    assert!(other.unwrap().with_item_features(features.clone()).is_err());
    let catalog = dataset.catalog();
    let movies = movies();
    for (columns, expected) in [
        (&["title"][..], "another label for nearly each of the items"),
        (&["price"], "price"),
        (&["genres", "genres"], "twice"),
    ] {
        let error = movies.features(catalog, columns).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let one = [Some(3.0); ITEMS];
    let constant = movies.clone().with_numbers("price", one).unwrap();
    let error = constant
        .features(catalog, &["price"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("the same for all"), "{error}");
    let vectors = Array2::ones((1, 3));
    let give = |name: &str, id: &str| {
        let features = features.clone();
        features.with_vectors(name, catalog, [id], vectors.view())
    };
    assert!(give("text", "1").is_err(), "a name that is there");
    let error = give("image", "no item").unwrap_err().to_string();
    assert!(error.contains("no item of the catalog"), "{error}");
    let bad = json!({"own_dropout": 1.0});
    let with = split(dataset.with_item_features(features).unwrap());
    let error = train("sasrec", &with, bad, json!({})).unwrap_err();
    assert!(error.to_string().contains("own_dropout"), "{error}");
}

#[test]
fn new_items_have_vectors_and_are_recalled_without_training() {
    let split = with_features();
    let folder = tempfile::tempdir().unwrap();
    let movies = movies();
    // New items: one like item 1 in all that is known of it, and one of which nothing is known.
    let like: ExternalId = 1.into();
    let genres = movies.labels(&like, "genres").unwrap();
    let new = Items::new(["1", "new", "unknown"])
        .unwrap()
        .with_tags("genres", [genres.clone(), genres, vec!["never seen"]])
        .unwrap()
        .with_numbers("year", [Some(1991.0), Some(1991.0), None])
        .unwrap();
    for name in ["sasrec", "gru4rec", "two_tower"] {
        let model = train(name, &split, json!({"join": "alone"}), json!({})).unwrap();
        let known = model.item_vectors().to_owned();
        let table = VectorTable::new(vec!["new".into()], Array2::ones((1, GIVEN))).unwrap();
        let more = model.with_items(&new, &[("text", &table)]).unwrap();
        assert_eq!(more.catalog().len(), model.catalog().len() + 2);
        let vectors = more.item_vectors();
        assert_eq!(
            vectors.slice(::ndarray::s![..known.nrows(), ..]),
            known,
            "{name}"
        );
        let row = |id: &str| {
            let item = more.catalog().index_of(&id.into()).unwrap();
            vectors.row(item.to_usize())
        };
        assert!(row("new").iter().any(|&value| value != 0.0), "{name}");
        assert_ne!(row("new"), row("unknown"), "{name}");
        // It is recalled, stands in histories, and is kept.
        let recalled = more.recall([1, 5], more.catalog().len() - 2).unwrap();
        assert!(
            recalled.items.iter().any(|item| item.id == "new".into()),
            "{name}"
        );
        assert_ne!(
            more.recall(["new"], 10).unwrap().items,
            more.recall(["unknown"], 10).unwrap().items,
            "{name}"
        );
        let path = folder.path().join(name);
        more.save(&path).unwrap();
        let opened = Recaller::open(&path).unwrap();
        assert_eq!(opened.item_vectors(), vectors, "{name}");
    }
    let plain = train("sasrec", &split, Value::Null, json!({})).unwrap();
    let error = plain.with_items(&new, &[]).unwrap_err().to_string();
    assert!(error.contains("item_features"), "{error}");
    let model = train("sasrec", &split, json!({}), json!({})).unwrap();
    let lacks = Items::new(["new"]).unwrap();
    let error = model.with_items(&lacks, &[]).unwrap_err().to_string();
    assert!(error.contains("genres"), "{error}");
    let short = VectorTable::new(vec!["new".into()], Array2::ones((1, 2))).unwrap();
    assert!(model.with_items(&new, &[("text", &short)]).is_err());
}
