//! The catalog: external item ids and dense item indices.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::behaviors::Behaviors;
use super::event::Event;
use super::fingerprint::Fingerprint;
use super::id::{ExternalId, IdTable};
use super::item_features::{ItemFeatures, Scale};
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result};

/// The map between external item ids and dense indices, with how often each item was taken.
///
/// ```
/// use seqrec::data::Catalog;
///
/// let catalog = Catalog::from_ids(["a", "b"].map(Into::into))?;
/// let b = catalog.index_of(&"b".into()).unwrap();
/// assert_eq!(b.get(), 2);
/// assert_eq!(catalog.id_of(b).unwrap().to_string(), "b");
/// assert_eq!(catalog.id_of(seqrec::data::ItemIndex::PADDING), None);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    /// Shared, since catalogs of one data set that count differently have the same ids.
    table: Arc<IdTable>,
    /// Interactions per item; 0 for padding.
    counts: Arc<Vec<u64>>,
    user_features: Vec<String>,
    /// The columns of users' features, in order of their names.
    columns: Vec<usize>,
    /// How those that are numbers were standardized.
    user_scales: Vec<Scale>,
    item_features: Option<Arc<ItemFeatures>>,
    behaviors: Option<Arc<Behaviors>>,
}

#[derive(Serialize, Deserialize)]
struct CatalogFile {
    ids: Vec<ExternalId>,
    counts: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    user_features: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    user_scales: Vec<Scale>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    behaviors: Option<Behaviors>,
}

impl Catalog {
    /// A catalog of these ids, in this order, with no interactions counted.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when an id comes twice, is empty, or is a mark of a missing
    /// value.
    pub fn from_ids(ids: impl IntoIterator<Item = ExternalId>) -> Result<Self> {
        let mut table = IdTable::default();
        for id in ids {
            id.check("ids")?;
            let known = table.len();
            if (table.intern(id.clone()) as usize) < known {
                return Err(Error::invalid(
                    "ids",
                    id,
                    "an id must be in a catalog only once",
                ));
            }
        }
        let counts = Arc::new(vec![0; table.len() + 1]);
        Ok(Self {
            table: Arc::new(table),
            counts,
            user_features: Vec::new(),
            columns: Vec::new(),
            user_scales: Vec::new(),
            item_features: None,
            behaviors: None,
        })
    }

