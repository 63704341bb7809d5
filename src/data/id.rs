//! External ids and their dense numbers.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum ExternalId {
    /// An integer id.
    Integer(i64),
    /// Any other id.
    Text(Box<str>),
}

/// An id as JSON has it: a text, or an integer, which is the same as its text. An integer beyond 64
/// bits is refused, since readers of JSON lose its last digits.
impl<'de> Deserialize<'de> for ExternalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenId)
    }
}

struct WrittenId;

impl Visitor<'_> for WrittenId {
    type Value = ExternalId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id, which is an integer or a text")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ExternalId, E> {
        Ok(ExternalId::Integer(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ExternalId, E> {
        // As a text of the same digits is.
        Ok(i64::try_from(number).map_or_else(|_| number.to_string().into(), ExternalId::Integer))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<ExternalId, E> {
        if number == 0.0 && number.is_sign_negative() {
            return Ok("-0".into());
        }
        Err(E::custom(if number.abs() >= i64::MAX as f64 {
            format!("the number {number} is no id: write an integer beyond 64 bits as a text")
        } else {
            format!("the number {number:?} is no id: an id is an integer or a text")
        }))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ExternalId, E> {
        Ok(text.into())
    }
}

impl From<&str> for ExternalId {
    fn from(text: &str) -> Self {
        Key::of_text(text).to_id()
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
pub(super) fn parse_canonical(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => digits.len() <= 19,
        _ => false,
    };
    if !canonical || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if text.len() <= 18 && digits.len() == text.len() {
        return Some(
            digits
                .iter()
                .fold(0, |number, &digit| 10 * number + i64::from(digit - b'0')),
        );
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An id that is looked up without being owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key<'a> {
    Integer(i64),
    Text(&'a str),
}

impl<'a> Key<'a> {
    pub(super) fn of_text(text: &'a str) -> Self {
        match parse_canonical(text.as_bytes()) {
            Some(number) => Self::Integer(number),
            None => Self::Text(text),
        }
    }

    pub(super) fn of(id: &'a ExternalId) -> Self {
        match id {
            ExternalId::Integer(number) => Self::Integer(*number),
            ExternalId::Text(text) => Self::Text(text),
        }
    }

    fn to_id(self) -> ExternalId {
        match self {
            Self::Integer(number) => ExternalId::Integer(number),
            Self::Text(text) => ExternalId::Text(text.into()),
        }
    }

    /// The place of a small integer in [`IdTable::small`].
    fn place(self) -> Option<usize> {
        match self {
            Self::Integer(number) => usize::try_from(number).ok().filter(|&place| place < SMALL),
            Self::Text(_) => None,
        }
    }
}

/// Integers below this are looked up by their value, the others and texts by their hash: most
/// logs number their items from 1, and a file has an id in every row.
const SMALL: usize = 1 << 20;

/// A two-way map between external ids and the numbers `0..len`, in order of first appearance.
#[derive(Debug, Clone, Default)]
pub struct IdTable {
    ids: Vec<ExternalId>,
    /// The number plus one of each small integer, 0 where it is not in the table.
    small: Vec<u32>,
    /// The numbers of all other ids, by the ids' hashes.
    numbers: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl IdTable {
    /// The number of `id`, which is given the next free one if it is new.
    pub fn intern(&mut self, id: ExternalId) -> u32 {
        self.intern_key(Key::of(&id))
    }

    /// The same for an id that need not be owned.
    pub(super) fn intern_key(&mut self, key: Key<'_>) -> u32 {
        match self.find(key) {
            Some(number) => number,
            None => self.enter(key),
        }
    }

    /// The same for an id as a file writes it.
    pub(super) fn intern_text(&mut self, text: &str) -> u32 {
        self.intern_key(Key::of_text(text))
    }

    /// The numbers here of all ids of another table, by their numbers there; those that are new are
    /// entered.
    pub(super) fn intern_all(&mut self, other: &Self) -> Vec<u32> {
        let ids = other.ids.iter();
        ids.map(|id| self.intern_key(Key::of(id))).collect()
    }

    /// The number of `id`, if it is known.
    pub fn number_of(&self, id: &ExternalId) -> Option<u32> {
        self.find(Key::of(id))
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the numbers of a table are those of its ids"
    )]
    fn find(&self, key: Key<'_>) -> Option<u32> {
        if let Some(place) = key.place() {
            return self.small.get(place)?.checked_sub(1);
        }
        let same = |&number: &u32| Key::of(&self.ids[number as usize]) == key;
        self.numbers.find(self.hasher.hash_one(key), same).copied()
    }

    /// Gives a key that is not in the table the number of the next id.
    #[expect(
        clippy::indexing_slicing,
        reason = "the numbers of a table are those of its ids, and room was made"
    )]
    #[expect(
        clippy::expect_used,
        reason = "four billion ids take more memory than a machine of today has"
    )]
    fn enter(&mut self, key: Key<'_>) -> u32 {
        let number = u32::try_from(self.ids.len())
            .ok()
            .filter(|&number| number < u32::MAX)
            .expect("fewer than 2^32 - 1 distinct ids");
        if let Some(place) = key.place() {
            if place >= self.small.len() {
                self.small.resize((place + 1).next_power_of_two(), 0);
            }
            self.small[place] = number + 1;
        } else {
            let hash = |key: Key<'_>| self.hasher.hash_one(key);
            let hash_of = |&number: &u32| hash(Key::of(&self.ids[number as usize]));
            self.numbers.insert_unique(hash(key), number, hash_of);
        }
        self.ids.push(key.to_id());
        number
    }

    /// All ids, by number.
    pub fn ids(&self) -> &[ExternalId] {
        &self.ids
    }

    /// The number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl PartialEq for IdTable {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids
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
    fn json_numbers_and_texts_of_them_are_the_same_id() {
        let ids: Vec<ExternalId> = serde_json::from_str(r#"[42, "42", "042"]"#).unwrap();
        assert_eq!(ids, [42.into(), 42.into(), ExternalId::from("042")]);
        let written = serde_json::to_string(&ids).unwrap();
        assert_eq!(written, r#"[42,42,"042"]"#);
        for integer in [
            "18446744073709551615",
            "9223372036854775808",
            "9223372036854775807",
            "-9223372036854775808",
            "-0",
            "0",
        ] {
            let id: ExternalId = serde_json::from_str(integer).unwrap();
            assert_eq!(id, ExternalId::from(integer));
            assert_eq!(id.to_string(), integer);
        }
        for (none, words) in [
            ("4.5", "4.5 is no id"),
            ("42.0", "42.0 is no id"),
            ("18446744073709551616", "as a text"),
            ("1e400", "out of range"),
            ("null", "an integer or a text"),
            ("[1]", "an integer or a text"),
        ] {
            let error = serde_json::from_str::<ExternalId>(none).unwrap_err();
            assert!(error.to_string().contains(words), "{none}: {error}");
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
        let texts = ["b", "a", "b", "3", "-3", "1048575", "1048576", "3", "-3"];
        let owned: IdTable = texts.map(ExternalId::from).into_iter().collect();
        let mut table = IdTable::default();
        let numbers = texts.map(|text| table.intern_text(text));
        assert_eq!(numbers, [0, 1, 0, 2, 3, 4, 5, 2, 3]);
        assert_eq!(table, owned);
        for (number, id) in table.ids().iter().enumerate() {
            assert_eq!(table.number_of(id), Some(number as u32));
            assert_eq!(owned.number_of(id), Some(number as u32));
        }
        for unknown in ["c", "4", "-4", "1048577"] {
            assert_eq!(table.number_of(&unknown.into()), None);
        }
    }
}
