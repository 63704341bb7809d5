//! The settings of training.

use burn::config::Config;

use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::tables::Tables;
use crate::backend::TrainingBackend;
use crate::data::{Seen, Targets};
use crate::eval::Metric;
use crate::model::{RecallerConfig, SequenceRecaller};
use crate::recall::Evaluation;
use crate::{Error, Result, checks};

/// The settings of a [`Trainer`](super::Trainer).
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainerConfig {
    /// The largest number of epochs.
    #[config(default = 100)]
    pub epochs: usize,
    /// The number of sequences of a batch. More need fewer steps an epoch, and more epochs to learn
    /// as much.
    #[config(default = 32)]
    pub batch_size: usize,
    /// The optimizer: the way from gradients to steps.
    #[config(default = "Optimizer::ADAM")]
    pub optimizer: Optimizer,
    /// The steps of tables of vectors, of which a step looks up some rows.
    #[config(default = "Tables::default()")]
    pub tables: Tables,
    /// The learning rate.
    #[config(default = 2e-3)]
    pub learning_rate: f64,
    /// Over how many steps the learning rate rises from 0 when training begins (warm-up).
    #[config(default = 0)]
    pub warm_up_steps: usize,
    /// The fall of the learning rate after that.
    #[config(default = "Schedule::default()")]
    pub schedule: Schedule,
    /// The largest norm of a step's gradients, of all parameters together: larger ones are scaled
    /// down to it (Pascanu, Mikolov & Bengio, 2013). Where it is set, logs have the norms.
    pub clip_norm: Option<f64>,
    /// The share of a parameter that each step takes away, times the learning rate: decoupled
    /// weight decay, as in AdamW (Loshchilov & Hutter, [2019](https://arxiv.org/abs/1711.05101)).
    #[config(default = 0.0)]
    pub weight_decay: f64,
    /// Whether every parameter that is trained decays. Unless set, the matrices of layers alone do,
    /// and these stay as they are: vectors (biases, normalization), [tables of
    /// items](crate::model::ItemTable), and fields whose name has `bias` or `position` in it.
    #[config(default = false)]
    pub decay_all: bool,
    /// Where it is set, what is validated and kept is not the weights of a step but their decaying
    /// mean over the steps so far, of which each step keeps so much: 0.999 is a mean over the last
    /// thousand steps or so.
    pub average: Option<f64>,
    /// How many batches a step takes its gradients of, as if their targets were of one batch: for
    /// batches that would not fit into memory. Negatives are each batch's own.
    #[config(default = 1)]
    pub accumulate: usize,
    /// Which positions of a sequence are targets.
    #[config(default = "Targets::All")]
    pub targets: Targets,
    /// How many sequences are shuffled at a time, for a
    /// [`SequenceStore`](crate::data::SequenceStore) that is larger than memory: see
    /// [`Batcher::windows`](crate::data::Batcher::windows). Unless set, all are.
    pub window: Option<usize>,
    /// After how many steps the model is validated and a checkpoint is written: after every epoch
    /// unless set, and after the last one in any case.
    pub validate_every: Option<usize>,
    /// After how many seconds training stops, those of earlier runs that it was resumed from and of
    /// validation among them. The step at hand is ended and the model is validated. Where states
    /// are carried from batch to batch, the epoch is ended too.
    pub time_limit: Option<f64>,
    /// Training stops after this many validations in a row without a better metric.
    #[config(default = 10)]
    pub patience: usize,
    /// How many steps are made before training may stop so. Small data have few steps an epoch, so
    /// that many epochs may pass before a model has learned anything at all, and few validation
    /// users, so that chance alone makes some epoch the best for long.
    #[config(default = 1_000)]
    pub minimum_steps: usize,
    /// The validation metric that decides which epoch is the best.
    #[config(default = "default_metric()")]
    pub metric: Metric,
    /// Further cuts of the validation metrics, beside the deciding metric's.
    #[config(default = "Vec::new()")]
    pub ks: Vec<usize>,
    /// Whether items of the history may be recalled in validation.
    #[config(default = "Seen::default()")]
    pub seen: Seen,
    /// The seed of batches and dropout.
    #[config(default = 42)]
    pub seed: u64,
}

fn default_metric() -> Metric {
    Metric::recall(50).expect("50 is above 0")
}

impl TrainerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    pub fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
            ("validate_every", self.validate_every.unwrap_or(1)),
            ("window", self.window.unwrap_or(1)),
            ("patience", self.patience),
        ])?;
        checks::positive("learning_rate", self.learning_rate)?;
        if let Some(norm) = self.clip_norm {
            checks::positive("clip_norm", norm)?;
        }
        if let Some(seconds) = self.time_limit {
            checks::positive("time_limit", seconds)?;
        }
        checks::not_negative("weight_decay", self.weight_decay)?;
        if let Some(kept) = self.average {
            checks::share("average", kept)?;
        }
        self.optimizer.validate()?;
        self.tables.validate()?;
        // States that go from batch to batch are in no checkpoint.
        if self.targets == Targets::SessionParallel {
            let reason = "can't be set where states are carried from batch to batch";
            if let Some(every) = self.validate_every {
                return Err(Error::invalid("validate_every", every, reason));
            }
            if let Some(window) = self.window {
                let reason = "can't be set where sequences come in the order of their times";
                return Err(Error::invalid("window", window, reason));
            }
            if self.accumulate > 1 {
                return Err(Error::invalid("accumulate", self.accumulate, reason));
            }
        }
        if !self.metric.is_a_quality() {
            return Err(Error::invalid(
                "metric",
                self.metric,
                "more of it is not better",
            ));
        }
        Ok(())
    }

    /// The evaluation of the validation split.
    pub fn evaluation(&self) -> Evaluation {
        let mut ks = self.ks.clone();
        if !ks.contains(&self.metric.k()) {
            ks.push(self.metric.k());
        }
        Evaluation::new(&ks, self.seen)
    }
}

/// Refuses targets that a model can't be trained on.
pub(super) fn check_targets<B: TrainingBackend>(
    model: &impl SequenceRecaller<B>,
    targets: Targets,
) -> Result<()> {
    let description = model.config().describe();
    let reason = match targets {
        Targets::SessionParallel if !description.carries_states => "the model carries no state",
        Targets::All | Targets::SessionParallel if description.one_target => {
            "the model needs one target a history, such as `Targets::EveryPrefix`"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid("targets", format!("{targets:?}"), reason))
}