    /// The number of items, padding not counted.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A number that tells this catalog from others: it depends on the items' ids and their
    /// order, not on their counts.
    pub fn fingerprint(&self) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for id in self.table.ids() {
            fingerprint.add(id.to_string().as_bytes());
            // No text holds this byte.
            fingerprint.add(&[0xff]);
        }
        fingerprint.finish()
    }

    /// The index of an external id, if it is in the catalog.
    pub fn index_of(&self, id: &ExternalId) -> Option<ItemIndex> {
        self.table
            .number_of(id)
            .map(|number| ItemIndex::new(number + 1))
    }

    /// The indices of those of some ids that are in the catalog, in their order; others are left
    /// out. A set of what is in stock, for example:
    ///
    /// ```
    /// use seqrec::data::Catalog;
    /// use seqrec::index::ItemSet;
    ///
    /// let catalog = Catalog::from_ids(["pen", "desk", "lamp"].map(Into::into))?;
    /// let in_stock: ItemSet = catalog.known(["lamp", "new this week"]).collect();
    /// assert_eq!(in_stock.len(), 1);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    pub fn known<T: Into<ExternalId>>(
        &self,
        ids: impl IntoIterator<Item = T>,
    ) -> impl Iterator<Item = ItemIndex> {
        let ids = ids.into_iter();
        ids.filter_map(|id| self.index_of(&id.into()))
    }

    /// This catalog followed by those of some ids that it lacks, which nobody interacted with.
    pub(crate) fn with_new_ids<'a>(mut self, ids: impl Iterator<Item = &'a ExternalId>) -> Self {
        let table = Arc::make_mut(&mut self.table);
        ids.for_each(|id| {
            table.intern(id.clone());
        });
        Arc::make_mut(&mut self.counts).resize(table.len() + 1, 0);
        self
    }

    /// Whether this catalog is an earlier one with new items after its own, so that each item has
    /// the index that it had: so it is where new rows come after the old ones.
    pub fn continues(&self, earlier: &Self) -> bool {
        self.begins_with(&earlier.table)
    }

    /// Whether the first items are those of a table, in its order.
    pub(super) fn begins_with(&self, table: &Arc<IdTable>) -> bool {
        Arc::ptr_eq(&self.table, table) || self.table.ids().starts_with(table.ids())
    }

    /// The items' ids.
    pub(super) fn table(&self) -> &Arc<IdTable> {
        &self.table
    }

    /// The external id of an index; `None` for padding and beyond the end.
    pub fn id_of(&self, item: ItemIndex) -> Option<&ExternalId> {
        self.table.ids().get(item.to_usize().checked_sub(1)?)
    }

    /// All items, in rising order, without padding.
    pub fn items(&self) -> impl ExactSizeIterator<Item = ItemIndex> + Clone + use<> {
        ItemIndex::all(self.len())
    }

    /// The external ids, in order of their indices.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &ExternalId> + Clone {
        self.table.ids().iter()
    }

    /// Interactions per item index, `[items + 1]`, counted over training data, whatever their
    /// [role](super::Role); 0 for padding.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// This catalog with items counted anew over `sequences`; those that are not in it count
    /// for nothing.
    #[must_use]
    pub fn with_counts<'a>(mut self, sequences: impl IntoIterator<Item = &'a [ItemIndex]>) -> Self {
        let counts = Arc::make_mut(&mut self.counts);
        counts.fill(0);
        for &item in sequences.into_iter().flatten() {
            if let Some(count) = counts.get_mut(item.to_usize()) {
                *count += 1;
            }
        }
        self
    }

    /// This catalog with counts that were kept, padding first; `None` when there is not one for
    /// each item.
    pub(super) fn counted(self, counts: Vec<u64>) -> Option<Self> {
        (counts.len() == self.len() + 1).then_some(Self {
            counts: counts.into(),
            ..self
        })
    }

    /// The names of the [features of users](super::Dataset::with_user_features), in order of their
    /// columns; none where there are no features. They are kept here, so that whoever has the
    /// items' ids can also give a user's features by name.
    pub fn user_features(&self) -> &[String] {
        &self.user_features
    }

    pub(super) fn with_user_features(self, user_features: Vec<String>) -> Self {
        let mut columns: Vec<usize> = (0..user_features.len()).collect();
        columns.sort_unstable_by_key(|&column| user_features.get(column));
        Self {
            user_features,
            columns,
            user_scales: Vec::new(),
            ..self
        }
    }

    /// Refuses numbers of users that were standardized otherwise than those of this catalog's data,
    /// and so mean something else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`].
    pub(crate) fn check_user_scales(&self, scales: &[Scale]) -> Result<()> {
        let differs = |scale: &&Scale| {
            let known = self
                .user_scales
                .iter()
                .find(|known| known.name == scale.name);
            known.is_some_and(|known| known != *scale)
        };
        match scales.iter().find(differs) {
            None => Ok(()),
            Some(scale) => {
                let reason = "its numbers were standardized over other users than the catalog's, so that they \
                              mean something else: take the data that the catalog is of";
                Err(Error::invalid(
                    "user features",
                    format!("{:?}", scale.name),
                    reason,
                ))
            }
        }
    }

    pub(crate) fn user_scales(&self) -> &[Scale] {
        &self.user_scales
    }

    /// This catalog with the names of features of users that another has.
    pub(crate) fn with_user_features_of(self, other: &Self) -> Self {
        self.with_user_features(other.user_features.clone())
            .with_user_scales(other.user_scales.clone())
    }

    pub(super) fn with_user_scales(self, user_scales: Vec<Scale>) -> Self {
        Self {
            user_scales,
            ..self
        }
    }

    /// The [features of the items](super::Dataset::with_item_features), where there are some.
    pub fn item_features(&self) -> Option<&Arc<ItemFeatures>> {
        self.item_features.as_ref()
    }

    /// This catalog with features of its items, of which there must be as many.
    pub(crate) fn with_item_features(self, features: Option<Arc<ItemFeatures>>) -> Self {
        Self {
            item_features: features,
            ..self
        }
    }

    /// The [meaning of events](super::Behaviors), where the data have one. It is kept here, so that
    /// whoever has the items' ids also knows what an event is.
    pub fn behaviors(&self) -> Option<&Behaviors> {
        self.behaviors.as_deref()
    }

    /// What is kept of an event of this type and value; nothing where events have no meaning.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when no rule names it.
    pub(crate) fn event(&self, name: Option<&str>, value: Option<f32>) -> Result<Event> {
        let Some(behaviors) = &self.behaviors else {
            return Ok(Event::default());
        };
        behaviors.event(name, value).ok_or_else(|| {
            let name = name.map_or("of no type".to_owned(), |name| format!("{name:?}"));
            let reason = format!("no rule of the data's {:?} names it", behaviors.to_string());
            Error::invalid("event", name, reason)
        })
    }

    /// Refuses data whose events have another meaning than this catalog's: they would have other
    /// labels, and models would take one type of event for another.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`], which says both.
    pub(crate) fn check_behaviors(&self, of_data: Option<&Behaviors>) -> Result<()> {
        let known = self.behaviors();
        if known == of_data {
            return Ok(());
        }
        let reason = format!(
            "the catalog's are {}: give both the same, by `Interactions::with_behaviors` or --behaviors",
            Behaviors::said(known)
        );
        Err(Error::invalid(
            "behaviors of the data",
            Behaviors::said(of_data),
            reason,
        ))
    }

    /// The meaning of events, to be shared.
    pub(crate) fn shared_behaviors(&self) -> Option<&Arc<Behaviors>> {
        self.behaviors.as_ref()
    }

    pub(crate) fn with_behaviors(self, behaviors: Option<Arc<Behaviors>>) -> Self {
        Self { behaviors, ..self }
    }

    /// The column of a feature of users.
    fn column(&self, name: &str) -> Option<usize> {
        let known = |column: usize| self.user_features.get(column).map(String::as_str);
        let place = (self.columns).binary_search_by(|&column| known(column).cmp(&Some(name)));
        self.columns.get(place.ok()?).copied()
    }

    /// A user's features in order of columns; those that are not named are 0, and numbers that were
    /// standardized are missing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a name that is unknown or comes twice, and for a value that
    /// is not finite.
    pub(crate) fn user_row<'a>(
        &self,
        named: impl IntoIterator<Item = (&'a str, f32)>,
    ) -> Result<Vec<f32>> {
        let mut row = vec![0.0; self.user_features.len()];
        let mut given = vec![false; row.len()];
        for (name, value) in named {
            let columns = self
                .column(name)
                .and_then(|place| Some((row.get_mut(place)?, given.get_mut(place)?)));
            let Some((column, given)) = columns else {
                let known = self.user_features.get(..20).unwrap_or(&self.user_features);
                let reason = match self.user_features.len() - known.len() {
                    _ if known.is_empty() => "the data had no features of users".to_owned(),
                    0 => format!("the features of users are {known:?}"),
                    more => format!("the features of users are {known:?} and {more} more"),
                };
                return Err(Error::invalid("features", format!("{name:?}"), reason));
            };
            if !value.is_finite() {
                let value = format!("{name:?} = {value}");
                return Err(Error::invalid("features", value, "must be a finite number"));
            }
            if std::mem::replace(given, true) {
                let reason = "it is given twice";
                return Err(Error::invalid("features", format!("{name:?}"), reason));
            }
            *column = value;
        }
        for scale in &self.user_scales {
            let Some(column) = self.column(&scale.name) else {
                continue;
            };
            let is_given = given.get(column) == Some(&true);
            let number = row.get(column).copied().filter(|_| is_given);
            let values = scale.values(number.map(f64::from));
            for (value, standard) in row.iter_mut().skip(column).zip(values) {
                *value = standard;
            }
        }
        Ok(row)
    }

    /// All items, the most frequent first; ties by index.
    pub fn by_popularity(&self) -> Vec<ItemIndex> {
        let mut items: Vec<ItemIndex> = ItemIndex::all(self.len()).collect();
        items.sort_by_key(|&item| std::cmp::Reverse(self.counts.get(item.to_usize())));
        items
    }

    #[expect(clippy::expect_used, reason = "ids and numbers are always valid JSON")]
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let file = CatalogFile {
            ids: self.table.ids().to_vec(),
            counts: self.counts.to_vec(),
            user_features: self.user_features.clone(),
            user_scales: self.user_scales.clone(),
            behaviors: self.behaviors().cloned(),
        };
        serde_json::to_vec(&file).expect("ids and counts are always valid JSON")
    }

    pub(crate) fn from_json(json: &[u8], path: &Path) -> Result<Self> {
        let damaged = |reason: String| {
            Error::from(ErrorKind::Damaged {
                path: path.to_owned(),
                reason,
            })
        };
        let file: CatalogFile = serde_json::from_slice(json).map_err(|e| damaged(e.to_string()))?;
        let mut catalog = Self::from_ids(file.ids).map_err(|error| damaged(error.to_string()))?;
        if file.counts.len() != catalog.counts.len() {
            return Err(damaged(format!(
                "{} counts for {} items",
                file.counts.len(),
                catalog.len()
            )));
        }
        catalog.counts = file.counts.into();
        let names: BTreeSet<&String> = file.user_features.iter().collect();
        if names.len() != file.user_features.len() {
            return Err(damaged("two features of users have one name".to_owned()));
        }
        let catalog = catalog.with_behaviors(file.behaviors.map(Arc::new));
        let catalog = catalog.with_user_features(file.user_features);
        Ok(catalog.with_user_scales(file.user_scales))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_survives_its_file() {
        let sequences = [&[1, 3, 3][..], &[3, 2]].map(ItemIndex::from_slice);
        let catalog = Catalog::from_ids(["7", "x", "007"].map(ExternalId::from))
            .unwrap()
            .with_counts(sequences);
        assert_eq!(catalog.counts(), [0, 1, 1, 3]);
        let of = |ids: &[&str]| Catalog::from_ids(ids.iter().map(|&id| id.into())).unwrap();
        assert!(of(&["7", "x", "007", "y"]).continues(&catalog));
        assert!(!of(&["7", "y", "x", "007"]).continues(&catalog));
        assert!(!of(&["7", "x"]).continues(&catalog));
        let loaded = Catalog::from_json(&catalog.to_json(), Path::new("catalog.json")).unwrap();
        assert_eq!(loaded, catalog);
        assert_eq!(loaded.by_popularity(), [3, 1, 2].map(ItemIndex::new));
    }

    #[test]
    fn features_are_found_by_name_in_any_order() {
        let names: Vec<String> = (0..40).map(|n| format!("f{}", n * 7 % 40)).collect();
        let catalog = Catalog::from_ids([ExternalId::from("a")])
            .unwrap()
            .with_user_features(names.clone());
        let values = names.iter().rev().zip((1u8..=40).rev());
        let row = catalog.user_row(values.map(|(name, value)| (name.as_str(), value.into())));
        assert_eq!(row.unwrap(), (1u8..=40).map(f32::from).collect::<Vec<_>>());
        assert!(catalog.user_row([("f", 1.0)]).is_err());
    }

    #[test]
    fn damaged_files_are_errors() {
        let path = Path::new("catalog.json");
        let whole = Catalog::from_ids(["a", "b"].map(ExternalId::from))
            .unwrap()
            .to_json();
        assert!(Catalog::from_json(&whole[..whole.len() - 3], path).is_err());
        assert!(Catalog::from_json(br#"{"ids":["a","a"],"counts":[0,0,0]}"#, path).is_err());
        assert!(Catalog::from_json(br#"{"ids":["a"],"counts":[0]}"#, path).is_err());
        let twice = br#"{"ids":["a"],"counts":[0,0],"user_features":["b","b"]}"#;
        assert!(Catalog::from_json(twice, path).is_err());
    }

    /// Numbers are given as they were in the table, and what is not given is missing.
    #[test]
    fn numbers_of_users_are_standardized_as_those_of_the_data_were() {
        let names = ["a", "age", "age is missing"].map(str::to_owned);
        let numbers = [Some(20.0), Some(40.0), None].to_vec();
        let numbers = crate::data::ItemNumbers::new(4, vec![("age".to_owned(), numbers)]).unwrap();
        let catalog = (Catalog::from_ids([ExternalId::from("x")]).unwrap())
            .with_user_features(names.to_vec())
            .with_user_scales(numbers.scales().to_vec());
        let kept = Catalog::from_json(&catalog.to_json(), Path::new("catalog.json")).unwrap();
        assert_eq!(kept, catalog);
        for (given, row) in [
            (vec![("age", 40.0), ("a", 1.0)], [1.0, 1.0, 0.0]),
            (vec![("age", 25.0)], [0.0, -0.5, 0.0]),
            (vec![("a", 1.0)], [1.0, 0.0, 1.0]),
        ] {
            assert_eq!(kept.user_row(given).unwrap(), row);
        }
    }
}
