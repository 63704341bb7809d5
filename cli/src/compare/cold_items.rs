//! Items that nobody has taken yet, recalled by their features.
//!
//! `seqrec compare cold-items ratings.csv --items movies.csv --model two_tower,sasrec` leaves a
//! share of the items out of training entirely, trains models that look at features of items, and
//! says how often those items are recalled for the users who took them next, and what becomes of
//! all others. Figures of the validation users, by which settings can be chosen, stand beside.

use std::error::Error;

use clap::Args;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use seqrec::channels::{Content, ContentNeighborsConfig};
use seqrec::data::{Dataset, ItemIndex, Protocol, Seen, Spans, Split, Targets};
use seqrec::eval::{Metric, Scorer};
use seqrec::index::{Filter, FlatIndex, ItemSet};
use seqrec::model::{ModelVisitor, TrainableConfig, visit_model};
use seqrec::prelude::{Autodiff, Flex};
use seqrec::recall::{Fusion, RecallChannel, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::settings::overridden;
use seqrec::store::{StageData, StagePlan};
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
    /// Channels of items of like content beside the models: labels, or the name of given vectors
    /// [default: none].
    #[arg(long, value_name = "labels|NAME", value_delimiter = ',')]
    content: Vec<String>,
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

/// The figures of some users.
struct Figures {
    /// Of those left out, among all items and among themselves, in times of chance.
    times_chance: [f64; 2],
    /// Recall of all other items.
    others: f64,
}

impl Figures {
    fn json(&self) -> Value {
        json!({
            "times_chance_among_all": self.times_chance[0],
            "times_chance_among_those_left_out": self.times_chance[1],
            "others": self.others,
        })
    }
}

/// A model's figures with one seed.
struct Found {
    seed: u64,
    valid: Figures,
    test: Figures,
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
    let held = (options.seeds.iter()).map(|&seed| Held::new(&dataset, count, seed));
    let held: Vec<Held> = held.collect::<seqrec::Result<_>>()?;
    let models = options.model.iter().map(|name| (name, false));
    let contents = options.content.iter().map(|name| (name, true));
    for (name, of_content) in models.chain(contents) {
        let mut found = Vec::new();
        for held in &held {
            let job = Job {
                options,
                held,
                metric,
            };
            let of_seed = match of_content {
                true => job.by_content(name)?,
                false => visit_model::<Autodiff<Flex>, _>(name, job)??,
            };
            let [among_all, among_cold] = of_seed.test.times_chance;
            eprintln!(
                "{name}, seed {}: {count} items left out, {metric} {among_all:.1} times chance among all \
                 items, {among_cold:.1} among those left out",
                held.seed
            );
            found.push(of_seed);
        }
        summarize(name, &found, metric, results);
    }
    Ok(())
}

fn summarize(name: &str, found: &[Found], metric: Metric, results: Results) {
    let mean = |of: &dyn Fn(&Found) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
    let means = |of: &dyn Fn(&Found) -> &Figures| Figures {
        times_chance: [0, 1].map(|which| mean(&|found| of(found).times_chance[which])),
        others: mean(&|found| of(found).others),
    };
    let test = means(&|found| &found.test);
    let ([among_all, among_cold], others) = (test.times_chance, test.others);
    results.text(format_args!(
        "{name}: items left out are recalled {among_all:.1} times as often as by chance among all items, \
         {among_cold:.1} among those left out; {metric} of all others {others:.4}"
    ));
    let of_seed = |found: &Found| json!({"seed": found.seed, "valid": found.valid.json(), "test": found.test.json()});
    results.value(&json!({
        "model": name,
        "metric": metric,
        "valid": means(&|found| &found.valid).json(),
        "test": test.json(),
        "seeds": found.iter().map(of_seed).collect::<Vec<_>>(),
    }));
}

/// Data of which some items are left out of training.
struct Held {
    seed: u64,
    /// Those items.
    cold: ItemSet,
    /// The validation cases with them among the labels.
    valid: Spans,
    split: Split,
}

impl Held {
    fn new(dataset: &Dataset, count: usize, seed: u64) -> seqrec::Result<Self> {
        let mut order: Vec<ItemIndex> = dataset.catalog().items().collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let cold: ItemSet = order[..count].iter().copied().collect();
        let split = Split::new(dataset, Protocol::Ratio { seed })?;
        Ok(Self {
            seed,
            valid: split.valid.clone(),
            split: split.without_items(|item| cold.contains(item))?,
            cold,
        })
    }
}

/// A model or channel that is made and measured, whichever it is.
struct Job<'a> {
    options: &'a Options,
    held: &'a Held,
    metric: Metric,
}

impl ModelVisitor<Autodiff<Flex>> for Job<'_> {
    type Output = Result<Found, Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let (split, seed) = (&self.held.split, self.held.seed);
        let settings = overridden(&defaults, &self.options.settings)?;
        let model =
            settings.init_for::<Autodiff<Flex>>(split.catalog(), seed, &Default::default())?;
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
            .with_seed(seed);
        let trained = Trainer::new(training)
            .observer(ProgressBars::default())
            .fit(model, split)?;
        let index = FlatIndex::new(&item_vectors(&trained.model))?;
        let channel = VectorChannel::from_model(trained.model, index);
        Ok(self.found(&channel)?)
    }
}

impl Job<'_> {
    /// Items that are like those of a history by their labels, or by given vectors.
    fn by_content(&self, name: &str) -> seqrec::Result<Found> {
        let by = match name {
            "labels" => Content::Labels,
            name => Content::Vectors(name.to_owned()),
        };
        let config = ContentNeighborsConfig::new().with_by(by);
        let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("content", config);
        let stage = plan.build(&StageData::from(self.held.split.train.clone()))?;
        self.found(&stage)
    }

    fn found(&self, channel: &dyn RecallChannel) -> seqrec::Result<Found> {
        Ok(Found {
            seed: self.held.seed,
            valid: self.measure(channel, &self.held.valid)?,
            test: self.measure(channel, &self.held.split.test)?,
        })
    }

    fn measure(&self, channel: &dyn RecallChannel, cases: &Spans) -> seqrec::Result<Figures> {
        let (k, Held { cold, split, .. }) = (self.options.k, self.held);
        let catalog = split.catalog();
        let scorer = Scorer::new(catalog, &[k])?;
        let [mut among_all, mut among_cold, mut others] = [(); 3].map(|()| scorer.clone());
        for case in cases.iter() {
            let (left_out, rest): (Vec<ItemIndex>, Vec<ItemIndex>) =
                (case.labels.iter()).partition(|&&label| cold.contains(label));
            let history = [case.user];
            let found = channel.recall(&history, k, None)?;
            if !rest.is_empty() {
                others.add(found.items(0), &rest);
            }
            if !left_out.is_empty() {
                among_all.add(found.items(0), &left_out);
                let found = channel.recall(&history, k, Some(Filter::Allowed(cold)))?;
                among_cold.add(found.items(0), &left_out);
            }
        }
        let recall = |scorer: &Scorer| scorer.report().get(self.metric).unwrap_or_default();
        let times = |scorer, size: usize| recall(scorer) * size as f64 / k as f64;
        Ok(Figures {
            times_chance: [
                times(&among_all, catalog.len()),
                times(&among_cold, cold.len()),
            ],
            others: recall(&others),
        })
    }
}
