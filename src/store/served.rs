//! A stage with the data it serves from, and its folder.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::data::{Catalog, ExternalId, Features, IdTable, SequenceStore, TimeUnit, TrainingData};
use crate::files::{read_file, write_file};
use crate::{Error, ErrorKind, Result};

use super::arrays::{ArrayReader, ArrayWriter};
use super::kept::{KeptForm, add_to_arrays};
use super::made_stage::Made;
use super::plan::{PlannedChannel, StagePlan};
use super::recaller::Recaller;
use super::registry::ModelRegistry;
use super::run::{self, ModelFiles, WrittenCatalog};
use super::run_folder::{self, index_name, parse, read_checked, read_manifest};
use super::stage_data::StageData;
use crate::error::damaged;
use crate::recall::{Kept, RecallStage, Retriever};

/// The version of a stage's files that this build writes and reads.
const STAGE_FORMAT_VERSION: u32 = 9;

const MANIFEST: &str = "stage.json";
const SEQUENCES: &str = "sequences.store";
const SEGMENTS: &str = "segments.json";
const ARRAYS: &str = "stage.safetensors";

/// A stage together with the catalog and the users that it serves: what a
/// `RecallEngine` answers by.
#[derive(Debug)]
pub struct ServedStage {
    pub(crate) stage: RecallStage,
    pub(crate) data: StageData,
    /// The place of each user's sequence.
    pub(crate) users: Arc<IdTable>,
    /// What it was made of, unless it is one of a program's own.
    pub(super) made: Option<Made>,
}

#[derive(Serialize, Deserialize)]
struct StageManifest {
    format_version: u32,
    /// CRC-32 of the manifest of the model that it was made with, which has those of its files.
    model: u32,
    /// The names of further models, and CRC-32 of their manifests.
    further: Vec<(String, u32)>,
    /// The fingerprint of the catalog that numbers its items.
    catalog: u64,
    /// The unit of the times of the sequences, and of events.
    time_unit: TimeUnit,
    plan: StagePlan,
    /// The names of the items' tags; none where there are no tags.
    tags: Vec<String>,
    /// Whether the users have features, of the names that the catalog has.
    user_features: bool,
    /// CRC-32 of the header of the sequences' file, which has those of its arrays.
    sequences: u32,
    /// CRC-32 of each other file.
    segments: u32,
    arrays: u32,
    /// The form of what is kept of a channel, by its name; other channels are made anew.
    kept: BTreeMap<String, KeptForm>,
}

impl StageManifest {
    /// The fingerprint in the file of a channel's index: of the catalog, the model that the channel
    /// looks at, and the channel's name.
    fn index_fingerprint(&self, channel: &PlannedChannel) -> u64 {
        let named = |(name, _): &&(String, u32)| Some(name) == channel.model.as_ref();
        let model = (self.further.iter().find(named)).map_or(self.model, |&(_, model)| model);
        self.catalog
            ^ (u64::from(model) << 32)
            ^ u64::from(crc32fast::hash(channel.name.as_bytes()))
    }
}

impl StagePlan {
    /// Writes a run folder with a stage beside its model: the plan, the users with their
    /// sequences, and what takes long to make of channels. It becomes the folder's next version, as
    /// with [`Run::save`](super::Run::save): a crash leaves the one before, whole. Sequences are
    /// written as a [`SequenceStore`], a block at a time, so that they need not fit in memory.
    ///
    /// # Errors
    /// As [`build`](StagePlan::build) and [`Run::save`](super::Run::save), [`ErrorKind::Shape`]
    /// when the model is not of as many items as its catalog, [`ErrorKind::InvalidValue`]
    /// when model and data are of different catalogs, or the model looks at features of users that
    /// the data don't have.
    pub fn save(
        &self,
        path: impl AsRef<Path>,
        model: &Recaller,
        data: impl Into<StageData>,
    ) -> Result<()> {
        let (path, data) = (path.as_ref(), data.into());
        let catalog = served_catalog(model, data.training().catalog())?;
        let data = data.with_model(model.clone())?;
        let stage = StageWriter::new(path, self, &data)?;
        run_folder::save(path, |folder| {
            let catalog = WrittenCatalog::write(&catalog, folder)?;
            let model = model.write_model(folder, &ModelFiles::own(), &catalog)?;
            stage.write(folder, model, &catalog)
        })
    }
}

