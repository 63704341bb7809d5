//! Attributes of items in a collection, and the filters that look at them there.

use std::sync::{Arc, PoisonError};

use milvus::v2::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{AttributeKind, Catalog, ExternalId, Items, missing_field};
use crate::index::Matching;
use crate::{Error, Result};

use super::search::named;
use super::{ITEM, MOST_NAMED, MilvusIndex, VECTOR};

/// The most bytes of a text, and the most tags of an item, that a server holds.
const LONGEST_TEXT: usize = 65_535;
const MOST_TAGS: usize = 4_096;

/// Attributes that versions are published with.
#[derive(Debug)]
pub(super) struct Fields {
    items: Arc<Items>,
    /// The items' ids by index, from 1 on.
    ids: Vec<ExternalId>,
    pub(super) loaded: LoadedAttributes,
}

/// The attributes that a version was published with, as its description says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LoadedAttributes {
    /// The fingerprint of the table that they are of.
    items: u64,
    columns: Vec<String>,
}

impl LoadedAttributes {
    pub(super) fn description(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The attributes that a collection's description names; none where it says something else.
    pub(super) fn of(description: &str) -> Self {
        serde_json::from_str(description).unwrap_or_default()
    }
}

impl MilvusIndex {
    /// Publishes later versions with columns of a table of items, as fields that are called like
    /// them. [`Filter::Matching`](crate::index::Filter::Matching) is then looked at by the server,
    /// as long as the table is the same; another table's filters go there as the ids that pass.
    /// [`search_where`](Self::search_where) may name the fields as well. A missing number, date or
    /// boolean is told by a field that ends with `_missing`, and a missing text is empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a column whose name can't be
    /// a field's, which is letters, digits and underscores, and for texts or tags beyond a server's
    /// limits; as [`Items::kind`] for an unknown column.
    pub fn set_items(
        &self,
        items: impl Into<Arc<Items>>,
        catalog: &Catalog,
        columns: &[&str],
    ) -> Result<()> {
        let items = items.into();
        for (place, column) in columns.iter().enumerate() {
            items.kind(column)?;
            check_name(column, columns.get(..place).unwrap_or_default())?;
        }
        let fields = Fields {
            ids: catalog.ids().cloned().collect(),
            loaded: LoadedAttributes {
                items: items.fingerprint(),
                columns: columns.iter().map(|&column| column.to_owned()).collect(),
            },
            items,
        };
        fields.check_values()?;
        let mut kept = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::new(fields));
        Ok(())
    }

    /// Says which attributes the version has that is searched.
    pub(super) fn set_loaded(&self, attributes: LoadedAttributes) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        *loaded = attributes;
    }

    /// The attributes that the next version is published with.
    pub(super) fn fields(&self) -> Option<Arc<Fields>> {
        let kept = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }

    /// An expression for a filter whose attributes are in the version that is searched.
    pub(super) fn pushed(&self, matching: &Matching) -> Option<String> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if matching.table().fingerprint() != loaded.items || matching.without().len() > MOST_NAMED {
            return None;
        }
        let filter = matching
            .filter()
            .in_milvus(matching.table(), &loaded.columns)?;
        Some(match matching.without() {
            without if without.is_empty() => filter,
            without => format!("{filter} and not ({})", named(without)),
        })
    }
}

fn check_name(column: &str, before: &[&str]) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let refused = |reason: &str| Err(Error::invalid("columns", format!("{column:?}"), reason));
    if !column.bytes().all(good) || !column.bytes().next().is_some_and(starts) {
        return refused("a field's name is letters, digits and underscores, and no digit first");
    }
    let taken = |name: &str| [ITEM, VECTOR].contains(&name) || before.contains(&name);
    let clashes = before
        .iter()
        .any(|&other| missing_field(other) == column || missing_field(column) == *other);
    if taken(column) || taken(&missing_field(column)) || clashes {
        return refused("another field of the collection is called so");
    }
    Ok(())
}

