//! From raw interactions to a catalog and sequences.

use std::sync::Arc;

use super::catalog::{Catalog, ItemIndex};
use super::id::{ExternalId, IdTable};
use super::interactions::Interactions;
use super::sequences::Sequences;
use crate::{Error, Result};

/// What to do when a user takes the same item again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repeats {
    /// Keep every interaction.
    #[default]
    Keep,
    /// Keep one of several in a row.
    CollapseRuns,
    /// Keep only a user's first interaction with an item.
    First,
}

/// Which interactions become part of a [`Dataset`].
///
/// The filters apply in this order: minimum value, repeats, then the k-core, which is repeated
/// until every user and every item that is left has enough interactions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Filters {
    /// Drop rows whose value is lower; rows without a value are kept.
    pub minimum_value: Option<f32>,
    /// What to do with repeated items.
    pub repeats: Repeats,
    /// Drop users with fewer interactions (the k of the k-core on users).
    pub minimum_per_user: usize,
    /// Drop items with fewer interactions (the k of the k-core on items).
    pub minimum_per_item: usize,
}

/// A catalog, the users, and every user's sequence.
///
/// Items are numbered by first appearance in the source, users likewise. A user's sequence is in
/// time order, with ties in the order of the source.
///
/// ```
/// use seqrec::data::{Dataset, Filters, Interaction, Interactions};
///
/// let log: Interactions = [("u", "late", 9.0), ("u", "early", 3.0)]
///     .map(|(user, item, time)| Interaction::new(user, item, time))
///     .into_iter()
///     .collect();
/// let dataset = Dataset::new(&log, Filters::default())?;
/// assert_eq!(dataset.sequences().items(0), [2, 1]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dataset {
    catalog: Catalog,
    users: IdTable,
    sequences: Arc<Sequences>,
}

/// An interaction while it is sorted: number of the item in the source, and time.
type Event = (u32, f64);

impl Dataset {
    /// Builds catalog and sequences out of the interactions that pass the filters.
    ///
    /// # Errors
    /// [`Error::NothingLeft`] when no interaction passes.
    pub fn new(interactions: &Interactions, filters: Filters) -> Result<Self> {
        let mut users = sorted_by_user(interactions, filters.minimum_value);
        match filters.repeats {
            Repeats::Keep => {}
            Repeats::CollapseRuns => {
                for events in &mut users {
                    events.dedup_by_key(|event| event.0);
                }
            }
            Repeats::First => keep_first(&mut users, interactions.items.len()),
        }
        retain_core(
            &mut users,
            interactions.items.len(),
            filters.minimum_per_user.max(1),
            filters.minimum_per_item,
        );
        Self::number_anew(interactions, users).ok_or_else(|| Error::NothingLeft {
            reason: format!("no interaction passes the filters {filters:?}"),
        })
    }

    /// Gives the items and users that are left their final numbers.
    fn number_anew(interactions: &Interactions, users: Vec<Vec<Event>>) -> Option<Self> {
        let mut kept = vec![false; interactions.items.len()];
        for &(item, _) in users.iter().flatten() {
            kept[item as usize] = true;
        }
        let mut indices = vec![0; kept.len()];
        let mut next: ItemIndex = 0;
        for (index, _) in indices.iter_mut().zip(&kept).filter(|(_, kept)| **kept) {
            next += 1;
            *index = next;
        }
        if next == 0 {
            return None;
        }
        let with_kept = interactions.items.ids().iter().zip(&kept);
        let ids = with_kept
            .filter(|(_, kept)| **kept)
            .map(|(id, _)| id.clone());
        let catalog = Catalog::from_ids(ids).expect("a table's ids are distinct");
        let named = interactions.users.ids().iter().zip(&users);
        let user_ids = named
            .filter(|(_, events)| !events.is_empty())
            .map(|(id, _)| id.clone());
        let user_ids: IdTable = user_ids.collect();
        let dense = users
            .into_iter()
            .filter(|events| !events.is_empty())
            .map(|events| {
                let numbered = events
                    .into_iter()
                    .map(|(item, time)| (indices[item as usize], time));
                numbered.collect()
            });
        let sequences = Sequences::from_sorted(dense);
        let catalog = catalog.with_counts(sequences.iter());
        Some(Self {
            catalog,
            users: user_ids,
            sequences: Arc::new(sequences),
        })
    }

    /// The items, with their interactions counted over all data.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The sequences, one per user.
    pub fn sequences(&self) -> &Arc<Sequences> {
        &self.sequences
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.sequences.len()
    }

    /// The external id of a user.
    pub fn user_id(&self, user: usize) -> Option<&ExternalId> {
        self.users.ids().get(user)
    }

    /// The number of a user, if he is known.
    pub fn user_of(&self, id: &ExternalId) -> Option<usize> {
        self.users.number_of(id).map(|number| number as usize)
    }
}

