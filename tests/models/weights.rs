//! What targets weigh in a loss, and what users are kept away from.

use burn::tensor::{Tensor, TensorData};
use seqrec::backend::{Autodiff, Backend};
use seqrec::burn;
use seqrec::data::{ItemIndex, NegativeSampling, Negatives, SequenceBatch, TrainingBatch};
use seqrec::model::{
    Gru4RecConfig, Item2VecConfig, ItemTable, LabelAttention, Loss, MultiInterestConfig, Objective,
    RecallerConfig, SampledLoss, SasRecConfig, SequenceRecaller, Similarity,
};

use crate::batches::{batch, histories, integers, tensor};
use crate::losses::losses;
use crate::numbers::noise;
use crate::tensors::{assert_close, values};

const ITEMS: usize = 9;
const DIM: usize = 4;
const NEGATIVES: [i32; 3] = [2, 5, 7];

/// Every loss, with both similarities.
fn objectives() -> Vec<(String, Objective)> {
    let sampled = losses().map(|(name, loss, activation)| {
        let negatives = NegativeSampling::uniform(NEGATIVES.len());
        let loss = Loss::Sampled {
            loss,
            negatives,
            activation,
        };
        (name, loss)
    });
    let all = sampled.into_iter().chain([("full softmax", Loss::Softmax)]);
    let both = |(name, loss): (&str, Loss)| {
        [Similarity::Dot, Similarity::Cosine].map(|similarity| {
            let objective = Objective::new().with_loss(loss.clone());
            let objective = objective.with_similarity(similarity).with_temperature(0.5);
            (format!("{name}, {similarity}"), objective)
        })
    };
    all.flat_map(both).collect()
}

/// A batch of these rows of users, of which the last `disliked` are of disliked items.
fn rows<B: Backend>(targets: &[i32], weights: Option<&[f32]>, disliked: usize) -> TrainingBatch<B> {
    let device = B::Device::default();
    let one = SequenceBatch::<B>::new([ItemIndex::from_slice(&[1])], 1, &device).unwrap();
    let wanted = targets.len() - disliked;
    let chances = targets[..wanted].iter().map(|&item| -0.1 * item as f32);
    TrainingBatch {
        weights: weights.map(|weights| tensor(weights.to_vec(), [weights.len()])),
        disliked,
        negatives: Some(Negatives {
            items: integers(&NEGATIVES),
            log_chances: tensor(NEGATIVES.map(|item| -0.1 * item as f32).to_vec(), [3]),
            log_chances_of_targets: tensor(chances.collect(), [wanted]),
            places_of_targets: None,
        }),
        ..batch(one, targets)
    }
}

/// The loss of user vectors of noise, one for each of `of` and the same for the same number, and
/// the gradient of the table of items.
fn loss<B: Backend>(
    objective: &Objective,
    of: &[u32],
    batch: &TrainingBatch<Autodiff<B>>,
) -> Vec<f32> {
    let users: Vec<f32> = of.iter().flat_map(|&user| noise(DIM, user + 1)).collect();
    let users = Tensor::<Autodiff<B>, 2>::from_data(
        TensorData::new(users, [of.len(), DIM]),
        &B::Device::default(),
    );
    let table = ItemTable::new(tensor(noise((ITEMS + 1) * DIM, 99), [ITEMS + 1, DIM]));
    let loss = objective.mean_loss(users, &table, batch);
    let gradients = loss.backward();
    let mut found = values(loss);
    found.extend(values(table.kept().grad(&gradients).unwrap()));
    assert!(found.iter().all(|value| value.is_finite()));
    found
}

