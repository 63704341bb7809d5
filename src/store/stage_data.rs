//! What the channels of a stage are made of.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use crate::data::{Items, TimeUnit, TrainingData};
use crate::{Error, Result};

use super::new_items::no_vectors;
use super::recaller::Recaller;
use super::vector_table::VectorTable;
use crate::recall::ChannelSource;

/// All that the channels of a [`StagePlan`](super::StagePlan) are made of: training data and
/// trained models.
#[derive(Debug, Clone)]
pub struct StageData {
    pub(super) training: TrainingData,
    pub(super) model: Option<Recaller>,
    /// Further models, by name.
    pub(super) further: Vec<(String, Recaller)>,
    time_unit: TimeUnit,
}

impl From<TrainingData> for StageData {
    /// Training data without models, and without their log, which a stage does not keep: as built
    /// and as loaded, its popularity counts sequences.
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
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when it is of another number of items, and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when it is of another catalog,
    /// or looks at features of users that the data don't have.
    pub fn with_model(mut self, model: Recaller) -> Result<Self> {
        model.check(self.training.catalog(), "the stage's own")?;
        self.model = Some(model);
        Ok(self)
    }

    /// These data with a further model under a name, for channels that
    /// [name it](super::PlannedChannel::model).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when it is of another number of items, and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the name is taken, the
    /// model is of another catalog, or it looks at features of users that the data don't have.
    pub fn with_further_model(mut self, name: impl Into<String>, model: Recaller) -> Result<Self> {
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
    pub(super) fn model_of(&self, name: Option<&str>) -> Result<Option<&Recaller>> {
        match (name, self.known_model(name)) {
            (Some(name), None) => {
                let known = self.further.iter().map(|(name, _)| name.as_str());
                let known: Vec<&str> = known.collect();
                let reason = format!("is none of the stage's further models, {known:?}");
                Err(Error::invalid("model", name, reason))
            }
            (_, model) => Ok(model),
        }
    }

    fn known_model(&self, name: Option<&str>) -> Option<&Recaller> {
        let Some(name) = name else {
            return self.model.as_ref();
        };
        let mut further = self.further.iter();
        (further.find(|(other, _)| other == name)).map(|(_, model)| model)
    }

    /// The source that a channel by itself is made of: these data, with the further model of a
    /// name, or the stage's own where none is named.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when no further model has the
    /// name.
    pub fn source(&self, model: Option<&str>) -> Result<ChannelSource<'_>> {
        Ok(self.source_of(self.model_of(model)?))
    }

    fn source_of<'a>(&'a self, model: Option<&'a Recaller>) -> ChannelSource<'a> {
        let source = ChannelSource::new(&self.training);
        match model {
            Some(model) => source
                .with_encoder(model.encoder())
                .with_item_vectors_of(|| model.item_vectors()),
            None => source,
        }
    }

    /// The same without a model where that of the name has no vectors for items that were
    /// [added](Self::with_items).
    pub(super) fn source_with_items(&self, model: Option<&str>) -> ChannelSource<'_> {
        self.source_of(self.known_model(model))
    }

    /// Refuses new items where no model has vectors for them.
    #[cfg(feature = "engine")]
    pub(super) fn check_takes_items(&self) -> Result<()> {
        let further = self.further.iter().map(|(_, model)| model);
        let mut models = self.model.iter().chain(further);
        match models.any(Recaller::takes_items) {
            true => Ok(()),
            false => Err(no_vectors()),
        }
    }

    /// These data with the items of a table that the catalog lacks, and with those of the models
    /// that have vectors for them.
    ///
    /// # Errors
    /// As [`Recaller::with_items`].
    pub(super) fn with_items(
        &self,
        items: &Items,
        vectors: &[(&str, &VectorTable)],
    ) -> Result<Self> {
        let extended = |model: &Recaller| {
            let takes = model.takes_items();
            takes.then(|| model.with_items(items, vectors)).transpose()
        };
        let model = self.model.as_ref().map(extended).transpose()?.flatten();
        let mut further = Vec::with_capacity(self.further.len());
        for (name, of_name) in &self.further {
            further.extend(extended(of_name)?.map(|model| (name.clone(), model)));
        }
        let mut models = model.iter().chain(further.iter().map(|(_, model)| model));
        let catalog = models.next().ok_or_else(no_vectors)?.catalog();
        Ok(Self {
            training: self.training.clone().with_new_items(catalog),
            model,
            further,
            time_unit: self.time_unit,
        })
    }

    /// The training data.
    pub fn training(&self) -> &TrainingData {
        &self.training
    }
}
