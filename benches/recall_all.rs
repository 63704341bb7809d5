//! Recall for everyone: users/s and the most memory, into a file or only gone through.
//!
//! `cargo bench --bench recall_all` recalls for 1,000,000 users the 100 best of 100,000 items by
//! vectors of 64 numbers, without the 20 items that each user took, and prints a JSON line. With
//! `--file FILE` users and items are those of a log, with vectors by ALS.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::channels::AlsConfig;
use seqrec::data::{Catalog, Dataset, Features, Filters, InteractionReader, Seen, User};
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, Precision, VectorIndex};
use seqrec::ndarray::{Array2, ArrayView2};
use seqrec::recall::{RecallRequest, Retriever, UserEncoder, Users, VectorChannel};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "support/memory.rs"]
mod memory;

#[derive(Clone, Copy, ValueEnum)]
enum Index {
    F32,
    F16,
    Int8,
    Graph,
}

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    users: usize,
    #[arg(long, default_value_t = 100_000)]
    items: usize,
    #[arg(long, default_value_t = 64)]
    dim: usize,
    #[arg(long, default_value_t = 100)]
    k: usize,
    /// How many items each user took.
    #[arg(long, default_value_t = 20)]
    history: usize,
    #[arg(long, value_enum, default_value = "f32")]
    index: Index,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Keep the items of histories.
    #[arg(long)]
    keep_seen: bool,
    /// A log to take users and items of.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Where to write, `.csv` or `.parquet`; each user's items are only looked at unless given.
    #[arg(long)]
    out: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    match &options.file {
        Some(file) => of_file(&options, file),
        None => generated(&options),
    }
}

fn index(options: &Options, items: ArrayView2<f32>) -> Result<Box<dyn VectorIndex>, Failure> {
    Ok(match options.index {
        Index::F32 => Box::new(FlatIndex::new(items)?),
        Index::F16 => Box::new(FlatIndex::with_precision(items, Precision::F16)?),
        Index::Int8 => Box::new(FlatIndex::with_precision(items, Precision::Int8)?),
        Index::Graph => Box::new(HnswIndex::new(items, &HnswConfig::new())?),
    })
}

/// The mean of the vectors of what a user took.
struct Mean(Array2<f32>);

impl UserEncoder for Mean {
    fn dim(&self) -> usize {
        self.0.ncols()
    }

    fn encode(&self, users: &[User]) -> seqrec::Result<Array2<f32>> {
        let mut vectors = Array2::zeros((users.len(), self.dim()));
        for (mut vector, user) in vectors.rows_mut().into_iter().zip(users) {
            for item in user.items() {
                vector += &self.0.row(item.to_usize());
            }
        }
        Ok(vectors)
    }
}

fn generated(options: &Options) -> Result<(), Failure> {
    let (items, dim) = (options.items, options.dim);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let vectors = Array2::from_shape_simple_fn((items + 1, dim), || random.random::<f32>() - 0.5);
    let catalog = Catalog::from_ids((1..=items as i64).map(Into::into))?;
    let channel = VectorChannel::new(Mean(vectors.clone()), index(options, vectors.view())?);
    let retriever = Retriever::new(channel, catalog)?;
    let users = || {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let (history, items) = (options.history, items as i64);
        Users::histories((0..options.users as i64).map(move |user| {
            let taken: Vec<i64> = (0..history)
                .map(|_| random.random_range(1..=items))
                .collect();
            (user, taken)
        }))
    };
    measure(options, &retriever, users)
}

/// A user's vector, which stands among their features.
struct Known(usize);

impl UserEncoder for Known {
    fn dim(&self) -> usize {
        self.0
    }

    fn encode(&self, users: &[User]) -> seqrec::Result<Array2<f32>> {
        let mut vectors = Array2::zeros((users.len(), self.0));
        for (mut vector, user) in vectors.rows_mut().into_iter().zip(users) {
            vector.assign(
                &ArrayView2::from_shape((1, self.0), user.features())
                    .expect("one row")
                    .row(0),
            );
        }
        Ok(vectors)
    }
}

fn of_file(options: &Options, file: &PathBuf) -> Result<(), Failure> {
    let log = InteractionReader::detect(file)?.read()?;
    let dataset = Dataset::new(log, Filters::default())?;
    let data = dataset.training_data();
    let als = AlsConfig::new().with_dim(options.dim).fit(&data)?;
    let names = (0..options.dim).map(|column| column.to_string()).collect();
    let features = Features::new(names, als.user_vectors().to_owned())?;
    let dataset = dataset.with_user_features(features)?;
    let index = index(options, als.item_vectors())?;
    let channel = VectorChannel::new(Known(options.dim), index);
    let retriever = Retriever::new(channel, dataset.catalog().clone())?;
    measure(options, &retriever, || (&dataset).into())
}

fn measure<'a>(
    options: &Options,
    retriever: &'a Retriever,
    users: impl Fn() -> Users<'a>,
) -> Result<(), Failure> {
    let request = RecallRequest::for_everyone(options.k).seen(Seen::exclude_if(!options.keep_seen));
    for _ in 0..options.rounds {
        let watch = memory::Watch::start();
        let start = Instant::now();
        let mut all = retriever.recall_all(users(), &request)?;
        let counts = match &options.out {
            Some(out) => all.write(out)?,
            None => {
                for recalled in &mut all {
                    std::hint::black_box(recalled?);
                }
                all.counts()
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        let line = json!({
            "users": counts.users,
            "rows": counts.rows,
            "threads": options.threads,
            "seconds": (seconds * 1e3).round() / 1e3,
            "users_per_s": (counts.users as f64 / seconds).round(),
            "own_mb": watch.peak().own_mb,
        });
        println!("{line}");
    }
    Ok(())
}
