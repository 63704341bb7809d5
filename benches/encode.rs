//! Histories to user vectors, as serving and evaluation make them.
//!
//! `cargo bench -p seqrec-bench --bench encode -- --model sasrec --len 200` prints one JSON line
//! with the median time of one history alone; with `--file FILE`, also the time that all users'
//! histories of a file take, `--batch-size` of them at a time.

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::backend::Backend as _;
use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::{Autodiff, Flex};
use seqrec::burn;
use seqrec::data::{Dataset, Filters, InteractionReader, ItemIndex, SequenceBatch, Spans, User};
use seqrec::model::{
    MODEL_NAMES, ModelVisitor, Objective, SequenceRecaller, TrainableConfig, visit_model,
};
use seqrec::retrieve::user_vectors;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "support/settings.rs"]
mod settings;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "sasrec", value_parser = clap::builder::PossibleValuesParser::new(MODEL_NAMES.iter().copied()))]
    model: String,
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// How many of a history's last items are seen.
    #[arg(long, default_value_t = 200)]
    len: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 300)]
    calls: usize,
    #[arg(long)]
    file: Option<PathBuf>,
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
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
    visit_model::<Autodiff<Flex>, _>(&options.model, Encode { options: &options })?
}

struct Encode<'a> {
    options: &'a Options,
}

impl ModelVisitor<Autodiff<Flex>> for Encode<'_> {
    type Output = Result<(), Failure>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let options = self.options;
        let config = settings::config(&defaults, options.dim, options.len, 0.0, &Objective::new())?;
        let sequences = match &options.file {
            Some(file) => {
                let log = InteractionReader::detect(file)?.read()?;
                let dataset = Dataset::new(log, Filters::default())?;
                Some((dataset.catalog().len(), dataset.training_data()))
            }
            None => None,
        };
        let items = sequences.as_ref().map_or(10_000, |(items, _)| *items);
        let device = Default::default();
        let model = config.init::<Flex>(items, 1, &device)?;
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut times: Vec<f64> = Vec::with_capacity(options.calls);
        for _ in 0..options.calls {
            let item = |_| ItemIndex::new(random.random_range(1..=items as u32));
            let history: Vec<ItemIndex> = (0..options.len).map(item).collect();
            let clock: Vec<f64> = (0..options.len).map(|place| 60.0 * place as f64).collect();
            let history = User::with_times(&history, &clock)?;
            let start = Instant::now();
            let batch = SequenceBatch::<Flex>::new([history], options.len, &device)?;
            let vectors = user_vectors(&model, &batch);
            times.push(start.elapsed().as_secs_f64() * 1e3);
            assert!(vectors.iter().all(|value| value.is_finite()));
        }
        times.sort_by(f64::total_cmp);
        let all = match &sequences {
            Some((_, data)) => Some(all_users(&model, data.sequences(), options)?),
            None => None,
        };
        println!(
            "{}",
            json!({
                "model": options.model,
                "dim": options.dim,
                "len": options.len,
                "threads": options.threads,
                "one_ms": times[times.len() / 2],
                "all_users_s": all,
            })
        );
        Ok(())
    }
}

/// How many seconds the histories of all users take.
fn all_users<M: SequenceRecaller<Flex>>(
    model: &M,
    sequences: &Spans,
    options: &Options,
) -> Result<f64, Failure> {
    let device = Default::default();
    let start = Instant::now();
    let users: Vec<usize> = (0..sequences.len()).collect();
    for users in users.chunks(options.batch_size) {
        let histories = users.iter().map(|&user| sequences.history(user));
        let batch = SequenceBatch::<Flex>::new(histories, options.len, &device)?;
        assert!(
            user_vectors(model, &batch)
                .iter()
                .all(|value| value.is_finite())
        );
    }
    Flex::sync(&device)?;
    Ok(start.elapsed().as_secs_f64())
}
