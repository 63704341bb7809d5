//! Every model of the family against PyTorch and against what all of them promise, and every loss
//! against PyTorch and finite differences.

use std::collections::BTreeMap;

use burn::module::{ModuleMapper, Param};
use burn::tensor::{Int, Tensor, TensorData};
use burn_store::{ModuleSnapshot, SafetensorsStore};
use seqrec::backend::{Autodiff, Backend, Flex, TrainingBackend};
use seqrec::burn;
use seqrec::data::{
    Dataset, ExternalId, Features, Filters, History, ItemIndex, NegativeSampling, Negatives,
    Protocol, Seen, SequenceBatch, Split, Targets, TrainingBatch, synthetic::Synthetic,
};
use seqrec::model::{
    Block, BsaRecConfig, Gru4RecConfig, HstuConfig, InputEmbedding, InterestExtractor,
    Item2VecConfig, Loss, MODEL_NAMES, ModelVisitor, MultiInterestConfig, Objective,
    RecallerConfig, SampledLoss, SampledScores, SasRecConfig, ScoreActivation, SequenceRecaller,
    StatefulRecaller, TrainableConfig, TwoTowerConfig, visit_model,
};
use seqrec::train::{Adagrad, Optimizer, Trainer, TrainerConfig};
use serde::Deserialize;

#[path = "support/numbers.rs"]
mod numbers;
#[path = "../examples/support/overrides.rs"]
mod overrides;
use numbers::{assert_close, differences, noise, tensor, values};

#[derive(Deserialize)]
struct Reference {
    items: usize,
    histories: Vec<Vec<u32>>,
    times: Vec<Vec<f64>>,
    targets: Vec<i32>,
    models: BTreeMap<String, ReferenceModel>,
    losses: ReferenceLosses,
}

#[derive(Deserialize)]
struct ReferenceModel {
    weights: BTreeMap<String, Weights>,
    users: Vec<f32>,
    loss: f32,
}

#[derive(Deserialize)]
struct Weights {
    shape: Vec<usize>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct ReferenceLosses {
    users: Vec<f32>,
    table: Vec<f32>,
    negatives: Vec<i32>,
    log_chances: Vec<f32>,
    log_chances_of_targets: Vec<f32>,
    values: BTreeMap<String, f32>,
}

impl Reference {
    fn load() -> Self {
        serde_json::from_str(include_str!("reference/family.json")).unwrap()
    }

    fn histories<B: Backend>(&self) -> SequenceBatch<B> {
        let histories = self.histories.iter().zip(&self.times);
        let histories = histories.map(|(items, times)| {
            History::with_times(ItemIndex::from_slice(items), times).unwrap()
        });
        SequenceBatch::new(histories, 5, &B::Device::default()).unwrap()
    }
}

fn integers<B: Backend>(values: &[i32]) -> Tensor<B, 1, Int> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, &B::Device::default())
}

/// A batch that predicts one target after each history.
fn batch<B: Backend>(histories: SequenceBatch<B>, targets: &[i32]) -> TrainingBatch<B> {
    TrainingBatch {
        positions: histories.last_positions(),
        targets: integers(targets),
        histories,
        negatives: None,
        continues_from: Vec::new(),
        seed: 1,
    }
}

/// The weights as a file, which is how models are loaded.
fn safetensors(weights: &BTreeMap<String, Weights>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, Weights { shape, values }) in weights {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()],
        });
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], &header, &data].concat()
}

/// Vectors and loss of a model with the reference's weights are the reference's.
fn check<B: Backend, C: RecallerConfig>(name: &str, config: &C) {
    let reference = Reference::load();
    let expected = &reference.models[name];
    let device = B::Device::default();
    let mut model = config
        .init_for_loading::<B>(reference.items, &device)
        .unwrap();
    let mut store = SafetensorsStore::from_bytes(Some(safetensors(&expected.weights)));
    let loaded = model.load_from(&mut store).unwrap();
    assert!(
        loaded.missing.is_empty() && loaded.unused.is_empty(),
        "{name}: {loaded:?}"
    );
    let histories = reference.histories::<B>();
    let users = values(model.encode(&histories));
    assert_close(name, &users, &expected.users, 2e-5);
    let loss = values(model.loss(&batch(histories, &reference.targets)));
    assert_close(&format!("{name}'s loss"), &loss, &[expected.loss], 2e-5);
}

