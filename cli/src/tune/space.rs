//! The settings that a search draws, where none are named.

use std::error::Error;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The space of a model: of the settings that are worth a search, those that it has.
pub fn of(defaults: &impl Serialize) -> Result<String, Box<dyn Error>> {
    let settings = serde_json::to_value(defaults)?;
    let mut space: Map<String, Value> = worth_a_search()
        .into_iter()
        .filter(|(path, _)| {
            let place = path.split('.').try_fold(&settings, |at, key| at.get(key));
            place.is_some()
        })
        .map(|(path, values)| (format!("model.{path}"), values))
        .collect();
    let rates = json!({"from": 5e-4, "to": 5e-3, "scale": "log"});
    space.insert("trainer.learning_rate".to_owned(), rates);
    space.insert("trainer.weight_decay".to_owned(), json!([0.0, 0.01]));
    Ok(Value::Object(space).to_string())
}

/// Values of models' settings, by their paths. All are valid together, whichever of them a model
/// has.
fn worth_a_search() -> [(&'static str, Value); 13] {
    let dropout = json!([0.1, 0.2, 0.3, 0.5]);
    [
        ("dim", json!([32, 64, 128, 256])),
        ("layers", json!([1, 2])),
        ("blocks", json!([1, 2, 3])),
        ("interests", json!([1, 2, 4])),
        ("window", json!([2, 5, 10])),
        ("filter_share", json!([0.3, 0.5, 0.7])),
        ("tied", json!([true, false])),
        ("dropout", dropout.clone()),
        ("embedding_dropout", dropout.clone()),
        ("hidden_dropout", json!([0.0, 0.2, 0.5])),
        ("item_features.own_dropout", json!([0.0, 0.2, 0.5])),
        ("objective.similarity", json!(["dot", "cosine"])),
        ("objective.temperature", json!([0.05, 0.07, 0.1])),
    ]
}
