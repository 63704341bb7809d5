//! What was recorded of a run.

use std::error::Error;
use std::path::Path;

use seqrec::plot::MapPoint;
use serde_json::Value;

use crate::text_file;

/// A run and what was recorded of it.
pub struct Run {
    pub name: String,
    pub record: Value,
    /// The points of the map of its items.
    pub map: Vec<MapPoint>,
}

impl Run {
    /// Reads what a run's folder holds.
    pub fn read(path: &Path, name: String) -> Result<Self, Box<dyn Error>> {
        let file = path.join("report.json");
        let text = text_file::read(&file)
            .map_err(|error| format!("{error}; `seqrec train` makes a run's report"))?;
        let record = serde_json::from_str(&text)
            .map_err(|error| format!("{} is damaged: {error}", file.display()))?;
        Self::of(record, name).map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// A run of a record.
    pub fn of(record: Value, name: String) -> Result<Self, Box<dyn Error>> {
        let map = match record.get("map") {
            None | Some(Value::Null) => Vec::new(),
            Some(map) => {
                let map = serde_json::from_value(map.clone());
                map.map_err(|error| format!("its map is damaged: {error}"))?
            }
        };
        Ok(Self { name, record, map })
    }

    /// A list of the record.
    pub fn list(&self, field: &str) -> &[Value] {
        self.record[field].as_array().map_or(&[], Vec::as_slice)
    }

    /// The metric that it was trained by.
    pub fn metric(&self) -> &str {
        self.record["metric"].as_str().unwrap_or_default()
    }
}

/// Whether all runs are of the same data, divided alike.
pub fn comparable(runs: &[Run]) -> bool {
    (runs.iter()).all(|run| run.record["split"] == runs[0].record["split"])
}

/// A value as people write it.
pub fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Text as HTML has it.
pub fn escape(text: &str) -> String {
    (text.replace('&', "&amp;").replace('<', "&lt;"))
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
