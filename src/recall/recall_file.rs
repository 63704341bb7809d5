//! Files of what was recalled for many users.

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use crate::Result;
use crate::data::{Catalog, ExternalId};
use crate::table::{ColumnValues, Table, Texts};

use super::candidates::Reason;
use super::found::Found;
use super::recall_all::{Batch, RecallAll, RecallCounts};
use super::recalled::IdNames;
use super::retriever::Retriever;
use super::users::ItemTags;

/// The number of users whose rows one thread makes at a time.
const BLOCK: usize = 64;

/// IdColumn as a column has them: integers where all are.
struct IdColumn {
    are_integers: bool,
}

impl IdColumn {
    fn of_items(catalog: &Catalog) -> Self {
        let is_integer = |id: &ExternalId| matches!(id, ExternalId::Integer(_));
        Self {
            are_integers: catalog.ids().all(is_integer),
        }
    }

    fn column(&self) -> ColumnValues {
        match self.are_integers {
            true => ColumnValues::Integers(Vec::new()),
            false => ColumnValues::Texts(Texts::default()),
        }
    }
}

fn push_id(column: &mut ColumnValues, id: &ExternalId) {
    match (column, id) {
        (ColumnValues::Integers(values), ExternalId::Integer(id)) => values.push(*id),
        (ColumnValues::Texts(texts), id) => texts.push(id),
        _ => unreachable!("a column of integers is made where all ids are"),
    }
}

fn push_place(column: &mut ColumnValues, place: Option<usize>) {
    if let ColumnValues::Places(places) = column {
        places.push(place.map(|place| i32::try_from(place).unwrap_or(i32::MAX)));
    }
}

fn push_number(column: &mut ColumnValues, number: Option<f32>) {
    if let ColumnValues::Numbers(numbers) = column {
        numbers.push(number);
    }
}

/// The facts that all rows of a file are made by.
struct Rows<'a> {
    retriever: &'a Retriever,
    /// Whether rows say what was held out.
    labeled: bool,
    item_tags: Option<ItemTags>,
    user_features: usize,
}

impl<'a> RecallAll<'a> {
    /// Writes a file of the columns `user`, `item`, `rank` (from 1), `score` and `reason`, of the
    /// channel that ranks the item best: CSV or, with the feature `parquet`, Parquet, whichever the
    /// file's name ends in. IdColumn are as they were given. In Parquet they are integers where all of the
    /// users' data, or of the catalog, are, and text otherwise.
    ///
    /// There is the whole file or none: what fails leaves an earlier one as it was. Only a file of
    /// recalled items is replaced, and whatever is in an [`OutputFolder`](crate::OutputFolder).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a name that ends in neither,
    /// [`ErrorKind::NotOurs`](crate::ErrorKind::NotOurs) when another file is there,
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it can't be written, and what is said of the
    /// users.
    pub fn write(self, path: impl AsRef<Path>) -> Result<RecallCounts> {
        let mut columns = self.first_columns();
        columns.push(("reason".to_owned(), ColumnValues::Texts(Texts::default())));
        let table = Table {
            columns,
            begins: "user,item,rank,score,reason\n",
            mark: "seqrec.recalled",
        };
        let of_users = self.rows(false);
        self.write_table(path.as_ref(), &table, |batch, rows, columns| {
            of_users.add_recalled(batch, rows, columns);
        })
    }

    /// Writes the rows that a ranker behind the recall learns from or scores, as
    /// [`write`](Self::write) writes its own: the columns `user`, `item`, `rank` and `score`; of
    /// each channel of a stage, and of the fallback, `CHANNEL.rank` and `CHANNEL.score`, empty
    /// where it did not find the item; the tags of items in the users' training data, `item.TAG`,
    /// and the features of users, `user.FEATURE`. Rows of [cases](super::Users::cases) have a
    /// `label` after the item, 1 where the item was held out of the user and 0 elsewhere.
    ///
    /// # Errors
    /// As [`write`](Self::write), and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when two columns would have one
    /// name.
    pub fn write_for_ranker(self, path: impl AsRef<Path>) -> Result<RecallCounts> {
        let mut columns = self.first_columns();
        let of_users = self.rows(true);
        let labeled = of_users.labeled;
        if labeled {
            columns.insert(2, ("label".to_owned(), ColumnValues::Places(Vec::new())));
        }
        for name in self.retriever.channel_names() {
            columns.push((format!("{name}.rank"), ColumnValues::Places(Vec::new())));
            columns.push((format!("{name}.score"), ColumnValues::Numbers(Vec::new())));
        }
        let tags = of_users.item_tags.iter().flat_map(ItemTags::names);
        let tags = tags.map(|name| format!("item.{name}"));
        let features = self.user_features().map(|name| format!("user.{name}"));
        let numbers = tags.chain(features);
        columns.extend(numbers.map(|name| (name, ColumnValues::Numbers(Vec::new()))));
        let table = Table {
            columns,
            begins: match labeled {
                true => "user,item,label,rank,score",
                false => "user,item,rank,score",
            },
            mark: "seqrec.ranker",
        };
        self.write_table(path.as_ref(), &table, |batch, rows, columns| {
            of_users.add_for_ranker(batch, rows, columns);
        })
    }