fn every_model_is_pytorchs<B: Backend>() {
    let sasrec = SasRecConfig::new().with_dim(4).with_max_len(5);
    check::<B, _>("sasrec", &sasrec);
    check::<B, _>(
        "ligr",
        &sasrec.with_block(Block::Gated).with_feed_forward(2),
    );
    check::<B, _>("hstu", &HstuConfig::new().with_dim(4).with_max_len(5));
    let interests =
        |config: MultiInterestConfig| config.with_dim(4).with_interests(3).with_max_len(5);
    check::<B, _>("mind", &interests(MultiInterestConfig::mind()));
    check::<B, _>("comirec_dr", &interests(MultiInterestConfig::comirec_dr()));
    let attention = InterestExtractor::SelfAttention { hidden: 6 };
    check::<B, _>(
        "comirec_sa",
        &interests(MultiInterestConfig::comirec_sa()).with_extractor(attention),
    );
    let two_tower = TwoTowerConfig::new()
        .with_dim(4)
        .with_hidden(6)
        .with_item_features(3)
        .with_objective(Objective::new());
    check::<B, _>("two_tower", &two_tower);
    let item2vec = Item2VecConfig::new()
        .with_dim(4)
        .with_window(2)
        .with_recent(2)
        .with_objective(Objective::new());
    check::<B, _>("item2vec", &item2vec);
}

