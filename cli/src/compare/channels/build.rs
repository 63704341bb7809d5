//! The channels, each with its settings.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use seqrec::channels::{
    AlsConfig, Content, ContentNeighborsConfig, ItemNeighborsConfig, MarkovChainConfig,
    NearestItemsConfig, NearestUsersConfig, PopularityConfig, PreferredTagsConfig,
    SessionKnnConfig, SimilarUsersConfig,
};
use seqrec::data::{Features, ItemIndex, Items, Spans, Split, Targets, TrainingData};
use seqrec::eval::Metric;
use seqrec::model::{
    MODEL_NAMES, ModelVisitor, MultiInterestConfig, Objective, RecallerConfig, SequenceRecaller,
    TrainableConfig, visit_model,
};
use seqrec::prelude::{Autodiff, Flex};
use seqrec::recall::{ChannelWeight, Fusion, HistoryItems, RecallChannel, VectorChannelConfig};
use seqrec::settings::overridden;
use seqrec::store::{PlannedChannel, Recaller, Run, StageData, StagePlan};
use seqrec::train::{ProgressBars, Trainer, TrainerConfig};
use serde_json::json;

use super::{Cuts, Options};
use crate::data::Data;
use crate::item_table::tag_column;

/// The channel of the model.
pub const OF_MODEL: &str = "u2i";

/// The channel of a second model.
const INTERESTS: &str = "interests";

/// A channel that was built.
pub struct Channel {
    pub name: String,
    pub channel: Arc<dyn RecallChannel>,
    pub build_seconds: f64,
    /// What a run folder says of it.
    planned: PlannedChannel,
    /// The second model, where that is what it looks at.
    model: Option<Recaller>,
}

/// What channels are made of, and what it took.
pub struct Trained<'a, C: RecallerConfig> {
    from: &'a Data,
    data: StageData,
    config: C,
    model: C::Recaller<Flex>,
    train_seconds: f64,
}

fn trainer(options: &Options, cuts: &Cuts, targets: Targets) -> seqrec::Result<Trainer<'static>> {
    let config = TrainerConfig::new()
        .with_batch_size(256)
        .with_minimum_steps(0)
        .with_targets(targets)
        .with_metric(Metric::recall(cuts.smallest())?)
        .with_epochs(options.epochs)
        .with_learning_rate(0.002)
        .with_patience(6)
        .with_seen(options.seen.into())
        .with_seed(options.seed);
    Ok(Trainer::new(config).observer(ProgressBars::default()))
}

/// Trains the sequence model.
pub fn train<'a, C: TrainableConfig<Autodiff<Flex>>>(
    defaults: &C,
    from: &'a Data,
    split: &Split,
    cuts: &Cuts,
    options: &Options,
) -> Result<Trained<'a, C>, Box<dyn Error>> {
    let data = tagged(split.train.clone(), from.items.as_ref())?;
    // Before any time is spent.
    let further = (options.interests > 0).then_some(INTERESTS).into_iter();
    let further = further.chain(further_names(options)).map(str::to_owned);
    let names = planned(&data)?.into_iter().map(|planned| planned.name);
    let names: Vec<String> = names.chain(further).collect();
    if let Some(name) = options.channels.iter().find(|name| !names.contains(name)) {
        let names = names.join(", ");
        return Err(format!("no channel on these data is called {name:?}, but {names}").into());
    }
    let start = Instant::now();
    let (config, model) = fit(defaults, split, cuts, options)?;
    let train_seconds = start.elapsed().as_secs_f64();
    let run = Run::<Flex, _>::new(config.clone(), model.clone(), split.catalog().clone());
    let data = StageData::from(data).with_model(run.into())?;
    Ok(Trained {
        from,
        data,
        config,
        model,
        train_seconds,
    })
}

/// Trains a model, with its settings as they are by default but for what was asked for.
fn fit<C: TrainableConfig<Autodiff<Flex>>>(
    defaults: &C,
    split: &Split,
    cuts: &Cuts,
    options: &Options,
) -> Result<(C, C::Recaller<Flex>), Box<dyn Error>> {
    let objective = Objective::cosine(0.05);
    let config: C = overridden(
        defaults,
        &json!({"dim": options.dim, "objective": objective}),
    )?;
    let device = Default::default();
    let model = config.init_for::<Autodiff<Flex>>(split.catalog(), options.seed, &device)?;
    let targets = if model.config().describe().one_target {
        Targets::EveryPrefix
    } else {
        Targets::All
    };
    let trainer = trainer(options, cuts, targets)?;
    let model = trainer.fit(model, split)?.model;
    Ok((config, model))
}

