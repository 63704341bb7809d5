//! The items that pass a filter.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use fixedbitset::FixedBitSet;

use super::ItemFilter;
use super::expression::{Expression, Is, Literal, Relation, Test, Value, character};
use crate::data::catalog::Catalog;
use crate::data::fields::date;
use crate::data::items::Items;
use crate::data::items::attribute::{Attribute, AttributeKind, Labels, Values};
use crate::item::{ItemIndex, ItemSet};
use crate::{Error, ErrorKind, Result};

impl Items {
    /// The items of a catalog that pass a filter.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a column that the table lacks or that holds another kind of
    /// values, with its place in the filter, and for a catalog of other items;
    /// [`ErrorKind::NothingLeft`] when none passes.
    pub fn passing(&self, filter: &ItemFilter, catalog: &Catalog) -> Result<ItemSet> {
        self.passing_rows(filter, &self.rows_of(catalog)?)
    }

    /// The items that pass, where the row of each is known, padding first.
    pub(crate) fn passing_rows(&self, filter: &ItemFilter, rows: &[u32]) -> Result<ItemSet> {
        let evaluation = FilteredTable {
            items: self,
            text: &filter.text,
        };
        let items = |passing: &FixedBitSet| -> ItemSet {
            let items = (0..).zip(rows).skip(1);
            items
                .filter(|&(_, &row)| passing.contains(row as usize))
                .map(|(item, _)| ItemIndex::new(item))
                .collect()
        };
        let passing = items(&evaluation.rows(&filter.expression)?);
        if !passing.is_empty() {
            return Ok(passing);
        }
        let mut reason = format!(
            "no item of {} passes the filter `{filter}`",
            rows.len().saturating_sub(1)
        );
        if let Expression::All(parts) = &filter.expression {
            let of_parts = parts.iter().map(|(part, text)| {
                let passing = items(&evaluation.rows(part)?).len();
                Ok(format!("{passing} pass `{text}`"))
            });
            let of_parts: Vec<String> = of_parts.collect::<Result<_>>()?;
            reason = format!("{reason}: {}", of_parts.join(", "));
        }
        Err(ErrorKind::NothingLeft { reason }.into())
    }
}

/// A filter that is looked at in the columns of a table.
pub(super) struct FilteredTable<'a> {
    pub(super) items: &'a Items,
    pub(super) text: &'a str,
}

