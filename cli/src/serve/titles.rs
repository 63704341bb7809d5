//! Titles for the page on which people ask.

use std::sync::Arc;

use seqrec::data::{ExternalId, Items};

/// Titles by id and by their text; there may be none.
#[derive(Debug, Default)]
pub struct Titles {
    items: Option<Arc<Items>>,
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
            lowercase,
        }
    }

    pub fn count(&self) -> usize {
        self.lowercase.len()
    }

    /// An item's title.
    pub fn of(&self, id: &ExternalId) -> Option<&str> {
        self.items.as_ref()?.known_title(id)
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
