//! Settings of models with some of their values replaced, as JSON.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Puts the values of `over` in place of those of `value`, key by key.
pub fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) => {
            for (key, over) in over {
                match value.get_mut(key) {
                    Some(value) if over.is_object() && value.is_object() => merge(value, over),
                    _ => {
                        value.insert(key.clone(), over.clone());
                    }
                }
            }
        }
        (value, over) => *value = over.clone(),
    }
}

/// Defaults with some values replaced; a key that is none of the config's is an error.
pub fn config<C>(defaults: &C, over: &Value) -> Result<C, Box<dyn Error>>
where
    C: Serialize + DeserializeOwned,
{
    let mut value: Value = serde_json::from_str(&serde_json::to_string(defaults)?)?;
    if let (Value::Object(known), Value::Object(over)) = (&value, over)
        && let Some(key) = over.keys().find(|key| !known.contains_key(*key))
    {
        let known: Vec<_> = known.keys().map(String::as_str).collect();
        return Err(format!("no setting {key:?}, only {}", known.join(", ")).into());
    }
    merge(&mut value, over);
    serde_json::from_str(&value.to_string()).map_err(|error| format!("{over}: {error}").into())
}
