//! The training loop.

use std::ops::ControlFlow;
use std::path::PathBuf;

use burn::module::Module;
use tracing::{info, info_span};

use super::checkpoint::{Checkpoint, Checkpoints, Progress};
use super::config::{TrainerConfig, check_targets};
use super::finite::all_finite;
use super::half::check_half_tables;
use super::identity::Identity;
use super::model_optimizer::ModelOptimizer;
use super::observer::{EpochReport, OnEpoch, TrainingObserver};
use super::outcome::{StopReason, Trained};
use super::stretch::Stretches;
use super::training::{Training, TrainingClock};
use super::warm_start::WarmStart;
use crate::backend::{TrainingBackend, on_device};
use crate::data::{Batcher, Split};
use crate::eval::Report;
use crate::model::{RecallerConfig, SequenceRecaller, TrainableRecaller, check_events};
use crate::recall::{Evaluation, VectorChannel};
use crate::retrieve::{check_items, exact_index};
use crate::{Error, ErrorKind, Result};

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
///     .fit(model, &split)?;
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct Trainer<'a> {
    config: TrainerConfig,
    observers: Vec<Box<dyn TrainingObserver + 'a>>,
    checkpoints: Option<Checkpoints>,
    resume: bool,
    start: Option<WarmStart>,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("config", &self.config)
            .field("observers", &self.observers.len())
            .field("checkpoints", &self.checkpoints)
            .field("resume", &self.resume)
            .field("start", &self.start.is_some())
            .finish()
    }
}

impl From<TrainerConfig> for Trainer<'_> {
    fn from(config: TrainerConfig) -> Self {
        Self::new(config)
    }
}

impl<'a> Trainer<'a> {
    /// A trainer without observers or checkpoints.
    pub fn new(config: TrainerConfig) -> Self {
        Self {
            config,
            observers: Vec::new(),
            checkpoints: None,
            resume: false,
            start: None,
        }
    }

