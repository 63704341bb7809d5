//! What a run was trained with, as `seqrec train` recorded it.

use std::error::Error;
use std::path::Path;

use clap::ValueEnum as _;
use seqrec::data::Seen;
use serde::Deserialize;

use crate::data::{ProtocolName, SeenName};
use crate::reading::ReadingArgs;

/// What a run was trained with.
pub struct Trained {
    pub protocol: ProtocolName,
    pub seed: u64,
    /// Who was held out of its training; absent from the records of older versions.
    pub held_out: Option<String>,
    pub seen: SeenName,
    /// The cuts of its metrics.
    pub k: Vec<usize>,
    pub reading: ReadingArgs,
}

/// The part of `report.json` that is looked at.
#[derive(Deserialize)]
struct Record {
    protocol: String,
    seed: u64,
    held_out: Option<String>,
    settings: Settings,
    #[serde(default)]
    reading: ReadingArgs,
}

#[derive(Deserialize)]
struct Settings {
    training: Training,
}

#[derive(Deserialize)]
struct Training {
    seen: Seen,
    ks: Vec<usize>,
}

impl Trained {
    /// Reads the record of a run, which lies in the output folder of `seqrec train` beside the run
    /// folder; nothing where there is none, as of runs that come from elsewhere.
    pub fn read(run: &Path) -> Result<Option<Self>, Box<dyn Error>> {
        let beside = run.join("..").join("report.json");
        let file = [run.join("report.json"), beside]
            .into_iter()
            .find(|file| file.is_file());
        let Some(file) = file else {
            return Ok(None);
        };
        let name = file.display();
        let text = std::fs::read(&file).map_err(|error| format!("{name}: {error}"))?;
        let record: Record = serde_json::from_slice(&text)
            .map_err(|error| format!("{name} is damaged: {error}; train the run again"))?;
        Self::of(record)
            .map(Some)
            .map_err(|error| format!("{name} is damaged: {error}; train the run again").into())
    }

    fn of(record: Record) -> Result<Self, String> {
        let Training { seen, ks } = record.settings.training;
        Ok(Self {
            protocol: ProtocolName::from_str(&record.protocol, false)?,
            seed: record.seed,
            held_out: record.held_out,
            seen: seen.into(),
            k: ks,
            reading: record.reading,
        })
    }
}
