//! Which columns of a file rows are made of.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

use std::path::Path;

use super::columns;
use super::schema::{Column, Schema};
use crate::{Error, Result};

/// The positions of a schema's columns in a certain file.
pub(super) struct Layout {
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) time: Option<usize>,
    pub(super) value: Option<usize>,
    pub(super) event: Option<usize>,
    /// How many columns each row must have; `None` when the schema leaves it open.
    pub(super) columns: Option<usize>,
}

impl Layout {
    pub(super) fn new(schema: &Schema, header: Option<Vec<String>>, path: &Path) -> Result<Self> {
        let find = |column: &Column| match (column, &header) {
            (Column::Position(position), _) => Ok(*position),
            (Column::Name(name), Some(header)) => {
                let position = header.iter().position(|column| column == name);
                position.ok_or_else(|| Error::MissingColumn {
                    path: path.to_owned(),
                    column: name.clone(),
                    header: header.clone(),
                })
            }
            (Column::Name(name), None) => Err(Error::invalid(
                "schema",
                name,
                "a column can only be named where the file has a header",
            )),
        };
        let names = header.as_deref().unwrap_or_default();
        columns::check_order(path, schema, names, |_| false)?;
        let find_optional = |column: &Option<Column>| column.as_ref().map(find).transpose();
        Ok(Self {
            user: find(&schema.user)?,
            item: find(&schema.item)?,
            time: find_optional(&schema.time)?,
            value: find_optional(&schema.value)?,
            event: find_optional(&schema.event)?,
            columns: header.map(|header| header.len()),
        })
    }

    pub(super) fn least_columns(&self) -> usize {
        let optional = [self.time, self.value, self.event].into_iter().flatten();
        1 + optional.fold(self.user.max(self.item), usize::max)
    }
}
