//! Negative sampling: the items that a target is contrasted with.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use rand::Rng;

use super::catalog::Catalog;
use crate::settings::settings;
use crate::{Error, Result, checks};

settings! {
    /// Where a batch's negatives come from. One set serves all rows of a batch, so that their
    /// scores are one matrix product; a row's own target is never among its negatives.
    ///
    /// Both sources together, as in GRU4Rec (Hidasi & Karatzoglou,
    /// [2018](https://arxiv.org/abs/1706.03847)), give popular items as negatives from the batch
    /// and rare ones from the draws.
    #[derive(Copy)]
    pub struct NegativeSampling {
        /// How many of the batch's own targets serve as negatives for its other rows; a batch with
        /// fewer gives all of them.
        pub in_batch: usize = 0, with_in_batch;
        /// How many items are drawn from the catalog for each batch.
        pub drawn: usize = 0, with_drawn;
        /// Items are drawn with a chance that goes with their popularity to this power: 0 is
        /// uniform, 1 is by popularity.
        pub exponent: f64 = 0.0, with_exponent;
    }
}

impl NegativeSampling {
    /// Items drawn uniformly from the catalog.
    pub fn uniform(drawn: usize) -> Self {
        Self::by_popularity(drawn, 0.0)
    }

    /// Items drawn by their popularity to the power of `exponent`.
    pub fn by_popularity(drawn: usize, exponent: f64) -> Self {
        Self {
            in_batch: 0,
            drawn,
            exponent,
        }
    }

    /// The batch's own targets.
    pub fn in_batch(in_batch: usize) -> Self {
        Self {
            in_batch,
            drawn: 0,
            exponent: 0.0,
        }
    }

    /// Checks the settings for a catalog of `items` items.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when there would be no
    /// negatives, or more are to be drawn than there are items besides the target.
    pub fn validate(&self, items: usize) -> Result<()> {
        if self.in_batch == 0 && self.drawn == 0 {
            let reason = "must be at least 1 where in_batch is 0";
            return Err(Error::invalid("negatives.drawn", 0, reason));
        }
        if self.drawn >= items {
            let reason = format!("must be below the number of items, {items}");
            return Err(Error::invalid("negatives.drawn", self.drawn, reason));
        }
        checks::not_negative("negatives.exponent", self.exponent)?;
        // Counts to a greater power are no longer numbers.
        if self.exponent > 16.0 {
            let reason = "must be at most 16";
            return Err(Error::invalid("negatives.exponent", self.exponent, reason));
        }
        Ok(())
    }
}

/// Draws negatives for batches.
#[derive(Debug, Clone)]
pub(super) struct NegativeSampler {
    sampling: NegativeSampling,
    /// Each item's chance at one target of a batch and at one draw, `[items + 1]`.
    chances: Vec<[f64; 2]>,
    /// The summed chances of a draw up to and with each item, `[items + 1]`.
    cumulative: Vec<f64>,
}

impl NegativeSampler {
    /// A sampler for a catalog whose interactions are counted, where items are targets so often.
    ///
    /// # Errors
    /// As [`NegativeSampling::validate`], and when nothing is counted but chances depend on counts.
    pub(super) fn new(
        sampling: NegativeSampling,
        catalog: &Catalog,
        targets: &[u64],
    ) -> Result<Self> {
        sampling.validate(catalog.len())?;
        let counts = catalog.counts();
        // What nobody has taken is not known to be unwanted: as a negative it would teach the model
        // that such features are never next.
        let among_taken =
            catalog.item_features().is_some() && counts.iter().any(|&count| count > 0);
        let weight = |(item, &count): (usize, &u64)| match (item, sampling.exponent) {
            (0, _) => 0.0,
            (_, 0.0) if among_taken && count == 0 => 0.0,
            (_, 0.0) => 1.0,
            (_, exponent) => (count as f64).powf(exponent),
        };
        let weights: Vec<f64> = counts.iter().enumerate().map(weight).collect();
        let all: f64 = weights.iter().sum();
        if all == 0.0 {
            let reason = "needs a catalog whose interactions are counted";
            return Err(Error::invalid(
                "negatives.exponent",
                sampling.exponent,
                reason,
            ));
        }
        let all_targets = targets.iter().sum::<u64>().max(1) as f64;
        let chances = targets.iter().zip(&weights);
        let chances = chances.map(|(&count, weight)| [count as f64 / all_targets, weight / all]);
        let mut sum = 0.0;
        let cumulative = weights.iter().map(|weight| {
            sum += weight;
            sum
        });
        Ok(Self {
            sampling,
            cumulative: cumulative.collect(),
            chances: chances.collect(),
        })
    }

