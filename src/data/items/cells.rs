//! The cells of a column as a file writes them, and the values that they become.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::attribute::{Attribute, AttributeKind, Labels, Values};
use crate::data::fields::date;
use crate::data::id::Key;

/// The texts of a column, without the blanks around them; an empty one is a missing value.
#[derive(Debug, Default)]
pub(in crate::data) struct Cells {
    text: String,
    ends: Vec<usize>,
}

/// Hints about a column, given before its cells are looked at.
#[derive(Debug, Clone, Default)]
pub(in crate::data) struct Told {
    /// The kind, where it was said.
    pub(in crate::data) kind: Option<AttributeKind>,
    /// The text between two tags of a cell.
    pub(in crate::data) separator: Option<String>,
    /// True for the column of titles, which is text whatever it looks like.
    pub(in crate::data) title: bool,
    /// True if the file says that texts are no numbers, as Parquet does.
    pub(in crate::data) typed: bool,
}

/// A cell that can't be read: its row and what was expected there.
pub(in crate::data) type BadCell = (usize, &'static str);

/// The separator of tags that is recognized.
const BAR: &str = "|";

impl Cells {
    pub(in crate::data) fn push(&mut self, cell: &str) {
        let cell = cell.trim();
        if !Key::of_text(cell).is_missing() {
            self.text.push_str(cell);
        }
        self.ends.push(self.text.len());
    }

    pub(in crate::data) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(in crate::data) fn get(&self, row: usize) -> &str {
        let end = |row: usize| self.ends.get(row).copied();
        let start = row.checked_sub(1).and_then(end).unwrap_or(0);
        let end = end(row).unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }

    pub(in crate::data) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.get(row))
    }

    fn present(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|cell| !cell.is_empty())
    }

    /// Treats cells of this text as missing.
    pub(in crate::data) fn without(self, marks: &[String]) -> Self {
        let is_mark = |cell: &str| marks.iter().any(|mark| mark == cell);
        if marks.is_empty() || !self.present().any(is_mark) {
            return self;
        }
        let mut cells = Self::default();
        self.iter()
            .for_each(|cell| cells.push(if is_mark(cell) { "" } else { cell }));
        cells
    }

    /// The kind that all values have; text where they have none in common.
    fn kind(&self, told: &Told) -> AttributeKind {
        let all = |is: fn(&str) -> bool| self.present().next().is_some() && self.present().all(is);
        if told.title {
            AttributeKind::Text
        } else if told.separator.is_some() || self.are_tags() {
            AttributeKind::Tags
        } else if told.typed {
            AttributeKind::Text
        } else if all(|cell| boolean(cell).is_some()) {
            AttributeKind::Boolean
        } else if all(|cell| number(cell).is_some()) {
            AttributeKind::Number
        } else if all(|cell| date(cell).is_some()) {
            AttributeKind::Date
        } else {
            AttributeKind::Text
        }
    }

    /// True if some cell has bars, and none has one with nothing or a blank next to it, as text
    /// has.
    fn are_tags(&self) -> bool {
        let parts_are_whole = |cell: &str| {
            cell.split(BAR)
                .all(|part| !part.is_empty() && part.trim() == part)
        };
        let mut some = false;
        for cell in self.present().filter(|cell| cell.contains(BAR)) {
            some = true;
            if !parts_are_whole(cell) {
                return false;
            }
        }
        some
    }

    /// The column of a name that these cells are; `line` is that of a row.
    pub(in crate::data) fn attribute(
        &self,
        name: &str,
        told: &Told,
        line: impl Fn(usize) -> u64,
    ) -> Result<Attribute, BadCell> {
        let kind = told.kind.unwrap_or_else(|| self.kind(told));
        let values = match kind {
            AttributeKind::Text => self.labels(None),
            AttributeKind::Tags => self.labels(Some(told.separator.as_deref().unwrap_or(BAR))),
            AttributeKind::Number => self.numbers(number, "a finite number such as 3.5")?,
            AttributeKind::Date => self.numbers(
                second,
                "a date such as 2021-05-11 08:30:00, or seconds since 1970",
            )?,
            AttributeKind::Boolean => self.booleans()?,
        };
        let odd = (kind == AttributeKind::Text)
            .then(|| self.odd_row())
            .flatten();
        let odd = odd.map(|row| (line(row), self.get(row).to_owned()));
        Ok(Attribute {
            name: name.to_owned(),
            kind,
            values,
            odd,
        })
    }

    /// The first value that is no number; of values that are mostly true or false, the first that
    /// is neither.
    fn odd_row(&self) -> Option<usize> {
        let is_boolean = |cell: &&str| boolean(cell).is_some();
        let booleans = self.present().filter(is_boolean).count();
        let mostly = 2 * booleans > self.present().count();
        self.iter().position(|cell| match mostly {
            true => !cell.is_empty() && boolean(cell).is_none(),
            false => is_odd(cell),
        })
    }

    fn labels(&self, separator: Option<&str>) -> Values {
        let mut labels = Labels::default();
        for cell in self.iter() {
            match separator {
                Some(separator) if !cell.is_empty() => {
                    let parts = cell.split(separator).map(str::trim);
                    labels.push(parts.filter(|part| !part.is_empty()));
                }
                _ => labels.push(Some(cell).filter(|cell| !cell.is_empty())),
            }
        }
        Values::Labels(labels)
    }

    fn numbers(
        &self,
        parse: fn(&str) -> Option<f64>,
        expected: &'static str,
    ) -> Result<Values, BadCell> {
        let parse = |(row, cell): (usize, &str)| match cell {
            "" => Ok(f64::NAN),
            cell => parse(cell).ok_or((row, expected)),
        };
        let numbers = self.iter().enumerate().map(parse);
        Ok(Values::Numbers(numbers.collect::<Result<_, _>>()?))
    }

    fn booleans(&self) -> Result<Values, BadCell> {
        let parse = |(row, cell): (usize, &str)| match cell {
            "" => Ok(None),
            "1" => Ok(Some(true)),
            "0" => Ok(Some(false)),
            cell => boolean(cell)
                .map(Some)
                .ok_or((row, "true or false, yes or no, 1 or 0")),
        };
        let booleans = self.iter().enumerate().map(parse);
        Ok(Values::Booleans(booleans.collect::<Result<_, _>>()?))
    }
}