/// A row that weighs twice as much as another is as good as two of it.
fn a_weight_is_a_number_of_rows<B: Backend>() {
    for (name, objective) in objectives() {
        let weighed = rows(&[3, 8, 1], Some(&[2.0, 1.0, 3.0]), 0);
        let repeated = rows(&[3, 3, 8, 1, 1, 1], None, 0);
        let weighed = loss::<B>(&objective, &[0, 1, 2], &weighed);
        let repeated = loss::<B>(&objective, &[0, 0, 1, 2, 2, 2], &repeated);
        assert_close(&name, &weighed, &repeated, 1e-5);
        // Also where some are of disliked items.
        let weighed = rows(&[3, 8, 1], Some(&[2.0, 1.0, 3.0]), 2);
        let repeated = rows(&[3, 3, 8, 1, 1, 1], None, 4);
        let weighed = loss::<B>(&objective, &[0, 1, 2], &weighed);
        let repeated = loss::<B>(&objective, &[0, 0, 1, 2, 2, 2], &repeated);
        assert_close(&name, &weighed, &repeated, 1e-5);
    }
}

/// Equal weights are none, whatever they are.
fn equal_weights_are_none<B: Backend>() {
    for (name, objective) in objectives() {
        let [none, equal] = [None, Some(&[0.3; 3][..])]
            .map(|weights| loss::<B>(&objective, &[0, 1, 2], &rows(&[3, 8, 1], weights, 1)));
        assert_close(&name, &equal, &none, 1e-5);
    }
}

/// What item 1 adds to the loss of a user who dislikes it, by their scores: how far it is above an
/// item at random, of all or by the negatives and the logarithms of their chances.
fn away(score: impl Fn(usize) -> f32, loss: &Loss, log_chance: impl Fn(usize) -> f32) -> f32 {
    let sum: f32 = match loss {
        Loss::Softmax => (1..=ITEMS).map(|item| score(item).exp()).sum(),
        _ => {
            let negatives = NEGATIVES.map(|item| item as usize);
            let of = |item| (score(item) - log_chance(item)).exp();
            negatives.into_iter().map(of).sum()
        }
    };
    (score(1) - (sum / ITEMS as f32).ln()).exp().ln_1p()
}

/// The last rows of a batch, in plain arithmetic.
fn disliked_rows_are_pushed_away<B: Backend>() {
    for (name, objective) in objectives() {
        let objective = objective.with_dislike_weight(0.5);
        let all = rows(&[3, 8, 1], Some(&[2.0, 1.0, 3.0]), 1);
        let found = loss::<B>(&objective, &[0, 1, 2], &all)[0];
        let wanted = rows(&[3, 8], Some(&[2.0, 1.0]), 0);
        let wanted = loss::<B>(&objective, &[0, 1], &wanted)[0];
        let (user, table) = (noise(DIM, 3), noise((ITEMS + 1) * DIM, 99));
        let product = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let score = |item: usize| {
            let item = &table[item * DIM..(item + 1) * DIM];
            match objective.similarity {
                Similarity::Dot => product(&user, item),
                _ => {
                    let lengths = product(&user, &user) * product(item, item);
                    product(&user, item) / lengths.sqrt() / 0.5
                }
            }
        };
        let away = away(score, &objective.loss, |item| -0.1 * item as f32);
        let expected = (3.0 * wanted + 0.5 * 3.0 * away) / 4.5;
        assert_close(&name, &[found], &[expected], 1e-5);
        // And nothing of them where they have no weight.
        let none = loss::<B>(&objective.with_dislike_weight(0.0), &[0, 1, 2], &all)[0];
        assert_close(&name, &[none], &[wanted], 1e-5);
    }
}

/// A batch may have dislikes alone, or nothing to learn at all.
fn a_batch_without_targets_has_a_finite_loss<B: Backend>() {
    for (name, objective) in objectives() {
        let dislikes = loss::<B>(&objective, &[0, 1], &rows(&[3, 8], None, 2));
        assert!(dislikes[0] > 0.0, "{name}");
        assert!(dislikes[1..].iter().any(|&gradient| gradient != 0.0));
        let none = objective.with_dislike_weight(0.0);
        let none = loss::<B>(&none, &[0, 1], &rows(&[3, 8], None, 2));
        assert!(none.iter().all(|&value| value == 0.0), "{name}");
    }
}

/// The loss of a model, which gradients are there for.
fn loss_of<B: Backend>(
    model: &impl SequenceRecaller<Autodiff<B>>,
    batch: &TrainingBatch<Autodiff<B>>,
) -> f32 {
    let loss = model.loss(batch);
    let gradients = loss.backward();
    let by_items = model.item_embeddings().grad(&gradients).unwrap();
    assert!(values(by_items).iter().all(|value| value.is_finite()));
    values(loss)[0]
}

