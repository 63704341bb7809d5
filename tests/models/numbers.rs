//! Vectors, losses and gradients are the right numbers: PyTorch's, those of finite differences, and
//! those of losses that are special cases of each other.

use std::collections::BTreeMap;

use burn::module::{AutodiffModule, Param};
use burn::tensor::{Tensor, TensorData};
use burn_store::{ModuleSnapshot, SafetensorsStore};
use seqrec::backend::{Autodiff, Backend, gru, softmax_cross_entropy};
use seqrec::burn;
use seqrec::data::{
    Catalog, Dataset, Filters, Interaction, ItemIndex, Items, NegativeSampling, Negatives,
    SequenceBatch, TrainingBatch, User,
};
use seqrec::model::{
    Gru4Rec, Gru4RecConfig, HstuConfig, InterestExtractor, Item2VecConfig, ItemFeaturesConfig,
    ItemTable, LabelAttention, Loss, MultiInterestConfig, Objective, RecallerConfig, SampledLoss,
    SasRecConfig, ScoreActivation, SequenceRecaller, Similarity, TwoTowerConfig,
};
use serde::Deserialize;

use crate::batches;
use crate::losses;
use crate::tensors;
use batches::{batch, histories, integers, tensor};
use losses::losses;
use tensors::{assert_close, values};

/// Numbers that look random and are the same everywhere.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 * 2.0 - 1.0
    };
    std::iter::repeat_with(draw).take(count).collect()
}

