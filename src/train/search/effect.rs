//! The settings that made a difference.

use std::collections::BTreeMap;
use std::fmt;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;

use super::space::{Choice, Space};
use super::trial::{Shown, Trial};

/// The number of times that values are shuffled to see what chance does.
const SHUFFLES: usize = 999;

/// Of fewer trials nothing is said.
const LEAST_TRIALS: usize = 6;

/// The effect of a setting in a [`Search`](super::Search), measured by the trials of the first
/// round: random draws, each trained for the same number of epochs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Effect {
    /// The name of the model; `None` where the choice of the model is itself looked at.
    pub model: Option<String>,
    /// The path of the setting, such as `trainer.learning_rate`, or `model`.
    pub setting: String,
    /// The share of the spread of the trials' ranks that the setting explains: epsilon squared of
    /// the Kruskal–Wallis test, 0 where it is no more than groups of that size explain by chance.
    pub explains: f64,
    /// The share of random orders of the same trials that explain as much (a permutation test).
    pub chance: f64,
    /// The values of the setting, each with the mean of the metric and the number of trials. Those
    /// of a range are in three groups of about the same size.
    pub groups: Vec<(String, f64, usize)>,
}

impl Effect {
    /// The effects of all settings, the largest first.
    pub(super) fn of_trials<'s>(
        trials: &[Trial],
        spaces: impl Iterator<Item = &'s Space>,
    ) -> Vec<Self> {
        // The settings that were given are no random draw.
        let drawn = |trial: &&Trial| !trial.is_default;
        let measured: Vec<(&Trial, f64)> = (trials.iter().filter(drawn))
            .filter_map(|trial| Some((trial, trial.mean()?)))
            .collect();
        let mut effects = Vec::new();
        let of_models = measured
            .iter()
            .map(|(trial, value)| (trial.model.clone(), *value));
        effects.extend(Self::of(None, "model", of_models.collect()));
        for (place, space) in spaces.enumerate() {
            let own = |path: &str| -> Vec<(&Trial, &Value, f64)> {
                let own = measured.iter().filter(|(trial, _)| trial.place == place);
                own.filter_map(|&(trial, value)| Some((trial, trial.drawn(path)?, value)))
                    .collect()
            };
            for (path, choice) in space.varied() {
                let own = own(path);
                let Some((trial, ..)) = own.first() else {
                    continue;
                };
                let values: Vec<&Value> = own.iter().map(|(_, value, _)| *value).collect();
                let labels = labels(choice, &values);
                let grouped = labels.into_iter().zip(own.iter().map(|(.., value)| *value));
                effects.extend(Self::of(Some(&trial.model), path, grouped.collect()));
            }
        }
        effects.sort_by(|a, b| b.explains.total_cmp(&a.explains));
        effects
    }

    /// The effect of what the trials' groups differ in; `None` where nothing can be said.
    fn of(model: Option<&str>, setting: &str, trials: Vec<(String, f64)>) -> Option<Self> {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut order = Vec::new();
        for (place, (label, _)) in trials.iter().enumerate() {
            if !groups.contains_key(label.as_str()) {
                order.push(label.as_str());
            }
            groups.entry(label).or_default().push(place);
        }
        let (all, kinds) = (trials.len(), groups.len());
        if all < LEAST_TRIALS || kinds < 2 || kinds == all {
            return None;
        }
        let mut ranks = ranks(trials.iter().map(|(_, value)| *value).collect());
        let mean = (all as f64 - 1.0) / 2.0;
        let total: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
        if total == 0.0 {
            return None;
        }
        let between = |ranks: &[f64]| -> f64 {
            let of_group = |places: &Vec<usize>| {
                let sum: f64 = places.iter().map(|&place| ranks[place] - mean).sum();
                sum * sum / places.len() as f64
            };
            groups.values().map(of_group).sum()
        };
        let found = between(&ranks);
        let within = (total - found) / (all - kinds) as f64;
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let as_much = (0..SHUFFLES).filter(|_| {
            ranks.shuffle(&mut random);
            between(&ranks) >= found - 1e-9 * total
        });
        let chance = (as_much.count() + 1) as f64 / (SHUFFLES + 1) as f64;
        let group = |label: &&str| {
            let places = &groups[*label];
            let sum: f64 = places.iter().map(|&place| trials[place].1).sum();
            ((*label).to_owned(), sum / places.len() as f64, places.len())
        };
        Some(Self {
            model: model.map(str::to_owned),
            setting: setting.to_owned(),
            explains: ((found - (kinds - 1) as f64 * within) / total).max(0.0),
            chance,
            groups: order.iter().map(group).collect(),
        })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self
            .model
            .as_ref()
            .map_or(String::new(), |model| format!("{model}, "));
        let groups = self.groups.iter();
        let groups = groups.map(|(label, mean, count)| format!("{label}: {mean:.4} (n {count})"));
        write!(
            f,
            "{:>4.0} %  chance {:.3}  {whose}{}  {}",
            100.0 * self.explains,
            self.chance,
            self.setting,
            groups.collect::<Vec<_>>().join("; ")
        )
    }
}

