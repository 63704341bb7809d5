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
use seqrec::data::{Dataset, ItemIndex, Protocol, Role, Seen, Spans, Split, Targets, User};
use seqrec::eval::{Metric, Scorer};
use seqrec::index::{Filter, FlatIndex, ItemSet};
use seqrec::model::{ModelVisitor, TrainableConfig, visit_model};
use seqrec::prelude::{Autodiff, Flex};
use seqrec::recall::{Fusion, RecallChannel, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::settings::{merge, overridden};
use seqrec::store::{StageData, StagePlan};
use seqrec::train::{ProgressBars, Trainer, TrainerConfig};
use serde_json::{Map, Value, json};

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
    /// Further settings of the trainer, as JSON such as {"batch_size":16,"learning_rate":0.003}.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json_value)]
    trainer: Value,
    /// How many of the --k places are kept for the best of the items that were left out, whatever
    /// they score; several are measured in turn.
    #[arg(
        long,
        value_name = "PLACES",
        value_delimiter = ',',
        default_value = "0"
    )]
    reserve: Vec<usize>,
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
    fn mean<'a>(figures: impl ExactSizeIterator<Item = &'a Self> + Clone) -> Self {
        let count = figures.len() as f64;
        let mean = |of: &dyn Fn(&Self) -> f64| figures.clone().map(of).sum::<f64>() / count;
        Self {
            times_chance: [0, 1].map(|which| mean(&|figures| figures.times_chance[which])),
            others: mean(&|figures| figures.others),
        }
    }

    fn json(&self) -> Value {
        json!({
            "times_chance_among_all": self.times_chance[0],
            "times_chance_among_those_left_out": self.times_chance[1],
            "others": self.others,
        })
    }
}

/// The users of a seed's split, in the order of a result's figures. What recalls was trained on the
/// last, of whom it therefore knows all but the items that were left out.
const USERS: [&str; 3] = ["valid", "test", "trained_on"];

/// The figures of a seed, of each of [`USERS`].
struct Found {
    seed: u64,
    figures: Vec<Figures>,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    // What can't be is told before any time is spent.
    let metric = Metric::recall(options.k)?;
    if !(options.share > 0.0 && options.share < 1.0) {
        let share = options.share;
        return Err(format!("--share is {share}, but must be between 0 and 1").into());
    }
    if let Some(reserve) = options.reserve.iter().find(|&&places| places >= options.k) {
        let k = options.k;
        return Err(
            format!("--reserve {reserve} keeps all of the {k} places of --k; keep fewer").into(),
        );
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
        let mut found: Vec<Vec<Found>> = options.reserve.iter().map(|_| Vec::new()).collect();
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
            for (found, of_seed) in found.iter_mut().zip(of_seed) {
                found.push(of_seed);
            }
        }
        for (found, &reserve) in found.iter().zip(&options.reserve) {
            summarize(name, found, (metric, reserve), results);
        }
    }
    Ok(())
}

fn summarize(name: &str, found: &[Found], (metric, reserve): (Metric, usize), results: Results) {
    let mean = |users: usize| Figures::mean(found.iter().map(|found| &found.figures[users]));
    let [_, test, trained_on] = [0, 1, 2].map(mean);
    let ([among_all, among_cold], others) = (test.times_chance, test.others);
    let kept = match reserve {
        0 => String::new(),
        places => format!(", {places} places being kept for them,"),
    };
    results.text(format_args!(
        "{name}: items left out{kept} are recalled {among_all:.1} times as often as by chance among all items \
         ({:.1} for users that it was trained on), {among_cold:.1} among those left out; {metric} of all others \
         {others:.4}",
        trained_on.times_chance[0]
    ));
    let named = |of: &dyn Fn(usize) -> Figures| -> Map<String, Value> {
        let named = |(place, users): (usize, &&str)| ((*users).to_owned(), of(place).json());
        USERS.iter().enumerate().map(named).collect()
    };
    let seeds = found.iter().map(|found| {
        let mut seed = named(&|users| Figures::mean(std::iter::once(&found.figures[users])));
        seed.insert("seed".to_owned(), found.seed.into());
        Value::Object(seed)
    });
    let mut line = json!({"model": name, "metric": metric, "reserve": reserve, "seeds": seeds.collect::<Vec<_>>()});
    merge(&mut line, &Value::Object(named(&mean)));
    results.value(&line);
}

