//! A stage with the data it serves from, and its folder.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::data::{
    Catalog, ExternalId, Features, IdTable, ItemIndex, TimeUnit, TrainingSequences, check_times,
};
use crate::files::{read_file, write_file};
use crate::index::{AnyIndex, IndexReport};
use crate::model::{RecallerConfig, SequenceRecaller};
use crate::{Error, Result};

use super::arrays::{ArrayReader, ArrayWriter};
use super::plan::{PlannedChannel, Prepared, StagePlan};
use super::registry::ModelRegistry;
use super::run::{self, ModelFiles, Run, WrittenCatalog};
use super::run_folder::{self, index_name, parse, read_checked, read_manifest};
use super::stage_data::{StageData, StageModel};
use crate::error::damaged;
use crate::recall::{RecallStage, check_offsets};

/// The version of a stage's files that this build writes. It reads the one before as well, which has
/// no features of users.
const STAGE_FORMAT_VERSION: u32 = 7;

const MANIFEST: &str = "stage.json";
const USERS: &str = "users.json";
const ARRAYS: &str = "stage.safetensors";

/// A stage together with the catalog and the users that it serves: what a
/// `RecallEngine` answers by.
#[derive(Debug)]
pub struct ServedStage {
    pub(crate) stage: RecallStage,
    pub(crate) data: StageData,
    /// The place of each user's sequence.
    pub(crate) users: IdTable,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format_version: u32,
    /// CRC-32 of the manifest of the model that it was made with, which has those of its files.
    model: u32,
    /// The names of further models, and CRC-32 of their manifests.
    further: Vec<(String, u32)>,
    /// The fingerprint of the catalog that numbers its items.
    catalog: u64,
    /// What the times of the sequences, and of events, are in.
    time_unit: TimeUnit,
    plan: StagePlan,
    /// The names of the items' tags; none where there are no tags.
    tags: Vec<String>,
    /// Whether the users have features, of the names that the catalog has.
    #[serde(default)]
    user_features: bool,
    /// CRC-32 of each file.
    users: u32,
    arrays: u32,
    /// What the index of each channel finds; `None` for a channel without one.
    indexes: Vec<Option<IndexReport>>,
}

/// What the file of a channel's index goes by in place of a catalog's fingerprint: the catalog, the
/// model and the channel's place.
fn index_fingerprint(catalog: u64, model: u32, channel: usize) -> u64 {
    catalog ^ (u64::from(model) << 32) ^ channel as u64
}

/// CRC-32 of the manifest of the model that a channel looks at.
fn model_of(channel: &PlannedChannel, own: u32, further: &[(String, u32)]) -> u32 {
    let named = further
        .iter()
        .find(|(name, _)| Some(name) == channel.model.as_ref());
    named.map_or(own, |&(_, checksum)| checksum)
}

#[derive(Serialize, Deserialize)]
struct Users {
    ids: Vec<ExternalId>,
    segments: Vec<Vec<String>>,
}

