//! Training from one validation to the next.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::{ElementConversion, Tensor};

use super::average::next_mean;
use super::config::TrainerConfig;
use super::decay::decayed;
use super::gradients::ModelGradients;
use super::model_optimizer::ModelOptimizer;
use super::observer::{EpochReport, StepReport, TrainingObserver, TrainingPlan};
use crate::backend::{Backend, TrainingBackend};
use crate::data::{Batcher, EpochBatches, HostBatch, Targets};
use crate::model::{Loss, RecallerConfig, TrainableRecaller, in_step};
use crate::{ErrorKind, Result};

/// Makes the steps of a training, one stretch after another: epochs, or parts of them.
pub(super) struct Stretches<'a, B: TrainingBackend> {
    config: &'a TrainerConfig,
    batcher: &'a Batcher,
    device: &'a B::Device,
    /// The number of steps of an epoch.
    per_epoch: usize,
    /// The number of steps so far, over all epochs.
    made: usize,
    /// The batches that are left of this epoch.
    batches: Option<EpochBatches>,
    /// The states that the next batch continues from, of a model that carries some.
    carried: Vec<Tensor<B, 2>>,
}

/// The number of steps that are enqueued before their losses and norms are read: reading each one
/// would leave a device idle. The host reads each step's.
const STEPS_AHEAD: usize = 16;

/// A step that was made, with the losses of its batches, which make up the step's, and the norm of
/// its gradients: the report has neither yet.
type UnreadStep<B> = (StepReport, Vec<Tensor<B, 1>>, Option<Tensor<B, 1>>);

/// Waits for the losses and the norm of a step.
fn read<B: Backend>((mut report, losses, norm): UnreadStep<B>) -> Result<StepReport> {
    let (epoch, step) = (report.epoch, report.step);
    for loss in losses {
        let loss: f64 = loss.into_scalar().elem();
        if !loss.is_finite() {
            return Err(ErrorKind::NonFiniteLoss { epoch, step, loss }.into());
        }
        report.loss += loss;
    }
    report.gradient_norm = norm.map(|norm| norm.into_scalar().elem());
    Ok(report)
}

impl<'a, B: TrainingBackend> Stretches<'a, B> {
    /// Training that continues after `made` steps.
    pub(super) fn new(
        config: &'a TrainerConfig,
        batcher: &'a Batcher,
        device: &'a B::Device,
        made: usize,
    ) -> Self {
        let per_epoch = batcher.batches_per_epoch().div_ceil(config.accumulate);
        Self {
            config,
            batcher,
            device,
            per_epoch,
            made,
            batches: None,
            carried: Vec::new(),
        }
    }

