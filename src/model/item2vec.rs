//! Item2Vec: skip-gram over sequences.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor, TensorData};

use super::parts::{Dropout, Weights};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Loss, Objective, RecallerConfig, SampledLoss,
    SequenceRecaller, Similarity, TablePrecision,
};
use crate::backend::Backend;
use crate::data::{NegativeSampling, SequenceBatch, TrainingBatch};
use crate::{Error, Result, checks};

/// Item2Vec: items are near that are taken near each other. A user is the mean of their last items.
///
/// Barkan & Koenigstein, [Item2Vec](https://arxiv.org/abs/1603.04259), after Mikolov et al.,
/// [word2vec](https://arxiv.org/abs/1310.4546). Similarities are cosines, as there.
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct Item2VecConfig {
    /// The size of vectors.
    #[config(default = 64)]
    pub dim: usize,
    /// The largest distance of two neighbors within a sequence.
    #[config(default = 5)]
    pub window: usize,
    /// The number of a history's last items whose mean is the user vector.
    #[config(default = 5)]
    pub recent: usize,
    /// The number of consecutive items of a sequence that an epoch learns from, besides the target.
    #[config(default = 50)]
    pub max_len: usize,
    /// The precision of item vectors.
    #[config(default = "TablePrecision::Single")]
    pub table_precision: TablePrecision,
    /// The use of items' [features](crate::data::ItemFeatures); none unless set.
    pub item_features: Option<ItemFeaturesConfig>,
    /// The training objective.
    #[config(default = "skip_gram()")]
    pub objective: Objective,
}

/// Binary cross-entropy with negatives by popularity^0.75, searched by cosine.
fn skip_gram() -> Objective {
    let negatives = NegativeSampling::by_popularity(64, 0.75);
    Objective::new().with_loss(Loss::sampled(SampledLoss::Bce, negatives))
}

/// The model of [`Item2VecConfig`].
#[derive(Module, Debug)]
pub struct Item2Vec<B: BurnBackend> {
    /// The vectors that items are recalled by.
    pub embedding: ItemTable<B>,
    /// The vectors of items as neighbors of others, which only training uses.
    pub context: ItemTable<B>,
    #[module(skip)]
    config: Item2VecConfig,
}

impl RecallerConfig for Item2VecConfig {
    type Recaller<B: Backend> = Item2Vec<B>;

    const NAME: &'static str = "item2vec";

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("dim", self.dim),
            ("window", self.window),
            ("recent", self.recent),
            ("max_len", self.max_len),
        ])?;
        if let Loss::Sampled {
            loss: SampledLoss::Softmax { log_q: true },
            ..
        } = self.objective.loss
        {
            let reason = "can't be corrected for: targets are neighbors, not the batch's targets";
            return Err(Error::invalid("objective.loss.log_q", true, reason));
        }
        Ok(())
    }

    fn describe(&self) -> Description<'_> {
        Description {
            similarity: Similarity::Cosine,
            table_precision: self.table_precision,
            item_features: self.item_features.as_ref(),
            ..Description::new(&self.objective, self.max_len)
        }
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> Item2Vec<B> {
        Item2Vec {
            embedding: weights.items(items, self.dim),
            context: weights.items(items, self.dim),
            config: self.clone(),
        }
    }
}

/// Padded sequences and their lengths with the target after the last item, where there is one: it
/// is of the same sequence, and would be in no pair otherwise.
fn whole(
    items: &[i32],
    lengths: &[usize],
    [places, targets]: [&[i32]; 2],
) -> (Vec<i32>, Vec<usize>) {
    let len = items.len() / lengths.len().max(1);
    let mut rows = vec![0; items.len() + lengths.len()];
    for (row, items) in rows.chunks_exact_mut(len + 1).zip(items.chunks_exact(len)) {
        row[..len].copy_from_slice(items);
    }
    let mut longer = lengths.to_vec();
    for (&place, &target) in places.iter().zip(targets) {
        let (row, place) = (place as usize / len, place as usize % len);
        if place + 1 == lengths[row] {
            rows[row * (len + 1) + place + 1] = target;
            longer[row] = lengths[row] + 1;
        }
    }
    (rows, longer)
}

