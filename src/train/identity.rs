//! The identity of a training.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::TrainerConfig;
use super::schedule::Schedule;
use crate::data::Split;
use crate::{Error, ErrorKind, Result};

/// The data, the model and the settings of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Of the catalog, the training sequences and the validation cases.
    fingerprints: [u64; 3],
    /// The model's settings.
    model: Value,
    parameters: usize,
    trainer: Value,
}

/// Settings that a resumed training may have others of: they say when it ends.
const FREE: [&str; 4] = ["epochs", "patience", "minimum_steps", "time_limit"];

impl Identity {
    /// A training of a model with these settings, as JSON, and so many parameters.
    pub(super) fn new(
        split: &Split,
        model: &str,
        parameters: usize,
        trainer: &TrainerConfig,
    ) -> Result<Self> {
        let schedule = trainer.schedule;
        let mut trainer = json("trainer", &burn::config::config_to_json(trainer))?;
        if let Value::Object(trainer) = &mut trainer {
            let epochs = trainer.get("epochs").cloned();
            FREE.iter().for_each(|name| drop(trainer.remove(*name)));
            // A learning rate that falls until the end depends on where that is.
            if schedule != Schedule::Constant {
                trainer.extend(epochs.map(|epochs| ("epochs".to_owned(), epochs)));
            }
        }
        Ok(Self {
            fingerprints: [
                split.catalog().fingerprint(),
                split.train.sequences().fingerprint(),
                split.valid.fingerprint(),
            ],
            model: json("settings of the model", model)?,
            parameters,
            trainer,
        })
    }

    /// Refuses to resume where a checkpoint's training is another than `now`.
    ///
    /// # Errors
    /// [`ErrorKind::OtherTraining`] with the first thing that differs.
    pub(super) fn check_same(&self, now: &Self) -> Result<()> {
        let data = [
            "catalog",
            "set of training sequences",
            "set of validation cases",
        ];
        let fingerprints = self.fingerprints.iter().zip(&now.fingerprints);
        for (what, (checkpoint, now)) in data.into_iter().zip(fingerprints) {
            if checkpoint != now {
                let named = |fingerprint: &u64| format!("fingerprint {fingerprint:016x}");
                return Err(ErrorKind::OtherTraining {
                    what: what.to_owned(),
                    checkpoint: named(checkpoint),
                    now: named(now),
                }
                .into());
            }
        }
        let differs = first_difference("model", &self.model, &now.model)
            .or_else(|| {
                let parameters = [self.parameters, now.parameters].map(Value::from);
                first_difference("number of parameters", &parameters[0], &parameters[1])
            })
            .or_else(|| first_difference("trainer", &self.trainer, &now.trainer));
        differs.map_or(Ok(()), other_training)
    }
}

impl Identity {
    /// Refuses the moments of a checkpoint for a training `now` that starts from a model with these
    /// settings and of the catalog with this fingerprint.
    ///
    /// # Errors
    /// [`ErrorKind::OtherTraining`] with the first thing that differs.
    pub(super) fn check_moments(&self, now: &Self, model: &str, catalog: u64) -> Result<()> {
        let model = json("settings of the model to start from", model)?;
        let [of, _, _] = self.fingerprints;
        let [found, expected] = [of, catalog].map(|number| Value::from(format!("{number:016x}")));
        let moved = |name: &str| {
            let trainers = [&self.trainer, &now.trainer];
            let [checkpoint, now] = trainers.map(|all| all.get(name).cloned().unwrap_or_default());
            first_difference(&format!("trainer.{name}"), &checkpoint, &now)
        };
        let differs = first_difference("catalog", &found, &expected)
            .or_else(|| first_difference("model", &self.model, &model))
            .or_else(|| moved("optimizer"))
            .or_else(|| moved("tables"));
        differs.map_or(Ok(()), other_training)
    }
}

fn json(what: &'static str, text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|error| Error::invalid(what, text, format!("is no JSON: {error}")))
}

/// The refusal for a difference, as [`first_difference`] gives it.
fn other_training((what, checkpoint, now): (String, String, String)) -> Result<()> {
    Err(ErrorKind::OtherTraining {
        what,
        checkpoint,
        now,
    }
    .into())
}

/// The path of the first value that two have otherwise, and the two values.
fn first_difference(path: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a
                .keys()
                .chain(b.keys().filter(|name| !a.contains_key(*name)));
            names.into_iter().find_map(|name| {
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned();
                let (a, b) = (of(a).unwrap_or_default(), of(b).unwrap_or_default());
                first_difference(&format!("{path}.{name}"), &a, &b)
            })
        }
        _ if a == b => None,
        _ => Some((path.to_owned(), a.to_string(), b.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let a = json!({"dim": 64, "objective": {"loss": "softmax", "temperature": 0.1}});
        let mut b = a.clone();
        assert_eq!(first_difference("model", &a, &b), None);
        b["objective"]["temperature"] = json!(0.05);
        let found = first_difference("model", &a, &b).unwrap();
        assert_eq!(
            found,
            (
                "model.objective.temperature".into(),
                "0.1".into(),
                "0.05".into()
            )
        );
        b["objective"] = json!("softmax");
        assert_eq!(
            first_difference("model", &a, &b).unwrap().0,
            "model.objective"
        );
        let more = json!({"dim": 64, "objective": a["objective"], "heads": 2});
        let found = first_difference("model", &a, &more).unwrap();
        assert_eq!(found, ("model.heads".into(), "null".into(), "2".into()));
    }
}
