//! MovieLens: its editions, its titles and genres, and (feature `download`) its archives.

#[cfg(feature = "download")]
mod download;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::id::ExternalId;
use crate::{Error, Result};

#[cfg(feature = "download")]
pub use download::Downloader;

/// An edition of MovieLens.
///
/// Harper & Konstan, [The MovieLens Datasets: History and
/// Context](https://doi.org/10.1145/2827872).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A movie's title and genres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movie {
    /// Its title, with the year.
    pub title: String,
    /// Its genres; none where they are not known.
    pub genres: Vec<String>,
}

/// The titles and genres that lie beside a file of ratings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Movies(HashMap<ExternalId, Movie>);

/// Reads a line of a file of movies; `None` when it lacks columns.
type LineParser = fn(&str) -> Option<(ExternalId, Movie)>;

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
    /// any of them, nothing is known.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is there and can't be read, and [`Error::ColumnCount`] for a
    /// line without its columns.
    pub fn beside(ratings: impl AsRef<Path>) -> Result<Self> {
        let folder = ratings.as_ref().parent().unwrap_or(Path::new("."));
        let readers: [(&str, LineParser); 3] = [
            ("movies.csv", csv_line),
            ("movies.dat", dat_line),
            ("u.item", u_item_line),
        ];
        let found = readers
            .into_iter()
            .map(|(name, line)| (folder.join(name), line));
        match found.into_iter().find(|(path, _)| path.exists()) {
            Some((path, line)) => Self::read(path, line),
            None => Ok(Self::default()),
        }
    }

    fn read(path: PathBuf, parse: LineParser) -> Result<Self> {
        let contents = fs::read(&path).map_err(Error::io("read", &path))?;
        // The old editions are in Latin-1, whose bytes are the first characters of Unicode.
        let text = String::from_utf8(contents).unwrap_or_else(|error| {
            error
                .as_bytes()
                .iter()
                .map(|&byte| char::from(byte))
                .collect()
        });
        let header = usize::from(text.starts_with("movieId,"));
        let mut movies = HashMap::new();
        for (number, line) in text.lines().enumerate().skip(header) {
            if line.trim().is_empty() {
                continue;
            }
            let (id, movie) = parse(line).ok_or_else(|| Error::ColumnCount {
                path: path.clone(),
                line: number as u64 + 1,
                expected: 3,
                found: 1,
            })?;
            movies.insert(id, movie);
        }
        Ok(Self(movies))
    }

    /// What is known of a movie.
    pub fn get(&self, id: &ExternalId) -> Option<&Movie> {
        self.0.get(id)
    }

    /// A movie's title, or its id where none is known.
    pub fn title(&self, id: &ExternalId) -> String {
        self.get(id)
            .map_or_else(|| id.to_string(), |movie| movie.title.clone())
    }

    /// All that is known, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ExternalId, &Movie)> {
        self.0.iter()
    }

    /// How many movies are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, contents: &[u8]) -> Result<Movies> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), contents).unwrap();
        Movies::beside(folder.path().join("ratings"))
    }

    #[test]
    fn titles_and_genres_of_each_edition() {
        let u_item = b"1|L\xe9on (1994)|01-Jan-1994||http|0|1|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0\n";
        let files: [(&str, &[u8]); 3] = [
            (
                "movies.csv",
                "movieId,title,genres\n1,\"Léon (1994)\",Action|Crime\n".as_bytes(),
            ),
            ("movies.dat", b"1::L\xe9on (1994)::Action|Crime\n"),
            ("u.item", u_item),
        ];
        for (name, contents) in files {
            let movies = read(name, contents).unwrap();
            let movie = movies.get(&1.into()).unwrap();
            assert_eq!(movie.title, "Léon (1994)", "{name}");
            assert_eq!(movie.genres, ["Action", "Crime"], "{name}");
        }
    }

    #[test]
    fn no_file_is_no_titles_and_a_bad_line_is_an_error() {
        let movies = read("other.txt", b"").unwrap();
        assert!(movies.is_empty());
        assert_eq!(movies.title(&7.into()), "7");
        let error = read("movies.csv", b"movieId,title,genres\n1,A,B\n2\n").unwrap_err();
        assert!(
            matches!(error, Error::ColumnCount { line: 3, .. }),
            "{error}"
        );
    }

    #[test]
    fn editions_are_named_as_they_are_asked_for() {
        for edition in Edition::ALL {
            assert_eq!(edition.to_string().parse::<Edition>().unwrap(), edition);
        }
        assert!("2m".parse::<Edition>().is_err());
    }
}
