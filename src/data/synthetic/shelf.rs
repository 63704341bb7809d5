//! The items of generated data: single titles and series, in genres.

/// The parts of the series of a block of items; those of one part are single titles. The order
/// differs from block to block, so that each genre has some of every length.
const PARTS: [usize; 7] = [1, 1, 1, 2, 3, 6, 10];
const BLOCK: usize = 24;

const GENRES: [&str; 20] = [
    "Crime",
    "Thriller",
    "Mystery",
    "Horror",
    "Fantasy",
    "Adventure",
    "Sci-Fi",
    "Space",
    "Science",
    "Nature",
    "Travel",
    "Cooking",
    "Family",
    "Comedy",
    "Romance",
    "Drama",
    "History",
    "War",
    "Western",
    "Music",
];

const FIRST: [&str; 29] = [
    "Silent",
    "Hidden",
    "Golden",
    "Broken",
    "Distant",
    "Crimson",
    "Frozen",
    "Endless",
    "Secret",
    "Burning",
    "Little",
    "Crooked",
    "Hollow",
    "Wandering",
    "Blue",
    "Forgotten",
    "Second",
    "Paper",
    "Bright",
    "Lonely",
    "Northern",
    "Glass",
    "Quiet",
    "Iron",
    "Borrowed",
    "Last",
    "Velvet",
    "Stolen",
    "Wild",
];

const SECOND: [&str; 31] = [
    "Harbor",
    "Garden",
    "Empire",
    "Mirror",
    "Island",
    "Letter",
    "Winter",
    "Station",
    "Orchard",
    "River",
    "Kingdom",
    "Lighthouse",
    "Stranger",
    "Summer",
    "Bridge",
    "Forest",
    "Promise",
    "Carnival",
    "Shadow",
    "Journey",
    "House",
    "Voyage",
    "Clock",
    "Valley",
    "Song",
    "Map",
    "Tower",
    "Market",
    "Horizon",
    "Key",
    "Storm",
];

/// All series and single titles, numbered from 0. Within a genre, lower numbers are more popular.
pub struct Shelf {
    items: usize,
    series: usize,
    pub genres: usize,
}

/// The place of an item.
struct Spot {
    series: usize,
    part: usize,
}

impl Shelf {
    pub fn new(items: usize, genres: usize) -> Self {
        let whole = items / BLOCK * PARTS.len();
        let begun = starts(items / BLOCK).filter(|&(start, _)| start < items);
        let series = whole + begun.count();
        Self {
            items,
            series,
            genres: genres.clamp(1, series.max(1)),
        }
    }

    /// The series and part of an item, whose numbers begin with 1.
    fn find(&self, item: i64) -> Option<Spot> {
        let place = usize::try_from(item).ok()?.checked_sub(1)?;
        if place >= self.items {
            return None;
        }
        let block = place / BLOCK;
        let within = starts(block).enumerate();
        let mut within =
            within.filter(|&(_, (start, parts))| (start..start + parts).contains(&place));
        let (number, (start, _)) = within.next()?;
        let (series, part) = (block * PARTS.len() + number, place - start);
        Some(Spot { series, part })
    }

    fn place(&self, series: usize) -> (usize, usize) {
        let mut of_block = starts(series / PARTS.len());
        of_block.nth(series % PARTS.len()).unwrap_or((0, 1))
    }

    /// How many parts a series has; the last one may be cut short.
    pub fn parts(&self, series: usize) -> usize {
        let (start, parts) = self.place(series);
        parts.min(self.items.saturating_sub(start))
    }

    /// The number of the item that is a part of a series.
    pub fn item(&self, series: usize, part: usize) -> i64 {
        (self.place(series).0 + part + 1) as i64
    }

    /// The title of an item.
    pub fn title(&self, item: i64) -> Option<String> {
        let Spot { series, part } = self.find(item)?;
        let title = title(series);
        Some(match self.parts(series) {
            1 => title,
            _ => format!("{title}, part {}", part + 1),
        })
    }

    /// The name of an item's genre.
    pub fn genre(&self, item: i64) -> Option<String> {
        Some(genre_name(self.genre_of(self.find(item)?.series)))
    }

    /// Whether an item is of a genre.
    pub fn is_of(&self, item: i64, genre: usize) -> bool {
        let spot = self.find(item);
        spot.is_some_and(|spot| self.genre_of(spot.series) == genre)
    }

    pub fn genre_of(&self, series: usize) -> usize {
        series % self.genres
    }

    /// How many series a genre has, at least one.
    pub fn of_genre(&self, genre: usize) -> usize {
        (self.series - genre).div_ceil(self.genres)
    }

    /// The series of a genre that is so popular, from 0, the most popular.
    pub fn ranked(&self, genre: usize, rank: usize) -> usize {
        rank * self.genres + genre
    }

    /// What belongs to a series when it is finished: another one of its genre.
    pub fn companion(&self, series: usize) -> usize {
        let genre = self.genre_of(series);
        let rank = (series / self.genres * 5 + 3) % self.of_genre(genre);
        self.ranked(genre, rank)
    }
}

/// The first item, from 0, and the parts of each series of a block.
fn starts(block: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = (0..PARTS.len()).map(move |number| PARTS[(number + block) % PARTS.len()]);
    parts.scan(block * BLOCK, |next, parts| {
        let start = *next;
        *next += parts;
        Some((start, parts))
    })
}

fn genre_name(genre: usize) -> String {
    let name = GENRES[genre % GENRES.len()];
    match genre / GENRES.len() {
        0 => name.to_owned(),
        again => format!("{name} {}", again + 1),
    }
}

/// Each pair of words comes once before a number is added, since neither list's length divides the
/// other's.
fn title(series: usize) -> String {
    let (first, second) = (FIRST[series % FIRST.len()], SECOND[series % SECOND.len()]);
    match series / (FIRST.len() * SECOND.len()) {
        0 => format!("The {first} {second}"),
        again => format!("The {first} {second} ({})", again + 1),
    }
}
