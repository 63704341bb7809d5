//! Settings of models, from a file.

use std::error::Error;
use std::path::Path;

use seqrec::settings::merge;
use serde_json::{Map, Value};

use super::results::Run;
use crate::text_file;

/// A named set of settings for each model, in the order of the file.
pub struct Settings(Map<String, Value>);

/// One model with its settings: `kind` says which, `model` and `trainer` override its defaults, and
/// `data` holds overrides of all these for single files.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub kind: String,
    pub model: Value,
    pub trainer: Value,
}

impl Settings {
    pub fn read(path: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let (text, name) = match path {
            Some(path) => (text_file::read(path)?, path.display().to_string()),
            None => (
                include_str!("settings.json").to_owned(),
                "settings.json".to_owned(),
            ),
        };
        let settings = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self(settings))
    }

    /// The names that were asked for, or all.
    pub fn names(&self, wanted: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
        if wanted.is_empty() {
            return Ok(self.0.keys().cloned().collect());
        }
        for name in wanted {
            self.entry(name, "")?;
        }
        Ok(wanted.to_vec())
    }

    pub fn entry(&self, name: &str, data: &str) -> Result<Entry, Box<dyn Error>> {
        let known = || {
            self.0
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = self.0.get(name).cloned();
        let mut all =
            found.ok_or_else(|| format!("no settings for {name:?}, only for {}", known()))?;
        if let Some(overrides) = all
            .get("data")
            .and_then(|data_sets| data_sets.get(data))
            .cloned()
        {
            merge(&mut all, &overrides);
        }
        let part = |key: &str| {
            all.get(key)
                .cloned()
                .unwrap_or_else(|| Value::Object(Map::new()))
        };
        let kind = all
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or(name)
            .to_owned();
        Ok(Entry {
            name: name.to_owned(),
            kind,
            model: part("model"),
            trainer: part("trainer"),
        })
    }
}

impl Entry {
    /// What tells a run from others: where its results and checkpoints are kept.
    pub fn key(&self, run: &Run, seed: u64) -> String {
        let settings = format!(
            "{} {} {} {}",
            run.split, self.kind, self.model, self.trainer
        );
        let hash = crc32fast::hash(settings.as_bytes());
        format!("{run}-{}-{hash:08x}-{seed}", self.name)
    }
}
