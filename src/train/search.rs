//! A search for settings by successive halving.

mod effect;
mod found;
mod rounds;
mod space;
mod trial;
mod trials_file;

use std::fmt;
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::backend::TrainingBackend;
use crate::data::{Split, Targets};
use crate::files::output_folder::OutputFolder;
use crate::model::TrainableConfig;
use crate::{Error, ErrorKind, Result, checks};

pub use effect::Effect;
pub use found::SearchReport;
pub use trial::Trial;

use super::config::TrainerConfig;
use rounds::Rounds;
use space::{Space, complete};
use trial::train;
use trials_file::{Job, Measured, TrialsFile};

/// The program whose folders those of searches are.
const PROGRAM: &str = "seqrec search";

/// A search for the settings of models and of their training: successive halving over random draws,
/// compared by the validation metric of the [`TrainerConfig`].
///
/// Each *trial* is a model with drawn settings. All trials are trained for a few epochs, the better
/// third of them for three times as many, and so on up to
/// [`epochs`](TrainerConfig::epochs) (Jamieson & Talwalkar,
/// [2016](https://arxiv.org/abs/1502.07943)). The test split is not looked at.
///
/// The space is JSON in the form of the settings themselves, below `model` and `trainer`, where
/// keys may be paths:
///
/// | written | meaning |
/// | --- | --- |
/// | `"model.dim": [32, 64, 128]` | one of a list; a setting that is an object or a list is written whole |
/// | `"trainer.learning_rate": {"from": 1e-4, "to": 1e-2, "scale": "log"}` | a number of a range, both ends included; integers where the setting is one |
/// | `"trainer.batch_size": 64` | that value in every trial |
///
/// ```
/// use seqrec::prelude::*;
/// use seqrec::train::Search;
///
/// # let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// # let home = tempfile::tempdir().unwrap();
/// # let folder = home.path().join("search");
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let trainer = TrainerConfig::new().with_epochs(3).with_metric(Metric::ndcg(10)?);
/// let space = r#"{"model.dim": [4, 8], "trainer.learning_rate": {"from": 1e-3, "to": 1e-1, "scale": "log"}}"#;
/// let found = Search::<Autodiff<Flex>>::new(trainer)
///     .model("gru4rec", Gru4RecConfig::new().with_dim(4), space)?
///     .trials(3)
///     .first_epochs(1)
///     .run(&split, folder, &Default::default())?;
/// println!("{found}");
/// let best = found.best();
/// let trained = best.model_config::<Gru4RecConfig>()?.fit_with(&split, best.trainer_config()?)?;
/// println!("{}", trained.evaluate(&split.test)?);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct Search<'a, B: TrainingBackend> {
    trainer: TrainerConfig,
    models: Vec<SearchedModel<B>>,
    trials: usize,
    seeds: Vec<u64>,
    first_epochs: usize,
    on_trial: Box<dyn FnMut(&Trial) + 'a>,
}

/// A model among those that a search compares.
struct SearchedModel<B: TrainingBackend> {
    name: String,
    space: Space,
    train: Train<B>,
}

/// The training of a trial's job, up to its epochs.
type Train<B> = fn(
    &Job,
    &Split,
    &Path,
    &<B as burn::tensor::backend::BackendTypes>::Device,
) -> Result<Measured>;

impl<B: TrainingBackend> fmt::Debug for Search<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<&str> = self.models.iter().map(|model| &*model.name).collect();
        f.debug_struct("Search")
            .field("trainer", &self.trainer)
            .field("models", &models)
            .field("trials", &self.trials)
            .field("seeds", &self.seeds)
            .field("first_epochs", &self.first_epochs)
            .finish_non_exhaustive()
    }
}

impl<'a, B: TrainingBackend> Search<'a, B> {
    /// A search of 20 trials, five epochs in the first round, with the trainer's seed and by its
    /// metric.
    pub fn new(trainer: TrainerConfig) -> Self {
        Self {
            seeds: vec![trainer.seed],
            trainer,
            models: Vec::new(),
            trials: 20,
            first_epochs: 5,
            on_trial: Box::new(|_| {}),
        }
    }