    /// The plan for observers, after the epochs `done`.
    pub(super) fn plan<'p>(&self, done: &'p [EpochReport]) -> TrainingPlan<'p> {
        TrainingPlan {
            epochs: self.config.epochs,
            steps_per_epoch: self.per_epoch,
            targets: self.batcher.target_counts(),
            metric: self.config.metric,
            done,
        }
    }

    pub(super) fn steps_per_epoch(&self) -> usize {
        self.per_epoch
    }

    /// The epoch of the last step that was made, and which of its steps it is, from 1.
    pub(super) fn last(&self) -> (usize, usize) {
        let before = self.made.saturating_sub(1);
        (before / self.per_epoch + 1, before % self.per_epoch + 1)
    }

    /// The epoch of the next step, from 1.
    pub(super) fn next_epoch(&self) -> usize {
        self.place().0
    }

    /// The epoch of the next step, from 1, and how many of its steps were made.
    fn place(&self) -> (usize, usize) {
        (self.made / self.per_epoch + 1, self.made % self.per_epoch)
    }

    /// The number of steps of all epochs.
    fn steps(&self) -> usize {
        self.config.epochs.saturating_mul(self.per_epoch)
    }

    /// After how many steps the next stretch ends.
    fn end(&self) -> usize {
        let every = self.config.validate_every.unwrap_or(self.per_epoch);
        let next = (self.made / every + 1).saturating_mul(every);
        next.min(self.steps())
    }

    /// The next stretch's steps, unless an observer ends training; fewer when `deadline` is over.
    /// `mean` follows the model's weights, where there is one.
    pub(super) fn next<M: TrainableRecaller<B>>(
        &mut self,
        mut model: M,
        mean: &mut Option<M::InnerModule>,
        optimizer: &mut ModelOptimizer<B>,
        observers: &mut [Box<dyn TrainingObserver + '_>],
        deadline: Option<Instant>,
    ) -> Result<ControlFlow<(), (M, EpochReport)>> {
        let start = Instant::now();
        let mut sums = EpochReport {
            metric: Some(self.config.metric),
            ..EpochReport::default()
        };
        let (mut reports, mut norms) = (0, (0.0, 0));
        let end = self.end();
        let mut unread = Vec::new();
        while self.made < end {
            let (epoch, step) = self.place();
            sums.epoch = epoch;
            let batches = self.batches(epoch, step, &mut sums)?;
            let made;
            (model, made) = self.step(model, optimizer, batches, (epoch, step + 1))?;
            unread.push(made);
            self.made += 1;
            if let (Some(decay), Some(before)) = (self.config.average, mean.take()) {
                *mean = Some(next_mean(decay, before, &model.valid(), self.made));
            }
            if step + 1 == self.per_epoch {
                self.batches = None;
            }
            let may_end =
                self.config.targets != Targets::SessionParallel || step + 1 == self.per_epoch;
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let last = self.made == end || (may_end && late);
            if B::HOST || last || unread.len() == STEPS_AHEAD {
                for made in unread.drain(..) {
                    let report = read(made)?;
                    add(&mut sums, &report);
                    if let Some(norm) = report.gradient_norm {
                        norms = (norms.0 + norm, norms.1 + 1);
                    }
                    reports += 1;
                    if tell(observers, &report)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            if last {
                break;
            }
        }
        sums.step = self.made;
        sums.loss /= reports as f64;
        sums.gradient_norm = (norms.1 > 0).then(|| norms.0 / norms.1 as f64);
        sums.seconds = start.elapsed().as_secs_f64();
        Ok(ControlFlow::Continue((model, sums)))
    }

    /// The batches of a step of an epoch of which so many steps were made.
    fn batches(
        &mut self,
        epoch: usize,
        made: usize,
        sums: &mut EpochReport,
    ) -> Result<Vec<HostBatch>> {
        let accumulate = self.config.accumulate;
        let batches = self.batches.get_or_insert_with(|| {
            self.carried.clear();
            let mut batches = self.batcher.host_epoch(epoch);
            // Those that were taken before training was interrupted.
            batches.by_ref().take(made * accumulate).for_each(drop);
            batches
        });
        let waited = batches.waited();
        let group: Vec<HostBatch> = batches.by_ref().take(accumulate).collect();
        sums.waited_seconds += (batches.waited() - waited).as_secs_f64();
        let all = self.batcher.batches_per_epoch();
        if group.len() < accumulate.min(all - made * accumulate) {
            let reason = format!("{} of {all} batches came", made * accumulate + group.len());
            let thread = "batch";
            return Err(ErrorKind::Thread { thread, reason }.into());
        }
        Ok(group)
    }

    /// One step, with gradients of all of some batches' targets.
    fn step<M: TrainableRecaller<B>>(
        &mut self,
        mut model: M,
        optimizer: &mut ModelOptimizer<B>,
        batches: Vec<HostBatch>,
        (epoch, step): (usize, usize),
    ) -> Result<(M, UnreadStep<B::InnerBackend>)> {
        let targets: usize = batches.iter().map(HostBatch::targets).sum();
        // What each batch's loss is the mean over.
        let dislike_weight = model.config().describe().objective.dislike_weight;
        let weight = |batch: &HostBatch| batch.weight(dislike_weight);
        let weights: f64 = batches.iter().map(weight).sum();
        let mut all: Option<ModelGradients<B>> = None;
        let mut losses = Vec::with_capacity(batches.len());
        for batch in batches {
            let share = if weights > 0.0 {
                weight(&batch) / weights
            } else {
                0.0
            };
            let (loss, gradients) = self.gradients(&model, optimizer, batch, share)?;
            losses.push(loss);
            match &mut all {
                Some(all) => all.add(gradients, &model),
                None => all = Some(gradients),
            }
        }
        let mut gradients = all.expect("a step has a batch");
        let gradient_norm =
            (self.config.clip_norm).and_then(|largest| gradients.clip(&model, largest));
        let config = self.config;
        let steps = [config.warm_up_steps, self.steps()];
        let learning_rate = (config.schedule).rate(config.learning_rate, steps, self.made);
        let decay = learning_rate * self.config.weight_decay;
        if decay > 0.0 {
            model = decayed(model, decay, self.config.decay_all);
        }
        model = optimizer.step(learning_rate, model, gradients);
        let report = StepReport {
            epoch,
            step,
            loss: 0.0,
            targets,
            learning_rate,
            gradient_norm: None,
        };
        Ok((model, (report, losses, gradient_norm)))
    }

    /// A share of the loss of a batch, and its gradients.
    fn gradients<M: TrainableRecaller<B>>(
        &mut self,
        model: &M,
        optimizer: &ModelOptimizer<B>,
        batch: HostBatch,
        share: f64,
    ) -> Result<(Tensor<B::InnerBackend, 1>, ModelGradients<B>)> {
        let batch = batch.into_tensors(self.device);
        let description = model.config().describe();
        batch.histories.check_features(description.user_features)?;
        let whole = description.objective.loss == Loss::Softmax;
        optimizer.gradients(model, |model| {
            let loss = in_step(batch.seed, whole, || {
                if description.carries_states {
                    let carried = std::mem::take(&mut self.carried);
                    let (loss, carried) = model.loss_carrying(&batch, carried);
                    self.carried = carried;
                    loss
                } else {
                    model.loss(&batch)
                }
            });
            match share {
                1.0 => loss,
                _ => loss.mul_scalar(share),
            }
        })
    }
}

/// Tells observers of a step; whether none of them ends training.
fn tell(
    observers: &mut [Box<dyn TrainingObserver + '_>],
    report: &StepReport,
) -> Result<ControlFlow<()>> {
    let mut flow = ControlFlow::Continue(());
    for observer in observers {
        if observer.on_step(report)?.is_break() {
            flow = ControlFlow::Break(());
        }
    }
    Ok(flow)
}

/// Adds a step to the sums of an epoch.
fn add(sums: &mut EpochReport, step: &StepReport) {
    sums.loss += step.loss;
    sums.targets += step.targets;
    sums.learning_rate = step.learning_rate;
}
