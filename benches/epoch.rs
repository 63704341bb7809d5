//! One epoch of GRU4Rec over a file of interactions.
//!
//! `cargo bench --bench epoch -- FILE --dim 16` prints one JSON line; `--targets all` takes every
//! position as a target instead of one a user.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::{Dataset, Filters, InteractionReader, Protocol, Split, Targets};
use seqrec::model::{Gru4RecConfig, Objective, RecallerConfig};
use seqrec::train::{Trainer, TrainerConfig};

#[path = "support/memory.rs"]
mod memory;

#[derive(Clone, Copy, ValueEnum)]
enum TargetsName {
    One,
    All,
}

#[derive(Parser)]
struct Options {
    file: PathBuf,
    #[arg(long, default_value_t = 16)]
    dim: usize,
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    #[arg(long, default_value_t = 20)]
    max_len: usize,
    #[arg(long, value_enum, default_value_t = TargetsName::One)]
    targets: TargetsName,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    let log = InteractionReader::detect(&options.file)?.read()?;
    let dataset = Dataset::new(log, Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    let device = Default::default();
    let config = Gru4RecConfig::new()
        .with_embedding_dropout(0.0)
        .with_hidden_dropout(0.0)
        .with_objective(Objective::new())
        .with_dim(options.dim)
        .with_max_len(options.max_len);
    let model = config.init::<Autodiff<Flex>>(dataset.catalog().len(), 1, &device)?;
    let targets = match options.targets {
        TargetsName::One => Targets::ONE_RANDOM,
        TargetsName::All => Targets::All,
    };
    let config = TrainerConfig::new()
        .with_epochs(1)
        .with_batch_size(options.batch_size)
        .with_targets(targets);
    let trained = Trainer::new(config).fit(model, &split, &device)?;
    let epoch = &trained.epochs[0];
    let line = serde_json::json!({
        "dim": options.dim,
        "threads": options.threads,
        "targets": epoch.targets,
        "seconds": epoch.seconds,
        "targets_per_s": epoch.targets as f64 / epoch.seconds,
        "waiting_share": epoch.waited_seconds / epoch.seconds,
        "loss": epoch.loss,
        "peak_rss_mb": memory::peak_rss_mb(),
    });
    println!("{line}");
    Ok(())
}
