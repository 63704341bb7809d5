//! Nearest neighbours by inner product: time to build, recall against queries per second, bytes.
//!
//! `cargo bench --bench ann -- DIR --index hnsw --ef 50,100,200 --k 50 --threads 1` reads
//! `DIR/base.f32` and `DIR/query.f32`, rows of little-endian floats, and `DIR/truth.u32`, the exact
//! neighbours of each query by row, and prints one JSON line for each ef.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use ndarray::Array2;
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, HnswRsIndex, VectorIndex};

#[path = "support/memory.rs"]
mod memory;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum IndexName {
    Flat,
    Hnsw,
    HnswRs,
}

#[derive(Parser)]
struct Options {
    dir: PathBuf,
    #[arg(long, value_enum, default_value_t = IndexName::Hnsw)]
    index: IndexName,
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200])]
    ef: Vec<usize>,
    #[arg(long, default_value_t = 50)]
    k: usize,
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Threads that search.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 2)]
    build_threads: usize,
    #[arg(long, default_value_t = 16)]
    neighbors: usize,
    #[arg(long, default_value_t = 200)]
    ef_construction: usize,
    /// How often the queries are searched for; the median counts.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

type Failure = Box<dyn std::error::Error>;

/// Rows of four-byte values.
fn rows<T>(path: &Path, columns: usize, value: fn([u8; 4]) -> T) -> Result<Array2<T>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let values = bytes.as_chunks::<4>().0.iter().copied().map(value);
    let rows = bytes.len() / 4 / columns;
    Ok(Array2::from_shape_vec((rows, columns), values.collect())?)
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, Failure> {
    Ok(rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?)
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let file = |name: &str| options.dir.join(name);
    let base = rows(&file("base.f32"), options.dim, f32::from_le_bytes)?;
    let queries = rows(&file("query.f32"), options.dim, f32::from_le_bytes)?;
    let truth_k = std::fs::metadata(file("truth.u32"))?.len() as usize / 4 / queries.nrows();
    let truth = rows(&file("truth.u32"), truth_k, u32::from_le_bytes)?;
    let mut vectors = Array2::zeros((base.nrows() + 1, options.dim));
    vectors.slice_mut(ndarray::s![1.., ..]).assign(&base);
    drop(base);

    let config = HnswConfig::new()
        .with_neighbors(options.neighbors)
        .with_ef_construction(options.ef_construction);
    let start = Instant::now();
    let mut built = pool(options.build_threads)?.install(|| build(&options, &config, &vectors))?;
    let build_s = start.elapsed().as_secs_f64();
    let pool = pool(options.threads)?;
    let efs = if options.index == IndexName::Flat {
        vec![None]
    } else {
        options.ef.iter().copied().map(Some).collect()
    };
    for ef in efs {
        if let Some(ef) = ef {
            built = built.with_ef_search(ef)?;
        }
        let index = built.as_index();
        let mut seconds = Vec::new();
        let mut hits = None;
        for _ in 0..options.repeats.max(1) {
            let start = Instant::now();
            hits = Some(pool.install(|| index.search(queries.view(), options.k, None))?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let hits = hits.ok_or("nothing was searched for")?;
        let mut common = 0;
        let depth = options.k.min(truth_k);
        for (query, truth) in truth.rows().into_iter().enumerate() {
            let found = &hits.items(query)[..depth];
            let among = |row: &&u32| found.contains(&(**row + 1));
            common += truth.iter().take(depth).filter(among).count();
        }
        let line = serde_json::json!({
            "index": options.index.to_possible_value().map(|name| name.get_name().to_owned()),
            "build_s": (build_s * 100.0).round() / 100.0,
            "ef": ef,
            "threads": options.threads,
            "recall": common as f64 / (truth.nrows() * depth) as f64,
            "qps": (queries.nrows() as f64 / seconds[seconds.len() / 2]).round(),
            "bytes": built.bytes(),
            "peak_rss_mb": memory::peak_rss_mb(),
        });
        println!("{line}");
    }
    Ok(())
}

enum Built {
    Flat(FlatIndex),
    Hnsw(HnswIndex),
    HnswRs(HnswRsIndex),
}

fn build(options: &Options, config: &HnswConfig, vectors: &Array2<f32>) -> seqrec::Result<Built> {
    Ok(match options.index {
        IndexName::Flat => Built::Flat(FlatIndex::new(vectors.view())?),
        IndexName::Hnsw => Built::Hnsw(HnswIndex::new(vectors.view(), config)?),
        IndexName::HnswRs => Built::HnswRs(HnswRsIndex::new(vectors.view(), config)?),
    })
}

impl Built {
    fn as_index(&self) -> &dyn VectorIndex {
        match self {
            Self::Flat(index) => index,
            Self::Hnsw(index) => index,
            Self::HnswRs(index) => index,
        }
    }

    fn with_ef_search(self, ef: usize) -> seqrec::Result<Self> {
        Ok(match self {
            Self::Flat(index) => Self::Flat(index),
            Self::Hnsw(index) => Self::Hnsw(index.with_ef_search(ef)?),
            Self::HnswRs(index) => Self::HnswRs(index.with_ef_search(ef)?),
        })
    }

    /// What the index tells of its size; the `hnsw_rs` crate tells nothing.
    fn bytes(&self) -> Option<usize> {
        match self {
            Self::Flat(index) => Some(index.bytes()),
            Self::Hnsw(index) => Some(index.bytes()),
            Self::HnswRs(_) => None,
        }
    }
}