/// The sampled losses by the names of the reference.
fn losses() -> [(&'static str, SampledLoss, ScoreActivation); 8] {
    let linear = ScoreActivation::Linear;
    let bpr_max = SampledLoss::BprMax {
        regularization: 0.7,
    };
    [
        ("softmax", SampledLoss::Softmax { log_q: false }, linear),
        (
            "softmax_log_q",
            SampledLoss::Softmax { log_q: true },
            linear,
        ),
        ("bpr", SampledLoss::Bpr, linear),
        ("bpr_max", bpr_max, linear),
        ("bpr_max_elu", bpr_max, ScoreActivation::Elu { alpha: 0.5 }),
        ("top1_max", SampledLoss::Top1Max, linear),
        ("bce", SampledLoss::Bce, linear),
        ("gbce", SampledLoss::Gbce { calibration: 0.6 }, linear),
    ]
}

fn objective(loss: SampledLoss, activation: ScoreActivation) -> Objective {
    // Where negatives come from is the batch's business, which these tests make by hand.
    let negatives = NegativeSampling::uniform(1);
    Objective::new().with_loss(Loss::Sampled {
        loss,
        negatives,
        activation,
    })
}

/// The reference's users, table and batch, through an objective.
fn loss_of<B: Backend>(
    objective: &Objective,
    users: Tensor<B, 2>,
    table: Tensor<B, 2>,
) -> Tensor<B, 1> {
    let Reference {
        targets, losses, ..
    } = Reference::load();
    let histories =
        SequenceBatch::<B>::new([ItemIndex::from_slice(&[1])], 1, &B::Device::default()).unwrap();
    let floats = |values: Vec<f32>| {
        let shape = [values.len()];
        tensor::<B, 1>(values, shape)
    };
    let batch = TrainingBatch {
        negatives: Some(Negatives {
            items: integers(&losses.negatives),
            log_chances: floats(losses.log_chances),
            log_chances_of_targets: floats(losses.log_chances_of_targets),
        }),
        targets: integers(&targets),
        ..batch(histories, &[1])
    };
    objective.mean_loss(users, &Param::from_tensor(table), &batch)
}

fn every_loss_is_pytorchs<B: Backend>() {
    let reference = Reference::load();
    let ReferenceLosses {
        users,
        table,
        values: expected,
        ..
    } = reference.losses;
    for (name, loss, activation) in losses() {
        let users = tensor::<B, 2>(users.clone(), [3, 4]);
        let table = tensor::<B, 2>(table.clone(), [reference.items + 1, 4]);
        let found = values(loss_of(&objective(loss, activation), users, table));
        assert_close(name, &found, &[expected[name]], 1e-5);
    }
}

/// A row whose only negative is its own target has nothing to learn from.
fn a_row_without_other_negatives_adds_nothing<B: Backend>() {
    for (name, loss, _) in losses() {
        let alone = [true, true, false, true];
        let scores = SampledScores {
            positive: tensor::<B, 2>(vec![0.5, -2.0], [2, 1]),
            negative: tensor::<B, 2>(vec![0.5, 0.5, 1.5, -2.0], [2, 2]),
            is_target: Tensor::from_data(
                TensorData::new(alone.to_vec(), [2, 2]),
                &B::Device::default(),
            ),
            log_chances: tensor::<B, 1>(vec![-1.0, -1.0], [2]),
            log_chances_of_targets: tensor::<B, 1>(vec![-1.0, -1.0], [2]),
            items: 9,
        };
        let second = SampledScores {
            positive: scores.positive.clone().narrow(0, 1, 1),
            negative: scores.negative.clone().narrow(0, 1, 1),
            is_target: scores.is_target.clone().narrow(0, 1, 1),
            log_chances_of_targets: scores.log_chances_of_targets.clone().narrow(0, 1, 1),
            ..scores.clone()
        };
        let both = values(loss.mean(scores))[0];
        let one = values(loss.mean(second))[0];
        // The losses that have a term for the target alone keep that one.
        if !matches!(loss, SampledLoss::Bce | SampledLoss::Gbce { .. }) {
            assert_close(name, &[both], &[one / 2.0], 1e-6);
        }
    }
}

fn every_losss_gradient_is_finite_differences<B: Backend>() {
    let reference = Reference::load();
    let ReferenceLosses { users, table, .. } = reference.losses;
    let shape = [reference.items + 1, 4];
    let activations = [ScoreActivation::Relu, ScoreActivation::Tanh]
        .map(|activation| ("activation", SampledLoss::Bpr, activation));
    for (name, loss, activation) in losses().into_iter().chain(activations) {
        let objective = objective(loss, activation);
        let tracked_users = tensor::<Autodiff<B>, 2>(users.clone(), [3, 4]).require_grad();
        let tracked_table = tensor::<Autodiff<B>, 2>(table.clone(), shape).require_grad();
        let loss = loss_of(&objective, tracked_users.clone(), tracked_table.clone());
        let gradients = loss.backward();
        let plain = |users: &[f32], table: &[f32]| {
            let users = tensor::<B, 2>(users.to_vec(), [3, 4]);
            values(loss_of(
                &objective,
                users,
                tensor::<B, 2>(table.to_vec(), shape),
            ))[0]
        };
        let by_users = differences(&users, |users| plain(users, &table));
        let by_table = differences(&table, |table| plain(&users, table));
        let found = values(tracked_users.grad(&gradients).unwrap());
        assert_close(&format!("{name} by users"), &found, &by_users, 2e-3);
        let found = values(tracked_table.grad(&gradients).unwrap());
        assert_close(&format!("{name} by items"), &found, &by_table, 2e-3);
    }
}

/// With every item among the negatives, and each sure to be, sampled softmax is the full one.
fn sampled_softmax_over_all_items_is_the_full_one<B: Backend>() {
    let (rows, items, dim) = (3, 9, 4);
    let users = || tensor::<B, 2>(noise(rows * dim, 1), [rows, dim]);
    let table = || {
        Param::from_tensor(tensor::<B, 2>(
            noise((items + 1) * dim, 2),
            [items + 1, dim],
        ))
    };
    let device = B::Device::default();
    let histories = SequenceBatch::<B>::new([ItemIndex::from_slice(&[1])], 1, &device).unwrap();
    let all: Vec<i32> = (1..=items as i32).collect();
    let batch = TrainingBatch {
        targets: integers(&[4, 9, 1]),
        negatives: Some(Negatives {
            items: integers(&all),
            log_chances: Tensor::zeros([items], &device),
            log_chances_of_targets: Tensor::zeros([rows], &device),
        }),
        ..batch(histories, &[1])
    };
    let full = values(Objective::new().mean_loss(users(), &table(), &batch));
    for log_q in [false, true] {
        let sampled = objective(SampledLoss::Softmax { log_q }, ScoreActivation::Linear);
        let sampled = values(sampled.mean_loss(users(), &table(), &batch));
        assert_close("loss", &sampled, &full, 1e-5);
    }
}

fn gbce_without_calibration_is_bce<B: Backend>() {
    let reference = Reference::load();
    let loss = |loss| {
        let users = tensor::<B, 2>(reference.losses.users.clone(), [3, 4]);
        let table = tensor::<B, 2>(reference.losses.table.clone(), [reference.items + 1, 4]);
        values(loss_of(
            &objective(loss, ScoreActivation::Linear),
            users,
            table,
        ))
    };
    assert_eq!(
        loss(SampledLoss::Gbce { calibration: 0.0 }),
        loss(SampledLoss::Bce)
    );
    assert_ne!(
        loss(SampledLoss::Gbce { calibration: 1.0 }),
        loss(SampledLoss::Bce)
    );
}

/// So many items that no other size of a model is the same.
const ITEMS: usize = 22;

/// Moves the rows of every table of items.
struct Permute<B: Backend>(Tensor<B, 1, Int>);

impl<B: Backend> ModuleMapper<B> for Permute<B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if param.dims()[0] != ITEMS + 1 {
            return param;
        }
        Param::from_tensor(param.val().select(0, self.0.clone()))
    }
}

