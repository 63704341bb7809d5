//! Which columns of a file rows are made of.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use super::columns;
use super::schema::{Column, Schema, check_roles};
use crate::{Error, ErrorKind, Result};

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
        check_roles(schema.columns())?;
        const MOST: usize = 1 << 16;
        let find = |column: &Column| match (column, &header) {
            (Column::Position(position), _) if *position < MOST => Ok(*position),
            (Column::Position(position), _) => {
                let reason = format!("columns are counted from 0 and fewer than {MOST}");
                Err(Error::invalid("column", position, reason))
            }
            (Column::Name(name), Some(header)) => {
                let mut found = (0..).zip(header).filter(|(_, column)| *column == name);
                let Some((position, _)) = found.next() else {
                    return Err(ErrorKind::MissingColumn {
                        path: path.to_owned(),
                        column: name.clone(),
                        header: header.clone(),
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
            columns: header.as_ref().map(Vec::len),
        };
        let Self { user, item, .. } = layout;
        check_roles([
            Some(user),
            Some(item),
            layout.time,
            layout.value,
            layout.event,
        ])?;
        let names = header.as_deref().unwrap_or_default();
        columns::check_order(path, schema, names, |_| false)?;
        Ok(layout)
    }

    /// Whether a column is read.
    pub(super) fn has_role(&self, column: usize) -> bool {
        let optional = [self.time, self.value, self.event].into_iter().flatten();
        let mut roles = [self.user, self.item].into_iter().chain(optional);
        roles.any(|of_role| of_role == column)
    }

    pub(super) fn least_columns(&self) -> usize {
        let optional = [self.time, self.value, self.event].into_iter().flatten();
        1 + optional.fold(self.user.max(self.item), usize::max)
    }
}