    /// The settings.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// Tells an observer what training does; there can be several.
    #[must_use]
    pub fn observer(mut self, observer: impl TrainingObserver + 'a) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Calls this after each epoch, with whether it is the best so far.
    #[must_use]
    pub fn on_epoch(self, told: impl FnMut(&EpochReport, bool) + 'a) -> Self {
        self.observer(OnEpoch(told))
    }

    /// Writes a checkpoint into this folder after every epoch, or as often as
    /// [`validate_every`](TrainerConfig::validate_every) says. Those of an earlier run are
    /// removed when training begins, unless it is [resumed](Trainer::resume).
    #[must_use]
    pub fn checkpoints(mut self, folder: impl Into<PathBuf>) -> Self {
        self.checkpoints = Some(Checkpoints::new(folder.into()));
        self
    }

    /// Goes on from the last checkpoint, if there is one, exactly as if training had not been
    /// interrupted. Data, model and settings must be the interrupted run's, but for `epochs`,
    /// `patience`, `minimum_steps` and `time_limit`.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Begins with the weights of a trained model, on data whose catalog may have got items and
    /// lost others, in place of those that the model was made with. A run that is
    /// [resumed](Trainer::resume) goes on from its checkpoint instead, where it has one; in the
    /// folder that the [moments](WarmStart::moments) are from, the old training's checkpoint stays
    /// until this one has its own, so that a run which was interrupted before begins again.
    #[must_use]
    pub fn warm_start(mut self, start: WarmStart) -> Self {
        self.start = Some(start);
        self
    }

    /// Trains a model on a split, on the device where it is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for invalid settings or that the model does not support,
    /// [`ErrorKind::OtherModel`], [`ErrorKind::NothingLeft`] and [`ErrorKind::OtherTraining`] where
    /// it can't start from the model that [`warm_start`](Trainer::warm_start) names,
    /// [`ErrorKind::Shape`] and [`ErrorKind::UnknownItem`] when model and data are of different
    /// catalogs, [`ErrorKind::NothingLeft`] when no sequence has a target,
    /// [`ErrorKind::NonFiniteLoss`] when training diverges in its first epoch (later it stops with
    /// the best weights so far), [`ErrorKind::OtherTraining`] when the checkpoint that is to be
    /// resumed is of other data or settings, [`ErrorKind::InUse`] while another process trains in
    /// the folder of checkpoints, [`ErrorKind::NotOurs`] when something else's would be removed
    /// there, [`ErrorKind::Device`] when the device fails or has no memory left, [`ErrorKind::Io`]
    /// when a checkpoint can't be written, and what an observer returns.
    pub fn fit<B, M>(mut self, model: M, split: &Split) -> Result<Trained<M::InnerModule>>
    where
        B: TrainingBackend,
        M: TrainableRecaller<B>,
    {
        let config = self.config.clone();
        let device = &model.items().device();
        let (evaluation, batcher, identity) = prepared(&model, split, &config)?;
        let _lock = (self.checkpoints.as_ref())
            .map(Checkpoints::lock)
            .transpose()?;
        let mut training = self.begin::<B, M>(model, split, identity, device)?;
        let made = training.progress.steps();
        let mut stretches = Stretches::new(&config, &batcher, device, made);
        let plan = stretches.plan(&training.progress.epochs);
        for observer in &mut self.observers {
            observer.on_start(&plan)?;
        }
        let clock = TrainingClock::new(training.progress.wall_seconds, config.time_limit);
        let _training = info_span!("train", model = M::Config::NAME, seed = config.seed).entered();
        let stop = loop {
            if let Some(reason) = training.stop(&config, stretches.steps_per_epoch(), &clock) {
                break reason;
            }
            let _epoch = info_span!("epoch", number = stretches.next_epoch()).entered();
            let observers = &mut self.observers;
            // A device that has no memory left leaves the last checkpoint.
            let judged = on_device::<B, _>(device, || {
                let (mean, optimizer) = (&mut training.mean, &mut training.optimizer);
                let model = training.model;
                match stretches.next(model, mean, optimizer, observers, clock.deadline)? {
                    ControlFlow::Break(()) => Ok(None),
                    ControlFlow::Continue((model, report)) => {
                        let valid = mean.clone().unwrap_or_else(|| model.valid());
                        let report = judge::<B, M>(&valid, report, &evaluation, split)?;
                        Ok(Some((model, valid, report)))
                    }
                }
            });
            let (model, valid, report) = match judged {
                Ok(Some(judged)) => judged,
                Ok(None) => break StopReason::Observer,
                Err(error) => break diverged(error, &training.progress, &stretches)?,
            };
            training.model = model;
            let improved = training.progress.add(report.clone(), config.metric);
            if improved {
                training.best = valid;
            }
            if let Some(checkpoints) = &self.checkpoints {
                training.save(checkpoints, &clock)?;
            }
            if self.tell(&report, improved)?.is_break() {
                break StopReason::Observer;
            }
        };
        Ok(Trained::new(training.best, training.progress, stop))
    }

    /// The training as it begins: resumed, from another model's weights, or from the model's own.
    fn begin<B: TrainingBackend, M: TrainableRecaller<B>>(
        &self,
        mut model: M,
        split: &Split,
        identity: Identity,
        device: &B::Device,
    ) -> Result<Training<B, M>> {
        let config = &self.config;
        let mut optimizer = ModelOptimizer::<B>::new(config.optimizer, config.tables);
        if let Some(checkpoint) = self.checkpoint(&identity)? {
            let training = Training::new(model, optimizer, identity, config);
            return training.resumed(checkpoint, device);
        }
        if let Some(start) = &self.start {
            model = start.apply(model, split)?;
            optimizer.load(start.states(&model, split, &identity, device)?);
        }
        self.make_room()?;
        Ok(Training::new(model, optimizer, identity, config))
    }

    /// Tells every observer of an epoch; whether one of them ends training.
    fn tell(&mut self, report: &EpochReport, improved: bool) -> Result<ControlFlow<()>> {
        let (metric, loss) = (self.config.metric, report.loss);
        let validation = report.validation.as_ref();
        let value = validation.and_then(|report| report.get(metric));
        info!(loss, %metric, value, improved, "validated");
        let mut flow = ControlFlow::Continue(());
        for observer in &mut self.observers {
            if observer.on_epoch(report, improved)?.is_break() {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }

    /// The checkpoint to resume from. That of the old training whose moments this one starts with
    /// is none, though it may lie in the same folder.
    fn checkpoint(&self, now: &Identity) -> Result<Option<Checkpoint>> {
        let Some(checkpoints) = self.checkpoints.as_ref().filter(|_| self.resume) else {
            return Ok(None);
        };
        let Some(last) = checkpoints.last()? else {
            return Ok(None);
        };
        let start = (self.start.as_ref()).filter(|start| start.is_from(checkpoints));
        // It may be of the same data and settings, and is still not this training's.
        if start.is_some() && last.is_start {
            return Ok(None);
        }
        let Err(other) = last.progress.identity.check_same(now) else {
            return Ok(Some(last));
        };
        match start {
            Some(start) if start.check_moments(&last, now).is_ok() => Ok(None),
            _ => Err(other),
        }
    }

    /// Removes the checkpoints of an earlier run, but for one that this one starts from: until this
    /// run has a checkpoint of its own, it would be begun again from that.
    fn make_room(&self) -> Result<()> {
        match (&self.checkpoints, &self.start) {
            (Some(checkpoints), Some(start)) if start.is_from(checkpoints) => {
                checkpoints.begin_after_last()
            }
            (Some(checkpoints), _) => checkpoints.clear(),
            (None, _) => Ok(()),
        }
    }
}

/// A training's evaluation, batches and identity, all of it checked.
fn prepared<B: TrainingBackend>(
    model: &impl SequenceRecaller<B>,
    split: &Split,
    config: &TrainerConfig,
) -> Result<(Evaluation, Batcher, Identity)> {
    config.validate()?;
    let evaluation = config.evaluation();
    check(model, split, config, &evaluation)?;
    let batcher = batcher(model, split, config)?;
    let parameters = Module::<B>::num_params(model);
    let identity = Identity::new(split, &model.settings(), parameters, config)?;
    Ok((evaluation, batcher, identity))
}

/// Refuses a model that can't be trained so, or is not of the split's catalog.
fn check<B: TrainingBackend>(
    model: &impl SequenceRecaller<B>,
    split: &Split,
    config: &TrainerConfig,
    evaluation: &Evaluation,
) -> Result<()> {
    check_targets(model, config.targets)?;
    check_half_tables(model, config)?;
    check_events(model, split.catalog())?;
    let items = split.catalog().len();
    if config.metric.k() > items {
        // The default's cut is nothing that the caller wrote.
        let cut = items.min(10);
        let reason = format!(
            "the catalog has {items} items; choose a smaller cut, such as \
             `with_metric(Metric::recall({cut})?)`"
        );
        return Err(Error::invalid("metric", config.metric, reason));
    }
    evaluation.validate(split.catalog())?;
    check_items(model, split.catalog())
}

/// Batches of the training sequences, with negatives where the model's loss is sampled.
fn batcher<B: TrainingBackend>(
    model: &impl SequenceRecaller<B>,
    split: &Split,
    config: &TrainerConfig,
) -> Result<Batcher> {
    let description = model.config().describe();
    let batcher = Batcher::new(
        &split.train,
        config.batch_size,
        description.max_len,
        config.targets,
        config.seed,
    )?;
    let batcher = match config.window {
        Some(window) => batcher.windows(window),
        None => batcher,
    };
    match description.objective.negatives() {
        Some(negatives) => batcher.negatives(negatives),
        None => Ok(batcher),
    }
}

/// The report of a stretch with that of its model on the validation split.
fn judge<B: TrainingBackend, M: TrainableRecaller<B>>(
    model: &M::InnerModule,
    mut report: EpochReport,
    evaluation: &Evaluation,
    split: &Split,
) -> Result<EpochReport> {
    // A last step that goes too far shows in no loss.
    if !all_finite(model) {
        return Err(ErrorKind::NonFiniteVector {
            what: "parameters",
            row: 0,
            column: 0,
            value: f32::INFINITY,
        }
        .into());
    }
    report.validation = validate(model, evaluation, split)?;
    Ok(report)
}

/// The consequence of a stretch's error: the first one's is the caller's, later ones keep what was
/// learned before. Vectors that are finite may still be too long for their products to be.
fn diverged<B: TrainingBackend>(
    error: Error,
    progress: &Progress,
    stretches: &Stretches<'_, B>,
) -> Result<StopReason> {
    let (epoch, step, loss) = match *error.kind() {
        ErrorKind::NonFiniteLoss { epoch, step, loss } => (epoch, step, loss),
        ErrorKind::NonFiniteVector { value, .. } => {
            let (epoch, step) = stretches.last();
            (epoch, step, value.into())
        }
        _ => return Err(error),
    };
    if progress.epochs.is_empty() {
        return Err(ErrorKind::NonFiniteLoss { epoch, step, loss }.into());
    }
    Ok(StopReason::Diverged { epoch, step })
}

/// A model's report on the validation split; `None` where there is none.
fn validate<B, M>(model: &M, evaluation: &Evaluation, split: &Split) -> Result<Option<Report>>
where
    B: crate::backend::Backend,
    M: SequenceRecaller<B>,
{
    if split.valid.is_empty() {
        return Ok(None);
    }
    let index = exact_index(model)?;
    let channel = VectorChannel::from_model(model.clone(), index);
    evaluation
        .run(&channel, &split.valid, split.catalog())
        .map(Some)
}
