//! A training between two stretches: what a checkpoint keeps.

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint::{Checkpoint, Checkpoints, Progress, encode};
use super::config::TrainerConfig;
use super::half::{precisions, with_precisions};
use super::identity::Identity;
use super::model_optimizer::ModelOptimizer;
use super::outcome::StopReason;
use crate::Result;
use crate::backend::TrainingBackend;
use crate::model::TrainableRecaller;

/// A training after some of its stretches.
pub(super) struct Training<B: TrainingBackend, M: TrainableRecaller<B>> {
    pub(super) model: M,
    pub(super) optimizer: ModelOptimizer<B>,
    /// The model with the best weights so far.
    pub(super) best: M::InnerModule,
    /// The mean of weights, where one is kept.
    pub(super) mean: Option<M::InnerModule>,
    pub(super) progress: Progress,
}

impl<B: TrainingBackend, M: TrainableRecaller<B>> Training<B, M> {
    /// A training that has made no step.
    pub(super) fn new(
        model: M,
        optimizer: ModelOptimizer<B>,
        identity: Identity,
        config: &TrainerConfig,
    ) -> Self {
        let best = model.valid();
        Self {
            mean: config.average.map(|_| best.clone()),
            model,
            optimizer,
            best,
            progress: Progress::new(identity),
        }
    }

    /// The training as a checkpoint has it.
    pub(super) fn resumed(mut self, checkpoint: Checkpoint, device: &B::Device) -> Result<Self> {
        type Inner<B> = <B as AutodiffBackend>::InnerBackend;
        let of_model = precisions::<B>(&self.model);
        let model = self.model.load_record(checkpoint.model::<B, _>(device)?);
        self.model = with_precisions(model, of_model);
        self.optimizer.load(checkpoint.optimizer::<B, _>(device)?);
        let of_best = precisions::<Inner<B>>(&self.best);
        let best = self
            .best
            .load_record(checkpoint.best::<Inner<B>, _>(device)?);
        self.best = with_precisions(best, of_best);
        self.mean = match self.mean {
            Some(mean) => Some(mean.load_record(checkpoint.mean::<Inner<B>, _>(device)?)),
            None => None,
        };
        self.progress = checkpoint.progress;
        Ok(self)
    }

    /// Writes a checkpoint.
    pub(super) fn save(&mut self, checkpoints: &Checkpoints, clock: &TrainingClock) -> Result<()> {
        let records = [
            encode::<B>(self.model.clone().into_record())?,
            encode::<B>(self.optimizer.states())?,
            encode::<B::InnerBackend>(self.best.clone().into_record())?,
            match &self.mean {
                Some(mean) => encode::<B::InnerBackend>(mean.clone().into_record())?,
                None => Vec::new(),
            },
        ];
        self.progress.wall_seconds = clock.seconds();
        checkpoints.save(&self.progress, &records)
    }

    /// Why no further step is made, if none is.
    pub(super) fn stop(
        &mut self,
        config: &TrainerConfig,
        steps_per_epoch: usize,
        clock: &TrainingClock,
    ) -> Option<StopReason> {
        let progress = &mut self.progress;
        progress.wall_seconds = clock.seconds();
        let made = progress.epochs.len();
        let waited = made - progress.best_epoch;
        let steps = progress.steps();
        if made > 0 && waited >= config.patience && steps >= config.minimum_steps {
            return Some(StopReason::Patience);
        }
        if steps >= config.epochs.saturating_mul(steps_per_epoch) {
            return Some(StopReason::Epochs);
        }
        // Some steps are made in any case.
        let limit = config.time_limit.filter(|_| made > 0);
        (limit.is_some_and(|limit| progress.wall_seconds >= limit)).then_some(StopReason::Time)
    }
}

/// The time that training has taken, and its deadline.
pub(super) struct TrainingClock {
    start: Instant,
    /// The duration of the runs that this one resumes, in seconds.
    before: f64,
    pub(super) deadline: Option<Instant>,
}

impl TrainingClock {
    pub(super) fn new(before: f64, limit: Option<f64>) -> Self {
        let start = Instant::now();
        let left = limit.map(|limit| Duration::try_from_secs_f64((limit - before).max(0.0)));
        Self {
            start,
            before,
            // A limit too large for an `Instant` is no limit.
            deadline: left.and_then(|left| start.checked_add(left.ok()?)),
        }
    }

    fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }
}
