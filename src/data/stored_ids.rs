//! External ids in a file.

use std::sync::OnceLock;

use super::id::{ExternalId, IdTable};
use crate::buffer::Buffer;

/// What the file of a [`SequenceStore`](super::SequenceStore) begins with.
pub(super) const STORE_MAGIC: [u8; 8] = *b"seqrecsq";

/// The ids of a file, which are read when they are first asked for.
#[derive(Debug)]
pub(super) struct StoredIds {
    /// Where each id's text ends.
    ends: Buffer<u64>,
    /// All texts, one after another.
    text: Buffer<u8>,
    table: OnceLock<IdTable>,
}

impl StoredIds {
    /// `None` where these are no ids: each has its text.
    pub(super) fn new(ends: Buffer<u64>, text: Buffer<u8>) -> Option<Self> {
        let whole = std::str::from_utf8(&text).ok()?;
        let mut before = 0;
        for &end in ends.iter() {
            let end = usize::try_from(end).ok()?;
            whole.get(before..end)?;
            before = end;
        }
        (before == text.len()).then_some(Self {
            ends,
            text,
            table: OnceLock::new(),
        })
    }

    /// Whether each is as ids are, without blanks around it and not empty; in older files some
    /// aren't.
    pub(super) fn are_trimmed(&self) -> bool {
        self.texts().all(|id| !id.is_empty() && id == id.trim())
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ExternalId> {
        self.texts().map(ExternalId::from)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(&0).chain(self.ends.iter());
        starts.zip(self.ends.iter()).map(|(&start, &end)| {
            let text = &self.text[start as usize..end as usize];
            std::str::from_utf8(text).expect("seen to be text when it was opened")
        })
    }

    pub(super) fn table(&self) -> &IdTable {
        self.table.get_or_init(|| self.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_older_files_with_blanks_around_them_are_known() {
        for (texts, are_trimmed) in [
            (["a", "b c"], true),
            (["a", " b"], false),
            (["", "b"], false),
        ] {
            let ends = vec![texts[0].len() as u64, texts.concat().len() as u64];
            let ids = StoredIds::new(ends.into(), texts.concat().into_bytes().into()).unwrap();
            assert_eq!(ids.are_trimmed(), are_trimmed, "{texts:?}");
        }
    }
}
