//! What the channels of a stage are made of.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{Catalog, Dataset, ExternalId, Features, TimeUnit, TrainingSequences};
use crate::model::{RecallerConfig, SequenceRecaller};
use crate::{Error, Result, checks};

use super::run::{ModelFiles, Run, WrittenCatalog};

use crate::retrieve::{ModelEncoder, UserEncoder, item_vectors};

/// All that the channels of a [`StagePlan`](super::StagePlan) are made of.
#[derive(Debug, Clone)]
pub struct StageData {
    pub(super) catalog: Catalog,
    pub(super) sequences: TrainingSequences,
    /// Whose sequence each is.
    pub(super) users: Vec<ExternalId>,
    /// The segments of each one's user; none at all, or one list for each.
    pub(super) segments: Vec<Vec<String>>,
    /// Tags of items, which are features above 0.
    pub(super) tags: Option<Features>,
    pub(super) model: Option<StageModel>,
    /// Further models, by name.
    pub(super) further: Vec<(String, StageModel)>,
    /// What times are in.
    pub(super) time_unit: TimeUnit,
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

impl StageData {
    /// Training sequences of a data set, with the catalog that counts them:
    /// [`Split::catalog`](crate::data::Split::catalog), or the data set's own where nothing is
    /// held out. The unit of times is inferred from their size; see
    /// [`with_time_unit`](StageData::with_time_unit).
    ///
    /// # Errors
    /// [`Error::UnknownItem`] or [`Error::Shape`] when the sequences are not of the data set's users
    /// or hold items that are not in the catalog, and [`Error::InvalidValue`] when the catalog names
    /// other [features of users](Catalog::user_features) than the data set has.
    pub fn new(dataset: &Dataset, sequences: TrainingSequences, catalog: Catalog) -> Result<Self> {
        let mut users = Vec::with_capacity(sequences.len());
        for sequence in 0..sequences.len() {
            let user = sequences.user(sequence);
            let id = dataset.user_id(user).ok_or(Error::Shape {
                what: "users of the data set, of which a sequence is another's",
                expected: dataset.users(),
                found: user,
            })?;
            users.push(id.clone());
        }
        sequences.check_items(&catalog)?;
        let (of_data, named) = (dataset.catalog().user_features(), catalog.user_features());
        if of_data != named {
            let reason = format!(
                "the data set's are {of_data:?}; split it after it was given features of users, and \
                 take the split's catalog"
            );
            let found = format!("{named:?}");
            return Err(Error::invalid(
                "user features of the catalog",
                found,
                reason,
            ));
        }
        Ok(Self {
            users,
            time_unit: TimeUnit::from_times(
                (0..sequences.len()).flat_map(|sequence| sequences.history(sequence).times()),
            ),
            catalog,
            sequences,
            segments: Vec::new(),
            tags: None,
            model: None,
            further: Vec::new(),
        })
    }

    /// These data with times that are in another unit than their size says.
    #[must_use]
    pub fn with_time_unit(mut self, time_unit: TimeUnit) -> Self {
        self.time_unit = time_unit;
        self
    }

    /// What the times of the sequences, and so those of events and calls, are in.
    pub fn time_unit(&self) -> TimeUnit {
        self.time_unit
    }

    /// These data with a model, for channels that look at vectors.
    ///
    /// # Errors
    /// [`Error::Shape`] when it is of another number of items, and [`Error::InvalidValue`] when it is
    /// [of a run](StageModel::from_run) of another catalog, or looks at features of users that the data
    /// don't have.
    pub fn with_model(mut self, model: StageModel) -> Result<Self> {
        model.check(&self.catalog, "the stage's own")?;
        self.model = Some(model);
        Ok(self)
    }

    /// These data with a further model under a name, for channels that
    /// [name it](super::PlannedChannel::model). A folder keeps it where it is
    /// [that of a run](StageModel::from_run).
    ///
    /// # Errors
    /// [`Error::Shape`] when it is of another number of items, and [`Error::InvalidValue`] when the
    /// name is taken, the model is of a run of another catalog, or it looks at features of users that
    /// the data don't have.
    pub fn with_further_model(
        mut self,
        name: impl Into<String>,
        model: StageModel,
    ) -> Result<Self> {
        let name = name.into();
        model.check(&self.catalog, &name)?;
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

    /// These data with tags of items, `[items + 1, tags]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is not one row for each item, and padding.
    pub fn with_tags(mut self, tags: Features) -> Result<Self> {
        checks::same_length(
            "rows of tags",
            self.catalog.len() + 1,
            tags.values().nrows(),
        )?;
        self.tags = Some(tags);
        Ok(self)
    }

    /// These data with the segments that each sequence's user is in.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is not one list for each sequence.
    pub fn with_segments(mut self, segments: Vec<Vec<String>>) -> Result<Self> {
        checks::same_length("segments of users", self.sequences.len(), segments.len())?;
        self.segments = segments;
        Ok(self)
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The training sequences.
    pub fn sequences(&self) -> &TrainingSequences {
        &self.sequences
    }

    /// Whose sequence each is.
    pub fn users(&self) -> &[ExternalId] {
        &self.users
    }

    /// The segments of the user of a sequence.
    pub fn segments(&self, sequence: usize) -> &[String] {
        self.segments.get(sequence).map_or(&[], Vec::as_slice)
    }

    /// Tags of items, where there are any.
    pub fn tags(&self) -> Option<&Features> {
        self.tags.as_ref()
    }
}