/// The models beside the first, each a channel of its name.
fn further_names(options: &Options) -> impl Iterator<Item = &'static str> {
    let asked = options.model.iter().skip(1);
    asked.filter_map(|asked| MODEL_NAMES.iter().copied().find(|name| name == asked))
}

/// Trains a model beside the first.
struct Further<'a> {
    split: &'a Split,
    cuts: &'a Cuts,
    options: &'a Options,
}

impl ModelVisitor<Autodiff<Flex>> for Further<'_> {
    type Output = Result<Recaller, Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let (config, model) = fit(&defaults, self.split, self.cuts, self.options)?;
        let run = Run::new(config, model, self.split.catalog().clone());
        Ok(Recaller::from(run))
    }
}

/// Training data with the tags of the items, where there are any, and each user's most frequent
/// tag as their segment.
pub fn tagged(data: TrainingData, items: Option<&Items>) -> Result<TrainingData, Box<dyn Error>> {
    let Some((items, column)) = items.and_then(|items| Some((items, tag_column(items)?))) else {
        return Ok(data);
    };
    let tags = items.tag_features(data.catalog(), column)?;
    if tags.names().is_empty() {
        return Ok(data);
    }
    let sequences = data.sequences().item_lists();
    let segments = sequences.map(|items| favorite(items, &tags)).collect();
    Ok(data.with_segments(segments)?.with_tags(tags)?)
}

fn favorite(items: &[ItemIndex], tags: &Features) -> Vec<String> {
    let mut counts = vec![0.0; tags.names().len()];
    for &item in items {
        for (count, value) in counts.iter_mut().zip(tags.values().row(item.to_usize())) {
            *count += value;
        }
    }
    let most = (0..counts.len())
        .rev()
        .max_by(|&a, &b| f32::total_cmp(&counts[a], &counts[b]));
    most.map(|tag| format!("likes {}", tags.names()[tag]))
        .into_iter()
        .collect()
}

/// Every channel, as a run folder has it.
pub fn planned(data: &TrainingData) -> seqrec::Result<Vec<PlannedChannel>> {
    let recent = HistoryItems::last(20)?.with_decay(0.8)?;
    let all = HistoryItems::last(200)?;
    // Whatever lay between them, and whichever came first.
    let in_any_order = ItemNeighborsConfig::new()
        .with_start(all)
        .with_position_decay(1.0)
        .with_backward(1.0);
    let nearest_items = NearestItemsConfig::new()
        .with_start(HistoryItems::last(10)?.with_decay(0.8)?)
        .with_neighbors(100);
    let nearest_users = NearestUsersConfig::new()
        .with_neighbors(200)
        .with_held_back(3);
    let mut planned = vec![
        PlannedChannel::new("popular", PopularityConfig::new()),
        PlannedChannel::new("markov", MarkovChainConfig::new()),
        PlannedChannel::new("item_cf", ItemNeighborsConfig::new().with_start(recent)),
        PlannedChannel::new("u2i2i", in_any_order),
        PlannedChannel::new("user_cf", SimilarUsersConfig::new().with_start(recent)),
        PlannedChannel::new("session_knn", SessionKnnConfig::new()),
        PlannedChannel::new("als", AlsConfig::new()),
        PlannedChannel::new(OF_MODEL, VectorChannelConfig::new()),
        PlannedChannel::new("i2i", nearest_items),
        PlannedChannel::new("u2u2i", nearest_users),
    ];
    if let Some((first, last)) = span(data.sequences()) {
        let trending = PopularityConfig::new().with_half_life(Some((last - first) / 50.0));
        planned.insert(1, PlannedChannel::new("trending", trending));
    }
    if data.tags().is_ok() {
        let of_segment = PopularityConfig::new().with_by_segment(true);
        let preferred_tags = PreferredTagsConfig::new()
            .with_start(all)
            .with_tags(5)
            .with_items(400);
        planned.push(PlannedChannel::new("segment", of_segment));
        planned.push(PlannedChannel::new("u2tag2i", preferred_tags));
    }
    planned.extend(of_content(data, recent));
    Ok(planned)
}

/// The channels of items that are like a user's, `content` by labels and `content_NAME` by vectors,
/// where items have such features.
fn of_content(data: &TrainingData, start: HistoryItems) -> Vec<PlannedChannel> {
    let Some(features) = data.catalog().item_features() else {
        return Vec::new();
    };
    let like = ContentNeighborsConfig::new().with_start(start);
    let by_labels = (!features.labels().is_empty())
        .then(|| PlannedChannel::new("content", like.clone().with_by(Content::Labels)));
    let by_vectors = features.vector_names().map(|name| {
        let like = like.clone().with_by(Content::Vectors(name.to_owned()));
        PlannedChannel::new(format!("content_{name}"), like)
    });
    by_labels.into_iter().chain(by_vectors).collect()
}

