//! Settings that run folders and checkpoints of before lack.

use serde_json::{Map, Value, json};

/// The object that each is in, its name, and the value that stands for what was before.
fn newer() -> [(Option<&'static str>, &'static str, Value); 3] {
    [
        (None, "event_vectors", json!(true)),
        (Some("objective"), "dislike_weight", json!(1.0)),
        (None, USER_FEATURES, json!(0)),
    ]
}

const USER_FEATURES: &str = "user_features";

/// Whether settings are those of two towers, which have always looked at features of users.
fn are_of_two_towers(settings: &Value) -> bool {
    settings.get("hidden").is_some()
}

fn object<'a>(settings: &'a mut Value, name: Option<&str>) -> Option<&'a mut Map<String, Value>> {
    match name {
        Some(name) => settings.get_mut(name)?.as_object_mut(),
        None => settings.as_object_mut(),
    }
}

/// A model's settings as JSON, with those that they were written without. Settings of a model that
/// has none of these pass over them.
pub(crate) fn with_newer_settings(mut settings: Value) -> Value {
    let towers = are_of_two_towers(&settings);
    for (of, name, value) in newer() {
        if towers && name == USER_FEATURES {
            continue;
        }
        if let Some(settings) = object(&mut settings, of) {
            settings.entry(name).or_insert(value);
        }
    }
    settings
}

/// A model's settings as JSON, without those that say what was so before there were such: they are
/// the settings of a checkpoint of then.
pub(super) fn without_newer_settings(mut settings: Value) -> Value {
    let towers = are_of_two_towers(&settings);
    for (of, name, value) in newer() {
        if towers && name == USER_FEATURES {
            continue;
        }
        if let Some(settings) = object(&mut settings, of)
            && settings.get(name) == Some(&value)
        {
            settings.remove(name);
        }
    }
    settings
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::config::Config;

    use super::super::{RecallerConfig, SasRecConfig, SequenceRecaller};
    use super::*;
    use crate::backend::Flex;

    #[test]
    fn settings_of_before_are_read_and_are_the_same_fingerprint() {
        let config = SasRecConfig::new().with_dim(8);
        let now: Value = serde_json::from_str(&burn::config::config_to_json(&config)).unwrap();
        let before = without_newer_settings(now.clone());
        assert_eq!(before.get("event_vectors"), None);
        assert_eq!(before["objective"].get("dislike_weight"), None);
        assert!(SasRecConfig::load_binary(before.to_string().as_bytes()).is_err());
        assert_eq!(with_newer_settings(before.clone()), now);
        let model = config.init::<Flex>(9, 1, &Default::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&model.settings()).unwrap(),
            before
        );
        // What is set otherwise stays.
        let other = config.with_event_vectors(false);
        let other: Value = serde_json::from_str(&burn::config::config_to_json(&other)).unwrap();
        assert_eq!(
            without_newer_settings(other.clone())["event_vectors"],
            json!(false)
        );
        assert_eq!(with_newer_settings(other.clone()), other);
    }
}
