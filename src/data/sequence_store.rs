//! Sequences in a file, for data that do not fit in memory.

mod file;
mod runs;
mod writer;

use std::path::{Path, PathBuf};

use super::dataset::{Dataset, Filters};
use super::training_data::TrainingData;
use crate::Result;

pub use writer::SequenceStoreWriter;

/// A data set whose sequences lie in a file: made once, in memory that does not depend on the
/// number of interactions, and mapped from then on.
///
/// Everything that takes a [`Dataset`] takes this one, and gives what it would give of the same
/// data in memory.
///
/// ```
/// use seqrec::data::{Filters, InteractionReader, Protocol, SequenceStore, Split};
///
/// # let home = tempfile::tempdir().unwrap();
/// # let (log, path) = (home.path().join("ratings.csv"), home.path().join("ratings.store"));
/// # std::fs::write(&log, "user,item,time\n1,7,1\n1,8,2\n1,9,3\n2,7,4\n").unwrap();
/// let mut writer = SequenceStore::create(&path, Filters::default())?;
/// writer.read(&InteractionReader::detect(&log)?)?;
/// writer.finish()?;
///
/// let store = SequenceStore::open(&path)?;
/// let split = Split::new(store.dataset(), Protocol::LeaveOneOut)?;
/// assert_eq!((split.train.sequences().len(), split.too_short), (1, 1));
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// What stays in memory: the catalog, and 4 to 36 bytes for each user, by the protocol; the file's
/// pages are the system's to keep or to drop. While a store is open, its file must not be written
/// to or cut short by anyone; a new store of the same name is no harm, since it is another file.
#[derive(Debug, Clone)]
pub struct SequenceStore {
    path: PathBuf,
    dataset: Dataset,
    skipped_rows: usize,
}

impl SequenceStore {
    /// Begins a store of the interactions that pass the filters. There is nothing at `path`, or
    /// what was there before, until it is [finished](SequenceStoreWriter::finish).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when there is a file at `path`
    /// that is no store, and [`ErrorKind::Io`](crate::ErrorKind::Io) when its folder can't be
    /// written.
    pub fn create(path: impl AsRef<Path>, filters: Filters) -> Result<SequenceStoreWriter> {
        SequenceStoreWriter::new(path.as_ref(), filters)
    }

