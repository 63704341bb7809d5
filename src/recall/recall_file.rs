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

/// The number of users whose rows one thread makes at a time.
const BLOCK: usize = 64;

/// Ids as a column has them: integers where all are.
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

pub(super) fn push_id(column: &mut ColumnValues, id: &ExternalId) {
    match (column, id) {
        (ColumnValues::Integers(values), ExternalId::Integer(id)) => values.push(*id),
        (ColumnValues::Texts(texts), id) => texts.push(id),
        _ => unreachable!("a column of integers is made where all ids are"),
    }
}

pub(super) fn push_place(column: &mut ColumnValues, place: Option<usize>) {
    if let ColumnValues::Places(places) = column {
        places.push(place.map(|place| i32::try_from(place).unwrap_or(i32::MAX)));
    }
}

pub(super) fn push_number(column: &mut ColumnValues, number: Option<f32>) {
    if let ColumnValues::Numbers(numbers) = column {
        numbers.push(number);
    }
}

impl RecallAll<'_> {
    /// Writes a file of the columns `user`, `item`, `rank` (from 1), `score` and `reason`, of the
    /// channel that ranks the item best: CSV or, with the feature `parquet`, Parquet, whichever the
    /// file's name ends in. Ids are as they were given. In Parquet they are integers where all of
    /// the users' data, or of the catalog, are, and text otherwise. A reason has the title of the
    /// item that it names where the retriever's [table of items](Retriever::items) has one.
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
        let retriever = self.retriever;
        self.write_table(path.as_ref(), &table, |batch, rows, columns| {
            retriever.add_recalled(batch, rows, columns);
        })
    }

    pub(super) fn first_columns(&self) -> Vec<(String, ColumnValues)> {
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

    pub(super) fn write_table(
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
}

impl Retriever {
    fn add_recalled(&self, batch: &Batch<'_>, rows: Range<usize>, columns: &mut [ColumnValues]) {
        let [user, item, rank, score, reason] = columns else {
            return;
        };
        for row in rows {
            let person = &batch.people[row];
            let names = self.id_names(&person.user.segments);
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
        match self.channel_names().get(best.channel) {
            Some(channel) => format!("{channel}: {because}"),
            None => because.to_string(),
        }
    }
}