/// The change of `of` along each value, by central differences.
fn differences(at: &[f32], of: impl Fn(&[f32]) -> f32) -> Vec<f32> {
    const STEP: f32 = 1e-2;
    (0..at.len())
        .map(|place| {
            let moved = |by: f32| {
                let mut values = at.to_vec();
                values[place] += by;
                of(&values)
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
        })
        .collect()
}

#[derive(Deserialize)]
struct GruReference {
    items: usize,
    dim: usize,
    histories: Vec<Vec<u32>>,
    targets: Vec<i32>,
    embedding: Vec<f32>,
    layers: Vec<GruReferenceLayer>,
    users: Vec<f32>,
    loss: f32,
    embedding_gradient: Vec<f32>,
    layer_gradients: Vec<GruReferenceLayer>,
}

#[derive(Deserialize)]
struct GruReferenceLayer {
    weight_input: Vec<f32>,
    weight_hidden: Vec<f32>,
    bias_input: Vec<f32>,
    bias_hidden: Vec<f32>,
}

impl GruReference {
    fn load() -> Self {
        serde_json::from_str(include_str!("../reference/gru4rec.json")).unwrap()
    }

    fn model<B: Backend>(&self) -> Gru4Rec<B> {
        let (dim, gates) = (self.dim, 3 * self.dim);
        let config = Gru4RecConfig::new()
            .with_objective(Objective::new())
            .with_embedding_dropout(0.0)
            .with_hidden_dropout(0.0)
            .with_dim(dim)
            .with_layers(self.layers.len());
        let mut model = config
            .init::<B>(self.items, 0, &B::Device::default())
            .unwrap();
        model.embedding = ItemTable::new(tensor(self.embedding.clone(), [self.items + 1, dim]));
        for (layer, reference) in model.layers.iter_mut().zip(&self.layers) {
            let param =
                |values: &[f32], rows| Param::from_tensor(tensor(values.to_vec(), [rows, gates]));
            layer.weight_input = param(&reference.weight_input, dim);
            layer.weight_hidden = param(&reference.weight_hidden, dim);
            layer.bias_input = param(&reference.bias_input, 1);
            layer.bias_hidden = param(&reference.bias_hidden, 1);
        }
        model
    }

    fn batch<B: Backend>(&self) -> TrainingBatch<B> {
        batch(histories(&self.histories), &self.targets)
    }
}

fn vectors_loss_and_gradients_are_pytorchs<B: Backend>() {
    let reference = GruReference::load();
    let model = reference.model::<Autodiff<B>>();
    let users = model.valid().encode(&histories::<B>(&reference.histories));
    assert_eq!(users.dims(), [reference.histories.len(), 1, reference.dim]);
    assert_close("users", &values(users), &reference.users, 1e-5);

    let loss = model.loss(&reference.batch());
    assert_close("loss", &values(loss.clone()), &[reference.loss], 1e-5);
    let gradients = loss.backward();
    let found = values(model.embedding.kept().grad(&gradients).unwrap());
    assert_close("embedding", &found, &reference.embedding_gradient, 1e-4);
    for (layer, reference) in model.layers.iter().zip(&reference.layer_gradients) {
        let pairs = [
            ("weight_input", &layer.weight_input, &reference.weight_input),
            (
                "weight_hidden",
                &layer.weight_hidden,
                &reference.weight_hidden,
            ),
            ("bias_input", &layer.bias_input, &reference.bias_input),
            ("bias_hidden", &layer.bias_hidden, &reference.bias_hidden),
        ];
        for (name, parameter, expected) in pairs {
            assert_close(
                name,
                &values(parameter.grad(&gradients).unwrap()),
                expected,
                1e-4,
            );
        }
    }
}

/// One unit, one input, weights that can be followed on paper.
fn one_step_of_a_gru_by_hand<B: Backend>() {
    let weights = [
        tensor::<B, 2>(vec![0.5, -1.0, 2.0], [1, 3]),
        tensor::<B, 2>(vec![1.0, 0.5, -1.0], [1, 3]),
        tensor::<B, 2>(vec![0.0, 0.1, 0.2], [1, 3]),
        tensor::<B, 2>(vec![0.3, 0.0, 0.4], [1, 3]),
    ];
    let found = values(gru(
        tensor::<B, 3>(vec![1.0, -2.0], [1, 2, 1]),
        &[2],
        weights,
    ));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let step = |x: f64, h: f64| {
        let r = sigmoid(0.5 * x + h + 0.3);
        let z = sigmoid(-x + 0.1 + 0.5 * h);
        let n = (2.0 * x + 0.2 + r * (-h + 0.4)).tanh();
        (1.0 - z) * n + z * h
    };
    let first = step(1.0, 0.0);
    let second = step(-2.0, first);
    // r = 0.689974, z = 0.289050, n = tanh(2.475990) = 0.985960 on paper.
    assert!((first - 0.700968).abs() < 1e-6, "{first}");
    assert_close("states", &found, &[first as f32, second as f32], 1e-6);
}

fn softmax_gradients_are_finite_differences<B: Backend>() {
    let (rows, items, dim) = (3, 6, 4);
    let (users, table) = (noise(rows * dim, 1), noise((items + 1) * dim, 2));
    let correction = noise(items + 1, 3);
    fn loss<B: Backend>(
        users: Tensor<B, 2>,
        table: Tensor<B, 2>,
        correction: &[f32],
    ) -> Tensor<B, 1> {
        let targets = TensorData::new(vec![6, 1, 6], [3]);
        let targets = Tensor::from_data(targets, &B::Device::default());
        let correction = tensor::<B, 1>(correction.to_vec(), [correction.len()]);
        softmax_cross_entropy(users, table, targets, Some(correction))
    }
    let plain = |users: &[f32], table: &[f32]| {
        let users = tensor::<B, 2>(users.to_vec(), [rows, dim]);
        let table = tensor::<B, 2>(table.to_vec(), [items + 1, dim]);
        values(loss::<B>(users, table, &correction))[0]
    };
    let tracked_users = tensor::<Autodiff<B>, 2>(users.clone(), [rows, dim]).require_grad();
    let tracked_table = tensor::<Autodiff<B>, 2>(table.clone(), [items + 1, dim]).require_grad();
    // A factor before the loss shows that the incoming gradient is used.
    let scaled = loss::<Autodiff<B>>(tracked_users.clone(), tracked_table.clone(), &correction);
    let gradients = scaled.mul_scalar(2.0).backward();
    let by_users = differences(&users, |users| 2.0 * plain(users, &table));
    let by_table = differences(&table, |table| 2.0 * plain(&users, table));
    assert_close(
        "users",
        &values(tracked_users.grad(&gradients).unwrap()),
        &by_users,
        1e-3,
    );
    let found = values(tracked_table.grad(&gradients).unwrap());
    assert_close("items", &found, &by_table, 1e-3);
    assert!(
        found[..dim].iter().all(|&value| value == 0.0),
        "padding gets no gradient"
    );
}

fn gru_gradients_are_finite_differences<B: Backend>() {
    const BATCH: usize = 3;
    const LEN: usize = 4;
    const INPUTS: usize = 2;
    const HIDDEN: usize = 3;
    const LENGTHS: [usize; BATCH] = [2, 4, 1];
    let sizes = [
        BATCH * LEN * INPUTS,
        INPUTS * 3 * HIDDEN,
        HIDDEN * 3 * HIDDEN,
        3 * HIDDEN,
        3 * HIDDEN,
    ];
    let all = noise(sizes.iter().sum(), 4);
    let weight_of_state = noise(BATCH * LEN * HIDDEN, 5);
    fn inputs<B: Backend>(all: &[f32], sizes: [usize; 5]) -> (Tensor<B, 3>, [Tensor<B, 2>; 4]) {
        let mut rest = all;
        let mut parts = sizes
            .map(|size| {
                let (part, others) = rest.split_at(size);
                rest = others;
                part.to_vec()
            })
            .into_iter();
        let mut next = || parts.next().unwrap();
        let gates = 3 * HIDDEN;
        let sequences = tensor(next(), [BATCH, LEN, INPUTS]);
        let rows = [INPUTS, HIDDEN, 1, 1];
        (sequences, rows.map(|rows| tensor(next(), [rows, gates])))
    }
    fn objective<B: Backend>(
        sequences: Tensor<B, 3>,
        parameters: [Tensor<B, 2>; 4],
        weights: &[f32],
    ) -> Tensor<B, 1> {
        let states = gru(sequences, &LENGTHS, parameters);
        (states * tensor(weights.to_vec(), [BATCH, LEN, HIDDEN])).sum()
    }
    let (sequences, parameters) = inputs::<Autodiff<B>>(&all, sizes);
    let sequences = sequences.require_grad();
    let parameters = parameters.map(Tensor::require_grad);
    let gradients = objective(sequences.clone(), parameters.clone(), &weight_of_state).backward();
    let mut found = values(sequences.grad(&gradients).unwrap());
    for parameter in parameters {
        found.extend(values(parameter.grad(&gradients).unwrap()));
    }
    let expected = differences(&all, |all| {
        let (sequences, parameters) = inputs::<B>(all, sizes);
        values(objective(sequences, parameters, &weight_of_state))[0]
    });
    assert_close("gradient", &found, &expected, 2e-3);
}

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
    weights: BTreeMap<String, ReferenceWeights>,
    users: Vec<f32>,
    loss: f32,
}