impl Fields {
    fn check_values(&self) -> Result<()> {
        for column in &self.loaded.columns {
            if !matches!(
                self.items.kind(column)?,
                AttributeKind::Text | AttributeKind::Tags
            ) {
                continue;
            }
            for id in &self.ids {
                let labels = self.items.labels(id, column)?;
                let long = labels.iter().any(|label| label.len() > LONGEST_TEXT);
                if long || labels.len() > MOST_TAGS {
                    let reason = format!(
                        "of the item {id}, it has more than {LONGEST_TEXT} bytes or {MOST_TAGS} tags"
                    );
                    return Err(Error::invalid("columns", format!("{column:?}"), reason));
                }
            }
        }
        Ok(())
    }

    /// The fields of the collection's schema.
    pub(super) fn schema(&self) -> Result<Vec<FieldSchema>> {
        let mut fields = Vec::new();
        for column in &self.loaded.columns {
            let field = FieldSchema::new().name(column);
            let text = LONGEST_TEXT as u32;
            let (field, missing) = match self.items.kind(column)? {
                AttributeKind::Text => (field.data_type(DataType::VarChar).max_length(text), false),
                AttributeKind::Tags => {
                    let field = field
                        .data_type(DataType::Array)
                        .element_type(DataType::VarChar);
                    (field.max_length(text).max_capacity(MOST_TAGS as u32), false)
                }
                AttributeKind::Boolean => (field.data_type(DataType::Bool), true),
                AttributeKind::Number | AttributeKind::Date => {
                    (field.data_type(DataType::Double), true)
                }
            };
            fields.push(field);
            if missing {
                let missing = FieldSchema::new().name(missing_field(column));
                fields.push(missing.data_type(DataType::Bool));
            }
        }
        Ok(fields)
    }

    /// The values of the items from a place of the catalog on, the first of which is 1.
    pub(super) fn values(&self, first: usize, count: usize) -> Result<Vec<FieldData>> {
        let start = first.saturating_sub(1);
        let ids = self.ids.get(start..start + count);
        let ids = ids.ok_or_else(|| {
            let reason = "there are vectors of items that are not in the catalog that the attributes came with";
            Error::invalid("vectors", format!("of {} items or more", start + count), reason)
        })?;
        let mut values = Vec::new();
        for column in &self.loaded.columns {
            let missing =
                |is_missing: Vec<bool>| FieldData::boolean(missing_field(column), is_missing);
            match self.items.kind(column)? {
                AttributeKind::Text => {
                    let text = |id| Ok(self.items.labels(id, column)?.concat());
                    let texts = ids.iter().map(text).collect::<Result<_>>()?;
                    values.push(FieldData::varchar(column, texts));
                }
                AttributeKind::Tags => {
                    let tags = |id| -> Result<Vec<String>> {
                        let tags = self.items.labels(id, column)?;
                        Ok(tags.into_iter().map(str::to_owned).collect())
                    };
                    let tags = ids.iter().map(tags).collect::<Result<_>>()?;
                    values.push(FieldData::array_varchar(column, tags));
                }
                AttributeKind::Boolean => {
                    let of = ids.iter().map(|id| self.items.boolean(id, column));
                    let of: Vec<Option<bool>> = of.collect::<Result<_>>()?;
                    let known = of.iter().map(|value| value.unwrap_or_default());
                    values.push(FieldData::boolean(column, known.collect()));
                    values.push(missing(of.iter().map(Option::is_none).collect()));
                }
                AttributeKind::Number | AttributeKind::Date => {
                    let of = ids.iter().map(|id| self.items.number(id, column));
                    let of: Vec<Option<f64>> = of.collect::<Result<_>>()?;
                    let known = of.iter().map(|value| value.unwrap_or_default());
                    values.push(FieldData::double(column, known.collect()));
                    values.push(missing(of.iter().map(Option::is_none).collect()));
                }
            }
        }
        Ok(values)
    }
}
