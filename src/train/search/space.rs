//! The settings that a search draws from.

use std::collections::BTreeMap;

use burn::config::{Config, config_to_json};
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value};

use crate::settings::overrides::{no_setting, path_of};
use crate::train::TrainerConfig;
use crate::{Error, Result};

/// Settings that all trials must share, since they would not be comparable otherwise.
const SHARED: [&str; 4] = [
    "trainer.metric",
    "trainer.seen",
    "trainer.seed",
    "trainer.time_limit",
];

/// Values by the paths of their settings, such as `model.dim`.
pub(super) type Drawn = BTreeMap<String, Value>;

/// The settings of a model and of its training, and what is drawn in their place.
#[derive(Debug, Clone)]
pub(super) struct Space {
    defaults: Value,
    choices: BTreeMap<String, Choice>,
}

/// The values that a setting may have.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    OneOf(Vec<Value>),
    Range {
        from: f64,
        to: f64,
        log: bool,
        integer: bool,
    },
}

/// The settings of a model and of its training in one object.
pub(super) fn complete<C: Config>(model: &C, trainer: &TrainerConfig) -> Result<Value> {
    let json = |text: String| -> Result<Value> {
        serde_json::from_str(&text)
            .map_err(|error| Error::invalid("settings", text, format!("are no JSON: {error}")))
    };
    let parts = [
        ("model".to_owned(), json(config_to_json(model))?),
        ("trainer".to_owned(), json(config_to_json(trainer))?),
    ];
    Ok(Value::Object(Map::from_iter(parts)))
}

fn invalid(path: &str, value: &Value, reason: impl std::fmt::Display) -> Error {
    let reason = format!("{path} {reason}");
    Error::invalid("space", value, reason)
}

impl Space {
    /// Reads what JSON says of settings whose defaults are these.
    pub(super) fn parse(text: &str, defaults: Value) -> Result<Self> {
        let space: Value = serde_json::from_str(text)
            .map_err(|error| Error::invalid("space", text, format!("it is no JSON: {error}")))?;
        let Value::Object(settings) = &space else {
            return Err(invalid("it", &space, "must be an object of settings"));
        };
        let mut choices = BTreeMap::new();
        read(settings, "", &defaults, &mut choices)?;
        Ok(Self { defaults, choices })
    }

    /// The values that every trial has.
    pub(super) fn fixed(&self) -> Drawn {
        let fixed = self
            .choices
            .iter()
            .filter_map(|(path, choice)| match choice {
                Choice::OneOf(values) if values.len() == 1 => {
                    Some((path.clone(), values[0].clone()))
                }
                _ => None,
            });
        fixed.collect()
    }

    /// A value for each setting.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Drawn {
        let choices = self.choices.iter();
        choices
            .map(|(path, choice)| (path.clone(), choice.draw(random)))
            .collect()
    }

    /// The settings of which there are several to draw.
    pub(super) fn varied(&self) -> impl Iterator<Item = (&str, &Choice)> {
        let choices = self
            .choices
            .iter()
            .map(|(path, choice)| (path.as_str(), choice));
        choices.filter(|(_, choice)| !matches!(choice, Choice::OneOf(values) if values.len() == 1))
    }

    /// All settings, with drawn ones in place of defaults.
    pub(super) fn settings(&self, drawn: &Drawn) -> Value {
        let mut settings = self.defaults.clone();
        for (path, value) in drawn {
            if let Some(place) = settings.pointer_mut(&format!("/{}", path.replace('.', "/"))) {
                place.clone_from(value);
            }
        }
        settings
    }
}