#[derive(Clone, Deserialize)]
struct ReferenceWeights {
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
        serde_json::from_str(include_str!("../reference/family.json")).unwrap()
    }

    fn histories<B: Backend>(&self) -> SequenceBatch<B> {
        let histories = self.histories.iter().zip(&self.times);
        let histories = histories
            .map(|(items, times)| User::with_times(ItemIndex::from_slice(items), times).unwrap());
        SequenceBatch::new(histories, 5, &B::Device::default()).unwrap()
    }
}

/// The weights as a file, which is how models are loaded.
fn safetensors(weights: &BTreeMap<String, ReferenceWeights>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, ReferenceWeights { shape, values }) in weights {
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

/// The catalog with features of its items, of which the reference has a row of 0 for padding.
fn with_features(catalog: &Catalog, features: ReferenceWeights) -> Catalog {
    let ReferenceWeights { shape, values } = features;
    let rows = ::ndarray::Array2::from_shape_vec((shape[0], shape[1]), values).unwrap();
    let log = catalog.ids().map(|id| Interaction::new(1, id.clone(), 1.0));
    let dataset = Dataset::new(log.collect(), Filters::default()).unwrap();
    let items = Items::new(catalog.ids().cloned()).unwrap();
    let given = rows.slice(::ndarray::s![1.., ..]);
    let features = items.features(catalog, &[]).unwrap();
    let features = features.with_vectors("tags", catalog, catalog.ids().cloned(), given);
    let dataset = dataset.with_item_features(features.unwrap()).unwrap();
    dataset.catalog().clone()
}

/// Vectors and loss of a model with the reference's weights are the reference's.
fn check<B: Backend, C: RecallerConfig>(name: &str, config: &C) {
    let reference = Reference::load();
    let expected = &reference.models[name];
    let device = B::Device::default();
    let mut weights = expected.weights.clone();
    let mut catalog = Catalog::from_ids((1..=reference.items as i64).map(Into::into)).unwrap();
    if let Some(features) = weights.remove("features") {
        catalog = with_features(&catalog, features);
        let (shape, values) = (vec![4], vec![1.0; 4]);
        weights.insert(
            "embedding.gate".to_owned(),
            ReferenceWeights { shape, values },
        );
    }
    let mut model = config.init_for::<B>(&catalog, 0, &device).unwrap();
    let mut store = SafetensorsStore::from_bytes(Some(safetensors(&weights)));
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
    let plain = Objective::new();
    let sasrec = SasRecConfig::new()
        .with_dim(4)
        .with_max_len(5)
        .with_objective(plain.clone());
    check::<B, _>("sasrec", &sasrec);
    check::<B, _>("ligr", &sasrec.with_gated(true).with_feed_forward(2));
    let hstu = HstuConfig::new()
        .with_dim(4)
        .with_max_len(5)
        .with_objective(plain);
    check::<B, _>("hstu", &hstu);
    // As in the papers.
    let interests = |config: MultiInterestConfig, attention| {
        let config = config.with_dim(4).with_interests(3).with_max_len(5);
        let config = config.with_dropout(0.0).with_attention(attention);
        config.with_objective(Objective::new())
    };
    let soft = LabelAttention::Soft { sharpness: 1.0 };
    check::<B, _>("mind", &interests(MultiInterestConfig::mind(), soft));
    check::<B, _>(
        "comirec_dr",
        &interests(MultiInterestConfig::comirec_dr(), LabelAttention::Hard),
    );
    let attention = InterestExtractor::SelfAttention { hidden: 6 };
    check::<B, _>(
        "comirec_sa",
        &interests(MultiInterestConfig::comirec_sa(), LabelAttention::Hard)
            .with_extractor(attention),
    );
    let two_tower = TwoTowerConfig::new()
        .with_dim(4)
        .with_hidden(6)
        .with_item_features(Some(ItemFeaturesConfig::new().with_hidden(Some(6))))
        .with_objective(Objective::new());
    check::<B, _>("two_tower", &two_tower);
    let item2vec = Item2VecConfig::new()
        .with_dim(4)
        .with_window(2)
        .with_recent(2)
        .with_objective(Objective::new());
    check::<B, _>("item2vec", &item2vec);
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
    table: &ItemTable<B>,
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
            places_of_targets: None,
        }),
        targets: integers(&targets),
        ..batch(histories, &[1])
    };
    objective.mean_loss(users, table, &batch)
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
        let table = ItemTable::new(tensor::<B, 2>(table.clone(), [reference.items + 1, 4]));
        let found = values(loss_of(&objective(loss, activation), users, &table));
        assert_close(name, &found, &[expected[name]], 1e-5);
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
        let tracked_table = ItemTable::new(tensor::<Autodiff<B>, 2>(table.clone(), shape));
        let loss = loss_of(&objective, tracked_users.clone(), &tracked_table);
        let gradients = loss.backward();
        let plain = |users: &[f32], table: &[f32]| {
            let users = tensor::<B, 2>(users.to_vec(), [3, 4]);
            values(loss_of(
                &objective,
                users,
                &ItemTable::new(tensor::<B, 2>(table.to_vec(), shape)),
            ))[0]
        };
        let by_users = differences(&users, |users| plain(users, &table));
        let by_table = differences(&table, |table| plain(&users, table));
        let found = values(tracked_users.grad(&gradients).unwrap());
        assert_close(&format!("{name} by users"), &found, &by_users, 2e-3);
        let found = values(tracked_table.kept().grad(&gradients).unwrap());
        assert_close(&format!("{name} by items"), &found, &by_table, 2e-3);
    }
}

