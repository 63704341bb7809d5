//! Loading a stage of many items from its run folder: one JSON line with what it takes.
//!
//! `cargo bench -p seqrec-bench --bench stage -- --items 1000000` builds a stage of a model of as
//! many items that was never trained, keeps it in a folder that is removed at the end, and loads it
//! several times; its files are in the page cache by then.

use std::time::Instant;

use clap::Parser;
use seqrec::backend::Flex;
use seqrec::channels::PopularityConfig;
use seqrec::data::{Dataset, Filters, Interaction, Interactions};
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::recall::{Fusion, VectorChannelConfig};
use seqrec::store::{Run, ServedStage, StageData, StagePlan};

#[path = "support/memory.rs"]
mod memory;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 100_000)]
    items: u32,
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// How often the stage is loaded; the median counts.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
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
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run");
    let start = Instant::now();
    save(&options, &path)?;
    let save_s = start.elapsed().as_secs_f64();
    let mut seconds = Vec::new();
    let mut indexes = Vec::new();
    for _ in 0..options.repeats.max(1) {
        let start = Instant::now();
        let stage = ServedStage::load::<Flex>(&path, &Default::default())?;
        seconds.push(start.elapsed().as_secs_f64());
        let reports = stage.stage().indexes();
        indexes = reports.map(|(_, index)| index.to_string()).collect();
    }
    seconds.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "items": options.items,
        "dim": options.dim,
        "indexes": indexes,
        "save_s": (save_s * 100.0).round() / 100.0,
        "load_s": (seconds[seconds.len() / 2] * 1e3).round() / 1e3,
        "threads": options.threads,
        "peak_rss_mb": memory::peak_rss_mb(),
    });
    println!("{line}");
    Ok(())
}

fn save(options: &Options, path: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    const PER_USER: i64 = 20;
    // Each item is taken once, so that there are as many as asked for.
    let rows = (0..options.items).map(|item| {
        let id = i64::from(item);
        Interaction::new(id / PER_USER, id, f64::from(item))
    });
    let log: Interactions = rows.collect();
    let dataset = Dataset::new(log, Filters::default())?;
    let catalog = dataset.catalog().clone();
    let data = StageData::from(dataset.training_data());
    let device = Default::default();
    let config = Gru4RecConfig::new().with_dim(options.dim);
    let model = config.init(catalog.len(), 1, &device)?;
    let run = Run::<Flex, Gru4RecConfig>::new(config, model, catalog);
    let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("u2i", VectorChannelConfig::new())
        .fallback(PopularityConfig::new());
    // Vectors of a model that was never trained are as hard to find as any: no ef is looked for.
    plan.index.recall = 0.0;
    plan.save(path, &run.into(), data)?;
    Ok(())
}
