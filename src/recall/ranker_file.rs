//! Files of rows that a ranker behind the recall learns from or scores.

use std::ops::Range;
use std::path::Path;
use std::slice::IterMut;

use crate::Result;
use crate::data::{Cell, ExternalId, ItemIndex};
use crate::table::{ColumnValues, Table, Texts};

use super::candidates::Reason;
use super::catalog_items::CatalogItems;
use super::found::Found;
use super::recall_all::{Batch, RecallAll, RecallCounts};
use super::recall_file::{push_id, push_number, push_place};
use super::retriever::Retriever;
use super::users::{ItemTags, Person};

impl<'a> RecallAll<'a> {
    /// Writes the rows that a ranker behind the recall learns from or scores, as
    /// [`write`](Self::write) writes its own. The columns are
    ///
    /// - `user`, `item`, `rank` and `score`;
    /// - `label` after the item in rows of [cases](super::Users::cases): 1 where the item was held
    ///   out of the user, and 0 elsewhere;
    /// - `CHANNEL_rank` and `CHANNEL_score` of each channel of a stage, and of the fallback;
    /// - `item_TAG`, the tags of items in the users' training data, and `item_COLUMN`, the columns
    ///   of the retriever's [table of items](Retriever::items): numbers, dates as seconds since
    ///   1970, 1 for true and 0 for false, and texts and tags as they are, with `|` between tags;
    /// - `user_FEATURE`, the features of users.
    ///
    /// A missing value is an empty field, and null in Parquet. So is the rank of a channel that did
    /// not find the item.
    ///
    /// # Errors
    /// As [`write`](Self::write), and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when two columns would have one
    /// name.
    pub fn write_for_ranker(self, path: impl AsRef<Path>) -> Result<RecallCounts> {
        let ranked = RankerRows {
            retriever: self.retriever,
            labeled: self.users.have_labels(),
            tags: ItemTags::of(&self.users, self.retriever.catalog()),
            items: self.retriever.known_items().0,
            user_features: self.user_features().count(),
        };
        let mut columns = self.first_columns();
        if ranked.labeled {
            columns.insert(2, ("label".to_owned(), ColumnValues::Places(Vec::new())));
        }
        columns.extend(ranked.columns());
        let features = self.user_features().map(|name| format!("user_{name}"));
        columns.extend(features.map(|name| (name, ColumnValues::Numbers(Vec::new()))));
        let table = Table {
            columns,
            begins: match ranked.labeled {
                true => "user,item,label,rank,score",
                false => "user,item,rank,score",
            },
            mark: "seqrec.ranker",
        };
        self.write_table(path.as_ref(), &table, |batch, rows, columns| {
            ranked.add(batch, rows, columns);
        })
    }

    /// The names of users' features, where the users have any.
    fn user_features(&self) -> impl Iterator<Item = &String> {
        let data = self.users.data();
        data.into_iter()
            .flat_map(|data| data.catalog().user_features())
    }
}

/// The facts that all rows of a file are made by.
struct RankerRows<'a> {
    retriever: &'a Retriever,
    /// Whether rows say what was held out.
    labeled: bool,
    tags: Option<ItemTags>,
    items: Option<&'a CatalogItems>,
    user_features: usize,
}

impl RankerRows<'_> {
    /// The columns of channels and items.
    fn columns(&self) -> Vec<(String, ColumnValues)> {
        let mut columns = Vec::new();
        for name in self.retriever.channel_names() {
            columns.push((format!("{name}_rank"), ColumnValues::Places(Vec::new())));
            columns.push((format!("{name}_score"), ColumnValues::Numbers(Vec::new())));
        }
        for name in self.tags.iter().flat_map(ItemTags::names) {
            columns.push((format!("item_{name}"), ColumnValues::Numbers(Vec::new())));
        }
        let Some(items) = self.items else {
            return columns;
        };
        // The kinds of values are those of a row that has none.
        let no_row = items.cells(ItemIndex::PADDING);
        for ((name, _), cell) in items.items.columns().zip(no_row) {
            let values = match cell {
                Cell::Number(_) => ColumnValues::Doubles(Vec::new()),
                Cell::Boolean(_) => ColumnValues::Places(Vec::new()),
                Cell::Text(_) => ColumnValues::Labels(Texts::default()),
            };
            columns.push((format!("item_{name}"), values));
        }
        columns
    }

    fn add(&self, batch: &Batch<'_>, rows: Range<usize>, columns: &mut [ColumnValues]) {
        for row in rows {
            let person = &batch.people[row];
            let mut place = 0;
            batch.lists.each(row, |item, score, found| {
                let Some(id) = self.retriever.catalog().id_of(item) else {
                    return;
                };
                place += 1;
                let mut row = Row(columns.iter_mut());
                row.id(&person.id);
                row.id(id);
                if self.labeled {
                    row.place(Some(usize::from(person.labels.contains(&item))));
                }
                row.place(Some(place));
                row.number(Some(score));
                self.add_channels(found, &mut row);
                self.add_item(item, &mut row);
                self.add_user(person, &mut row);
            });
        }
    }

    fn add_channels(&self, found: &[Found<usize, Reason>], row: &mut Row<'_>) {
        for channel in 0..self.retriever.channel_names().len() {
            let found = found.iter().find(|found| found.channel == channel);
            row.place(found.map(|found| found.rank));
            row.number(found.map(|found| found.score));
        }
    }

    fn add_item(&self, item: ItemIndex, row: &mut Row<'_>) {
        if let Some(tags) = &self.tags {
            for tag in 0..tags.names().len() {
                row.number(tags.get(item, tag));
            }
        }
        if let Some(items) = self.items {
            items.cells(item).for_each(|cell| row.cell(&cell));
        }
    }

    fn add_user(&self, person: &Person, row: &mut Row<'_>) {
        for feature in 0..self.user_features {
            row.number(person.user.features.get(feature).copied());
        }
    }
}

/// A row that is added to columns, from the first to the last.
struct Row<'c>(IterMut<'c, ColumnValues>);

impl Row<'_> {
    fn push(&mut self, push: impl FnOnce(&mut ColumnValues)) {
        if let Some(column) = self.0.next() {
            push(column);
        }
    }

    fn id(&mut self, id: &ExternalId) {
        self.push(|column| push_id(column, id));
    }

    fn place(&mut self, place: Option<usize>) {
        self.push(|column| push_place(column, place));
    }

    fn number(&mut self, number: Option<f32>) {
        self.push(|column| push_number(column, number));
    }

    fn cell(&mut self, cell: &Cell<'_>) {
        self.push(|column| match (column, cell) {
            (ColumnValues::Doubles(values), Cell::Number(number)) => values.push(*number),
            (ColumnValues::Places(values), Cell::Boolean(truth)) => {
                values.push(truth.map(i32::from));
            }
            (ColumnValues::Labels(texts), Cell::Text(text)) => texts.push(text),
            _ => unreachable!("a column is made for the kind of its cells"),
        });
    }
}