/// Reads an object of the space, which stands for the settings at `path`.
fn read(
    space: &Map<String, Value>,
    path: &str,
    defaults: &Value,
    choices: &mut BTreeMap<String, Choice>,
) -> Result<()> {
    for (keys, value) in space {
        let (mut path, mut defaults) = (path.to_owned(), defaults);
        for key in keys.split('.') {
            let known = defaults.as_object().ok_or_else(|| {
                let reason = format!(
                    "has no setting {key:?}: it is {defaults}, and is written whole, in a list"
                );
                invalid(&path, value, reason)
            })?;
            defaults = (known.get(key))
                .ok_or_else(|| Error::invalid("space", value, no_setting(&path, key, known)))?;
            path = path_of(&path, key);
        }
        let choice = match value {
            Value::Object(inner) if !inner.contains_key("from") && !inner.contains_key("to") => {
                read(inner, &path, defaults, choices)?;
                continue;
            }
            Value::Object(range) => Choice::range(&path, value, range, defaults)?,
            Value::Array(values) if values.is_empty() => {
                return Err(invalid(&path, value, "must be one of at least one value"));
            }
            Value::Array(values) => Choice::OneOf(values.clone()),
            value => Choice::OneOf(vec![value.clone()]),
        };
        if SHARED.contains(&path.as_str()) {
            let reason =
                "is the same for all trials: set it in the settings that the search is given";
            return Err(invalid(&path, value, reason));
        }
        if choices.insert(path.clone(), choice).is_some() {
            return Err(invalid(&path, value, "is given twice"));
        }
    }
    Ok(())
}

impl Choice {
    fn range(
        path: &str,
        value: &Value,
        range: &Map<String, Value>,
        default: &Value,
    ) -> Result<Self> {
        let end = |name: &str| range.get(name).filter(|end| end.is_number());
        let (Some(from), Some(to)) = (end("from"), end("to")) else {
            return Err(invalid(path, value, "needs the numbers `from` and `to`"));
        };
        let log = is_log(path, value, range)?;
        let whole = |number: &Value| number.is_i64() || number.is_u64();
        let integer = match default {
            Value::Number(_) => whole(default),
            // Nothing is set, so that the ends say what it is.
            Value::Null => whole(from) && whole(to),
            other => {
                let reason = format!("is {other}, which is no number; list its values");
                return Err(invalid(path, value, reason));
            }
        };
        if integer && !(whole(from) && whole(to)) {
            return Err(invalid(
                path,
                value,
                "is an integer, and so must `from` and `to` be",
            ));
        }
        let (from, to) = (
            from.as_f64().unwrap_or(f64::NAN),
            to.as_f64().unwrap_or(f64::NAN),
        );
        if from >= to {
            return Err(invalid(path, value, "must have a `from` below `to`"));
        }
        if log && from <= 0.0 {
            return Err(invalid(
                path,
                value,
                "must begin above 0 on a logarithmic scale",
            ));
        }
        Ok(Self::Range {
            from,
            to,
            log,
            integer,
        })
    }

    fn draw(&self, random: &mut impl Rng) -> Value {
        let (from, to, log, integer) = match self {
            Self::OneOf(values) => return values.choose(random).cloned().unwrap_or_default(),
            &Self::Range {
                from,
                to,
                log,
                integer,
            } => (from, to, log, integer),
        };
        // Every integer has a stretch of its own, the last one too.
        let above = if integer { to + 1.0 } else { to };
        let share: f64 = random.random();
        let number = if log {
            (from.ln() + share * (above.ln() - from.ln())).exp()
        } else {
            from + share * (above - from)
        };
        if integer {
            return Value::from(number.floor().clamp(from, to) as i64);
        }
        Value::from(four_digits(number).clamp(from, to))
    }
}

/// Reads whether a range is drawn on a logarithmic scale.
fn is_log(path: &str, value: &Value, range: &Map<String, Value>) -> Result<bool> {
    let known = ["from", "to", "scale"];
    if let Some(other) = range.keys().find(|key| !known.contains(&key.as_str())) {
        let reason = format!("has {other:?}, and a range has only from, to and scale");
        return Err(invalid(path, value, reason));
    }
    match range.get("scale").map(Value::as_str) {
        None | Some(Some("linear")) => Ok(false),
        Some(Some("log")) => Ok(true),
        Some(_) => Err(invalid(
            path,
            value,
            "has a scale that is neither linear nor log",
        )),
    }
}