/// A row whose only negative is its own target has nothing to learn from.
fn a_row_without_other_negatives_adds_nothing<B: Backend>() {
    let device = B::Device::default();
    let histories = SequenceBatch::<B>::new([ItemIndex::from_slice(&[1])], 1, &device).unwrap();
    let table = ItemTable::new(tensor::<B, 2>(noise(10 * 4, 2), [10, 4]));
    for (name, kind, activation) in losses() {
        let loss_of = |users: &[f32], targets: &[i32], negatives: &[i32]| {
            let rows = targets.len();
            let chances = negatives.len();
            let batch = TrainingBatch {
                targets: integers(targets),
                negatives: Some(Negatives {
                    items: integers(negatives),
                    log_chances: tensor(vec![-1.0; chances], [chances]),
                    log_chances_of_targets: tensor(vec![-1.0; rows], [rows]),
                    places_of_targets: None,
                }),
                ..batch(histories.clone(), &[1])
            };
            let users = tensor::<B, 2>(users.to_vec(), [rows, 4]);
            values(objective(kind, activation).mean_loss(users, &table, &batch))[0]
        };
        let loss = |users: &[f32], targets: &[i32]| loss_of(users, targets, &[3]);
        let users = noise(2 * 4, 1);
        // A row's own target among others is as if it were not there.
        if !matches!(kind, SampledLoss::Gbce { .. }) {
            let [among, without] = [&[3, 5][..], &[5]].map(|of| loss_of(&users[..4], &[3], of));
            assert_close(name, &[among], &[without], 1e-5);
        }
        let (both, one) = (loss(&users, &[3, 5]), loss(&users[4..], &[5]));
        // The losses that have a term for the target alone keep that one.
        if !matches!(kind, SampledLoss::Bce | SampledLoss::Gbce { .. }) {
            assert!(one.abs() > 1e-3, "{name}: {one}");
            assert_close(name, &[both], &[one / 2.0], 1e-6);
        }
    }
}

