//! Tables of some of another's rows, and of the rows of two.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::Items;
use super::attribute::{Attribute, AttributeKind, Labels, Values};
use crate::data::id::{ExternalId, IdTable};
use crate::{Error, Result};

impl Items {
    /// The rows of those items that `keep` is true of.
    pub(crate) fn only(&self, keep: impl Fn(&ExternalId) -> bool) -> Self {
        let kept: Vec<usize> = self.rows_where(&keep).collect();
        let columns = self.attributes.iter().map(|column| {
            let mut of_kept = without_values(column);
            for &row in &kept {
                of_kept.values.push_from(Some(&column.values), row);
            }
            of_kept
        });
        let columns = columns.collect();
        let ids = self.ids().filter(|id| keep(id)).cloned();
        self.of_columns(ids.collect(), columns)
    }

    /// This table followed by the items of another that it lacks, with the columns of both. An item
    /// whose table lacks a column has no value in it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when a column holds, for
    /// example, text in one table and numbers in the other.
    pub(crate) fn joined(&self, other: &Self) -> Result<Self> {
        let is_new = |id: &ExternalId| self.row_of(id).is_none();
        let new: Vec<usize> = other.rows_where(is_new).collect();
        let mut ids = self.ids.clone();
        for id in other.ids() {
            ids.intern(id.clone());
        }
        let more = other.attributes.iter();
        let more = more.filter(|column| self.column(&column.name).is_none());
        let columns = self.attributes.iter().chain(more).map(|column| {
            let [mine, theirs] = [self, other].map(|table| table.column(&column.name));
            let mut both = common(mine, theirs).unwrap_or_else(|| Ok(without_values(column)))?;
            for row in 0..self.len() {
                both.values.push_from(mine.map(|mine| &mine.values), row);
            }
            for &row in &new {
                both.values
                    .push_from(theirs.map(|theirs| &theirs.values), row);
            }
            Ok(both)
        });
        let columns = columns.collect::<Result<_>>()?;
        let mut joined = self.of_columns(ids, columns);
        joined.title = joined.title.or_else(|| joined.place_of(other.titles()));
        Ok(joined)
    }

    fn rows_where(&self, is: impl Fn(&ExternalId) -> bool) -> impl Iterator<Item = usize> {
        let rows = self.ids().enumerate();
        rows.filter(move |(_, id)| is(id)).map(|(row, _)| row)
    }

    fn column(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|column| column.name == name)
    }

    fn titles(&self) -> Option<&Attribute> {
        self.attributes.get(self.title?)
    }

    /// The place of the column that is called as another table's.
    fn place_of(&self, column: Option<&Attribute>) -> Option<usize> {
        let name = &column?.name;
        self.attributes.iter().position(|other| other.name == *name)
    }

    /// A table of other rows, with this one's name and column of titles.
    fn of_columns(&self, ids: IdTable, columns: Vec<Attribute>) -> Self {
        let mut table = Self::of_table(self.name.clone(), ids);
        table.attributes = columns;
        table.left_out.clone_from(&self.left_out);
        table.title = table.place_of(self.titles());
        table
    }
}

impl Values {
    /// No values yet, of the same kind.
    fn none(&self) -> Self {
        match self {
            Self::Labels(_) => Self::Labels(Labels::default()),
            Self::Numbers(_) => Self::Numbers(Vec::new()),
            Self::Booleans(_) => Self::Booleans(Vec::new()),
        }
    }

    /// Adds the value that others of the same kind have in a row, or else a missing one.
    fn push_from(&mut self, others: Option<&Self>, row: usize) {
        match (self, others) {
            (Self::Labels(labels), Some(Self::Labels(others))) => labels.push(others.names_of(row)),
            (Self::Labels(labels), _) => labels.push([]),
            (Self::Numbers(numbers), others) => numbers.push(match others {
                Some(Self::Numbers(others)) => others.get(row).copied().unwrap_or(f64::NAN),
                _ => f64::NAN,
            }),
            (Self::Booleans(booleans), others) => booleans.push(match others {
                Some(Self::Booleans(others)) => others.get(row).copied().flatten(),
                _ => None,
            }),
        }
    }
}

fn without_values(column: &Attribute) -> Attribute {
    Attribute {
        name: column.name.clone(),
        kind: column.kind,
        values: column.values.none(),
        odd: column.odd.clone(),
    }
}

/// A column of the values of two, where there are two: one without any value is of any kind.
fn common(mine: Option<&Attribute>, theirs: Option<&Attribute>) -> Option<Result<Attribute>> {
    let (mine, theirs) = (mine?, theirs?);
    let are_alike = matches!(
        (&mine.values, &theirs.values),
        (Values::Labels(_), Values::Labels(_))
            | (Values::Numbers(_), Values::Numbers(_))
            | (Values::Booleans(_), Values::Booleans(_))
    );
    let mut column = without_values(if mine.values.are_missing() {
        theirs
    } else {
        mine
    });
    if !are_alike && !mine.values.are_missing() && !theirs.values.are_missing() {
        let found = format!("{:?} of {}", mine.name, theirs.kind);
        let reason = format!("the table that is there has {} in this column", mine.kind);
        return Some(Err(Error::invalid("column", found, reason)));
    }
    if theirs.kind == AttributeKind::Tags && column.kind == AttributeKind::Text {
        column.kind = AttributeKind::Tags;
    }
    Some(Ok(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_two_tables_have_the_columns_of_both() {
        let ours = Items::new(["pen", "desk"]).unwrap();
        let ours = ours.with_numbers("price", [Some(1.5), None]).unwrap();
        let ours = ours.with_texts("kind", [Some("small"), None]).unwrap();
        let theirs = Items::new(["lamp", "pen"]).unwrap();
        let theirs = theirs.with_tags("kind", [vec!["light", "desk"], vec![]]);
        let theirs = theirs.unwrap().with_texts("title", [Some("A lamp"), None]);
        let theirs = theirs.unwrap().with_texts("price", [None::<&str>, None]);
        let joined = ours.joined(&theirs.unwrap()).unwrap();
        let ids: Vec<String> = joined.ids().map(ToString::to_string).collect();
        assert_eq!(ids, ["pen", "desk", "lamp"]);
        assert_eq!(joined.kind("kind").unwrap(), AttributeKind::Tags);
        assert_eq!(joined.kind("price").unwrap(), AttributeKind::Number);
        let lamp: ExternalId = "lamp".into();
        assert_eq!(joined.labels(&lamp, "kind").unwrap(), ["light", "desk"]);
        assert_eq!(joined.labels(&"pen".into(), "kind").unwrap(), ["small"]);
        assert_eq!(joined.number(&lamp, "price").unwrap(), None);
        assert_eq!(joined.title(&lamp), "A lamp");
        let only = joined.only(|id| *id == lamp);
        assert_eq!((only.len(), only.title(&lamp)), (1, "A lamp".to_owned()));
        assert_eq!(only.labels(&lamp, "kind").unwrap(), ["light", "desk"]);

        let other = Items::new(["chair"]).unwrap();
        let other = other.with_texts("price", [Some("cheap")]).unwrap();
        let error = joined.joined(&other).unwrap_err().to_string();
        assert!(
            error.contains("price") && error.contains("numbers"),
            "{error}"
        );
    }
}
