//! The columns of a table of items as features.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use ndarray::ArrayView2;

use super::Items;
use super::attribute::{Attribute, Values};
use crate::data::catalog::Catalog;
use crate::data::id::ExternalId;
use crate::data::item_features::{GivenVectors, ItemFeatures, ItemLabels, ItemNumbers};
use crate::{Error, Result};

impl Items {
    /// Features of a catalog's items, for models: of each column the labels of texts and tags, and
    /// numbers and dates, which are standardized over the catalog, missing ones being told apart.
    /// What is true or false is a label of items for which it is true.
    ///
    /// # Errors
    /// As [`kind`](Self::kind); [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a
    /// catalog of other items, and for a column that says nothing: of one value alone, missing
    /// everywhere, or with another text for each item, as titles are.
    pub fn features(&self, catalog: &Catalog, columns: &[&str]) -> Result<ItemFeatures> {
        self.rows_of(catalog)?;
        let rows = catalog.len() + 1;
        let places: Vec<Option<usize>> = catalog.ids().map(|id| self.row_of(id)).collect();
        let (labels, numbers) = self.described(&places, "items of the catalog", columns)?;
        Ok(ItemFeatures::from_parts(rows, labels, numbers, Vec::new()))
    }

    /// Labels and numbers of columns, a row for padding and one for each of `places`, the rows that
    /// there are in this table. `whose` says in errors whose rows these are.
    pub(super) fn described(
        &self,
        places: &[Option<usize>],
        whose: &str,
        columns: &[&str],
    ) -> Result<(ItemLabels, ItemNumbers)> {
        let rows = places.len() + 1;
        let (mut labels, mut label_columns, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for (place, &name) in columns.iter().enumerate() {
            if columns.iter().take(place).any(|&other| other == name) {
                return Err(refused(name, "is named twice"));
            }
            let column = self.attribute(name)?;
            if let Values::Numbers(values) = &column.values {
                let of = |place: &Option<usize>| {
                    let value = place.and_then(|place| values.get(place).copied());
                    value.filter(|value| value.is_finite())
                };
                numbers.push((name.to_owned(), places.iter().map(of).collect()));
                continue;
            }
            let of = |(row, place): (usize, &Option<usize>)| {
                let labels = place.map(|place| label_names(column, place));
                labels.into_iter().flatten().map(move |label| (row, label))
            };
            let of_column: Vec<(usize, String)> = (1..).zip(places).flat_map(of).collect();
            check_labels(name, &of_column, places.len(), whose)?;
            labels.extend(of_column);
            label_columns.push(name.to_owned());
        }
        let numbers = ItemNumbers::new(rows, numbers).map_err(|name| {
            let reason = format!(
                "is the same for all {whose}, or missing, and so says nothing; leave the column out"
            );
            refused(&name, &reason)
        })?;
        Ok((ItemLabels::new(rows, label_columns, labels), numbers))
    }
}

impl ItemFeatures {
    /// These features with those of more items of this table, of the same columns, and of given
    /// vectors by the names of their kinds. Labels that are not known are left out.
    ///
    /// # Errors
    /// As [`Items::kind`] for a column that the table lacks, and as
    /// [`with_vectors`](Self::with_vectors);
    /// [`ErrorKind::ColumnType`](crate::ErrorKind::ColumnType) for one with numbers where training
    /// had labels, or the other way round.
    pub(crate) fn extended<'a>(
        &self,
        items: &Items,
        ids: &[ExternalId],
        vector: impl Fn(&str, &ExternalId) -> Option<&'a [f32]>,
    ) -> Result<Self> {
        let (mut labels, mut numbers) = (self.item_labels().clone(), self.numbers().clone());
        let columns = labels.columns().to_vec();
        let columns = columns.iter().map(|name| items.label_column(name));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        for id in ids {
            let row = items.row_of(id);
            let mut of_row = Vec::new();
            for (row, column) in row
                .into_iter()
                .flat_map(|row| columns.iter().map(move |column| (row, *column)))
            {
                of_row.extend(label_names(column, row));
            }
            labels.push(of_row.into_iter());
            numbers.push(|name| items.number_of_column(id, name))?;
        }
        let given = self.given().iter().map(|given| {
            let vectors = ids.iter().map(|id| vector(given.name(), id));
            given.extended(vectors)
        });
        let given = given.collect::<Result<Vec<_>>>()?;
        let rows = self.items() + 1 + ids.len();
        Ok(Self::from_parts(rows, labels, numbers, given))
    }

