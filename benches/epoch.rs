//! One epoch of a model over a file of interactions, or its first steps.
//!
//! `cargo bench -p seqrec-bench --bench epoch -- FILE --dim 16` prints one JSON line; `--targets
//! all` takes every position as a target instead of one a user, and `prefixes` each with a history
//! of its own. `--model sasrec` takes another model, and `--steps 60` stops after so many steps.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::{Dataset, Filters, InteractionReader, Protocol, Split, Targets};
use seqrec::model::{MODEL_NAMES, ModelVisitor, Objective, TrainableConfig, visit_model};
use seqrec::train::{StepReport, Trainer, TrainerConfig, TrainingObserver};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "support/memory.rs"]
mod memory;
#[path = "support/settings.rs"]
mod settings;

#[derive(Clone, Copy, ValueEnum)]
enum TargetsName {
    One,
    All,
    Prefixes,
}

#[derive(Parser)]
struct Options {
    file: PathBuf,
    #[arg(long, default_value = "gru4rec", value_parser = clap::builder::PossibleValuesParser::new(MODEL_NAMES.iter().copied()))]
    model: String,
    #[arg(long, default_value_t = 16)]
    dim: usize,
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    #[arg(long, default_value_t = 20)]
    max_len: usize,
    #[arg(long, value_enum, default_value_t = TargetsName::One)]
    targets: TargetsName,
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// Stops after so many steps.
    #[arg(long)]
    steps: Option<usize>,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

type Train = Autodiff<Flex>;
type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    visit_model::<Train, _>(&options.model, Epoch { options: &options })?
}

struct Epoch<'a> {
    options: &'a Options,
}

impl ModelVisitor<Train> for Epoch<'_> {
    type Output = Result<(), Failure>;

    fn visit<C: TrainableConfig<Train>>(self, defaults: C) -> Self::Output {
        let options = self.options;
        let log = InteractionReader::detect(&options.file)?.read()?;
        let dataset = Dataset::new(log, Filters::default())?;
        let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
        let device = Default::default();
        let config = settings::config(
            &defaults,
            options.dim,
            options.max_len,
            options.dropout,
            &Objective::new(),
        )?;
        let model = config.init::<Train>(dataset.catalog().len(), 1, &device)?;
        let targets = match options.targets {
            TargetsName::One => Targets::ONE_RANDOM,
            TargetsName::All => Targets::All,
            TargetsName::Prefixes => Targets::EveryPrefix,
        };
        let trainer = TrainerConfig::new()
            .with_epochs(1)
            .with_batch_size(options.batch_size)
            .with_targets(targets);
        let mut trainer = Trainer::new(trainer);
        let limit = Limit {
            steps: options.steps,
            targets: 0,
            start: None,
            seconds: 0.0,
        };
        let limit = RefCell::new(limit);
        trainer = trainer.observer(Watch(&limit));
        let trained = trainer.fit(model, &split)?;
        let limit = limit.borrow();
        let line = match trained.epochs.first() {
            Some(epoch) => json!({
                "model": options.model,
                "dim": options.dim,
                "threads": options.threads,
                "targets": epoch.targets,
                "seconds": epoch.seconds,
                "targets_per_s": epoch.targets as f64 / epoch.seconds,
                "waiting_share": epoch.waited_seconds / epoch.seconds,
                "loss": epoch.loss,
                "peak_rss_mb": memory::peak_rss_mb(),
            }),
            None => json!({
                "model": options.model,
                "dim": options.dim,
                "threads": options.threads,
                "targets": limit.targets,
                "seconds": limit.seconds,
                "targets_per_s": limit.targets as f64 / limit.seconds,
                "peak_rss_mb": memory::peak_rss_mb(),
            }),
        };
        println!("{line}");
        Ok(())
    }
}

/// What is counted when an epoch is cut short.
struct Limit {
    steps: Option<usize>,
    targets: usize,
    /// When the first steps, which are not counted, were made.
    start: Option<Instant>,
    seconds: f64,
}

/// The steps that are made before time is taken.
const WARM_UP: usize = 3;

struct Watch<'a>(&'a RefCell<Limit>);

impl TrainingObserver for Watch<'_> {
    fn on_step(&mut self, step: &StepReport) -> seqrec::Result<ControlFlow<()>> {
        let mut limit = self.0.borrow_mut();
        match limit.start {
            Some(start) => {
                limit.targets += step.targets;
                limit.seconds = start.elapsed().as_secs_f64();
            }
            None if step.step >= WARM_UP => limit.start = Some(Instant::now()),
            None => {}
        }
        let over = limit
            .steps
            .is_some_and(|steps| step.step >= steps + WARM_UP);
        Ok(if over {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }
}
