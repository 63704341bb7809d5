//! Expressions of attributes.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;

/// A condition that items must meet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// All of these, each with its text.
    All(Vec<(Expression, String)>),
    /// One of these.
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Test),
}

/// A condition on a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Test {
    pub(super) column: String,
    /// The byte of the text at which it begins.
    pub(super) at: usize,
    pub(super) is: Is,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Is {
    True,
    Missing,
    Compared(Relation, Literal),
    OneOf(Vec<Literal>),
    NoneOf(Vec<Literal>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Other,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Relation {
    pub(super) fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Equal => a == b,
            // A missing number is NaN, with which no comparison holds.
            Self::Other => a != b && !a.is_nan(),
            Self::Less => a < b,
            Self::AtMost => a <= b,
            Self::Greater => a > b,
            Self::AtLeast => a >= b,
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::Other => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

/// A value in an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Literal {
    pub(super) value: Value,
    /// The byte of the text at which it begins.
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    /// Seconds since 1970.
    Date(f64),
    Boolean(bool),
}

/// The place of a byte of a text, as a person counts it: the first character is 1.
pub(super) fn character(text: &str, at: usize) -> usize {
    1 + text
        .char_indices()
        .take_while(|&(byte, _)| byte < at)
        .count()
}
