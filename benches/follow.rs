//! An index that follows a model, beside one that is built anew.
//!
//! `cargo bench -p seqrec-bench --bench follow -- --items 100000 --moved 0.01` prints one JSON
//! line: seconds to build a graph, to replace the vectors that moved, to build the graph of the new
//! vectors, and what either of the last two finds of the true best.

use std::time::Instant;

use clap::Parser;
use ndarray::{Array2, ArrayView2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, UpdatableIndex, VectorIndex};

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 100_000)]
    items: usize,
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Which share of the vectors moved.
    #[arg(long, default_value_t = 0.01)]
    moved: f64,
    /// By how much of their values.
    #[arg(long, default_value_t = 0.3)]
    far: f32,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Around 200 centers, of lengths that differ as learned ones do.
fn vectors(options: &Options, random: &mut ChaCha8Rng) -> Array2<f32> {
    let centers =
        Array2::from_shape_simple_fn((200, options.dim), || random.random_range(-1.0..1.0f32));
    let mut vectors = Array2::zeros((options.items + 1, options.dim));
    for mut row in vectors.rows_mut().into_iter().skip(1) {
        let center = centers.row(random.random_range(0..200));
        let length = random.random_range(0.3..3.0f32);
        row.zip_mut_with(&center, |to, &of| {
            *to = length * (of + random.random_range(-0.6..0.6))
        });
    }
    vectors
}

/// Which share of the true 10 best is found.
fn recall(index: &HnswIndex, vectors: ArrayView2<'_, f32>) -> seqrec::Result<f64> {
    let queries = vectors.slice(s![1..; 97, ..]);
    let exact = FlatIndex::new(vectors)?.search(queries, 10, None)?;
    let found = index.search(queries, 10, None)?;
    let shared = |query| {
        let best = exact.items(query);
        found
            .items(query)
            .iter()
            .filter(|item| best.contains(item))
            .count()
    };
    let all: usize = (0..queries.nrows()).map(shared).sum();
    Ok(all as f64 / (10 * queries.nrows()) as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let before = vectors(&options, &mut random);
    let mut after = before.clone();
    for mut row in after.rows_mut().into_iter().skip(1) {
        if random.random_bool(options.moved) {
            row.mapv_inplace(|value| value + options.far * random.random_range(-1.0..1.0));
        }
    }
    let start = Instant::now();
    let index = HnswIndex::new(before.view(), &HnswConfig::new())?;
    let built = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let (replaced, _) = index.follow(before.view(), after.view(), 0.0)?;
    let seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let anew = HnswIndex::new(after.view(), &HnswConfig::new())?;
    let built_anew = start.elapsed().as_secs_f64();
    println!(
        "{{\"items\":{},\"dim\":{},\"replaced\":{},\"build_s\":{built:.2},\"follow_s\":{seconds:.2},\
         \"build_anew_s\":{built_anew:.2},\"recall_followed\":{:.4},\"recall_anew\":{:.4}}}",
        options.items,
        options.dim,
        replaced,
        recall(&index, after.view())?,
        recall(&anew, after.view())?,
    );
    Ok(())
}
