//! The training itself.

use std::error::Error;

use seqrec::backend::{Autodiff, Backend};
use seqrec::data::Split;
use seqrec::eval::Metric;
use seqrec::model::{RecallerConfig, SequenceRecaller, TrainableConfig};
use seqrec::plot::draw_training_curves;
use seqrec::train::{CsvLog, EpochReport, ProgressBars, Trained, Trainer, TrainerConfig};
use seqrec::{OutputFolder, Result};
use serde_json::{Value, json};

use super::options::Options;

/// A model that was trained.
pub struct Fitted<M> {
    pub model: M,
    pub trainer: TrainerConfig,
    pub epochs: Vec<EpochReport>,
    /// The epoch of the model's weights.
    pub best_epoch: usize,
    pub train_seconds: f64,
}

impl<M> Fitted<M> {
    /// What `report.json` has of it.
    pub fn record(&self) -> Value {
        json!({
            "metric": self.trainer.metric,
            "train_seconds": self.train_seconds,
            "best_epoch": self.best_epoch,
            "epochs": self.epochs,
        })
    }
}

/// Trains a model, and draws how it went.
pub fn fit<B: Backend, C: TrainableConfig<Autodiff<B>>>(
    options: &Options,
    config: &C,
    split: &Split,
    out: &OutputFolder,
) -> Result<Fitted<<C as RecallerConfig>::Recaller<B>>, Box<dyn Error>> {
    let device = B::Device::default();
    let model = config.init_for::<Autodiff<B>>(split.catalog(), options.seed, &device)?;
    let trainer = options.trainer(model.config().describe().one_target)?;
    let trained = Trainer::new(trainer.clone())
        .observer(ProgressBars::default())
        .on_epoch(|epoch, improved| {
            eprintln!("{epoch}{}", if improved { ", the best so far" } else { "" });
        })
        .observer(CsvLog::new(out.join("log.csv")))
        .checkpoints(out.join("checkpoints"))
        .resume(options.resume)
        .fit(model, split)?;
    let metrics: Vec<Metric> = (options.k.iter())
        .map(|&k| Metric::recall(k))
        .collect::<Result<_>>()?;
    draw_training_curves(&options.title(), &trained, &metrics)?.save(out.join("training.svg"))?;
    let Trained {
        model,
        best_epoch,
        epochs,
        train_seconds,
        stop,
    } = trained;
    let made = epochs.last().map_or(0, |last| last.epoch);
    let best_epoch = (epochs.get(best_epoch.saturating_sub(1))).map_or(0, |best| best.epoch);
    eprintln!("stopped after {made} epochs ({stop}); the best was epoch {best_epoch}");
    Ok(Fitted {
        model,
        trainer,
        epochs,
        best_epoch,
        train_seconds,
    })
}
