//! Models by the names of the settings file.

use std::error::Error;
use std::path::PathBuf;

use burn::module::AutodiffModule;
use seqrec::backend::{Autodiff, Flex};
use seqrec::burn;
use seqrec::data::Split;
use seqrec::eval::Report;
use seqrec::index::FlatIndex;
use seqrec::model::{Gru4RecConfig, HstuConfig, RecallerConfig, SasRecConfig, SequenceRecaller};
use seqrec::recall::{ModelChannel, RecallChannel, item_vectors};
use seqrec::train::{ProgressBars, Trainer, TrainerConfig};

use crate::settings::{Entry, config};

/// What a model is trained on.
pub struct Context<'a> {
    pub split: &'a Split,
    pub seed: u64,
    /// Where training goes on after an interruption.
    pub checkpoints: PathBuf,
    pub progress: bool,
}

/// A trained model.
pub struct Fitted {
    pub channel: Box<dyn RecallChannel>,
    pub epochs: usize,
    pub train_seconds: f64,
    /// How the best epoch did on the validation split.
    pub valid: Option<Report>,
}

/// Trains the model of an entry.
pub fn fit(entry: &Entry, context: &Context<'_>) -> Result<Fitted, Box<dyn Error>> {
    match entry.kind.as_str() {
        "gru4rec" => train(&Gru4RecConfig::new(), entry, context),
        "sasrec" => train(&SasRecConfig::new(), entry, context),
        "hstu" => train(&HstuConfig::new(), entry, context),
        other => Err(format!("no model is called {other:?}").into()),
    }
}

type Train = Autodiff<Flex>;

fn train<C: RecallerConfig>(
    defaults: &C,
    entry: &Entry,
    context: &Context<'_>,
) -> Result<Fitted, Box<dyn Error>>
where
    C::Recaller<Train>: AutodiffModule<Train>,
    <C::Recaller<Train> as AutodiffModule<Train>>::InnerModule: SequenceRecaller<Flex> + 'static,
{
    let settings = config(defaults, &entry.model)?;
    let mut trainer = config(&TrainerConfig::new(), &entry.trainer)?;
    trainer.seed = context.seed;
    let device = Default::default();
    let items = context.split.catalog().len();
    let model = settings.init::<Train>(items, context.seed, &device)?;
    let mut trainer = Trainer::new(trainer)
        .checkpoints(&context.checkpoints)
        .resume(true);
    if context.progress {
        trainer = trainer.observer(ProgressBars::default());
    }
    let trained = trainer.fit(model, context.split, &device)?;
    let index = FlatIndex::new(item_vectors(&trained.model).view())?;
    // The epochs made after the best one are what it took to know that it was.
    Ok(Fitted {
        valid: trained.epochs[trained.best_epoch - 1].validation.clone(),
        epochs: trained.epochs.len(),
        train_seconds: trained.train_seconds,
        channel: Box::new(ModelChannel::<Flex, _, _>::new(
            trained.model,
            index,
            device,
        )),
    })
}
