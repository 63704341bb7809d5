//! Trains and compares channels of recall, and their fusion, on one split.
//!
//! `seqrec compare channels ratings.csv` holds the last item of every user out and prints for each
//! channel how many of these it finds, how much of the catalog it recalls, and how long it takes.
//! It writes the table as `channels.md` and how much the channels' lists overlap as `overlap.svg`.
//! `--save DIR` keeps the stage as a run folder, which `seqrec serve` takes. Genres are tags where
//! `movies.csv` lies beside MovieLens ratings.

pub mod build;
mod measure;
mod picture;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use seqrec::OutputFolder;
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::{Case, Seen};
use seqrec::eval::Metric;
use seqrec::model::{ModelVisitor, TrainableConfig, visit_model};
use seqrec::recall::{ChannelWeight, Fusion, RecallStage, WeightLearningConfig};
use seqrec::store::ServedStage;

use crate::data::{DataArgs, ProtocolName, SeenName};
use crate::results::Results;
use build::Channel;
use measure::{Judge, Measured};

#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    data: DataArgs,
    /// The sequence model; those after the first are channels of their own beside it.
    #[arg(long, value_delimiter = ',', default_value = "gru4rec", value_parser = crate::model_names())]
    model: Vec<String>,
    /// The size of the sequence model's vectors.
    #[arg(long, default_value_t = 128)]
    dim: usize,
    /// The most epochs that models are trained for.
    #[arg(long, default_value_t = 60)]
    epochs: usize,
    /// Interests of a second model, ComiRec-SA; 0 leaves it out.
    #[arg(long, default_value_t = 4)]
    interests: usize,
    /// The channels that are compared, by name [default: all].
    #[arg(long, value_delimiter = ',')]
    channels: Vec<String>,
    /// How many candidates each channel is asked for.
    #[arg(long, default_value_t = 400)]
    candidates: usize,
    /// Cuts of the metrics; models are stopped by the smallest, and weights are learned at the
    /// largest.
    #[arg(long, short, value_delimiter = ',', default_value = "50,200")]
    k: Vec<usize>,
    /// Whether items of the history are recalled again.
    #[arg(long, value_enum, default_value_t)]
    seen: SeenName,
    /// The seed of everything random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where the table and the picture are written.
    #[arg(long, default_value = "seqrec-channels")]
    out: PathBuf,
    /// Keeps the stage, its weights learned, as a run folder [default: keeps none].
    #[arg(long)]
    save: Option<PathBuf>,
    /// Keeps every channel, all of the same weight, instead of those that the weights leave.
    #[arg(long, requires = "save")]
    keep_all: bool,
}

/// The cuts of lists that are asked for, in order, and smaller where the catalog is small.
#[derive(Debug, Clone)]
pub struct Cuts(Vec<usize>);

impl Cuts {
    fn new(asked: &[usize], items: usize) -> seqrec::Result<Self> {
        // All of a catalog holds every label, which tells nothing.
        let largest = (items / 2).max(1);
        let mut ks: Vec<usize> = asked.iter().map(|&k| k.min(largest)).collect();
        ks.sort_unstable();
        ks.dedup();
        ks.iter().try_for_each(|&k| Metric::recall(k).map(drop))?;
        if asked.iter().any(|k| !ks.contains(k)) {
            let ks: Vec<String> = ks.iter().map(usize::to_string).collect();
            eprintln!(
                "there are {items} items only: lists are cut at {}",
                ks.join(" and ")
            );
        }
        Ok(Self(ks))
    }

    fn smallest(&self) -> usize {
        self.0[0]
    }

    fn largest(&self) -> usize {
        self.0[self.0.len() - 1]
    }
}

/// Refuses to save over what is no run folder, before any time is spent.
fn check_run_folder(path: &Path) -> Result<(), Box<dyn Error>> {
    let is_empty = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(format!("{}: {error}", path.display()).into()),
    };
    if is_empty || path.join("run.json").exists() {
        return Ok(());
    }
    Err(format!(
        "{} holds other files; choose an absent or empty folder",
        path.display()
    )
    .into())
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    visit_model::<Autodiff<Flex>, _>(&options.model[0], Job(options, results))?
}

/// The job with whichever model.
struct Job<'a>(&'a Options, Results);

impl ModelVisitor<Autodiff<Flex>> for Job<'_> {
    type Output = Result<(), Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        compare(self.0, self.1, &defaults)
    }
}

