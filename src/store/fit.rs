//! Training in one call.

use crate::Result;
use crate::backend::TrainingBackend;
#[cfg(feature = "flex")]
use crate::backend::{Autodiff, Flex};
use crate::data::Split;
#[cfg(feature = "flex")]
use crate::data::Targets;
#[cfg(feature = "flex")]
use crate::eval::Metric;
use crate::model::{RecallerConfig, TrainableConfig};
use crate::train::Trainer;
#[cfg(feature = "flex")]
use crate::train::TrainerConfig;

use super::recaller::Recaller;
use super::run::Run;

/// Training of a model by its settings: those of this crate's models, and of your own.
///
/// [`fit`](Self::fit) needs nothing more, and [`fit_with`](Self::fit_with) takes the settings of
/// training, or a [`Trainer`] with observers and checkpoints:
///
/// ```
/// use seqrec::prelude::*;
///
/// # let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let config = Gru4RecConfig::new().with_dim(8);
/// let settings = TrainerConfig::new().with_epochs(2).with_metric(Metric::ndcg(10)?);
/// let trained = config.fit_with(&split, settings.clone())?;
/// // The same, and it shows each epoch.
/// let trainer = Trainer::new(settings).observer(EpochTable::new());
/// assert_eq!(config.fit_with(&split, trainer)?.item_vectors(), trained.item_vectors());
/// # Ok::<(), seqrec::Error>(())
/// ```
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
        let mut settings = TrainerConfig::new();
        // A list of most of the items would tell no epoch from another.
        let cut = settings.metric.k().min(split.catalog().len() / 4).max(1);
        settings.metric = Metric::recall(cut)?;
        if self.describe().one_target {
            settings.targets = Targets::EveryPrefix;
        }
        self.fit_with(split, settings)
    }

    /// Trains a model on a split, on this machine's cores, by settings of your own: a
    /// [`TrainerConfig`], or a [`Trainer`] where there are observers, checkpoints or a warm start.
    /// Weights are drawn from the settings' seed.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init) and [`Trainer::fit`].
    #[cfg(feature = "flex")]
    fn fit_with<'a>(&self, split: &Split, trainer: impl Into<Trainer<'a>>) -> Result<Recaller>
    where
        Self: TrainableConfig<Autodiff<Flex>>,
    {
        self.fit_on::<Autodiff<Flex>>(split, trainer, &Default::default())
    }

    /// Trains a model as [`fit_with`](Self::fit_with) does, on a device:
    /// `config.fit_on::<Autodiff<Cuda>>(&split, TrainerConfig::new(), &device)`.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init) and [`Trainer::fit`].
    fn fit_on<'a, B: TrainingBackend>(
        &self,
        split: &Split,
        trainer: impl Into<Trainer<'a>>,
        device: &B::Device,
    ) -> Result<Recaller>
    where
        Self: TrainableConfig<B>,
    {
        let (trainer, catalog) = (trainer.into(), split.catalog());
        let model = self.init_for::<B>(catalog, trainer.config().seed, device)?;
        let trained = trainer.fit(model, split)?;
        Ok(Run::<B::InnerBackend, Self>::new(self.clone(), trained.model, catalog.clone()).into())
    }
}

impl<C: RecallerConfig> Fit for C {}