impl StagePlan {
    /// Writes a run folder with a stage beside its model: the plan, the users with their
    /// sequences, and what takes long to make of channels. It becomes the folder's next version, as
    /// with [`Run::save`]: a crash leaves the one before, whole.
    ///
    /// The data are made ready with the run's model.
    ///
    /// # Errors
    /// As [`build`](StagePlan::build) and [`Run::save`], [`Error::NothingLeft`] for a
    /// [further model](StageData::with_further_model) that is not of a run, [`Error::Shape`] or
    /// [`Error::OtherCatalog`] when run and data are of different catalogs, and
    /// [`Error::InvalidValue`] when the model looks at features of users that the data don't have.
    pub fn save<B: Backend, C: RecallerConfig>(
        &self,
        path: impl AsRef<Path>,
        run: &Run<B, C>,
        data: StageData,
    ) -> Result<()> {
        let path = path.as_ref();
        let fingerprint = data.catalog.fingerprint();
        if fingerprint != run.catalog.fingerprint() {
            return Err(Error::OtherCatalog {
                path: path.to_owned(),
                expected: run.catalog.fingerprint(),
                found: fingerprint,
            });
        }
        let features = data.catalog.user_features();
        if run.model.config().describe().user_features > 0
            && features != run.catalog.user_features()
        {
            let reason = format!(
                "those of the stage's data are {features:?}; take the catalog of the same split"
            );
            let found = format!("{:?}", run.catalog.user_features());
            return Err(Error::invalid("user features of the run", found, reason));
        }
        // Its names are those of the features that the folder keeps.
        let catalog = run.catalog.clone().with_user_features(features.to_vec());
        let time_unit = data.time_unit;
        let data = data.with_model(StageModel::new(run.model.clone()))?;
        let prepared = self.prepare(&data)?;
        let mut arrays = ArrayWriter::default();
        let sequences = || (0..data.sequences.len()).map(|place| data.sequences.history(place));
        let mut offsets = vec![0u64];
        let (mut items, mut times) = (Vec::new(), Vec::new());
        let mut features = Vec::new();
        for history in sequences() {
            items.extend_from_slice(history.items());
            times.extend_from_slice(history.times());
            features.extend_from_slice(history.features());
            offsets.push(items.len() as u64);
        }
        let user_features = !features.is_empty();
        if user_features {
            arrays.add("user_features", features.into_iter());
        }
        arrays.add("sequences.offsets", offsets.into_iter());
        arrays.add("sequences.items", items.into_iter().map(ItemIndex::get));
        arrays.add("sequences.times", times.into_iter());
        if let Some(tags) = &data.tags {
            arrays.add_matrix("tags", tags.values());
        }
        for (channel, prepared) in self.channels.iter().zip(&prepared) {
            prepared.write(&format!("channel.{}", channel.name), &mut arrays);
        }
        let arrays = arrays.finish(&path.join(ARRAYS))?;
        let indexes: Vec<_> = prepared.iter().map(Prepared::index).collect();
        // What can't be built again is not worth keeping: names that are taken, for one.
        self.assemble(prepared, &data)?;
        let users = Users {
            ids: data.users,
            segments: data.segments,
        };
        let unwritable = |error: serde_json::Error| damaged(path, error.to_string());
        let users = serde_json::to_vec(&users).map_err(unwritable)?;
        let further = data.further;
        let writes = further.iter().map(|(name, model)| {
            let reason =
                || format!("the settings of {name:?} are not known: `StageModel::from_run`");
            let lacks = || Error::NothingLeft { reason: reason() };
            Ok((name, model.write.clone().ok_or_else(lacks)?))
        });
        let writes = writes.collect::<Result<Vec<_>>>()?;
        let manifest = |model, further: &[(String, u32)]| Manifest {
            format_version: STAGE_FORMAT_VERSION,
            model,
            further: further.to_vec(),
            catalog: fingerprint,
            time_unit,
            plan: self.clone(),
            tags: data
                .tags
                .as_ref()
                .map_or_else(Vec::new, |tags| tags.names().to_vec()),
            user_features,
            users: crc32fast::hash(&users),
            arrays: crc32fast::hash(&arrays),
            indexes: (indexes.iter())
                .map(|index| index.as_ref().map(|&(_, report)| report))
                .collect(),
        };
        run_folder::save(path, |folder| {
            let catalog = WrittenCatalog::write(&catalog, folder)?;
            let model = run.write_model(folder, &ModelFiles::own(), &catalog)?;
            let mut further = Vec::with_capacity(writes.len());
            for (place, (name, write)) in writes.iter().enumerate() {
                let written = write(folder, &ModelFiles::further(place), &catalog)?;
                further.push(((*name).clone(), written));
            }
            for (place, (index, channel)) in indexes.iter().zip(&self.channels).enumerate() {
                if let Some((index, _)) = index {
                    let model = model_of(channel, model, &further);
                    let fingerprint = index_fingerprint(fingerprint, model, place);
                    index.save(folder.join(index_name(place)), fingerprint)?;
                }
            }
            let manifest = manifest(model, &further);
            let manifest = serde_json::to_vec_pretty(&manifest).map_err(unwritable)?;
            write_file(&folder.join(USERS), &users)?;
            write_file(&folder.join(ARRAYS), &arrays)?;
            write_file(&folder.join(MANIFEST), &manifest)
        })
    }
}

impl ServedStage {
    /// A stage of your own, with the data it was made of.
    pub fn new(stage: RecallStage, data: StageData) -> Self {
        Self {
            users: data.users.iter().cloned().collect(),
            stage,
            data,
        }
    }

    /// Reads a run folder with a [stage](StagePlan::save), whatever model of this crate it has.
    ///
    /// # Errors
    /// As [`load_with`](ServedStage::load_with).
    pub fn load<B: Backend>(path: impl AsRef<Path>, device: &B::Device) -> Result<Self> {
        Self::load_with(path, &ModelRegistry::<B>::builtin(), device)
    }

