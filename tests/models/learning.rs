//! Models learn: with every loss, from features alone, and not with settings that can't go
//! together.

use seqrec::backend::{Autodiff, Flex};
use seqrec::channels::baselines;
use seqrec::data::{
    Dataset, Features, Filters, ItemIndex, NegativeSampling, Protocol, Seen, Split, Targets, User,
    synthetic::Synthetic,
};
use seqrec::index::{Filter, FlatIndex};
use seqrec::model::{
    BsaRecConfig, Gru4RecConfig, HstuConfig, Item2VecConfig, ItemFeaturesConfig, LabelAttention,
    Loss, MODEL_NAMES, ModelVisitor, MultiInterestConfig, Objective, RecallerConfig, SampledLoss,
    SasRecConfig, TrainableConfig, TwoTowerConfig, visit_model,
};
use seqrec::recall::{Evaluation, RecallChannel, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::settings::overridden;
use seqrec::store::{Recaller, Run};
use seqrec::train::{Optimizer, Trainer, TrainerConfig};

use serde_json::json;

use crate::losses;
use losses::losses;

fn split() -> Split {
    let log = Synthetic::new()
        .with_users(60)
        .with_items(40)
        .with_mean_per_user(30)
        // So little data is enough for each model where users stay with their genre.
        .with_drift(0.04);
    let dataset = Dataset::new(log.generate().unwrap(), Filters::default()).unwrap();
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

/// Trains for a few epochs; the loss must fall.
fn learns<C: TrainableConfig<Autodiff<Flex>>>(name: &str, config: &C, trainer: TrainerConfig) {
    let split = split();
    let device = Default::default();
    let model = config
        .init::<Autodiff<Flex>>(split.catalog().len(), 5, &device)
        .unwrap();
    let trainer = trainer.with_epochs(5).with_batch_size(16).with_ks(vec![10]);
    let trainer = trainer.with_metric("recall@10".parse().unwrap());
    let trained = Trainer::new(trainer).fit(model, &split).unwrap();
    let (first, last) = (trained.epochs[0].loss, trained.epochs.last().unwrap().loss);
    assert!(last < 0.97 * first, "{name}: {first} to {last}");
}

/// With fewer negatives than the default, for catalogs as small as these.
fn item2vec() -> Item2VecConfig {
    let loss = Loss::sampled(SampledLoss::Bce, NegativeSampling::by_popularity(8, 0.75));
    Item2VecConfig::new().with_objective(Objective::new().with_loss(loss))
}

#[test]
fn every_model_learns_with_every_loss() {
    let trainer = TrainerConfig::new().with_learning_rate(0.01);
    let negatives = NegativeSampling::new()
        .with_in_batch(16)
        .with_drawn(8)
        .with_exponent(0.5);
    for (name, loss, activation) in losses() {
        let objective = Objective::new().with_loss(Loss::Sampled {
            loss,
            negatives,
            activation,
        });
        let config = Gru4RecConfig::new()
            .with_dim(16)
            .with_objective(objective.clone());
        learns(name, &config, trainer.clone());
        let session_parallel = trainer.clone().with_targets(Targets::SessionParallel);
        let adagrad = Optimizer::Adagrad {
            momentum: 0.2,
            epsilon: 1e-6,
        };
        let session_parallel = session_parallel
            .with_optimizer(adagrad)
            .with_learning_rate(0.1);
        learns(
            &format!("{name}, session-parallel"),
            &config,
            session_parallel,
        );
    }
    learns("sasrec", &SasRecConfig::new().with_dim(16), trainer.clone());
    learns("hstu", &HstuConfig::new().with_dim(16), trainer.clone());
    let bsarec = BsaRecConfig::new().with_dim(16).with_dropout(0.1);
    learns("bsarec", &bsarec, trainer.clone());
    learns(
        "two_tower",
        &TwoTowerConfig::new().with_dim(16),
        trainer.clone(),
    );
    learns("item2vec", &item2vec().with_dim(16), trainer.clone());
    let one = trainer
        .with_targets(Targets::ONE_RANDOM)
        .with_learning_rate(0.02);
    for config in [
        MultiInterestConfig::mind(),
        MultiInterestConfig::comirec_dr(),
        MultiInterestConfig::comirec_sa(),
        MultiInterestConfig::comirec_dr().with_attention(LabelAttention::Hard),
        MultiInterestConfig::mind().with_attention(LabelAttention::Soft { sharpness: 1.0 }),
    ] {
        learns("multi_interest", &config.with_dim(16), one.clone());
    }
}

/// Settings that can't go together are refused before any training, with the field named.
#[test]
fn settings_that_cannot_go_together_are_refused() {
    let split = split();
    let device = Default::default();
    let items = split.catalog().len();
    let field = |error: seqrec::Error| match *error.kind() {
        seqrec::ErrorKind::InvalidValue { field, .. } => field,
        _ => panic!("{error}"),
    };
    let trainer = |targets| Trainer::new(TrainerConfig::new().with_targets(targets));
    let sasrec = SasRecConfig::new()
        .init::<Autodiff<Flex>>(items, 1, &device)
        .unwrap();
    let refused = trainer(Targets::SessionParallel)
        .fit(sasrec, &split)
        .unwrap_err();
    assert_eq!(field(refused), "targets");
    let mind = MultiInterestConfig::mind()
        .init::<Autodiff<Flex>>(items, 1, &device)
        .unwrap();
    let refused = trainer(Targets::All).fit(mind, &split).unwrap_err();
    assert_eq!(field(refused), "targets");
    let features = TwoTowerConfig::new().with_item_features(Some(ItemFeaturesConfig::new()));
    assert_eq!(
        field(features.init::<Flex>(items, 1, &device).unwrap_err()),
        "item_features"
    );
    let many = Loss::sampled(SampledLoss::Bpr, NegativeSampling::uniform(items));
    let many = SasRecConfig::new().with_objective(Objective::new().with_loss(many));
    assert_eq!(
        field(many.init::<Flex>(items, 1, &device).unwrap_err()),
        "negatives.drawn"
    );
    let sampled = Loss::sampled(SampledLoss::Bpr, NegativeSampling::uniform(2));
    let joint =
        MultiInterestConfig::comirec_sa().with_objective(Objective::new().with_loss(sampled));
    assert_eq!(
        field(joint.init::<Flex>(items, 1, &device).unwrap_err()),
        "attention"
    );
    let heads = HstuConfig::new().with_heads(3);
    assert_eq!(
        field(heads.init::<Flex>(items, 1, &device).unwrap_err()),
        "heads"
    );
    let bad = SampledLoss::Gbce { calibration: 1.5 };
    let bad = Loss::sampled(bad, NegativeSampling::uniform(2));
    let bad = Gru4RecConfig::new().with_objective(Objective::new().with_loss(bad));
    assert_eq!(
        field(bad.init::<Flex>(items, 1, &device).unwrap_err()),
        "calibration"
    );
}

/// Interactions whose users' next item is told by their features alone, if at all.
fn data_that_features_decide() -> Dataset {
    use seqrec::data::{Interaction, Interactions};
    let log: Interactions = (0..200i64)
        .flat_map(|user| {
            // Everyone takes the same items in another order, and then one of two kinds.
            let shared = (0..4).map(move |place| (user + place) % 4);
            shared
                .chain((0..3).map(move |place| 10 + 10 * (user % 2) + (user / 2 + place) % 5))
                .enumerate()
                .map(move |(place, item)| Interaction::new(user, item, place as f64))
        })
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let kinds = (0..200i64).map(|user| (user.into(), [format!("kind {}", user % 2)]));
    let features = Features::from_user_tags(&dataset, kinds);
    dataset.with_user_features(features).unwrap()
}

/// How many of the first five items are of their kind, for a user of each kind with one history.
struct OfTheirKind<'a> {
    split: &'a Split,
    user_features: usize,
}

impl ModelVisitor<Autodiff<Flex>> for OfTheirKind<'_> {
    type Output = [usize; 2];

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> [usize; 2] {
        let settings = json!({"dim": 16, "max_len": 8, "user_features": self.user_features});
        let config: C = overridden(&defaults, &settings).unwrap();
        let (device, catalog) = (Default::default(), self.split.catalog());
        let model = config
            .init_for::<Autodiff<Flex>>(catalog, 1, &device)
            .unwrap();
        let trainer = TrainerConfig::new()
            .with_epochs(12)
            .with_patience(12)
            .with_batch_size(16)
            .with_learning_rate(0.01)
            .with_targets(Targets::EveryPrefix)
            .with_ks(vec![5])
            .with_metric("recall@5".parse().unwrap());
        let model = Trainer::new(trainer).fit(model, self.split).unwrap().model;
        let index = FlatIndex::new(&item_vectors(&model)).unwrap();
        let channel = VectorChannel::from_model(model, index);
        // What everyone has taken says nothing of their kind.
        let first = [0i64, 1, 2, 3].map(|item| catalog.index_of(&item.into()).unwrap());
        let features = [[1.0, 0.0], [0.0, 1.0]];
        let times = [0.0, 1.0, 2.0, 3.0];
        let user = User::with_times(&first, &times).unwrap();
        let users = features
            .each_ref()
            .map(|features| user.with_features(features));
        let shared = |_: usize, item: ItemIndex| !first.contains(&item);
        let found = channel
            .recall(&users, 5, Some(Filter::Predicate(&shared)))
            .unwrap();
        [0, 1].map(|user| {
            let kinds = found.items(user).iter().map(|item| {
                let id = catalog.id_of(*item).unwrap().to_string();
                id.parse::<usize>().unwrap() / 10 - 1
            });
            kinds.filter(|&kind| kind == user).count()
        })
    }
}