fn sorted_by_user(interactions: &Interactions, minimum_value: Option<f32>) -> Vec<Vec<Event>> {
    let mut users = vec![Vec::new(); interactions.users.len()];
    for row in 0..interactions.len() {
        let passes = match (minimum_value, interactions.value(row)) {
            (Some(minimum), Some(value)) => value >= minimum,
            _ => true,
        };
        if passes {
            users[interactions.user[row] as usize]
                .push((interactions.item[row], interactions.time[row]));
        }
    }
    for events in &mut users {
        // Stable: ties stay in the order of the source.
        events.sort_by(|a, b| a.1.total_cmp(&b.1));
    }
    users
}

fn keep_first(users: &mut [Vec<Event>], items: usize) {
    // The user who took an item last, so that no set is cleared for every user.
    let mut taken_by = vec![usize::MAX; items];
    for (user, events) in users.iter_mut().enumerate() {
        events.retain(|event| std::mem::replace(&mut taken_by[event.0 as usize], user) != user);
    }
}

fn retain_core(users: &mut [Vec<Event>], items: usize, per_user: usize, per_item: usize) {
    loop {
        let mut counts = vec![0; items];
        for &(item, _) in users.iter().flatten() {
            counts[item as usize] += 1;
        }
        let mut changed = false;
        for events in &mut *users {
            let before = events.len();
            events.retain(|event| counts[event.0 as usize] >= per_item);
            if events.len() < per_user {
                events.clear();
            }
            changed |= events.len() != before;
        }
        if !changed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Interaction;
    use super::*;

    fn log(rows: &[(&str, &str, f64)]) -> Interactions {
        rows.iter()
            .map(|&(user, item, time)| Interaction::new(user, item, time))
            .collect()
    }

    fn sequence(dataset: &Dataset, user: &str) -> Vec<String> {
        let user = dataset.user_of(&user.into()).unwrap();
        let items = dataset.sequences().items(user).iter();
        items
            .map(|&item| dataset.catalog().id_of(item).unwrap().to_string())
            .collect()
    }

    #[test]
    fn sequences_are_in_time_order_with_ties_in_file_order() {
        let log = log(&[
            ("u", "c", 5.0),
            ("u", "b", 1.0),
            ("v", "c", 0.0),
            ("u", "a", 5.0),
            ("u", "d", 1.0),
        ]);
        let dataset = Dataset::new(&log, Filters::default()).unwrap();
        assert_eq!(sequence(&dataset, "u"), ["b", "d", "c", "a"]);
        assert_eq!(dataset.catalog().index_of(&"c".into()), Some(1));
        assert_eq!(dataset.catalog().counts(), [0, 2, 1, 1, 1]);
    }

    #[test]
    fn repeats_are_kept_or_collapsed() {
        let log = log(&[
            ("u", "a", 1.0),
            ("u", "a", 2.0),
            ("u", "b", 3.0),
            ("u", "a", 4.0),
            ("v", "a", 1.0),
        ]);
        let with = |repeats| {
            let filters = Filters {
                repeats,
                ..Filters::default()
            };
            sequence(&Dataset::new(&log, filters).unwrap(), "u").concat()
        };
        assert_eq!(with(Repeats::Keep), "aaba");
        assert_eq!(with(Repeats::CollapseRuns), "aba");
        assert_eq!(with(Repeats::First), "ab");
    }

    #[test]
    fn the_core_is_taken_until_nothing_changes() {
        // Dropping user w leaves item c with one interaction, which leaves user v with one.
        let log = log(&[
            ("u", "a", 1.0),
            ("u", "b", 2.0),
            ("x", "a", 1.0),
            ("x", "b", 2.0),
            ("v", "a", 1.0),
            ("v", "c", 2.0),
            ("w", "c", 1.0),
        ]);
        let filters = Filters {
            minimum_per_user: 2,
            minimum_per_item: 2,
            ..Filters::default()
        };
        let dataset = Dataset::new(&log, filters).unwrap();
        assert_eq!((dataset.users(), dataset.catalog().len()), (2, 2));
        assert_eq!(dataset.user_of(&"v".into()), None);
        assert_eq!(sequence(&dataset, "x"), ["a", "b"]);
    }

    #[test]
    fn low_values_are_dropped_and_nothing_left_is_an_error() {
        let mut rows = log(&[("u", "a", 1.0)]);
        rows.push(Interaction {
            value: Some(2.0),
            ..Interaction::new("u", "b", 2.0)
        });
        let with = |minimum| Filters {
            minimum_value: Some(minimum),
            ..Filters::default()
        };
        assert_eq!(
            sequence(&Dataset::new(&rows, with(2.0)).unwrap(), "u"),
            ["a", "b"]
        );
        assert_eq!(
            sequence(&Dataset::new(&rows, with(2.5)).unwrap(), "u"),
            ["a"]
        );
        let core = Filters {
            minimum_per_user: 9,
            ..Filters::default()
        };
        assert!(matches!(
            Dataset::new(&rows, core),
            Err(Error::NothingLeft { .. })
        ));
    }
}