/// A number that can be read and written down: of four digits.
fn four_digits(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use serde_json::json;

    use super::*;
    use crate::model::Gru4RecConfig;

    fn space(text: &str) -> Result<Space> {
        let trainer = TrainerConfig::new();
        Space::parse(text, complete(&Gru4RecConfig::new(), &trainer)?)
    }

    #[test]
    fn values_are_drawn_within_what_is_said() {
        let space = space(
            r#"{"model": {"dim": {"from": 8, "to": 64, "scale": "log"}, "objective.similarity": ["dot", "cosine"]},
                "trainer.learning_rate": {"from": 1e-4, "to": 1e-2, "scale": "log"},
                "trainer.clip_norm": {"from": 1, "to": 3}, "trainer.weight_decay": {"from": 0, "to": 1},
                "trainer.batch_size": 64}"#,
        )
        .unwrap();
        assert_eq!(
            space.fixed(),
            Drawn::from([("trainer.batch_size".to_owned(), json!(64))])
        );
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<Drawn> = (0..2_000).map(|_| space.draw(&mut random)).collect();
        let all = |path: &str| -> Vec<f64> {
            drawn
                .iter()
                .map(|drawn| drawn[path].as_f64().unwrap())
                .collect()
        };
        assert!(drawn.iter().all(|drawn| drawn["model.dim"].is_i64()));
        let dims = all("model.dim");
        assert!(dims.iter().all(|dim| (8.0..=64.0).contains(dim)));
        assert!(dims.contains(&8.0) && dims.contains(&64.0));
        let rates = all("trainer.learning_rate");
        assert!(rates.iter().all(|rate| (1e-4..=1e-2).contains(rate)));
        let low = rates.iter().filter(|&&rate| rate < 1e-3).count();
        assert!((900..1_100).contains(&low), "{low}");
        // Nothing is set by default, and integers are written; the other is a real number.
        assert!(
            drawn
                .iter()
                .all(|drawn| drawn["trainer.clip_norm"].is_i64())
        );
        assert!(
            drawn
                .iter()
                .all(|drawn| drawn["trainer.weight_decay"].is_f64())
        );
        let settings = space.settings(&drawn[0]);
        assert_eq!(settings["model"]["dim"], drawn[0]["model.dim"]);
        assert_eq!(settings["trainer"]["batch_size"], json!(64));
    }

    #[test]
    fn what_is_no_setting_or_no_range_is_refused_by_its_path() {
        for (text, said) in [
            (
                "{\"model.dims\": 3}",
                "model has no setting \"dims\"; there are",
            ),
            (
                "{\"optimizer\": 3}",
                "it has no setting \"optimizer\"; there are model, trainer",
            ),
            (
                "{\"trainer.epochs.many\": 3}",
                "trainer.epochs has no setting \"many\"",
            ),
            ("{\"model.dim\": []}", "at least one value"),
            ("{\"model.dim\": {\"from\": 8}}", "needs the numbers"),
            ("{\"model.dim\": {\"from\": 8, \"to\": 8}}", "below `to`"),
            (
                "{\"model.dim\": {\"from\": 1.5, \"to\": 8}}",
                "is an integer",
            ),
            (
                "{\"model.dim\": {\"from\": 0, \"to\": 8, \"scale\": \"log\"}}",
                "above 0",
            ),
            (
                "{\"model.dim\": {\"from\": 1, \"to\": 8, \"scale\": \"cubic\"}}",
                "scale",
            ),
            (
                "{\"model.dim\": {\"from\": 1, \"to\": 8, \"by\": 2}}",
                "\"by\"",
            ),
            (
                "{\"trainer.schedule\": {\"from\": 1, \"to\": 8}}",
                "list its values",
            ),
            (
                "{\"trainer.metric\": [\"ndcg@10\"]}",
                "the same for all trials",
            ),
            ("{\"model.dim\": 3, \"model\": {\"dim\": 4}}", "given twice"),
            ("[1]", "must be an object"),
            ("{", "no JSON"),
        ] {
            let error = space(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
