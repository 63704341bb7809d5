//! Tables of vectors that move by the rows that a step looked up.

use std::ops::ControlFlow;

use seqrec::backend::{Autodiff, Flex};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, NegativeSampling, Protocol, Split};
use seqrec::model::{
    Gru4RecConfig, InputEmbedding, Loss, Objective, SampledLoss, SasRecConfig, TrainableConfig,
};
use seqrec::retrieve::item_vectors;
use seqrec::train::{
    Adagrad, Optimizer, RowAdagrad, StepReport, Tables, Trainer, TrainerConfig, TrainingObserver,
};
use seqrec::{Error, Result};

fn split() -> Split {
    let synthetic = Synthetic::new()
        .with_users(80)
        .with_items(400)
        .with_mean_per_user(20)
        .with_tastes(6);
    let dataset = Dataset::new(synthetic.generate(), Filters::default()).unwrap();
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

fn config(tables: Tables) -> TrainerConfig {
    TrainerConfig::new()
        .with_tables(tables)
        .with_epochs(3)
        .with_batch_size(16)
        .with_learning_rate(0.01)
        .with_metric("recall@10".parse().unwrap())
        .with_ks(vec![10])
}

fn sampled() -> Objective {
    let negatives = NegativeSampling::new().with_in_batch(8).with_drawn(8);
    let loss = Loss::sampled(SampledLoss::Softmax { log_q: true }, negatives);
    Objective::cosine(0.1).with_loss(loss)
}

fn gru(objective: Objective) -> Gru4RecConfig {
    Gru4RecConfig::new()
        .with_dim(8)
        .with_max_len(10)
        .with_objective(objective)
}

/// The losses of epochs, and the item vectors before training and after, row by row.
struct Done {
    losses: Vec<f64>,
    before: Vec<Vec<f32>>,
    after: Vec<Vec<f32>>,
}

fn train<C: TrainableConfig<Autodiff<Flex>>>(model: &C, trainer: Trainer<'_>) -> Result<Done> {
    let split = split();
    let device = Default::default();
    let rows = |vectors: ndarray::Array2<f32>| -> Vec<Vec<f32>> {
        vectors.rows().into_iter().map(|row| row.to_vec()).collect()
    };
    let model = model.init::<Autodiff<Flex>>(split.catalog().len(), 5, &device)?;
    let before = rows(item_vectors(&model));
    let trained = trainer.fit(model, &split, &device)?;
    Ok(Done {
        losses: trained.epochs.iter().map(|epoch| epoch.loss).collect(),
        before,
        after: rows(item_vectors(&trained.model)),
    })
}

/// Ends training after so many steps, as a crash would.
struct After(usize);

impl TrainingObserver for After {
    fn on_step(&mut self, _: &StepReport) -> Result<ControlFlow<()>> {
        self.0 -= 1;
        if self.0 == 0 {
            return Err(Error::InvalidValue {
                field: "test",
                value: "interrupted".into(),
                reason: "as planned".into(),
            });
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn one_step(tables: Tables) -> TrainerConfig {
    // Validation and the best weights after a single step.
    config(tables)
        .with_time_limit(Some(1e-9))
        .with_clip_norm(Some(0.05))
        .with_accumulate(2)
}

fn furthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The first step of Adam moves no row without a gradient, so that both ways come to the same: with
/// clipping, and gradients of two batches. Later steps differ.
#[test]
fn a_first_lazy_step_is_that_of_the_whole_table_and_later_ones_are_not() {
    let models = [
        gru(sampled()),
        gru(sampled()).with_input(InputEmbedding::Separate { dim: 6 }),
        gru(sampled()).with_input(InputEmbedding::OneHot),
    ];
    for model in models {
        let after = |config| train(&model, Trainer::new(config)).unwrap().after;
        let [dense, lazy] = [Tables::Dense, Tables::Lazy].map(|tables| after(one_step(tables)));
        assert!(furthest(&dense, &lazy) < 1e-6);
        let [dense, lazy] = [Tables::Dense, Tables::Lazy].map(|tables| after(config(tables)));
        assert!(furthest(&dense, &lazy) > 1e-3);
    }
}

/// Rows that no step concerned keep every bit, and many others move.
#[test]
fn rows_that_were_not_looked_up_stay() {
    for tables in [Tables::Lazy, Tables::RowWise(RowAdagrad::default())] {
        let done = train(&gru(sampled()), Trainer::new(one_step(tables))).unwrap();
        let pairs = || done.before.iter().zip(&done.after);
        let moved = pairs().filter(|(before, after)| before != after).count();
        let all = done.before.len();
        assert!(moved > 100 && moved < all - 50, "{moved} of {all}");
        assert_eq!(done.before[0], done.after[0], "padding is no item");
    }
}

/// A loss over the whole catalog gives every row a gradient, so that Adam and Adagrad move a table as
/// ever, to the rounding of sums.
#[test]
fn with_a_loss_over_the_whole_catalog_every_row_moves() {
    let objective = Objective::cosine(0.1);
    let after = |tables| {
        let done = train(&gru(objective.clone()), Trainer::new(one_step(tables))).unwrap();
        assert!(done.before[1..] != done.after[1..]);
        done.after
    };
    assert!(furthest(&after(Tables::Dense), &after(Tables::Lazy)) < 1e-6);
    let rows = after(Tables::RowWise(RowAdagrad::default()));
    assert!(rows.iter().flatten().all(|value| value.is_finite()));
}

#[test]
fn every_way_learns_and_goes_on_exactly_where_it_stopped() {
    let adagrad = Optimizer::Adagrad(Adagrad {
        momentum: 0.3,
        ..Adagrad::default()
    });
    let lazy_adagrad = config(Tables::Lazy)
        .with_optimizer(adagrad)
        .with_learning_rate(0.1);
    let configs = [
        config(Tables::Lazy),
        lazy_adagrad,
        config(Tables::RowWise(RowAdagrad::default())),
    ];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap().install(|| {
        for config in configs {
            let gru = |trainer| train(&gru(sampled()), trainer);
            let whole = gru(Trainer::new(config.clone())).unwrap();
            let (first, last) = (whole.losses[0], whole.losses[2]);
            assert!(last < 0.97 * first, "{config:?}: {first} to {last}");
            let folder = tempfile::tempdir().unwrap();
            let trainer = || {
                Trainer::new(config.clone())
                    .checkpoints(folder.path())
                    .resume(true)
            };
            assert!(gru(trainer().observer(After(9))).is_err());
            assert_eq!(gru(trainer()).unwrap().after, whole.after, "{config:?}");
            // Positions are rows that are looked up, and weights are not.
            let sasrec = SasRecConfig::new().with_dim(8).with_objective(sampled());
            let done = train(&sasrec, Trainer::new(config)).unwrap();
            assert!(done.losses[2] < done.losses[0]);
        }
    });
}

#[test]
fn settings_that_cannot_be_right_are_named() {
    for (rate, epsilon, name) in [(0.0, 1e-10, "tables.rate"), (1.0, -1.0, "tables.epsilon")] {
        let config = config(Tables::RowWise(RowAdagrad { rate, epsilon }));
        let error = config.validate().unwrap_err();
        let named = matches!(&error, Error::InvalidValue { field, .. } if *field == name);
        assert!(named, "{error}");
    }
    let text = r#"{"row_wise":{"rate":4.0}}"#;
    let tables: Tables = serde_json::from_str(text).unwrap();
    let expected = RowAdagrad {
        rate: 4.0,
        ..RowAdagrad::default()
    };
    assert_eq!(tables, Tables::RowWise(expected));
}
