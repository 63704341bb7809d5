//! The rows of batches, and sequences that run side by side from batch to batch.

use std::ops::RangeInclusive;

use super::behaviors::Role;
use super::spans::Spans;
use super::user::User;

/// A row of a batch: a model sees items `end - length..end` of a sequence and predicts the last
/// `targets` items up to and with `end`.
pub(super) struct BatchRow<'a> {
    pub(super) sequence: User<'a>,
    pub(super) end: usize,
    pub(super) length: usize,
    pub(super) targets: usize,
    /// Where sequences run side by side, the row of the batch before that this one continues.
    pub(super) continues_from: Option<usize>,
}

impl<'a> BatchRow<'a> {
    pub(super) fn history(&self) -> User<'a> {
        self.sequence.first(self.end).last(self.length)
    }

    /// The places in the sequence of what is predicted.
    pub(super) fn predicted(&self) -> RangeInclusive<usize> {
        self.end + 1 - self.targets..=self.end
    }
}

/// Whether a sequence has something to be predicted at a place or after it.
pub(super) fn has_target(sequence: User<'_>, from: usize) -> bool {
    (from..sequence.items().len()).any(|place| sequence.role(place) == Role::Target)
}

/// Whether a model learns from the item at a place: to recall it, or not to.
pub(super) fn is_learned(sequence: User<'_>, place: usize) -> bool {
    sequence.role(place) != Role::History
}

/// The batches of sequences that run side by side.
pub(super) struct Lanes<'a> {
    sequences: &'a Spans,
    /// The sequences that take part, in order.
    usable: &'a [u32],
    /// How many run side by side.
    width: usize,
    /// How many sequences have been begun.
    begun: usize,
    /// Each row's sequence, the item that it sees next, and the row that it had.
    lanes: Vec<(User<'a>, usize, Option<usize>)>,
}

impl<'a> Lanes<'a> {
    pub(super) fn new(sequences: &'a Spans, usable: &'a [u32], width: usize) -> Self {
        Self {
            sequences,
            usable,
            width,
            begun: 0,
            lanes: Vec::new(),
        }
    }

    /// Puts new sequences where old ones have ended, as long as there are any.
    fn fill(&mut self) {
        let sequences = self.sequences;
        let mut next =
            (self.usable[self.begun..].iter()).map(|&number| sequences.history(number as usize));
        let mut lanes = Vec::with_capacity(self.width);
        for (row, &(sequence, place, _)) in self.lanes.iter().enumerate() {
            if place + 1 < sequence.items().len() {
                lanes.push((sequence, place, Some(row)));
            } else if let Some(sequence) = next.next() {
                lanes.push((sequence, 0, None));
            }
        }
        lanes.extend(
            next.by_ref()
                .take(self.width - lanes.len())
                .map(|sequence| (sequence, 0, None)),
        );
        self.begun = self.usable.len() - next.len();
        self.lanes = lanes;
    }
}

impl<'a> Iterator for Lanes<'a> {
    type Item = Vec<BatchRow<'a>>;

    fn next(&mut self) -> Option<Vec<BatchRow<'a>>> {
        self.fill();
        let rows = (self.lanes.iter()).map(|&(sequence, place, continues_from)| BatchRow {
            sequence,
            end: place + 1,
            length: 1,
            targets: 1,
            continues_from,
        });
        let rows: Vec<_> = rows.collect();
        for (_, place, _) in &mut self.lanes {
            *place += 1;
        }
        (!rows.is_empty()).then_some(rows)
    }
}