    /// Reads a run folder with a [stage](StagePlan::save), whatever model of a registry it has.
    ///
    /// # Errors
    /// [`Error::Io`] when a file is missing, [`Error::FormatVersion`] when another version wrote
    /// it, and [`Error::Damaged`] when it has no stage, was cut short or altered, or when files of
    /// two runs are mixed.
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
        let (model, catalog) = models.load(path, &ModelFiles::own(), None, device)?;
        let manifest_path = path.join(MANIFEST);
        if !manifest_path.exists() {
            let reason = "it is a run without a stage; write it with `StagePlan::save`";
            return Err(damaged(path, reason));
        }
        let manifest: Manifest = read_manifest(&manifest_path, STAGE_FORMAT_VERSION)?;
        let of_model = crc32fast::hash(&read_file(&path.join(run::MANIFEST))?);
        if manifest.model != of_model || manifest.catalog != catalog.fingerprint() {
            let reason = "it was made with another model or catalog than the folder's";
            return Err(damaged(&manifest_path, reason));
        }
        let read = |name: &str, checksum| read_checked(path, name, checksum, MANIFEST);
        let users_file = read(USERS, manifest.users)?;
        let users: Users = parse(&users_file, &path.join(USERS))?;
        let arrays_file = read(ARRAYS, manifest.arrays)?;
        let arrays = ArrayReader::new(path.join(ARRAYS), &arrays_file)?;
        let read_sequences = || {
            let sequences = sequences(&arrays, &catalog, users.ids.len())?;
            Ok(if manifest.user_features {
                sequences.with_user_features(features(&arrays, &catalog, users.ids.len())?)
            } else {
                sequences
            })
        };
        let mut data = StageData {
            sequences: read_sequences()
                .map_err(|reason: Error| damaged(&path.join(ARRAYS), reason.to_string()))?,
            catalog,
            users: users.ids,
            segments: Vec::new(),
            tags: None,
            model: None,
            further: Vec::new(),
            time_unit: manifest.time_unit,
        }
        .with_model(model)?;
        for (place, (name, checksum)) in manifest.further.iter().enumerate() {
            let files = ModelFiles::further(place);
            read(&files.manifest, *checksum)?;
            let (model, _) = models.load(path, &files, Some(&data.catalog), device)?;
            data = data.with_further_model(name, model)?;
        }
        if !users.segments.is_empty() {
            data = data.with_segments(users.segments)?;
        }
        if !manifest.tags.is_empty() {
            let tags = Features::new(manifest.tags, arrays.matrix("tags")?)?;
            data = data.with_tags(tags)?;
        }
        let items = data.catalog.len();
        let prepared = (manifest.plan.channels.iter().enumerate())
            .map(|(place, channel)| {
                let name = format!("channel.{}", channel.name);
                let open = || {
                    let of_model = model_of(channel, of_model, &manifest.further);
                    let fingerprint = index_fingerprint(manifest.catalog, of_model, place);
                    let index = AnyIndex::open(path.join(index_name(place)), fingerprint)?;
                    let report = manifest.indexes.get(place).copied().flatten();
                    let lacks = || damaged(&manifest_path, "it says nothing of an index");
                    Ok((index, report.ok_or_else(lacks)?))
                };
                Prepared::read(&channel.kind, &name, &arrays, items, open)
            })
            .collect::<Result<Vec<_>>>()?;
        let stage = manifest.plan.assemble(prepared, &data)?;
        let served = Self::new(stage, data);
        if served.users.len() != served.data.users.len() {
            return Err(damaged(&path.join(USERS), "a user's id is in it twice"));
        }
        Ok(served)
    }

    /// The stage.
    pub fn stage(&self) -> &RecallStage {
        &self.stage
    }

    /// The place of each user's sequence.
    pub fn users(&self) -> &IdTable {
        &self.users
    }

    /// What it was made of.
    pub fn data(&self) -> &StageData {
        &self.data
    }
}

/// The features of users, a row for each.
fn features(arrays: &ArrayReader<'_>, catalog: &Catalog, users: usize) -> Result<Features> {
    let names = catalog.user_features().to_vec();
    let values: Vec<f32> = arrays.get("user_features")?;
    let found = values.len();
    let lacks = |_| Error::Shape {
        what: "user_features",
        expected: users * names.len(),
        found,
    };
    let values = Array2::from_shape_vec((users, names.len()), values).map_err(lacks)?;
    Features::new(names, values)
}

fn sequences(
    arrays: &ArrayReader<'_>,
    catalog: &Catalog,
    users: usize,
) -> Result<TrainingSequences> {
    let offsets = arrays.offsets("sequences.offsets")?;
    let items: Vec<u32> = arrays.get("sequences.items")?;
    let times: Vec<f64> = arrays.get("sequences.times")?;
    check_offsets("sequences.offsets", &offsets, items.len())?;
    if offsets.len() != users + 1 {
        let reason = format!("must be one more than users, {users}");
        return Err(Error::invalid("sequences.offsets", offsets.len(), reason));
    }
    if times.len() != items.len() {
        let reason = format!("must be as many as items, {}", items.len());
        return Err(Error::invalid("sequences.times", times.len(), reason));
    }
    for (&from, &to) in offsets.iter().zip(offsets.iter().skip(1)) {
        check_times("sequences.times", times.get(from..to).unwrap_or_default())?;
    }
    let known = 1..=catalog.len() as u32;
    if let Some(item) = items.iter().find(|item| !known.contains(item)) {
        return Err(Error::invalid(
            "sequences.items",
            item,
            "is not in the catalog",
        ));
    }
    Ok(TrainingSequences::from_parts(
        offsets,
        ItemIndex::from_vec(items),
        times,
    ))
}
