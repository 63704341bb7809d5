//! What burn fuses to kernels of its own on GPUs, which it does where its feature `fusion` is on,
//! and what is drawn there, is what it is elsewhere.

use std::sync::Arc;

use seqrec::backend::{
    Autodiff, Backend, Flex, add_to_rows, causal_attention, dropout, select_rows,
};
use seqrec::burn::tensor::{Int, Tensor, TensorData};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, NegativeSampling, Protocol, Split, Targets};
use seqrec::model::{Loss, Objective, RecallerConfig, SampledLoss, SasRecConfig};
use seqrec::train::{Tables, Trainer, TrainerConfig};

use crate::tensors;
use tensors::{assert_close, values};

const SEEDS: [u64; 4] = [0, 77, 0x1234_5678_9abc_def0, u64::MAX];

fn table<B: Backend>(rows: usize, columns: usize, scale: f32) -> Tensor<B, 2> {
    let values = (0..rows * columns).map(|place| (place * 37 % 23 + 1) as f32 * scale);
    let values: Vec<f32> = values.collect();
    Tensor::from_data(
        TensorData::new(values, [rows, columns]),
        &Default::default(),
    )
}

/// One after another, so that streams of operations are alike but for what is drawn.
fn masks_are_the_same_everywhere<B: Backend>() {
    fn masks<B: Backend>() -> Vec<f32> {
        let ones = Tensor::<B, 2>::ones([300, 41], &Default::default());
        let masks = SEEDS.map(|seed| dropout(ones.clone(), 0.3, seed));
        masks.into_iter().flat_map(values).collect()
    }
    assert_eq!(masks::<B>(), masks::<Flex>());

    fn gathered<B: Backend>() -> Vec<f32> {
        let lengths: Arc<[usize]> = [5, 90, 1].into();
        let projected = table::<B>(96, 24, 0.05);
        let gathered =
            SEEDS.map(|seed| causal_attention(projected.clone(), &lengths, 2, Some((seed, 0.4))));
        gathered.into_iter().flat_map(values).collect()
    }
    assert_close("attention", &gathered::<B>(), &gathered::<Flex>(), 1e-4);
}

fn rows_of_one_number_meet_wider_ones<B: Backend>() {
    fn scaled<B: Backend>() -> Vec<f32> {
        let device = Default::default();
        let indices = Tensor::<B, 1, Int>::from_ints([9, 1, 3, 4, 7, 8], &device);
        let wide = table::<B>(6, 8, 0.1);
        let squares = wide.clone().square().mean_dim(1);
        let sums = add_to_rows(Tensor::zeros([11, 1], &device), indices.clone(), squares);
        let of_rows = select_rows(sums, indices.clone());
        let steps = wide / of_rows.add_scalar(1e-10).sqrt();
        values(select_rows(table::<B>(11, 8, 1.0), indices) + steps)
    }
    assert_close("rows", &scaled::<B>(), &scaled::<Flex>(), 1e-5);
}

fn row_wise_training_is_the_same<B: Backend>() {
    fn losses<B: Backend>(tables: Tables) -> Vec<f32> {
        let log = Synthetic::new().with_users(24).with_items(30);
        let dataset = Dataset::new(
            log.with_mean_per_user(10).generate().unwrap(),
            Filters::default(),
        );
        let split = Split::new(&dataset.unwrap(), Protocol::LeaveOneOut).unwrap();
        let negatives = NegativeSampling::new().with_in_batch(8).with_drawn(8);
        let loss = Loss::sampled(SampledLoss::Softmax { log_q: true }, negatives);
        let config = SasRecConfig::new()
            .with_dim(8)
            .with_max_len(10)
            .with_objective(Objective::new().with_loss(loss));
        let device = B::Device::default();
        let model = config.init::<Autodiff<B>>(split.catalog().len(), 3, &device);
        let trainer = TrainerConfig::new()
            .with_epochs(3)
            .with_batch_size(12)
            .with_learning_rate(0.01)
            .with_targets(Targets::All)
            .with_tables(tables)
            .with_metric("recall@5".parse().unwrap());
        let trained = Trainer::new(trainer).fit(model.unwrap(), &split);
        let epochs = trained.unwrap().epochs;
        epochs.iter().map(|epoch| epoch.loss as f32).collect()
    }
    let row_wise = Tables::RowWise {
        rate: 10.0,
        epsilon: 1e-10,
    };
    for tables in [row_wise, Tables::Lazy] {
        let there = losses::<Flex>(tables);
        assert_close(&format!("{tables:?}"), &losses::<B>(tables), &there, 1e-4);
    }
}

on_every_backend!([
    masks_are_the_same_everywhere,
    rows_of_one_number_meet_wider_ones,
    row_wise_training_is_the_same,
]);