    /// The names of users' features, where the users have any.
    fn user_features(&self) -> impl Iterator<Item = &String> {
        let data = self.users.data();
        data.into_iter()
            .flat_map(|data| data.catalog().user_features())
    }

    fn first_columns(&self) -> Vec<(String, ColumnValues)> {
        let users = IdColumn {
            are_integers: self.users.are_integers(),
        };
        let items = IdColumn::of_items(self.retriever.catalog());
        let columns = [
            ("user", users.column()),
            ("item", items.column()),
            ("rank", ColumnValues::Places(Vec::new())),
            ("score", ColumnValues::Numbers(Vec::new())),
        ];
        (columns.into_iter())
            .map(|(name, column)| (name.to_owned(), column))
            .collect()
    }

    fn write_table(
        mut self,
        path: &Path,
        table: &Table,
        add: impl Fn(&Batch<'_>, Range<usize>, &mut [ColumnValues]) + Sync,
    ) -> Result<RecallCounts> {
        table.write(path, || {
            self.next_batch(|batch| {
                let users = batch.people.len();
                let starts: Vec<usize> = (0..users).step_by(BLOCK).collect();
                let block = |start: usize| {
                    let mut columns = table.empty();
                    add(batch, start..users.min(start + BLOCK), &mut columns);
                    columns
                };
                starts.into_par_iter().map(block).collect()
            })
        })?;
        Ok(self.counts)
    }

    fn rows(&self, for_ranker: bool) -> Rows<'a> {
        let catalog = self.retriever.catalog();
        Rows {
            retriever: self.retriever,
            labeled: self.users.have_labels(),
            item_tags: (for_ranker.then(|| ItemTags::of(&self.users, catalog))).flatten(),
            user_features: self.user_features().count(),
        }
    }
}

impl Rows<'_> {
    fn add_recalled(&self, batch: &Batch<'_>, rows: Range<usize>, columns: &mut [ColumnValues]) {
        let [user, item, rank, score, reason] = columns else {
            return;
        };
        for row in rows {
            let person = &batch.people[row];
            let names = self.retriever.id_names(&person.user.segments);
            let mut place = 0;
            batch.lists.each(row, |index, value, found| {
                let Some(id) = names.catalog.id_of(index) else {
                    return;
                };
                place += 1;
                push_id(user, &person.id);
                push_id(item, id);
                push_place(rank, Some(place));
                push_number(score, Some(value));
                if let ColumnValues::Texts(texts) = reason {
                    texts.push(self.reason(&names, found));
                }
            });
        }
    }

    /// Why an item was found, by the channel that ranks it best.
    fn reason(&self, names: &IdNames<'_>, found: &[Found<usize, Reason>]) -> String {
        let Some(best) = found.iter().min_by_key(|found| found.rank) else {
            return String::new();
        };
        let because = names.because(best.because);
        match self.retriever.channel_names().get(best.channel) {
            Some(channel) => format!("{channel}: {because}"),
            None => because.to_string(),
        }
    }

    fn add_for_ranker(&self, batch: &Batch<'_>, rows: Range<usize>, columns: &mut [ColumnValues]) {
        let channels = self.retriever.channel_names().len();
        let tags = self.item_tags.as_ref().map_or(0, |tags| tags.names().len());
        for row in rows {
            let person = &batch.people[row];
            let mut place = 0;
            batch.lists.each(row, |index, value, found| {
                let Some(id) = self.retriever.catalog().id_of(index) else {
                    return;
                };
                place += 1;
                let mut columns = columns.iter_mut();
                let mut next = |push: &mut dyn FnMut(&mut ColumnValues)| {
                    if let Some(column) = columns.next() {
                        push(column);
                    }
                };
                next(&mut |column| push_id(column, &person.id));
                next(&mut |column| push_id(column, id));
                if self.labeled {
                    let label = usize::from(person.labels.contains(&index));
                    next(&mut |column| push_place(column, Some(label)));
                }
                next(&mut |column| push_place(column, Some(place)));
                next(&mut |column| push_number(column, Some(value)));
                for channel in 0..channels {
                    let found = found.iter().find(|found| found.channel == channel);
                    next(&mut |column| push_place(column, found.map(|found| found.rank)));
                    next(&mut |column| push_number(column, found.map(|found| found.score)));
                }
                for tag in 0..tags {
                    let tags = self.item_tags.as_ref();
                    let value = tags.and_then(|tags| tags.get(index, tag));
                    next(&mut |column| push_number(column, value));
                }
                for feature in 0..self.user_features {
                    let value = person.user.features.get(feature).copied();
                    next(&mut |column| push_number(column, value));
                }
            });
        }
    }
}
