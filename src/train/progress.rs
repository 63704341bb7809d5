//! Progress bars on a terminal.

use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};

use super::observer::{EpochReport, StepReport, TrainingObserver, TrainingPlan};
use crate::Result;

/// How many targets an epoch has and how much is never one, then a progress bar for each epoch with
/// its loss and its speed, on stderr; silent where that is no terminal.
#[derive(Debug)]
pub struct ProgressBars {
    bar: ProgressBar,
    epochs: usize,
    steps_per_epoch: usize,
    loss: f64,
    targets: usize,
}

impl Default for ProgressBars {
    fn default() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            epochs: 0,
            steps_per_epoch: 0,
            loss: 0.0,
            targets: 0,
        }
    }
}

impl TrainingObserver for ProgressBars {
    fn on_start(&mut self, plan: &TrainingPlan<'_>) -> Result<()> {
        self.epochs = plan.epochs;
        self.steps_per_epoch = plan.steps_per_epoch;
        let bar = ProgressBar::new(0);
        bar.println(plan.targets.to_string());
        bar.finish_and_clear();
        Ok(())
    }

    fn on_step(&mut self, step: &StepReport) -> Result<ControlFlow<()>> {
        if step.step == 1 {
            let style =
                ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg} eta {eta}")
                    .expect("the template is right");
            self.bar = ProgressBar::new(self.steps_per_epoch as u64).with_style(style);
            self.bar
                .set_prefix(format!("epoch {}/{}", step.epoch, self.epochs));
            (self.loss, self.targets) = (step.loss, 0);
        }
        // A running mean over some tens of steps: single batches jump about.
        self.loss += 0.05 * (step.loss - self.loss);
        self.targets += step.targets;
        let speed = self.targets as f64 / self.bar.elapsed().as_secs_f64().max(1e-3);
        self.bar
            .set_message(format!("loss {:.4} {speed:.0} targets/s", self.loss));
        self.bar.inc(1);
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _improved: bool) -> Result<ControlFlow<()>> {
        if epoch.step.is_multiple_of(self.steps_per_epoch.max(1)) {
            self.bar.finish_and_clear();
        }
        Ok(ControlFlow::Continue(()))
    }
}
