//! The index that the test split is searched with.

use ndarray::Array2;
use seqrec::Result;
use seqrec::backend::Backend;
use seqrec::data::Split;
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, HnswRsIndex, VectorIndex};
use seqrec::model::SequenceRecaller;
use seqrec::retrieve::exact_index;

use super::options::{IndexName, Options};
use super::record;

/// Makes the index that was asked for, and says what it finds where it isn't exact.
pub fn of_items<B: Backend>(
    model: &impl SequenceRecaller<B>,
    vectors: &Array2<f32>,
    split: &Split,
    options: &Options,
) -> Result<Box<dyn VectorIndex>> {
    let index: Box<dyn VectorIndex> = match options.index {
        IndexName::Flat => exact_index(model)?,
        IndexName::Hnsw => Box::new(HnswIndex::new(vectors.view(), &HnswConfig::new())?),
        IndexName::HnswRs => Box::new(HnswRsIndex::new(vectors.view(), &HnswConfig::new())?),
    };
    if !index.is_exact() {
        let found = share_found(model, &index, vectors, split, options)?;
        eprintln!("the index finds {found:.4} of the true best");
    }
    Ok(index)
}

/// The share of what exact search finds for test users that an index finds.
fn share_found<B: Backend>(
    model: &impl SequenceRecaller<B>,
    index: &dyn VectorIndex,
    vectors: &Array2<f32>,
    split: &Split,
    options: &Options,
) -> Result<f64> {
    const USERS: usize = 500;
    let k = options.k.iter().copied().max().unwrap_or(50);
    let users = record::test_users(model, split, USERS)?;
    let exact = FlatIndex::new(vectors)?.search(users.view(), k, None)?;
    Ok(index.search(users.view(), k, None)?.recall(&exact))
}
