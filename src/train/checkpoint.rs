//! Training that was interrupted, on disk.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::{Path, PathBuf};

use burn::record::{BinBytesRecorder, FullPrecisionSettings, Record, Recorder};
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::observer::EpochReport;
use crate::eval::Metric;
use crate::files::{
    FolderLock, entries, read_file, remove_folder, sweep, write_file, write_new_folder,
};
use crate::{Error, ErrorKind, Result};

/// The version of checkpoints that this build writes and reads.
const FORMAT_VERSION: u32 = 9;

const STATE: &str = "state.json";
const MODEL: &str = "model.bin";
const OPTIMIZER: &str = "optimizer.bin";
const BEST: &str = "best.bin";
/// Empty if weight averaging is off.
const MEAN: &str = "mean.bin";
const FILES: [&str; 5] = [STATE, MODEL, OPTIMIZER, BEST, MEAN];

fn is_ours(name: &std::ffi::OsStr) -> bool {
    FILES.iter().any(|file| name == *file)
}

/// The name of the folder of a checkpoint after so many validations.
fn folder_name(epoch: usize) -> String {
    format!("epoch-{epoch:05}")
}

/// The state of a training apart from tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The identity of the training, to refuse another training's checkpoint.
    pub(super) identity: Identity,
    pub(super) epochs: Vec<EpochReport>,
    pub(super) best_epoch: usize,
    pub(super) best_value: Option<f64>,
    pub(super) train_seconds: f64,
    /// The duration of everything, validation and checkpoints too.
    pub(super) wall_seconds: f64,
}

impl Progress {
    /// Before the first epoch.
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            epochs: Vec::new(),
            best_epoch: 0,
            best_value: None,
            train_seconds: 0.0,
            wall_seconds: 0.0,
        }
    }

    /// Whether a training that made so many validations can have left it.
    fn is_possible(&self, validations: usize) -> bool {
        let steps = || self.epochs.iter().map(|epoch| epoch.step);
        let spans = [self.train_seconds, self.wall_seconds];
        self.epochs.len() == validations
            && (1..=validations).contains(&self.best_epoch)
            && steps().all(|step| step > 0)
            && steps().is_sorted_by(|before, after| before < after)
            && spans.iter().all(|&seconds| seconds >= 0.0)
    }

    /// The number of steps so far.
    pub(super) fn steps(&self) -> usize {
        self.epochs.last().map_or(0, |epoch| epoch.step)
    }

    /// Adds the next report; whether it is the best so far. Without validation users the last one
    /// counts as the best.
    pub(super) fn add(&mut self, report: EpochReport, metric: Metric) -> bool {
        let validation = report.validation.as_ref();
        let value = validation.and_then(|report| report.get(metric));
        let improved = match (value, self.best_value) {
            (Some(value), Some(best)) => value > best,
            _ => true,
        };
        self.train_seconds += report.seconds;
        self.epochs.push(report);
        if improved {
            self.best_epoch = self.epochs.len();
            self.best_value = value;
        }
        improved
    }
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    format_version: u32,
    progress: Progress,
    /// CRC-32 of the files of the model, the optimizer, the best model and the mean of weights.
    checksums: [u32; 4],
}

