//! The model against PyTorch, against finite differences, and against its own promises, on every
//! backend that is built.

use burn::module::{AutodiffModule, Param};
use burn::tensor::{Tensor, TensorData};
use seqrec::backend::{Autodiff, Backend, GruWeights, gru, softmax_cross_entropy};
use seqrec::data::{ItemIndex, PaddedSequences, SequenceBatch, TrainingBatch};
use seqrec::model::{
    Gru4Rec, Gru4RecConfig, Objective, RecallerConfig, SequenceRecaller, Similarity,
};
use serde::Deserialize;

#[path = "support/numbers.rs"]
mod numbers;
use numbers::{assert_close, differences, noise, tensor, values};

#[derive(Deserialize)]
struct Reference {
    items: usize,
    dim: usize,
    histories: Vec<Vec<u32>>,
    targets: Vec<i32>,
    embedding: Vec<f32>,
    layers: Vec<ReferenceLayer>,
    users: Vec<f32>,
    loss: f32,
    embedding_gradient: Vec<f32>,
    layer_gradients: Vec<ReferenceLayer>,
}

#[derive(Deserialize)]
struct ReferenceLayer {
    weight_input: Vec<f32>,
    weight_hidden: Vec<f32>,
    bias_input: Vec<f32>,
    bias_hidden: Vec<f32>,
}

impl Reference {
    fn load() -> Self {
        serde_json::from_str(include_str!("reference/gru4rec.json")).unwrap()
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
        model.embedding = Param::from_tensor(tensor(self.embedding.clone(), [self.items + 1, dim]));
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
        let histories = batch::<B>(&self.histories);
        let count = self.targets.len();
        let targets = TensorData::new(self.targets.clone(), [count]);
        TrainingBatch {
            positions: histories.last_positions(),
            histories,
            targets: Tensor::from_data(targets, &B::Device::default()),
            negatives: None,
            continues_from: Vec::new(),
            seed: 0,
        }
    }
}

fn batch<B: Backend>(histories: &[Vec<u32>]) -> SequenceBatch<B> {
    let histories = histories.iter();
    let histories = histories.map(|items| ItemIndex::from_slice(items));
    SequenceBatch::new(histories, 50, &B::Device::default()).unwrap()
}

