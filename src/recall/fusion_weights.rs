//! Learning how much each channel of a fusion counts.

use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::{Case, ItemIndex, Seen, Spans, User};
use crate::index::Filter;
use crate::settings::settings;
use crate::{ErrorKind, Result};

use super::candidates::Candidate;
use super::nearest::BATCH;
use super::seen::is_seen;
use super::stage::RecallStage;

/// The steps that are tried for each weight, as factors of the largest one.
const STEPS: [f64; 9] = [0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0];

/// How often all weights are gone through.
const ROUNDS: usize = 4;

settings! {
    /// How [`RecallStage::learn_weights`] goes about it.
    #[derive(Eq)]
    pub struct WeightLearningConfig {
        required {
            /// How many items of a fused list count.
            pub k: usize,
        }
        /// Whether items of the history may be recalled.
        pub seen: Seen = Seen::default(), with_seen;
        /// The largest number of users to learn from.
        pub users: usize = 5_000, with_users;
        /// The seed by which they are drawn.
        pub seed: u64 = 42, with_seed;
    }
}

/// The candidates of one case, each once, with what every channel adds to them.
struct Contributions {
    items: Vec<ItemIndex>,
    /// `[candidates, channels]`.
    contributions: Vec<f32>,
    /// The places of the labels among the candidates.
    labels: Vec<usize>,
    all_labels: usize,
}

impl RecallStage {
    /// Gives the channels the weights by which the fusion finds most labels of held-out users
    /// among its first k, and says how large that recall@k is. `user` gives a case's user:
    /// `|case| case.user`, or with the segments they are in.
    ///
    /// It begins at each single channel and at all alike, whichever is best, and changes one
    /// weight at a time as long as that helps; so on these users the fusion is never worse than
    /// its best channel.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when the fusion has no weights or a setting is 0,
    /// [`ErrorKind::NothingLeft`] when there is no channel or no case, and the channels' errors.
    pub fn learn_weights<'a>(
        &mut self,
        cases: &'a Spans,
        config: &WeightLearningConfig,
        user: impl Fn(Case<'a>) -> User<'a>,
    ) -> Result<f64> {
        self.fusion().check_weighted()?;
        let k = config.k;
        crate::checks::at_least_one(&[("k", k), ("users", config.users)])?;
        let channels = self.names().len();
        if channels == 0 || cases.is_empty() {
            return Err(ErrorKind::NothingLeft {
                reason: format!(
                    "{channels} channels and {} users to learn from",
                    cases.len()
                ),
            }
            .into());
        }
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let count = config.users.min(cases.len());
        let mut drawn = sample(&mut random, cases.len(), count).into_vec();
        drawn.sort_unstable();
        let found = self.find(cases, &drawn, config, user)?;
        let recall = |weights: &[f64]| recall_at(&found, weights, k);
        let single = |channel: usize| {
            let mut weights = vec![0.0; channels];
            weights[channel] = 1.0;
            weights
        };
        let starts = std::iter::once(vec![1.0; channels]).chain((0..channels).map(single));
        let mut best = (f64::NEG_INFINITY, Vec::new());
        for weights in starts {
            let recall = recall(&weights);
            if recall > best.0 {
                best = (recall, weights);
            }
        }
        for _ in 0..ROUNDS {
            let before = best.0;
            for channel in 0..channels {
                let scale = best.1.iter().copied().fold(0.0, f64::max);
                for step in STEPS {
                    let mut weights = best.1.clone();
                    weights[channel] = step * scale;
                    let recall = recall(&weights);
                    if recall > best.0 {
                        best = (recall, weights);
                    }
                }
            }
            if best.0 <= before {
                break;
            }
        }
        let scale = best.1.iter().copied().fold(0.0, f64::max);
        let weights: Vec<f64> = best.1.iter().map(|weight| weight / scale).collect();
        self.set_weights(&weights)?;
        Ok(best.0)
    }

    fn find<'a>(
        &self,
        cases: &'a Spans,
        drawn: &[usize],
        config: &WeightLearningConfig,
        user: impl Fn(Case<'a>) -> User<'a>,
    ) -> Result<Vec<Contributions>> {
        let channels = self.names().len();
        let mut found = Vec::with_capacity(drawn.len());
        for drawn in drawn.chunks(BATCH) {
            let users: Vec<User<'_>> = drawn.iter().map(|&case| user(cases.get(case))).collect();
            let seen = is_seen(&users, config.seen);
            let unseen = |row, item| !seen(row, item);
            let filter = (config.seen.is_excluded()).then_some(Filter::Predicate(&unseen));
            let lists = (0..channels)
                .map(|channel| self.ask(channel, &users, config.k, filter))
                .collect::<Result<Vec<_>>>()?;
            let of_case = |(row, &case): (usize, &usize)| {
                let lists = lists.iter().map(|list| list.of(row).collect());
                self.contributions(lists, cases.get(case).labels)
            };
            found.extend(drawn.iter().enumerate().map(of_case));
        }
        Ok(found)
    }

    fn contributions(
        &self,
        lists: impl ExactSizeIterator<Item = Vec<Candidate>>,
        labels: &[ItemIndex],
    ) -> Contributions {
        let channels = lists.len();
        let mut places: foldhash::HashMap<ItemIndex, usize> = foldhash::HashMap::default();
        let (mut items, mut contributions) = (Vec::new(), Vec::<f32>::new());
        for (channel, list) in lists.enumerate() {
            for (candidate, share) in list.iter().zip(self.fusion().contributions(&list)) {
                let place = *places.entry(candidate.item).or_insert_with(|| {
                    items.push(candidate.item);
                    contributions.resize(contributions.len() + channels, 0.0);
                    contributions.len() / channels - 1
                });
                contributions[place * channels + channel] += share;
            }
        }
        Contributions {
            labels: labels
                .iter()
                .filter_map(|item| places.get(item).copied())
                .collect(),
            all_labels: labels.len(),
            items,
            contributions,
        }
    }
}

/// The mean share of labels among the first k by these weights.
fn recall_at(found: &[Contributions], weights: &[f64], k: usize) -> f64 {
    let weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
    let of_case = |case: &Contributions| -> f64 {
        if case.labels.is_empty() {
            return 0.0;
        }
        let rows = case.contributions.chunks_exact(weights.len());
        let scores: Vec<f32> = rows
            .map(|row| {
                row.iter()
                    .zip(&weights)
                    .map(|(share, weight)| share * weight)
                    .sum()
            })
            .collect();
        let is_found = |&&label: &&usize| {
            let (item, own) = (case.items[label], scores[label]);
            let before = |&(&other, &score): &(&ItemIndex, &f32)| {
                score > own || (score == own && other < item)
            };
            own > 0.0 && case.items.iter().zip(&scores).filter(before).count() < k
        };
        case.labels.iter().filter(is_found).count() as f64 / case.all_labels as f64
    };
    // In one order, so that the mean is the same on any number of threads.
    let each: Vec<f64> = found.par_iter().map(of_case).collect();
    each.iter().sum::<f64>() / found.len() as f64
}