/// The catalog of a folder: the model's, with the names of those features of users that the data
/// have.
fn served_catalog(model: &Recaller, of_data: &Catalog) -> Result<Catalog> {
    let of_model = model.catalog();
    if of_data.fingerprint() != of_model.fingerprint() {
        let reason = "the model was trained for other items, or in another order; take the training data \
                      of the split that it was trained on, or of its data set";
        return Err(Error::invalid(
            "data of the stage",
            "of another catalog",
            reason,
        ));
    }
    let features = of_data.user_features();
    if model.has_user_features() && features != of_model.user_features() {
        let reason = format!(
            "those of the stage's data are {features:?}; take the catalog of the same split"
        );
        let found = format!("{:?}", of_model.user_features());
        return Err(Error::invalid("user features of the model", found, reason));
    }
    Ok(of_model.clone().with_user_features_of(of_data))
}

/// A stage that is ready to be written beside its model.
struct StageWriter<'a> {
    plan: &'a StagePlan,
    data: &'a StageData,
    segments: Vec<u8>,
    arrays: Vec<u8>,
    user_features: bool,
    further: Vec<(&'a str, &'a Recaller)>,
    kept: Vec<Option<Kept>>,
}

impl<'a> StageWriter<'a> {
    /// Prepares a stage for a folder at `path`.
    fn new(path: &Path, plan: &'a StagePlan, data: &'a StageData) -> Result<Self> {
        // The stage itself is not kept, but what can't be built is refused.
        let (_, parts) = plan.assemble(data, None)?;
        let kept = parts.channels.into_iter().map(|(_, kept)| kept);
        let kept: Vec<Option<Kept>> = kept.collect();
        // And so is what can't be read again: settings that JSON has no number for, two kinds of a
        // name.
        let _: StagePlan = parse(&json(path, plan)?, path)?;
        let (mut arrays, training) = (ArrayWriter::default(), data.training());
        let sequences = training.sequences();
        let users = 0..sequences.len();
        let features: Vec<f32> = (users.clone())
            .flat_map(|user| sequences.history(user).features().iter().copied())
            .collect();
        let user_features = !features.is_empty();
        if user_features {
            arrays.add("user_features", features.into_iter());
        }
        if let Ok(tags) = training.tags() {
            arrays.add_matrix("tags", tags.values());
        }
        for (kept, channel) in kept.iter().zip(&plan.channels) {
            if let Some(kept) = kept {
                add_to_arrays(kept, &channel.name, &mut arrays);
            }
        }
        let users = users.filter(|_| training.has_segments());
        let segments: Vec<&[String]> = users.map(|user| training.segments(user)).collect();
        let further = data.further.iter();
        Ok(Self {
            plan,
            data,
            segments: json(path, &segments)?,
            arrays: arrays.finish(&path.join(ARRAYS))?,
            user_features,
            further: further
                .map(|(name, model)| (name.as_str(), model))
                .collect(),
            kept,
        })
    }

    /// Writes the stage into a folder whose own model has a manifest of this checksum.
    fn write(&self, folder: &Path, model: u32, catalog: &WrittenCatalog) -> Result<()> {
        let training = self.data.training();
        let mut further = Vec::with_capacity(self.further.len());
        for (place, (name, model)) in self.further.iter().enumerate() {
            let written = model.write_model(folder, &ModelFiles::further(place), catalog)?;
            further.push(((*name).to_owned(), written));
        }
        let manifest = StageManifest {
            format_version: STAGE_FORMAT_VERSION,
            model,
            further,
            catalog: training.catalog().fingerprint(),
            time_unit: self.data.time_unit(),
            plan: self.plan.clone(),
            tags: (training.tags()).map_or_else(|_| Vec::new(), |tags| tags.names().to_vec()),
            user_features: self.user_features,
            sequences: SequenceStore::write(&folder.join(SEQUENCES), training)?,
            segments: crc32fast::hash(&self.segments),
            arrays: crc32fast::hash(&self.arrays),
            kept: (self.kept.iter().zip(&self.plan.channels))
                .filter_map(|(kept, channel)| {
                    Some((channel.name.clone(), KeptForm::of(kept.as_ref()?)))
                })
                .collect(),
        };
        for (place, (kept, channel)) in self.kept.iter().zip(&self.plan.channels).enumerate() {
            if let Some(Kept::Index(index, _)) = kept {
                let fingerprint = manifest.index_fingerprint(channel);
                index.save(folder.join(index_name(place)), fingerprint)?;
            }
        }
        write_file(&folder.join(SEGMENTS), &self.segments)?;
        write_file(&folder.join(ARRAYS), &self.arrays)?;
        write_file(&folder.join(MANIFEST), &json(folder, &manifest)?)
    }
}

