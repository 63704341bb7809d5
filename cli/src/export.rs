//! Writes the vectors that a model learned, and what is best for real users, as files for
//! `cargo bench --bench ann` and for other tools.
//!
//! `cargo run --release --example export_vectors -- FILE --model gru4rec --out DIR` leaves
//! `DIR/base.f32` (an item a row), `DIR/query.f32` (the user vectors of test histories), both rows
//! of little-endian floats, and `DIR/truth.u32`, the rows of each query's k best items; and for other
//! programs the items' vectors with their ids as `DIR/items.npy`, `DIR/items.json` and `DIR/items.parquet`.

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ndarray::{Array2, ArrayView2};
use seqrec::OutputFolder;
use seqrec::channels::AlsConfig;
use seqrec::data::{Dataset, Filters, InteractionReader, Protocol, Seen, Spans, Split, User};
use seqrec::eval::{Metric, Scorer};
use seqrec::index::{FlatIndex, VectorIndex};
use seqrec::model::{Gru4RecConfig, Objective, RecallerConfig};
use seqrec::prelude::{Autodiff, Flex};
use seqrec::recall::UserEncoder;
use seqrec::retrieve::{ModelEncoder, item_vectors};
use seqrec::store::VectorTable;
use seqrec::train::{ProgressBars, Trainer, TrainerConfig};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModelName {
    /// GRU4Rec by dot product, so that vectors keep the lengths that they learn.
    Gru4rec,
    /// Matrix factorization by alternating least squares.
    Als,
}

#[derive(Args, Debug)]
pub struct Options {
    /// A file of interactions, in any format that is detected.
    file: PathBuf,
    #[arg(long, value_enum, default_value_t = ModelName::Gru4rec)]
    model: ModelName,
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Epochs of GRU4Rec.
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    /// Users at most.
    #[arg(long, default_value_t = 1000)]
    queries: usize,
    #[arg(long, default_value_t = 50)]
    k: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A folder of the program's own.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let folder = OutputFolder::open(&options.out, "export_vectors")?;
    let log = InteractionReader::detect(&options.file)?.read()?;
    let dataset = Dataset::new(log, Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    // Each row of the truth has so many items.
    Scorer::new(split.catalog(), &[options.k])?;
    if options.queries == 0 || split.test.is_empty() {
        return Err(
            "there is no user to export: --queries is 0, or all histories are short".into(),
        );
    }
    let (items, users) = match options.model {
        ModelName::Gru4rec => gru4rec(options, &split)?,
        ModelName::Als => als(options, &split)?,
    };
    let best = FlatIndex::new(&items)?.search(users.view(), options.k, None)?;
    let truth: Vec<u32> = (0..best.len())
        .flat_map(|user| best.items(user))
        .map(|item| item.get() - 1)
        .collect();
    let table = VectorTable::from_items(split.catalog(), items.view())?;
    table.save_npy(folder.join("items.npy"), folder.join("items.json"))?;
    table.save_parquet(folder.join("items.parquet"))?;
    let base = items.slice(ndarray::s![1.., ..]);
    folder.write("base.f32", bytes(base))?;
    folder.write("query.f32", bytes(users.view()))?;
    let truth: Vec<u8> = truth.into_iter().flat_map(u32::to_le_bytes).collect();
    folder.write("truth.u32", truth)?;
    let mut lengths: Vec<f32> = (base.rows().into_iter())
        .map(|row| row.dot(&row).sqrt())
        .collect();
    lengths.sort_by(f32::total_cmp);
    println!(
        "{} items and {} users of dim {}; items' lengths {:.3} to {:.3}, median {:.3}",
        base.nrows(),
        users.nrows(),
        options.dim,
        lengths[0],
        lengths[lengths.len() - 1],
        lengths[lengths.len() / 2],
    );
    Ok(())
}

fn bytes(rows: ArrayView2<'_, f32>) -> Vec<u8> {
    rows.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Every so many cases, so that users come from the whole file.
fn some(cases: &Spans, most: usize) -> impl Iterator<Item = User<'_>> {
    let step = cases.len().div_ceil(most.max(1)).max(1);
    (0..cases.len())
        .step_by(step)
        .map(|case| cases.get(case).user)
}

/// Item vectors with the padding row, and user vectors.
type Vectors = (Array2<f32>, Array2<f32>);

fn gru4rec(options: &Options, split: &Split) -> Result<Vectors, Box<dyn Error>> {
    let device = Default::default();
    let model = Gru4RecConfig::new()
        .with_dim(options.dim)
        .with_objective(Objective::new())
        .with_embedding_dropout(0.3)
        .with_hidden_dropout(0.0)
        .init::<Autodiff<Flex>>(split.catalog().len(), options.seed, &device)?;
    let config = TrainerConfig::new()
        .with_batch_size(256)
        .with_learning_rate(0.001)
        .with_epochs(options.epochs)
        .with_metric(Metric::recall(options.k)?)
        .with_seen(Seen::Keep)
        .with_seed(options.seed);
    let trained = Trainer::new(config)
        .observer(ProgressBars::default())
        .fit(model, split)?;
    let items = item_vectors(&trained.model);
    let histories: Vec<User<'_>> = some(&split.test, options.queries).collect();
    let encoder = ModelEncoder::<Flex, _>::new(trained.model);
    let users = encoder.encode(&histories)?;
    Ok((items, users))
}

fn als(options: &Options, split: &Split) -> Result<Vectors, Box<dyn Error>> {
    // Those of the vectors in docs/benchmarks.md.
    let config = AlsConfig::new()
        .with_dim(options.dim)
        .with_confidence(20.0)
        .with_seed(options.seed);
    let model = config.fit(&split.train)?;
    let users: Vec<f32> = some(&split.test, options.queries)
        .flat_map(|history| model.fold_in(history.items()))
        .collect();
    let users = Array2::from_shape_vec((users.len() / options.dim, options.dim), users)?;
    Ok((model.item_vectors().to_owned(), users))
}
