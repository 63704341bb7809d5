//! Every model trained on one backend, saved there and loaded on another: the numbers are the same.

use std::ops::ControlFlow;

use ::ndarray::{Array2, s};
use seqrec::backend::{Autodiff, Backend, Flex, check_device};
use seqrec::burn::tensor::DType;
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    Dataset, Filters, ItemIndex, NegativeSampling, Protocol, SequenceBatch, Split, Targets,
};
use seqrec::index::{Filter, FlatIndex, ItemSet, VectorIndex};
use seqrec::model::{
    Gru4RecConfig, Loss, MODEL_NAMES, ModelVisitor, Objective, RecallerConfig, SampledLoss,
    SequenceRecaller, TablePrecision, TrainableConfig, visit_model,
};
use seqrec::retrieve::{DeviceIndex, item_vectors};
use seqrec::settings::overridden;
use seqrec::store::Run;
use seqrec::train::{StepReport, Tables, Trainer, TrainerConfig, TrainingObserver};

use crate::tensors;
use tensors::{assert_close, values};

fn split() -> Split {
    let log = Synthetic::new()
        .with_users(24)
        .with_items(30)
        .with_mean_per_user(10);
    let dataset = Dataset::new(log.generate().unwrap(), Filters::default()).unwrap();
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
        let config = overridden(&defaults, &small).unwrap();
        let (catalog, device) = (self.split.catalog(), B::Device::default());
        let model = config
            .init::<Autodiff<B>>(catalog.len(), 3, &device)
            .unwrap();
        let targets = match model.config().describe().one_target {
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
        let trained = Trainer::new(trainer).fit(model, self.split).unwrap();
        let run = Run::<B, C>::new(config, trained.model, catalog.clone());
        run.save(self.seen).unwrap();
        let loaded = Run::<Flex, C>::load(self.seen, &Default::default()).unwrap();
        let items = |vectors: Array2<f32>| vectors.into_iter().collect::<Vec<f32>>();
        let (here, there) = (item_vectors(&run.model), item_vectors(&loaded.model));
        assert_close(C::NAME, &items(here), &items(there), 1e-6);
        let histories = || (0..8).map(|case| self.split.test.get(case).user);
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
    let row_wise = Tables::RowWise {
        rate: 10.0,
        epsilon: 1e-10,
    };
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
        assert!(
            matches!(error.kind(), seqrec::ErrorKind::Device { .. }),
            "{error}"
        );
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

/// What an observer was told of steps: the epoch, the step, and the loss and the gradient's norm.
struct Told(Vec<(usize, usize, [f32; 2])>);

impl TrainingObserver for &mut Told {
    fn on_step(&mut self, step: &StepReport) -> seqrec::Result<ControlFlow<()>> {
        let norm = step.gradient_norm.expect("gradients are clipped");
        let numbers = [step.loss as f32, norm as f32];
        self.0.push((step.epoch, step.step, numbers));
        Ok(ControlFlow::Continue(()))
    }
}

/// Whether losses and norms are read at once or some steps later.
fn observers_hear_of_every_step_in_order<B: Backend>() {
    /// The norms of gradients lie around it.
    const CLIP: f64 = 7.0;
    fn steps<B: Backend>() -> Vec<(usize, usize, [f32; 2])> {
        let (split, device) = (split(), Default::default());
        let config = Gru4RecConfig::new().with_dim(4);
        let model = config.init::<Autodiff<B>>(split.catalog().len(), 1, &device);
        let trainer = TrainerConfig::new()
            .with_epochs(2)
            .with_batch_size(1)
            .with_clip_norm(Some(CLIP))
            .with_metric("recall@5".parse().unwrap());
        let mut told = Told(Vec::new());
        let trained = Trainer::new(trainer)
            .observer(&mut told)
            .fit(model.unwrap(), &split)
            .unwrap();
        let mean = |epoch| {
            let of_epoch = told.0.iter().filter(|told| told.0 == epoch);
            let losses: Vec<f32> = of_epoch.map(|told| told.2[0]).collect();
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
    let numbers = |steps: &[(usize, usize, [f32; 2])]| -> Vec<f32> {
        steps.iter().flat_map(|told| told.2).collect()
    };
    assert_close("numbers", &numbers(&here), &numbers(&there), 1e-3);
    let clipped = (there.iter()).filter(|told| f64::from(told.2[1]) > CLIP);
    let clipped = clipped.count();
    assert!(0 < clipped && clipped < there.len(), "{clipped}");
}

/// Vectors of small whole numbers, whose products are the same on every device, and are often
/// alike.
fn whole_numbers(rows: usize, dim: usize, seed: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, dim), |(row, column)| {
        let mixed = (row * 131 + column * 977 + seed).wrapping_mul(2_654_435_761) >> 7;
        (mixed % 7) as f32 - 3.0
    })
}

fn a_device_finds_what_exact_search_does<B: Backend>() {
    let device = B::Device::default();
    // One item, fewer than a group, some groups, and more queries than are answered at a time.
    for (items, queries, dim) in [(1, 3, 4), (7, 3, 4), (300, 1030, 6), (5000, 40, 6)] {
        let vectors = whole_numbers(items + 1, dim, 1);
        let queries = whole_numbers(queries, dim, 5);
        let flat = FlatIndex::new(&vectors).unwrap();
        let on_device = DeviceIndex::<B>::new(&vectors, &device).unwrap();
        assert_eq!((on_device.len(), on_device.dim()), (items, dim));
        let set = |items: &[u32]| {
            items
                .iter()
                .copied()
                .map(ItemIndex::new)
                .collect::<ItemSet>()
        };
        let [none, few] = [set(&[]), set(&[0, 1, 6, 299, 4000, 4_000_000])];
        let best = flat.search(queries.view(), 200.min(items), None).unwrap();
        let best: Vec<ItemSet> = (0..best.len())
            .map(|query| best.items(query).iter().copied().collect())
            .collect();
        // All of the best were seen, and are more than are looked into at first.
        let unseen = |query: usize, item| !best[query].contains(item);
        let one = |query: usize, item: ItemIndex| item.to_usize() == query % items + 1;
        let filters = [
            None,
            Some(Filter::Allowed(&none)),
            Some(Filter::Allowed(&few)),
            Some(Filter::Predicate(&unseen)),
            Some(Filter::Predicate(&one)),
        ];
        for k in [1, 10, 90, items + 5] {
            for filter in filters {
                let here = on_device.search(queries.view(), k, filter).unwrap();
                let there = flat.search(queries.view(), k, filter).unwrap();
                assert_eq!(here, there, "{items} items, k {k}, {filter:?}");
            }
        }
    }
    let vectors = whole_numbers(10, 4, 1);
    let index = DeviceIndex::<B>::new(&vectors, &device).unwrap();
    let users = index.search_interests(vectors.view(), 2, 3, None).unwrap();
    let flat = FlatIndex::new(&vectors).unwrap();
    assert_eq!(
        users,
        flat.search_interests(vectors.view(), 2, 3, None).unwrap()
    );
    assert!(index.search(vectors.view(), 0, None).is_err());
    assert!(DeviceIndex::<B>::new(vectors.slice(s![..1, ..]), &device).is_err());
}

on_every_backend!([
    every_model_trains_alike_and_is_loaded_elsewhere,
    observers_hear_of_every_step_in_order,
    a_device_finds_what_exact_search_does,
]);
