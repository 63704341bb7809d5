//! Where the interactions come from.

use std::error::Error;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use seqrec::data::movielens::Downloader;
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{BadRows, ExternalId, InteractionReader, Interactions, Items};

use super::options::Options;
use crate::item_table::movies_beside;

/// Interactions, with what is known of their items.
pub struct Source {
    pub interactions: Interactions,
    pub titles: Titles,
}

/// What is known of items.
pub struct Titles(Option<Items>);

impl Source {
    /// Takes the file that was asked for, or MovieLens from the cache or the network, or
    /// generated data.
    pub fn find(options: &Options) -> Result<Self, Box<dyn Error>> {
        if options.generated {
            return Self::generated();
        }
        if let Some(path) = &options.data {
            return Self::read(path, options);
        }
        match fetch(options) {
            Ok(path) => Self::read(&path, options),
            Err(error) if matches!(error.kind(), seqrec::ErrorKind::Download { .. }) => {
                eprintln!("{error}; running on generated data instead");
                Self::generated()
            }
            Err(error) => Err(error.into()),
        }
    }

    fn generated() -> Result<Self, Box<dyn Error>> {
        let synthetic = Synthetic::new();
        Ok(Self {
            interactions: synthetic.generate()?,
            titles: Titles(Some(synthetic.movies()?)),
        })
    }

    fn read(path: &Path, options: &Options) -> Result<Self, Box<dyn Error>> {
        let reader = match &options.format {
            Some(format) => InteractionReader::new(path, format.clone()),
            None => InteractionReader::detect(path)?,
        };
        let bad_rows = if options.skip_bad_rows {
            BadRows::Skip
        } else {
            BadRows::Fail
        };
        println!("{}: read as {}", path.display(), reader.format());
        let interactions = reader.bad_rows(bad_rows).read()?;
        if interactions.skipped_rows() > 0 {
            eprintln!(
                "{} rows could not be read and were left out",
                interactions.skipped_rows()
            );
        }
        let movies = movies_beside(path, "ids stand for titles");
        Ok(Self {
            interactions,
            titles: Titles(movies),
        })
    }
}

impl Titles {
    /// An item's title.
    pub fn title(&self, id: &ExternalId) -> String {
        let movies = self.0.as_ref();
        movies.map_or_else(|| id.to_string(), |movies| movies.title(id))
    }

    /// What an item is colored by: its first genre.
    pub fn group(&self, id: &ExternalId) -> Option<String> {
        let genres = self.0.as_ref()?.labels(id, "genres").ok()?;
        genres.first().map(|&genre| genre.to_owned())
    }
}

/// The file of ratings of the edition that was asked for.
fn fetch(options: &Options) -> seqrec::Result<PathBuf> {
    let cache = dirs::cache_dir()
        .unwrap_or_else(|| PathBuf::from(".cache"))
        .join("seqrec");
    let style = ProgressStyle::with_template("{spinner} {msg}: {bytes}, {bytes_per_sec}")
        .expect("the template is right");
    let bar = ProgressBar::no_length().with_style(style);
    bar.set_message(format!("fetching MovieLens {}", options.size));
    let fetched = Downloader::default().fetch(options.size, cache, |come| bar.set_position(come));
    bar.finish_and_clear();
    fetched
}
