//! MovieLens: its editions, its titles and genres, and (feature `download`) its archives.

#[cfg(feature = "download")]
mod download;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::columns::bare;
use super::id::ExternalId;
use super::items::{AttributeKind, ItemReader, Items};
use crate::{Error, ErrorKind, Result};

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

/// A movie's title and genres.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Movie {
    /// Its title, with the year.
    pub title: String,
    /// Its genres; none where they are not known.
    pub genres: Vec<String>,
}

/// The titles and genres that lie beside a file of ratings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Movies {
    movies: HashMap<ExternalId, Movie>,
    passed_over: Option<PathBuf>,
}

/// How a file of movies is written.
struct MovieFile {
    name: &'static str,
    header: Option<&'static [&'static str]>,
    delimiter: &'static str,
    columns: usize,
    /// Reads a line; `None` when it lacks columns.
    parse: fn(&str) -> Option<(ExternalId, Movie)>,
}

const FILES: [MovieFile; 3] = [
    MovieFile {
        name: "movies.csv",
        header: Some(&["movieId", "title", "genres"]),
        delimiter: ",",
        columns: 3,
        parse: csv_line,
    },
    MovieFile {
        name: "movies.dat",
        header: None,
        delimiter: "::",
        columns: 3,
        parse: dat_line,
    },
    MovieFile {
        name: "u.item",
        header: None,
        delimiter: "|",
        columns: 5 + U_ITEM_GENRES.len(),
        parse: u_item_line,
    },
];

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

impl Movies {
    /// Reads `movies.csv`, `movies.dat` or `u.item` from the folder of a file of ratings; without
    /// any of them, nothing is known. A file that is called so and isn't MovieLens's, as its header
    /// or all of its lines say, is [passed over](Self::passed_over).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file is there and can't be read, and [`ErrorKind::ColumnCount`]
    /// for a line of MovieLens's without its columns.
    pub fn beside(ratings: impl AsRef<Path>) -> Result<Self> {
        let folder = ratings.as_ref().parent().unwrap_or(Path::new("."));
        let mut passed_over = None;
        for file in &FILES {
            let path = folder.join(file.name);
            if !path.is_file() {
                continue;
            }
            match Self::read(&path, file)? {
                Some(movies) => {
                    return Ok(Self {
                        movies,
                        passed_over,
                    });
                }
                None => passed_over = passed_over.or(Some(path)),
            }
        }
        Ok(Self {
            movies: HashMap::new(),
            passed_over,
        })
    }

    /// The movies of a file; `None` when it is something else that is called so.
    fn read(path: &Path, file: &MovieFile) -> Result<Option<HashMap<ExternalId, Movie>>> {
        let contents = fs::read(path).map_err(Error::io("read", path))?;
        // The old editions are in Latin-1, whose bytes are the first characters of Unicode.
        let text = String::from_utf8(contents).unwrap_or_else(|error| {
            error
                .as_bytes()
                .iter()
                .map(|&byte| char::from(byte))
                .collect()
        });
        let text = text.trim_start_matches('\u{feff}');
        let lines = (1..).zip(text.lines());
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        let mut lines = lines.peekable();
        let mut has_header = false;
        if let (Some(header), Some((_, first))) = (file.header, lines.peek()) {
            let mut names = first.split(',').map(bare);
            // There may be more columns, or rows from the first line on, whose ids are numbers.
            has_header = names.by_ref().take(header.len()).eq(header.iter().copied());
            let id = first.split(',').next().map(bare);
            if !has_header && id.is_none_or(|id| id.parse::<u64>().is_err()) {
                return Ok(None);
            }
        }
        if has_header {
            lines.next();
        }
        let mut movies = HashMap::new();
        let mut bad = None;
        for (number, line) in lines {
            match (file.parse)(line).filter(|(id, _)| !id.is_missing()) {
                Some((id, movie)) => {
                    movies.insert(id, movie);
                }
                None => bad = bad.or(Some((number, line))),
            }
        }
        match bad {
            Some(_) if !has_header && (movies.is_empty() || file.header.is_some()) => Ok(None),
            Some((line, text)) => Err(ErrorKind::ColumnCount {
                path: path.to_owned(),
                line,
                expected: file.columns,
                found: text.split(file.delimiter).count(),
            }
            .into()),
            None => Ok(Some(movies)),
        }
    }

    /// A file that is called like one of movies and isn't MovieLens's, if one lies beside the
    /// ratings: nothing was read of it.
    pub fn passed_over(&self) -> Option<&Path> {
        self.passed_over.as_deref()
    }

    /// What is known of a movie.
    pub fn get(&self, id: &ExternalId) -> Option<&Movie> {
        self.movies.get(id)
    }

    /// A movie's title, or its id where none is known.
    pub fn title(&self, id: &ExternalId) -> String {
        self.get(id)
            .map_or_else(|| id.to_string(), |movie| movie.title.clone())
    }

    /// All that is known, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ExternalId, &Movie)> {
        self.movies.iter()
    }

    /// How many movies are known.
    pub fn len(&self) -> usize {
        self.movies.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.movies.is_empty()
    }
}

fn genres(text: &str) -> Vec<String> {
    let known = text
        .split('|')
        .filter(|genre| *genre != "(no genres listed)");
    known.map(|genre| genre.trim().to_owned()).collect()
}

fn csv_line(line: &str) -> Option<(ExternalId, Movie)> {
    let mut record = csv::StringRecord::new();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.as_bytes());
    if !reader.read_record(&mut record).ok()? {
        return None;
    }
    let title = record.get(1)?.to_owned();
    Some((
        record.get(0)?.into(),
        Movie {
            title,
            genres: genres(record.get(2)?),
        },
    ))
}

fn dat_line(line: &str) -> Option<(ExternalId, Movie)> {
    let mut columns = line.split("::");
    let id = columns.next()?.into();
    let title = columns.next()?.to_owned();
    Some((
        id,
        Movie {
            title,
            genres: genres(columns.next()?),
        },
    ))
}

fn u_item_line(line: &str) -> Option<(ExternalId, Movie)> {
    let columns: Vec<&str> = line.split('|').collect();
    let flags = columns.get(5..5 + U_ITEM_GENRES.len())?;
    let set = U_ITEM_GENRES
        .iter()
        .zip(flags)
        .filter(|(_, flag)| **flag == "1");
    let movie = Movie {
        title: (*columns.get(1)?).to_owned(),
        genres: set.map(|(genre, _)| (*genre).to_owned()).collect(),
    };
    Some(((*columns.first()?).into(), movie))
}
