//! Items that nobody has taken yet, recalled by their genres.
//!
//! `seqrec compare cold-items ratings.csv` reads MovieLens ratings with the
//! `movies.csv` beside them, leaves a share of the items out of training entirely, trains two
//! towers, and says how often those items are recalled for the users who took them next.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use seqrec::data::movielens;
use seqrec::data::{Dataset, Filters, ItemIndex, Protocol, Seen, Split};
use seqrec::eval::{Metric, Scorer};
use seqrec::index::{Filter, FlatIndex, ItemSet};
use seqrec::model::{ItemFeaturesConfig, RecallerConfig, TwoTowerConfig};
use seqrec::prelude::{Autodiff, Flex};
use seqrec::recall::{RecallChannel, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::train::{ProgressBars, Trainer, TrainerConfig};

use serde_json::json;

use crate::data::ReadingArgs;
use crate::numbers::finite;
use crate::results::Results;

#[derive(Args, Debug)]
pub struct Options {
    /// A file of ratings with a file of movies beside it.
    #[arg(value_name = "DATA")]
    ratings: PathBuf,
    #[command(flatten)]
    reading: ReadingArgs,
    /// The share of items that is left out of training.
    #[arg(long, default_value_t = 0.1, value_parser = finite::<f64>)]
    share: f64,
    /// The cut of the metric: how many items are recalled.
    #[arg(long, short, default_value_t = 50)]
    k: usize,
    /// Epochs at most.
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Seeds; each leaves other items out.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
}

/// How many items are left out.
fn left_out(options: &Options, items: usize) -> Result<usize, String> {
    let Options { share, k, .. } = *options;
    let count = (items as f64 * share) as usize;
    if count <= k {
        return Err(format!(
            "--share {share} leaves {count} of {items} items out, all of which would be among the \
             {k} that are recalled; choose a smaller --k or a greater --share"
        ));
    }
    Ok(count)
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    // What can't be is told before any time is spent.
    let metric = Metric::recall(options.k)?;
    if !(options.share > 0.0 && options.share < 1.0) {
        let share = options.share;
        return Err(format!("--share is {share}, but must be between 0 and 1").into());
    }
    let log = options.reading.reader(&options.ratings)?.read()?;
    let movies = movielens::movies(&options.ratings)?.ok_or("no movies beside the ratings")?;
    let filters = Filters::new().with_minimum_per_user(5);
    let dataset = Dataset::new(log, filters)?;
    let catalog = dataset.catalog();
    let items = catalog.len();
    let features = movies.features(catalog, &["genres"])?;
    let dataset = dataset.clone().with_item_features(features)?;
    Scorer::new(catalog, &[options.k])?;
    let count = left_out(options, items)?;
    let mut found = Vec::new();
    for &seed in &options.seeds {
        let mut order: Vec<ItemIndex> = catalog.items().collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let cold: ItemSet = order[..count].iter().copied().collect();
        let split = Split::new(&dataset, Protocol::Ratio { seed })?;
        let mut split = split.without_items(|item| cold.contains(item))?;
        // Training is stopped by the labels that it can know of.
        let takes_cold = |labels: &[ItemIndex]| labels.iter().any(|&item| cold.contains(item));
        let of_cold = split.test.filtered(|case| takes_cold(case.labels));
        split.valid = split.valid.filtered(|case| !takes_cold(case.labels));
        let device = Default::default();
        let features = ItemFeaturesConfig::new().with_own_dropout(0.5);
        let model = TwoTowerConfig::new().with_item_features(Some(features));
        let model = model.init_for::<Autodiff<Flex>>(split.catalog(), seed, &device)?;
        let config = TrainerConfig::new()
            .with_batch_size(256)
            .with_learning_rate(0.001)
            .with_patience(5)
            .with_minimum_steps(0)
            .with_metric(metric)
            .with_seen(Seen::Keep)
            .with_epochs(options.epochs)
            .with_seed(seed);
        let trained = Trainer::new(config)
            .observer(ProgressBars::default())
            .fit(model, &split)?;
        let index = FlatIndex::new(&item_vectors(&trained.model))?;
        let channel = VectorChannel::from_model(trained.model, index);
        let mut scorer = Scorer::new(split.catalog(), &[options.k])?;
        let mut among_cold = scorer.clone();
        for case in 0..of_cold.len() {
            let labels: Vec<ItemIndex> = (of_cold.get(case).labels.iter().copied())
                .filter(|&item| cold.contains(item))
                .collect();
            let history = [of_cold.get(case).user];
            let hits = channel.recall(&history, options.k, None)?;
            scorer.add(hits.items(0), &labels);
            let hits = channel.recall(&history, options.k, Some(Filter::Allowed(&cold)))?;
            among_cold.add(hits.items(0), &labels);
        }
        eprintln!(
            "seed {seed}: {count} of {items} items left out, {} users took some",
            of_cold.len()
        );
        let mut times_chance = [0.0; 2];
        let judged = [
            ("all items", &scorer, items),
            ("those left out", &among_cold, count),
        ];
        for (times, (among, scorer, size)) in times_chance.iter_mut().zip(judged) {
            let recall = scorer.report().get(metric).unwrap_or_default();
            let chance = options.k as f64 / size as f64;
            *times = recall / chance;
            eprintln!("  {metric} among {among}: {recall:.4}, {times:.1} times chance");
        }
        found.push(times_chance);
    }
    let mean =
        |place: usize| found.iter().map(|times| times[place]).sum::<f64>() / found.len() as f64;
    let (among_all, among_cold) = (mean(0), mean(1));
    results.text(format_args!(
        "on average {among_all:.1} times chance among all items, {among_cold:.1} among those left out"
    ));
    results.value(&json!({
        "metric": metric,
        "times_chance_among_all": among_all,
        "times_chance_among_those_left_out": among_cold,
    }));
    Ok(())
}