/// The history of each row with its target, their weights, and how many are disliked.
fn batch_of<B: Backend>(
    of: &[(&[u32], i32)],
    weights: Option<&[f32]>,
    disliked: usize,
) -> TrainingBatch<B> {
    let (items, targets): (Vec<_>, Vec<_>) = of.iter().copied().unzip();
    let items: Vec<Vec<u32>> = items.into_iter().map(<[u32]>::to_vec).collect();
    TrainingBatch {
        weights: weights.map(|weights| tensor(weights.to_vec(), [weights.len()])),
        disliked,
        negatives: Some(Negatives {
            items: integers(&NEGATIVES),
            log_chances: tensor(vec![-0.5; 3], [3]),
            log_chances_of_targets: tensor(
                vec![-0.5; targets.len() - disliked],
                [targets.len() - disliked],
            ),
            places_of_targets: None,
        }),
        ..batch(histories(&items), &targets)
    }
}

/// Models of several interests and Item2Vec, whose losses are their own.
fn models_with_losses_of_their_own_weigh_alike<B: Backend>() {
    fn check<B: Backend, C: RecallerConfig>(name: &str, config: &C) {
        let model = config
            .init::<Autodiff<B>>(ITEMS, 3, &B::Device::default())
            .unwrap();
        let (a, b, c) = ((&[1, 2][..], 3), (&[4][..], 8), (&[6, 5, 2][..], 1));
        for disliked in [0, 1, 3] {
            let weighed = batch_of(&[a, b, c], Some(&[2.0, 1.0, 3.0]), disliked);
            let repeated = batch_of(&[a, a, b, c, c, c], None, [0, 3, 3, 6][disliked]);
            let [weighed, repeated] = [weighed, repeated].map(|batch| loss_of::<B>(&model, &batch));
            assert_close(name, &[weighed], &[repeated], 1e-5);
            let equal = batch_of(&[a, b, c], Some(&[0.3; 3]), disliked);
            let none = batch_of(&[a, b, c], None, disliked);
            let [equal, none] = [equal, none].map(|batch| loss_of::<B>(&model, &batch));
            assert_close(name, &[equal], &[none], 1e-5);
        }
    }
    let interests = MultiInterestConfig::comirec_sa()
        .with_dim(DIM)
        .with_dropout(0.0);
    check::<B, _>("joint", &interests);
    check::<B, _>(
        "hard",
        &interests.clone().with_attention(LabelAttention::Hard),
    );
    let soft = LabelAttention::Soft { sharpness: 2.0 };
    check::<B, _>("soft", &interests.with_attention(soft));
}

/// Each pair of an item and a neighbor weighs what the neighbor does.
fn pairs_of_item2vec_weigh_what_neighbors_do<B: Backend>() {
    let negatives = NegativeSampling::by_popularity(NEGATIVES.len(), 0.75);
    let bce = Loss::sampled(SampledLoss::Bce, negatives);
    for loss in [Loss::Softmax, bce] {
        let config = Item2VecConfig::new().with_dim(DIM);
        let config = config.with_objective(Objective::new().with_loss(loss));
        let model = config
            .init::<Autodiff<B>>(ITEMS, 3, &B::Device::default())
            .unwrap();
        let of = |weight: f32, disliked: usize| {
            let one = batch_of(&[(&[1][..], 2)], Some(&[weight]), disliked);
            loss_of::<B>(&model, &one)
        };
        // Of 1 and 2 the pair (1, 2) weighs as much as 2, and (2, 1) weighs 1.
        let [even, half] = [of(1.0, 0), of(0.5, 0)];
        let forth = 3.0 * half - 2.0 * even;
        let back = 2.0 * even - forth;
        assert_close("thrice", &[of(3.0, 0)], &[(3.0 * back + forth) / 4.0], 1e-4);
        // A disliked neighbor is pushed away, and has none of its own.
        let tables = [model.embedding.kept(), model.context.kept()].map(values);
        let of = |table: usize, item: usize| &tables[table][item * DIM..(item + 1) * DIM];
        let score =
            |item: usize| -> f32 { of(0, 4).iter().zip(of(1, item)).map(|(a, b)| a * b).sum() };
        let one = batch_of(&[(&[4][..], 1)], None, 1);
        let expected = away(score, &config.objective.loss, |_| -0.5);
        assert_close("disliked", &[loss_of::<B>(&model, &one)], &[expected], 1e-5);
    }
}

