//! Settings with some of their values replaced, as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Puts the values of `over` in place of those of `value`: objects key by key, all else whole.
pub fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) => {
            for (key, over) in over {
                match value.get_mut(key) {
                    Some(value) => merge(value, over),
                    None => {
                        value.insert(key.clone(), over.clone());
                    }
                }
            }
        }
        (value, over) => *value = over.clone(),
    }
}

/// Settings of a model, its training or a channel, with the values of a JSON object in place of
/// theirs.
///
/// ```
/// // cargo add serde_json
/// use seqrec::model::{Gru4RecConfig, Similarity};
/// use seqrec::settings::overridden;
///
/// let over = serde_json::json!({"dim": 32, "objective": {"similarity": "cosine"}});
/// let config = overridden(&Gru4RecConfig::new(), &over)?;
/// assert_eq!((config.dim, config.objective.similarity), (32, Similarity::Cosine));
///
/// let misspelled = serde_json::json!({"objective": {"similarty": "cosine"}});
/// let error = overridden(&Gru4RecConfig::new(), &misspelled).unwrap_err();
/// assert!(error.to_string().contains("objective has no setting \"similarty\""), "{error}");
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a key, at whatever depth, that
/// is no setting, with its path and the keys that are; and for a value that a setting can't have.
/// Whether the settings go together is checked by what takes them.
pub fn overridden<C: Serialize + DeserializeOwned>(defaults: &C, over: &Value) -> Result<C> {
    let invalid = |reason: String| Error::invalid("settings", over, reason);
    let mut settings = as_json(defaults).map_err(|error| invalid(error.to_string()))?;
    admit(&mut settings, over, "").map_err(invalid)?;
    merge(&mut settings, over);
    let read: C =
        serde_json::from_str(&settings.to_string()).map_err(|error| invalid(error.to_string()))?;
    // What took the place of a value without keys has been compared with none so far.
    let mut settings = as_json(&read).map_err(|error| invalid(error.to_string()))?;
    admit(&mut settings, over, "").map_err(invalid)?;
    Ok(read)
}

/// By way of text, in which an `f32` has no more digits than it needs.
fn as_json(settings: &impl Serialize) -> serde_json::Result<Value> {
    serde_json::from_str(&serde_json::to_string(settings)?)
}

/// Refuses keys of `over` that the settings at `path` lack, and makes room for other variants than
/// theirs.
fn admit(settings: &mut Value, over: &Value, path: &str) -> std::result::Result<(), String> {
    let Value::Object(over) = over else {
        return match path {
            "" => Err("must be an object of settings".to_owned()),
            _ => Ok(()),
        };
    };
    let Value::Object(known) = settings else {
        return Ok(());
    };
    if !path.is_empty() && is_other_variant(known, over) {
        *settings = Value::Null;
        return Ok(());
    }
    for (key, over) in over {
        match known.get_mut(key) {
            Some(settings) => admit(settings, over, &path_of(path, key))?,
            None => return Err(no_setting(path, key, known)),
        }
    }
    Ok(())
}

/// An enum's variant with settings is an object of one key, its name: another key is another
/// variant.
fn is_other_variant(known: &Map<String, Value>, over: &Map<String, Value>) -> bool {
    known.len() == 1 && over.len() == 1 && !over.keys().any(|key| known.contains_key(key))
}

/// The path of a setting among those at `path`.
pub(crate) fn path_of(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// The reason against a key that the settings at `path` lack.
pub(crate) fn no_setting(path: &str, key: &str, known: &Map<String, Value>) -> String {
    let path = if path.is_empty() { "it" } else { path };
    let known: Vec<&str> = known.keys().map(String::as_str).collect();
    format!(
        "{path} has no setting {key:?}; there are {}",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::NegativeSampling;
    use crate::model::{Gru4RecConfig, Loss, Objective, SampledLoss, Similarity};
    use crate::train::{Optimizer, TrainerConfig};

    #[test]
    fn values_are_replaced_one_by_one_and_variants_whole() {
        let loss = Loss::sampled(
            SampledLoss::BprMax {
                regularization: 1.0,
            },
            NegativeSampling::uniform(64),
        );
        let objective = Objective::cosine(0.5).with_loss(loss);
        let defaults = Gru4RecConfig::new().with_objective(objective);
        let over =
            json!({"objective": {"loss": {"sampled": {"loss": {"gbce": {"calibration": 0.5}}}}}});
        let config = overridden(&defaults, &over).unwrap();
        assert_eq!(config.objective.similarity, Similarity::Cosine);
        let Loss::Sampled {
            loss, negatives, ..
        } = config.objective.loss
        else {
            panic!("{config:?}");
        };
        assert_eq!(loss, SampledLoss::Gbce { calibration: 0.5 });
        assert_eq!(negatives, NegativeSampling::uniform(64));
        let trainer = overridden(
            &TrainerConfig::new(),
            &json!({"optimizer": {"adagrad": {}}}),
        )
        .unwrap();
        assert!(
            matches!(trainer.optimizer, Optimizer::Adagrad { .. }),
            "{trainer:?}"
        );
        // Written whole, as a search prints the settings it found.
        let whole = as_json(&trainer).unwrap();
        assert_eq!(overridden(&TrainerConfig::new(), &whole).unwrap(), trainer);
    }

    #[test]
    fn a_key_that_is_no_setting_is_refused_at_whatever_depth() {
        let sampled = |inner: Value| json!({"objective": {"loss": {"sampled": inner}}});
        let whole = as_json(&Loss::sampled(
            SampledLoss::Bpr,
            NegativeSampling::uniform(64),
        ))
        .unwrap();
        let mut misspelled = whole["sampled"].clone();
        misspelled["negatives"]["drown"] = json!(3);
        for (over, said) in [
            (json!({"dims": 3}), "it has no setting \"dims\"; there are"),
            (
                json!({"objective": {"los": 3}}),
                "objective has no setting \"los\"; there are",
            ),
            // Where the default has no keys.
            (
                sampled(misspelled),
                "objective.loss.sampled.negatives has no setting \"drown\"; there are",
            ),
            (json!({"dim": "wide"}), "invalid type"),
            (json!([1]), "must be an object"),
        ] {
            let error = overridden(&Gru4RecConfig::new(), &over)
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{over}: {error}");
        }
    }
}
