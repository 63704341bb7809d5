//! From a file of interactions to a catalog and sequences.
//!
//! `cargo bench -p seqrec-bench --bench load -- FILE` prints one JSON line.

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use seqrec::data::{Dataset, Filters, InteractionReader};

#[path = "support/memory.rs"]
mod memory;

#[derive(Parser)]
struct Options {
    file: PathBuf,
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
    let start = Instant::now();
    let log = InteractionReader::detect(&options.file)?.read()?;
    let read = start.elapsed().as_secs_f64();
    let dataset = Dataset::new(log, Filters::default())?;
    let line = serde_json::json!({
        "rows": dataset.sequences().interactions(),
        "users": dataset.users(),
        "items": dataset.catalog().len(),
        "threads": options.threads,
        "read_seconds": read,
        "seconds": start.elapsed().as_secs_f64(),
        "peak_rss_mb": memory::peak_rss_mb(),
    });
    println!("{line}");
    Ok(())
}
