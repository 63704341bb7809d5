//! The training loop.

use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{GradientsParams, Optimizer as _};
use burn::tensor::ElementConversion;

use super::checkpoint::{Checkpoints, EncodedTensors, Progress, encode};
use super::config::TrainerConfig;
use super::finite::all_finite;
use super::identity::Identity;
use super::observer::{EpochReport, StepReport, TrainingObserver, TrainingPlan};
use super::optimizer::Optimizer;
use super::outcome::{StopReason, Trained};
use crate::backend::TrainingBackend;
use crate::data::{Batcher, NegativeSampler, Split, Targets};
use crate::eval::Report;
use crate::index::FlatIndex;
use crate::model::{SequenceRecaller, TrainableRecaller};
use crate::retrieve::{Evaluation, check_items, item_vectors};
use crate::{Error, Result};

/// Trains a model, keeps its best weights by a validation metric, and stops when they
/// get no better.
///
/// ```no_run
/// use seqrec::backend::{Autodiff, Flex};
/// use seqrec::data::{Dataset, Filters, InteractionReader, Protocol, Split};
/// use seqrec::model::{Gru4RecConfig, RecallerConfig};
/// use seqrec::train::{CsvLog, Trainer, TrainerConfig};
///
/// let log = InteractionReader::detect("ratings.csv")?.read()?;
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::Ratio { seed: 42 })?;
/// let model = Gru4RecConfig::new()
///     .init::<Autodiff<Flex>>(dataset.catalog().len(), 42, &Default::default())?;
/// let trained = Trainer::new(TrainerConfig::new())
///     .observer(CsvLog::new("log.csv"))
///     .checkpoints("checkpoints")
///     .fit(model, &split, &Default::default())?;
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct Trainer<'a> {
    config: TrainerConfig,
    observers: Vec<Box<dyn TrainingObserver + 'a>>,
    checkpoints: Option<Checkpoints>,
    resume: bool,
}

impl<'a> Trainer<'a> {
    /// A trainer without observers or checkpoints.
    pub fn new(config: TrainerConfig) -> Self {
        Self {
            config,
            observers: Vec::new(),
            checkpoints: None,
            resume: false,
        }
    }

