//! The outcomes of trials, in a file.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{damaged, panic_text};
use crate::files::{read_file, write_file};
use crate::{Error, ErrorKind, Result};

/// The version of files of trials that this build writes and reads.
const FORMAT_VERSION: u32 = 1;

/// A training during which the process ended so often is not begun again.
const MOST_BEGUN: usize = 3;

/// A training: of a model with these settings, on these data, up to some epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    /// The split's fingerprint.
    pub(super) split: u64,
    pub(super) model: String,
    pub(super) settings: Value,
    pub(super) seed: u64,
    pub(super) epochs: usize,
}

/// The result of a training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// The best value of the metric.
    pub(super) value: f64,
    /// The duration of all steps, in seconds.
    pub(super) seconds: f64,
}

/// The outcome of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TrialOutcome {
    Trained(Measured),
    Failed { reason: String },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialLine {
    format_version: u32,
    job: Job,
    /// The number of times that it was started.
    begun: usize,
    outcome: Option<TrialOutcome>,
}

/// A line for each training that was begun. The file is written whole after each change.
pub(super) struct TrialsFile {
    path: PathBuf,
    lines: Vec<TrialLine>,
}

impl Job {
    /// The folder of its checkpoints, which all of its rounds have in common. Another training of
    /// the same number is told by its checkpoint's own identity.
    pub(super) fn folder(&self) -> PathBuf {
        let text = format!("{:x} {} {}", self.split, self.model, self.settings);
        let hash = crc32fast::hash(text.as_bytes());
        PathBuf::from("checkpoints").join(format!("{hash:08x}-{}", self.seed))
    }
}

impl TrialsFile {
    /// Reads the file, where there is one.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let mut lines = Vec::new();
        if path.exists() {
            let contents = read_file(&path)?;
            for (number, line) in contents.split(|&byte| byte == b'\n').enumerate() {
                if line.is_empty() {
                    continue;
                }
                let line: TrialLine = serde_json::from_slice(line)
                    .map_err(|error| damaged(&path, format!("line {}: {error}", number + 1)))?;
                if line.format_version != FORMAT_VERSION {
                    return Err(ErrorKind::FormatVersion {
                        path,
                        found: line.format_version,
                        supported: FORMAT_VERSION,
                    }
                    .into());
                }
                lines.push(line);
            }
        }
        Ok(Self { path, lines })
    }

    /// The outcome of a job, which is trained unless the file has it.
    ///
    /// # Errors
    /// Errors that are no fault of the job, such as a full disk. Nothing is recorded for them, so
    /// that the search resumes there.
    pub(super) fn outcome(
        &mut self,
        job: &Job,
        train: impl FnOnce() -> Result<Measured>,
    ) -> Result<TrialOutcome> {
        let known = self.lines.iter().position(|line| line.job == *job);
        let place = known.unwrap_or(self.lines.len());
        if known.is_none() {
            self.lines.push(TrialLine {
                format_version: FORMAT_VERSION,
                job: job.clone(),
                begun: 0,
                outcome: None,
            });
        }
        let begun = match self.lines.get(place) {
            Some(TrialLine {
                outcome: Some(outcome),
                ..
            }) => return Ok(outcome.clone()),
            line => line.map_or(0, |line| line.begun),
        };
        let outcome = if begun < MOST_BEGUN {
            self.set(place, begun + 1, None)?;
            outcome_of(train).inspect_err(|_| {
                // The process goes on, so this is not what the number is for.
                let _ = self.set(place, begun, None);
            })?
        } else {
            let reason = format!(
                "the process ended {begun} times while it was trained, perhaps since memory ran out; take its line \
                 out of {} to try again",
                self.path.display()
            );
            TrialOutcome::Failed { reason }
        };
        self.set(place, begun + 1, Some(outcome.clone()))?;
        Ok(outcome)
    }

    fn set(&mut self, place: usize, begun: usize, outcome: Option<TrialOutcome>) -> Result<()> {
        if let Some(line) = self.lines.get_mut(place) {
            (line.begun, line.outcome) = (begun, outcome);
        }
        let mut text = Vec::new();
        for line in &self.lines {
            serde_json::to_writer(&mut text, line)
                .map_err(|error| Error::io("write", &self.path)(error.into()))?;
            text.push(b'\n');
        }
        write_file(&self.path, &text)
    }
}

