//! Columns of a file that rows are made of.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use super::lines::first_line;
use super::schema::{Column, Schema, check_roles};
use crate::{Error, ErrorKind, Result};

/// The positions of a schema's columns in a certain file.
pub(super) struct Layout {
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) time: Option<usize>,
    pub(super) value: Option<usize>,
    pub(super) event: Option<usize>,
    /// The number of columns that each row must have; `None` when the schema leaves it open.
    pub(super) columns: Option<usize>,
}

impl Layout {
    pub(super) fn new(schema: &Schema, header: Option<&[String]>, path: &Path) -> Result<Self> {
        check_roles(schema.columns())?;
        const MOST: usize = 1 << 16;
        let find = |column: &Column| match (column, header) {
            (Column::Position(position), _) if *position < MOST => Ok(*position),
            (Column::Position(position), _) => {
                let reason = format!("columns are counted from 0 and fewer than {MOST}");
                Err(Error::invalid("column", position, reason))
            }
            (Column::Name(name), Some(header)) => {
                let mut found = (0..)
                    .zip(header.iter())
                    .filter(|(_, column)| *column == name);
                let Some((position, _)) = found.next() else {
                    return Err(ErrorKind::MissingColumn {
                        path: path.to_owned(),
                        column: name.clone(),
                        header: header.to_vec(),
                    }
                    .into());
                };
                if let Some((other, _)) = found.next() {
                    let reason = format!(
                        "columns {position} and {other} of {} are both called so: give the one \
                         that is meant by its number",
                        path.display()
                    );
                    return Err(Error::invalid("column", name, reason));
                }
                Ok(position)
            }
            (Column::Name(name), None) => Err(Error::invalid(
                "schema",
                name,
                "a column can only be named where the file has a header",
            )),
        };
        let find_optional = |column: &Option<Column>| column.as_ref().map(find).transpose();
        let layout = Self {
            user: find(&schema.user)?,
            item: find(&schema.item)?,
            time: find_optional(&schema.time)?,
            value: find_optional(&schema.value)?,
            event: find_optional(&schema.event)?,
            columns: header.map(<[String]>::len),
        };
        let Self { user, item, .. } = layout;
        check_roles([
            Some(user),
            Some(item),
            layout.time,
            layout.value,
            layout.event,
        ])?;
        Ok(layout)
    }

    /// True if a column is read.
    pub(super) fn has_role(&self, column: usize) -> bool {
        let optional = [self.time, self.value, self.event].into_iter().flatten();
        let mut roles = [self.user, self.item].into_iter().chain(optional);
        roles.any(|of_role| of_role == column)
    }

    pub(super) fn least_columns(&self) -> usize {
        let optional = [self.time, self.value, self.event].into_iter().flatten();
        1 + optional.fold(self.user.max(self.item), usize::max)
    }
    /// True if a piece of text after a carriage return has as many fields as rows have.
    pub(super) fn returns_end_rows(&self, text: &[u8], delimiter: &[u8]) -> bool {
        let least = self.columns.unwrap_or_else(|| self.least_columns());
        let mut fields = Vec::new();
        let mut pieces = text.split(|&byte| byte == b'\r').skip(1);
        pieces.any(|piece| {
            first_line(piece, delimiter, &mut fields);
            fields.len() >= least
        })
    }
}
