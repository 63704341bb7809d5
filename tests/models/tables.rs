//! Tables of vectors that move by the rows that a step looked up.

use std::ops::ControlFlow;

#[cfg(feature = "ndarray")]
use seqrec::backend::NdArray;
use seqrec::backend::{Autodiff, Flex};
use seqrec::burn::tensor::DType;
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, NegativeSampling, Protocol, Split};
use seqrec::model::{
    Gru4RecConfig, InputEmbedding, Loss, Objective, RecallerConfig, SampledLoss, SasRecConfig,
    TablePrecision, TrainableConfig,
};
use seqrec::retrieve::item_vectors;
use seqrec::store::Run;
use seqrec::train::{
    Optimizer, StepReport, Tables, Trainer, TrainerConfig, TrainingObserver, WarmStart,
};
use seqrec::{Error, ErrorKind, Result};

fn split() -> Split {
    let synthetic = Synthetic::new()
        .with_users(80)
        .with_items(400)
        .with_mean_per_user(20)
        .with_genres(6)
        // Of few users and many items, something must be there to learn.
        .with_series(0.8)
        .with_drift(0.04)
        .with_popularity(1.5);
    let dataset = Dataset::new(synthetic.generate().unwrap(), Filters::default()).unwrap();
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
        // No sequence is longer, so that every epoch has the same targets and losses can be
        // compared.
        .with_max_len(200)
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
    let trained = trainer.fit(model, &split)?;
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
            return Err(ErrorKind::InvalidValue {
                field: "test",
                value: "interrupted".into(),
                reason: "as planned".into(),
            }
            .into());
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
    for tables in [Tables::Lazy, Tables::ROW_WISE] {
        let done = train(&gru(sampled()), Trainer::new(one_step(tables))).unwrap();
        let pairs = || done.before.iter().zip(&done.after);
        let moved = pairs().filter(|(before, after)| before != after).count();
        let all = done.before.len();
        assert!(moved > 100 && moved < all - 50, "{moved} of {all}");
        assert_eq!(done.before[0], done.after[0], "padding is no item");
    }
}

/// A loss over the whole catalog gives every row a gradient, so that Adam and Adagrad move a table
/// as ever, to the rounding of sums.
#[test]
fn with_a_loss_over_the_whole_catalog_every_row_moves() {
    let objective = Objective::cosine(0.1);
    let after = |tables| {
        let done = train(&gru(objective.clone()), Trainer::new(one_step(tables))).unwrap();
        assert!(done.before[1..] != done.after[1..]);
        done.after
    };
    assert!(furthest(&after(Tables::Dense), &after(Tables::Lazy)) < 1e-6);
    let rows = after(Tables::ROW_WISE);
    assert!(rows.iter().flatten().all(|value| value.is_finite()));
}

#[test]
fn every_way_learns_and_goes_on_exactly_where_it_stopped() {
    let adagrad = Optimizer::Adagrad {
        momentum: 0.3,
        epsilon: 1e-6,
    };
    let lazy_adagrad = config(Tables::Lazy)
        .with_optimizer(adagrad)
        .with_learning_rate(0.1);
    let configs = [config(Tables::Lazy), lazy_adagrad, config(Tables::ROW_WISE)];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap().install(|| {
        let precisions = [TablePrecision::Single, TablePrecision::Half];
        let pairs = configs
            .into_iter()
            .flat_map(|config| precisions.map(|of| (config.clone(), of)));
        for (config, precision) in pairs {
            let gru = |trainer| train(&gru(sampled()).with_table_precision(precision), trainer);
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
            let sasrec = sasrec.with_table_precision(precision);
            let done = train(&sasrec, Trainer::new(config)).unwrap();
            assert!(done.losses[2] < done.losses[0]);
        }
    });
}

fn half() -> Gru4RecConfig {
    gru(sampled()).with_table_precision(TablePrecision::Half)
}

/// Steps of a twentieth of what neighboring numbers differ by: to the nearest, they would all be
/// lost.
#[test]
fn what_is_too_small_for_half_precision_is_kept_in_the_mean() {
    for tables in [
        Tables::Lazy,
        Tables::RowWise {
            rate: 1.0,
            epsilon: 1e-10,
        },
    ] {
        // One epoch, so that both are judged after as many steps.
        let config = config(tables).with_learning_rate(1e-5).with_epochs(1);
        let moves = |model: Gru4RecConfig| -> Vec<f64> {
            let done = train(&model, Trainer::new(config.clone())).unwrap();
            let pairs = done
                .before
                .iter()
                .flatten()
                .zip(done.after.iter().flatten());
            pairs
                .map(|(before, after)| f64::from(after - before))
                .collect()
        };
        let (single, half) = (moves(gru(sampled())), moves(half()));
        let along: f64 = single.iter().zip(&half).map(|(a, b)| a * b).sum();
        let squares: f64 = single.iter().map(|value| value * value).sum();
        let share = along / squares;
        assert!(
            (0.7..1.3).contains(&share),
            "{tables:?}: {share} of the way"
        );
    }
}