    /// Opens a store, reading all of it once to see that it is whole.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it can't be read,
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) when it is no store or not whole, and
    /// [`ErrorKind::FormatVersion`](crate::ErrorKind::FormatVersion) when another version wrote it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (dataset, skipped_rows) = file::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            dataset,
            skipped_rows,
        })
    }

    /// Whether a file is a store, by how it begins. A pipe is none, and is not read.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be read.
    pub fn is_at(path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        Ok(path.is_file() && file::is_store(path)?)
    }

    /// The data set. The ids of its users are read when they are first asked for.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The data set alone, which keeps the file open.
    pub(crate) fn into_dataset(self) -> Dataset {
        self.dataset
    }

    /// Writes training data as a store: each span is a user's sequence. Returns the
    /// [checksum](Self::checksum).
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be written.
    pub(crate) fn write(path: &Path, data: &TrainingData) -> Result<u32> {
        writer::write_training_data(path, data)?;
        Self::checksum(path)
    }

    /// CRC-32 of a store's header, which has those of all that is in it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be read, and
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) when it begins with no whole header.
    pub(crate) fn checksum(path: &Path) -> Result<u32> {
        file::checksum(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows were left out when the store was made, because they could not be read (see
    /// [`BadRows::Skip`](super::BadRows::Skip)).
    pub fn skipped_rows(&self) -> usize {
        self.skipped_rows
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{BadRows, Format, Interaction, InteractionReader, Interactions, Repeats};
    use super::*;
    use crate::{Error, ErrorKind};

    /// Interactions whose users come in no order, with ties in time, repeats, low values, and users
    /// and items that are rare.
    fn log() -> Interactions {
        let mut state = 1u64;
        let mut draw = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        (0..6_000)
            .map(|_| {
                let user = draw(300);
                let most = 1 + draw(150);
                let item = draw(most);
                Interaction {
                    value: Some(draw(10) as f32 / 2.0),
                    ..Interaction::new(format!("user {user}"), item as i64, draw(40) as f64 - 3.5)
                }
            })
            .collect()
    }

    fn filters() -> [Filters; 5] {
        let all = Filters::default();
        [
            all,
            all.with_minimum_value(Some(3.0)),
            all.with_repeats(Repeats::CollapseRuns),
            all.with_repeats(Repeats::First).with_minimum_per_item(4),
            all.with_minimum_value(Some(1.0))
                .with_minimum_per_user(11)
                .with_minimum_per_item(15),
        ]
    }

    fn assert_same(store: &Dataset, memory: &Dataset) {
        assert_eq!(store.catalog(), memory.catalog());
        assert_eq!(store.sequences(), memory.sequences());
        for user in 0..=memory.users() {
            assert_eq!(store.user_id(user), memory.user_id(user));
        }
        let user = memory.users() / 2;
        let id = memory.user_id(user).unwrap();
        assert_eq!(store.user_of(id), Some(user));
    }

    #[test]
    fn a_store_is_the_data_set_in_memory_whatever_the_filters_and_runs() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log.store");
        for filters in filters() {
            let memory = Dataset::new(log(), filters).unwrap();
            for (runs, parts) in [(700, 1), (6_000, 7), (RUN_OF_ALL, 3)] {
                let mut writer = SequenceStore::create(&path, filters).unwrap();
                writer.rows_per_run = runs;
                let log = log();
                for part in 0..parts {
                    let rows = part * log.len() / parts..(part + 1) * log.len() / parts;
                    let mut some = log.clone();
                    some.keep_rows(|row| rows.contains(&row));
                    writer.append(some).unwrap();
                }
                let store = writer.finish().unwrap();
                assert_same(store.dataset(), &memory);
                // Nothing is left beside it.
                assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
                let opened = SequenceStore::open(&path).unwrap();
                assert_same(opened.dataset(), &memory);
            }
        }
    }

    const RUN_OF_ALL: usize = 1 << 20;

    /// Files are read in parts, which give what the whole file gives: with rows of their own number
    /// as time, quotes that only turn up in the end, bad rows, and sequences.
    #[test]
    fn files_in_parts_are_the_files() {
        let home = tempfile::tempdir().unwrap();
        let rows: String = (0..3_000)
            .map(|row| match row {
                row if row % 400 == 399 => "x,y\n".to_owned(),
                row => format!("{},{},{}\n", row % 71, row % 13, row % 7),
            })
            .collect();
        let sequences: String = (0..500)
            .map(|user| format!("u{user} {} {} 3 {}\n", user % 9, user % 5, user % 4))
            .collect();
        for (name, format, text) in [
            ("timed.csv", "user=0,item=1,time=2", rows.clone()),
            (
                "untimed.csv",
                "user=0,item=1,header=no",
                rows.replace(",y", ",y,,"),
            ),
            (
                "quoted.csv",
                "user=0,item=1,time=2",
                rows.clone() + "\"7\",\"a,b\",9\n1,2,x\n",
            ),
            ("sequences.txt", "sequences", sequences),
        ] {
            let log = home.path().join(name);
            fs::write(&log, text).unwrap();
            let format: Format = format.parse().unwrap_or(Format::Sequences);
            let reader = InteractionReader::new(&log, format).bad_rows(BadRows::Skip);
            let whole = reader.read().unwrap();
            let (mut joined, mut parts) = (Interactions::default(), 0);
            let mut take = |part: Interactions| {
                parts += 1;
                joined.append(part);
                Ok(())
            };
            reader.read_parts(300, &mut take).unwrap();
            assert!(parts > 1 || name != "sequences.txt", "{name}: {parts}");
            assert_eq!(joined.skipped_rows(), whole.skipped_rows(), "{name}");
            assert_eq!(joined.times(), whole.times(), "{name}");
            assert_eq!(joined.user_numbers(), whole.user_numbers(), "{name}");
            assert_eq!(joined.items(), whole.items(), "{name}");
            let path = home.path().join("log.store");
            let mut writer = SequenceStore::create(&path, Filters::default()).unwrap();
            writer.read(&reader).unwrap();
            let store = writer.finish().unwrap();
            assert_eq!(store.skipped_rows(), whole.skipped_rows(), "{name}");
            let memory = Dataset::new(whole, Filters::default()).unwrap();
            assert_same(store.dataset(), &memory);
        }
    }

    /// In parts as well, the bulk of the whole file says which times are odd, and what went into a
    /// store before the bulk was seen is an error.
    #[test]
    fn the_bulk_of_a_file_and_not_its_first_part_says_what_times_are() {
        let home = tempfile::tempdir().unwrap();
        let row = |row: usize, time: usize| format!("u{} {row} {time}\n", row % 7);
        let reader = |good: usize, odd: usize| {
            let rows = (0..5_000).map(|place| match place {
                place if (good..good + odd).contains(&place) => format!("nobody {place} 0\n"),
                place => row(place, 1_700_000_000 + place),
            });
            let text: String = rows.collect();
            let path = home.path().join("log.txt");
            fs::write(&path, text).unwrap();
            let format = "user=0,item=1,time=2,delimiter=blank,header=no";
            InteractionReader::new(&path, format.parse().unwrap()).bad_rows(BadRows::Skip)
        };
        let create = |path: &str| {
            let path = home.path().join(path);
            let mut writer = SequenceStore::create(path, Filters::default()).unwrap();
            writer.rows_per_run = 300;
            writer
        };
        for (good, odd) in [(0, 100), (250, 70), (1_000, 50), (1_000, 400), (4_990, 10)] {
            let reader = reader(good, odd);
            let whole = reader.read().unwrap();
            assert_eq!((whole.len(), whole.skipped_rows()), (5_000 - odd, odd));
            let mut joined = Interactions::default();
            let mut take = |part: Interactions| {
                assert!(part.users().len() <= 7, "{:?}", part.users());
                joined.append(part);
                Ok(())
            };
            reader.read_parts(300, &mut take).unwrap();
            assert_eq!(joined.times(), whole.times());
            assert_eq!(joined.skipped_rows(), odd);
            let mut writer = create("log.store");
            writer.read(&reader).unwrap();
            let store = writer.finish().unwrap();
            assert_eq!(store.skipped_rows(), odd);
            assert_same(
                store.dataset(),
                &Dataset::new(whole, Filters::default()).unwrap(),
            );
        }
        // A part of odd times alone is one that is given away.
        let begins_odd = reader(0, 1_000);
        assert_eq!(begins_odd.read().unwrap().len(), 4_000);
        let mut writer = create("log.store");
        let refused = writer.read(&begins_odd).unwrap_err().to_string();
        assert!(
            refused.contains("log.txt") && refused.contains("seconds since 1970"),
            "{refused}"
        );
        writer.read(&reader(10, 3)).unwrap();
        let store = writer.finish().unwrap();
        assert_eq!(store.dataset().sequences().interactions(), 4_997);
        // Where no time can be meant, nothing is left, and that is said.
        let none: String = (0..1_000)
            .map(|place| row(place, 20_231_114_221_320))
            .collect();
        fs::write(home.path().join("log.txt"), none).unwrap();
        let none = InteractionReader::new(home.path().join("log.txt"), begins_odd.format().clone());
        let refused = create("log.store")
            .read(&none.bad_rows(BadRows::Skip))
            .unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("all 1000 rows were skipped: 1000 rows, the first: "),
            "{refused}"
        );
    }

    /// A file that fails after rows of it were taken, some of them written, can be mended and read
    /// again.
    #[test]
    fn a_file_that_fails_adds_nothing() {
        let home = tempfile::tempdir().unwrap();
        let row = |row: usize| format!("u{},\"i{}\",{}\n", row % 7, row % 11, row % 90);
        let reader = |rows: std::ops::Range<usize>, end: &str| {
            let text: String = rows.map(row).collect();
            let format = "user=0,item=1,time=2".parse().unwrap();
            InteractionReader::from_reader((text + end).as_bytes(), format).unwrap()
        };
        for (rows_per_run, filters) in [
            (30, filters()[0]),
            (70, filters()[3]),
            (1_000, filters()[2]),
        ] {
            let path = home.path().join("log.store");
            let mut writer = SequenceStore::create(path, filters).unwrap();
            writer.rows_per_run = rows_per_run;
            let mut memory = reader(0..50, "").read().unwrap();
            writer.read(&reader(0..50, "")).unwrap();
            for bad in ["u1,new\n", "new,new,soon\n"] {
                assert!(writer.read(&reader(50..200, bad)).is_err());
            }
            writer.read(&reader(50..200, "")).unwrap();
            memory.append(reader(50..200, "").read().unwrap());
            let memory = Dataset::new(memory, filters).unwrap();
            assert_same(writer.finish().unwrap().dataset(), &memory);
        }
    }

    #[test]
    fn after_a_write_that_failed_there_is_no_store_of_the_rest() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log.store");
        let mut writer = SequenceStore::create(&path, Filters::default()).unwrap();
        (writer.runs, writer.rows_per_run) = (runs::Runs::on_a_full_disk(), 100);
        assert!(matches!(
            writer.append(log()).as_ref().map_err(Error::kind),
            Err(ErrorKind::Io { .. })
        ));
        assert!(matches!(
            writer.append(log()).as_ref().map_err(Error::kind),
            Err(ErrorKind::Damaged { .. })
        ));
        assert!(matches!(
            writer.finish().as_ref().map_err(Error::kind),
            Err(ErrorKind::Damaged { .. })
        ));
        assert!(!path.exists());
    }
}
