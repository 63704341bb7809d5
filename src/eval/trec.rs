//! Recalled lists and labels as other judges of rankings read them.

use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::data::{Catalog, ExternalId};
use crate::files::{check_replaceable, write_file};
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result, checks};

/// Recalled lists and their labels in the formats of TREC, for `trec_eval`, `ir_measures`, `ranx`
/// and other programs: a *run* of `user Q0 item rank score tag`, and *qrels* of `user 0 item 1`.
///
/// ```
/// use seqrec::data::{Catalog, ItemIndex};
/// use seqrec::eval::TrecRun;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let catalog = Catalog::from_ids(["pen", "desk", "lamp"].map(Into::into))?;
/// let [pen, desk, lamp] = [1, 2, 3].map(ItemIndex::new);
/// let mut trec = TrecRun::new(&catalog, "gru4rec")?;
/// trec.add(&"anna".into(), &[lamp, pen], &[0.75, 0.5], &[pen])?;
/// # let folder = folder.path();
/// trec.write(folder.join("test.run"), folder.join("test.qrels"))?;
/// let written = std::fs::read_to_string(folder.join("test.run")).unwrap();
/// assert_eq!(written, "anna Q0 lamp 1 0.75 gru4rec\nanna Q0 pen 2 0.5 gru4rec\n");
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// Those programs sort by the score, and many of them put items of equal scores in an order of
/// their own, by which a metric may differ a little from [`Scorer`](super::Scorer)'s.
#[derive(Debug, Clone)]
pub struct TrecRun<'a> {
    catalog: &'a Catalog,
    tag: String,
    run: String,
    qrels: String,
}

impl<'a> TrecRun<'a> {
    /// No lists yet, of items of a catalog; `tag` names what made them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a tag that is empty or has blanks.
    pub fn new(catalog: &'a Catalog, tag: impl Into<String>) -> Result<Self> {
        let tag = tag.into();
        check_word("tag", &tag)?;
        Ok(Self {
            catalog,
            tag,
            run: String::new(),
            qrels: String::new(),
        })
    }

    /// Adds a user's list, best first, with its scores, and their labels.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one score for each item, [`ErrorKind::UnknownItem`]
    /// for an item that is not in the catalog, and [`ErrorKind::InvalidValue`] for an id with
    /// blanks, which the format can't hold; nothing is added then.
    pub fn add(
        &mut self,
        user: &ExternalId,
        items: &[ItemIndex],
        scores: &[f32],
        labels: &[ItemIndex],
    ) -> Result<()> {
        checks::same_length("scores of a list", items.len(), scores.len())?;
        let user = user.to_string();
        check_word("user", &user)?;
        let (mut run, mut qrels) = (String::new(), String::new());
        for (place, (&item, score)) in items.iter().zip(scores).enumerate() {
            let (item, rank, tag) = (self.word(item)?, place + 1, &self.tag);
            writeln!(run, "{user} Q0 {item} {rank} {score} {tag}").expect("it is a string");
        }
        for &label in labels {
            let item = self.word(label)?;
            writeln!(qrels, "{user} 0 {item} 1").expect("it is a string");
        }
        self.run.push_str(&run);
        self.qrels.push_str(&qrels);
        Ok(())
    }

    /// An item's id.
    fn word(&self, item: ItemIndex) -> Result<String> {
        let id = self
            .catalog
            .id_of(item)
            .ok_or_else(|| Error::from(ErrorKind::UnknownItem { item }))?;
        let id = id.to_string();
        check_word("item", &id)?;
        Ok(id)
    }

    /// Writes both files, each aside and then renamed. Two that were written before are replaced,
    /// which the tag of the run tells, and whatever is in an [`OutputFolder`](crate::OutputFolder).
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`] when another file is there already, and [`ErrorKind::Io`] when one
    /// can't be written.
    pub fn write(&self, run: impl AsRef<Path>, qrels: impl AsRef<Path>) -> Result<()> {
        let (run, qrels) = (run.as_ref(), qrels.as_ref());
        // Qrels have no place for a mark, and are ours where they lie by a run of ours.
        let is_ours = File::open(run).is_ok_and(|run| self.has_tag(run));
        for path in [run, qrels] {
            check_replaceable(path, |_| is_ours)?;
        }
        write_file(run, self.run.as_bytes())?;
        write_file(qrels, self.qrels.as_bytes())
    }

    /// Whether the first line of a run has our tag.
    fn has_tag(&self, run: File) -> bool {
        let mut line = String::new();
        let read = BufReader::new(run.take(1 << 16)).read_line(&mut line);
        let mut fields = line.split_whitespace();
        read.is_ok() && fields.nth(1) == Some("Q0") && fields.nth(3) == Some(&self.tag)
    }
}

/// Refuses what would be no field or several.
fn check_word(field: &'static str, word: &str) -> Result<()> {
    if word.is_empty() || word.contains(char::is_whitespace) {
        let reason = "must be one word without blanks, which divide the fields of TREC's formats";
        return Err(Error::invalid(field, format!("{word:?}"), reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_they_are_ranked() {
        let catalog = Catalog::from_ids(["7", "b", "two words"].map(Into::into)).unwrap();
        let [first, second, blank] = [1, 2, 3].map(ItemIndex::new);
        let mut trec = TrecRun::new(&catalog, "x").unwrap();
        trec.add(
            &"u".into(),
            &[second, first],
            &[1.5, -0.1],
            &[first, second],
        )
        .unwrap();
        trec.add(&9.into(), &[], &[], &[first]).unwrap();
        // Of what can't be written nothing is.
        for (user, items, labels) in [
            ("u v", &[first][..], &[first][..]),
            ("w", &[first, blank], &[first]),
            ("w", &[first, ItemIndex::new(4)], &[first]),
            ("w", &[first, second], &[blank]),
        ] {
            let scores = vec![0.0; items.len()];
            assert!(trec.add(&user.into(), items, &scores, labels).is_err());
        }
        assert!(trec.add(&"w".into(), &[first], &[], &[]).is_err());
        assert!(TrecRun::new(&catalog, "two words").is_err());
        let folder = tempfile::tempdir().unwrap();
        let [run, qrels] = ["a.run", "a.qrels"].map(|name| folder.path().join(name));
        trec.write(&run, &qrels).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&run), "u Q0 b 1 1.5 x\nu Q0 7 2 -0.1 x\n");
        assert_eq!(read(&qrels), "u 0 7 1\nu 0 b 1\n9 0 7 1\n");
        // Over what it wrote, and over nothing else's.
        trec.write(&run, &qrels).unwrap();
        let other = TrecRun::new(&catalog, "y").unwrap();
        let alone = folder.path().join("b.run");
        for run in [&run, &alone] {
            let refused = other.write(run, &qrels);
            assert!(
                matches!(
                    refused.as_ref().map_err(Error::kind),
                    Err(ErrorKind::NotOurs { .. })
                ),
                "{refused:?}"
            );
        }
        assert!(!alone.exists());
        assert!(read(&qrels).starts_with("u 0 7 1"));
    }
}
