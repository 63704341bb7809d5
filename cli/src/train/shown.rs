//! Some test users, whose histories are shown beside what is recalled.

use seqrec::Result;
use seqrec::data::{Case, ExternalId, ItemIndex, Split};
use seqrec::recall::{RecallRequest, Recalled, Retriever, Users};
use serde_json::{Value, json};

use crate::data::Data;
use crate::results::Results;

/// How many titles are shown of a history and of what is recalled for it.
const TITLES: usize = 8;
const WIDTH: usize = 44;

/// Prints three test users' last items beside what is recalled for them, and gives them back.
pub fn show(
    results: Results,
    data: &Data,
    split: &Split,
    retriever: &Retriever,
) -> Result<Vec<Value>> {
    let first: Vec<usize> = split.test.iter().take(3).map(|case| case.number).collect();
    let cases = split.test.filtered(|case| first.contains(&case.number));
    // As users of the data, with all that models look at: times, events and features.
    let users = Users::cases(&split.train, &cases)?;
    let recalled = retriever.recall_all(users, &RecallRequest::for_everyone(TITLES))?;
    (cases.iter().zip(recalled))
        .map(|(case, recalled)| {
            let (_, recalled) = recalled?;
            let shown = Shown::of(&case, data, split, &recalled);
            shown.print(results, case.number);
            Ok(shown.record())
        })
        .collect()
}

/// What is shown of a user.
struct Shown {
    /// Of the whole history.
    length: usize,
    /// The titles of its last items.
    last: Vec<String>,
    /// Titles, and whether they were taken later.
    recalled: Vec<(String, bool)>,
}

impl Shown {
    fn of(case: &Case<'_>, data: &Data, split: &Split, recalled: &Recalled) -> Self {
        let id = |item: ItemIndex| -> &ExternalId {
            let id = split.catalog().id_of(item);
            id.expect("cases hold items of the catalog")
        };
        let history = case.user.items();
        let is_taken = |found: &ExternalId| case.labels.iter().any(|&label| id(label) == found);
        let last = &history[history.len().saturating_sub(TITLES)..];
        Self {
            length: history.len(),
            last: last.iter().map(|&item| data.title(id(item))).collect(),
            recalled: (recalled.items.iter())
                .map(|item| (data.title(&item.id), is_taken(&item.id)))
                .collect(),
        }
    }

    fn print(&self, results: Results, number: usize) {
        results.text(format_args!(
            "\nuser {number}: the last of {} items, and what is recalled (* taken later)",
            self.length
        ));
        let cut = |text: &str| -> String { text.chars().take(WIDTH).collect() };
        for place in 0..TITLES {
            let seen = self.last.get(place).map_or("", String::as_str);
            let found = self
                .recalled
                .get(place)
                .map_or_else(String::new, |(title, is_taken)| {
                    format!("{} {}", if *is_taken { "*" } else { " " }, cut(title))
                });
            results.text(format_args!("  {:<WIDTH$} | {found}", cut(seen)));
        }
    }

    fn record(&self) -> Value {
        let recalled = (self.recalled.iter())
            .map(|(title, taken)| json!({"title": title, "taken": taken}))
            .collect::<Vec<_>>();
        json!({"length": self.length, "history": self.last, "recalled": recalled})
    }
}
