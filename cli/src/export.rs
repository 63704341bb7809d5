//! `seqrec export`: what other programs take of a run.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use ndarray::{ArrayView2, s};
use seqrec::OutputFolder;
use seqrec::data::{Spans, User};
use seqrec::eval::Scorer;
use seqrec::index::{FlatIndex, IndexPlan, VectorIndex};
use seqrec::recall::UserEncoder as _;
use seqrec::store::{Recaller, VectorTable};

use crate::results::Results;
use crate::runs;

/// A model's vectors: `items.npy` and `items.parquet` (an item a row, ids beside in `items.json`)
/// and `items.index`, and for benchmarks of indexes `base.f32`, `query.f32` and `truth.u32`.
#[derive(Args, Debug)]
pub struct Options {
    /// A run folder that `seqrec train` made.
    run: PathBuf,
    /// How many users' vectors are exported as queries, with their nearest items.
    #[arg(long, default_value_t = 0)]
    queries: usize,
    /// The nearest items of each query.
    #[arg(long, short, default_value_t = 50)]
    k: usize,
    /// A folder of the program's own.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let folder = OutputFolder::open(&options.out, "export")?;
    let model = runs::model(&options.run)?;
    let (items, catalog) = (model.item_vectors(), model.catalog());
    let table = VectorTable::from_items(catalog, items)?;
    table.save_npy(folder.join("items.npy"), folder.join("items.json"))?;
    table.save_parquet(folder.join("items.parquet"))?;
    let (index, report) = IndexPlan::default().build_of_vectors(items, options.k)?;
    eprintln!("items.index: {report}");
    index.save(folder.join("items.index"), catalog.fingerprint())?;
    if options.queries > 0 {
        queries(options, &folder, &model)?;
    }
    results.print(&[
        ("folder", options.out.display().to_string().into()),
        ("items", catalog.len().into()),
        ("dim", items.ncols().into()),
        ("queries", options.queries.into()),
    ]);
    Ok(())
}

/// Writes users' vectors and their nearest items, as benchmarks of indexes read them: rows of
/// little-endian numbers.
fn queries(
    options: &Options,
    folder: &OutputFolder,
    model: &Recaller,
) -> Result<(), Box<dyn Error>> {
    Scorer::new(model.catalog(), &[options.k])?;
    let (_, data) = runs::retriever(&options.run)?;
    let histories: Vec<User<'_>> = some(data.sequences(), options.queries).collect();
    let users = model.encoder().encode(&histories)?;
    let items = model.item_vectors();
    let best = FlatIndex::new(items)?.search(users.view(), options.k, None)?;
    let truth = (0..best.len())
        .flat_map(|user| best.items(user))
        .map(|item| item.get() - 1);
    let truth: Vec<u8> = truth.flat_map(u32::to_le_bytes).collect();
    folder.write("base.f32", bytes(items.slice(s![1.., ..])))?;
    folder.write("query.f32", bytes(users.view()))?;
    folder.write("truth.u32", truth)?;
    Ok(())
}

fn bytes(rows: ArrayView2<'_, f32>) -> Vec<u8> {
    rows.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Some users, spread over all of them.
fn some(users: &Spans, most: usize) -> impl Iterator<Item = User<'_>> {
    let step = users.len().div_ceil(most.max(1)).max(1);
    (0..users.len())
        .step_by(step)
        .map(|user| users.history(user))
}
