//! Item2Vec: skip-gram over sequences.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor, TensorData};

use super::objective::nothing_to_learn;
use super::parts::{Dropout, Weights};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Loss, Objective, RecallerConfig, SampledLoss,
    SequenceRecaller, Similarity, TablePrecision,
};
use crate::backend::Backend;
use crate::data::{NegativeSampling, Negatives, SequenceBatch, TrainingBatch};
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

/// Padded sequences, on the host.
#[derive(Debug, PartialEq)]
struct WeighedSequences {
    items: Vec<i32>,
    /// The weight of each item as a neighbor of others, below 0 where it is disliked.
    weights: Vec<f32>,
    lengths: Vec<usize>,
}

impl WeighedSequences {
    /// The histories of a batch with the target after the last item, where there is one: it is of
    /// the same sequence, and would be in no pair otherwise.
    fn of<B: Backend>(batch: &TrainingBatch<B>) -> Self {
        let integers = |values: &Tensor<B, 1, Int>| values.clone().into_data().iter().collect();
        let [places, targets]: [Vec<i32>; 2] = [&batch.positions, &batch.targets].map(integers);
        let items: Vec<i32> = batch.histories.items.clone().into_data().iter().collect();
        let mut weights = match &batch.weights {
            Some(weights) => weights.clone().into_data().iter().collect(),
            None => vec![1.0; targets.len()],
        };
        let wanted = targets.len() - batch.disliked;
        weights[wanted..]
            .iter_mut()
            .for_each(|weight| *weight = -*weight);
        Self::whole(
            &items,
            &batch.histories.lengths,
            (&places, &targets, &weights),
        )
    }

    /// Padded histories and their lengths with what is predicted at some places, which has weights.
    fn whole(
        items: &[i32],
        lengths: &[usize],
        (places, targets, weights): (&[i32], &[i32], &[f32]),
    ) -> Self {
        let len = items.len() / lengths.len().max(1);
        let mut whole = Self {
            items: vec![0; items.len() + lengths.len()],
            weights: vec![1.0; items.len() + lengths.len()],
            lengths: lengths.to_vec(),
        };
        let rows = whole.items.chunks_exact_mut(len + 1);
        for (row, items) in rows.zip(items.chunks_exact(len)) {
            row[..len].copy_from_slice(items);
        }
        for ((&place, &target), &weight) in places.iter().zip(targets).zip(weights) {
            let (row, place) = (place as usize / len, place as usize % len);
            let after = row * (len + 1) + place + 1;
            whole.weights[after] = weight;
            if place + 1 == lengths[row] {
                whole.items[after] = target;
                whole.lengths[row] = lengths[row] + 1;
            }
        }
        whole
    }

    /// The pairs of neighbors, each both ways: items, their neighbors and the weights of these. The
    /// last ones, of which the count is given, are of neighbors that are disliked; a disliked item
    /// itself has none.
    fn neighbors(&self, window: usize) -> (Vec<Pair>, usize) {
        let (mut pairs, mut disliked) = (Vec::new(), Vec::new());
        let len = self.items.len() / self.lengths.len().max(1);
        let rows = self
            .items
            .chunks_exact(len)
            .zip(self.weights.chunks_exact(len));
        for ((items, weights), &length) in rows.zip(&self.lengths) {
            let mut add = |item: usize, other: usize| {
                let pair = (items[item], items[other], weights[other].abs());
                if weights[item] >= 0.0 && weights[other] >= 0.0 {
                    pairs.push(pair);
                } else if weights[item] >= 0.0 {
                    disliked.push(pair);
                }
            };
            for place in 0..length {
                for other in place + 1..length.min(place + 1 + window) {
                    add(place, other);
                    add(other, place);
                }
            }
        }
        let count = disliked.len();
        pairs.append(&mut disliked);
        (pairs, count)
    }
}

/// An item, a neighbor and its weight.
type Pair = (i32, i32, f32);

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
        let (pairs, disliked) = WeighedSequences::of(batch).neighbors(self.config.window);
        if pairs.is_empty() {
            // All sequences are of one item.
            return nothing_to_learn(&self.embedding, batch);
        }
        let device = self.embedding.device();
        let tensor = |values: Vec<i32>| Tensor::<B, 1, Int>::from_data(values.as_slice(), &device);
        let centers = pairs.iter().map(|&(item, _, _)| item).collect();
        let centers = self.embedding.lookup(tensor(centers));
        let pairs = TrainingBatch {
            targets: tensor(pairs.iter().map(|&(_, other, _)| other).collect()),
            weights: batch.weights.as_ref().map(|_| {
                let weights: Vec<f32> = pairs.iter().map(|&(_, _, weight)| weight).collect();
                Tensor::from_data(weights.as_slice(), &device)
            }),
            disliked,
            // Those of pairs stand elsewhere.
            negatives: batch.negatives.clone().map(|negatives| Negatives {
                places_of_targets: None,
                ..negatives
            }),
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
        let predicted = (&[0, 2][..], &[2, 4][..], &[3.0, -0.5][..]);
        let whole = WeighedSequences::whole(&[1, 2, 3, 5, 0, 0], &[3, 1], predicted);
        assert_eq!(whole.items, [1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(whole.weights, [1.0, 3.0, 1.0, -0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(whole.lengths, [4, 1]);
    }

    fn sequences(items: &[i32], weights: &[f32], lengths: &[usize]) -> WeighedSequences {
        WeighedSequences {
            items: items.to_vec(),
            weights: weights.to_vec(),
            lengths: lengths.to_vec(),
        }
    }

    #[test]
    fn neighbors_are_within_the_window_and_the_sequence() {
        let pairs = |sequences: WeighedSequences, window| {
            let (pairs, disliked) = sequences.neighbors(window);
            assert_eq!(disliked, 0);
            let pairs = pairs.into_iter().map(|(item, other, _)| (item, other));
            pairs.collect::<Vec<_>>()
        };
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
        let of_one = sequences(&[1, 2, 3, 4, 5, 0], &[1.0; 6], &[4]);
        assert_eq!(pairs(of_one, 2), expected);
        let of_two = sequences(&[7, 0, 8, 9], &[1.0; 4], &[1, 2]);
        assert_eq!(pairs(of_two, 5), [(8, 9), (9, 8)]);
    }

    #[test]
    fn disliked_neighbors_come_last_and_have_none_of_their_own() {
        let (pairs, disliked) = sequences(&[1, 2, 3], &[1.0, -0.5, 2.0], &[3]).neighbors(2);
        assert_eq!(disliked, 2);
        let expected = [(1, 3, 2.0), (3, 1, 1.0), (1, 2, 0.5), (3, 2, 0.5)];
        assert_eq!(pairs, expected);
    }
}