    /// These features with vectors of the catalog's items, such as those of texts or images, `[ids,
    /// dim]`. Items without one are told apart, and ids that the catalog lacks are left out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a name or an id that comes
    /// twice, and when no item of the catalog has a vector;
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when there is not one id for each vector, or
    /// the features are of another number of items;
    /// [`ErrorKind::NonFiniteVector`](crate::ErrorKind::NonFiniteVector) for a value that is no
    /// number.
    pub fn with_vectors<I: Into<ExternalId>>(
        self,
        name: &str,
        catalog: &Catalog,
        ids: impl IntoIterator<Item = I>,
        vectors: ArrayView2<'_, f32>,
    ) -> Result<Self> {
        self.check_items(catalog.len())?;
        let ids = ids.into_iter().map(Into::into);
        let row_of = |id: &ExternalId| catalog.index_of(id).map(|item| item.to_usize());
        let given = GivenVectors::new(name, catalog.len() + 1, ids, vectors, row_of)?;
        self.with_given(given)
    }
}

impl Items {
    /// A column of labels, or one without any value.
    fn label_column(&self, name: &str) -> Result<&Attribute> {
        let column = self.attribute(name)?;
        match &column.values {
            Values::Numbers(_) if !column.values.are_missing() => {
                Err(self.wrong_kind(column, "text, tags, or true or false"))
            }
            _ => Ok(column),
        }
    }

    /// An item's number in a column of numbers, or in one without any value, which is read as text.
    fn number_of_column(&self, id: &ExternalId, name: &str) -> Result<Option<f64>> {
        match &self.attribute(name)?.values {
            Values::Labels(labels) if labels.len() == 0 => Ok(None),
            _ => self.number(id, name),
        }
    }
}

pub(super) fn refused(column: &str, reason: &str) -> Error {
    Error::invalid("columns", format!("{column:?}"), reason)
}

/// The labels of a row, each with its column's name.
fn label_names(column: &Attribute, row: usize) -> Box<dyn Iterator<Item = String> + '_> {
    let name = &column.name;
    match &column.values {
        Values::Labels(labels) => {
            Box::new((labels.names_of(row)).map(move |label| format!("{name}={label}")))
        }
        Values::Booleans(values) => {
            let is_true = values.get(row).copied().flatten() == Some(true);
            Box::new(is_true.then(|| name.clone()).into_iter())
        }
        Values::Numbers(_) => Box::new(std::iter::empty()),
    }
}

/// Refuses labels that say nothing of `items` rows: one that all have, or another for each.
fn check_labels(column: &str, labels: &[(usize, String)], items: usize, whose: &str) -> Result<()> {
    let mut names: Vec<&String> = labels.iter().map(|(_, name)| name).collect();
    names.sort_unstable();
    names.dedup();
    let refuse = |reason: &str| Err(refused(column, &format!("{reason}; leave the column out")));
    match names.len() {
        0 => refuse(&format!("is missing for all {whose}")),
        1 if labels.len() == items => refuse(&format!("is the same for all {whose}")),
        // Titles, links. Of few items with a label, any two categories would be refused.
        count
            if labels.len() > 20 && labels.len() * 2 > items && labels.len() * 10 < count * 11 =>
        {
            refuse(&format!(
                "has another label for nearly each of the {whose}, as titles have: give vectors of such \
                 texts, by `ItemFeatures::with_vectors`"
            ))
        }
        _ => Ok(()),
    }
}
