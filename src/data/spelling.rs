//! One id that is written in two ways, such as `7` and `007`.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use super::id::{ExternalId, IdTable};
use crate::{Error, Result};

/// An id without what programs add to it: quotes, zeros before a number, and `.0` after it.
pub(super) fn bare(id: &str) -> String {
    match number_in(id) {
        Some(number) => number.to_owned(),
        None => id.trim_matches(is_around).to_lowercase(),
    }
}

/// Whether a character may stand around an id without being a part of it.
fn is_around(character: char) -> bool {
    matches!(character, '"' | '\'') || character.is_whitespace()
}

/// The digits of the whole number that an id stands for, without what programs add to them.
fn number_in(id: &str) -> Option<&str> {
    let bare = id.trim_matches(is_around);
    let number = bare.strip_suffix(".0").unwrap_or(bare);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = number.trim_start_matches('0');
    Some(if digits.is_empty() { "0" } else { digits })
}

/// The first id of a table that is there by another spelling as well, after that one.
fn written_twice(table: &IdTable) -> Option<[&ExternalId; 2]> {
    let mut spelled: foldhash::HashMap<&str, &ExternalId> = foldhash::HashMap::default();
    for id in table.ids() {
        let Some(number) = id.as_str().and_then(number_in) else {
            continue;
        };
        let known = table.number_of(&ExternalId::from(number));
        let plain = known.and_then(|known| table.ids().get(known as usize));
        let other = spelled.insert(number, id);
        if let Some(other) = plain.filter(|&plain| plain != id).or(other) {
            return Some([other, id]);
        }
    }
    None
}

/// Refuses users or items of which one is written in two ways: it would be two, with a part of its
/// interactions each, and nothing else would tell.
pub(super) fn check(users: &IdTable, items: &IdTable, path: &Path) -> Result<()> {
    for (field, table) in [("user", users), ("item", items)] {
        if let Some([other, id]) = written_twice(table) {
            let value = format!("{id} in {}", path.display());
            let reason = format!(
                "there is {other} as well, which would be another {field}: write the id in one way, or, if \
                 they are two, read ids as written (`ids_as_written`, of the program `--ids-as-written`)"
            );
            return Err(Error::invalid(field, value, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_written_in_two_ways_are_found() {
        let table = |ids: &[&str]| ids.iter().map(|&id| id.into()).collect::<IdTable>();
        for (ids, twice) in [
            (&["5", "6", "5.0"][..], Some(["5", "5.0"])),
            (&["007", "7"], Some(["7", "007"])),
            (&["07", "007"], Some(["07", "007"])),
            (&["'7'", "7"], Some(["7", "'7'"])),
            (
                &["12345678901234567890", "012345678901234567890"],
                Some(["12345678901234567890", "012345678901234567890"]),
            ),
            (&["007", "8", "9.0", "0", "12345678901234567890"], None),
            (&["pen", "Pen", "7a", "07a", "1.5"], None),
        ] {
            let table = table(ids);
            let found = written_twice(&table).map(|pair| pair.map(ToString::to_string));
            assert_eq!(found, twice.map(|pair| pair.map(str::to_owned)), "{ids:?}");
        }
    }
}