fn json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| damaged(path, error.to_string()))
}

impl ServedStage {
    /// A stage of your own, with the data it was made of.
    pub fn new(stage: RecallStage, data: impl Into<StageData>) -> Self {
        let data = data.into();
        Self {
            users: Arc::new(data.training.user_ids().cloned().collect()),
            stage,
            data,
            made: None,
        }
    }

    /// Reads a run folder with a [stage](StagePlan::save), whatever model of this crate it has.
    ///
    /// # Errors
    /// As [`load_with`](ServedStage::load_with).
    pub fn load<B: Backend>(path: impl AsRef<Path>, device: &B::Device) -> Result<Self> {
        Self::load_with(path, &ModelRegistry::<B>::builtin(), device)
    }

    /// Reads a run folder with a [stage](StagePlan::save), whatever model of a registry it has. Its
    /// sequences are mapped, so that nothing may write into the files of a version that is loaded:
    /// copy a folder into place under another name, and rename it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when a file is missing, [`ErrorKind::FormatVersion`] when another version
    /// wrote it, [`ErrorKind::NoStage`] for a model without a stage, and [`ErrorKind::Damaged`]
    /// when it was cut short or altered, or when files of two runs are mixed.
    pub fn load_with<B: Backend>(
        path: impl AsRef<Path>,
        models: &ModelRegistry<B>,
        device: &B::Device,
    ) -> Result<Self> {
        run_folder::read(path.as_ref(), |version| {
            Self::load_version(version, models, device)
        })
    }

    /// Reads a version of a run folder.
    fn load_version<B: Backend>(
        path: &Path,
        models: &ModelRegistry<B>,
        device: &B::Device,
    ) -> Result<Self> {
        let model = models.load(path, &ModelFiles::own(), None, device)?;
        let catalog = model.catalog().clone();
        let manifest_path = path.join(MANIFEST);
        if !manifest_path.exists() {
            let path = path.to_owned();
            return Err(ErrorKind::NoStage { path }.into());
        }
        let versions = STAGE_FORMAT_VERSION..=STAGE_FORMAT_VERSION;
        let manifest: StageManifest =
            read_manifest(&manifest_path, versions).map_err(with_unknown_kind)?;
        let of_model = crc32fast::hash(&read_file(&path.join(run::MANIFEST))?);
        if manifest.model != of_model || manifest.catalog != catalog.fingerprint() {
            let reason = "it was made with another model or catalog than the folder's";
            return Err(damaged(&manifest_path, reason));
        }
        let arrays = read_checked(path, ARRAYS, manifest.arrays, MANIFEST)?;
        let arrays = ArrayReader::new(path.join(ARRAYS), &arrays)?;
        let training = read_training_data(path, &manifest, &arrays, catalog)?;
        let mut data = StageData::from(training).with_model(model)?;
        for (place, (name, checksum)) in manifest.further.iter().enumerate() {
            let files = ModelFiles::further(place);
            read_checked(path, &files.manifest, *checksum, MANIFEST)?;
            let catalog = data.training().catalog();
            let model = models.load(path, &files, Some(catalog), device)?;
            data = data.with_further_model(name, model)?;
        }
        let items = data.training().catalog().len();
        let read_kept = |place: usize, channel: &PlannedChannel| {
            let (fingerprint, index) = (
                manifest.index_fingerprint(channel),
                path.join(index_name(place)),
            );
            let form = manifest.kept.get(&channel.name);
            form.map(|form| form.read(&channel.name, &arrays, items, &index, fingerprint))
                .transpose()
        };
        let names = manifest.plan.channels.iter().map(|channel| &channel.name);
        if !manifest
            .kept
            .keys()
            .all(|kept| names.clone().any(|name| name == kept))
        {
            return Err(damaged(
                &manifest_path,
                "it keeps something of a channel that is not there",
            ));
        }
        let (stage, parts) = (manifest.plan.assemble(&data, Some(&read_kept)))
            .map_err(|error| of_folder(error, &manifest_path))?;
        let made = Made::new(manifest.plan, parts, items);
        Ok(Self {
            made: Some(made),
            ..Self::new(stage, data)
        })
    }

