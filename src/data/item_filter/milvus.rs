//! Filters in the language of a Milvus server.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::ItemFilter;
use super::evaluate::FilteredTable;
use super::expression::{Expression, Is, Literal, Relation, Test, Value};
use crate::data::items::Items;
use crate::data::items::attribute::{Attribute, AttributeKind};

/// An expression that no item passes.
const NOTHING: &str = "item < 0";

/// The name of the field that says of which items a value is missing.
pub(crate) fn missing_field(column: &str) -> String {
    format!("{column}_missing")
}

impl ItemFilter {
    /// The filter as an expression over fields that are called as the columns are; `None` where one
    /// of its columns is not among these. Missing numbers, dates and booleans have a field of their
    /// own, missing texts are empty, and so are lists of tags.
    pub(crate) fn in_milvus(&self, items: &Items, fields: &[String]) -> Option<String> {
        let evaluation = FilteredTable {
            items,
            text: &self.text,
        };
        translated(&self.expression, &evaluation, fields)
    }
}

fn translated(
    expression: &Expression,
    evaluation: &FilteredTable<'_>,
    fields: &[String],
) -> Option<String> {
    let joined = |parts: Vec<String>, word: &str| format!("({})", parts.join(word));
    let part = |part: &Expression| translated(part, evaluation, fields);
    match expression {
        Expression::All(parts) => {
            let parts = parts.iter().map(|(of, _)| part(of));
            Some(joined(parts.collect::<Option<_>>()?, " and "))
        }
        Expression::Any(parts) => {
            let parts = parts.iter().map(part);
            Some(joined(parts.collect::<Option<_>>()?, " or "))
        }
        Expression::Not(inside) => Some(format!("(not {})", part(inside)?)),
        Expression::Test(test) if fields.contains(&test.column) => {
            let attribute = evaluation.items.attribute(&test.column).ok()?;
            let of_kind = match attribute.kind {
                AttributeKind::Text | AttributeKind::Tags => of_labels(attribute, test),
                AttributeKind::Number | AttributeKind::Date | AttributeKind::Boolean => {
                    of_value(attribute, test, evaluation)
                }
            };
            Some(format!("({})", of_kind?))
        }
        Expression::Test(_) => None,
    }
}

/// A test of numbers, dates or booleans.
fn of_value(attribute: &Attribute, test: &Test, evaluation: &FilteredTable<'_>) -> Option<String> {
    let (name, missing) = (&attribute.name, missing_field(&attribute.name));
    let value = |literal: &Literal| match literal.value {
        Value::Boolean(value) => Some(value.to_string()),
        _ => Some(format!("{:?}", evaluation.number(attribute, literal).ok()?)),
    };
    let all = |literals: &[Literal], comparison: &str, word: &str| {
        let tests = literals
            .iter()
            .map(|literal| Some(format!("{name} {comparison} {}", value(literal)?)));
        let tests: Vec<String> = tests.collect::<Option<_>>()?;
        Some(format!("({})", tests.join(word)))
    };
    let holds = match &test.is {
        Is::Missing => return Some(format!("{missing} == true")),
        Is::True if attribute.kind == AttributeKind::Boolean => format!("{name} == true"),
        Is::True => format!("{name} == 1.0"),
        Is::Compared(Relation::Equal, literal) => format!("{name} == {}", value(literal)?),
        Is::Compared(comparison, literal) => format!("{name} {comparison} {}", value(literal)?),
        Is::OneOf(literals) => all(literals, "==", " or ")?,
        Is::NoneOf(literals) => all(literals, "!=", " and ")?,
    };
    Some(format!("{holds} and {missing} == false"))
}

/// A test of text or tags.
fn of_labels(attribute: &Attribute, test: &Test) -> Option<String> {
    let name = &attribute.name;
    let tags = attribute.kind == AttributeKind::Tags;
    // No label is empty, and a field that is stands for a missing one.
    let quoted = |literal: &Literal| match &literal.value {
        Value::Text(text) if !text.is_empty() => Some(quoted(text)),
        _ => None,
    };
    let list = |literals: &[Literal]| {
        let labels: Vec<String> = literals.iter().filter_map(quoted).collect();
        Some(labels.join(", ")).filter(|list| !list.is_empty())
    };
    let literals = match &test.is {
        Is::Missing if tags => return Some(format!("ARRAY_LENGTH({name}) == 0")),
        Is::Missing => return Some(format!("{name} == \"\"")),
        Is::True => return None,
        Is::Compared(_, literal) => std::slice::from_ref(literal),
        Is::OneOf(literals) | Is::NoneOf(literals) => literals,
    };
    let negated = matches!(test.is, Is::NoneOf(_) | Is::Compared(Relation::Other, _));
    Some(match (list(literals), tags, negated) {
        (None, _, false) => NOTHING.to_owned(),
        (None, _, true) => format!("{name} != \"\""),
        (Some(list), true, _) => format!("ARRAY_CONTAINS_ANY({name}, [{list}])"),
        (Some(list), false, false) => format!("{name} in [{list}]"),
        (Some(list), false, true) => format!("{name} not in [{list}] and {name} != \"\""),
    })
}

/// A text as the server reads it back.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
