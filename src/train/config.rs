//! The settings of training.

use burn::config::Config;

use super::adam::Adam;
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use crate::data::{Seen, Targets};
use crate::eval::{Measure, Metric};
use crate::retrieve::Evaluation;
use crate::{Error, Result, checks};

/// The settings of a [`Trainer`](super::Trainer).
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainerConfig {
    /// The largest number of epochs.
    #[config(default = 100)]
    pub epochs: usize,
    /// How many sequences a batch has. More need fewer steps an epoch, and more epochs to learn as
    /// much.
    #[config(default = 32)]
    pub batch_size: usize,
    /// How gradients move parameters.
    #[config(default = "Optimizer::Adam(Adam::default())")]
    pub optimizer: Optimizer,
    /// The learning rate.
    #[config(default = 2e-3)]
    pub learning_rate: f64,
    /// Over how many steps the learning rate rises from 0 when training begins (warm-up).
    #[config(default = 0)]
    pub warm_up_steps: usize,
    /// How the learning rate falls after that.
    #[config(default = "Schedule::default()")]
    pub schedule: Schedule,
    /// The largest norm of a step's gradients, of all parameters together: larger ones are scaled
    /// down to it (Pascanu, Mikolov & Bengio, 2013). Where it is set, logs have the norms.
    pub clip_norm: Option<f64>,
    /// Which positions of a sequence are targets.
    #[config(default = "Targets::All")]
    pub targets: Targets,
    /// Training stops after this many epochs in a row without a better validation metric.
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
    /// The cuts of the validation metrics; the deciding metric's is added where it is missing.
    #[config(default = "vec![10, 50]")]
    pub ks: Vec<usize>,
    /// Whether items of the history may be recalled in validation.
    #[config(default = "Seen::default()")]
    pub seen: Seen,
    /// The seed of batches and dropout.
    #[config(default = 42)]
    pub seed: u64,
}

fn default_metric() -> Metric {
    Metric::new(Measure::Recall, 50).expect("50 is above 0")
}

impl TrainerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for the first invalid setting.
    pub fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("patience", self.patience),
        ])?;
        checks::positive("learning_rate", self.learning_rate)?;
        if let Some(norm) = self.clip_norm {
            checks::positive("clip_norm", norm)?;
        }
        self.optimizer.validate()?;
        if self.metric.measure() == Measure::MeanPopularity {
            return Err(Error::invalid(
                "metric",
                self.metric,
                "more of it is not better",
            ));
        }
        Ok(())
    }

    /// How the validation split is judged.
    pub fn evaluation(&self) -> Evaluation {
        let mut ks = self.ks.clone();
        if !ks.contains(&self.metric.k()) {
            ks.push(self.metric.k());
        }
        Evaluation::new(&ks, self.seen)
    }
}
