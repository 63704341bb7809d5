//! External ids and their dense numbers.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An id as the outside world writes it: an integer or a string.
///
/// A text that is the usual way of writing an integer (`42`, `-7`) is that integer; anything else
/// (`007`, `+7`, `B00004TKUP`) stays text, so every id is written back exactly as it was read.
///
/// ```
/// use seqrec::data::ExternalId;
///
/// assert_eq!(ExternalId::from("42"), ExternalId::from(42));
/// assert_eq!(ExternalId::from("007").to_string(), "007");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExternalId {
    /// An integer id.
    Integer(i64),
    /// Any other id.
    Text(Box<str>),
}

impl From<&str> for ExternalId {
    fn from(text: &str) -> Self {
        match parse_canonical(text.as_bytes()) {
            Some(number) => Self::Integer(number),
            None => Self::Text(text.into()),
        }
    }
}

impl From<String> for ExternalId {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<i64> for ExternalId {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Reads an integer only in the form that writing it gives back.
fn parse_canonical(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => digits.len() <= 19,
        _ => false,
    };
    if !canonical || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A two-way map between external ids and the numbers `0..len`, in order of first appearance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IdTable {
    ids: Vec<ExternalId>,
    numbers: HashMap<ExternalId, u32, foldhash::fast::RandomState>,
}

impl IdTable {
    /// The number of `id`, which is given the next free one if it is new.
    pub fn intern(&mut self, id: ExternalId) -> u32 {
        if let Some(&number) = self.numbers.get(&id) {
            return number;
        }
        let number = u32::try_from(self.ids.len()).expect("fewer than 2^32 distinct ids");
        self.ids.push(id.clone());
        self.numbers.insert(id, number);
        number
    }

    /// The number of `id`, if it is known.
    pub fn number_of(&self, id: &ExternalId) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    /// All ids, by number.
    pub fn ids(&self) -> &[ExternalId] {
        &self.ids
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl FromIterator<ExternalId> for IdTable {
    fn from_iter<I: IntoIterator<Item = ExternalId>>(ids: I) -> Self {
        let mut table = Self::default();
        for id in ids {
            table.intern(id);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_become_integers() {
        for text in ["0", "7", "-7", "9223372036854775807"] {
            assert!(
                matches!(ExternalId::from(text), ExternalId::Integer(_)),
                "{text}"
            );
        }
        for text in [
            "",
            "-",
            "-0",
            "00",
            "007",
            "+7",
            "7 ",
            "9223372036854775808",
            "x",
        ] {
            assert!(
                matches!(ExternalId::from(text), ExternalId::Text(_)),
                "{text}"
            );
        }
    }

    #[test]
    fn every_text_is_written_back_as_it_was() {
        for text in ["0", "-12", "0012", "-0", "ä", "1e3"] {
            assert_eq!(ExternalId::from(text).to_string(), text);
        }
    }

    #[test]
    fn numbers_follow_first_appearance() {
        let table: IdTable = ["b", "a", "b", "3"]
            .map(ExternalId::from)
            .into_iter()
            .collect();
        assert_eq!(table.len(), 3);
        assert_eq!(table.number_of(&"a".into()), Some(1));
        assert_eq!(table.number_of(&ExternalId::Integer(3)), Some(2));
        assert_eq!(table.number_of(&"c".into()), None);
    }
}