/// The first and the last time, where these say more than an order: a sequence file has none, and
/// numbers its rows from 0, and a file may have the same one in every row.
fn span(sequences: &Spans) -> Option<(f64, f64)> {
    let times = || (0..sequences.len()).flat_map(|user| sequences.history(user).times());
    let first = times().copied().reduce(f64::min)?;
    let last = times().copied().reduce(f64::max)?;
    (first > 0.0 && last > first).then_some((first, last))
}

/// Builds every channel.
pub fn channels<C: RecallerConfig>(
    trained: &Trained<'_, C>,
    split: &Split,
    cuts: &Cuts,
    options: &Options,
) -> Result<Vec<Channel>, Box<dyn Error>> {
    let wanted = |name: &str| {
        options.channels.is_empty() || options.channels.iter().any(|other| other == name)
    };
    let mut channels = Vec::new();
    let all = planned(trained.data.training())?;
    for planned in all.into_iter().filter(|planned| wanted(&planned.name)) {
        let start = Instant::now();
        let channel = planned.config.build(&mut trained.data.source(None)?)?;
        let mut build_seconds = start.elapsed().as_secs_f64();
        if planned.name == OF_MODEL {
            build_seconds += trained.train_seconds;
        }
        channels.push(Channel {
            name: planned.name.clone(),
            channel,
            build_seconds,
            planned,
            model: None,
        });
    }
    if options.interests > 0 && wanted(INTERESTS) {
        let start = Instant::now();
        let config = MultiInterestConfig::comirec_sa()
            .with_interests(options.interests)
            .with_dim(options.dim.min(64));
        let device = Default::default();
        let model = config.init_for::<Autodiff<Flex>>(split.catalog(), options.seed, &device)?;
        // What makes a user's interests looks at one target a history.
        let targets = Targets::EveryPrefix;
        let trainer = trainer(options, cuts, targets)?;
        let model = trainer.fit(model, split)?.model;
        let run = Run::new(config, model, split.catalog().clone());
        let model = Recaller::from(run);
        channels.push(of_model(INTERESTS, model, trained, start)?);
    }
    for name in further_names(options).filter(|name| wanted(name)) {
        let start = Instant::now();
        let further = Further {
            split,
            cuts,
            options,
        };
        let model = visit_model::<Autodiff<Flex>, _>(name, further)??;
        channels.push(of_model(name, model, trained, start)?);
    }
    Ok(channels)
}

/// The channel of a model beside the first, which was begun at `start`.
fn of_model<C: RecallerConfig>(
    name: &'static str,
    model: Recaller,
    trained: &Trained<'_, C>,
    start: Instant,
) -> Result<Channel, Box<dyn Error>> {
    let data = trained.data.clone().with_model(model.clone())?;
    let planned = PlannedChannel::new(name, VectorChannelConfig::new()).with_model(name);
    Ok(Channel {
        name: name.to_owned(),
        channel: planned.config.build(&mut data.source(None)?)?,
        build_seconds: start.elapsed().as_secs_f64(),
        planned,
        model: Some(model),
    })
}

impl<C: RecallerConfig> Trained<'_, C> {
    /// The segments of users, by their numbers in the data set.
    pub fn segments(&self) -> HashMap<usize, &[String]> {
        let data = self.data.training();
        (0..data.sequences().len())
            .map(|place| (data.sequences().user(place), data.segments(place)))
            .collect()
    }

    /// Writes the stage of those channels that count for something as a run folder, made of all
    /// interactions, with the model as it was trained.
    pub fn save(
        &self,
        path: &Path,
        channels: &[Channel],
        fusion: Fusion,
        weights: &[f64],
        options: &Options,
    ) -> Result<(), Box<dyn Error>> {
        let mut plan = StagePlan::new(fusion).fallback(PopularityConfig::new());
        plan.candidates = options.candidates;
        for (channel, &weight) in channels.iter().zip(weights) {
            if weight > 0.0 {
                let mut planned = channel.planned.clone();
                planned.share = ChannelWeight::new().with_weight(weight);
                plan.channels.push(planned);
            }
        }
        let catalog = self.from.dataset.catalog().clone();
        let data = tagged(self.from.dataset.training_data(), self.from.items.as_ref())?;
        let mut data = StageData::from(data);
        for (channel, _) in channels
            .iter()
            .zip(weights)
            .filter(|(_, weight)| **weight > 0.0)
        {
            if let Some(model) = channel.model.clone() {
                data = data.with_further_model(&channel.name, model)?;
            }
        }
        let run = Run::<Flex, _>::new(self.config.clone(), self.model.clone(), catalog);
        plan.save(path, &run.into(), data)?;
        Ok(())
    }
}