fn compare<C: TrainableConfig<Autodiff<Flex>>>(
    options: &Options,
    results: Results,
    defaults: &C,
) -> Result<(), Box<dyn Error>> {
    // What can't be is told before any time is spent.
    RecallStage::new(Fusion::RoundRobin, options.candidates)?;
    let out = OutputFolder::open(&options.out, "channels")?;
    if let Some(path) = &options.save {
        check_run_folder(path)?;
    }
    options.data.features.refuse_users("compare channels")?;
    let data = options.data.read()?;
    let dataset = &data.dataset;
    let split = data.split(ProtocolName::LeaveOneOut, options.seed)?;
    let cuts = Cuts::new(&options.k, dataset.catalog().len())?;
    let largest = cuts.largest();
    let trained = build::train(defaults, &data, &split, &cuts, options)?;
    let channels = build::channels(&trained, &split, &cuts, options)?;
    if options.seen == SeenName::LeaveOut {
        let seen = |case: &Case<'_>| {
            case.labels
                .iter()
                .any(|&label| case.user.seen_items().any(|seen| seen == label))
        };
        let unreachable = split.test.iter().filter(seen).count();
        if unreachable > 0 {
            eprintln!(
                "{unreachable} labels were taken before, and can't be recalled where seen items are left out"
            );
        }
    }
    let judge = Judge::new(
        &split,
        trained.segments(),
        Seen::exclude_if(options.seen == SeenName::LeaveOut),
        &cuts,
    );

    let mut rows: Vec<Measured> = Vec::new();
    for Channel {
        name,
        channel,
        build_seconds,
        ..
    } in &channels
    {
        let measured = judge.measure(name, channel.as_ref(), *build_seconds)?;
        eprintln!("  {measured}");
        rows.push(measured);
    }
    let single = rows.iter().map(Measured::at_largest).fold(0.0, f64::max);

    let fusions = [
        ("fusion: snake", Fusion::RoundRobin, false),
        ("fusion: quotas", Fusion::Quotas, false),
        ("fusion: ranks", Fusion::RECIPROCAL_RANK, false),
        ("fusion: scores", Fusion::MinMax, false),
        (
            "fusion: ranks, weights learned",
            Fusion::RECIPROCAL_RANK,
            true,
        ),
        ("fusion: scores, weights learned", Fusion::ZScore, true),
    ];
    let mut learned: Vec<(Fusion, Vec<f64>, f64)> = Vec::new();
    let mut fused = Vec::new();
    for (name, fusion, learn) in fusions {
        let start = Instant::now();
        let mut stage = RecallStage::new(fusion, options.candidates)?;
        for Channel { name, channel, .. } in &channels {
            stage = stage.channel(name, channel.clone(), ChannelWeight::default())?;
        }
        if learn {
            let config = WeightLearningConfig::new(largest)
                .with_seen(Seen::exclude_if(options.seen == SeenName::LeaveOut))
                .with_seed(options.seed);
            let valid = judge.learn_weights(&mut stage, &config)?;
            let weights: Vec<f64> = stage.shares().map(|share| share.weight).collect();
            let named: Vec<String> = (stage.names().zip(&weights))
                .filter(|(_, weight)| **weight > 0.0)
                .map(|(name, weight)| format!("{name} {weight:.2}"))
                .collect();
            eprintln!(
                "  weights, recall@{largest} on valid {valid:.4}: {}",
                named.join(", ")
            );
            learned.push((fusion, weights, valid));
        }
        let measured = judge.measure(name, &stage, start.elapsed().as_secs_f64())?;
        eprintln!("  {measured}");
        fused.push(measured);
    }

    let table = measure::table(rows.iter().chain(&fused), &cuts);
    out.write("channels.md", &table)?;
    results.text(format_args!("\n{table}"));
    out.write("overlap.svg", picture::draw(&rows)?)?;
    eprintln!(
        "wrote channels.md and overlap.svg to {}",
        options.out.display()
    );

    // The fusion that is best on the validation split is the one that is kept.
    let (fusion, weights, _) = learned
        .into_iter()
        .max_by(|a, b| a.2.total_cmp(&b.2))
        .ok_or("no fusion was learned")?;
    if let Some(path) = &options.save {
        let weights = if options.keep_all {
            vec![1.0; channels.len()]
        } else {
            weights
        };
        trained.save(path, &channels, fusion, &weights, options)?;
        eprintln!("wrote the stage to {}", path.display());
        // As a service will have it.
        let kept = ServedStage::load::<Flex>(path, &Default::default())?;
        for (channel, index) in kept.stage().indexes() {
            eprintln!("  {channel}: {index}");
        }
    }
    let best = fused.iter().map(Measured::at_largest).fold(0.0, f64::max);
    let line = serde_json::json!({
        "data": options.data.name(),
        format!("best_channel_recall@{largest}"): single,
        format!("best_fusion_recall@{largest}"): best,
        "fusion_above_channels": best > single,
    });
    results.value(&line);
    Ok(())
}
