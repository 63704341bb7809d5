//! Rules as text.

use std::fmt;
use std::str::FromStr;

use super::{Behaviors, MOST_RULES, Role, Rule, Sign, ValueTest};
use crate::{Error, Result};

/// Words that stand for the value of an event of any type.
const VALUE: [&str; 2] = ["value", "rating"];

const ROLES: [(&str, Role); 4] = [
    ("target", Role::Target),
    ("history", Role::History),
    ("negative", Role::Negative),
    ("ignored", Role::Ignored),
];

/// The longer ones first, since they begin as the shorter ones do.
const RELATIONS: [(&str, Sign); 4] = [
    (">=", Sign::AtLeast),
    ("<=", Sign::AtMost),
    (">", Sign::Above),
    ("<", Sign::Below),
];

fn refused(value: impl fmt::Display, reason: impl Into<String>) -> Error {
    Error::invalid("behaviors", value, reason)
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let relation = RELATIONS
            .iter()
            .find_map(|&(sign, relation)| Some((text.split_once(sign)?, relation)));
        let (what, rest, relation) = match relation {
            Some(((what, rest), relation)) => (what, rest, Some(relation)),
            None => (text, "", None),
        };
        let (rest, weight) = without_weight(if relation.is_some() { rest } else { what });
        let (first, role) = match rest.split_once('=') {
            Some((first, role)) => (first.trim(), Some(role.trim())),
            None => (rest.trim(), None),
        };
        let comparison = relation.map(|relation| {
            let bound = first.parse().ok().filter(|bound: &f32| bound.is_finite());
            let bound = bound.ok_or_else(|| {
                refused(
                    text,
                    format!("{first:?} is no number to compare a value with"),
                )
            })?;
            Ok::<_, Error>(ValueTest { relation, bound })
        });
        let name = if relation.is_some() {
            what.trim()
        } else {
            first
        };
        if name.is_empty() {
            let reason =
                "a rule names a type of event first, such as buy=target, or value>=4=target";
            return Err(refused(format!("{text:?}"), reason));
        }
        if name.contains('*') && name != "*" {
            let reason = "a weight comes last: view=history*0.2";
            return Err(refused(format!("{text:?}"), reason));
        }
        let any = name == "*" || (relation.is_some() && VALUE.contains(&name));
        let weight = weight.map_or(Ok(1.0), |weight| {
            let known = weight
                .parse()
                .ok()
                .filter(|&weight: &f32| weight > 0.0 && weight.is_finite());
            known.ok_or_else(|| {
                refused(
                    text,
                    format!("the weight {weight:?} must be a number above 0"),
                )
            })
        })?;
        Ok(Self {
            name: (!any).then(|| name.to_owned()),
            comparison: comparison.transpose()?,
            role: role.map_or(Ok(Role::History), |role| role_of(role, text))?,
            weight,
        })
    }
}

/// A rule without its weight, which comes last; a star by itself names everything.
fn without_weight(rule: &str) -> (&str, Option<&str>) {
    match rule.rsplit_once('*') {
        Some((before, weight)) if !weight.trim().is_empty() && !weight.contains('=') => {
            (before, Some(weight.trim()))
        }
        _ => (rule, None),
    }
}

fn role_of(role: &str, rule: &str) -> Result<Role> {
    let known = ROLES.iter().find(|(name, _)| *name == role);
    known.map(|&(_, role)| role).ok_or_else(|| {
        refused(
            rule,
            format!("{role:?} is no role: target, history, negative or ignored"),
        )
    })
}

/// Rules between commas.
impl FromStr for Behaviors {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let rules: Vec<Rule> = text.split(',').map(str::parse).collect::<Result<_>>()?;
        for (place, rule) in rules.iter().enumerate() {
            let covers = |other: &&Rule| {
                (other.name.is_none() || other.name == rule.name)
                    && (other.comparison.is_none() || other.comparison == rule.comparison)
            };
            if let Some(first) = rules.iter().take(place).find(covers) {
                return Err(refused(
                    rule,
                    format!("every event that it names falls under {first} before it"),
                ));
            }
        }
        if rules.len() > MOST_RULES {
            return Err(refused(
                rules.len(),
                format!("there can be {MOST_RULES} rules"),
            ));
        }
        if !rules.iter().any(|rule| rule.role == Role::Target) {
            let reason = "no rule says what is to be recalled: name a target, as in buy=target";
            return Err(refused(text, reason));
        }
        Ok(Self { rules })
    }
}

impl TryFrom<String> for Behaviors {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Behaviors> for String {
    fn from(behaviors: Behaviors) -> Self {
        behaviors.to_string()
    }
}

impl Rule {
    /// The events that it names.
    pub(super) fn named(&self) -> String {
        let name = match (&self.name, &self.comparison) {
            (Some(name), _) => name,
            (None, Some(_)) => VALUE[0],
            (None, None) => "*",
        };
        match self.comparison {
            Some(ValueTest { relation, bound }) => {
                let sign = RELATIONS.iter().find(|(_, known)| *known == relation);
                format!("{name}{}{bound}", sign.map_or("", |(sign, _)| *sign))
            }
            None => name.to_owned(),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named())?;
        let role = ROLES.iter().find(|(_, known)| *known == self.role);
        write!(f, "={}", role.map_or("", |(name, _)| *name))?;
        if self.weight != 1.0 {
            write!(f, "*{}", self.weight)?;
        }
        Ok(())
    }
}

/// The rules as they are read.
impl fmt::Display for Behaviors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, rule) in self.rules.iter().enumerate() {
            write!(f, "{}{rule}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        for (text, written) in [
            ("buy=target", "buy=target"),
            ("buy = target * 3 ,view", "buy=target*3, view=history"),
            ("view*0.5, buy=target", "view=history*0.5, buy=target"),
            ("rating >= 4=target,*", "value>=4=target, *=history"),
            (
                "play<30=negative*2, *=target*1.5",
                "play<30=negative*2, *=target*1.5",
            ),
            (
                "value>-1.5=target, * = ignored",
                "value>-1.5=target, *=ignored",
            ),
        ] {
            let behaviors: Behaviors = text.parse().unwrap();
            assert_eq!(behaviors.to_string(), written);
            assert_eq!(written.parse::<Behaviors>().unwrap(), behaviors);
            let json = serde_json::to_string(&behaviors).unwrap();
            assert_eq!(serde_json::from_str::<Behaviors>(&json).unwrap(), behaviors);
        }
    }

    #[test]
    fn what_is_no_rule_is_an_error_that_says_why() {
        for (text, said) in [
            ("", "names a type of event"),
            ("buy=target,,view", "names a type of event"),
            ("=target", "names a type of event"),
            ("view", "name a target"),
            ("buy=goal", "\"goal\" is no role"),
            ("buy=target*0", "\"0\" must be a number above 0"),
            ("buy=target*much", "\"much\" must be a number above 0"),
            ("value>=four=target", "\"four\" is no number"),
            ("buy=target, buy=negative", "falls under buy=target before"),
            (
                "buy=target, *, dislike=negative",
                "falls under *=history before",
            ),
            ("play, play>=30=target", "falls under play=history before"),
            ("view*0.2=history, buy=target", "a weight comes last"),
        ] {
            let refused = text.parse::<Behaviors>().unwrap_err().to_string();
            assert!(refused.contains(said), "{text:?}: {refused}");
        }
    }
}
