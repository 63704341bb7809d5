//! Every model trained on one backend, saved there and loaded on another: the numbers are the same.

use std::ops::ControlFlow;

use seqrec::backend::{Autodiff, Backend, Flex, check_device};
use seqrec::burn::tensor::DType;
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, NegativeSampling, Protocol, SequenceBatch, Split, Targets};
use seqrec::model::{
    Gru4RecConfig, Loss, MODEL_NAMES, ModelVisitor, Objective, RecallerConfig, SampledLoss,
    SequenceRecaller, TablePrecision, TrainableConfig, visit_model,
};
use seqrec::retrieve::item_vectors;
use seqrec::store::Run;
use seqrec::train::{RowAdagrad, StepReport, Tables, Trainer, TrainerConfig, TrainingObserver};

#[macro_use]
#[path = "support/backends.rs"]
mod backends;
#[path = "../examples/support/overrides.rs"]
mod overrides;
#[path = "support/tensors.rs"]
mod tensors;
use tensors::{assert_close, values};

fn split() -> Split {
    let log = Synthetic::new()
        .with_users(24)
        .with_items(30)
        .with_mean_per_user(10);
    let dataset = Dataset::new(log.generate(), Filters::default()).unwrap();
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
}

fn sampled(log_q: bool) -> Objective {
    let negatives = NegativeSampling::new().with_in_batch(8).with_drawn(8);
    Objective::new().with_loss(Loss::sampled(SampledLoss::Softmax { log_q }, negatives))
}

/// A small model of the list, trained with this objective, or its own, and such tables.
struct Trained<'a> {
    split: &'a Split,
    objective: Option<Objective>,
    tables: Tables,
    precision: TablePrecision,
    seen: &'a std::path::Path,
}

impl<B: Backend> ModelVisitor<Autodiff<B>> for Trained<'_> {
    /// The losses of epochs.
    type Output = Vec<f32>;

    fn visit<C: TrainableConfig<Autodiff<B>>>(self, defaults: C) -> Vec<f32> {
        let mut small = serde_json::json!({ "dim": 8, "max_len": 10 });
        small["table_precision"] = serde_json::to_value(self.precision).unwrap();
        let own = (C::NAME == "item2vec").then(|| sampled(false));
        if let Some(objective) = self.objective.or(own) {
            small["objective"] = serde_json::to_value(objective).unwrap();
        }
        let config = overrides::config(&defaults, &small).unwrap();
        let (catalog, device) = (self.split.catalog(), B::Device::default());
        let model = config
            .init::<Autodiff<B>>(catalog.len(), 3, &device)
            .unwrap();
        let targets = match model.needs_one_target() {
            true => Targets::ONE_RANDOM,
            false => Targets::All,
        };
        let trainer = TrainerConfig::new()
            .with_epochs(2)
            .with_batch_size(12)
            .with_learning_rate(0.01)
            .with_targets(targets)
            .with_tables(self.tables)
            .with_metric("recall@5".parse().unwrap())
            .with_ks(vec![5]);
        let trained = Trainer::new(trainer)
            .fit(model, self.split, &device)
            .unwrap();
        let run = Run::<B, C> {
            config,
            model: trained.model,
            catalog: catalog.clone(),
        };
        run.save(self.seen).unwrap();
        let loaded = Run::<Flex, C>::load(self.seen, &Default::default()).unwrap();
        let items = |vectors: ::ndarray::Array2<f32>| vectors.into_iter().collect::<Vec<f32>>();
        let (here, there) = (item_vectors(&run.model), item_vectors(&loaded.model));
        assert_close(C::NAME, &items(here), &items(there), 1e-6);
        let histories = || (0..8).map(|case| self.split.test.history(case));
        let here = SequenceBatch::<B>::new(histories(), 10, &device).unwrap();
        let there = SequenceBatch::<Flex>::new(histories(), 10, &Default::default()).unwrap();
        let here = values(run.model.encode(&here));
        assert_close(C::NAME, &here, &values(loaded.model.encode(&there)), 1e-4);
        trained
            .epochs
            .iter()
            .map(|epoch| epoch.loss as f32)
            .collect()
    }
}