/// True if a cell is neither missing nor a number.
fn is_odd(cell: &str) -> bool {
    !cell.is_empty() && number(cell).is_none()
}

fn boolean(cell: &str) -> Option<bool> {
    let is = |words: [&str; 2]| words.iter().any(|word| cell.eq_ignore_ascii_case(word));
    if is(["true", "yes"]) {
        Some(true)
    } else if is(["false", "no"]) {
        Some(false)
    } else {
        None
    }
}

/// A finite number that loses nothing: zeros before it may be part of a code, and an integer beyond
/// 53 bits would become another one.
fn number(cell: &str) -> Option<f64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let zero_before =
        digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let number: f64 = cell.parse().ok()?;
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_exact = !is_integer || number.abs() < EXACT;
    (number.is_finite() && !zero_before && is_exact).then_some(number)
}

/// A date, or seconds since 1970; larger numbers are of another unit.
fn second(cell: &str) -> Option<f64> {
    match number(cell) {
        Some(number) => Some(number).filter(|number| number.abs() < 1e11),
        None => date(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(cells: &[&str]) -> AttributeKind {
        let mut all = Cells::default();
        cells.iter().for_each(|cell| all.push(cell));
        all.kind(&Told::default())
    }

    #[test]
    fn kinds_are_what_all_values_have_in_common() {
        use AttributeKind::*;
        for (cells, expected) in [
            (&["3", " -4.5 ", "", "1e3", "NULL"][..], Number),
            (&["3", "n/a", "-"], Number),
            (&["3", "none"], Text),
            (&["007", "12"], Text),
            (&["0.5", "0"], Number),
            (&["9007199254740993"], Text),
            (&["inf"], Text),
            (&["yes", "No", "TRUE"], Boolean),
            (&["0", "1"], Number),
            (&["2021-05-11", "2021-05-11 08:30"], Date),
            (&["11/05/2021"], Text),
            (&["a|b", "c"], Tags),
            (&["Foo | Bar", "a|b"], Text),
            (&["a|", "b"], Text),
            (&["", "NULL"], Text),
        ] {
            assert_eq!(kind(cells), expected, "{cells:?}");
        }
    }
}