    /// Negatives for a batch with these targets, each item once.
    pub(super) fn sample(&self, targets: &[i32], random: &mut impl Rng) -> HostNegatives {
        let NegativeSampling {
            in_batch, drawn, ..
        } = self.sampling;
        let in_batch = in_batch.min(targets.len());
        // Evenly over the batch, whose rows lie one after another.
        let own = (0..in_batch).map(|place| targets[place * targets.len() / in_batch]);
        let mut items: Vec<i32> = own.collect();
        let all = *self.cumulative.last().expect("row 0 is always there");
        items.extend((0..drawn).map(|_| {
            let point = random.random_range(0.0..all);
            self.cumulative.partition_point(|&sum| sum <= point) as i32
        }));
        items.sort_unstable();
        items.dedup();
        let log_chances = |items: &[i32]| -> Vec<f32> {
            let of = |&item: &i32| self.log_chance(item as usize, in_batch);
            items.iter().map(of).collect()
        };
        let place = |target| {
            items
                .binary_search(target)
                .ok()
                .map(|place| place as i32 + 1)
        };
        HostNegatives {
            log_chances: log_chances(&items),
            log_chances_of_targets: log_chances(targets),
            places_of_targets: targets.iter().map(place).collect(),
            items,
        }
    }

    /// `ln(1 - (1 - p)^M (1 - q)^N)`, the chance of an item to be among M targets or N draws.
    fn log_chance(&self, item: usize, in_batch: usize) -> f32 {
        let [at_target, at_draw] = self.chances[item];
        let log_missing = |chance: f64, tries: usize| match tries {
            0 => 0.0,
            tries => tries as f64 * (-chance).ln_1p(),
        };
        let missing = log_missing(at_target, in_batch) + log_missing(at_draw, self.sampling.drawn);
        (-missing.exp_m1()).max(f64::from(f32::MIN_POSITIVE)).ln() as f32
    }
}

/// A batch's negatives on the host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HostNegatives {
    items: Vec<i32>,
    log_chances: Vec<f32>,
    log_chances_of_targets: Vec<f32>,
    places_of_targets: Option<Vec<i32>>,
}