/// With every item among the negatives, and each sure to be, sampled softmax is the full one.
fn sampled_softmax_over_all_items_is_the_full_one<B: Backend>() {
    let (rows, items, dim) = (3, 9, 4);
    let users = || tensor::<B, 2>(noise(rows * dim, 1), [rows, dim]);
    let table = || {
        ItemTable::new(tensor::<B, 2>(
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
            places_of_targets: None,
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

/// Where all targets are among the negatives, a softmax that is told so is the one that is not.
fn sampled_softmax_with_places_is_the_one_without<B: Backend>() {
    let device = B::Device::default();
    let histories =
        SequenceBatch::<Autodiff<B>>::new([ItemIndex::from_slice(&[1])], 1, &device).unwrap();
    let loss_and_gradients = |objective: &Objective, places: Option<&[i32]>| {
        let users = tensor::<Autodiff<B>, 2>(noise(3 * 4, 1), [3, 4]).require_grad();
        let table = tensor::<Autodiff<B>, 2>(noise(10 * 4, 2), [10, 4]).require_grad();
        let batch = TrainingBatch {
            targets: integers(&[4, 9, 4]),
            negatives: Some(Negatives {
                items: integers(&[2, 4, 7, 9]),
                log_chances: tensor(vec![-0.5, -1.0, -0.25, -2.0], [4]),
                log_chances_of_targets: tensor(vec![-1.0, -2.0, -1.0], [3]),
                places_of_targets: places.map(integers),
            }),
            ..batch(histories.clone(), &[1])
        };
        let items = ItemTable::new(table);
        let loss = objective.mean_loss(users.clone(), &items, &batch);
        let gradients = loss.backward();
        let by_users = users.grad(&gradients).unwrap();
        let by_table = items.kept().grad(&gradients).unwrap();
        let numbers = |data: TensorData| data.iter::<f32>().collect::<Vec<_>>();
        [
            numbers(loss.into_data()),
            numbers(by_users.into_data()),
            numbers(by_table.into_data()),
        ]
    };
    for log_q in [false, true] {
        for similarity in [Similarity::Dot, Similarity::Cosine] {
            let objective = objective(SampledLoss::Softmax { log_q }, ScoreActivation::Linear)
                .with_similarity(similarity);
            let plain = loss_and_gradients(&objective, None);
            let fused = loss_and_gradients(&objective, Some(&[2, 4, 2]));
            for (fused, plain) in fused.iter().zip(&plain) {
                assert_close("loss or gradient", fused, plain, 1e-5);
            }
        }
    }
}

fn gbce_without_calibration_is_bce<B: Backend>() {
    let reference = Reference::load();
    let loss = |loss| {
        let users = tensor::<B, 2>(reference.losses.users.clone(), [3, 4]);
        let shape = [reference.items + 1, 4];
        let table = ItemTable::new(tensor::<B, 2>(reference.losses.table.clone(), shape));
        values(loss_of(
            &objective(loss, ScoreActivation::Linear),
            users,
            &table,
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

on_every_backend!([
    vectors_loss_and_gradients_are_pytorchs,
    one_step_of_a_gru_by_hand,
    softmax_gradients_are_finite_differences,
    gru_gradients_are_finite_differences,
    every_model_is_pytorchs,
    every_loss_is_pytorchs,
    sampled_softmax_with_places_is_the_one_without,
    every_losss_gradient_is_finite_differences,
    a_row_without_other_negatives_adds_nothing,
    sampled_softmax_over_all_items_is_the_full_one,
    gbce_without_calibration_is_bce,
]);