/// What every model promises.
fn check_promises<B: Backend, M: SequenceRecaller<B>>(name: &str, model: M) {
    let device = B::Device::default();
    let histories = [&[4, 2][..], &[1, 2, 3, 4, 5, 6, 7], &[20], &[9, 9, 3, 1]];
    let histories = histories.map(ItemIndex::from_slice);
    let times: [&[f64]; 4] = [
        &[0.0, 9.0],
        &[1.0, 2.0, 4.0, 50.0, 1e4, 1e4, 2e6],
        &[3.0],
        &[1.0; 4],
    ];
    let of = |rows: &[usize]| {
        let histories = rows
            .iter()
            .map(|&row| History::with_times(histories[row], times[row]).unwrap());
        SequenceBatch::<B>::new(histories, model.max_len(), &device).unwrap()
    };

    // A row is the same alone, beside others, and whatever stands in its padding.
    let together = model.encode(&of(&[0, 1, 2, 3]));
    let [_, interests, dim] = together.dims();
    let together = values(together);
    for row in 0..4 {
        let alone = values(model.encode(&of(&[row])));
        let size = interests * dim;
        assert_close(name, &together[row * size..(row + 1) * size], &alone, 1e-5);
    }
    let mut padded = of(&[0, 1, 2, 3]);
    let [_, len] = padded.items.dims();
    let mut items: Vec<i32> = padded.items.into_data().iter().collect();
    for (row, &length) in padded.lengths.iter().enumerate() {
        items[row * len + length..(row + 1) * len].fill(13);
        padded.times[row * len + length..(row + 1) * len].fill(1e9);
    }
    padded.items = Tensor::from_data(TensorData::new(items, [4, len]), &device);
    assert_close(name, &values(model.encode(&padded)), &together, 1e-5);

    // Renumbered items give the same vectors in other rows.
    let order: Vec<i32> = std::iter::once(0)
        .chain((1..=ITEMS as i32).map(|item| item * 7 % (ITEMS as i32 + 1)))
        .collect();
    let moved = model.clone().map(&mut Permute(integers::<B>(&order)));
    let renumbered = |item: &ItemIndex| {
        let place = order.iter().position(|&from| from == item.get() as i32);
        ItemIndex::new(place.unwrap() as u32)
    };
    let history: Vec<ItemIndex> = histories[1].iter().map(renumbered).collect();
    let history = History::with_times(&history, times[1]).unwrap();
    let batch_of_one = SequenceBatch::<B>::new([history], model.max_len(), &device).unwrap();
    let found = values(moved.encode(&batch_of_one));
    assert_close(
        name,
        &found,
        &together[interests * dim..2 * interests * dim],
        1e-5,
    );

    // What comes after a position changes nothing there: no target is seen.
    if !model.needs_one_target() {
        let history = |length: usize| {
            History::with_times(&histories[1][..length], &times[1][..length]).unwrap()
        };
        let loss = |length: usize, position: i32| {
            let histories = SequenceBatch::<B>::new([history(length)], 9, &device).unwrap();
            let negatives = Negatives {
                items: integers(&[2, 8, 19]),
                log_chances: Tensor::zeros([3], &device),
                log_chances_of_targets: Tensor::zeros([1], &device),
            };
            let batch = TrainingBatch {
                positions: integers(&[position]),
                negatives: Some(negatives),
                ..batch(histories, &[11])
            };
            values(model.loss(&batch))
        };
        // Item2Vec learns from pairs of a whole sequence, and predicts no target of the batch.
        if name != "item2vec" {
            assert_close(name, &loss(7, 2), &loss(3, 2), 1e-5);
        }
    }
}

