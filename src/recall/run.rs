//! A trained model on disk, with all that serving it needs.

use std::path::Path;

use burn::module::ModuleDisplay;
use burn_store::{ModuleSnapshot, SafetensorsStore};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::data::Catalog;
use crate::files::{read_file, readable, write_file, write_folder};
use crate::model::{RecallerConfig, SequenceRecaller, Similarity};
use crate::{Error, Result};

/// The version of run folders that this build writes and reads.
pub const RUN_FORMAT_VERSION: u32 = 2;

const MANIFEST: &str = "run.json";
const CONFIG: &str = "config.json";
const CATALOG: &str = "catalog.json";
const WEIGHTS: &str = "weights.safetensors";

/// A trained model with its settings and its catalog.
///
/// Its folder holds `weights.safetensors`, `config.json`, `catalog.json` and `run.json`, which
/// names the format version, the model, the similarity and the other files' checksums.
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::data::Catalog;
/// use seqrec::model::{Gru4RecConfig, RecallerConfig};
/// use seqrec::recall::Run;
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("run");
/// let config = Gru4RecConfig::new().with_dim(8);
/// let catalog = Catalog::from_ids(["a", "b"].map(Into::into))?;
/// let model = config.init::<Flex>(catalog.len(), 1, &Default::default())?;
/// Run::<Flex, Gru4RecConfig> { config, model, catalog }.save(&path)?;
///
/// let run = Run::<Flex, Gru4RecConfig>::load(&path, &Default::default())?;
/// assert_eq!(run.catalog.len(), 2);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug)]
pub struct Run<B: Backend, C: RecallerConfig> {
    /// The model's settings.
    pub config: C,
    /// The model.
    pub model: C::Recaller<B>,
    /// The catalog it was trained for, with training counts.
    pub catalog: Catalog,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format_version: u32,
    model: String,
    similarity: Similarity,
    items: usize,
    /// CRC-32 of each file.
    checksums: Checksums,
}

#[derive(Debug, Serialize, Deserialize)]
struct Checksums {
    config: u32,
    catalog: u32,
    weights: u32,
}

/// Reads a manifest; a later version's is told from a broken one.
pub(super) fn read_manifest<T: DeserializeOwned>(path: &Path, supported: u32) -> Result<T> {
    let json = read_file(path)?;
    let VersionOnly { format_version } = parse(&json, path)?;
    if format_version != supported {
        return Err(Error::FormatVersion {
            path: path.parent().unwrap_or(path).to_owned(),
            found: format_version,
            supported,
        });
    }
    parse(&json, path)
}

/// Reads a file of a folder whose manifest has its checksum.
pub(super) fn read_checked(
    folder: &Path,
    name: &str,
    checksum: u32,
    manifest: &str,
) -> Result<Vec<u8>> {
    let file = folder.join(name);
    let contents = read_file(&file)?;
    if crc32fast::hash(&contents) == checksum {
        return Ok(contents);
    }
    let reason = format!("its checksum is not the one in {manifest}");
    Err(damaged(&file, reason))
}

/// The [name](RecallerConfig::NAME) of the model that a run's folder holds.
///
/// # Errors
/// As [`Run::load`].
pub(super) fn model_name(path: &Path) -> Result<String> {
    let path = readable(path).join(MANIFEST);
    let Manifest { model, .. } = read_manifest(&path, RUN_FORMAT_VERSION)?;
    Ok(model)
}

/// What is read before all else, so that a later version's folder is told from a broken one.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u32,
}

impl<B: Backend, C: RecallerConfig> Run<B, C>
where
    C::Recaller<B>: ModuleSnapshot<B> + ModuleDisplay,
{
    /// Writes the run as a folder. It is written aside and renamed: a crash leaves what was there
    /// before, whole.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_folder(path.as_ref(), |folder| self.write_into(folder))
    }

    /// Writes the run's files into a folder.
    pub(super) fn write_into(&self, path: &Path) -> Result<()> {
        let mut store = SafetensorsStore::from_bytes(None);
        let unwritable = |reason: String| Error::Damaged {
            path: path.join(WEIGHTS),
            reason,
        };
        self.model
            .save_into(&mut store)
            .map_err(|error| unwritable(error.to_string()))?;
        let weights = store
            .get_bytes()
            .map_err(|error| unwritable(error.to_string()))?;
        let config = burn::config::config_to_json(&self.config).into_bytes();
        let catalog = self.catalog.to_json();
        let manifest = Manifest {
            format_version: RUN_FORMAT_VERSION,
            model: C::NAME.to_owned(),
            similarity: self.model.similarity(),
            items: self.catalog.len(),
            checksums: Checksums {
                config: crc32fast::hash(&config),
                catalog: crc32fast::hash(&catalog),
                weights: crc32fast::hash(&weights),
            },
        };
        let manifest = serde_json::to_vec_pretty(&manifest).expect("a manifest is valid JSON");
        write_file(&path.join(CONFIG), &config)?;
        write_file(&path.join(CATALOG), &catalog)?;
        write_file(&path.join(WEIGHTS), &weights)?;
        write_file(&path.join(MANIFEST), &manifest)
    }

    /// Reads a run's folder.
    ///
    /// # Errors
    /// [`Error::Io`] when a file is missing, [`Error::FormatVersion`] when another version wrote
    /// it, and [`Error::Damaged`] when it is of another model, was cut short or was altered.
    pub fn load(path: impl AsRef<Path>, device: &B::Device) -> Result<Self> {
        let path = readable(path.as_ref());
        let manifest_path = path.join(MANIFEST);
        let manifest: Manifest = read_manifest(&manifest_path, RUN_FORMAT_VERSION)?;
        if manifest.model != C::NAME {
            return Err(damaged(
                &manifest_path,
                format!("it holds a model {:?}, not {:?}", manifest.model, C::NAME),
            ));
        }
        let read = |name, checksum| read_checked(&path, name, checksum, MANIFEST);
        let config_file = read(CONFIG, manifest.checksums.config)?;
        let config = C::load_binary(&config_file)
            .map_err(|error| damaged(&path.join(CONFIG), error.to_string()))?;
        let catalog_file = read(CATALOG, manifest.checksums.catalog)?;
        let catalog = Catalog::from_json(&catalog_file, &path.join(CATALOG))?;
        let weights = read(WEIGHTS, manifest.checksums.weights)?;
        let mut model = config.init_for_loading::<B>(catalog.len(), device)?;
        let mut store = SafetensorsStore::from_bytes(Some(weights));
        model
            .load_from(&mut store)
            .map_err(|error| damaged(&path.join(WEIGHTS), error.to_string()))?;
        if model.similarity() != manifest.similarity || catalog.len() != manifest.items {
            let reason = format!(
                "it names {} items compared by {}, and the other files hold {} by {}",
                manifest.items,
                manifest.similarity,
                catalog.len(),
                model.similarity()
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

pub(super) fn damaged(path: &Path, reason: String) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        reason,
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], path: &Path) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| damaged(path, error.to_string()))
}
