//! The stage that a run is kept with: the model, channels beside it, and the users.

use std::error::Error;
use std::path::Path;

use seqrec::channels::PopularityConfig;
use seqrec::data::{Split, TrainingData};
use seqrec::recall::{Fusion, VectorChannelConfig, WeightLearningConfig};
use seqrec::store::{Recaller, StageData, StagePlan};

use super::options::Options;
use crate::compare::channels::build::{OF_MODEL, planned, tagged};
use crate::data::Data;

/// The model, and the channels that were asked for.
pub fn plan(options: &Options, data: &TrainingData) -> Result<StagePlan, Box<dyn Error>> {
    let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("model", VectorChannelConfig::new())
        .fallback(PopularityConfig::new());
    let mut known = planned(data)?;
    known.retain(|planned| planned.name != OF_MODEL);
    let wanted = |name: &str| options.channels.iter().any(|wanted| wanted == name);
    let names: Vec<&str> = known.iter().map(|planned| planned.name.as_str()).collect();
    let unknown = |name: &&String| *name != "all" && !names.contains(&name.as_str());
    if let Some(name) = options.channels.iter().find(unknown) {
        let names = names.join(", ");
        return Err(format!("no channel on these data is called {name:?}, only {names}").into());
    }
    let all = wanted("all");
    plan.channels.extend(
        known
            .into_iter()
            .filter(|planned| all || wanted(&planned.name)),
    );
    Ok(plan)
}

/// Writes the run folder: the model with all users, and the channels of the plan by the weights
/// that are best on the validation cases, where they are made of the training data.
pub fn save(
    options: &Options,
    (data, split): (&Data, &Split),
    (mut plan, training): (StagePlan, TrainingData),
    model: &Recaller,
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    if plan.channels.len() > 1 {
        let from = StageData::from(training).with_model(model.clone())?;
        let k = options.k.iter().max().copied().unwrap_or(50);
        let learning = WeightLearningConfig::new(k)
            .with_seen(options.seen.into())
            .with_seed(options.seed);
        let recall = plan.learn_weights(&from, &split.valid, &learning)?;
        plan.channels.retain(|channel| channel.share.weight > 0.0);
        let weights: Vec<String> = (plan.channels.iter())
            .map(|channel| format!("{} {:.2}", channel.name, channel.share.weight))
            .collect();
        eprintln!(
            "recall@{k} of the fusion on valid: {recall:.4}; weights {}",
            weights.join(", ")
        );
    }
    let all = tagged(data.dataset.training_data(), data.items.as_ref())?;
    plan.save(path, model, all)?;
    Ok(())
}
