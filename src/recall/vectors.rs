//! A model's vectors as arrays, ready for an index.

use burn::tensor::Tensor;
use ndarray::Array2;

use crate::backend::Backend;
use crate::data::SequenceBatch;
use crate::index::Hit;
use crate::kernels::top_k;
use crate::model::SequenceRecaller;

fn to_array<B: Backend>(rows: Tensor<B, 2>) -> Array2<f32> {
    let shape = rows.dims();
    let values = rows.into_data().iter::<f32>().collect();
    Array2::from_shape_vec(shape, values).expect("a tensor has as many values as its shape")
}

/// A model's item vectors `[items + 1, dim]`, scaled to length 1 where its similarity is the
/// cosine: what an [index](crate::index) is built from. Row 0 is padding.
pub fn item_vectors<B: Backend, M: SequenceRecaller<B>>(model: &M) -> Array2<f32> {
    let mut vectors = to_array(model.item_embeddings());
    model.similarity().prepare(vectors.view_mut());
    vectors
}

/// The vectors of histories, `[batch * interests, dim]` with a history's interests one after
/// another, scaled to length 1 where the model's similarity is the cosine: what an
/// [index](crate::index) is searched with.
pub fn user_vectors<B: Backend, M: SequenceRecaller<B>>(
    model: &M,
    histories: &SequenceBatch<B>,
) -> Array2<f32> {
    let vectors = model.encode(histories);
    let [batch, interests, dim] = vectors.dims();
    let mut vectors = to_array(vectors.reshape([batch * interests, dim]));
    model.similarity().prepare(vectors.view_mut());
    vectors
}

/// The hits of several interests as one list: each item once, with its best score.
pub(super) fn merge_interests(mut interests: Vec<Vec<Hit>>, k: usize) -> Vec<Hit> {
    if interests.len() == 1 {
        return interests.pop().unwrap_or_default();
    }
    let mut scored: Vec<top_k::Scored> = interests
        .into_iter()
        .flatten()
        .map(|hit| (hit.item, hit.score))
        .collect();
    scored.sort_unstable_by(top_k::best_first);
    let mut merged: Vec<Hit> = Vec::with_capacity(k);
    for (item, score) in scored {
        if merged.len() == k {
            break;
        }
        if merged.iter().all(|hit| hit.item != item) {
            merged.push(Hit { item, score });
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interests_are_merged_by_best_score() {
        let hit = |item, score| Hit { item, score };
        let merged = merge_interests(
            vec![
                vec![hit(1, 0.9), hit(2, 0.5)],
                vec![hit(2, 0.8), hit(3, 0.5), hit(1, 0.1)],
            ],
            3,
        );
        assert_eq!(merged, [hit(1, 0.9), hit(2, 0.8), hit(3, 0.5)]);
    }
}
