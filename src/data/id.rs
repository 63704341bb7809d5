//! External ids and their dense numbers.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

/// An id as the outside world writes it: an integer or a string.
///
/// Blanks around a text are no part of the id, wherever it comes from. A text that is the usual way
/// of writing an integer (`42`, `-7`) is that integer; anything else (`007`, `+7`, `B00004TKUP`)
/// stays text, so every id is written back as it was read.
///
/// An empty text is no id, and neither are the marks that programs write for a missing value:
/// `NULL`, `null`, `\N`, `NaN`, `nan`, `None`, `<NA>`, `N/A`, `n/a`, `#N/A` and `-`. Files count
/// them as bad rows, and everything else that takes ids refuses them. Otherwise all visitors who
/// aren't logged in would be one user with a very long history.
///
/// ```
/// use seqrec::data::ExternalId;
///
/// assert_eq!(ExternalId::from("42"), ExternalId::from(42));
/// assert_eq!(ExternalId::from("007").to_string(), "007");
/// assert_eq!(ExternalId::from(" pen "), ExternalId::from("pen"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum ExternalId {
    /// An integer id.
    Integer(i64),
    /// Any other id. `ExternalId::from` makes it: a text that was put here by hand may be an
    /// integer, or have blanks around it.
    Text(Box<str>),
}

impl ExternalId {
    /// The text of an id that is one; `None` of an integer, which `Display` writes.
    ///
    /// ```
    /// use seqrec::data::ExternalId;
    ///
    /// assert_eq!(ExternalId::from("pen").as_str(), Some("pen"));
    /// assert_eq!(ExternalId::from("42").as_str(), None);
    /// assert_eq!(ExternalId::from("42").to_string(), "42");
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Integer(_) => None,
            Self::Text(text) => Some(text),
        }
    }

    /// Refuses an empty text and a mark of a missing value.
    pub(crate) fn check(&self, field: &'static str) -> Result<()> {
        match self.is_missing() {
            true => Err(Error::invalid(
                field,
                format!("{:?}", self.to_string()),
                NO_ID,
            )),
            false => Ok(()),
        }
    }

    /// Whether this is an empty text or a mark of a missing value, neither of which is an id.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Text(text) if MISSING.contains(&text.trim()))
    }
}

/// Texts that stand where there is no id, as databases, pandas, spreadsheets and JavaScript write
/// them.
const MISSING: [&str; 12] = [
    "", "NULL", "null", "\\N", "NaN", "nan", "None", "<NA>", "N/A", "n/a", "#N/A", "-",
];

/// The rule that a missing id breaks.
pub(crate) const NO_ID: &str =
    "an id must not be empty, blank or a mark of a missing value such as NULL, nan, N/A or -";

/// An id as JSON has it: a text, or an integer, which is the same as its text. An integer beyond 64
/// bits is refused, since readers of JSON lose its last digits, and so is an empty text.
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
        let id = ExternalId::from(text);
        if id.is_missing() {
            return Err(E::custom(format!("{text:?} is no id: {NO_ID}")));
        }
        Ok(id)
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

impl From<&String> for ExternalId {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<i64> for ExternalId {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for ExternalId {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

/// A number that is written in code without its type is one of these.
impl From<i32> for ExternalId {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
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
    /// The id that a text means, which may be empty.
    pub(super) fn of_text(text: &'a str) -> Self {
        let text = text.trim();
        match parse_canonical(text.as_bytes()) {
            Some(number) => Self::Integer(number),
            None => Self::Text(text),
        }
    }

    pub(super) fn of(id: &'a ExternalId) -> Self {
        match id {
            ExternalId::Integer(number) => Self::Integer(*number),
            ExternalId::Text(text) => Self::of_text(text),
        }
    }

    /// The key of an id that was made of a key.
    fn of_entered(id: &'a ExternalId) -> Self {
        match id {
            ExternalId::Integer(number) => Self::Integer(*number),
            ExternalId::Text(text) => Self::Text(text),
        }
    }

    /// Whether this is a text that stands where there is no id.
    pub(super) fn is_missing(self) -> bool {
        matches!(self, Self::Text(text) if MISSING.contains(&text))
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
        ids.map(|id| self.intern_key(Key::of_entered(id))).collect()
    }

    /// The numbers and texts of missing ids that were entered: nothing from outside may have one.
    pub(crate) fn missing(&self) -> impl Iterator<Item = (u32, &'static str)> {
        let entered = |text: &'static str| Some((self.find(Key::Text(text))?, text));
        MISSING.into_iter().filter_map(entered)
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
        let same = |&number: &u32| Key::of_entered(&self.ids[number as usize]) == key;
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
            let hash_of = |&number: &u32| hash(Key::of_entered(&self.ids[number as usize]));
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