impl FilteredTable<'_> {
    /// The rows that pass, and among them the one after the last, of which everything is missing.
    fn rows(&self, expression: &Expression) -> Result<FixedBitSet> {
        match expression {
            Expression::All(parts) => {
                let mut all = self.full();
                for (part, _) in parts {
                    all.intersect_with(&self.rows(part)?);
                }
                Ok(all)
            }
            Expression::Any(parts) => {
                let mut any = FixedBitSet::with_capacity(self.items.len() + 1);
                for part in parts {
                    any.union_with(&self.rows(part)?);
                }
                Ok(any)
            }
            Expression::Not(inside) => {
                let mut rows = self.rows(inside)?;
                rows.toggle_range(..);
                Ok(rows)
            }
            Expression::Test(test) => self.test(test),
        }
    }

    fn full(&self) -> FixedBitSet {
        let mut full = FixedBitSet::with_capacity(self.items.len() + 1);
        full.insert_range(..);
        full
    }

    fn those(&self, passes: impl Fn(usize) -> bool) -> FixedBitSet {
        let mut rows = FixedBitSet::with_capacity(self.items.len() + 1);
        let passing = (0..=self.items.len()).filter(|&row| passes(row));
        passing.for_each(|row| rows.insert(row));
        rows
    }

    fn test(&self, test: &Test) -> Result<FixedBitSet> {
        let attribute = self.attribute(test)?;
        let values = &attribute.values;
        match &test.is {
            Is::Missing => Ok(self.those(|row| values.is_missing(row))),
            Is::True => self.truths(attribute, test),
            Is::Compared(comparison, literal) => self.compared(attribute, *comparison, literal),
            Is::OneOf(literals) => self.one_of(attribute, literals, true),
            Is::NoneOf(literals) => {
                if attribute.kind == AttributeKind::Tags {
                    return Err(self.several(attribute, test.at, "in (..)"));
                }
                self.one_of(attribute, literals, false)
            }
        }
    }

    fn attribute(&self, test: &Test) -> Result<&Attribute> {
        let found = self.items.attribute(&test.column);
        found.map_err(|error| self.fault(test.at, error.to_string()))
    }

    fn fault(&self, at: usize, reason: impl std::fmt::Display) -> Error {
        let place = character(self.text, at);
        let reason = format!("at character {place}: {reason}");
        Error::invalid("filter", format!("`{}`", self.text), reason)
    }

    /// The rows of which a column by itself says that something is true.
    fn truths(&self, attribute: &Attribute, test: &Test) -> Result<FixedBitSet> {
        match &attribute.values {
            Values::Booleans(booleans) => {
                Ok(self.those(|row| booleans.get(row) == Some(&Some(true))))
            }
            Values::Numbers(numbers)
                if attribute.kind == AttributeKind::Number
                    && numbers.iter().all(|n| n.is_nan() || *n == 0.0 || *n == 1.0) =>
            {
                Ok(self.those(|row| numbers.get(row) == Some(&1.0)))
            }
            _ => {
                let mut reason = format!(
                    "{} holds {}, and must be compared with something, as in `{} = ..`",
                    attribute.name, attribute.kind, attribute.name
                );
                if let (AttributeKind::Text, Some((line, value))) = (attribute.kind, &attribute.odd)
                {
                    reason +=
                        &format!(": line {line} has {value:?}, which is neither true nor false");
                }
                Err(self.fault(test.at, reason))
            }
        }
    }

    fn compared(
        &self,
        attribute: &Attribute,
        comparison: Relation,
        literal: &Literal,
    ) -> Result<FixedBitSet> {
        let equality = matches!(comparison, Relation::Equal | Relation::Other);
        match &attribute.values {
            Values::Numbers(numbers) => {
                let value = self.number(attribute, literal)?;
                let number = |row: usize| numbers.get(row).copied().unwrap_or(f64::NAN);
                Ok(self.those(|row| comparison.holds(number(row), value)))
            }
            _ if !equality => {
                let mut reason = format!(
                    "{} holds {}, which have no order for `{comparison}`",
                    attribute.name, attribute.kind
                );
                if let (AttributeKind::Text, Some((line, value))) = (attribute.kind, &attribute.odd)
                {
                    reason += &format!(": line {line} has {value:?}, which is no number");
                }
                Err(self.fault(literal.at, reason))
            }
            _ if attribute.kind == AttributeKind::Tags && comparison == Relation::Other => {
                Err(self.several(attribute, literal.at, "= .."))
            }
            _ => {
                let literals = std::slice::from_ref(literal);
                self.one_of(attribute, literals, comparison == Relation::Equal)
            }
        }
    }

    /// The rows that have a value which is one of some, or none of them.
    fn one_of(
        &self,
        attribute: &Attribute,
        literals: &[Literal],
        one: bool,
    ) -> Result<FixedBitSet> {
        match &attribute.values {
            Values::Numbers(numbers) => {
                let wanted = literals
                    .iter()
                    .map(|literal| self.number(attribute, literal));
                let wanted: Vec<f64> = wanted.collect::<Result<_>>()?;
                Ok(self.those(|row| {
                    let number = numbers.get(row).filter(|number| !number.is_nan());
                    number.is_some_and(|number| wanted.contains(number) == one)
                }))
            }
            Values::Booleans(booleans) => {
                let wanted = literals.iter().map(|literal| match literal.value {
                    Value::Boolean(value) => Ok(value),
                    _ => Err(self.wrong_literal(attribute, literal, "true or false")),
                });
                let wanted: Vec<bool> = wanted.collect::<Result<_>>()?;
                Ok(self.those(|row| {
                    let value = booleans.get(row).copied().flatten();
                    value.is_some_and(|value| wanted.contains(&value) == one)
                }))
            }
            Values::Labels(labels) => {
                let wanted = self.wanted(attribute, labels, literals)?;
                let is_wanted = |&label: &u32| wanted.contains(label as usize);
                Ok(self.those(|row| {
                    let of_row = labels.of(row);
                    !of_row.is_empty() && of_row.iter().any(is_wanted) == one
                }))
            }
        }
    }

    fn wanted(
        &self,
        attribute: &Attribute,
        labels: &Labels,
        literals: &[Literal],
    ) -> Result<FixedBitSet> {
        let mut wanted = FixedBitSet::with_capacity(labels.len());
        for literal in literals {
            let Value::Text(text) = &literal.value else {
                return Err(self.wrong_literal(attribute, literal, "a text in quotes"));
            };
            if let Some(label) = labels.number_of(text) {
                wanted.insert(label as usize);
            }
        }
        Ok(wanted)
    }

    pub(super) fn number(&self, attribute: &Attribute, literal: &Literal) -> Result<f64> {
        match (attribute.kind, &literal.value) {
            (AttributeKind::Date, Value::Date(seconds)) => Ok(*seconds),
            (AttributeKind::Date, Value::Text(text)) => date(text)
                .ok_or_else(|| self.wrong_literal(attribute, literal, "a date such as 2026-11-28")),
            (AttributeKind::Date, _) => {
                Err(self.wrong_literal(attribute, literal, "a date such as 2026-11-28"))
            }
            (_, Value::Number(number)) => Ok(*number),
            (_, Value::Date(_)) => Err(self.wrong_literal(
                attribute,
                literal,
                "a number; where these are dates, say so by `ItemReader::kind`",
            )),
            _ => Err(self.wrong_literal(attribute, literal, "a number without quotes")),
        }
    }

    fn wrong_literal(&self, attribute: &Attribute, literal: &Literal, expected: &str) -> Error {
        let reason = format!(
            "{} holds {}, and is compared with {expected}",
            attribute.name, attribute.kind
        );
        self.fault(literal.at, reason)
    }

    /// The error of a comparison that may mean two things of tags.
    fn several(&self, attribute: &Attribute, at: usize, positive: &str) -> Error {
        let name = &attribute.name;
        let reason = format!("{name} may hold several tags: write `not {name} {positive}`");
        self.fault(at, reason)
    }
}
