//! Items that nobody has taken yet, recalled by their features.
//!
//! `seqrec compare cold-items ratings.csv --items movies.csv --model two_tower,sasrec` leaves a
//! share of the items out of training entirely, trains models that look at features of items, and
//! says how often those items are recalled for the users who took them next, and what becomes of
//! all others.

use std::error::Error;

use clap::Args;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use seqrec::data::{Dataset, ItemIndex, Protocol, Seen, Spans, Split, Targets};
use seqrec::eval::{Metric, Report, Scorer};
use seqrec::index::{Filter, FlatIndex, ItemSet};
use seqrec::model::{ModelVisitor, TrainableConfig, visit_model};
use seqrec::prelude::{Autodiff, Flex};
use seqrec::recall::{Evaluation, RecallChannel, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::settings::overridden;
use seqrec::train::{ProgressBars, Trainer, TrainerConfig};
use serde_json::{Value, json};

use crate::data::DataArgs;
use crate::numbers::finite;
use crate::results::Results;
use crate::train::options::json_value;

#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    data: DataArgs,
    /// The models.
    #[arg(long, value_delimiter = ',', default_value = "two_tower", value_parser = crate::model_names())]
    model: Vec<String>,
    /// Settings of the models, as JSON; {"item_features":null} is a model that sees ids alone.
    #[arg(long, value_name = "JSON", default_value = r#"{"item_features":{"own_dropout":0.5}}"#, value_parser = json_value)]
    settings: Value,
    /// The share of items that is left out of training.
    #[arg(long, default_value_t = 0.1, value_parser = finite::<f64>)]
    share: f64,
    /// How many items are recalled.
    #[arg(long, short, default_value_t = 50)]
    k: usize,
    /// Epochs at most.
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Seeds of the items that are left out and of training.
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

/// A model's figures with one seed.
struct Found {
    /// Of those left out, among all items and among themselves, in times of chance.
    times_chance: [f64; 2],
    /// Of users whose labels are other items alone.
    others: Report,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    // What can't be is told before any time is spent.
    let metric = Metric::recall(options.k)?;
    if !(options.share > 0.0 && options.share < 1.0) {
        let share = options.share;
        return Err(format!("--share is {share}, but must be between 0 and 1").into());
    }
    let mut data = options.data.clone();
    data.features = data.features.or_tags();
    let dataset = data.read()?.dataset;
    Scorer::new(dataset.catalog(), &[options.k])?;
    let count = left_out(options, dataset.catalog().len())?;
    for name in &options.model {
        let mut found = Vec::new();
        for &seed in &options.seeds {
            let cold = drawn(&dataset, count, seed);
            let job = Job {
                options,
                cold: &cold,
                split: without(&dataset, &cold, seed)?,
                metric,
                seed,
            };
            let of_seed = visit_model::<Autodiff<Flex>, _>(name, job)??;
            let [among_all, among_cold] = of_seed.times_chance;
            eprintln!(
                "{name}, seed {seed}: {count} items left out, {metric} {among_all:.1} times chance among all \
                 items, {among_cold:.1} among those left out"
            );
            found.push(of_seed);
        }
        summarize(name, &found, metric, results);
    }
    Ok(())
}

fn summarize(name: &str, found: &[Found], metric: Metric, results: Results) {
    let mean = |of: &dyn Fn(&Found) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
    let among_all = mean(&|found| found.times_chance[0]);
    let among_cold = mean(&|found| found.times_chance[1]);
    let others = mean(&|found| found.others.get(metric).unwrap_or_default());
    results.text(format_args!(
        "{name}: items left out are recalled {among_all:.1} times as often as by chance among all items, \
         {among_cold:.1} among those left out; {metric} of users who took none of them {others:.4}"
    ));
    results.value(&json!({
        "model": name,
        "metric": metric,
        "times_chance_among_all": among_all,
        "times_chance_among_those_left_out": among_cold,
        "others": others,
        "seeds": found.len(),
    }));
}

fn drawn(dataset: &Dataset, count: usize, seed: u64) -> ItemSet {
    let mut order: Vec<ItemIndex> = dataset.catalog().items().collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order[..count].iter().copied().collect()
}

/// The data without some items in what is trained on and what training is stopped by.
fn without(dataset: &Dataset, cold: &ItemSet, seed: u64) -> seqrec::Result<Split> {
    let split = Split::new(dataset, Protocol::Ratio { seed })?;
    let mut split = split.without_items(|item| cold.contains(item))?;
    split.valid = with_some(&split.valid, cold, false);
    Ok(split)
}

/// The cases of which some label is one of these items, or none is.
fn with_some(cases: &Spans, items: &ItemSet, some: bool) -> Spans {
    cases.filtered(|case| case.labels.iter().any(|&label| items.contains(label)) == some)
}

/// A model trained and measured, whichever it is.
struct Job<'a> {
    options: &'a Options,
    cold: &'a ItemSet,
    split: Split,
    metric: Metric,
    seed: u64,
}

impl ModelVisitor<Autodiff<Flex>> for Job<'_> {
    type Output = Result<Found, Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let split = &self.split;
        let settings = overridden(&defaults, &self.options.settings)?;
        let model =
            settings.init_for::<Autodiff<Flex>>(split.catalog(), self.seed, &Default::default())?;
        let targets = match settings.describe().one_target {
            true => Targets::EveryPrefix,
            false => Targets::All,
        };
        let training = TrainerConfig::new()
            .with_batch_size(256)
            .with_learning_rate(0.001)
            .with_patience(5)
            .with_minimum_steps(0)
            .with_targets(targets)
            .with_metric(self.metric)
            .with_seen(Seen::Keep)
            .with_epochs(self.options.epochs)
            .with_seed(self.seed);
        let trained = Trainer::new(training)
            .observer(ProgressBars::default())
            .fit(model, split)?;
        let index = FlatIndex::new(&item_vectors(&trained.model))?;
        self.measure(&VectorChannel::from_model(trained.model, index))
    }
}

impl Job<'_> {
    fn measure(&self, channel: &dyn RecallChannel) -> Result<Found, Box<dyn Error>> {
        let (cold, k, catalog) = (self.cold, self.options.k, self.split.catalog());
        let of_cold = with_some(&self.split.test, cold, true);
        let mut scorer = Scorer::new(catalog, &[k])?;
        let mut among_cold = scorer.clone();
        for case in of_cold.iter() {
            let labels = case.labels.iter().copied();
            let labels: Vec<ItemIndex> = labels.filter(|&item| cold.contains(item)).collect();
            let history = [case.user];
            scorer.add(channel.recall(&history, k, None)?.items(0), &labels);
            let hits = channel.recall(&history, k, Some(Filter::Allowed(cold)))?;
            among_cold.add(hits.items(0), &labels);
        }
        let times = |scorer: &Scorer, size: usize| {
            scorer.report().get(self.metric).unwrap_or_default() * size as f64 / k as f64
        };
        let evaluation = Evaluation::new(&[k], Seen::Keep);
        Ok(Found {
            times_chance: [
                times(&scorer, catalog.len()),
                times(&among_cold, cold.len()),
            ],
            others: evaluation.run(channel, &with_some(&self.split.test, cold, false), catalog)?,
        })
    }
}
