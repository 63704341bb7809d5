//! Models by the names of the settings file.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use seqrec::backend::{Autodiff, Flex};
use seqrec::channels::{
    AlsConfig, BprConfig, EaseConfig, MarkovChainConfig, PopularityConfig, SessionKnnConfig,
};
use seqrec::data::{Seen, Split};
use seqrec::eval::Report;
use seqrec::index::FlatIndex;
use seqrec::model::{MODEL_NAMES, ModelVisitor, TrainableConfig, visit_model};
use seqrec::recall::{RecallChannel, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::settings::overridden;
use seqrec::train::{ProgressBars, Trainer, TrainerConfig};

use super::settings::Entry;

/// What a model is trained on.
pub struct Context<'a> {
    pub split: &'a Split,
    pub seed: u64,
    /// How it is judged, and so how validation stops its training.
    pub seen: Seen,
    /// The largest cut of what is reported.
    pub largest: usize,
    /// Where training goes on after an interruption.
    pub checkpoints: PathBuf,
    pub progress: bool,
}

impl Context<'_> {
    /// The settings of an entry's training.
    fn trainer(&self, entry: &Entry) -> Result<TrainerConfig, Box<dyn Error>> {
        let defaults = TrainerConfig::new().with_seen(self.seen);
        let mut trainer = overridden(&defaults, &entry.trainer)?;
        trainer.seed = self.seed;
        // A catalog may have fewer items than the usual cut.
        if trainer.metric.k() > self.split.catalog().len() {
            let metric = trainer.metric.to_string();
            let measure = metric.split('@').next().unwrap_or_default();
            trainer.metric = format!("{measure}@{}", self.largest).parse()?;
        }
        Ok(trainer)
    }
}

/// A trained model.
pub struct Fitted {
    pub channel: Box<dyn RecallChannel>,
    pub epochs: usize,
    pub train_seconds: f64,
    /// How the best epoch did on the validation split.
    pub valid: Option<Report>,
}

/// Trains the model of an entry.
pub fn fit(entry: &Entry, context: &Context<'_>) -> Result<Fitted, Box<dyn Error>> {
    let train = &context.split.train;
    let number = |key: &str, default: f64| {
        entry
            .model
            .get(key)
            .map_or(default, |value| value.as_f64().unwrap_or(f64::NAN))
    };
    match entry.kind.as_str() {
        name if MODEL_NAMES.contains(&name) => {
            visit_model::<Train, _>(name, Neural { entry, context })?
        }
        "popularity" => solved(entry, context, || Ok(PopularityConfig::new().fit(train)?)),
        "recent_popularity" => solved(entry, context, || {
            let half_life = number("half_life", 30.0 * 86_400.0);
            let config = PopularityConfig::new().with_half_life(Some(half_life));
            Ok(config.fit(train)?)
        }),
        "markov" => solved(entry, context, || Ok(MarkovChainConfig::new().fit(train)?)),
        "session_knn" => solved(entry, context, || {
            let config = overridden(&SessionKnnConfig::new(), &entry.model)?;
            Ok(config.fit(train)?)
        }),
        "ease" => solved(entry, context, || {
            Ok(EaseConfig::new()
                .with_regularization(number("regularization", 500.0))
                .fit(train)?)
        }),
        "als" => solved(entry, context, || {
            let config = overridden(&AlsConfig::new().with_seed(context.seed), &entry.model)?;
            Ok(config.fit(train)?)
        }),
        "bpr" => solved(entry, context, || {
            let config = overridden(&BprConfig::new().with_seed(context.seed), &entry.model)?;
            Ok(config.fit(train)?)
        }),
        other => Err(format!("no model is called {other:?}").into()),
    }
}

/// A model that is made at once, without epochs.
fn solved<C: RecallChannel + 'static>(
    entry: &Entry,
    context: &Context<'_>,
    make: impl FnOnce() -> Result<C, Box<dyn Error>>,
) -> Result<Fitted, Box<dyn Error>> {
    let start = Instant::now();
    let channel = make()?;
    let train_seconds = start.elapsed().as_secs_f64();
    let evaluation = context.trainer(entry)?.evaluation();
    let Split { valid, .. } = context.split;
    Ok(Fitted {
        valid: Some(evaluation.run(&channel, valid, context.split.catalog())?),
        channel: Box::new(channel),
        epochs: 0,
        train_seconds,
    })
}

type Train = Autodiff<Flex>;

/// A model that is trained by epochs.
struct Neural<'a> {
    entry: &'a Entry,
    context: &'a Context<'a>,
}

impl ModelVisitor<Train> for Neural<'_> {
    type Output = Result<Fitted, Box<dyn Error>>;

    fn visit<C: TrainableConfig<Train>>(self, defaults: C) -> Self::Output {
        let Self { entry, context } = self;
        let settings = overridden(&defaults, &entry.model)?;
        let trainer = context.trainer(entry)?;
        let device = Default::default();
        let catalog = context.split.catalog();
        let model = settings.init_for::<Train>(catalog, context.seed, &device)?;
        let mut trainer = Trainer::new(trainer)
            .checkpoints(&context.checkpoints)
            .resume(true);
        if context.progress {
            trainer = trainer.observer(ProgressBars::default());
        }
        let trained = trainer.fit(model, context.split)?;
        let index = FlatIndex::new(&item_vectors(&trained.model))?;
        // The epochs made after the best one are what it took to know that it was.
        Ok(Fitted {
            valid: trained.epochs[trained.best_epoch - 1].validation.clone(),
            epochs: trained.epochs.len(),
            train_seconds: trained.train_seconds,
            channel: Box::new(VectorChannel::from_model(trained.model, index)),
        })
    }
}
