//! Rows of nothing but plain numbers, which is what most logs are, parsed eight bytes at a time.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::fields::{POWERS, ParsedRow};
use super::id::Key;
use super::layout::Layout;

/// The content of a column of a plain row.
#[derive(Clone, Copy)]
enum FieldRole {
    User,
    Item,
    Time,
    Value,
    /// Not read.
    Other,
}

/// A reader of plain rows. Whatever it does not take is left to the general one, which gives the
/// same for what it does take.
pub(super) struct PlainRows {
    delimiter: u8,
    /// The role of each column.
    roles: Vec<FieldRole>,
}

impl PlainRows {
    /// `None` when the layout has columns that are no numbers.
    pub(super) fn new(layout: &Layout, delimiter: &[u8]) -> Option<Self> {
        let &[delimiter] = delimiter else {
            return None;
        };
        let columns = layout.columns.unwrap_or_else(|| layout.least_columns());
        let role = |column: usize| match Some(column) {
            at if at == Some(layout.user) => FieldRole::User,
            at if at == Some(layout.item) => FieldRole::Item,
            at if at == layout.time => FieldRole::Time,
            at if at == layout.value => FieldRole::Value,
            _ => FieldRole::Other,
        };
        let roles: Vec<FieldRole> = (0..columns).map(role).collect();
        let named = roles
            .iter()
            .filter(|role| !matches!(role, FieldRole::Other));
        let wanted = 2 + usize::from(layout.time.is_some()) + usize::from(layout.value.is_some());
        let plain = named.count() == wanted && layout.event.is_none();
        let separate = !delimiter.is_ascii_digit() && delimiter != b'.';
        (plain && separate).then_some(Self { delimiter, roles })
    }

    /// The number of columns of a row.
    pub(super) fn columns(&self) -> usize {
        self.roles.len()
    }

    /// True if there are columns that are not read.
    pub(super) fn skips_columns(&self) -> bool {
        let mut roles = self.roles.iter();
        roles.any(|role| matches!(role, FieldRole::Other))
    }

    /// The row that the text begins with, which is taken off it; `None` takes off nothing.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "what memchr finds lies in the text"
    )]
    pub(super) fn read(&self, text: &mut &[u8]) -> Option<ParsedRow<'static>> {
        let (mut user, mut item) = (0, 0);
        let (mut time, mut value) = (None, None);
        let mut rest = *text;
        for (place, role) in self.roles.iter().enumerate() {
            match role {
                FieldRole::User => user = small_integer(&mut rest)?,
                FieldRole::Item => item = small_integer(&mut rest)?,
                FieldRole::Time => time = Some(number(&mut rest)?),
                FieldRole::Value => value = Some(number(&mut rest)? as f32),
                FieldRole::Other => {
                    rest = &rest[memchr::memchr3(self.delimiter, b'\r', b'\n', rest)?..];
                }
            }
            let (&end, after) = rest.split_first()?;
            rest = after;
            if place + 1 < self.roles.len() {
                if end != self.delimiter {
                    return None;
                }
            } else if end == b'\r' {
                rest = rest.strip_prefix(b"\n")?;
            } else if end != b'\n' {
                return None;
            }
        }
        *text = rest;
        Some(ParsedRow {
            user: Key::Integer(user.into()),
            item: Key::Integer(item.into()),
            time,
            value,
            event: None,
        })
    }
}

/// An integer of up to eight digits, written the usual way.
#[inline(always)]
fn small_integer(text: &mut &[u8]) -> Option<u32> {
    let first = *text.first()?;
    let (value, digits) = up_to_eight_digits(text)?;
    if digits == 0 || (first == b'0' && digits > 1) || text.first()?.is_ascii_digit() {
        return None;
    }
    Some(value as u32)
}

/// A number of up to fifteen digits, perhaps with a point among them: digits and power of ten are
/// both exact in a double, so their quotient is the nearest one to the number.
#[inline(always)]
#[expect(
    clippy::indexing_slicing,
    reason = "eight digits at a time, three times at most, are in the table; a byte was looked at"
)]
fn number(text: &mut &[u8]) -> Option<f64> {
    let (mut value, mut digits) = up_to_eight_digits(text)?;
    if digits == 8 {
        let (low, more) = up_to_eight_digits(text)?;
        value = value * POWERS[more] as u64 + low;
        digits += more;
    }
    let mut decimals = 0;
    if text.first() == Some(&b'.') {
        *text = &text[1..];
        let (low, more) = up_to_eight_digits(text)?;
        value = value.checked_mul(POWERS[more] as u64)? + low;
        digits += more;
        decimals = more;
    }
    if digits == 0 || digits > 15 {
        return None;
    }
    Some(value as f64 / POWERS[decimals])
}

/// The value and the count of the digits that the text begins with, eight at most, which are
/// taken off it; `None` near the text's end.
///
/// The eight bytes are compared together, since a branch for each would often be guessed wrong.
#[inline(always)]
#[expect(
    clippy::indexing_slicing,
    reason = "eight bytes were there, and no more than eight are digits"
)]
fn up_to_eight_digits(text: &mut &[u8]) -> Option<(u64, usize)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(*text.first_chunk::<8>()?);
    // A digit's high half is 3, and adding 6 to its low half does not carry into it.
    let values = word ^ (ONES * 0x30);
    let others = (values | values.wrapping_add(ONES * 6)) & (ONES * 0xf0);
    let digits = (others.trailing_zeros() / 8) as usize;
    *text = &text[digits..];
    if digits == 0 {
        return Some((0, 0));
    }
    // The digits move to the top, zeros in front of them; then pairs become numbers below 100,
    // pairs of these numbers below 10^4, and these one below 10^8.
    let mut value = values << (64 - 8 * digits);
    value = value.wrapping_mul(10).wrapping_add(value >> 8) & 0x00ff_00ff_00ff_00ff;
    value = value.wrapping_mul(100).wrapping_add(value >> 16) & 0x0000_ffff_0000_ffff;
    value = value.wrapping_mul(10_000).wrapping_add(value >> 32) & 0xffff_ffff;
    Some((value, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_up_to_eight_and_what_follows() {
        for (text, value, digits) in [
            ("1,xxxxxxxx", 1, 1),
            ("90/xxxxxxxx", 90, 2),
            ("1234567:xx", 1_234_567, 7),
            ("12345678xx", 12_345_678, 8),
            ("1234567890", 12_345_678, 8),
            (",123456789", 0, 0),
            ("007\n56789", 7, 3),
            ("99999999\u{e4}", 99_999_999, 8),
            ("5\u{e4}999999", 5, 1),
        ] {
            let mut rest = text.as_bytes();
            assert_eq!(
                up_to_eight_digits(&mut rest),
                Some((value, digits)),
                "{text}"
            );
            assert_eq!(rest, &text.as_bytes()[digits..]);
        }
        assert_eq!(up_to_eight_digits(&mut b"1234567".as_slice()), None);
    }

    #[test]
    fn numbers_are_the_nearest_doubles() {
        for text in [
            "0",
            "3.5",
            "1260759144",
            "0.1",
            "123456.789",
            "5.",
            ".25",
            "12345678.1234567",
        ] {
            let padded = format!("{text}\n                ");
            let expected: f64 = text.parse().unwrap();
            assert_eq!(number(&mut padded.as_bytes()), Some(expected), "{text}");
        }
        for text in [".", "-1", "x", "1234567890123456", "12345678.12345678"] {
            let padded = format!("{text}\n                ");
            assert_eq!(number(&mut padded.as_bytes()), None, "{text}");
        }
    }
}