/// The outcome of a training, unless it failed for a reason that is none of its own.
fn outcome_of(train: impl FnOnce() -> Result<Measured>) -> Result<TrialOutcome> {
    let trained = catch_unwind(AssertUnwindSafe(train)).unwrap_or_else(|panic| {
        let text = panic_text(&*panic).unwrap_or("for a reason it did not say");
        Err(ErrorKind::Thread {
            thread: "trial",
            reason: format!("it panicked: {text}"),
        }
        .into())
    });
    match trained {
        Ok(measured) => Ok(TrialOutcome::Trained(measured)),
        Err(error) => match error.kind() {
            ErrorKind::Io { .. }
            | ErrorKind::InUse { .. }
            | ErrorKind::NotOurs { .. }
            | ErrorKind::Damaged { .. }
            | ErrorKind::FormatVersion { .. }
            | ErrorKind::OtherTraining { .. } => Err(error),
            _ => Ok(TrialOutcome::Failed {
                reason: format!("{error:?}"),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(seed: u64) -> Job {
        Job {
            split: 7,
            model: "m".to_owned(),
            settings: serde_json::json!({"model": {"rate": 0.1}}),
            seed,
            epochs: 5,
        }
    }

    fn measured(value: f64) -> Measured {
        Measured {
            value,
            seconds: 1.0,
        }
    }

    #[test]
    fn what_is_known_is_not_trained_again_and_other_errors_are_not_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("trials.jsonl");
        let open = || TrialsFile::open(path.clone()).unwrap();
        let one = open().outcome(&job(1), || Ok(measured(0.1 + 0.2)));
        assert_eq!(one.unwrap(), TrialOutcome::Trained(measured(0.1 + 0.2)));
        let again = open().outcome(&job(1), || panic!("it is known"));
        assert_eq!(again.unwrap(), TrialOutcome::Trained(measured(0.1 + 0.2)));
        let failed = open().outcome(&job(2), || Err(Error::invalid("dim", 0, "is 0")));
        assert!(
            matches!(failed.unwrap(), TrialOutcome::Failed { reason } if reason.contains("dim is 0"))
        );
        let panicked = open().outcome(&job(3), || panic!("oh"));
        assert!(
            matches!(panicked.unwrap(), TrialOutcome::Failed { reason } if reason.contains("oh"))
        );
        // A full disk is no fault of the settings, however often it is met.
        for _ in 0..5 {
            let full = open().outcome(&job(4), || {
                Err(Error::io("write", &path)(std::io::Error::other("full")))
            });
            assert!(full.is_err());
        }
        assert!(matches!(
            open().outcome(&job(4), || Ok(measured(0.5))).unwrap(),
            TrialOutcome::Trained(_)
        ));
    }

    #[test]
    fn a_job_during_which_the_process_ends_again_and_again_is_given_up() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("trials.jsonl");
        for times in 0..3 {
            // As a killed process leaves it.
            let mut file = TrialsFile::open(path.clone()).unwrap();
            file.lines = vec![TrialLine {
                format_version: FORMAT_VERSION,
                job: job(1),
                begun: times,
                outcome: None,
            }];
            file.set(0, times + 1, None).unwrap();
        }
        let mut file = TrialsFile::open(path.clone()).unwrap();
        let outcome = file.outcome(&job(1), || panic!("it is not begun")).unwrap();
        assert!(
            matches!(outcome, TrialOutcome::Failed { reason } if reason.contains("ended 3 times"))
        );
    }

    #[test]
    fn another_version_or_a_cut_line_is_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("trials.jsonl");
        let mut file = TrialsFile::open(path.clone()).unwrap();
        file.outcome(&job(1), || Ok(measured(0.5))).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{}", &text[..20])).unwrap();
        let error = TrialsFile::open(path.clone()).err().unwrap();
        assert!(error.to_string().contains("line 2"), "{error}");
        std::fs::write(
            &path,
            text.replace("\"format_version\":1", "\"format_version\":9"),
        )
        .unwrap();
        let error = TrialsFile::open(path).err().unwrap();
        assert!(
            matches!(error.kind(), ErrorKind::FormatVersion { found: 9, .. }),
            "{error}"
        );
    }
}
