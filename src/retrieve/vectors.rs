//! A model's vectors as arrays, ready for an index.

use burn::tensor::Tensor;
use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{Catalog, SequenceBatch};
use crate::model::{RecallerConfig, SequenceRecaller};
use crate::{Result, checks::same_length};

/// Refuses a model that is of another number of items than a catalog.
pub(crate) fn check_items<B: Backend, M: SequenceRecaller<B>>(
    model: &M,
    catalog: &Catalog,
) -> Result<()> {
    same_length("items of the model", catalog.len(), model.items().items())
}

/// A tensor's values, row by row.
pub(super) fn to_host<B: Backend>(rows: Tensor<B, 2>) -> Vec<f32> {
    // As one block: a million vectors are many values to take one by one.
    let data = rows.into_data().convert::<f32>();
    data.into_vec().expect("they were made single numbers")
}

fn to_array<B: Backend>(rows: Tensor<B, 2>) -> Array2<f32> {
    let shape = rows.dims();
    Array2::from_shape_vec(shape, to_host(rows)).expect("a tensor has as many values as its shape")
}

/// A model's item vectors `[items + 1, dim]`, scaled to length 1 where its similarity is the
/// cosine: what an [index](crate::index) is built from. Row 0 is padding.
pub fn item_vectors<B: Backend, M: SequenceRecaller<B>>(model: &M) -> Array2<f32> {
    let mut vectors = to_array(model.item_embeddings());
    (model.config().describe().similarity).prepare(vectors.view_mut());
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
    (model.config().describe().similarity).prepare(vectors.view_mut());
    vectors
}
