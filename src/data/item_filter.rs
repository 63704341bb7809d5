//! Filters of items by their attributes.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

mod evaluate;
mod expression;
#[cfg(feature = "milvus")]
mod milvus;
mod parse;

use std::fmt;
use std::str::FromStr;

use crate::Error;

use expression::Expression;
#[cfg(feature = "milvus")]
pub(crate) use milvus::missing_field;

/// A filter of items by the columns of a table of [`Items`](super::Items), such as `in_stock and
/// category in ("lamps", "desks") and price < 20 and not tag = "sale"`.
///
/// It is parsed once, and then passes items in a [`Retriever`](crate::recall::Retriever), a
/// `RecallEngine` and wherever an [`ItemSet`](crate::index::ItemSet) is taken.
///
/// ```
/// use seqrec::data::{Catalog, ItemFilter, Items};
///
/// let items = Items::new(["pen", "desk", "lamp"])?
///     .with_numbers("price", [Some(1.5), Some(99.0), None])?
///     .with_tags("tag", [vec!["sale"], vec!["wood", "sale"], vec![]])?;
/// let catalog = Catalog::from_ids(["lamp", "desk", "pen"].map(Into::into))?;
/// let cheap: ItemFilter = r#"price < 20 and tag = "sale""#.parse()?;
/// let passing = items.passing(&cheap, &catalog)?;
/// assert!(passing.iter().eq(catalog.known(["pen"])));
/// // A mistake is told with its place, and never passes for something else.
/// assert!("price < and".parse::<ItemFilter>().is_err());
/// assert!(items.passing(&r#"price < "cheap""#.parse()?, &catalog).is_err());
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// | expression | passes items |
/// | --- | --- |
/// | `in_stock`, `not in_stock` | of which a column of true and false (or 1 and 0) says so |
/// | `price < 20`, also `<=`, `>`, `>=`, `=`, `!=` | by a number |
/// | `released >= 2026-11-28`, `released < "2026-11-28 10:30"` | by a date, in UTC unless it has an offset |
/// | `category = "lamps"`, `category != "lamps"` | by a text, exactly as it is written |
/// | `category in ("a", "b")`, `category not in ("a")` | by some texts, numbers or dates |
/// | `tag = "x"`, `tag in ("x", "y")` | that have a tag, or one of several |
/// | `price is missing`, `price is not missing` | without a value, or with one |
/// | `not a`, `a and b`, `a or b`, `(a)` | `and` binds tighter than `or`, and `not` tighter than both |
///
/// **Missing values.** A comparison with a missing value is false, `!=` and `not in` included, and
/// `not` makes it true: `price != 20` passes no item without a price, and `not price = 20` passes
/// all of them. Of an item that is not in the table everything is missing.
///
/// A column whose name is no word is written as `` `list price` ``. Texts are in double or single
/// quotes, in which `\` stands before a quote or another `\`.
#[derive(Clone, PartialEq)]
pub struct ItemFilter {
    text: String,
    expression: Expression,
}

impl FromStr for ItemFilter {
    type Err = Error;

    /// Parses an expression.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue), which says at which character
    /// and what was expected there; also for an expression of more than 64 KiB, or with more than
    /// 1,000 comparisons or 64 levels of parentheses.
    fn from_str(text: &str) -> Result<Self, Error> {
        let expression = parse::parse(text)?;
        Ok(Self {
            text: text.trim().to_owned(),
            expression,
        })
    }
}

impl fmt::Display for ItemFilter {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for ItemFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ItemFilter({})", self.text)
    }
}
