//! Tables of rows, which are written to CSV or Parquet files a batch at a time.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

mod csv;
#[cfg(feature = "parquet")]
mod parquet;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc;

use rayon::prelude::*;

use crate::files::{aside, begins_with, check_replaceable, persist};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "parquet")]
pub(crate) use self::parquet::{has_mark, marked};

/// The values of one column in some rows.
#[derive(Debug)]
pub(crate) enum ColumnValues {
    /// Integer ids.
    Integers(Vec<i64>),
    /// Small integers, such as ranks, which may be missing.
    Places(Vec<Option<i32>>),
    /// Numbers, which may be missing.
    Numbers(Vec<Option<f32>>),
    /// Numbers in double precision, such as times, which may be missing.
    Doubles(Vec<Option<f64>>),
    Texts(Texts),
    /// Texts of which an empty one is missing.
    Labels(Texts),
}

/// Texts, one after another in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    text: String,
    /// The end of each text.
    ends: Vec<usize>,
}

impl Texts {
    /// Adds a text.
    pub(crate) fn push(&mut self, text: impl std::fmt::Display) {
        use std::fmt::Write;
        // A string takes everything.
        let _ = write!(self.text, "{text}");
        self.ends.push(self.text.len());
    }

    fn get(&self, row: usize) -> &str {
        let start = row
            .checked_sub(1)
            .and_then(|before| self.ends.get(before).copied());
        let end = self.ends.get(row).copied().unwrap_or_default();
        (self.text.get(start.unwrap_or_default()..end)).unwrap_or_default()
    }

    #[cfg(feature = "parquet")]
    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|row| self.get(row))
    }
}

impl ColumnValues {
    /// A column of the same kind without values.
    fn empty(&self) -> Self {
        match self {
            Self::Integers(_) => Self::Integers(Vec::new()),
            Self::Places(_) => Self::Places(Vec::new()),
            Self::Numbers(_) => Self::Numbers(Vec::new()),
            Self::Doubles(_) => Self::Doubles(Vec::new()),
            Self::Texts(_) => Self::Texts(Texts::default()),
            Self::Labels(_) => Self::Labels(Texts::default()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Places(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Texts(texts) | Self::Labels(texts) => texts.ends.len(),
        }
    }
}

/// A table that is to be written: its columns' names, each with what the column holds.
pub(crate) struct Table {
    /// Each name with an empty column of its kind.
    pub(crate) columns: Vec<(String, ColumnValues)>,
    /// The beginning of the header, by which a text file of an earlier table is known again.
    pub(crate) begins: &'static str,
    /// The key by which a Parquet file of an earlier table is known again.
    #[cfg_attr(
        not(feature = "parquet"),
        expect(dead_code, reason = "no such file is written")
    )]
    pub(crate) mark: &'static str,
}

/// The kind of a table's file.
#[derive(Clone, Copy)]
enum Form {
    Csv,
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Form {
    fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            #[cfg(feature = "parquet")]
            "parquet" => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            "parquet" => {
                let reason = "Parquet files need the crate's feature `parquet`; name a .csv file";
                Err(Error::invalid("path", path.display(), reason))
            }
            _ => {
                let reason = "the name must end in .csv or .parquet, which says what is written";
                Err(Error::invalid("path", path.display(), reason))
            }
        }
    }
}

/// Rows that are ready to be appended to a file.
enum Block {
    Csv(Vec<u8>),
    #[cfg(feature = "parquet")]
    Parquet(arrow_array::RecordBatch),
}

/// A file that blocks are appended to.
enum Sink {
    Csv(csv::CsvFile),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::ParquetFile>),
}

impl Sink {
    fn append(&mut self, block: Block) -> io::Result<()> {
        match (self, block) {
            (Self::Csv(sink), Block::Csv(text)) => sink.append(&text),
            #[cfg(feature = "parquet")]
            (Self::Parquet(sink), Block::Parquet(batch)) => sink.append(&batch),
            #[cfg(feature = "parquet")]
            _ => Err(io::Error::other("a block of another kind of file")),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Csv(sink) => sink.finish(),
            #[cfg(feature = "parquet")]
            Self::Parquet(sink) => sink.finish(),
        }
    }
}

impl Table {
    /// The columns without a row.
    pub(crate) fn empty(&self) -> Vec<ColumnValues> {
        let columns = self.columns.iter();
        columns.map(|(_, column)| column.empty()).collect()
    }

    /// Writes all batches of rows to a CSV or Parquet file, whichever its name says: to a temporary
    /// file that is renamed at the end, so that there is all of it or nothing. A batch is several
    /// blocks of columns, which are encoded in parallel; while they are written, the next batch is
    /// made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a name that says neither and for two columns of one name,
    /// [`ErrorKind::NotOurs`] when another file is there, [`ErrorKind::Io`], and what `next` says.
    pub(crate) fn write(
        &self,
        path: &Path,
        mut next: impl FnMut() -> Result<Option<Vec<Vec<ColumnValues>>>>,
    ) -> Result<()> {
        let form = Form::of(path)?;
        self.check(path, form)?;
        let unwritable = Error::io("write", path);
        let file = aside(path)?;
        let sink = file
            .as_file()
            .try_clone()
            .and_then(|file| self.sink(form, file));
        let mut sink = sink.map_err(Error::io("write", path))?;
        let written = std::thread::scope(|scope| {
            let (send, blocks) = mpsc::sync_channel::<Vec<Block>>(1);
            let writer = scope.spawn(move || {
                for block in blocks.into_iter().flatten() {
                    sink.append(block)?;
                }
                sink.finish()
            });
            let produced = loop {
                match next().and_then(|batch| self.blocks(form, batch)) {
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                    Ok(Some(blocks)) => {
                        if send.send(blocks).is_err() {
                            // The writer has failed, and says why below.
                            break Ok(());
                        }
                    }
                }
            };
            drop(send);
            let written = writer.join();
            produced.map(|()| written)
        })?;
        let Ok(written) = written else {
            return Err(Error::from(ErrorKind::Thread {
                thread: "writing",
                reason: "it panicked".to_owned(),
            }));
        };
        written
            .and_then(|()| file.as_file().sync_all())
            .map_err(unwritable)?;
        persist(file, path)
    }

