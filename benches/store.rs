//! A sequence store of generated interactions: made, and trained from.
//!
//! `cargo bench -p seqrec-bench --bench store -- prepare 20000000 log.store` makes one of twenty
//! interactions a user, which come in order of time, as services log them, so that every user's are
//! all over the source. `cargo bench -p seqrec-bench --bench store -- train log.store` trains
//! GRU4Rec for an epoch of one random target a user. Each prints a JSON line with the seconds, the
//! memory of the process itself and the pages of files that it had mapped at most.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, Subcommand};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::{
    Filters, Interactions, NegativeSampling, Protocol, SequenceStore, Split, Targets,
};
use seqrec::model::{Gru4RecConfig, Loss, Objective, RecallerConfig, SampledLoss};
use seqrec::train::{Tables, Trainer, TrainerConfig};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "support/memory.rs"]
mod memory;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    job: Job,
    #[arg(long, global = true, default_value_t = 2)]
    threads: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Job {
    /// Makes a store.
    Prepare {
        interactions: usize,
        path: PathBuf,
        #[arg(long, default_value_t = 100_000)]
        items: u32,
    },
    /// Trains from a store.
    Train {
        path: PathBuf,
        #[arg(long, default_value_t = 16)]
        dim: usize,
        /// How many sequences are shuffled at a time, in place of all.
        #[arg(long)]
        window: Option<usize>,
    },
}

type Train = Autodiff<Flex>;
type Failure = Box<dyn std::error::Error>;

/// How many interactions a user has on average.
const PER_USER: usize = 20;

/// How many interactions are handed over at a time.
const PART: usize = 1 << 20;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    let memory = memory::Watch::start();
    let mut line = match options.job {
        Job::Prepare {
            interactions,
            path,
            items,
        } => prepare(interactions, items, &path)?,
        Job::Train { path, dim, window } => train(&path, dim, window)?,
    };
    let peak = memory.peak();
    line["own_mb"] = json!(peak.own_mb);
    line["mapped_mb"] = json!(peak.mapped_mb);
    println!("{line}");
    Ok(())
}

fn prepare(
    interactions: usize,
    items: u32,
    path: &std::path::Path,
) -> Result<serde_json::Value, Failure> {
    let users = (interactions / PER_USER).max(1) as u32;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut writer = SequenceStore::create(path, Filters::default())?;
    let (start, mut generating) = (Instant::now(), 0.0);
    for first in (0..interactions).step_by(PART) {
        let begin = Instant::now();
        let rows = first..interactions.min(first + PART);
        let user: Vec<u32> = rows
            .clone()
            .map(|_| random.random_range(0..users))
            .collect();
        // Few items are taken often.
        let item: Vec<u32> = (rows.clone())
            .map(|_| (f64::from(items) * random.random::<f64>().powi(3)) as u32)
            .collect();
        let time: Vec<f64> = rows.map(|row| row as f64).collect();
        generating += begin.elapsed().as_secs_f64();
        writer.append(Interactions::from_columns(&user, &item, &time)?)?;
    }
    let appended = start.elapsed().as_secs_f64();
    let store = writer.finish()?;
    Ok(json!({
        "job": "prepare",
        "interactions": interactions,
        "users": store.dataset().users(),
        "seconds": start.elapsed().as_secs_f64() - generating,
        "taking_s": appended - generating,
        "file_mb": std::fs::metadata(path)?.len() as f64 / 1e6,
    }))
}

fn train(
    path: &std::path::Path,
    dim: usize,
    window: Option<usize>,
) -> Result<serde_json::Value, Failure> {
    let start = Instant::now();
    let store = SequenceStore::open(path)?;
    let open_s = start.elapsed().as_secs_f64();
    let sequences = store.dataset().sequences();
    // Few are judged: whoever did something in the last ten-thousandth.
    let protocol = Protocol::time_cut_at_shares(store.dataset(), 0.9999, 0.99995)?;
    let start = Instant::now();
    let split = Split::new(store.dataset(), protocol)?;
    let split_s = start.elapsed().as_secs_f64();
    let negatives = NegativeSampling::new().with_in_batch(256).with_drawn(512);
    let loss = SampledLoss::Softmax { log_q: true };
    let config = Gru4RecConfig::new()
        .with_dim(dim)
        .with_max_len(PER_USER)
        .with_objective(Objective::new().with_loss(Loss::sampled(loss, negatives)));
    let device = Default::default();
    let model: seqrec::model::Gru4Rec<Train> =
        config.init(store.dataset().catalog().len(), 1, &device)?;
    let trainer = TrainerConfig::new()
        .with_epochs(1)
        .with_batch_size(256)
        .with_targets(Targets::ONE_RANDOM)
        .with_window(window)
        .with_tables(Tables::Lazy);
    let trained = Trainer::new(trainer).fit(model, &split)?;
    let epoch = trained.epochs.first().ok_or("an epoch is made")?;
    Ok(json!({
        "job": "train",
        "window": window,
        "interactions": sequences.interactions(),
        "users": sequences.len(),
        "open_s": open_s,
        "split_s": split_s,
        "targets": epoch.targets,
        "seconds": epoch.seconds,
        "targets_per_s": epoch.targets as f64 / epoch.seconds,
        "waited_s": epoch.waited_seconds,
        "loss": epoch.loss,
    }))
}
