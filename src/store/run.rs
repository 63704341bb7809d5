//! A trained model on disk, with all that serving it needs.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;
use std::sync::Arc;

use burn_store::{ModuleSnapshot, SafetensorsStore};
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, check_device};
use crate::data::Catalog;
use crate::files::write_file;
use crate::model::{
    RecallerConfig, SequenceRecaller, Similarity, check_events, drawn, with_newer_settings,
};
use crate::recall::{Retriever, VectorChannel};
use crate::retrieve::exact_index;
use crate::{Error, ErrorKind, Result};

use super::item_features;
use super::run_folder::{
    self, RUN_FORMAT_VERSION, RUN_FORMAT_VERSIONS, read_checked, read_manifest,
};
use crate::error::damaged;

pub(super) const MANIFEST: &str = "model.json";
const CATALOG: &str = "catalog.json";
const ITEM_FEATURES: &str = "item-features.safetensors";

/// The names of a model's files in a version of a run folder.
#[derive(Debug, Clone)]
pub(super) struct ModelFiles {
    pub(super) manifest: String,
    pub(super) config: String,
    pub(super) weights: String,
}

impl ModelFiles {
    /// Those of the run's own model.
    pub(super) fn own() -> Self {
        Self::numbered("")
    }

    /// Those of a stage's further models, by their place.
    pub(super) fn further(place: usize) -> Self {
        Self::numbered(&format!("-{place}"))
    }

    fn numbered(number: &str) -> Self {
        Self {
            manifest: format!("model{number}.json"),
            config: format!("config{number}.json"),
            weights: format!("weights{number}.safetensors"),
        }
    }
}

/// A trained model with its settings and its catalog.
///
/// Its folder holds a folder for each of the last two versions that were saved, and `run.json`,
/// which names the one that counts. A version has `weights.safetensors`, `config.json`,
/// `catalog.json` and `model.json`, which names the format version, the model, the similarity, the
/// catalog's fingerprint and the other files' checksums. It is never changed, so that whoever loads
/// a run while another is saved gets one of them whole. What else lies in the folder, such as an
/// index, stays as it is.
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::data::Catalog;
/// use seqrec::model::{Gru4RecConfig, RecallerConfig};
/// use seqrec::store::Run;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("run");
/// let config = Gru4RecConfig::new().with_dim(8);
/// let catalog = Catalog::from_ids(["a", "b"].map(Into::into))?;
/// let model = config.init::<Flex>(catalog.len(), 1, &Default::default())?;
/// Run::<Flex, _>::new(config, model, catalog).save(&path)?;
///
/// let run = Run::<Flex, Gru4RecConfig>::load(&path, &Default::default())?;
/// assert_eq!(run.catalog.len(), 2);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Run<B: Backend, C: RecallerConfig> {
    /// The model's settings.
    pub config: C,
    /// The model.
    pub model: C::Recaller<B>,
    /// The catalog it was trained for, with training counts.
    pub catalog: Catalog,
}

#[derive(Debug, Serialize, Deserialize)]
struct ModelManifest {
    format_version: u32,
    model: String,
    similarity: Similarity,
    items: usize,
    /// Of the catalog.
    fingerprint: u64,
    /// CRC-32 of each file.
    checksums: Checksums,
}

#[derive(Debug, Serialize, Deserialize)]
struct Checksums {
    config: u32,
    catalog: u32,
    weights: u32,
    /// Of the features of the catalog's items, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item_features: Option<u32>,
}

/// A catalog that was written into a version of a run folder, as the manifests of its models name
/// it.
pub(super) struct WrittenCatalog {
    items: usize,
    fingerprint: u64,
    checksum: u32,
    item_features: Option<u32>,
}

impl WrittenCatalog {
    pub(super) fn write(catalog: &Catalog, version: &Path) -> Result<Self> {
        let json = catalog.to_json();
        write_file(&version.join(CATALOG), &json)?;
        let path = version.join(ITEM_FEATURES);
        let features = catalog.item_features().map(|features| {
            let bytes = item_features::to_bytes(features, &path)?;
            write_file(&path, &bytes)?;
            Ok::<_, Error>(crc32fast::hash(&bytes))
        });
        Ok(Self {
            item_features: features.transpose()?,
            items: catalog.len(),
            fingerprint: catalog.fingerprint(),
            checksum: crc32fast::hash(&json),
        })
    }
}

/// The [name](RecallerConfig::NAME) of the model of a version of a run folder.
///
/// # Errors
/// As [`Run::load`].
pub(super) fn model_name(version: &Path, files: &ModelFiles) -> Result<String> {
    let path = version.join(&files.manifest);
    let ModelManifest { model, .. } = read_manifest(&path, RUN_FORMAT_VERSIONS)?;
    Ok(model)
}

impl<B: Backend, C: RecallerConfig> Run<B, C> {
    /// A model that was made with `config` for the items of `catalog`.
    pub fn new(config: C, model: C::Recaller<B>, catalog: Catalog) -> Self {
        Self {
            config,
            model,
            catalog,
        }
    }