#[test]
fn a_users_features_tell_what_they_take() {
    let dataset = data_that_features_decide();
    let split = Split::new(&dataset, Protocol::Ratio { seed: 1 }).unwrap();
    for name in MODEL_NAMES
        .iter()
        .copied()
        .filter(|&name| name != "item2vec")
    {
        let of_their_kind = |user_features| {
            let split = &split;
            let visitor = OfTheirKind {
                split,
                user_features,
            };
            visit_model::<Autodiff<Flex>, _>(name, visitor).unwrap()
        };
        let found = of_their_kind(2);
        assert!(found[0] + found[1] >= 7, "{name}: {found:?}");
        let [first, second] = of_their_kind(0);
        assert_eq!(
            first + second,
            5,
            "{name}: without features both get one list"
        );
    }
}

/// Items that training lacks entirely are recalled by their features.
#[test]
fn cold_items_are_recalled_by_their_features() {
    let synthetic = Synthetic::new()
        .with_users(200)
        .with_items(200)
        .with_mean_per_user(40)
        .with_genres(5)
        // Features are of genres alone: users who stay with theirs.
        .with_drift(0.04);
    let dataset = Dataset::new(synthetic.generate().unwrap(), Filters::default()).unwrap();
    let movies = synthetic.movies().unwrap();
    let features = movies.features(dataset.catalog(), &["genres"]).unwrap();
    let dataset = dataset.with_item_features(features).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let cold = |item: ItemIndex| item.get() % 10 == 3;
    let split = split.without_items(cold).unwrap();
    assert!(
        split
            .train
            .sequences()
            .item_lists()
            .flatten()
            .all(|&item| !cold(item))
    );
    let catalog = split.catalog();
    let device = Default::default();
    let features = ItemFeaturesConfig::new().with_own_dropout(0.5);
    let model = TwoTowerConfig::new()
        .with_dim(16)
        .with_item_features(Some(features));
    let model = model
        .init_for::<Autodiff<Flex>>(catalog, 1, &device)
        .unwrap();
    let trainer = TrainerConfig::new()
        .with_epochs(10)
        .with_learning_rate(0.005)
        .with_batch_size(64);
    let trained = Trainer::new(trainer).fit(model, &split).unwrap();
    let cases = split
        .test
        .filtered(|case| case.labels.iter().any(|&item| cold(item)));
    assert!(cases.len() > 10);
    let vectors = seqrec::retrieve::item_vectors(&trained.model);
    let index = seqrec::index::FlatIndex::new(vectors.view()).unwrap();
    let channel = seqrec::recall::VectorChannel::from_model(trained.model, index);
    let evaluation = seqrec::recall::Evaluation::new(&[20], Seen::Keep);
    let report = evaluation.run(&channel, &cases, catalog).unwrap();
    let recall = report.recall(20).unwrap();
    let chance = 20.0 / catalog.len() as f64;
    assert!(recall > 2.0 * chance, "{recall} is not twice {chance}");
}

