//! Popularity: the same items for everyone, or for everyone in a
//! segment.

mod clock;
mod config;
mod tally;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::data::{
    Behaviors, Catalog, ExternalId, Interaction, Interactions, ItemIndex, Role, TrainingData, User,
};
use crate::index::Filter;
use crate::{Error, Result, checks};

use crate::recall::{Candidate, Candidates, Reason, RecallChannel};

use clock::DataClock;
use tally::{LogRow, Ranked, Tally};

pub use config::PopularityConfig;

/// After how many observed interactions, or how long, the lists are put in order again.
const OBSERVED: usize = 256;
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// The most popular items: by clicks, purchases or revenue, in a time window, recently, or in each
/// segment of users.
///
/// It is near-line: what is [observed](RecallChannel::observe) counts within 256 interactions or a
/// second of the next one.
///
/// Windows and half-lives go by the clock of the data, which is later than a time only when several
/// interactions say so: one from a machine whose clock is ahead moves nothing.
///
/// ```
/// use seqrec::channels::PopularityConfig;
/// use seqrec::data::{Dataset, Filters, Interaction, Interactions, ItemIndex, User};
/// use seqrec::recall::RecallChannel;
///
/// let sale = |user, item, time, price| {
///     Interaction::new(user, item, time).with_value(price).with_event("buy")
/// };
/// let log: Interactions = [
///     sale("anna", "pen", 1.0, 2.0),
///     sale("bo", "pen", 2.0, 2.0),
///     sale("bo", "desk", 3.0, 90.0),
/// ].into_iter().collect();
/// let data = Dataset::new(log.clone(), Filters::default())?.training_data().with_log(log)?;
/// let bought = PopularityConfig::new().fit(&data)?;
/// let revenue = PopularityConfig::new().with_by_value(true).fit(&data)?;
/// let nobody = [User::default()];
/// assert_eq!(bought.recall(&nobody, 1, None)?.items(0), [ItemIndex::new(1)]);
/// assert_eq!(revenue.recall(&nobody, 1, None)?.items(0), [ItemIndex::new(2)]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug)]
pub struct Popularity {
    config: PopularityConfig,
    behaviors: Option<Arc<Behaviors>>,
    tally: Mutex<Tally>,
    /// What is searched holds no lock: whoever searches keeps it.
    ranked: RwLock<Arc<Ranked>>,
}

impl Popularity {
    /// By the interactions that a catalog counts, of whatever event; a score is the share of them
    /// all. [`PopularityConfig::fit`] goes by the [meaning](crate::data::Behaviors) of events.
    pub fn new(catalog: &Catalog) -> Self {
        let mut tally = Tally::default();
        for (item, &count) in catalog
            .counts()
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            tally.all.add(ItemIndex::new(item as u32), 0, count as f64);
        }
        Self::of_tally(
            tally,
            PopularityConfig::new(),
            catalog.shared_behaviors().cloned(),
        )
    }
}

impl PopularityConfig {
    /// Counts the data: their [log](TrainingData::with_log) where they have one, or else their
    /// sequences, which have neither values nor event types.
    ///
    /// By the [meaning](crate::data::Behaviors) of events, where the data know one, each counts its
    /// weight, and one that is negative, ignored or named by no rule nothing. Each counts by
    /// itself: what was bought and then returned was bought.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting:
    /// among them event types and [`by_value`](Self::by_value) of data without a log, and
    /// [`by_segment`](Self::by_segment) of data without [segments](TrainingData::with_segments).
    pub fn fit(&self, data: &TrainingData) -> Result<Popularity> {
        if self.by_segment && !data.has_segments() {
            let reason = "needs the users' segments: `TrainingData::with_segments`";
            return Err(Error::invalid("by_segment", true, reason));
        }
        match data.log() {
            Some(log) => self.fit_log(log, data),
            None => self.fit_sequences(data),
        }
    }

    fn fit_log(&self, log: &Interactions, data: &TrainingData) -> Result<Popularity> {
        let catalog = data.catalog();
        let items: Vec<Option<ItemIndex>> = (log.items().iter())
            .map(|id| catalog.index_of(id))
            .collect();
        let known = |(sequence, id)| (id, data.segments(sequence));
        let known: foldhash::HashMap<&ExternalId, &[String]> = if self.by_segment {
            data.user_ids().enumerate().map(known).collect()
        } else {
            Default::default()
        };
        let segments_of = |id| known.get(id).copied().unwrap_or_default();
        let segments: Vec<&[String]> = log.users().iter().map(segments_of).collect();
        let wanted: Vec<ExternalId> = (self.events.iter())
            .map(|name| ExternalId::from(name.as_str()))
            .collect();
        let weights = (catalog.behaviors()).map(|behaviors| log.weights_by(behaviors));
        let rows = (0..log.len()).filter_map(|row| {
            let weight = match &weights {
                Some(weights) => weights(row)?,
                None => 1.0,
            };
            let item = items[log.item_numbers()[row] as usize]?;
            let event = log.event(row);
            let counts = wanted.is_empty() || event.is_some_and(|event| wanted.contains(event));
            counts.then(|| LogRow {
                item,
                time: log.times()[row],
                value: log.value(row),
                weight,
                segments: segments[log.user_numbers()[row] as usize],
            })
        });
        Popularity::of_rows(rows, self, catalog.shared_behaviors().cloned())
    }