    /// Writes the run as the next version of a run folder, which is made where there is none. A
    /// crash leaves the version before, whole. The new version has no stage, whatever the one
    /// before had: [`StagePlan::save`](super::StagePlan::save) writes both.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`] when the folder holds anything and is no run folder,
    /// [`ErrorKind::InUse`] while another process saves there, [`ErrorKind::FormatVersion`] when
    /// another build wrote it, [`ErrorKind::InvalidValue`] when the catalog has
    /// [events](Catalog::behaviors) and the model was made without, and [`ErrorKind::Io`] when it
    /// can't be written. In all these cases it is left as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        run_folder::save(path.as_ref(), |version| {
            let catalog = WrittenCatalog::write(&self.catalog, version)?;
            self.write_model(version, &ModelFiles::own(), &catalog)
                .map(drop)
        })
    }

    /// Writes the model's files beside a catalog's; gives the manifest's checksum.
    pub(super) fn write_model(
        &self,
        path: &Path,
        files: &ModelFiles,
        catalog: &WrittenCatalog,
    ) -> Result<u32> {
        check_events(&self.model, &self.catalog)?;
        let mut store = SafetensorsStore::from_bytes(None);
        let unwritable = |reason: String| {
            Error::from(ErrorKind::Damaged {
                path: path.join(&files.weights),
                reason,
            })
        };
        self.model
            .save_into(&mut store)
            .map_err(|error| unwritable(error.to_string()))?;
        let weights = store
            .get_bytes()
            .map_err(|error| unwritable(error.to_string()))?;
        let config = burn::config::config_to_json(&self.config).into_bytes();
        let manifest = ModelManifest {
            format_version: RUN_FORMAT_VERSION,
            model: C::NAME.to_owned(),
            similarity: self.model.config().describe().similarity,
            items: catalog.items,
            fingerprint: catalog.fingerprint,
            checksums: Checksums {
                config: crc32fast::hash(&config),
                catalog: catalog.checksum,
                weights: crc32fast::hash(&weights),
                item_features: catalog.item_features,
            },
        };
        let manifest =
            serde_json::to_vec_pretty(&manifest).map_err(|error| unwritable(error.to_string()))?;
        write_file(&path.join(&files.config), &config)?;
        write_file(&path.join(&files.weights), &weights)?;
        write_file(&path.join(&files.manifest), &manifest)?;
        Ok(crc32fast::hash(&manifest))
    }

    /// The retriever of the model with exact search of its items, on the device where it is.
    ///
    /// # Errors
    /// As [`Retriever::new`] and [`exact_index`].
    pub fn into_retriever(self) -> Result<Retriever> {
        let index = exact_index(&self.model)?;
        Retriever::new(VectorChannel::from_model(self.model, index), self.catalog)
    }

    /// Reads a run's folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when a file is missing, [`ErrorKind::FormatVersion`] when another version
    /// wrote it, [`ErrorKind::Damaged`] when it is of another model, was cut short or was altered,
    /// and [`ErrorKind::Device`] when there is no such device.
    pub fn load(path: impl AsRef<Path>, device: &B::Device) -> Result<Self> {
        check_device::<B>(device)?;
        run_folder::read(path.as_ref(), |version| {
            Self::load_version(version, &ModelFiles::own(), None, device)
        })
    }

    /// Reads a model of a version of a run folder; its catalog is not read again where another
    /// model of the folder came with it.
    pub(super) fn load_version(
        path: &Path,
        files: &ModelFiles,
        catalog: Option<&Catalog>,
        device: &B::Device,
    ) -> Result<Self> {
        let manifest_path = path.join(&files.manifest);
        let manifest: ModelManifest = read_manifest(&manifest_path, RUN_FORMAT_VERSIONS)?;
        if manifest.model != C::NAME {
            return Err(damaged(
                &manifest_path,
                format!("it holds a model {:?}, not {:?}", manifest.model, C::NAME),
            ));
        }
        let read = |name, checksum| read_checked(path, name, checksum, &files.manifest);
        let config_file = read(&files.config, manifest.checksums.config)?;
        let not_read = |reason: String| damaged(&path.join(&files.config), reason);
        let config = serde_json::from_slice(&config_file)
            .map_err(|error| not_read(error.to_string()))
            .map(|settings| with_newer_settings(settings).to_string())?;
        let config =
            C::load_binary(config.as_bytes()).map_err(|error| not_read(error.to_string()))?;
        let catalog = match catalog {
            Some(catalog) => catalog.clone(),
            None => {
                let file = read(CATALOG, manifest.checksums.catalog)?;
                let catalog = Catalog::from_json(&file, &path.join(CATALOG))?;
                let features = manifest.checksums.item_features.map(|checksum| {
                    let bytes = read(ITEM_FEATURES, checksum)?;
                    item_features::from_bytes(&bytes, catalog.len(), &path.join(ITEM_FEATURES))
                });
                catalog.with_item_features(features.transpose()?.map(Arc::new))
            }
        };
        let weights = read(&files.weights, manifest.checksums.weights)?;
        let mut model = drawn::<B, C>(&config, &catalog, 0, device)?;
        let mut store = SafetensorsStore::from_bytes(Some(weights));
        model
            .load_from(&mut store)
            .map_err(|error| damaged(&path.join(&files.weights), error.to_string()))?;
        if catalog.fingerprint() != manifest.fingerprint {
            let reason = "its catalog is another one than that in catalog.json";
            return Err(damaged(&manifest_path, reason));
        }
        let similarity = config.describe().similarity;
        if similarity != manifest.similarity || catalog.len() != manifest.items {
            let reason = format!(
                "it names {} items compared by {}, and the other files hold {} by {}",
                manifest.items,
                manifest.similarity,
                catalog.len(),
                similarity
            );
            return Err(damaged(&manifest_path, reason));
        }
        Ok(Self {
            config,
            model,
            catalog,
        })
    }
}
