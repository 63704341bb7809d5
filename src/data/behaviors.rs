//! What events mean: which are to be recalled, which are a dislike, and how much each weighs.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

mod parse;

use serde::{Deserialize, Serialize};

use super::event::Event;

/// The meaning of events by their type and value, said once for training, evaluation, channels and
/// service.
///
/// It is written as rules, of which the first one that fits an event counts:
///
/// - a type of event, such as `buy`; a comparison of its value, such as `play>=30`; `value>=4` (or
///   `rating>=4`) of any type; or `*`, all that is left;
/// - after `=` its [role](Role): `target`, `history` (the default), `negative` or `ignored`;
/// - after `*` its weight, 1 unless said.
///
/// ```
/// use seqrec::data::{Behaviors, Filters, Interaction, Interactions, Role};
/// use seqrec::prelude::*;
///
/// let behaviors: Behaviors = "buy=target*3, cart=target, view*0.2, dislike=negative".parse()?;
/// let did = |item, time, what| Interaction::new("anna", item, time).with_event(what);
/// let log: Interactions =
///     [did("pen", 1.0, "view"), did("pen", 2.0, "buy"), did("desk", 3.0, "dislike")]
///         .into_iter()
///         .collect();
/// let dataset = Dataset::new(log.with_behaviors(&behaviors)?, Filters::default())?;
/// let data = dataset.training_data();
/// assert_eq!(data.sequences().history(0).role(2), Role::Negative);
/// let by_rating: Behaviors = "value>=4=target, value<=2=negative, *".parse()?;
/// # let _ = by_rating;
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// Models learn to recall targets, see all events but ignored ones in histories, and are pushed
/// away from negative ones. Cases are evaluated on targets alone. Items of a target or a negative
/// event are [seen](super::Seen), and left out where seen items are; an item that was only viewed
/// may be recalled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Behaviors {
    rules: Vec<Rule>,
}

/// What an event is to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It is to be recalled.
    Target,
    /// It is in histories, and never to be recalled.
    History,
    /// The user doesn't want the item: it is in histories, never to be recalled, and models and
    /// channels take it as a sign against the item.
    Negative,
    /// It is dropped when the data are read.
    Ignored,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    /// The type of event; `None` for any.
    name: Option<String>,
    comparison: Option<ValueTest>,
    role: Role,
    weight: f32,
}

/// A comparison of an event's value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ValueTest {
    relation: Sign,
    bound: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl ValueTest {
    fn holds(self, value: f32) -> bool {
        match self.relation {
            Sign::AtLeast => value >= self.bound,
            Sign::AtMost => value <= self.bound,
            Sign::Above => value > self.bound,
            Sign::Below => value < self.bound,
        }
    }
}

impl Rule {
    fn is_of(&self, name: Option<&str>) -> bool {
        self.name.is_none() || self.name.as_deref() == name
    }

    fn fits(&self, value: Option<f32>) -> bool {
        let compared = |comparison: ValueTest| value.is_some_and(|value| comparison.holds(value));
        self.comparison.is_none_or(compared)
    }
}

/// The most rules, whose numbers are kept in a byte each.
const MOST_RULES: usize = 254;

impl Behaviors {
    /// How many rules there are.
    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether the same events fall under the same rules by both, whatever these make of them.
    #[cfg(feature = "engine")]
    pub(crate) fn has_rules_for_same(&self, other: &Self) -> bool {
        let of = |rule: &Rule| (rule.name.clone(), rule.comparison);
        self.rules.iter().map(of).eq(other.rules.iter().map(of))
    }

    /// The rules in quotes, or "none" where events have no meaning, as errors say them.
    pub(crate) fn said(behaviors: Option<&Self>) -> String {
        let quoted = |behaviors: &Self| format!("{:?}", behaviors.to_string());
        behaviors.map_or_else(|| "none".to_owned(), quoted)
    }

    /// What each rule names, without what it makes of it.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(Rule::named)
    }

    /// An event of this type and value as data keep it, or `None` where no rule names it.
    pub fn event(&self, name: Option<&str>, value: Option<f32>) -> Option<Event> {
        self.of_name(name).event(value)
    }

    /// The rules for events of a type.
    pub(super) fn of_name(&self, name: Option<&str>) -> OfName<'_> {
        let rules = self.rules.iter().enumerate();
        OfName {
            rules: rules.filter(|(_, rule)| rule.is_of(name)).collect(),
        }
    }

    fn rule(&self, event: Event) -> Option<&Rule> {
        self.rules.get(event.behavior()?)
    }

    /// The role of an event; one of a type that isn't known is in histories.
    pub fn role(&self, event: Event) -> Role {
        self.rule(event).map_or(Role::History, |rule| rule.role)
    }

    /// The weight of an event, above 0: 1 unless a rule says another.
    pub fn weight(&self, event: Event) -> f32 {
        self.rule(event).map_or(1.0, |rule| rule.weight)
    }

    /// What an event adds to whatever counts its item: its weight, or nothing where it is negative
    /// or ignored.
    pub(crate) fn adds(&self, event: Event) -> Option<f32> {
        match self.role(event) {
            Role::Target | Role::History => Some(self.weight(event)),
            Role::Negative | Role::Ignored => None,
        }
    }
}

/// The rules for events of one type, with their numbers.
#[derive(Debug)]
pub(super) struct OfName<'a> {
    rules: Vec<(usize, &'a Rule)>,
}

impl OfName<'_> {
    /// An event of this value, or `None` where no rule names it.
    pub(super) fn event(&self, value: Option<f32>) -> Option<Event> {
        let value = value.filter(|value| !value.is_nan());
        let (number, _) = self.rules.iter().find(|(_, rule)| rule.fits(value))?;
        Some(Event::new(u8::try_from(number + 1).ok()?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let behaviors: Behaviors =
            "play>=30=target*2, play<5=negative, play, value > 4 = target, * = ignored"
                .parse()
                .unwrap();
        let role = |name, value| {
            behaviors
                .event(name, value)
                .map(|event| behaviors.role(event))
        };
        assert_eq!(role(Some("play"), Some(30.0)), Some(Role::Target));
        assert_eq!(role(Some("play"), Some(4.0)), Some(Role::Negative));
        assert_eq!(role(Some("play"), Some(10.0)), Some(Role::History));
        assert_eq!(role(Some("play"), None), Some(Role::History));
        assert_eq!(role(Some("other"), Some(5.0)), Some(Role::Target));
        assert_eq!(role(None, Some(5.0)), Some(Role::Target));
        assert_eq!(role(None, None), Some(Role::Ignored));
        let played = behaviors.event(Some("play"), Some(31.0)).unwrap();
        assert_eq!(behaviors.weight(played), 2.0);
        assert_eq!(behaviors.role(Event::default()), Role::History);
        let few: Behaviors = "buy=target, view".parse().unwrap();
        assert_eq!(few.event(Some("cart"), None), None);
        assert_eq!(few.event(None, Some(1.0)), None);
    }
}
