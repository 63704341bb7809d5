//! `seqrec export`: what other programs take of a run.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use ndarray::{ArrayView2, s};
use seqrec::OutputFolder;
use seqrec::data::{Catalog, Spans, TrainingData, User};
use seqrec::eval::Scorer;
use seqrec::index::{FlatIndex, IndexPlan, VectorIndex};
use seqrec::recall::UserEncoder;
use seqrec::store::{ServedStage, VectorTable};

use crate::results::Results;
use crate::runs;

/// Vectors of a run's model, or of a channel: `items.npy` and `items.parquet` (an item a row, ids
/// beside in `items.json`) and `items.index`, and for benchmarks of indexes `base.f32`, `query.f32`
/// and `truth.u32`.
#[derive(Args, Debug)]
pub struct Options {
    /// A run folder that `seqrec train` made.
    run: PathBuf,
    /// The channel of the run's stage whose vectors are exported: one of matrix factorization, such
    /// as als [default: the model].
    #[arg(long)]
    channel: Option<String>,
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
    let stage = (options.channel.is_some() || options.queries > 0)
        .then(|| runs::stage(&options.run))
        .transpose()?;
    let (model, encoder);
    let vectors = match (&options.channel, &stage) {
        (Some(name), Some(stage)) => Vectors::of_channel(name, stage)?,
        _ => {
            model = runs::model(&options.run)?;
            encoder = model.encoder();
            Vectors {
                catalog: model.catalog(),
                items: model.item_vectors(),
                users: &*encoder,
            }
        }
    };
    vectors.write_items(options, &folder)?;
    if let Some(stage) = stage.as_ref().filter(|_| options.queries > 0) {
        vectors.write_queries(options, &folder, stage.data())?;
    }
    results.print(&[
        ("folder", options.out.display().to_string().into()),
        ("items", vectors.catalog.len().into()),
        ("dim", vectors.items.ncols().into()),
        ("queries", options.queries.into()),
    ]);
    Ok(())
}

/// Vectors of items and users in one space.
struct Vectors<'a> {
    catalog: &'a Catalog,
    /// Of items, `[items + 1, dim]`; row 0 is padding.
    items: ArrayView2<'a, f32>,
    users: &'a dyn UserEncoder,
}

impl<'a> Vectors<'a> {
    fn of_channel(name: &str, stage: &'a ServedStage) -> Result<Self, Box<dyn Error>> {
        let vectors = |name: &str| stage.stage().get(name)?.vectors();
        let Some((users, items)) = vectors(name) else {
            let names = stage.stage().names().filter(|name| vectors(name).is_some());
            let names: Vec<&str> = names.collect();
            let what_to_do = match names.is_empty() {
                true => {
                    "`seqrec compare channels DATA --channels u2i,als --save RUN --keep-all` makes \
                         a run with one"
                        .to_owned()
                }
                false => format!("these channels have: {}", names.join(", ")),
            };
            return Err(format!(
                "the run's stage has no channel {name:?} with vectors of its own; {what_to_do}, and \
                 without --channel the model's are exported"
            )
            .into());
        };
        Ok(Self {
            catalog: stage.data().catalog(),
            items,
            users,
        })
    }

    fn write_items(&self, options: &Options, folder: &OutputFolder) -> Result<(), Box<dyn Error>> {
        let table = VectorTable::from_items(self.catalog, self.items)?;
        table.save_npy(folder.join("items.npy"), folder.join("items.json"))?;
        table.save_parquet(folder.join("items.parquet"))?;
        let (index, report) = IndexPlan::default().build_of_vectors(self.items, options.k)?;
        eprintln!("items.index: {report}");
        index.save(folder.join("items.index"), self.catalog.fingerprint())?;
        Ok(())
    }

    /// Writes users' vectors and their nearest items, as benchmarks of indexes read them: rows of
    /// little-endian numbers.
    fn write_queries(
        &self,
        options: &Options,
        folder: &OutputFolder,
        data: &TrainingData,
    ) -> Result<(), Box<dyn Error>> {
        Scorer::new(self.catalog, &[options.k])?;
        let histories: Vec<User<'_>> = some(data.sequences(), options.queries).collect();
        let users = self.users.encode(&histories)?;
        let best = FlatIndex::new(self.items)?.search(users.view(), options.k, None)?;
        let truth = (0..best.len())
            .flat_map(|user| best.items(user))
            .map(|item| item.get() - 1);
        let truth: Vec<u8> = truth.flat_map(u32::to_le_bytes).collect();
        folder.write("base.f32", bytes(self.items.slice(s![1.., ..])))?;
        folder.write("query.f32", bytes(users.view()))?;
        folder.write("truth.u32", truth)?;
        Ok(())
    }
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
