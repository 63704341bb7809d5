//! ItemTallies of interactions in pieces of time.

use std::collections::VecDeque;
use std::time::Instant;

use crate::data::ItemIndex;
use crate::recall::{Candidate, Candidates, Reason};

use super::clock::DataClock;
use super::config::PopularityConfig;

/// Into how many pieces a window is divided, of which the oldest is dropped as time passes.
const PIECES: f64 = 32.0;

/// By how many half-lives interactions may be apart before weights are scaled anew, so that
/// they stay numbers.
const SPAN: f64 = 500.0;

/// The most segments that lists are kept for; what is observed in others is ignored.
const SEGMENTS: usize = 10_000;

/// Lists in order, best first.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    pub(super) all: Vec<Candidate>,
    pub(super) segments: foldhash::HashMap<String, Vec<Candidate>>,
}

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) all: ItemTallies,
    pub(super) segments: foldhash::HashMap<String, ItemTallies>,
    /// From when windows and half-lives are counted.
    pub(super) clock: DataClock,
    /// The time at which an interaction weighs 1.
    pub(super) origin: f64,
    /// When the lists were put in order, and how many interactions were taken since.
    pub(super) ordered: Option<Instant>,
    pub(super) observed: usize,
}

/// The weights of items, in pieces of time.
#[derive(Debug, Default)]
pub(super) struct ItemTallies {
    /// When each piece begins, in pieces, and each item's weight in it; the latest last.
    pub(super) pieces: VecDeque<(i64, foldhash::HashMap<ItemIndex, f64>)>,
}

/// An interaction of a log.
pub(super) struct LogRow<'a> {
    pub(super) item: ItemIndex,
    pub(super) time: f64,
    pub(super) value: Option<f32>,
    /// What its event counts: 1 where events have no meaning.
    pub(super) weight: f32,
    pub(super) segments: &'a [String],
}

impl Tally {
    pub(super) fn add(&mut self, row: &LogRow<'_>, config: &PopularityConfig) {
        let mut weight = match (config.by_value, row.value) {
            (false, _) => f64::from(row.weight),
            (true, Some(value)) if value > 0.0 => f64::from(value) * f64::from(row.weight),
            (true, _) => return,
        };
        let now = self.clock.now().unwrap_or(row.time);
        if let Some(half_life) = config.half_life {
            if (now - self.origin) / half_life > SPAN {
                let scale = ((self.origin - now) / half_life).exp2();
                self.all.scale(scale);
                self.segments
                    .values_mut()
                    .for_each(|counts| counts.scale(scale));
                self.origin = now;
            }
            // One that is ahead weighs no more than what is new.
            weight *= ((row.time.min(now) - self.origin) / half_life).exp2();
        }
        let (mut piece, mut oldest) = (0, i64::MIN);
        if let Some(window) = config.window {
            let length = window / PIECES;
            // One that is far ahead must not be in every window to come.
            piece = (row.time.min(now + window) / length).floor() as i64;
            oldest = ((now - window) / length).floor() as i64;
        }
        if piece < oldest {
            return;
        }
        self.all.add(row.item, piece, weight);
        self.all.forget(oldest);
        if !config.by_segment {
            return;
        }
        for segment in row.segments {
            if let Some(counts) = self.segments.get_mut(segment) {
                counts.add(row.item, piece, weight);
                counts.forget(oldest);
            } else if self.segments.len() < SEGMENTS {
                let counts = self.segments.entry(segment.clone()).or_default();
                counts.add(row.item, piece, weight);
            }
        }
    }

    pub(super) fn ranked(&mut self) -> Ranked {
        self.ordered = Some(Instant::now());
        self.observed = 0;
        let segments = self.segments.iter();
        Ranked {
            all: self.all.ranked(),
            segments: segments
                .map(|(name, counts)| (name.clone(), counts.ranked()))
                .collect(),
        }
    }
}

impl ItemTallies {
    pub(super) fn add(&mut self, item: ItemIndex, piece: i64, weight: f64) {
        let place = self.pieces.partition_point(|(number, _)| *number < piece);
        if self
            .pieces
            .get(place)
            .is_none_or(|(number, _)| *number != piece)
        {
            self.pieces.insert(place, (piece, Default::default()));
        }
        *self.pieces[place].1.entry(item).or_default() += weight;
    }

    pub(super) fn forget(&mut self, oldest: i64) {
        while self
            .pieces
            .front()
            .is_some_and(|(number, _)| *number < oldest)
        {
            self.pieces.pop_front();
        }
    }

    pub(super) fn scale(&mut self, scale: f64) {
        let pieces = self.pieces.iter_mut();
        pieces
            .flat_map(|(_, weights)| weights.values_mut())
            .for_each(|weight| *weight *= scale);
    }

    pub(super) fn ranked(&self) -> Vec<Candidate> {
        let mut sums: foldhash::HashMap<ItemIndex, f64> = Default::default();
        for (_, weights) in &self.pieces {
            for (&item, weight) in weights {
                *sums.entry(item).or_default() += weight;
            }
        }
        // In one order, so that the sum of all is the same every time.
        let mut sums: Vec<(ItemIndex, f64)> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|&(item, _)| item);
        let all: f64 = sums.iter().map(|(_, weight)| weight).sum();
        let shares = sums.into_iter().map(|(item, weight)| Candidate {
            item,
            score: (weight / all) as f32,
            reason: Reason::Popular,
        });
        let mut ranked = Candidates::default();
        ranked.push_best(
            shares.filter(|share| share.score > 0.0).collect(),
            usize::MAX,
        );
        ranked.of(0).collect()
    }
}