/// As the page of the generator says, of fewer users and items and a smaller model.
#[test]
fn gru4rec_has_the_highest_recall_on_generated_data() {
    for seed in [1, 2] {
        let log = Synthetic::new()
            .with_users(800)
            .with_items(200)
            .with_mean_per_user(30)
            .with_seed(seed);
        let dataset = Dataset::new(log.generate().unwrap(), Filters::default()).unwrap();
        let split = Split::new(&dataset, Protocol::Ratio { seed }).unwrap();
        let config = Gru4RecConfig::new().with_dim(48);
        let model = config
            .init::<Autodiff<Flex>>(split.catalog().len(), seed, &Default::default())
            .unwrap();
        // Validation, which would choose an epoch, takes longer than it brings here.
        let trainer = TrainerConfig::new()
            .with_epochs(10)
            .with_validate_every(Some(10))
            .with_learning_rate(0.005);
        let trained = Trainer::new(trainer).fit(model, &split).unwrap();
        let run = Run::<Flex, _>::new(config, trained.model, split.catalog().clone());
        let mut channels = baselines(&split.train).unwrap();
        let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
        let expected = ["popularity", "Markov", "session kNN", "item CF", "user CF"];
        assert_eq!(names, expected);
        channels.push(("GRU4Rec", Box::new(Recaller::from(run).channel().unwrap())));
        let compared = Evaluation::new(&[10], Seen::Keep)
            .compare(&channels, &split.test, split.catalog())
            .unwrap();
        let (best, _) = compared.best("recall@10".parse().unwrap()).unwrap();
        assert_eq!(best, "GRU4Rec", "seed {seed}\n{compared}");
    }
}
