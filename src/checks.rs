//! Checks that settings share.

use ndarray::ArrayView2;

use crate::{Error, ErrorKind, Result};

/// Sizes of which none may be 0.
pub fn at_least_one(sizes: &[(&'static str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((field, _)) => Err(Error::invalid(field, 0, "must be at least 1")),
        None => Ok(()),
    }
}

/// A share of something that may not be all of it, such as a dropout.
pub fn share(field: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        value,
        "must be at least 0 and below 1",
    ))
}

/// A finite number above 0.
pub fn positive(field: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        value,
        "must be a finite number above 0",
    ))
}

/// A factor by which something counts less and less, or as much as before.
pub fn decay(field: &'static str, value: f64) -> Result<()> {
    positive(field, value)?;
    if value <= 1.0 {
        return Ok(());
    }
    Err(Error::invalid(field, value, "must be at most 1"))
}

/// A finite number that is 0 or above it.
pub fn not_negative(field: &'static str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        value,
        "must be a finite number, 0 or above",
    ))
}

/// A model is for a catalog that is not empty.
pub fn has_items(items: usize) -> Result<()> {
    if items > 0 {
        return Ok(());
    }
    Err(Error::invalid(
        "items",
        0,
        "a model needs at least one item",
    ))
}

/// Attention heads share the dimension evenly.
pub fn heads(heads: usize, dim: usize) -> Result<()> {
    if dim.is_multiple_of(heads) {
        return Ok(());
    }
    let reason = format!("must divide dim, {dim}");
    Err(Error::invalid("heads", heads, reason))
}

/// Refuses what is longer or shorter than it must be.
pub(crate) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(ErrorKind::Shape {
        what,
        expected,
        found,
    }
    .into())
}

/// Refuses vectors that hold a NaN or an infinity.
pub(crate) fn finite(what: &'static str, vectors: ArrayView2<'_, f32>) -> Result<()> {
    match vectors.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(ErrorKind::NonFiniteVector {
            what,
            row,
            column,
            value,
        }
        .into()),
    }
}
