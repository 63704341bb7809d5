//! The settings of a model as a bench asks for them.

use burn::config::Config;
use seqrec::burn;
use seqrec::model::Objective;
use seqrec::settings::overridden;
use serde_json::{Value, json};

/// A model's defaults with this width, length, dropout and objective.
pub fn config<C: Config>(
    defaults: &C,
    dim: usize,
    max_len: usize,
    dropout: f64,
    objective: &Objective,
) -> Result<C, Box<dyn std::error::Error>> {
    let all: Value = serde_json::from_str(&burn::config::config_to_json(defaults))?;
    let keys = all.as_object().ok_or("settings are an object")?.keys();
    let dropouts = keys.filter(|key| key.contains("dropout"));
    let mut over: Value = dropouts.map(|key| (key.clone(), json!(dropout))).collect();
    over["dim"] = json!(dim);
    over["max_len"] = json!(max_len);
    over["objective"] = serde_json::to_value(objective)?;
    Ok(overridden(defaults, &over)?)
}