impl HostNegatives {
    pub(super) fn into_tensors<B: Backend>(self, device: &B::Device) -> Negatives<B> {
        let floats = |values: Vec<f32>| {
            let shape = [values.len()];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let integers = |values: Vec<i32>| {
            let shape = [values.len()];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Negatives {
            items: integers(self.items),
            places_of_targets: self.places_of_targets.map(integers),
            log_chances: floats(self.log_chances),
            log_chances_of_targets: floats(self.log_chances_of_targets),
        }
    }
}

/// A batch's negatives on a device.
#[derive(Debug, Clone)]
pub struct Negatives<B: Backend> {
    /// The items, each once and none of them 0, `[negatives]`. A row's own target may be among
    /// them; losses leave it out.
    pub items: Tensor<B, 1, Int>,
    /// The logarithm of each one's chance to be among a batch's negatives, `[negatives]`: what
    /// logQ correction subtracts. An item with the chance p at each of M targets of the batch and
    /// q at each of N draws has 1 - (1 - p)^M (1 - q)^N, which for rare items is M·p + N·q.
    pub log_chances: Tensor<B, 1>,
    /// The same for the batch's targets, `[targets]`.
    pub log_chances_of_targets: Tensor<B, 1>,
    /// Which of the negatives each target is, from 1, `[targets]`, where all of them are among the
    /// negatives: a softmax then is over the same items for every row, and needs no matrix of
    /// scores.
    pub places_of_targets: Option<Tensor<B, 1, Int>>,
}

#[cfg(test)]
mod tests {
    use super::super::{ExternalId, ItemIndex, Items};
    use super::*;
    use crate::ErrorKind;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn catalog() -> Catalog {
        let ids = (0..6i64).map(ExternalId::from);
        let rows: Vec<u32> = [(1, 100), (2, 50), (3, 10), (4, 5), (5, 1)]
            .into_iter()
            .flat_map(|(item, count)| std::iter::repeat_n(item, count))
            .collect();
        Catalog::from_ids(ids)
            .unwrap()
            .with_counts([ItemIndex::from_slice(&rows)])
    }

    /// Chances are what draws show, for both sources and both exponents.
    #[test]
    fn chances_are_those_of_the_draws() {
        const BATCHES: usize = 20_000;
        for (in_batch, drawn, exponent) in [(0, 3, 0.0), (0, 4, 0.5), (3, 2, 1.0), (4, 0, 0.0)] {
            let sampling = NegativeSampling::new()
                .with_in_batch(in_batch)
                .with_drawn(drawn)
                .with_exponent(exponent);
            let catalog = catalog();
            let sampler = NegativeSampler::new(sampling, &catalog, catalog.counts()).unwrap();
            // Targets come by popularity, as those of batches do.
            let targets = NegativeSampler::new(
                NegativeSampling::by_popularity(1, 1.0),
                &catalog,
                catalog.counts(),
            )
            .unwrap();
            let mut random = ChaCha8Rng::seed_from_u64(5);
            let mut found = [0usize; 7];
            let mut expected = [0.0f64; 7];
            for _ in 0..BATCHES {
                let batch: Vec<i32> = (0..in_batch.max(1))
                    .map(|_| targets.sample(&[1], &mut random).items[0])
                    .collect();
                let negatives = sampler.sample(&batch, &mut random);
                for (&item, &log_chance) in negatives.items.iter().zip(&negatives.log_chances) {
                    found[item as usize] += 1;
                    expected[item as usize] = f64::from(log_chance).exp();
                }
            }
            assert_eq!(found[0], 0, "padding is never drawn");
            for (item, (found, expected)) in found.into_iter().zip(expected).enumerate().skip(1) {
                let found = found as f64 / BATCHES as f64;
                assert!(
                    (found - expected).abs() < 0.015,
                    "{item}: {found} is not {expected}"
                );
            }
        }
    }

    /// Where items have features, those that nobody has taken are no negatives.
    #[test]
    fn new_items_are_drawn_only_where_nothing_is_known_of_them() {
        let catalog = catalog();
        let kinds = (0..6i64).map(|item| [["a", "b"][item as usize % 2]]);
        let items = Items::new(0..6i64)
            .unwrap()
            .with_tags("kind", kinds)
            .unwrap();
        let features = items.features(&catalog, &["kind"]).unwrap();
        let described = catalog.clone().with_item_features(Some(features.into()));
        for (catalog, is_drawn) in [(catalog, true), (described, false)] {
            let sampler =
                NegativeSampler::new(NegativeSampling::uniform(5), &catalog, catalog.counts())
                    .unwrap();
            let mut random = ChaCha8Rng::seed_from_u64(5);
            let found = (0..50).any(|_| sampler.sample(&[1], &mut random).items.contains(&6));
            assert_eq!(found, is_drawn);
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let catalog = catalog();
        for (sampling, field) in [
            (NegativeSampling::uniform(0), "negatives.drawn"),
            (NegativeSampling::uniform(6), "negatives.drawn"),
            (
                NegativeSampling::by_popularity(2, -1.0),
                "negatives.exponent",
            ),
            (
                NegativeSampling::by_popularity(2, 400.0),
                "negatives.exponent",
            ),
        ] {
            let error = NegativeSampler::new(sampling, &catalog, catalog.counts()).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::InvalidValue { field: found, .. } if *found == field)
            );
        }
        let uncounted = Catalog::from_ids([1i64, 2].map(ExternalId::from)).unwrap();
        assert!(
            NegativeSampler::new(
                NegativeSampling::by_popularity(1, 0.5),
                &uncounted,
                uncounted.counts()
            )
            .is_err()
        );
        assert!(
            NegativeSampler::new(NegativeSampling::uniform(1), &uncounted, uncounted.counts())
                .is_ok()
        );
    }
}