fn vectors_loss_and_gradients_are_pytorchs<B: Backend>() {
    let reference = Reference::load();
    let model = reference.model::<Autodiff<B>>();
    let users = model.valid().encode(&batch::<B>(&reference.histories));
    assert_eq!(users.dims(), [reference.histories.len(), 1, reference.dim]);
    assert_close("users", &values(users), &reference.users, 1e-5);

    let loss = model.loss(&reference.batch());
    assert_close("loss", &values(loss.clone()), &[reference.loss], 1e-5);
    let gradients = loss.backward();
    let found = values(model.embedding.grad(&gradients).unwrap());
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
    let weights = GruWeights {
        input: tensor::<B, 2>(vec![0.5, -1.0, 2.0], [1, 3]),
        hidden: tensor::<B, 2>(vec![1.0, 0.5, -1.0], [1, 3]),
        input_bias: tensor::<B, 2>(vec![0.0, 0.1, 0.2], [1, 3]),
        hidden_bias: tensor::<B, 2>(vec![0.3, 0.0, 0.4], [1, 3]),
    };
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
        [input, hidden, input_bias, hidden_bias]: [Tensor<B, 2>; 4],
        weights: &[f32],
    ) -> Tensor<B, 1> {
        let parameters = GruWeights {
            input,
            hidden,
            input_bias,
            hidden_bias,
        };
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

fn small_model<B: Backend>(similarity: Similarity) -> Gru4Rec<B> {
    let config = Gru4RecConfig::new()
        .with_embedding_dropout(0.0)
        .with_hidden_dropout(0.0)
        .with_dim(8)
        .with_layers(2)
        .with_objective(Objective::new().with_similarity(similarity));
    config.init(20, 3, &B::Device::default()).unwrap()
}

/// A history's vector is the same alone, beside longer ones, and whatever stands in the padding.
fn padding_changes_nothing<B: Backend>() {
    let model = small_model::<B>(Similarity::Dot);
    let histories: Vec<Vec<u32>> = vec![
        vec![4, 2],
        vec![1, 2, 3, 4, 5, 6, 7],
        vec![20],
        vec![9, 9, 9, 1],
    ];
    let together = values(model.encode(&batch(&histories)));
    for (row, history) in histories.iter().enumerate() {
        let alone = values(model.encode(&batch(std::slice::from_ref(history))));
        assert_close("alone", &together[row * 8..(row + 1) * 8], &alone, 1e-6);
    }
    let mut padded = batch::<B>(&histories);
    let [rows, len] = padded.items.dims();
    let mut items: Vec<i32> = padded.items.into_data().iter::<i32>().collect();
    for (row, &length) in padded.lengths.iter().enumerate() {
        items[row * len + length..(row + 1) * len].fill(13);
    }
    let data = TensorData::new(items, [rows, len]);
    padded.items = Tensor::from_data(data, &B::Device::default());
    assert_close(
        "other padding",
        &values(model.encode(&padded)),
        &together,
        1e-6,
    );
}

fn only_the_last_items_are_seen<B: Backend>() {
    let model = small_model::<B>(Similarity::Dot);
    let vector = |items: &[u32]| {
        let histories = PaddedSequences::new([ItemIndex::from_slice(items)], 3).unwrap();
        values(model.encode(&histories.to_device(&B::Device::default())))
    };
    assert_eq!(vector(&[7, 8, 1, 2, 3]), vector(&[1, 2, 3]));
    assert_ne!(vector(&[8, 1, 2]), vector(&[1, 2]));
    assert_ne!(vector(&[1, 2]), vector(&[2, 1]));
}

/// Dropout is the seed's alone, and there is none without gradients.
fn dropout_follows_the_seed<B: Backend>() {
    let config = Gru4RecConfig::new().with_dim(8).with_embedding_dropout(0.5);
    let device = B::Device::default();
    let model = config.init::<Autodiff<B>>(20, 3, &device).unwrap();
    let histories = vec![vec![4, 2, 9], vec![1, 2]];
    fn loss<C: Backend>(
        model: &impl SequenceRecaller<C>,
        histories: &[Vec<u32>],
        seed: u64,
    ) -> f32 {
        let histories = batch::<C>(histories);
        values(model.loss(&TrainingBatch {
            positions: histories.last_positions(),
            histories,
            targets: Tensor::from_data(TensorData::new(vec![5, 6], [2]), &C::Device::default()),
            negatives: None,
            continues_from: Vec::new(),
            seed,
        }))[0]
    }
    assert_eq!(loss(&model, &histories, 1), loss(&model, &histories, 1));
    assert_ne!(loss(&model, &histories, 1), loss(&model, &histories, 2));
    let valid = model.valid();
    assert_eq!(loss(&valid, &histories, 1), loss(&valid, &histories, 2));
}

/// Under cosine, the length of vectors does not matter to the loss.
fn cosine_forgets_lengths<B: Backend>() {
    let reference = Reference::load();
    let mut model = small_model::<B>(Similarity::Cosine);
    let loss = |model: &Gru4Rec<B>| values(model.loss(&reference.batch()))[0];
    let before = loss(&model);
    assert!(before.is_finite());
    // The states change with the inputs, so only items that are no inputs are stretched.
    let items: Vec<f32> = values(model.embedding.val());
    let stretched = items.iter().enumerate().map(
        |(place, value)| {
            if place / 8 > 7 { 5.0 * value } else { *value }
        },
    );
    model.embedding = Param::from_tensor(tensor(stretched.collect(), [21, 8]));
    assert_close("loss", &[loss(&model)], &[before], 1e-5);
}

macro_rules! on_backend {
    ($name:ident, $backend:ty, [$($test:ident),* $(,)?]) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test::<$backend>();
                }
            )*
        }
    };
}

macro_rules! on_every_backend {
    ($tests:tt) => {
        on_backend!(flex, seqrec::backend::Flex, $tests);
        on_backend!(ndarray, seqrec::backend::NdArray, $tests);
        #[cfg(feature = "cuda")]
        on_backend!(cuda, seqrec::backend::Cuda, $tests);
        #[cfg(feature = "wgpu")]
        on_backend!(wgpu, seqrec::backend::Wgpu, $tests);
    };
}

on_every_backend!([
    vectors_loss_and_gradients_are_pytorchs,
    one_step_of_a_gru_by_hand,
    softmax_gradients_are_finite_differences,
    gru_gradients_are_finite_differences,
    padding_changes_nothing,
    only_the_last_items_are_seen,
    dropout_follows_the_seed,
    cosine_forgets_lengths,
]);
