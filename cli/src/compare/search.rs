//! A search for settings: successive halving over random draws from a declared space, judged on
//! the validation split alone.

use std::error::Error;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use seqrec::OutputFolder;
use seqrec::data::{Seen, Split};
use seqrec::train::TrainerConfig;
use serde_json::{Value, json};

use super::models::{self, Context};
use super::options::Options;
use super::results::Run;
use super::settings::Entry;
use crate::overrides::config;

/// The seed of draws and of every trial.
const SEED: u64 = 1;

/// How many epochs the first round gives each trial; every round has three times those of the one
/// before, for the better third of the trials.
const FIRST_EPOCHS: usize = 5;

/// The best settings out of `options.search` draws; the entry itself is the first of them.
pub fn best(
    name: &str,
    entry: Entry,
    run: &Run,
    split: &Split,
    options: &Options,
    out: &OutputFolder,
) -> Result<Entry, Box<dyn Error>> {
    let mut trials = vec![entry.clone()];
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    while trials.len() < options.search && !entry.search.is_empty() {
        let mut trial = entry.clone();
        for (path, values) in &entry.search {
            let values = values.as_array().ok_or("search is a map of lists")?;
            let value = values
                .choose(&mut random)
                .ok_or("a list of values is empty")?;
            trial.set(path, value)?;
        }
        trials.push(trial);
    }
    let defaults = config(&TrainerConfig::new(), &entry.trainer)?;
    let mut epochs = FIRST_EPOCHS;
    while trials.len() > 1 {
        epochs = epochs.min(defaults.epochs);
        let mut judged = Vec::new();
        for trial in trials {
            let context = Context {
                split,
                seed: SEED,
                seen: Seen::exclude_if(options.exclude_seen),
                checkpoints: out.join("search").join(trial.key(run, SEED)),
                pause_after: Some(epochs),
                progress: false,
            };
            let value = match models::fit(&trial, &context) {
                Ok(fitted) => fitted.valid.and_then(|valid| valid.get(defaults.metric)),
                Err(error) => {
                    println!("  {} {}: {error}", trial.model, trial.trainer);
                    None
                }
            };
            let value = value.unwrap_or(f64::NEG_INFINITY);
            println!(
                "  {value:.4} after {epochs} epochs: {} {}",
                trial.model, trial.trainer
            );
            judged.push((value, trial));
        }
        judged.sort_by(|a, b| b.0.total_cmp(&a.0));
        let kept = if epochs == defaults.epochs {
            1
        } else {
            judged.len().div_ceil(3)
        };
        trials = judged
            .into_iter()
            .take(kept)
            .map(|(_, trial)| trial)
            .collect();
        epochs *= 3;
    }
    let best = trials.swap_remove(0);
    let found: Value = json!({"kind": best.kind, "model": best.model, "trainer": best.trainer});
    let found = serde_json::to_string_pretty(&json!({ name: found }))?;
    out.write(format!("{run}-{name}-best.json"), found)?;
    Ok(best)
}
