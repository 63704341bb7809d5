//! What most people take.

use crate::data::{Catalog, History, TrainingSequences};
use crate::index::{Filter, Hit, Hits};
use crate::{Result, settings};

use super::channel::RecallChannel;

/// The most popular items, the same for everyone but for the filter.
///
/// ```
/// use seqrec::data::{Catalog, History};
/// use seqrec::recall::{Popularity, RecallChannel};
///
/// let sequences: [&[u32]; 2] = [&[2, 1], &[2]];
/// let catalog = Catalog::from_ids(["a", "b"].map(Into::into))?.with_counts(sequences);
/// let hits = Popularity::new(&catalog).recall(&[History::from(&[1][..])], 1, None)?;
/// assert_eq!(hits.items(0), [2]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Popularity {
    /// Items that were taken, the best first.
    ranked: Vec<Hit>,
}

impl Popularity {
    /// By the interactions that a catalog counts; a score is the share of them all.
    pub fn new(catalog: &Catalog) -> Self {
        let counts = catalog.counts().iter().map(|&count| count as f64);
        Self::by_weight(counts.collect())
    }

    /// By recent interactions: each counts half as much for every `half_life` that lies between it
    /// and the last of all, in the unit of the source.
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) when `half_life` is not above 0.
    pub fn recent(
        sequences: &TrainingSequences,
        catalog: &Catalog,
        half_life: f64,
    ) -> Result<Self> {
        settings::positive("half_life", half_life)?;
        let histories = || (0..sequences.len()).map(|sequence| sequences.history(sequence));
        let times = histories().flat_map(|history| history.times().iter().copied());
        let now = times.fold(f64::NEG_INFINITY, f64::max);
        let mut weights = vec![0.0; catalog.len() + 1];
        for history in histories() {
            for (&item, time) in history.items().iter().zip(history.times()) {
                weights[item as usize] += ((time - now) / half_life).exp2();
            }
        }
        Ok(Self::by_weight(weights))
    }

    fn by_weight(weights: Vec<f64>) -> Self {
        let all: f64 = weights.iter().sum();
        let hit = |(item, &weight): (usize, &f64)| Hit {
            item: item as u32,
            score: (weight / all) as f32,
        };
        let taken = weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0.0);
        let mut ranked = Hits::default();
        ranked.push_best(taken.map(hit).collect(), usize::MAX);
        Self {
            ranked: ranked.of(0).collect(),
        }
    }
}

impl RecallChannel for Popularity {
    fn recall(
        &self,
        histories: &[History<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        let mut hits = Hits::with_capacity(histories.len(), k);
        for row in 0..histories.len() {
            let passes = |hit: &&Hit| filter.is_none_or(|filter| filter.passes(row, hit.item));
            hits.push(self.ranked.iter().filter(passes).take(k).copied());
        }
        Ok(hits)
    }
}
