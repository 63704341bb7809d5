//! MovieLens: its editions, its titles and genres, and (feature `download`) its archives.

#[cfg(feature = "download")]
mod download;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::items::{AttributeKind, ItemReader, Items};
use crate::{Error, Result};

#[cfg(feature = "download")]
pub use download::Downloader;

/// An edition of MovieLens.
///
/// Harper & Konstan, [The MovieLens Datasets: History and
/// Context](https://doi.org/10.1145/2827872).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edition {
    /// 100,000 ratings, the recent small sample.
    LatestSmall,
    /// 100,000 ratings of 1998.
    Size100K,
    /// 1 million ratings of 2003.
    Size1M,
    /// 10 million ratings of 2009.
    Size10M,
    /// 20 million ratings of 2015.
    Size20M,
    /// 25 million ratings of 2019.
    Size25M,
    /// 32 million ratings of 2024.
    Size32M,
}

impl Edition {
    /// All editions.
    pub const ALL: [Self; 7] = [
        Self::LatestSmall,
        Self::Size100K,
        Self::Size1M,
        Self::Size10M,
        Self::Size20M,
        Self::Size25M,
        Self::Size32M,
    ];

    /// The name of its archive, without `.zip`.
    pub fn archive(self) -> &'static str {
        match self {
            Self::LatestSmall => "ml-latest-small",
            Self::Size100K => "ml-100k",
            Self::Size1M => "ml-1m",
            Self::Size10M => "ml-10m",
            Self::Size20M => "ml-20m",
            Self::Size25M => "ml-25m",
            Self::Size32M => "ml-32m",
        }
    }

    /// The file of ratings inside its folder.
    pub fn ratings_file(self) -> &'static str {
        match self {
            Self::Size100K => "u.data",
            Self::Size1M | Self::Size10M => "ratings.dat",
            _ => "ratings.csv",
        }
    }

    /// The file of titles and genres inside its folder.
    pub fn movies_file(self) -> &'static str {
        match self {
            Self::Size100K => "u.item",
            Self::Size1M | Self::Size10M => "movies.dat",
            _ => "movies.csv",
        }
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.archive().trim_start_matches("ml-"))
    }
}

impl FromStr for Edition {
    type Err = Error;

    /// `latest-small`, `100k`, `1m`, `10m`, `20m`, `25m` or `32m`.
    fn from_str(name: &str) -> Result<Self> {
        let edition = Self::ALL
            .into_iter()
            .find(|edition| edition.to_string() == name);
        edition.ok_or_else(|| {
            let names = Self::ALL.map(|edition| edition.to_string()).join(", ");
            Error::invalid("size", name, format!("must be one of {names}"))
        })
    }
}

/// The movies that lie beside a file of ratings, `movies.csv`, `movies.dat` or `u.item`, with the
/// columns `title` and `genres`; `None` where none of these is there.
///
/// # Errors
/// As [`ItemReader::read`], also for a file that is called so and is something else.
pub fn movies(ratings: impl AsRef<Path>) -> Result<Option<Items>> {
    let folder = ratings.as_ref().parent().unwrap_or(Path::new("."));
    let names = ["movies.csv", "movies.dat", "u.item"];
    let path = names.map(|name| folder.join(name));
    let Some(path) = path.into_iter().find(|path| path.is_file()) else {
        return Ok(None);
    };
    // The old editions are in Latin-1.
    let reader = ItemReader::new(&path, "movieId")
        .missing(NO_GENRES)
        .latin1();
    if path.ends_with(names[0]) {
        return reader.tags("genres", "|").read().map(Some);
    }
    if path.ends_with(names[1]) {
        let reader = reader
            .columns(["movieId", "title", "genres"])
            .delimiter("::");
        return reader.tags("genres", "|").read().map(Some);
    }
    let columns = ["movieId", "title", "released", "released on video", "url"];
    let columns = columns.into_iter().chain(U_ITEM_GENRES);
    let reader = reader.columns(columns).delimiter("|").quotes(false);
    let flags = reader.kinds(U_ITEM_GENRES, AttributeKind::Boolean).read()?;
    let genres = flags.ids().map(|id| {
        let has = |genre: &&str| Ok(flags.boolean(id, genre)? == Some(true));
        let genres = U_ITEM_GENRES.into_iter();
        genres
            .filter_map(|genre| has(&genre).map(|has| has.then_some(genre)).transpose())
            .collect()
    });
    let genres: Vec<Vec<&str>> = genres.collect::<Result<_>>()?;
    flags
        .without(&U_ITEM_GENRES)
        .with_tags("genres", genres)
        .map(Some)
}

/// The genre of movies without one.
const NO_GENRES: &str = "(no genres listed)";

/// The genres of `u.item`, in the order of its columns.
const U_ITEM_GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];
