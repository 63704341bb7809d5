//! Titles for the page on which people ask.

use std::collections::HashMap;
use std::sync::Arc;

use seqrec::data::{ExternalId, Items};

/// Titles by id and by their text; there may be none.
#[derive(Debug, Default)]
pub struct Titles {
    items: Option<Arc<Items>>,
    /// Those of items that were added since.
    added: HashMap<ExternalId, String>,
    /// Titles in small letters, with whose they are.
    lowercase: Vec<(String, ExternalId)>,
}

impl Titles {
    /// The titles of a table.
    pub fn new(items: Arc<Items>) -> Self {
        let title = |id: &ExternalId| Some((items.known_title(id)?.to_lowercase(), id.clone()));
        let mut lowercase: Vec<(String, ExternalId)> = items.ids().filter_map(title).collect();
        // The same answers at every start.
        lowercase.sort_unstable();
        Self {
            items: Some(items),
            added: HashMap::new(),
            lowercase,
        }
    }

    /// Adds the titles of items that have none here, where there are titles at all.
    pub fn add(&mut self, items: &Items) {
        if self.items.is_none() {
            return;
        }
        for id in items.ids() {
            if let Some(title) = items.known_title(id).filter(|_| self.of(id).is_none()) {
                self.lowercase.push((title.to_lowercase(), id.clone()));
                self.added.insert(id.clone(), title.to_owned());
            }
        }
        self.lowercase.sort_unstable();
    }

    pub fn count(&self) -> usize {
        self.lowercase.len()
    }

    /// An item's title.
    pub fn of(&self, id: &ExternalId) -> Option<&str> {
        let items = self.items.as_ref()?;
        items
            .known_title(id)
            .or_else(|| self.added.get(id).map(String::as_str))
    }

    /// Items whose titles hold a text, those first that begin with it.
    pub fn find(&self, text: &str, most: usize) -> Vec<&ExternalId> {
        let text = text.to_lowercase();
        let (first, more): (Vec<_>, Vec<_>) = (self.lowercase.iter())
            .filter(|(title, _)| title.contains(&text))
            .partition(|(title, _)| title.starts_with(&text));
        let found = first.into_iter().chain(more).take(most);
        found.map(|(_, id)| id).collect()
    }
}