/// Data of which some items are left out of training.
struct Held {
    seed: u64,
    /// Those items.
    cold: ItemSet,
    /// The validation cases with them among the labels.
    valid: Spans,
    /// Training users' sequences with them.
    train: Spans,
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
            train: split.train.sequences().clone(),
            split: split.without_items(|item| cold.contains(item))?,
            cold,
        })
    }
}

/// A user, and what they took then.
type Asked<'a> = (User<'a>, Vec<ItemIndex>);

fn cases(spans: &Spans) -> Vec<Asked<'_>> {
    spans
        .iter()
        .map(|case| (case.user, case.labels.to_vec()))
        .collect()
}

/// A model or channel that is made and measured, whichever it is.
struct Job<'a> {
    options: &'a Options,
    held: &'a Held,
    metric: Metric,
}

impl ModelVisitor<Autodiff<Flex>> for Job<'_> {
    type Output = Result<Vec<Found>, Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let (split, seed) = (&self.held.split, self.held.seed);
        let settings = self.options.settings.clone();
        let settings = (self.options.data.features).user_settings(settings, split.catalog());
        let settings = overridden(&defaults, &settings)?;
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
        let training = overridden(&training, &self.options.trainer)
            .map_err(|error| format!("--trainer: {error}"))?;
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
    fn by_content(&self, name: &str) -> seqrec::Result<Vec<Found>> {
        let by = match name {
            "labels" => Content::Labels,
            name => Content::Vectors(name.to_owned()),
        };
        let config = ContentNeighborsConfig::new().with_by(by);
        let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("content", config);
        let stage = plan.build(&StageData::from(self.held.split.train.clone()))?;
        self.found(&stage)
    }

    /// For each number of places that are kept.
    fn found(&self, channel: &dyn RecallChannel) -> seqrec::Result<Vec<Found>> {
        let held = self.held;
        // Like a held-out user, by their first four fifths.
        let trained_on = (0..held.train.len()).map(|span| {
            let user = held.train.history(span);
            let cut = (user.items().len() * 4 / 5).max(1);
            let places = cut..user.items().len();
            let wanted = places.filter(|&place| user.role(place) == Role::Target);
            let labels: Vec<ItemIndex> = wanted.map(|place| user.items()[place]).collect();
            (user.first(cut), labels)
        });
        let users = [
            cases(&held.valid),
            cases(&held.split.test),
            trained_on.collect(),
        ];
        let of_reserve = |&reserve: &usize| {
            let figures = (users.iter()).map(|users| self.measure(channel, users, reserve));
            Ok(Found {
                seed: held.seed,
                figures: figures.collect::<seqrec::Result<_>>()?,
            })
        };
        self.options.reserve.iter().map(of_reserve).collect()
    }

    fn measure(
        &self,
        channel: &dyn RecallChannel,
        users: &[Asked<'_>],
        reserve: usize,
    ) -> seqrec::Result<Figures> {
        let (k, Held { cold, split, .. }) = (self.options.k, self.held);
        let catalog = split.catalog();
        let scorer = Scorer::new(catalog, &[k])?;
        let [mut among_all, mut among_cold, mut others] = [(); 3].map(|()| scorer.clone());
        for (user, labels) in users {
            let user = *user;
            let (left_out, rest): (Vec<ItemIndex>, Vec<ItemIndex>) =
                labels.iter().partition(|&&label| cold.contains(label));
            let best = channel.recall(&[user], k, None)?;
            let best_cold = channel.recall(&[user], k, Some(Filter::Allowed(cold)))?;
            let found = with_places_kept(best.items(0), best_cold.items(0), (k, reserve));
            if !rest.is_empty() {
                others.add(&found, &rest);
            }
            if !left_out.is_empty() {
                among_all.add(&found, &left_out);
                among_cold.add(best_cold.items(0), &left_out);
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

/// The `k` best of all, the last places of which are kept for the best of some.
fn with_places_kept(
    of_all: &[ItemIndex],
    of_some: &[ItemIndex],
    (k, kept): (usize, usize),
) -> Vec<ItemIndex> {
    let mut list = of_all[..of_all.len().min(k - kept)].to_vec();
    for item in of_some.iter().chain(of_all) {
        if list.len() < k && !list.contains(item) {
            list.push(*item);
        }
    }
    list
}
