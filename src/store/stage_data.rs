//! What the channels of a stage are made of.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{Catalog, TimeUnit, TrainingData};
use crate::model::{RecallerConfig, SequenceRecaller};
use crate::{Error, Result, checks};

use super::run::{ModelFiles, Run, WrittenCatalog};

use crate::retrieve::{ModelEncoder, UserEncoder, item_vectors};

/// All that the channels of a [`StagePlan`](super::StagePlan) are made of: training data and trained
/// models.
#[derive(Debug, Clone)]
pub struct StageData {
    pub(super) training: TrainingData,
    pub(super) model: Option<StageModel>,
    /// Further models, by name.
    pub(super) further: Vec<(String, StageModel)>,
    time_unit: TimeUnit,
}

/// A trained model, as channels look at it.
#[derive(Clone)]
pub struct StageModel {
    pub(super) encoder: Arc<dyn UserEncoder>,
    pub(super) item_vectors: Array2<f32>,
    /// How many features of users the model looks at.
    user_features: usize,
    /// The catalog's fingerprint and names of users' features that the model was trained by, where these
    /// are known.
    trained_by: Option<(u64, Vec<String>)>,
    /// Writes the model's files, where its settings are known.
    pub(super) write: Option<WriteModel>,
}

/// Writes a model's files beside a catalog's, and gives its manifest's checksum.
pub(super) type WriteModel =
    Arc<dyn Fn(&Path, &ModelFiles, &WrittenCatalog) -> Result<u32> + Send + Sync>;

impl StageModel {
    /// A model, on the device where it is.
    pub fn new<B: Backend, M: SequenceRecaller<B>>(model: M) -> Self {
        Self {
            item_vectors: item_vectors(&model),
            user_features: model.config().describe().user_features,
            encoder: Arc::new(ModelEncoder::<B, M>::new(model)),
            trained_by: None,
            write: None,
        }
    }

    /// The model of a run, with its settings, so that a stage's folder can keep it.
    pub fn from_run<B: Backend, C: RecallerConfig>(run: Run<B, C>) -> Self {
        let model = Self::new::<B, _>(run.model.clone());
        let catalog = &run.catalog;
        let trained_by = Some((catalog.fingerprint(), catalog.user_features().to_vec()));
        let write = move |path: &Path, files: &ModelFiles, catalog: &WrittenCatalog| {
            run.write_model(path, files, catalog)
        };
        Self {
            trained_by,
            write: Some(Arc::new(write)),
            ..model
        }
    }

    /// Refuses a model of other items or other features of users than a catalog's: it would be asked by
    /// numbers that mean something else to it.
    fn check(&self, catalog: &Catalog, name: &str) -> Result<()> {
        let what = "items of the model";
        checks::same_length(what, catalog.len() + 1, self.item_vectors.nrows())?;
        let trained_by = self.trained_by.as_ref();
        if trained_by.is_some_and(|(fingerprint, _)| *fingerprint != catalog.fingerprint()) {
            let reason =
                "was trained for other items than the stage's data have, or in another order";
            return Err(Error::invalid("model", name, reason));
        }
        // By what the model looks at: others may be trained on the same split.
        let (looked_at, known) = (self.user_features, catalog.user_features());
        let trained_by = trained_by
            .map(|(_, names)| names)
            .filter(|names| !names.is_empty());
        if looked_at == 0 || trained_by.map_or(looked_at == known.len(), |names| names == known) {
            return Ok(());
        }
        let reason = match trained_by {
            Some(names) => {
                format!("looks at the features of users {names:?}, and there are {known:?}")
            }
            None => format!(
                "looks at {looked_at} features of users, and the stage's data name {}: give the data \
                 set its features of users before it is split, and save the run anew with the \
                 split's catalog",
                known.len()
            ),
        };
        Err(Error::invalid("model", name, reason))
    }
}

impl fmt::Debug for StageModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StageModel({:?})", self.item_vectors.shape())
    }
}

impl From<TrainingData> for StageData {
    /// Training data without models, and without their log, which a stage does not keep: as built and
    /// as loaded, its popularity counts sequences.
    fn from(training: TrainingData) -> Self {
        Self {
            time_unit: training.time_unit(),
            training: training.without_log(),
            model: None,
            further: Vec::new(),
        }
    }
}

impl StageData {
    /// The unit of the times of sequences, and so of those of events and calls.
    pub fn time_unit(&self) -> TimeUnit {
        self.time_unit
    }

    /// These data with a model, for channels that look at vectors.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when it is of another number of items, and [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when it is
    /// [of a run](StageModel::from_run) of another catalog, or looks at features of users that the data
    /// don't have.
    pub fn with_model(mut self, model: StageModel) -> Result<Self> {
        model.check(self.training.catalog(), "the stage's own")?;
        self.model = Some(model);
        Ok(self)
    }

    /// These data with a further model under a name, for channels that
    /// [name it](super::PlannedChannel::model). A folder keeps it where it is
    /// [that of a run](StageModel::from_run).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when it is of another number of items, and [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the
    /// name is taken, the model is of a run of another catalog, or it looks at features of users that
    /// the data don't have.
    pub fn with_further_model(
        mut self,
        name: impl Into<String>,
        model: StageModel,
    ) -> Result<Self> {
        let name = name.into();
        model.check(self.training.catalog(), &name)?;
        if self.further.iter().any(|(other, _)| *other == name) {
            return Err(Error::invalid(
                "model",
                name,
                "is the name of another model",
            ));
        }
        self.further.push((name, model));
        Ok(self)
    }

    /// The model that a channel looks at: the one of a name, or the first.
    pub(super) fn model_of(&self, name: Option<&str>) -> Result<Option<&StageModel>> {
        let Some(name) = name else {
            return Ok(self.model.as_ref());
        };
        let found = self.further.iter().find(|(other, _)| other == name);
        let known = || {
            self.further
                .iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>()
        };
        match found {
            Some((_, model)) => Ok(Some(model)),
            None => {
                let reason = format!("is none of the stage's further models, {:?}", known());
                Err(Error::invalid("model", name, reason))
            }
        }
    }

    /// The training data.
    pub fn training(&self) -> &TrainingData {
        &self.training
    }
}