/// The groups of values, in which equal ones are together.
fn labels(choice: &Choice, values: &[&Value]) -> Vec<String> {
    if let Choice::OneOf(_) = choice {
        return values
            .iter()
            .map(|value| Shown(value).to_string())
            .collect();
    }
    let numbers: Vec<f64> = values
        .iter()
        .map(|value| value.as_f64().unwrap_or(f64::NAN))
        .collect();
    let mut sorted = numbers.clone();
    sorted.sort_by(f64::total_cmp);
    let cuts = [1, 2].map(|third| sorted[third * sorted.len() / 3]);
    let group = |number: f64| cuts.iter().filter(|&&cut| number >= cut).count();
    let label = |number: &f64| {
        let mut there = sorted
            .iter()
            .filter(|&&other| group(other) == group(*number));
        let first = there.next().copied().unwrap_or(*number);
        let last = there.next_back().copied().unwrap_or(first);
        format!("{first} to {last}")
    };
    numbers.iter().map(label).collect()
}

/// The rank of each value from 0, with the mean of theirs for equal ones.
fn ranks(values: Vec<f64>) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal as f64 - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(of: impl Fn(usize) -> (usize, f64)) -> Vec<(String, f64)> {
        let trial = |place| {
            let (group, value) = of(place);
            (format!("g{group}"), value)
        };
        (0..24).map(trial).collect()
    }

    #[test]
    fn what_decides_explains_nearly_all_and_what_does_not_next_to_nothing() {
        // The value is the group's, and a little of the place's.
        let decides = Effect::of(
            None,
            "a",
            grouped(|place| (place % 3, (place % 3) as f64 + place as f64 / 100.0)),
        );
        let decides = decides.unwrap();
        assert!(
            decides.explains > 0.85 && decides.chance <= 0.001,
            "{decides}"
        );
        assert_eq!(
            decides
                .groups
                .iter()
                .map(|group| group.2)
                .collect::<Vec<_>>(),
            [8, 8, 8]
        );
        let idle = Effect::of(None, "a", grouped(|place| (place % 3, (place / 3) as f64))).unwrap();
        assert!(idle.explains == 0.0 && idle.chance > 0.9, "{idle}");
        // One value that is far from all others is one rank among many.
        let wild = |place| {
            (
                place % 2,
                if place == 0 {
                    1e9
                } else {
                    (place * 7 % 23) as f64
                },
            )
        };
        let wild = Effect::of(None, "a", grouped(wild)).unwrap();
        assert!(wild.explains < 0.2, "{wild}");
    }

    #[test]
    fn nothing_is_said_of_few_trials_of_one_group_or_of_equal_values() {
        let few = |count: usize| {
            (0..count)
                .map(|place| (format!("{}", place % 2), place as f64))
                .collect()
        };
        assert_eq!(Effect::of(None, "a", few(5)), None);
        assert!(Effect::of(None, "a", few(6)).is_some());
        assert_eq!(
            Effect::of(None, "a", grouped(|place| (0, place as f64))),
            None
        );
        assert_eq!(
            Effect::of(None, "a", grouped(|place| (place, place as f64))),
            None
        );
        assert_eq!(
            Effect::of(None, "a", grouped(|place| (place % 2, 1.0))),
            None
        );
    }

    #[test]
    fn numbers_of_a_range_come_in_thirds_with_equal_ones_together() {
        let range = Choice::Range {
            from: 1.0,
            to: 9.0,
            log: false,
            integer: true,
        };
        let values: Vec<Value> = [1, 2, 3, 4, 4, 4, 4, 8, 9].map(Value::from).to_vec();
        let labels = labels(&range, &values.iter().collect::<Vec<_>>());
        assert_eq!(labels[0], "1 to 3");
        assert!(
            labels[3..].iter().all(|label| label == "4 to 9"),
            "{labels:?}"
        );
    }
}
