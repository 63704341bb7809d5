//! Item-based collaborative filtering: the nearest items of every item.
//!
//! `cargo bench -p seqrec-bench --bench item_neighbors -- ratings.csv` prints one JSON line with
//! the time that building takes, reading not counted, and the memory that the process has used.

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use seqrec::channels::ItemNeighborsConfig;
use seqrec::data::{Dataset, Filters, InteractionReader};

#[path = "support/memory.rs"]
mod memory;

#[derive(Parser)]
struct Options {
    /// The interactions.
    file: PathBuf,
    #[arg(long, default_value_t = 100)]
    neighbors: usize,
    /// What a pair counts for every place between its items.
    #[arg(long, default_value_t = 1.0)]
    position_decay: f64,
    /// The time between its items that halves what a pair counts.
    #[arg(long)]
    half_life: Option<f64>,
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
    let rows = log.len();
    let dataset = Dataset::new(log, Filters::default())?;
    let sequences = dataset.training_data();
    let read_mb = memory::peak_rss_mb();
    let config = ItemNeighborsConfig::new()
        .with_neighbors(options.neighbors)
        .with_position_decay(options.position_decay)
        .with_backward(1.0)
        .with_shrinkage(0.0)
        .with_half_life(options.half_life);
    let start = Instant::now();
    let links = config.fit(&sequences)?;
    let seconds = start.elapsed().as_secs_f64();
    let kept: usize = (0..links.len() as u32)
        .map(|item| links.of(item).0.len())
        .sum();
    let line = serde_json::json!({
        "rows": rows,
        "items": dataset.catalog().len(),
        "neighbors": options.neighbors,
        "kept": kept,
        "threads": options.threads,
        "seconds": (seconds * 1e3).round() / 1e3,
        "peak_rss_mb_read": read_mb,
        "peak_rss_mb": memory::peak_rss_mb(),
    });
    println!("{line}");
    Ok(())
}
