//! One user's recall: from a raw history to items with ids and scores.
//!
//! `cargo bench -p seqrec-bench --bench recall -- --index flat` prints one JSON line with the
//! median and the 99th percentile of a call.

use std::time::Instant;

use clap::{Parser, ValueEnum};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::Flex;
use seqrec::data::{Catalog, ExternalId};
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, VectorIndex};
use seqrec::model::{Gru4RecConfig, Objective, RecallerConfig};
use seqrec::recall::{Retriever, VectorChannel};
use seqrec::retrieve::item_vectors;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum IndexName {
    Flat,
    Hnsw,
}

#[derive(Parser)]
struct Options {
    #[arg(long, value_enum, default_value_t = IndexName::Flat)]
    index: IndexName,
    #[arg(long, default_value_t = 26_744)]
    items: usize,
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Items of a history.
    #[arg(long, default_value_t = 20)]
    len: usize,
    #[arg(long, default_value_t = 100)]
    k: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 5_000)]
    calls: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    let catalog = Catalog::from_ids((1..=options.items as i64).map(ExternalId::Integer))?;
    let config = Gru4RecConfig::new()
        .with_objective(Objective::new())
        .with_dim(options.dim);
    let model = config.init::<Flex>(catalog.len(), 1, &Default::default())?;
    let vectors = item_vectors(&model);
    let index: Box<dyn VectorIndex> = match options.index {
        IndexName::Flat => Box::new(FlatIndex::new(vectors.view())?),
        IndexName::Hnsw => Box::new(HnswIndex::new(vectors.view(), &HnswConfig::new())?),
    };
    let retriever = Retriever::new(VectorChannel::from_model(model, index), catalog)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut times = Vec::with_capacity(options.calls);
    for _ in 0..options.calls {
        let history: Vec<i64> = (0..options.len)
            .map(|_| random.random_range(1..=options.items as i64))
            .collect();
        let start = Instant::now();
        let recalled = retriever.recall(history, options.k)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(recalled.items.len(), options.k);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| (times[(times.len() as f64 * share) as usize] * 1e4).round() / 1e4;
    let line = serde_json::json!({
        "index": options.index.to_possible_value().map(|name| name.get_name().to_owned()),
        "items": options.items,
        "dim": options.dim,
        "len": options.len,
        "k": options.k,
        "threads": options.threads,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
    });
    println!("{line}");
    Ok(())
}