/// A folder of checkpoints, one folder for each validation, of which the last is kept.
#[derive(Debug, Clone)]
pub(super) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether they are in this folder, however it is written.
    pub(super) fn is_in(&self, folder: &Path) -> bool {
        let same =
            |other: &Path| Some(self.folder.canonicalize().ok()? == other.canonicalize().ok()?);
        same(folder).unwrap_or(self.folder == folder)
    }

    /// Makes the folder this training's own, for as long as what it gives lives, and removes what
    /// a killed one left half-written.
    pub(super) fn lock(&self) -> Result<FolderLock> {
        std::fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        let lock = FolderLock::acquire(&self.folder)?;
        sweep(&self.folder, None);
        Ok(lock)
    }

    /// The epochs with a checkpoint, in rising order.
    fn epochs(&self) -> Result<Vec<(usize, PathBuf)>> {
        let mut epochs = Vec::new();
        for name in entries(&self.folder)? {
            let number = (name.to_str())
                .and_then(|name| name.strip_prefix("epoch-"))
                .and_then(|number| number.parse().ok());
            let path = self.folder.join(&name);
            // A folder without a state is none of ours.
            if let Some(number) = number
                && path.join(STATE).exists()
            {
                epochs.push((number, path));
            }
        }
        epochs.sort();
        Ok(epochs)
    }

    /// Writes a checkpoint, and only then removes the one before it. `records` are those of the
    /// model, the optimizer, the best model and the mean of weights, as [`encode`] gives them.
    pub(super) fn save(&self, progress: &Progress, records: &[Vec<u8>; 4]) -> Result<()> {
        let epoch = progress.epochs.len();
        let path = self.folder.join(folder_name(epoch));
        let state = StateFile {
            format_version: FORMAT_VERSION,
            progress: progress.clone(),
            checksums: records.each_ref().map(|record| crc32fast::hash(record)),
        };
        let state = serde_json::to_vec_pretty(&state)
            .map_err(|error| Error::io("write", &path)(error.into()))?;
        write_new_folder(&path, |folder| {
            for (name, contents) in [MODEL, OPTIMIZER, BEST, MEAN].into_iter().zip(records) {
                write_file(&folder.join(name), contents)?;
            }
            write_file(&folder.join(STATE), &state)
        })?;
        for (other, path) in self.epochs()? {
            if other != epoch {
                remove_folder(&path, is_ours)?;
            }
        }
        Ok(())
    }

    /// Removes all checkpoints, for a run that starts anew.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`] where a checkpoint's folder holds anything else.
    pub(super) fn clear(&self) -> Result<()> {
        for (_, path) in self.epochs()? {
            remove_folder(&path, is_ours)?;
        }
        Ok(())
    }

    /// Removes all checkpoints but the last, and numbers that as what was before the first epoch,
    /// for a run that starts from it. It goes with the first checkpoint of this run.
    pub(super) fn begin_after_last(&self) -> Result<()> {
        let mut epochs = self.epochs()?;
        let Some((number, last)) = epochs.pop() else {
            return Ok(());
        };
        for (_, path) in epochs {
            remove_folder(&path, is_ours)?;
        }
        let start = self.folder.join(folder_name(0));
        if number > 0 {
            std::fs::rename(&last, &start).map_err(Error::io("rename", &last))?;
        }
        Ok(())
    }

    /// The last checkpoint, if there is one.
    pub(super) fn last(&self) -> Result<Option<Checkpoint>> {
        let Some((number, path)) = self.epochs()?.pop() else {
            return Ok(None);
        };
        let file = path.join(STATE);
        let json = read_file(&file)?;
        let damaged = |reason: String| {
            Error::from(ErrorKind::Damaged {
                path: file.clone(),
                reason,
            })
        };
        let value: serde_json::Value =
            serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
        let version = (value.get("format_version"))
            .and_then(serde_json::Value::as_u64)
            .and_then(|found| u32::try_from(found).ok());
        match version {
            Some(FORMAT_VERSION) => {}
            Some(found) => {
                return Err(ErrorKind::FormatVersion {
                    path,
                    found,
                    supported: FORMAT_VERSION,
                }
                .into());
            }
            None => return Err(damaged("it has no format version".to_owned())),
        }
        let state: StateFile =
            serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        // The old training's, which a new one starts from, keeps what it was under another number.
        let validations = match number {
            0 => state.progress.epochs.len(),
            other => other,
        };
        if !state.progress.is_possible(validations) {
            return Err(damaged(
                "its epochs can't be those of a training".to_owned(),
            ));
        }
        Ok(Some(Checkpoint {
            is_start: number == 0,
            path,
            progress: state.progress,
            checksums: state.checksums,
        }))
    }
}

/// A checkpoint whose tensors are not read yet.
#[derive(Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    /// Whether it is another training's that this folder's starts from, which has none of its own
    /// yet.
    pub(super) is_start: bool,
    pub(super) progress: Progress,
    checksums: [u32; 4],
}

impl Checkpoint {
    pub(super) fn model<B: Backend, R: Record<B>>(&self, device: &B::Device) -> Result<R> {
        self.decode(MODEL, self.checksums[0], device)
    }

    pub(super) fn optimizer<B: Backend, R: Record<B>>(&self, device: &B::Device) -> Result<R> {
        self.decode(OPTIMIZER, self.checksums[1], device)
    }

    pub(super) fn best<B: Backend, R: Record<B>>(&self, device: &B::Device) -> Result<R> {
        self.decode(BEST, self.checksums[2], device)
    }

    pub(super) fn mean<B: Backend, R: Record<B>>(&self, device: &B::Device) -> Result<R> {
        self.decode(MEAN, self.checksums[3], device)
    }

    fn decode<B: Backend, R: Record<B>>(
        &self,
        name: &str,
        checksum: u32,
        device: &B::Device,
    ) -> Result<R> {
        let path = self.path.join(name);
        let contents = read_file(&path)?;
        let damaged = |reason: String| {
            Error::from(ErrorKind::Damaged {
                path: path.clone(),
                reason,
            })
        };
        // The decoder panics on what is not a record, so it is only given what was written.
        if crc32fast::hash(&contents) != checksum {
            return Err(damaged(
                "its checksum is not the one in state.json".to_owned(),
            ));
        }
        recorder()
            .load(contents, device)
            .map_err(|error| damaged(error.to_string()))
    }
}

fn recorder() -> BinBytesRecorder<FullPrecisionSettings> {
    BinBytesRecorder::default()
}

/// A record as bytes.
pub(super) fn encode<B: Backend>(record: impl Record<B>) -> Result<Vec<u8>> {
    Recorder::<B>::record(&recorder(), record, ()).map_err(|error| {
        Error::from(ErrorKind::Damaged {
            path: PathBuf::from("checkpoint"),
            reason: error.to_string(),
        })
    })
}