    fn fit_sequences(&self, data: &TrainingData) -> Result<Popularity> {
        if let Some(event) = self.events.first() {
            let reason = "sequences have no event types: `TrainingData::with_log`";
            return Err(Error::invalid("events", event, reason));
        }
        if self.by_value {
            let reason = "sequences have no values: `TrainingData::with_log`";
            return Err(Error::invalid("by_value", true, reason));
        }
        let rows = (0..data.sequences().len()).flat_map(|sequence| {
            let history = data.sequences().history(sequence);
            let items = history.items().iter().enumerate();
            let items = items.filter(move |(place, _)| history.role(*place) != Role::Negative);
            items.map(move |(place, &item)| LogRow {
                item,
                time: history.times().get(place).copied().unwrap_or(0.0),
                value: None,
                weight: history.weight(place),
                segments: data.segments(sequence),
            })
        });
        Popularity::of_rows(rows, self, data.catalog().shared_behaviors().cloned())
    }
}

impl Popularity {
    fn of_rows<'a>(
        rows: impl Iterator<Item = LogRow<'a>> + Clone,
        config: &PopularityConfig,
        behaviors: Option<Arc<Behaviors>>,
    ) -> Result<Self> {
        for (field, value) in [("window", config.window), ("half_life", config.half_life)] {
            value.map_or(Ok(()), |value| checks::positive(field, value))?;
        }
        // The window is counted from the end, which is looked for first.
        let clock = DataClock::of_log(rows.clone().map(|row| row.time));
        let now = clock.now();
        let mut tally = Tally {
            clock,
            origin: now.unwrap_or_default(),
            ..Tally::default()
        };
        let start = match (now, config.window) {
            (Some(now), Some(window)) => now - window,
            _ => f64::NEG_INFINITY,
        };
        rows.filter(|row| row.time >= start)
            .for_each(|row| tally.add(&row, config));
        Ok(Self::of_tally(tally, config.clone(), behaviors))
    }

    fn of_tally(
        mut tally: Tally,
        config: PopularityConfig,
        behaviors: Option<Arc<Behaviors>>,
    ) -> Self {
        Self {
            behaviors,
            ranked: RwLock::new(Arc::new(tally.ranked())),
            config,
            tally: Mutex::new(tally),
        }
    }
}

impl RecallChannel for Popularity {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let ranked = {
            let ranked = self.ranked.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&ranked)
        };
        let mut best = Candidates::with_capacity(users.len(), k);
        for (row, user) in users.iter().enumerate() {
            let passes = |candidate: &Candidate| {
                filter.is_none_or(|filter| filter.passes(row, candidate.item))
            };
            if !self.config.by_segment {
                best.push(ranked.all.iter().copied().filter(passes).take(k));
                continue;
            }
            // An item that is in several of their segments' lists counts where it is best.
            let mut found: foldhash::HashMap<ItemIndex, Candidate> = Default::default();
            for (place, segment) in user.segments().iter().enumerate() {
                let list = ranked.segments.get(segment).map_or(&[][..], Vec::as_slice);
                for &candidate in list.iter().filter(|candidate| passes(candidate)).take(k) {
                    let reason = Reason::Segment(place as u32);
                    let kept = found.entry(candidate.item).or_insert(Candidate {
                        reason,
                        ..candidate
                    });
                    if candidate.score > kept.score {
                        *kept = Candidate {
                            reason,
                            ..candidate
                        };
                    }
                }
            }
            best.push_best(found.into_values().collect(), k);
        }
        Ok(best)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        let event = interaction.event.as_ref();
        let events = &self.config.events;
        if !events.is_empty() && !event.is_some_and(|event| events.contains(event)) {
            return;
        }
        let weight = match &self.behaviors {
            Some(behaviors) => {
                let name = event.map(ToString::to_string);
                let event = behaviors.event(name.as_deref(), interaction.value);
                event.and_then(|event| behaviors.adds(event))
            }
            None => Some(1.0),
        };
        let Some(weight) = weight else {
            return;
        };
        let row = LogRow {
            item,
            time: interaction.time,
            value: interaction.value,
            weight,
            segments,
        };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.clock.observe(row.time);
        tally.add(&row, &self.config);
        tally.observed += 1;
        let late = |ordered: Instant| ordered.elapsed() >= AT_LEAST_EVERY;
        if tally.observed < OBSERVED && !tally.ordered.is_none_or(late) {
            return;
        }
        let ranked = Arc::new(tally.ranked());
        // While the tally is held, so that no earlier lists take the place of these.
        *self.ranked.write().unwrap_or_else(PoisonError::into_inner) = ranked;
    }
}
