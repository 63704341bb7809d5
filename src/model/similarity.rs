//! Similarities of vectors.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use ndarray::ArrayViewMut2;
use serde::{Deserialize, Serialize};

use crate::kernels::rows::{SHORTEST_SQUARE, scale_to_length_one};
use crate::{Error, Result};

/// The similarity of user and item vectors. It is chosen once, with the model, and travels with
/// it, so that search can't silently use another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Similarity {
    /// The inner product.
    #[default]
    Dot,
    /// The inner product of the vectors scaled to length 1.
    Cosine,
}

impl Similarity {
    /// Scales each row to length 1 under cosine, and changes nothing under dot; after it the
    /// inner product is the similarity.
    pub fn prepare(self, rows: ArrayViewMut2<'_, f32>) {
        if self == Self::Cosine {
            scale_to_length_one(rows);
        }
    }

    /// Scales each row of a tensor `[rows, dim]` as [`prepare`](Self::prepare) does.
    pub fn prepare_tensor<B: Backend>(self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Dot => rows,
            Self::Cosine => {
                let squares = rows.clone().square().sum_dim(1);
                // Under the root, where a clamp leaves the gradient of a zero vector finite.
                rows / squares.clamp_min(SHORTEST_SQUARE).sqrt()
            }
        }
    }
}

impl FromStr for Similarity {
    type Err = Error;

    /// `dot` or `cosine`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "dot" => Ok(Self::Dot),
            "cosine" => Ok(Self::Cosine),
            _ => Err(Error::invalid("similarity", name, "must be dot or cosine")),
        }
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dot => "dot",
            Self::Cosine => "cosine",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_scales_to_length_one_and_keeps_zeros() {
        let mut rows = ndarray::array![[3.0, 4.0], [0.0, 0.0]];
        Similarity::Dot.prepare(rows.view_mut());
        assert_eq!(rows, ndarray::array![[3.0, 4.0], [0.0, 0.0]]);
        Similarity::Cosine.prepare(rows.view_mut());
        assert_eq!(rows, ndarray::array![[0.6, 0.8], [0.0, 0.0]]);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn training_and_search_scale_alike_however_short_vectors_are() {
        use crate::backend::Flex;
        let rows = ndarray::array![[3e-4, 4e-4], [3e-7, -4e-7], [3e-8, 0.0], [1e-20, 2e-21]];
        let mut searched = rows.clone();
        Similarity::Cosine.prepare(searched.view_mut());
        let values: Vec<f32> = rows.iter().copied().collect();
        let values = burn::tensor::TensorData::new(values, rows.shape().to_vec());
        let trained = Tensor::<Flex, 2>::from_data(values, &Default::default());
        let trained = Similarity::Cosine.prepare_tensor(trained).into_data();
        for (searched, trained) in searched.iter().zip(trained.iter::<f32>()) {
            assert!(
                (searched - trained).abs() <= 1e-6 * trained.abs(),
                "{searched} {trained}"
            );
        }
    }

    #[test]
    fn names_are_read_back() {
        for similarity in [Similarity::Dot, Similarity::Cosine] {
            assert_eq!(
                similarity.to_string().parse::<Similarity>().unwrap(),
                similarity
            );
        }
        assert!("euclid".parse::<Similarity>().is_err());
    }
}
