//! What every model promises: a history's vector is the same whatever stands beside it and in its
//! padding, items can be renumbered, no target is seen, dropout follows the seed.

use burn::module::{AutodiffModule, ModuleMapper, Param};
use burn::tensor::{Int, Tensor, TensorData};
use seqrec::backend::{Autodiff, Backend};
use seqrec::burn;
use seqrec::data::{ItemIndex, NegativeSampling, Negatives, SequenceBatch, TrainingBatch, User};
use seqrec::model::{
    BsaRecConfig, Gru4Rec, Gru4RecConfig, HstuConfig, InputEmbedding, Item2VecConfig, ItemTable,
    Loss, MODEL_NAMES, ModelVisitor, MultiInterestConfig, Objective, RecallerConfig, SampledLoss,
    SasRecConfig, SequenceRecaller, Similarity, TrainableConfig, TwoTowerConfig, visit_model,
};
use seqrec::settings::overridden;

use crate::batches;
use crate::tensors;
use batches::{batch, histories as histories_of, integers, tensor};

/// So many items that no other size of a model is the same.
const ITEMS: usize = 22;
use tensors::{assert_close, values};

/// Moves the rows of every table of items.
struct Permute<B: Backend> {
    order: Tensor<B, 1, Int>,
    of_items: bool,
}

impl<B: Backend> ModuleMapper<B> for Permute<B> {
    fn exit_module(&mut self, _: &str, container: &str) {
        self.of_items = container == ItemTable::<B>::CONTAINER;
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if !self.of_items {
            return param;
        }
        assert_eq!(param.dims()[0], ITEMS + 1);
        Param::from_tensor(param.val().select(0, self.order.clone()))
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
            .map(|&row| User::with_times(histories[row], times[row]).unwrap());
        SequenceBatch::<B>::new(histories, model.config().describe().max_len, &device).unwrap()
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
    let moved = model.clone().map(&mut Permute {
        order: integers::<B>(&order),
        of_items: false,
    });
    let renumbered = |item: &ItemIndex| {
        let place = order.iter().position(|&from| from == item.get() as i32);
        ItemIndex::new(place.unwrap() as u32)
    };
    let history: Vec<ItemIndex> = histories[1].iter().map(renumbered).collect();
    let history = User::with_times(&history, times[1]).unwrap();
    let batch_of_one =
        SequenceBatch::<B>::new([history], model.config().describe().max_len, &device).unwrap();
    let found = values(moved.encode(&batch_of_one));
    assert_close(
        name,
        &found,
        &together[interests * dim..2 * interests * dim],
        1e-5,
    );

    // What comes after a position changes nothing there: no target is seen.
    if !model.config().describe().one_target {
        let history =
            |length: usize| User::with_times(&histories[1][..length], &times[1][..length]).unwrap();
        let loss = |length: usize, position: i32| {
            let histories = SequenceBatch::<B>::new([history(length)], 9, &device).unwrap();
            let negatives = Negatives {
                items: integers(&[2, 8, 19]),
                log_chances: Tensor::zeros([3], &device),
                log_chances_of_targets: Tensor::zeros([1], &device),
                places_of_targets: None,
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

/// With fewer negatives than the default, for catalogs as small as these.
fn item2vec() -> Item2VecConfig {
    let loss = Loss::sampled(SampledLoss::Bce, NegativeSampling::by_popularity(8, 0.75));
    Item2VecConfig::new().with_objective(Objective::new().with_loss(loss))
}

/// A model of the list, small, with its other settings as they are by default.
struct Promises<B>(std::marker::PhantomData<B>);

impl<B: Backend> ModelVisitor<Autodiff<B>> for Promises<B> {
    type Output = ();

    fn visit<C: TrainableConfig<Autodiff<B>>>(self, defaults: C) {
        let mut small = serde_json::json!({ "dim": 8 });
        if C::NAME == "item2vec" {
            // With fewer negatives than the default, for a catalog as small as this.
            small["objective"] = serde_json::to_value(item2vec().objective).unwrap();
        }
        let config = overridden(&defaults, &small).unwrap();
        let device = B::Device::default();
        check_promises::<B, _>(C::NAME, config.init::<B>(ITEMS, 3, &device).unwrap());
    }
}

fn every_model_keeps_its_promises<B: Backend>() {
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
    for gated in [false, true] {
        let config = SasRecConfig::new()
            .with_dim(8)
            .with_gated(gated)
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
        let (loss, carried) = step(&[3, 7, 5], &[8, 9, 10], vec![None; 3], Vec::new());
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

fn small_model<B: Backend>(similarity: Similarity) -> Gru4Rec<B> {
    let config = Gru4RecConfig::new()
        .with_embedding_dropout(0.0)
        .with_hidden_dropout(0.0)
        .with_dim(8)
        .with_layers(2)
        .with_objective(Objective::new().with_similarity(similarity));
    config.init(20, 3, &B::Device::default()).unwrap()
}

fn only_the_last_items_are_seen<B: Backend>() {
    let model = small_model::<B>(Similarity::Dot);
    let vector = |items: &[u32]| {
        let histories = [ItemIndex::from_slice(items)];
        let batch = SequenceBatch::new(histories, 3, &B::Device::default());
        values(model.encode(&batch.unwrap()))
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
        let batch = batch(histories_of(histories), &[5, 6]);
        values(model.loss(&TrainingBatch { seed, ..batch }))[0]
    }
    assert_eq!(loss(&model, &histories, 1), loss(&model, &histories, 1));
    assert_ne!(loss(&model, &histories, 1), loss(&model, &histories, 2));
    let valid = model.valid();
    assert_eq!(loss(&valid, &histories, 1), loss(&valid, &histories, 2));
}

/// Under cosine, the length of vectors does not matter to the loss.
fn cosine_forgets_lengths<B: Backend>() {
    let mut model = small_model::<B>(Similarity::Cosine);
    let loss = |model: &Gru4Rec<B>| {
        let histories = vec![vec![1, 2, 3, 4], vec![7], vec![5, 6]];
        values(model.loss(&batch(histories_of(&histories), &[18, 3, 9])))[0]
    };
    let before = loss(&model);
    assert!(before.is_finite());
    // The states change with the inputs, so only items that are no inputs are stretched.
    let items: Vec<f32> = values(model.embedding.kept());
    let stretched = items.iter().enumerate().map(
        |(place, value)| {
            if place / 8 > 7 { 5.0 * value } else { *value }
        },
    );
    model.embedding = ItemTable::new(tensor(stretched.collect(), [21, 8]));
    assert_close("loss", &[loss(&model)], &[before], 1e-5);
}

on_every_backend!([
    every_model_keeps_its_promises,
    carried_states_are_those_of_whole_sequences,
    only_the_last_items_are_seen,
    dropout_follows_the_seed,
    cosine_forgets_lengths,
]);