    /// The retriever of the stage, which knows histories that it is given and not the users by id,
    /// and the data that the stage was made of, whose users it may
    /// [recall for](Retriever::recall_all).
    ///
    /// # Errors
    /// As [`Retriever::new`].
    pub fn into_retriever(self) -> Result<(Retriever, TrainingData)> {
        let data = self.data.training;
        let mut retriever = Retriever::new(self.stage, data.catalog().clone())?;
        if let Ok(tags) = data.tags() {
            retriever = retriever.tags(tags);
        }
        Ok((retriever, data))
    }

    /// The stage.
    pub fn stage(&self) -> &RecallStage {
        &self.stage
    }

    /// The users, each in the place of their sequence.
    pub fn users(&self) -> &[ExternalId] {
        self.users.ids()
    }

    /// The sequences and the catalog that it was made of.
    pub fn data(&self) -> &TrainingData {
        self.data.training()
    }
}

/// An error of what a folder holds, which names the file.
fn of_folder(error: Error, manifest: &Path) -> Error {
    match error.kind() {
        ErrorKind::InvalidValue { .. }
        | ErrorKind::Shape { .. }
        | ErrorKind::NonFiniteVector { .. } => damaged(manifest, error.to_string()),
        _ => error,
    }
}

/// The same error with what to do where a kind of channels is not known.
fn with_unknown_kind(error: Error) -> Error {
    match error.into_kind() {
        ErrorKind::Damaged { path, reason } if reason.contains("unknown variant") => {
            let reason = format!(
                "{reason}; if this is a kind of channels, link the crate that it is from \
                 (`use the_crate as _;`), or turn on its feature, such as `ease`"
            );
            ErrorKind::Damaged { path, reason }.into()
        }
        kind => kind.into(),
    }
}

/// Reads the sequences with all that is known of their users and items.
fn read_training_data(
    path: &Path,
    manifest: &StageManifest,
    arrays: &ArrayReader<'_>,
    catalog: Catalog,
) -> Result<TrainingData> {
    let file = path.join(SEQUENCES);
    if SequenceStore::checksum(&file)? != manifest.sequences {
        return Err(damaged(&file, "its checksum is not the one in stage.json"));
    }
    let mut dataset = SequenceStore::open(&file)?.into_dataset();
    if dataset.catalog().fingerprint() != manifest.catalog {
        return Err(damaged(&file, "its items are not the catalog's"));
    }
    // Ids that are there twice are one in the table of all.
    let users = dataset.users();
    if users > 0 && dataset.user_id(users - 1).is_none() {
        return Err(damaged(&file, "a user's id is in it twice"));
    }
    if manifest.user_features {
        let features = user_features(arrays, &catalog, users)
            .map_err(|reason| damaged(&path.join(ARRAYS), reason.to_string()))?;
        dataset = dataset.with_user_features(features)?;
    }
    let mut data =
        (dataset.training_data().with_catalog(catalog)?).with_time_unit(manifest.time_unit);
    let segments = read_checked(path, SEGMENTS, manifest.segments, MANIFEST)?;
    let segments: Vec<Vec<String>> = parse(&segments, &path.join(SEGMENTS))?;
    if !segments.is_empty() {
        data = data.with_segments(segments)?;
    }
    if !manifest.tags.is_empty() {
        let tags = Features::new(manifest.tags.clone(), arrays.matrix("tags")?)?;
        data = data.with_tags(tags)?;
    }
    Ok(data)
}

/// The features of users, a row for each.
fn user_features(arrays: &ArrayReader<'_>, catalog: &Catalog, users: usize) -> Result<Features> {
    let names = catalog.user_features().to_vec();
    let values: Vec<f32> = arrays.get("user_features")?;
    let found = values.len();
    let lacks = |_| {
        Error::from(ErrorKind::Shape {
            what: "user_features",
            expected: users * names.len(),
            found,
        })
    };
    let values = Array2::from_shape_vec((users, names.len()), values).map_err(lacks)?;
    Ok(Features::new(names, values)?.with_scales(catalog.user_scales().to_vec()))
}
