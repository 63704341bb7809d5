//! One trial: settings that were drawn, and their result.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use burn::config::{Config, config_to_json};
use serde::Serialize;
use serde_json::Value;

use super::space::{Drawn, Space};
use super::trials_file::{Job, Measured, TrialOutcome};
use crate::backend::TrainingBackend;
use crate::data::Split;
use crate::eval::Spread;
use crate::model::TrainableConfig;
use crate::train::{
    EpochReport, StepReport, Trainer, TrainerConfig, TrainingObserver, TrainingPlan,
};
use crate::{Error, Result};

/// A trial of a [`Search`](super::Search): a model with settings that were drawn, and their result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trial {
    /// The name of the model, as the search was given it.
    pub model: String,
    /// The values that were drawn, by the paths of their settings.
    drawn: Drawn,
    /// All settings.
    settings: Value,
    /// The number of epochs that it could make in the last of its rounds.
    pub epochs: usize,
    /// The best value of the metric within these epochs, for each seed.
    pub values: Vec<f64>,
    /// The duration of its training with all seeds, in seconds.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The place of the model in the search.
    #[serde(skip)]
    pub(super) place: usize,
    /// True if these are the settings that the search was given.
    #[serde(skip)]
    pub(super) is_default: bool,
}

impl Trial {
    pub(super) fn new(
        model: &str,
        place: usize,
        is_default: bool,
        space: &Space,
        drawn: Drawn,
        seed: u64,
    ) -> Self {
        let mut settings = space.settings(&drawn);
        settings["trainer"]["seed"] = Value::from(seed);
        Self {
            model: model.to_owned(),
            drawn,
            settings,
            epochs: 0,
            values: Vec::new(),
            seconds: 0.0,
            error: None,
            place,
            is_default,
        }
    }

    /// True if another trial has the same settings.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.place == other.place && self.settings == other.settings
    }

    pub(super) fn drawn(&self, path: &str) -> Option<&Value> {
        self.drawn.get(path)
    }

    /// Its training with a seed, up to some epochs.
    pub(super) fn job(&self, split: &Split, seed: u64, epochs: usize) -> Job {
        Job {
            split: split.fingerprint(),
            model: self.model.clone(),
            settings: self.settings.clone(),
            seed,
            epochs,
        }
    }

    /// The number of epochs that its settings allow.
    pub(super) fn most_epochs(&self) -> usize {
        let epochs = self.settings["trainer"]["epochs"].as_u64();
        epochs
            .and_then(|epochs| usize::try_from(epochs).ok())
            .unwrap_or(usize::MAX)
    }

    /// The mean of its values; `None` where it failed or has none.
    pub(super) fn mean(&self) -> Option<f64> {
        self.value().map(|value| value.mean)
    }

    /// Adds an outcome: of another round with the first seed, or of another seed.
    pub(super) fn add(&mut self, outcome: TrialOutcome, epochs: usize, is_first_seed: bool) {
        if is_first_seed {
            self.values.clear();
            self.seconds = 0.0;
        }
        self.epochs = epochs;
        match outcome {
            TrialOutcome::Trained(measured) => {
                self.values.push(measured.value);
                self.seconds += measured.seconds;
            }
            TrialOutcome::Failed { reason } => self.error = Some(reason),
        }
    }

    /// The drawn settings in a line.
    pub(super) fn drawn_text(&self) -> String {
        if self.is_default {
            return "the settings that the search began with".to_owned();
        }
        let drawn = self.drawn.iter();
        let drawn = drawn.map(|(path, value)| format!("{path} {}", Shown(value)));
        drawn.collect::<Vec<_>>().join(", ")
    }

    /// The mean and the deviation over seeds of the best value of the metric; `None` where the
    /// trial failed.
    pub fn value(&self) -> Option<Spread> {
        let values = self.values.iter().copied();
        Spread::from_values(values).filter(|_| self.error.is_none())
    }

    /// The settings of the model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when they are of another model.
    pub fn model_config<C: Config>(&self) -> Result<C> {
        config("model", &self.settings["model"])
    }

    /// The settings of its training, with the first of the search's seeds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when a drawn value is none of
    /// its setting.
    pub fn trainer_config(&self) -> Result<TrainerConfig> {
        config("trainer", &self.settings["trainer"])
    }
}

