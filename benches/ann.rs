//! Nearest neighbors by inner product: time to build, recall against queries per second, bytes.
//!
//! `cargo bench -p seqrec-bench --bench ann -- DIR --index hnsw --ef 50,100,200 --k 50 --threads 1`
//! reads `DIR/base.f32` and `DIR/query.f32`, rows of little-endian floats, and `DIR/truth.u32`, the
//! exact neighbors of each query by row, and prints one JSON line for each ef. The example
//! `export_vectors` writes such a folder from what a model learned.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use ndarray::{Array2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::data::ItemIndex;
use seqrec::index::{
    Filter, FlatIndex, Hits, HnswConfig, HnswIndex, HnswRsIndex, ItemSet, Precision,
    UpdatableIndex, VectorIndex,
};

#[path = "support/memory.rs"]
mod memory;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum IndexName {
    Flat,
    Hnsw,
    HnswRs,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum PrecisionName {
    F32,
    F16,
    Int8,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum FilterName {
    Set,
    Predicate,
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
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    /// The share of the items that a filter passes, which is drawn at random; the truth is then
    /// what the exact index gives.
    #[arg(long)]
    pass: Option<f64>,
    /// How the filter is given.
    #[arg(long, value_enum, default_value_t = FilterName::Set)]
    filter: FilterName,
    /// The share of the items that are built with other items' vectors and given their own one by
    /// one.
    #[arg(long)]
    replaced: Option<f64>,
    /// Searches for each query by itself, as a service does.
    #[arg(long)]
    one_by_one: bool,
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
    let mut vectors = Array2::zeros((base.nrows() + 1, options.dim));
    vectors.slice_mut(ndarray::s![1.., ..]).assign(&base);
    drop(base);

    let mut random = ChaCha8Rng::seed_from_u64(1);
    let allowed: Option<ItemSet> = options.pass.map(|share| {
        let items = (1..vectors.nrows() as u32).map(ItemIndex::new);
        items.filter(|_| random.random_bool(share)).collect()
    });
    let passes =
        |_: usize, item: ItemIndex| allowed.as_ref().is_none_or(|items| items.contains(item));
    let filter = allowed.as_ref().map(|items| match options.filter {
        FilterName::Set => Filter::Allowed(items),
        FilterName::Predicate => Filter::Predicate(&passes),
    });
    let score = |query: usize, item: ItemIndex| {
        let vector = vectors.row(item.to_usize());
        vector.dot(&queries.row(query))
    };
    // What a query's k best have at least: equal vectors count as equal.
    let least: Vec<(usize, f32)> = if filter.is_some() {
        let exact = FlatIndex::new(vectors.view())?.search(queries.view(), options.k, filter)?;
        (0..exact.len())
            .map(|query| {
                let items = exact.items(query);
                let last = items.last().map(|&item| score(query, item));
                (items.len(), last.unwrap_or(f32::MAX))
            })
            .collect()
    } else {
        let bytes = std::fs::metadata(file("truth.u32"))?.len() as usize;
        let columns = bytes / 4 / queries.nrows();
        let truth = rows(&file("truth.u32"), columns, u32::from_le_bytes)?;
        let k = options.k.min(columns);
        let last = |query: usize| score(query, ItemIndex::new(truth[[query, k - 1]] + 1));
        (0..queries.nrows()).map(|query| (k, last(query))).collect()
    };

    let precision = match options.precision {
        PrecisionName::F32 => Precision::F32,
        PrecisionName::F16 => Precision::F16,
        PrecisionName::Int8 => Precision::Int8,
    };
    let config = HnswConfig::new()
        .with_precision(precision)
        .with_m(options.neighbors)
        .with_ef_construction(options.ef_construction);
    let mut first = vectors.clone();
    let replaced: Vec<u32> = (1..vectors.nrows() as u32)
        .filter(|_| random.random_bool(options.replaced.unwrap_or(0.0)))
        .collect();
    for (place, &item) in replaced.iter().enumerate() {
        let other = replaced[(place + 1) % replaced.len()] as usize;
        let mut row = first.row_mut(item as usize);
        row.assign(&vectors.row(other));
        // Not quite another's, or it would be there already when that one gets it.
        row.mapv_inplace(|value| value * (1.0 + 0.01 * random.random_range(-1.0..1.0f32)));
    }
    let start = Instant::now();
    let mut built = pool(options.build_threads)?.install(|| build(&options, &config, &first))?;
    let build_s = start.elapsed().as_secs_f64();
    drop(first);
    let start = Instant::now();
    for &item in &replaced {
        let vector = vectors.row(item as usize);
        built.as_updatable()?.replace(
            ItemIndex::new(item),
            vector.as_slice().ok_or("rows are whole")?,
        )?;
    }
    let replace_us = start.elapsed().as_secs_f64() * 1e6 / replaced.len().max(1) as f64;
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
            let found = pool.install(|| {
                if !options.one_by_one {
                    return index.search(queries.view(), options.k, filter);
                }
                let mut found = Hits::with_capacity(queries.nrows(), options.k);
                for query in queries.axis_chunks_iter(Axis(0), 1) {
                    found.push(index.search(query, options.k, filter)?.list(0));
                }
                Ok(found)
            });
            hits = Some(found?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let hits = hits.ok_or("nothing was searched for")?;
        let line = serde_json::json!({
            "index": options.index.to_possible_value().map(|name| name.get_name().to_owned()),
            "build_s": (build_s * 100.0).round() / 100.0,
            "ef": ef,
            "precision": options.precision.to_possible_value().map(|name| name.get_name().to_owned()),
            "pass": options.pass,
            "replaced": replaced.len(),
            "replace_us": replace_us.round(),
            "threads": options.threads,
            "one_by_one": options.one_by_one,
            "recall": recall(&hits, &least, score),
            "qps": (queries.nrows() as f64 / seconds[seconds.len() / 2]).round(),
            "bytes": built.bytes(),
            "peak_rss_mb": memory::peak_rss_mb(),
        });
        println!("{line}");
    }
    Ok(())
}

/// The share of each query's true best that was found: how many score no lower than the last.
fn recall(hits: &Hits, least: &[(usize, f32)], score: impl Fn(usize, ItemIndex) -> f32) -> f64 {
    let found = least.iter().enumerate().map(|(query, &(count, least))| {
        let items = hits.items(query).iter().take(count);
        items
            .filter(|&&item| score(query, item) >= least - 1e-5)
            .count()
    });
    let all: usize = least.iter().map(|&(count, _)| count).sum();
    found.sum::<usize>() as f64 / all.max(1) as f64
}

enum Built {
    Flat(FlatIndex),
    Hnsw(Box<HnswIndex>),
    HnswRs(HnswRsIndex),
}

fn build(options: &Options, config: &HnswConfig, vectors: &Array2<f32>) -> seqrec::Result<Built> {
    Ok(match options.index {
        IndexName::Flat => {
            Built::Flat(FlatIndex::with_precision(vectors.view(), config.precision)?)
        }
        IndexName::Hnsw => Built::Hnsw(Box::new(HnswIndex::new(vectors.view(), config)?)),
        IndexName::HnswRs => Built::HnswRs(HnswRsIndex::new(vectors.view(), config)?),
    })
}

impl Built {
    fn as_index(&self) -> &dyn VectorIndex {
        match self {
            Self::Flat(index) => index,
            Self::Hnsw(index) => &**index,
            Self::HnswRs(index) => index,
        }
    }

    fn as_updatable(&self) -> Result<&dyn UpdatableIndex, Failure> {
        match self {
            Self::Flat(index) => Ok(index),
            Self::Hnsw(index) => Ok(&**index),
            Self::HnswRs(_) => Err("the hnsw_rs crate has no updates".into()),
        }
    }

    fn with_ef_search(self, ef: usize) -> seqrec::Result<Self> {
        Ok(match self {
            Self::Flat(index) => Self::Flat(index),
            Self::Hnsw(index) => Self::Hnsw(Box::new(index.with_ef_search(ef)?)),
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