fn features() -> Features {
    let values = ::ndarray::Array2::from_shape_fn((ITEMS + 1, 3), |(item, feature)| {
        if item > 0 && item % (feature + 2) == 0 {
            1.0
        } else {
            0.0
        }
    });
    Features::new(["a", "b", "c"].map(str::to_owned).to_vec(), values).unwrap()
}

/// With fewer negatives than the default, for catalogs as small as these.
fn item2vec() -> Item2VecConfig {
    let loss = Loss::sampled(SampledLoss::Bce, NegativeSampling::by_popularity(8, 0.75));
    Item2VecConfig::new().with_objective(Objective::new().with_loss(loss))
}

/// A model of the list, small, with its other settings as they are by default.
struct Promises<B>(std::marker::PhantomData<B>);

impl<B: Backend> ModelVisitor<Autodiff<B>> for Promises<B>
where
    Autodiff<B>: TrainingBackend,
{
    type Output = ();

    fn visit<C: TrainableConfig<Autodiff<B>>>(self, defaults: C) {
        let mut small = serde_json::json!({ "dim": 8 });
        if C::NAME == "item2vec" {
            // With fewer negatives than the default, for a catalog as small as this.
            small["objective"] = serde_json::to_value(item2vec().objective).unwrap();
        }
        let config = overrides::config(&defaults, &small).unwrap();
        let device = B::Device::default();
        check_promises::<B, _>(C::NAME, config.init::<B>(ITEMS, 3, &device).unwrap());
    }
}