    /// Tells an observer what training does; there can be several.
    pub fn observer(mut self, observer: impl TrainingObserver + 'a) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Writes a checkpoint into this folder after every epoch. Those of an earlier run are
    /// removed when training begins, unless it is [resumed](Trainer::resume).
    pub fn checkpoints(mut self, folder: impl Into<PathBuf>) -> Self {
        self.checkpoints = Some(Checkpoints::new(folder.into()));
        self
    }

    /// Goes on from the last checkpoint, if there is one, exactly as if training had not been
    /// interrupted. Data, model and settings must be the interrupted run's, but for `epochs`,
    /// `patience` and `minimum_steps`.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Trains a model on a split.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for invalid settings or that the model does not support,
    /// [`Error::Shape`] and [`Error::UnknownItem`] when model and data are of different catalogs,
    /// [`Error::NothingLeft`] when no sequence has a target, [`Error::NonFiniteLoss`] when training
    /// diverges in its first epoch (later it stops with the best weights so far),
    /// [`Error::OtherTraining`] when the checkpoint that is to be resumed is of other data or
    /// settings, [`Error::InUse`] while another process trains in the folder of checkpoints,
    /// [`Error::NotOurs`] when something else's would be removed there, [`Error::Io`] when a
    /// checkpoint can't be written, and what an observer returns.
    pub fn fit<B, M>(
        mut self,
        mut model: M,
        split: &Split,
        device: &B::Device,
    ) -> Result<Trained<M::InnerModule>>
    where
        B: TrainingBackend,
        M: TrainableRecaller<B>,
    {
        let config = self.config.clone();
        config.validate()?;
        check_targets(&model, config.targets)?;
        let evaluation = config.evaluation();
        evaluation.check(split.catalog())?;
        check_items(&model, split.catalog())?;
        split.train.check_items(split.catalog())?;
        let mut batcher = Batcher::new(
            &split.train,
            config.batch_size,
            model.max_len(),
            config.targets,
            config.seed,
        )?;
        if let Some(negatives) = model.negatives() {
            batcher = batcher.negatives(NegativeSampler::new(negatives, split.catalog())?);
        }
        let mut optimizer = OptimizerAdaptor::<Optimizer, M, B>::from(config.optimizer);
        let mut best = model.valid();
        let identity = Identity::new(
            split,
            &model.settings(),
            Module::<B>::num_params(&model),
            &config,
        )?;
        let mut progress = Progress {
            identity,
            epochs: Vec::new(),
            best_epoch: 0,
            best_value: None,
            train_seconds: 0.0,
        };
        let _lock = (self.checkpoints.as_ref())
            .map(Checkpoints::lock)
            .transpose()?;
        if let Some(checkpoints) = &self.checkpoints {
            // A run that starts anew does not read what it removes.
            let last = if self.resume {
                checkpoints.last()?
            } else {
                None
            };
            match last {
                Some(checkpoint) => {
                    checkpoint
                        .progress
                        .identity
                        .check_same(&progress.identity)?;
                    model = model.load_record(checkpoint.model::<B, _>(device)?);
                    optimizer = optimizer.load_record(checkpoint.optimizer::<B, _>(device)?);
                    best = best.load_record(checkpoint.best::<B::InnerBackend, _>(device)?);
                    progress = checkpoint.progress;
                }
                None => checkpoints.clear()?,
            }
        }
        let steps_per_epoch = batcher.batches_per_epoch();
        let plan = TrainingPlan {
            epochs: config.epochs,
            steps_per_epoch,
            metric: config.metric,
            done: &progress.epochs,
        };
        for observer in &mut self.observers {
            observer.on_start(&plan)?;
        }
        let stop = loop {
            if let Some(reason) = stop_after(&progress, &config, steps_per_epoch) {
                break reason;
            }
            let epoch = progress.epochs.len() + 1;
            let made = self.epoch(epoch, model, &mut optimizer, &batcher, device);
            let made = made.and_then(|(model, mut report)| {
                let valid = model.valid();
                // A last step that goes too far shows in no loss.
                if !all_finite(&valid) {
                    let (step, loss) = (steps_per_epoch, f64::INFINITY);
                    return Err(Error::NonFiniteLoss { epoch, step, loss });
                }
                report.validation = validate(&valid, &evaluation, split, device)?;
                Ok((model, valid, report))
            });
            let (trained, valid, report) = match made {
                Ok(made) => made,
                // Vectors that are finite may still be too long for their products to be.
                Err(Error::NonFiniteVector { .. }) if epoch > 1 => {
                    let step = steps_per_epoch;
                    break StopReason::Diverged { epoch, step };
                }
                Err(Error::NonFiniteVector { value, .. }) => {
                    let (step, loss) = (steps_per_epoch, value.into());
                    return Err(Error::NonFiniteLoss { epoch, step, loss });
                }
                Err(Error::NonFiniteLoss { epoch, step, .. }) if epoch > 1 => {
                    break StopReason::Diverged { epoch, step };
                }
                Err(error) => return Err(error),
            };
            model = trained;
            let value = report
                .validation
                .as_ref()
                .and_then(|report| report.get(config.metric));
            // Without validation users the last epoch counts as the best.
            let improved = match (value, progress.best_value) {
                (Some(value), Some(best)) => value > best,
                _ => true,
            };
            if improved {
                best = valid;
                progress.best_epoch = epoch;
                progress.best_value = value;
            }
            progress.train_seconds += report.seconds;
            progress.epochs.push(report.clone());
            if let Some(checkpoints) = &self.checkpoints {
                let tensors = EncodedTensors {
                    model: encode::<B>(model.clone().into_record())?,
                    optimizer: encode::<B>(optimizer.to_record())?,
                    best: encode::<B::InnerBackend>(best.clone().into_record())?,
                };
                checkpoints.save(&progress, &tensors)?;
            }
            for observer in &mut self.observers {
                observer.on_epoch(&report, improved)?;
            }
        };
        Ok(Trained {
            model: best,
            best_epoch: progress.best_epoch,
            epochs: progress.epochs,
            train_seconds: progress.train_seconds,
            stop,
        })
    }

    /// One epoch's steps.
    fn epoch<B, M>(
        &mut self,
        epoch: usize,
        mut model: M,
        optimizer: &mut impl burn::optim::Optimizer<M, B>,
        batcher: &Batcher,
        device: &B::Device,
    ) -> Result<(M, EpochReport)>
    where
        B: TrainingBackend,
        M: TrainableRecaller<B>,
    {
        let start = Instant::now();
        let (mut total_loss, mut targets, mut steps) = (0.0, 0, 0);
        let mut carried = None;
        let mut batches = batcher.epoch(epoch);
        for batch in batches.by_ref() {
            let step = steps + 1;
            let batch_targets = batch.targets();
            let batch = batch.to_device(device);
            batch.histories.check_features(model.user_features())?;
            let loss_tensor = match model.stateful() {
                Some(model) => {
                    let (loss, carry) = model.loss_carrying(&batch, carried.take());
                    carried = carry;
                    loss
                }
                None => model.loss(&batch),
            };
            let loss: f64 = loss_tensor.clone().into_scalar().elem();
            if !loss.is_finite() {
                return Err(Error::NonFiniteLoss { epoch, step, loss });
            }
            let gradients = GradientsParams::from_grads(loss_tensor.backward(), &model);
            model = optimizer.step(self.config.learning_rate, model, gradients);
            (total_loss, targets, steps) = (total_loss + loss, targets + batch_targets, step);
            let report = StepReport {
                epoch,
                step,
                loss,
                targets: batch_targets,
            };
            for observer in &mut self.observers {
                observer.on_step(&report)?;
            }
        }
        if steps != batcher.batches_per_epoch() {
            return Err(Error::Thread {
                thread: "batch",
                reason: format!("{steps} of {} batches came", batcher.batches_per_epoch()),
            });
        }
        let report = EpochReport {
            epoch,
            loss: total_loss / steps as f64,
            targets,
            seconds: start.elapsed().as_secs_f64(),
            waited_seconds: batches.waited().as_secs_f64(),
            validation: None,
        };
        Ok((model, report))
    }
}

/// Why no epoch is made after those that were.
fn stop_after(
    progress: &Progress,
    config: &TrainerConfig,
    steps_per_epoch: usize,
) -> Option<StopReason> {
    let made = progress.epochs.len();
    let waited = made - progress.best_epoch;
    let steps = made.saturating_mul(steps_per_epoch);
    if made > 0 && waited >= config.patience && steps >= config.minimum_steps {
        return Some(StopReason::Patience);
    }
    (made >= config.epochs).then_some(StopReason::Epochs)
}

/// Refuses targets that a model can't be trained on.
fn check_targets<B: TrainingBackend>(
    model: &impl SequenceRecaller<B>,
    targets: Targets,
) -> Result<()> {
    let reason = match targets {
        Targets::SessionParallel if model.stateful().is_none() => "the model carries no state",
        Targets::All | Targets::SessionParallel if model.needs_one_target() => {
            "the model needs one random target a history"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid("targets", format!("{targets:?}"), reason))
}

/// How a model does on the validation split; `None` where there is none.
fn validate<B, M>(
    model: &M,
    evaluation: &Evaluation,
    split: &Split,
    device: &B::Device,
) -> Result<Option<Report>>
where
    B: crate::backend::Backend,
    M: SequenceRecaller<B>,
{
    if split.valid.is_empty() {
        return Ok(None);
    }
    let index = FlatIndex::new(&item_vectors(model))?;
    evaluation
        .run(model, &index, &split.valid, split.catalog(), device)
        .map(Some)
}
