//! What was measured, on disk and as tables.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use seqrec::eval::{Metric, Report};
use serde::{Deserialize, Serialize};

/// What models are trained on and how they are judged: results of different ones can't be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The file's name.
    pub data: String,
    /// The fingerprint of the split, which tells contents, filters, protocol and its seed apart.
    pub split: String,
    pub protocol: String,
    pub exclude_seen: bool,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = if self.exclude_seen { "unseen" } else { "all" };
        let split = self.split.get(..8).unwrap_or(&self.split);
        write!(f, "{}-{}-{seen}-{split}", self.data, self.protocol)
    }
}

/// One model, trained once and judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub model: String,
    #[serde(flatten)]
    pub run: Run,
    pub seed: u64,
    pub epochs: usize,
    pub train_seconds: f64,
    /// For one user.
    pub recall_milliseconds: f64,
    pub valid: Option<Report>,
    pub test: Report,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    outcome: Outcome,
}

/// The metrics of a table: of lists at every cut, and of the catalog at the largest.
fn metrics(ks: &[usize]) -> seqrec::Result<Vec<Metric>> {
    let mut metrics = Vec::new();
    for &k in ks {
        metrics.extend([Metric::hit_rate(k)?, Metric::ndcg(k)?, Metric::recall(k)?]);
    }
    if let Some(largest) = ks.iter().max() {
        metrics.push(format!("coverage@{largest}").parse()?);
    }
    Ok(metrics)
}

impl Outcome {
    fn is_measured_at(&self, ks: &[usize]) -> bool {
        ks.iter().all(|&k| self.test.recall(k).is_some())
    }

    /// The metrics of its line: how good the top of the shortest lists is, and what the longest
    /// hold.
    fn shown(&self) -> Vec<Metric> {
        let ks = || self.test.iter().map(|(metric, _)| metric.k());
        let (Some(shortest), Some(longest)) = (ks().min(), ks().max()) else {
            return Vec::new();
        };
        let metrics = [
            Metric::hit_rate(shortest),
            Metric::ndcg(shortest),
            Metric::recall(longest),
        ];
        metrics.into_iter().flatten().collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16} seed {} ", self.model, self.seed)?;
        for metric in self.shown() {
            write!(
                f,
                " {metric} {:.4}",
                self.test.get(metric).unwrap_or(f64::NAN)
            )?;
            if let Some(valid) = self.valid.as_ref().and_then(|valid| valid.get(metric)) {
                write!(f, " (valid {valid:.4})")?;
            }
        }
        write!(f, "  {} epochs, {:.1} s", self.epochs, self.train_seconds)?;
        match self.test.unreachable_labels {
            0 => Ok(()),
            labels => write!(
                f,
                "; {labels} labels were taken before and can't be recalled"
            ),
        }
    }
}

/// Outcomes, a line of JSON each, kept from run to run.
pub struct Results {
    file: File,
    outcomes: BTreeMap<String, Outcome>,
    /// Keys in the order of the file.
    order: Vec<String>,
}

impl Results {
    pub fn open(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)?;
        let mut results = Self {
            outcomes: BTreeMap::new(),
            order: Vec::new(),
            file: file.try_clone()?,
        };
        let mut whole = 0;
        let mut lines = BufReader::new(file).split(b'\n').zip(1..).peekable();
        while let Some((line, number)) = lines.next() {
            let line = line?;
            match serde_json::from_slice(&line) {
                Ok(Line { key, outcome }) => results.remember(key, outcome),
                // The last line of a run that was killed may be cut short; its model is trained
                // again.
                Err(_) if lines.peek().is_none() => break,
                Err(error) => {
                    let place = format!("{}:{number}", path.display());
                    return Err(format!("{place}: {error}; remove the line, or the file").into());
                }
            }
            whole += line.len() as u64 + 1;
        }
        // What is cut short would be the beginning of the next line.
        results
            .file
            .set_len(whole.min(results.file.metadata()?.len()))?;
        Ok(results)
    }

    fn remember(&mut self, key: String, outcome: Outcome) {
        self.order.retain(|other| *other != key);
        self.order.push(key.clone());
        self.outcomes.insert(key, outcome);
    }

    /// Whether a model's outcome is there, measured at these cuts.
    pub fn has(&self, key: &str, ks: &[usize]) -> bool {
        let outcome = self.outcomes.get(key);
        outcome.is_some_and(|outcome| outcome.is_measured_at(ks))
    }

    pub fn add(&mut self, key: String, outcome: Outcome) -> Result<(), Box<dyn Error>> {
        let line = Line {
            key: key.clone(),
            outcome: outcome.clone(),
        };
        // In one write, so that no other line can come between.
        let line = serde_json::to_string(&line)? + "\n";
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.remember(key, outcome);
        Ok(())
    }
}