fn every_model_keeps_its_promises<B: Backend>()
where
    Autodiff<B>: TrainingBackend,
{
    let device = B::Device::default();
    for name in MODEL_NAMES {
        let promises = Promises::<B>(std::marker::PhantomData);
        visit_model::<Autodiff<B>, _>(name, promises).unwrap();
    }
    for input in [
        InputEmbedding::Shared,
        InputEmbedding::Separate { dim: 6 },
        InputEmbedding::OneHot,
    ] {
        let config = Gru4RecConfig::new()
            .with_dim(8)
            .with_layers(2)
            .with_input(input);
        check_promises::<B, _>("gru4rec", config.init(ITEMS, 3, &device).unwrap());
    }
    for block in [Block::Plain, Block::Gated] {
        let config = SasRecConfig::new()
            .with_dim(8)
            .with_block(block)
            .with_max_len(9);
        check_promises::<B, _>("sasrec", config.init(ITEMS, 3, &device).unwrap());
    }
    let bsarec = BsaRecConfig::new().with_dim(8).with_max_len(9);
    check_promises::<B, _>("bsarec", bsarec.init(ITEMS, 3, &device).unwrap());
    let hstu = HstuConfig::new().with_dim(8).with_max_len(9);
    check_promises::<B, _>("hstu", hstu.init(ITEMS, 3, &device).unwrap());
    let untied = hstu.with_tied(false);
    check_promises::<B, _>("hstu", untied.init(ITEMS, 3, &device).unwrap());
    for config in [
        MultiInterestConfig::mind(),
        MultiInterestConfig::comirec_dr(),
        MultiInterestConfig::comirec_sa(),
    ] {
        let config = config.with_dim(8).with_interests(3).with_max_len(9);
        check_promises::<B, _>("multi_interest", config.init(ITEMS, 3, &device).unwrap());
    }
    let two_tower = TwoTowerConfig::new().with_dim(8).with_hidden(5);
    check_promises::<B, _>("two_tower", two_tower.init(ITEMS, 3, &device).unwrap());
    let with_features = two_tower
        .init_with_features(&features(), 3, &device)
        .unwrap();
    check_promises::<B, _>("two_tower", with_features);
    let item2vec = item2vec().with_dim(8);
    check_promises::<B, _>("item2vec", item2vec.init(ITEMS, 3, &device).unwrap());
}

/// Step by step with carried states, GRU4Rec gives what it gives for whole sequences, and a row
/// whose sequence begins starts from nothing.
fn carried_states_are_those_of_whole_sequences<B: Backend>() {
    let device = B::Device::default();
    for input in [InputEmbedding::Shared, InputEmbedding::OneHot] {
        let config = Gru4RecConfig::new()
            .with_dim(6)
            .with_layers(2)
            .with_input(input);
        let model = config.init::<B>(ITEMS, 3, &device).unwrap();
        let step = |items: &[u32], targets: &[i32], continues_from: Vec<Option<usize>>, carried| {
            let histories = ItemIndex::from_slice(items).chunks(1);
            let histories = SequenceBatch::<B>::new(histories, 1, &device).unwrap();
            let batch = TrainingBatch {
                continues_from,
                ..batch(histories, targets)
            };
            let (loss, carried) = model.loss_carrying(&batch, carried);
            (values(loss), carried)
        };
        let whole = |histories: &[&[u32]], targets: &[i32]| {
            let histories = histories.iter().map(|items| ItemIndex::from_slice(items));
            let histories = SequenceBatch::<B>::new(histories, 9, &device).unwrap();
            values(model.loss(&batch(histories, targets)))
        };
        let (loss, carried) = step(&[3, 7, 5], &[8, 9, 10], vec![None; 3], None);
        assert_close(
            "first",
            &loss,
            &whole(&[&[3], &[7], &[5]], &[8, 9, 10]),
            1e-5,
        );
        // Row 0's sequence ended and no other takes its place; row 2's is another one.
        let (loss, carried) = step(&[9, 12], &[1, 2], vec![Some(1), None], carried);
        assert_close("second", &loss, &whole(&[&[7, 9], &[12]], &[1, 2]), 1e-5);
        let (loss, _) = step(&[1, 4], &[6, 6], vec![Some(0), Some(1)], carried);
        assert_close(
            "third",
            &loss,
            &whole(&[&[7, 9, 1], &[12, 4]], &[6, 6]),
            1e-5,
        );
    }
}

