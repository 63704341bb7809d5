//! Titles for the page on which people ask.

use std::error::Error;
use std::path::Path;

use seqrec::data::ExternalId;
use seqrec::data::movielens::Movies;

/// Titles by id and by their text; there may be none.
#[derive(Debug, Default)]
pub struct Titles {
    movies: Movies,
    /// Titles in small letters, with whose they are.
    lowercase: Vec<(String, ExternalId)>,
}

impl Titles {
    /// Reads `movies.csv`, `movies.dat` or `u.item`.
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let movies = Movies::beside(path)?;
        if movies.is_empty() {
            let path = path.display();
            let reason = "name MovieLens's movies.csv, movies.dat or u.item, or a file beside it";
            return Err(format!("there are no titles at {path}: {reason}").into());
        }
        let mut lowercase: Vec<(String, ExternalId)> = (movies.iter())
            .map(|(id, movie)| (movie.title.to_lowercase(), id.clone()))
            .collect();
        // The same answers at every start.
        lowercase.sort_unstable();
        Ok(Self { movies, lowercase })
    }

    pub fn count(&self) -> usize {
        self.movies.len()
    }

    /// An item's title.
    pub fn of(&self, id: &ExternalId) -> Option<&str> {
        self.movies.get(id).map(|movie| movie.title.as_str())
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