    /// Refuses what could not be written, before any time is spent on rows.
    fn check(&self, path: &Path, form: Form) -> Result<()> {
        let mut names = HashSet::new();
        let twice = self.columns.iter().find(|(name, _)| !names.insert(name));
        if let Some((name, _)) = twice {
            let reason = "two columns of the table would have this name; give the channel, the feature or the column of \
                          items another";
            return Err(Error::invalid("column", name, reason));
        }
        match form {
            Form::Csv => check_replaceable(path, begins_with(self.begins.as_bytes())),
            #[cfg(feature = "parquet")]
            Form::Parquet => check_replaceable(path, |file| has_mark(file, self.mark)),
        }
    }

    fn sink(&self, form: Form, file: File) -> io::Result<Sink> {
        match form {
            Form::Csv => {
                let names = self.columns.iter().map(|(name, _)| name.as_str());
                csv::CsvFile::new(file, names).map(Sink::Csv)
            }
            #[cfg(feature = "parquet")]
            Form::Parquet => {
                let sink = parquet::ParquetFile::new(file, &self.columns, self.mark)?;
                Ok(Sink::Parquet(Box::new(sink)))
            }
        }
    }

    /// A batch's rows as a file has them.
    fn blocks(
        &self,
        form: Form,
        batch: Option<Vec<Vec<ColumnValues>>>,
    ) -> Result<Option<Vec<Block>>> {
        let Some(batch) = batch else {
            return Ok(None);
        };
        let block = |columns: Vec<ColumnValues>| {
            debug_assert_eq!(columns.len(), self.columns.len());
            match form {
                Form::Csv => csv::rows(&columns).map(Block::Csv),
                #[cfg(feature = "parquet")]
                Form::Parquet => parquet::rows(&self.columns, columns).map(Block::Parquet),
            }
        };
        let blocks: io::Result<Vec<Block>> = batch.into_par_iter().map(block).collect();
        blocks
            .map(Some)
            .map_err(|error| Error::other("could not encode rows of a table", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [
            ("user", ColumnValues::Texts(Texts::default())),
            ("item", ColumnValues::Integers(Vec::new())),
            ("rank", ColumnValues::Places(Vec::new())),
            ("score", ColumnValues::Numbers(Vec::new())),
            ("price", ColumnValues::Doubles(Vec::new())),
            ("kind", ColumnValues::Labels(Texts::default())),
        ];
        Table {
            columns: columns
                .map(|(name, column)| (name.to_owned(), column))
                .into(),
            begins: "user,item,rank",
            mark: "seqrec.test",
        }
    }

    fn block(first: i64) -> Vec<ColumnValues> {
        let mut users = Texts::default();
        users.push("a,\"b\"");
        users.push("c");
        let mut kinds = Texts::default();
        kinds.push("");
        kinds.push("pen|ink");
        vec![
            ColumnValues::Texts(users),
            ColumnValues::Integers(vec![first, -7]),
            ColumnValues::Places(vec![Some(1), None]),
            ColumnValues::Numbers(vec![Some(0.5), None]),
            ColumnValues::Doubles(vec![Some(1_700_000_001.5), None]),
            ColumnValues::Labels(kinds),
        ]
    }

    #[test]
    fn a_table_is_written_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let names = if cfg!(feature = "parquet") {
            &["rows.csv", "rows.parquet"][..]
        } else {
            &["rows.csv"]
        };
        for name in names {
            let path = home.path().join(name);
            for rounds in [0, 1, 3] {
                let mut left = rounds;
                let batches = || {
                    left -= 1;
                    Ok((left >= 0).then(|| vec![block(left), block(10)]))
                };
                table().write(&path, batches).unwrap();
            }
            let whole = std::fs::read(&path).unwrap();
            let mut first = true;
            let failed = table().write(&path, || match std::mem::take(&mut first) {
                true => Ok(Some(vec![block(1)])),
                false => Err(Error::invalid("test", 1, "fails half-way")),
            });
            assert!(failed.unwrap_err().to_string().contains("half-way"));
            assert_eq!(std::fs::read(&path).unwrap(), whole);
            std::fs::write(&path, "user,item,time\n1,2,3\n").unwrap();
            let refused = table().write(&path, || Ok(None)).unwrap_err();
            assert!(matches!(refused.kind(), ErrorKind::NotOurs { .. }));
        }
        let refused = table().write(&home.path().join("rows.txt"), || Ok(None));
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains(".csv or .parquet")
        );
        let mut twice = table();
        twice.columns[3].0 = "rank".to_owned();
        let refused = twice.write(&home.path().join("new.csv"), || Ok(None));
        assert!(refused.unwrap_err().to_string().contains("column is rank"));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), names.len());
    }

    #[test]
    fn texts_are_quoted_where_they_have_to_be() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rows.csv");
        let mut batch = Some(vec![block(3)]);
        table().write(&path, || Ok(batch.take())).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "user,item,rank,score,price,kind\n\"a,\"\"b\"\"\",3,1,0.5,1700000001.5,\nc,-7,,,,pen|ink\n"
        );
    }
}