fn split() -> Split {
    let log = Synthetic::new()
        .with_users(60)
        .with_items(40)
        .with_mean_per_user(30);
    let dataset = Dataset::new(log.generate(), Filters::default()).unwrap();
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
    let trained = Trainer::new(trainer).fit(model, &split, &device).unwrap();
    let (first, last) = (trained.epochs[0].loss, trained.epochs.last().unwrap().loss);
    assert!(last < 0.97 * first, "{name}: {first} to {last}");
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
        let adagrad = Adagrad {
            momentum: 0.2,
            ..Adagrad::default()
        };
        let session_parallel = session_parallel
            .with_optimizer(Optimizer::Adagrad(adagrad))
            .with_learning_rate(0.1);
        learns(
            &format!("{name}, session-parallel"),
            &config,
            session_parallel,
        );
    }
    learns("sasrec", &SasRecConfig::new().with_dim(16), trainer.clone());
    learns("hstu", &HstuConfig::new().with_dim(16), trainer.clone());
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
    ] {
        learns("multi_interest", &config.with_dim(16), one.clone());
    }
    let bsarec = BsaRecConfig::new().with_dim(16).with_dropout(0.1);
    learns("bsarec", &bsarec, one.clone());
}

/// Settings that can't go together are refused before any training, with the field named.
#[test]
fn settings_that_cannot_go_together_are_refused() {
    let split = split();
    let device = Default::default();
    let items = split.catalog().len();
    let field = |error: seqrec::Error| match error {
        seqrec::Error::InvalidValue { field, .. } => field,
        other => panic!("{other}"),
    };
    let trainer = |targets| Trainer::new(TrainerConfig::new().with_targets(targets));
    let sasrec = SasRecConfig::new()
        .init::<Autodiff<Flex>>(items, 1, &device)
        .unwrap();
    let refused = trainer(Targets::SessionParallel)
        .fit(sasrec, &split, &device)
        .unwrap_err();
    assert_eq!(field(refused), "targets");
    let mind = MultiInterestConfig::mind()
        .init::<Autodiff<Flex>>(items, 1, &device)
        .unwrap();
    let refused = trainer(Targets::All)
        .fit(mind, &split, &device)
        .unwrap_err();
    assert_eq!(field(refused), "targets");
    let features = TwoTowerConfig::new().with_item_features(3);
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
    let features = Features::of_users(&dataset, kinds);
    dataset.with_user_features(features).unwrap()
}

#[test]
fn a_users_features_tell_what_he_takes() {
    let dataset = data_that_features_decide();
    let mut split = Split::new(&dataset, Protocol::Ratio { seed: 1 }).unwrap();
    // Judged on the first item that tells the kinds apart, from a history that doesn't.
    split.test = split.valid.clone();
    let device = Default::default();
    let catalog = split.catalog();
    let config = TwoTowerConfig::new().with_dim(16).with_hidden(16);
    let right_kind = |user_features: usize| {
        let config = config.clone().with_user_features(user_features);
        let model = config
            .init::<Autodiff<Flex>>(catalog.len(), 1, &device)
            .unwrap();
        let trainer = TrainerConfig::new()
            .with_epochs(20)
            .with_patience(20)
            .with_batch_size(16)
            .with_learning_rate(0.01)
            .with_ks(vec![5])
            .with_metric("recall@5".parse().unwrap());
        let trained = Trainer::new(trainer).fit(model, &split, &device).unwrap();
        let first = [1, 2, 3, 4].map(ItemIndex::new);
        let histories = [[1.0, 0.0], [0.0, 1.0]].map(|kind| (first, kind));
        let histories = histories
            .iter()
            .map(|(items, kind)| History::from(&items[..]).with_features(&kind[..]));
        let batch = SequenceBatch::<Flex>::new(histories, 50, &device).unwrap();
        let users = seqrec::retrieve::user_vectors(&trained.model, &batch);
        let items = seqrec::retrieve::item_vectors(&trained.model);
        let scores = users.dot(&items.t());
        let mean = |user: usize, kind: i64| -> f32 {
            (catalog.items())
                .filter(|&item| {
                    let id = catalog.id_of(item).unwrap();
                    id.to_string().parse::<i64>().unwrap() / 10 == kind
                })
                .map(|item| scores[[user, item.to_usize()]])
                .sum()
        };
        [mean(0, 1) - mean(0, 2), mean(1, 1) - mean(1, 2)]
    };
    let [first, second] = right_kind(2);
    assert!(first > 0.5 && second < -0.5, "{first}, {second}");
    let [first, second] = right_kind(0);
    assert_eq!(
        first, second,
        "without looking at features both are the same"
    );
}