/// Step by step, rows whose next item is no target, and those whose next one is disliked.
fn carried_states_weigh_alike<B: Backend>() {
    let config = Gru4RecConfig::new().with_dim(DIM).with_hidden_dropout(0.0);
    let config = config.with_embedding_dropout(0.0);
    let device = B::Device::default();
    let model = config.init::<Autodiff<B>>(ITEMS, 3, &device).unwrap();
    let items = vec![vec![3], vec![7], vec![5], vec![2]];
    let mut step = TrainingBatch {
        positions: integers(&[3, 0, 2]),
        weights: Some(tensor(vec![2.0, 1.0, 3.0], [3])),
        disliked: 1,
        continues_from: vec![None; 4],
        ..batch(histories(&items), &[8, 9, 1])
    };
    let (carrying, states) = model.loss_carrying(&step, Vec::new());
    assert_eq!(states[0].dims(), [4, DIM]);
    let whole = batch_of(
        &[(&[2], 8), (&[3], 9), (&[5], 1)],
        Some(&[2.0, 1.0, 3.0]),
        1,
    );
    assert_close(
        "loss",
        &values(carrying),
        &[loss_of::<B>(&model, &whole)],
        1e-5,
    );
    (step.targets, step.positions) = (integers(&[]), integers(&[]));
    (step.weights, step.disliked) = (None, 0);
    let (nothing, states) = model.loss_carrying(&step, states);
    nothing.backward();
    assert_eq!((values(nothing), states[0].dims()), (vec![0.0], [4, DIM]));
    assert_eq!(values(model.loss(&step)), [0.0]);
}

/// Steps along the gradient take disliked items away from a user and bring targets near.
fn dislikes_are_learned<B: Backend>() {
    use burn::optim::{GradientsParams, Optimizer, SgdConfig};
    let device = B::Device::default();
    for objective in [Objective::new(), Objective::cosine(0.07)] {
        let config = SasRecConfig::new().with_dim(8).with_objective(objective);
        let mut model = config.init::<Autodiff<B>>(ITEMS, 3, &device).unwrap();
        let mut optimizer = SgdConfig::new().init::<Autodiff<B>, _>();
        let places = |model: &_| {
            let model: &<seqrec::model::SasRecConfig as RecallerConfig>::Recaller<Autodiff<B>> =
                model;
            let users = model.encode(&histories(&[vec![1, 2]])).reshape([1, 8]);
            let [users, items] = [users, model.item_embeddings()]
                .map(|vectors| Similarity::Cosine.prepare_tensor(vectors));
            let scores = values(users.matmul(items.transpose()));
            let above = |item: usize| {
                (1..=ITEMS)
                    .filter(|&other| scores[other] > scores[item])
                    .count()
            };
            [above(4), above(6)]
        };
        for seed in 0..60 {
            let batch = batch_of(&[(&[1, 2], 4), (&[1, 2], 6)], None, 1);
            let gradients = model.loss(&TrainingBatch { seed, ..batch }).backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            model = optimizer.step(0.05, model, gradients);
        }
        let [liked, disliked] = places(&model);
        assert!(liked == 0 && disliked >= ITEMS - 3, "{liked}, {disliked}");
    }
}

on_every_backend!([
    a_weight_is_a_number_of_rows,
    equal_weights_are_none,
    disliked_rows_are_pushed_away,
    a_batch_without_targets_has_a_finite_loss,
    models_with_losses_of_their_own_weigh_alike,
    pairs_of_item2vec_weigh_what_neighbors_do,
    carried_states_weigh_alike,
    dislikes_are_learned,
]);
