//! A table of epochs on standard output.

use std::io::Write;
use std::ops::ControlFlow;

use super::observer::{EpochReport, TrainingObserver, TrainingPlan};
use crate::Result;
use crate::eval::Metric;

/// Prints how many targets an epoch has and how much is never one, then a line an epoch: its
/// number, loss, seconds, targets per second and validation metrics, with a `*` where it is the
/// best so far. Once nobody reads them any more (`| head`), training goes on without.
#[derive(Debug, Clone, Default)]
pub struct EpochTable {
    metrics: Vec<Metric>,
    /// Whether a line could not be printed.
    is_unread: bool,
}

impl EpochTable {
    /// A table with a column for the metric that training is stopped by.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table with a column for each of these.
    pub fn of(metrics: impl IntoIterator<Item = Metric>) -> Self {
        Self {
            metrics: metrics.into_iter().collect(),
            is_unread: false,
        }
    }

    fn print(&mut self, line: &str) {
        self.is_unread = self.is_unread || writeln!(std::io::stdout(), "{line}").is_err();
    }

    fn row(&self, epoch: &EpochReport) -> String {
        let mut row = format!(
            "{:>5} {:>8.4} {:>7.2} {:>10.0}",
            epoch.epoch,
            epoch.loss,
            epoch.seconds,
            epoch.targets as f64 / epoch.seconds.max(1e-9)
        );
        for &metric in &self.metrics {
            let value = (epoch.validation.as_ref()).and_then(|report| report.get(metric));
            let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            row.push_str(&format!(" {value:>12}"));
        }
        row
    }
}

impl TrainingObserver for EpochTable {
    fn on_start(&mut self, plan: &TrainingPlan<'_>) -> Result<()> {
        if self.metrics.is_empty() {
            self.metrics.push(plan.metric);
        }
        let mut header = format!(
            "{:>5} {:>8} {:>7} {:>10}",
            "epoch", "loss", "seconds", "targets/s"
        );
        for metric in &self.metrics {
            header.push_str(&format!(" {:>12}", metric.to_string()));
        }
        self.print(&plan.targets.to_string());
        self.print(&header);
        for epoch in plan.done {
            self.print(&self.row(epoch));
        }
        Ok(())
    }

    fn on_epoch(&mut self, epoch: &EpochReport, improved: bool) -> Result<ControlFlow<()>> {
        let mark = if improved { " *" } else { "" };
        self.print(&format!("{}{mark}", self.row(epoch)));
        Ok(ControlFlow::Continue(()))
    }
}