/// Items that training lacks entirely are recalled by their features.
#[test]
fn cold_items_are_recalled_by_their_features() {
    let synthetic = Synthetic::new()
        .with_users(200)
        .with_items(200)
        .with_mean_per_user(40)
        .with_tastes(5);
    let dataset = Dataset::new(synthetic.generate(), Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let cold = |item: ItemIndex| item.get() % 10 == 3;
    let split = split.without_items(cold).unwrap();
    assert!(split.train.iter().flatten().all(|&item| !cold(item)));
    let catalog = split.catalog();
    let id = |item: ItemIndex| catalog.id_of(item).unwrap().clone();
    let tastes = catalog.items().map(|item| {
        let number = id(item).to_string().parse().unwrap();
        (id(item), [format!("taste {}", synthetic.taste_of(number))])
    });
    let features = Features::of_items(catalog, tastes);
    let device = Default::default();
    let model = TwoTowerConfig::new().with_dim(16);
    let model = model
        .init_with_features::<Autodiff<Flex>>(&features, 1, &device)
        .unwrap();
    let trainer = TrainerConfig::new()
        .with_epochs(10)
        .with_learning_rate(0.005)
        .with_batch_size(64);
    let trained = Trainer::new(trainer).fit(model, &split, &device).unwrap();
    let cases = split
        .test
        .filtered(|case| case.labels.iter().any(|&item| cold(item)));
    assert!(cases.len() > 10);
    let vectors = seqrec::retrieve::item_vectors(&trained.model);
    let index = seqrec::index::FlatIndex::new(vectors.view()).unwrap();
    let evaluation = seqrec::retrieve::Evaluation::new(&[20], Seen::Keep);
    let report = evaluation
        .run(&trained.model, &index, &cases, catalog, &device)
        .unwrap();
    let recall = report.recall(20).unwrap();
    let chance = 20.0 / catalog.len() as f64;
    assert!(recall > 2.0 * chance, "{recall} is not twice {chance}");
}

/// A model with features comes back from its folder with them.
#[test]
fn two_towers_survive_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let device = Default::default();
    let config = TwoTowerConfig::new().with_dim(8).with_item_features(3);
    let model = config
        .init_with_features::<Flex>(&features(), 3, &device)
        .unwrap();
    let vectors = values(model.item_embeddings());
    let ids = (0..ITEMS as i64).map(ExternalId::from);
    let catalog = seqrec::data::Catalog::from_ids(ids).unwrap();
    seqrec::store::Run::<Flex, TwoTowerConfig> {
        config,
        model,
        catalog,
    }
    .save(&path)
    .unwrap();
    let run = seqrec::store::Run::<Flex, TwoTowerConfig>::load(&path, &device).unwrap();
    assert_eq!(values(run.model.item_embeddings()), vectors);
}

macro_rules! on_backends {
    ($($test:ident),* $(,)?) => {
        mod flex {
            $(#[test] fn $test() { super::$test::<seqrec::backend::Flex>(); })*
        }
        mod ndarray {
            $(#[test] fn $test() { super::$test::<seqrec::backend::NdArray>(); })*
        }
        #[cfg(feature = "cuda")]
        mod cuda {
            $(#[test] fn $test() { super::$test::<seqrec::backend::Cuda>(); })*
        }
    };
}

on_backends!(
    every_model_is_pytorchs,
    every_loss_is_pytorchs,
    a_row_without_other_negatives_adds_nothing,
    every_losss_gradient_is_finite_differences,
    sampled_softmax_over_all_items_is_the_full_one,
    gbce_without_calibration_is_bce,
    every_model_keeps_its_promises,
    carried_states_are_those_of_whole_sequences,
);
