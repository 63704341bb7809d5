//! Training in one call.

use crate::Result;
use crate::backend::TrainingBackend;
#[cfg(feature = "flex")]
use crate::backend::{Autodiff, Flex};
use crate::data::Split;
use crate::eval::Metric;
use crate::model::{RecallerConfig, TrainableConfig};
use crate::train::{Trainer, TrainerConfig};

use super::recaller::Recaller;
use super::run::Run;

/// Training of a model by its settings alone: those of every model of this crate, and of your own.
///
/// A [`Trainer`] has settings, observers and checkpoints; its model becomes a [`Recaller`] by way of a
/// [`Run`].
pub trait Fit: RecallerConfig {
    /// Trains a model on a split, on this machine's cores, with the settings of
    /// [`TrainerConfig::new`]: until the validation users' recall@50 gets no better, of which the best
    /// weights are kept; a catalog of fewer items is cut at their number. The seed is fixed.
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

    /// Trains a model as [`fit`](Self::fit) does, on a device: `config.fit_on::<Autodiff<Cuda>>(..)`.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init) and [`Trainer::fit`].
    fn fit_on<B: TrainingBackend>(&self, split: &Split, device: &B::Device) -> Result<Recaller>
    where
        Self: TrainableConfig<B>,
    {
        let catalog = split.catalog();
        let mut settings = TrainerConfig::new();
        // Data of fewer items than the metric's cut are seldom more than a trial, which must run all the same.
        if let Ok(metric) = Metric::recall(catalog.len().min(settings.metric.k())) {
            settings.metric = metric;
        }
        let model = self.init::<B>(catalog.len(), settings.seed, device)?;
        let trained = Trainer::new(settings).fit(model, split)?;
        Ok(Run::<B::InnerBackend, Self>::new(self.clone(), trained.model, catalog.clone()).into())
    }
}

impl<C: RecallerConfig> Fit for C {}
