//! Watching training from outside.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::TargetCounts;
use crate::eval::{Metric, Report};
use crate::files::{begins_with, replace_file};
use crate::{Error, Result};

/// The plan of a training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainingPlan<'a> {
    /// The largest number of epochs.
    pub epochs: usize,
    /// The number of steps of each.
    pub steps_per_epoch: usize,
    /// How many targets each has, and what is never one.
    pub targets: TargetCounts,
    /// The metric that training is stopped by.
    pub metric: Metric,
    /// The epochs that an earlier, interrupted run has done already.
    pub done: &'a [EpochReport],
}

/// One step that was made.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The step within the epoch, counted from 1.
    pub step: usize,
    /// The batch's mean loss.
    pub loss: f64,
    /// The number of targets of the batch.
    pub targets: usize,
    /// The learning rate.
    pub learning_rate: f64,
    /// The norm of the gradients before they were scaled down, where they may be.
    pub gradient_norm: Option<f64>,
}

/// One epoch that was made, or what was made since the last validation where there are more or
/// fewer of these than epochs ([`validate_every`](super::TrainerConfig::validate_every)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochReport {
    /// The epoch that it ends in, counted from 1.
    pub epoch: usize,
    /// The number of steps up to its end, over all epochs.
    pub step: usize,
    /// The mean loss of its steps.
    pub loss: f64,
    /// The number of its targets.
    pub targets: usize,
    /// The duration of its steps in seconds, validation not counted.
    pub seconds: f64,
    /// The part of that which was spent waiting for batches, in seconds.
    pub waited_seconds: f64,
    /// The learning rate of its last step.
    pub learning_rate: f64,
    /// The mean norm of its steps' gradients before they were scaled down, where they may be.
    pub gradient_norm: Option<f64>,
    /// The validation metrics; `None` without validation users.
    pub validation: Option<Report>,
    /// The one of them that decides which epoch is the best.
    #[serde(default)]
    pub metric: Option<Metric>,
}

/// The epoch in a line: `epoch 3 (loss 2.9145, recall@50 0.2830, 1.4 s)`, with the validation
/// metric that decides.
impl fmt::Display for EpochReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} (loss {:.4}, ", self.epoch, self.loss)?;
        let deciding = self.metric.zip(self.validation.as_ref());
        if let Some((metric, value)) =
            deciding.and_then(|(metric, report)| Some((metric, report.get(metric)?)))
        {
            write!(f, "{metric} {value:.4}, ")?;
        }
        write!(f, "{:.1} s)", self.seconds)
    }
}

/// Is told what training does, and may end it.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::time::{Duration, Instant};
/// use seqrec::train::{StepReport, TrainingObserver};
///
/// /// Ends training when its time is up.
/// struct Limit(Instant);
///
/// impl TrainingObserver for Limit {
///     fn on_step(&mut self, _step: &StepReport) -> seqrec::Result<ControlFlow<()>> {
///         Ok(if self.0.elapsed() < Duration::from_secs(600) {
///             ControlFlow::Continue(())
///         } else {
///             ControlFlow::Break(())
///         })
///     }
/// }
/// ```
pub trait TrainingObserver {
    /// Training begins or is resumed.
    ///
    /// # Errors
    /// Ends training.
    fn on_start(&mut self, plan: &TrainingPlan<'_>) -> Result<()> {
        let _ = plan;
        Ok(())
    }

    /// A step was made; where a device computes, some steps ago, since whoever waited for each loss
    /// would leave it idle. A break ends training without what was made since the last validation:
    /// what comes back are the best weights before.
    ///
    /// # Errors
    /// Ends training, whose result is then this error.
    fn on_step(&mut self, step: &StepReport) -> Result<ControlFlow<()>> {
        let _ = step;
        Ok(ControlFlow::Continue(()))
    }

    /// An epoch was made and validated; `improved` says whether it is the best so far. A break ends
    /// training after it.
    ///
    /// # Errors
    /// Ends training, whose result is then this error.
    fn on_epoch(&mut self, epoch: &EpochReport, improved: bool) -> Result<ControlFlow<()>> {
        let _ = (epoch, improved);
        Ok(ControlFlow::Continue(()))
    }
}

/// A function that is called after each epoch.
pub(super) struct OnEpoch<F>(pub(super) F);

impl<F: FnMut(&EpochReport, bool)> TrainingObserver for OnEpoch<F> {
    fn on_epoch(&mut self, epoch: &EpochReport, improved: bool) -> Result<ControlFlow<()>> {
        (self.0)(epoch, improved);
        Ok(ControlFlow::Continue(()))
    }
}

/// Writes a CSV file with one row an epoch: its number, the steps so far, loss, seconds, targets
/// per second, learning rate, gradient norm, and every validation metric.
///
/// The file is written anew after each epoch and renamed, so it is whole at any moment.
#[derive(Debug, Clone)]
pub struct CsvLog {
    path: PathBuf,
    epochs: Vec<EpochReport>,
}

/// The columns of every log, which the metrics follow.
const FIXED: [&str; 8] = [
    "epoch",
    "step",
    "loss",
    "seconds",
    "waited_seconds",
    "targets_per_second",
    "learning_rate",
    "gradient_norm",
];

impl CsvLog {
    /// A log in this file. One that is there is replaced when training begins; anything else ends
    /// it with [`ErrorKind::NotOurs`](crate::ErrorKind::NotOurs).
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            epochs: Vec::new(),
        }
    }

    fn write(&self) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Error::io("write", &self.path)(error.into());
        let metrics = self
            .epochs
            .iter()
            .find_map(|epoch| epoch.validation.as_ref());
        let metrics: Vec<Metric> = metrics.map_or_else(Vec::new, |report| {
            report.iter().map(|(metric, _)| metric).collect()
        });
        let header = FIXED.map(str::to_owned).into_iter();
        writer
            .write_record(header.chain(metrics.iter().map(Metric::to_string)))
            .map_err(failed)?;
        for epoch in &self.epochs {
            let fixed = [
                epoch.epoch.to_string(),
                epoch.step.to_string(),
                format!("{:.6}", epoch.loss),
                format!("{:.3}", epoch.seconds),
                format!("{:.3}", epoch.waited_seconds),
                format!("{:.0}", epoch.targets as f64 / epoch.seconds.max(1e-9)),
                epoch.learning_rate.to_string(),
                (epoch.gradient_norm).map_or_else(String::new, |norm| format!("{norm:.6}")),
            ];
            let values = metrics.iter().map(|&metric| {
                let value = epoch
                    .validation
                    .as_ref()
                    .and_then(|report| report.get(metric));
                value.map_or_else(String::new, |value| format!("{value:.6}"))
            });
            writer
                .write_record(fixed.into_iter().chain(values))
                .map_err(failed)?;
        }
        let contents = writer
            .into_inner()
            .map_err(|error| failed(error.into_error().into()))?;
        let start: Vec<u8> = FIXED.join(",").into_bytes();
        replace_file(&self.path, begins_with(&start), |file| {
            std::io::Write::write_all(file, &contents)
        })
    }
}

impl TrainingObserver for CsvLog {
    fn on_start(&mut self, plan: &TrainingPlan<'_>) -> Result<()> {
        self.epochs = plan.done.to_vec();
        self.write()
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _improved: bool) -> Result<ControlFlow<()>> {
        self.epochs.push(epoch.clone());
        self.write()?;
        Ok(ControlFlow::Continue(()))
    }
}