/// The model, its value and what was drawn, in a line.
impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.value()) {
            (Some(error), _) => write!(f, "failed ({error})")?,
            (None, Some(value)) => write!(f, "{value} after {}", epochs(self.epochs))?,
            (None, None) => f.write_str("not trained")?,
        }
        write!(f, ": {}, {}", self.model, self.drawn_text())
    }
}

/// A number of epochs in words.
pub(super) fn epochs(number: usize) -> String {
    match number {
        1 => "1 epoch".to_owned(),
        number => format!("{number} epochs"),
    }
}

/// A value of a setting as a person writes it.
pub(super) struct Shown<'a>(pub(super) &'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => f.write_str(text),
            value => write!(f, "{value}"),
        }
    }
}

/// Settings out of JSON that has all of them.
fn config<C: Config>(what: &'static str, value: &Value) -> Result<C> {
    let text = value.to_string();
    let invalid = |reason: String| {
        let mut shown: String = text.chars().take(60).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Error::invalid(what, shown, reason)
    };
    let config: C = serde_json::from_str(&text)
        .map_err(|error| invalid(format!("these are no settings of it: {error}")))?;
    // A key within a value that was written whole would be passed over without a word.
    let read = serde_json::from_str(&config_to_json(&config))
        .map_err(|error| invalid(error.to_string()))?;
    match unknown(value, &read) {
        Some(key) => Err(invalid(format!("{key:?} is none of its settings"))),
        None => Ok(config),
    }
}

/// The first key of some settings that the settings they were read as don't have.
fn unknown<'v>(given: &'v Value, read: &Value) -> Option<&'v str> {
    let (Value::Object(given), Value::Object(read)) = (given, read) else {
        return None;
    };
    given.iter().find_map(|(key, given)| match read.get(key) {
        Some(read) => unknown(given, read),
        None => Some(key.as_str()),
    })
}

/// Trains a model up to a job's epochs, from its checkpoint where there is one.
pub(super) fn train<B: TrainingBackend, C: TrainableConfig<B>>(
    job: &Job,
    split: &Split,
    checkpoints: &Path,
    device: &B::Device,
) -> Result<Measured> {
    let settings: C = config("model", &job.settings["model"])?;
    let mut trainer: TrainerConfig = config("trainer", &job.settings["trainer"])?;
    trainer.seed = job.seed;
    let metric = trainer.metric;
    let model = settings.init_for::<B>(split.catalog(), job.seed, device)?;
    let trained = Trainer::new(trainer)
        .checkpoints(checkpoints)
        .resume(true)
        .observer(Pause::after(job.epochs))
        .fit(model, split)?;
    let best = trained.epochs.get(trained.best_epoch.wrapping_sub(1));
    let value = best
        .and_then(|epoch| epoch.validation.as_ref())
        .and_then(|report| report.get(metric));
    Ok(Measured {
        value: value.ok_or_else(|| Error::invalid("metric", metric, "was not measured"))?,
        seconds: trained.train_seconds,
    })
}

/// Pauses training after some epochs. Their number in the trainer's settings stays what it is,
/// since learning rates may depend on it.
struct Pause {
    epochs: usize,
    /// After how many steps that is.
    steps: usize,
    /// True if an earlier run got there.
    reached: bool,
}

impl Pause {
    fn after(epochs: usize) -> Self {
        Self {
            epochs,
            steps: 0,
            reached: false,
        }
    }
}

fn flow(reached: bool) -> ControlFlow<()> {
    if reached {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

impl TrainingObserver for Pause {
    fn on_start(&mut self, plan: &TrainingPlan<'_>) -> Result<()> {
        self.steps = self.epochs.saturating_mul(plan.steps_per_epoch);
        self.reached = (plan.done.last()).is_some_and(|last| last.step >= self.steps);
        Ok(())
    }

    fn on_step(&mut self, _step: &StepReport) -> Result<ControlFlow<()>> {
        Ok(flow(self.reached))
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _improved: bool) -> Result<ControlFlow<()>> {
        Ok(flow(epoch.step >= self.steps))
    }
}
