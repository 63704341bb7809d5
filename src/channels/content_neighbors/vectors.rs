//! Neighbors by given vectors: cosines, through an index.

use ndarray::{Array1, Array2, Axis, s};

use crate::Result;
use crate::data::{GivenVectors, ItemIndex};
use crate::index::{IndexPlan, VectorIndex};
use crate::kernels::rows::scale_to_length_one;
use crate::recall::Links;

/// How many items' neighbors are searched for at a time.
const BLOCK: usize = 4096;

/// The nearest items of each item, best first.
pub(super) fn neighbors(
    given: &GivenVectors,
    centered: bool,
    count: usize,
    plan: &IndexPlan,
) -> Result<Links<ItemIndex, ItemIndex>> {
    let rows = given.vectors().nrows();
    let mut links = Links::to(rows);
    // Those of items without one would be neighbors of each other.
    let known: Vec<usize> = (0..rows).filter(|&row| given.are_known()[row]).collect();
    if known.is_empty() {
        return Ok(links);
    }
    let mut vectors = with_padding(given, &known, centered);
    scale_to_length_one(vectors.view_mut());
    let (index, _) = plan.build_of_vectors(vectors.view(), count)?;
    let vectors = vectors.slice(s![1.., ..]);
    for (block, queries) in vectors.axis_chunks_iter(Axis(0), BLOCK).enumerate() {
        // The nearest of all is the item itself, or one that is the same.
        let hits = index.search(queries, count.saturating_add(1), None)?;
        for place in 0..queries.nrows() {
            let row = known[block * BLOCK + place];
            while links.len() < row {
                links.push([]);
            }
            let found = hits.list(place).filter(|hit| hit.score > 0.0);
            let found = found.map(|hit| (known[hit.item.to_usize() - 1], hit.score));
            let others = found.filter(|&(other, _)| other != row).take(count);
            links.push(others.map(|(other, cosine)| (other as u32, cosine)));
        }
    }
    Ok(links)
}

/// The vectors of some rows, after one of padding, less their mean where that is asked for.
fn with_padding(given: &GivenVectors, known: &[usize], centered: bool) -> Array2<f32> {
    let all = given.vectors();
    let mut mean = Array1::<f64>::zeros(all.ncols());
    if centered {
        for &row in known {
            mean.zip_mut_with(&all.row(row), |sum, &value| *sum += f64::from(value));
        }
        mean /= known.len() as f64;
    }
    let mut vectors = Array2::zeros((known.len() + 1, all.ncols()));
    let rows = vectors.axis_iter_mut(Axis(0)).skip(1);
    for (mut vector, &row) in rows.zip(known) {
        // What is left of a vector that is the mean is 0, and no rounding error to be scaled up.
        for ((left, &value), mean) in vector.iter_mut().zip(&all.row(row)).zip(&mean) {
            *left = (f64::from(value) - mean) as f32;
        }
    }
    vectors
}