pub struct Table {
    pub markdown: String,
    pub csv: String,
}

/// The mean, and the deviation where there are several values to deviate.
fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    (mean, deviation)
}

/// Means and deviations over seeds of every model that was measured at these cuts, under the
/// settings it was last run with.
pub fn table(results: &Results, run: &Run, ks: &[usize]) -> seqrec::Result<Table> {
    let Run { data, protocol, .. } = run;
    let seen = if run.exclude_seen { "left out" } else { "kept" };
    let mut models: Vec<(&str, &str, Vec<&Outcome>)> = Vec::new();
    for key in &results.order {
        let outcome = &results.outcomes[key];
        if outcome.run != *run || !outcome.is_measured_at(ks) {
            continue;
        }
        // All but the seed.
        let settings = key
            .rsplit_once('-')
            .map_or(key.as_str(), |(settings, _)| settings);
        match models
            .iter_mut()
            .find(|(model, ..)| *model == outcome.model)
        {
            Some((_, known, outcomes)) if *known == settings => outcomes.push(outcome),
            Some(other) => *other = (&outcome.model, settings, vec![outcome]),
            None => models.push((&outcome.model, settings, vec![outcome])),
        }
    }
    let metrics = metrics(ks)?;
    let mut columns: Vec<String> = metrics.iter().map(Metric::to_string).collect();
    columns.extend(["train s", "recall ms"].map(str::to_owned));
    let mut markdown = format!(
        "| {data}, {protocol}, seen items {seen} | seeds | {} |\n",
        columns.join(" | ")
    );
    markdown += &format!("| --- | --- |{}\n", " --- |".repeat(columns.len()));
    let mut csv = String::from("data,split,protocol,seen_items,model,seeds");
    for column in &columns {
        csv += &format!(",{0},{0} deviation", column);
    }
    csv.push('\n');
    for (model, _, outcomes) in &models {
        let of = |column: usize, outcome: &Outcome| match metrics.get(column) {
            Some(&metric) => (outcome.test.get(metric).unwrap_or(f64::NAN), 4),
            None if column == metrics.len() => (outcome.train_seconds, 1),
            None => (outcome.recall_milliseconds, 3),
        };
        markdown += &format!("| {model} | {} |", outcomes.len());
        let split = &run.split;
        csv += &format!(
            "{data},{split},{protocol},{seen},{model},{}",
            outcomes.len()
        );
        for column in 0..columns.len() {
            let (values, digits): (Vec<f64>, Vec<usize>) =
                outcomes.iter().map(|outcome| of(column, outcome)).unzip();
            let (mean, deviation) = mean_and_deviation(&values);
            let digits = digits[0];
            markdown += &format!(" {mean:.digits$}");
            csv += &format!(",{mean:.6},");
            if let Some(deviation) = deviation {
                markdown += &format!(" ± {deviation:.digits$}");
                csv += &format!("{deviation:.6}");
            }
            markdown += " |";
        }
        markdown.push('\n');
        csv.push('\n');
    }
    Ok(Table { markdown, csv })
}
