//! Training in one call.

use crate::Result;
use crate::backend::TrainingBackend;
#[cfg(feature = "flex")]
use crate::backend::{Autodiff, Flex};
use crate::data::{Split, Targets};
use crate::eval::Metric;
use crate::model::{RecallerConfig, TrainableConfig};
use crate::train::{Trainer, TrainerConfig};

use super::recaller::Recaller;
use super::run::Run;

/// Training of a model by its settings alone: those of this crate's models, and of your own.
///
/// A [`Trainer`] has settings, observers and checkpoints; its model becomes a [`Recaller`] by way
/// of a [`Run`].
pub trait Fit: RecallerConfig {
    /// Trains a model on a split, on this machine's cores, with [`TrainerConfig::new`] and its
    /// fixed seed.
    ///
    /// It stops when recall@50 of the validation users has not got better for ten epochs, after
    /// 1,000 steps at the earliest and 100 epochs at the latest, and gives the weights of the best
    /// epoch: of the last one where the split has no validation users. The cut is a quarter of the
    /// items where there are fewer than 200. A model of [one
    /// target](crate::model::Description::one_target) a history learns from [every
    /// prefix](Targets::EveryPrefix) of a sequence.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init) and [`Trainer::fit`].
    #[cfg(feature = "flex")]
    fn fit(&self, split: &Split) -> Result<Recaller>
    where
        Self: TrainableConfig<Autodiff<Flex>>,
    {
        self.fit_on::<Autodiff<Flex>>(split, &Default::default())
    }

    /// Trains a model as [`fit`](Self::fit) does, on a device:
    /// `config.fit_on::<Autodiff<Cuda>>(..)`.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init) and [`Trainer::fit`].
    fn fit_on<B: TrainingBackend>(&self, split: &Split, device: &B::Device) -> Result<Recaller>
    where
        Self: TrainableConfig<B>,
    {
        let catalog = split.catalog();
        let mut settings = TrainerConfig::new();
        // A list of most of the items would tell no epoch from another.
        let cut = settings.metric.k().min(catalog.len() / 4).max(1);
        settings.metric = Metric::recall(cut)?;
        if self.describe().one_target {
            settings.targets = Targets::EveryPrefix;
        }
        let model = self.init::<B>(catalog.len(), settings.seed, device)?;
        let trained = Trainer::new(settings).fit(model, split)?;
        Ok(Run::<B::InnerBackend, Self>::new(self.clone(), trained.model, catalog.clone()).into())
    }
}

impl<C: RecallerConfig> Fit for C {}