/// The pairs of neighbors in padded sequences, each both ways: items and their neighbors.
fn neighbors(items: &[i32], lengths: &[usize], window: usize) -> (Vec<i32>, Vec<i32>) {
    let (mut centers, mut others) = (Vec::new(), Vec::new());
    let len = items.len() / lengths.len().max(1);
    for (row, &length) in items.chunks_exact(len).zip(lengths) {
        for (place, &item) in row[..length].iter().enumerate() {
            for &other in &row[place + 1..length.min(place + 1 + window)] {
                centers.extend([item, other]);
                others.extend([other, item]);
            }
        }
    }
    (centers, others)
}

impl<B: Backend> SequenceRecaller<B> for Item2Vec<B> {
    type Config = Item2VecConfig;

    fn config(&self) -> &Item2VecConfig {
        &self.config
    }

    fn items(&self) -> &ItemTable<B> {
        &self.embedding
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        _: Dropout,
    ) -> Tensor<B, 3> {
        let [_, len] = histories.items.dims();
        let device = histories.items.device();
        let places: Vec<usize> = positions
            .into_data()
            .iter::<i64>()
            .map(|at| at as usize)
            .collect();
        let mut shares = vec![0.0; places.len() * len];
        for (shares, place) in shares.chunks_exact_mut(len).zip(&places) {
            let end = place % len + 1;
            let first = end.saturating_sub(self.config.recent);
            shares[first..end].fill(1.0 / (end - first) as f32);
        }
        let shares = TensorData::new(shares, [places.len(), 1, len]);
        let rows: Vec<i32> = places.iter().map(|place| (place / len) as i32).collect();
        let rows = Tensor::<B, 1, Int>::from_data(rows.as_slice(), &device);
        let items = self
            .embedding
            .lookup::<2, 3>(histories.items.clone().select(0, rows));
        let [count, _, dim] = items.dims();
        let items = Similarity::Cosine.prepare_tensor(items.reshape([count * len, dim]));
        Tensor::<B, 3>::from_data(shares, &device).matmul(items.reshape([count, len, dim]))
    }

    /// The loss of all pairs of neighbors among the histories and what comes after each; the other
    /// targets of the batch are items of the same histories.
    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let device = self.embedding.device();
        let items: Vec<i32> = batch.histories.items.clone().into_data().iter().collect();
        let targets = [&batch.positions, &batch.targets]
            .map(|values| values.clone().into_data().iter().collect::<Vec<i32>>());
        let lengths = &batch.histories.lengths;
        let (items, lengths) = whole(&items, lengths, [&targets[0], &targets[1]]);
        let (centers, others) = neighbors(&items, &lengths, self.config.window);
        if centers.is_empty() {
            // All sequences are of one item: nothing to learn, and no gradient but 0.
            let padding = Tensor::zeros([1], &device);
            let padding = self.embedding.lookup::<1, 2>(padding);
            return padding.sum().mul_scalar(0.0);
        }
        let tensor = |values: Vec<i32>| Tensor::<B, 1, Int>::from_data(values.as_slice(), &device);
        let centers = self.embedding.lookup(tensor(centers));
        let pairs = TrainingBatch {
            targets: tensor(others),
            ..batch.clone()
        };
        self.config
            .objective
            .mean_loss(centers, &self.context, &pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_item_of_a_sequence_is_in_pairs() {
        // 1 2 3 and then 4, of which 2 is a target as well, and 5, whose next is no target.
        let places_and_targets: [&[i32]; 2] = [&[0, 2], &[2, 4]];
        let (items, lengths) = whole(&[1, 2, 3, 5, 0, 0], &[3, 1], places_and_targets);
        assert_eq!(items, [1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(lengths, [4, 1]);
    }

    #[test]
    fn neighbors_are_within_the_window_and_the_sequence() {
        let (centers, others) = neighbors(&[1, 2, 3, 4, 5, 0], &[4, 1][..1], 2);
        let pairs: Vec<_> = centers.into_iter().zip(others).collect();
        let expected = [
            (1, 2),
            (2, 1),
            (1, 3),
            (3, 1),
            (2, 3),
            (3, 2),
            (2, 4),
            (4, 2),
            (3, 4),
            (4, 3),
        ];
        assert_eq!(pairs, expected);
        assert_eq!(
            neighbors(&[7, 0, 8, 9], &[1, 2], 5),
            (vec![8, 9], vec![9, 8])
        );
    }
}