#[test]
fn tables_of_half_precision_are_so_in_memory_on_disk_and_after_a_warm_start() {
    type Train = Autodiff<Flex>;
    let split = split();
    let device = Default::default();
    let train = |config: Gru4RecConfig, start: Option<WarmStart>| {
        let model = config
            .init::<Train>(split.catalog().len(), 5, &device)
            .unwrap();
        let mut trainer = Trainer::new(self::config(Tables::Lazy));
        if let Some(start) = start {
            trainer = trainer.warm_start(start);
        }
        let trained = trainer.fit(model, &split).unwrap();
        Run::new(config, trained.model, split.catalog().clone())
    };
    let single = train(gru(sampled()), None);
    let run = train(half(), None);
    let size = |run: &Run<Flex, Gru4RecConfig>| {
        let folder = tempfile::tempdir().unwrap();
        run.save(folder.path().join("run")).unwrap();
        let read = Run::<Flex, Gru4RecConfig>::load(folder.path().join("run"), &device).unwrap();
        assert_eq!(read.config, run.config);
        assert_eq!(
            read.model.embedding.kept().dtype(),
            run.model.embedding.kept().dtype()
        );
        assert_eq!(item_vectors(&read.model), item_vectors(&run.model));
        let weights = folder.path().join("run/v000001/weights.safetensors");
        std::fs::metadata(weights).unwrap().len()
    };
    let saved = size(&single) - size(&run);
    let [rows, dim] = run.model.embedding.kept().dims();
    assert!(
        saved.abs_diff(2 * (rows * dim) as u64) < 64,
        "{saved} bytes"
    );
    assert_eq!(run.model.embedding.kept().dtype(), DType::F16);
    // From either precision to the other.
    for (from, to, kind) in [
        (&run, gru(sampled()), DType::F32),
        (&single, half(), DType::F16),
    ] {
        let start = WarmStart::new(&from.model, &from.catalog);
        let warm = train(to, Some(start));
        assert_eq!(warm.model.embedding.kept().dtype(), kind);
    }
}

#[test]
fn what_half_precision_can_do_nothing_for_is_refused_by_name() {
    let refused =
        |model: &Gru4RecConfig, config: TrainerConfig| match train(model, Trainer::new(config))
            .as_ref()
            .map_err(Error::kind)
        {
            Err(ErrorKind::InvalidValue { field, reason, .. }) => format!("{field} {reason}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was trained"),
        };
    let lazy = || config(Tables::Lazy);
    assert!(refused(&half(), config(Tables::Dense)).starts_with("tables "));
    let softmax = half().with_objective(Objective::cosine(0.1));
    assert!(refused(&softmax, lazy()).starts_with("objective.loss "));
    assert!(refused(&half(), lazy().with_average(Some(0.9))).starts_with("average "));
    let decayed = lazy().with_weight_decay(0.1).with_decay_all(true);
    assert!(refused(&half(), decayed).starts_with("decay_all "));
}

#[cfg(feature = "ndarray")]
#[test]
fn a_backend_without_16_bits_refuses_them() {
    let error = half()
        .init::<NdArray>(9, 1, &Default::default())
        .unwrap_err();
    assert!(error.to_string().contains("16 bits"), "{error}");
}

/// Trainings in threads beside each other once lost parts of their gradients, in one step of some
/// hundred.
#[test]
fn trainings_beside_each_other_give_the_same_bits() {
    let model = gru(sampled());
    std::thread::scope(|scope| {
        for tables in [Tables::Dense, Tables::Lazy, Tables::Dense, Tables::Lazy] {
            let model = &model;
            scope.spawn(move || {
                let after = || train(model, Trainer::new(one_step(tables))).unwrap().after;
                let first = after();
                for _ in 0..150 {
                    assert!(after() == first, "{tables:?}");
                }
            });
        }
    });
}

#[test]
fn settings_that_cannot_be_right_are_named() {
    for (rate, epsilon, name) in [(0.0, 1e-10, "tables.rate"), (1.0, -1.0, "tables.epsilon")] {
        let config = config(Tables::RowWise { rate, epsilon });
        let error = config.validate().unwrap_err();
        let named = matches!(error.kind(), ErrorKind::InvalidValue { field, .. } if *field == name);
        assert!(named, "{error}");
    }
    let text = r#"{"row_wise":{"rate":4.0}}"#;
    let tables: Tables = serde_json::from_str(text).unwrap();
    let epsilon = 1e-10;
    assert_eq!(tables, Tables::RowWise { rate: 4.0, epsilon });
}