fn every_model_trains_alike_and_is_loaded_elsewhere<B: Backend>() {
    let split = split();
    check_device::<Autodiff<B>>(&Default::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let check_precise = |name, objective: Option<Objective>, tables, precision| {
        let seen = folder.path().join(name);
        let trained = || Trained {
            split: &split,
            objective: objective.clone(),
            tables,
            precision,
            seen: &seen,
        };
        let here = visit_model::<Autodiff<B>, _>(name, trained()).unwrap();
        let there = visit_model::<Autodiff<Flex>, _>(name, trained()).unwrap();
        assert_close(name, &here, &there, 1e-4);
    };
    let check = |name, objective, tables| {
        check_precise(name, objective, tables, TablePrecision::Single);
    };
    // Small steps, which make no more of what backends round otherwise.
    let row_wise = Tables::RowWise(RowAdagrad {
        rate: 10.0,
        ..RowAdagrad::default()
    });
    for name in MODEL_NAMES {
        check(name, None, Tables::Dense);
    }
    check("gru4rec", Some(sampled(true)), Tables::Lazy);
    check("sasrec", Some(sampled(true)), row_wise);
    // Where there are numbers of 16 bits.
    if B::supports_dtype(&Default::default(), DType::F16) {
        for tables in [Tables::Lazy, row_wise] {
            check_precise("gru4rec", Some(sampled(true)), tables, TablePrecision::Half);
        }
    } else {
        let half = Gru4RecConfig::new().with_table_precision(TablePrecision::Half);
        let error = half.init::<B>(9, 1, &Default::default()).unwrap_err();
        assert!(error.to_string().contains("16 bits"), "{error}");
    }
}

#[test]
fn a_processor_is_always_there() {
    check_device::<Autodiff<Flex>>(&Default::default()).unwrap();
}

/// Run by the gate in a process of its own, from which all drivers are hidden.
#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a machine, or an environment, without a GPU"]
fn a_missing_gpu_is_told_and_nothing_panics() {
    use seqrec::backend::Wgpu;

    let told = |error: seqrec::Error| {
        assert!(matches!(error, seqrec::Error::Device { .. }), "{error}");
        assert!(error.to_string().contains("Flex"), "{error}");
    };
    let device = Default::default();
    told(check_device::<Autodiff<Wgpu>>(&device).unwrap_err());
    told(check_device::<Wgpu>(&device).unwrap_err());
    let model = Gru4RecConfig::new().init::<Wgpu>(10, 1, &device);
    told(model.map(drop).unwrap_err());
    let run = Run::<Wgpu, Gru4RecConfig>::load("nowhere", &device);
    told(run.map(drop).unwrap_err());
}

/// What an observer was told of steps.
struct Told(Vec<(usize, usize, f32)>);

impl TrainingObserver for &mut Told {
    fn on_step(&mut self, step: &StepReport) -> seqrec::Result<ControlFlow<()>> {
        self.0.push((step.epoch, step.step, step.loss as f32));
        Ok(ControlFlow::Continue(()))
    }
}

/// Whether losses are read at once or some steps later.
fn observers_hear_of_every_step_in_order<B: Backend>() {
    fn steps<B: Backend>() -> Vec<(usize, usize, f32)> {
        let (split, device) = (split(), Default::default());
        let config = Gru4RecConfig::new().with_dim(4);
        let model = config.init::<Autodiff<B>>(split.catalog().len(), 1, &device);
        let trainer = TrainerConfig::new()
            .with_epochs(2)
            .with_batch_size(1)
            .with_metric("recall@5".parse().unwrap());
        let mut told = Told(Vec::new());
        let trained = Trainer::new(trainer)
            .observer(&mut told)
            .fit(model.unwrap(), &split, &device)
            .unwrap();
        let mean = |epoch| {
            let of_epoch = told.0.iter().filter(|told| told.0 == epoch);
            let losses: Vec<f32> = of_epoch.map(|told| told.2).collect();
            losses.iter().sum::<f32>() / losses.len() as f32
        };
        for epoch in &trained.epochs {
            assert!((epoch.loss as f32 - mean(epoch.epoch)).abs() < 1e-5);
        }
        told.0
    }
    let (here, there) = (steps::<B>(), steps::<Flex>());
    // More than are read at a time, and no multiple of it.
    let per_epoch = there.len() / 2;
    assert!(per_epoch > 16 && per_epoch % 16 != 0, "{per_epoch}");
    let places = (1..=2).flat_map(|epoch| (1..=per_epoch).map(move |step| (epoch, step)));
    assert!(
        here.iter()
            .map(|&(epoch, step, _)| (epoch, step))
            .eq(places)
    );
    let losses =
        |steps: &[(usize, usize, f32)]| steps.iter().map(|told| told.2).collect::<Vec<_>>();
    assert_close("losses", &losses(&here), &losses(&there), 1e-3);
}

on_every_backend!([
    every_model_trains_alike_and_is_loaded_elsewhere,
    observers_hear_of_every_step_in_order,
]);