    /// Searches the settings of a model too: trials are of all models in turn. The first trial of
    /// each has the settings of `config` and of the trainer, and the others draw from `space`.
    ///
    /// A model of [one target](crate::model::Description::one_target) a history is trained on
    /// [every prefix](Targets::EveryPrefix) where the trainer says [`Targets::All`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when a model has this name already, and with the path of what is
    /// wrong in the space.
    pub fn model<C: TrainableConfig<B>>(
        mut self,
        name: impl Into<String>,
        config: C,
        space: &str,
    ) -> Result<Self> {
        let name = name.into();
        if self.models.iter().any(|model| model.name == name) {
            return Err(Error::invalid("model", name, "is the name of two models"));
        }
        let mut trainer = self.trainer.clone();
        if config.describe().one_target && trainer.targets == Targets::All {
            trainer.targets = Targets::EveryPrefix;
        }
        let defaults = complete(&config, &trainer)?;
        self.models.push(SearchedModel {
            space: Space::parse(space, defaults)?,
            name,
            train: train::<B, C>,
        });
        Ok(self)
    }

    /// The number of trials of the first round, over all models. Settings that are drawn twice are
    /// one trial, so that a small space has fewer.
    #[must_use]
    pub fn trials(mut self, trials: usize) -> Self {
        self.trials = trials;
        self
    }

    /// The number of epochs of the first round.
    #[must_use]
    pub fn first_epochs(mut self, epochs: usize) -> Self {
        self.first_epochs = epochs;
        self
    }

    /// The seeds. The first one draws the settings and trains every trial; the best of the last
    /// round are trained with the others too, and compared by their means.
    #[must_use]
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = seeds.into_iter().collect();
        self
    }

    /// Calls this after each training, with the trial as it stands then.
    #[must_use]
    pub fn on_trial(mut self, told: impl FnMut(&Trial) + 'a) -> Self {
        self.on_trial = Box::new(told);
        self
    }

    /// Searches.
    ///
    /// The folder keeps what each training came to, in `trials.jsonl`, and checkpoints of the
    /// trials that are still in the search. A search that was interrupted continues from them, and
    /// one with more trials, models or seeds uses what is there.
    ///
    /// A trial that can't be trained (invalid settings, no memory on the device, a loss of NaN, a
    /// panic) is recorded as failed, and so is one during which the process ended three times.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] without a model, trial or seed, or for invalid settings of the
    /// trainer, [`ErrorKind::NothingLeft`] without validation users or when every trial failed,
    /// [`ErrorKind::NotOurs`] and [`ErrorKind::InUse`] for a folder that is something else's or in
    /// use, [`ErrorKind::Damaged`] for a file of trials that can't be read, and
    /// [`ErrorKind::Io`] when nothing can be written.
    pub fn run(
        self,
        split: &Split,
        folder: impl AsRef<Path>,
        device: &B::Device,
    ) -> Result<SearchReport> {
        self.check(split)?;
        let folder = OutputFolder::open(folder.as_ref(), PROGRAM)?;
        let file = TrialsFile::open(folder.join("trials.jsonl"))?;
        let trials = self.draw();
        let rounds = Rounds {
            search: self,
            split,
            device,
            folder,
            file,
            trials,
        };
        rounds.finish()
    }

    fn check(&self, split: &Split) -> Result<()> {
        checks::at_least_one(&[
            ("models", self.models.len()),
            ("trials", self.trials),
            ("seeds", self.seeds.len()),
            ("first_epochs", self.first_epochs),
        ])?;
        self.trainer.validate()?;
        self.trainer.evaluation().validate(split.catalog())?;
        if split.valid.is_empty() {
            let reason = "settings are compared by validation users, and the split has none";
            return Err(ErrorKind::NothingLeft {
                reason: reason.to_owned(),
            }
            .into());
        }
        Ok(())
    }

    /// The trials of the first round: of all models in turn, each settings once.
    fn draw(&self) -> Vec<Trial> {
        // Where a space holds few settings, most draws are of some that are there.
        const DRAWS: usize = 50;
        let mut trials: Vec<Trial> = Vec::new();
        let seed = self.seeds.first().copied().unwrap_or_default();
        for draw in 0..self.trials.saturating_mul(DRAWS) {
            if trials.len() == self.trials {
                break;
            }
            let (place, number) = (draw % self.models.len(), draw / self.models.len());
            let SearchedModel { name, space, .. } = &self.models[place];
            // Each draw is a stream of its own, so that more trials or models leave it as it is.
            let mut random =
                ChaCha8Rng::seed_from_u64(seed ^ u64::from(crc32fast::hash(name.as_bytes())));
            random.set_stream(number as u64);
            let drawn = match number {
                0 => space.fixed(),
                _ => space.draw(&mut random),
            };
            let trial = Trial::new(name, place, number == 0, space, drawn, seed);
            if !trials.iter().any(|other| other.is_of(&trial)) {
                trials.push(trial);
            }
        }
        trials
    }
}
