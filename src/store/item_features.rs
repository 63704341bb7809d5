//! The features of a catalog's items in a run folder.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::arrays::{ArrayReader, ArrayWriter};
use super::run_folder::parse;
use crate::Result;
use crate::data::{GivenVectors, ItemFeatures, ItemLabels, ItemNumbers, Scale};
use crate::error::damaged;

/// The names of what the arrays hold.
#[derive(Serialize, Deserialize)]
struct FeatureNames {
    columns: Vec<String>,
    labels: Vec<String>,
    numbers: Vec<Scale>,
    vectors: Vec<String>,
}

/// The file's contents.
pub(super) fn to_bytes(features: &ItemFeatures, path: &Path) -> Result<Vec<u8>> {
    let names = FeatureNames {
        columns: features.item_labels().columns().to_vec(),
        labels: features.labels().to_vec(),
        numbers: features.numbers().scales().to_vec(),
        vectors: (features.given().iter().map(|given| given.name().to_owned())).collect(),
    };
    let names = serde_json::to_vec(&names).map_err(|error| damaged(path, error.to_string()))?;
    let mut arrays = ArrayWriter::default();
    arrays.add("names", names.into_iter());
    let labels = features.item_labels();
    arrays.add("labels.offsets", labels.offsets().iter().copied());
    arrays.add("labels", labels.all().iter().copied());
    arrays.add("numbers", features.numbers().values().iter().copied());
    for (place, given) in features.given().iter().enumerate() {
        let known = given.are_known().iter().map(|&known| u8::from(known));
        arrays.add(&format!("vectors.{place}.known"), known);
        arrays.add_matrix(&format!("vectors.{place}"), given.vectors().view());
    }
    arrays.finish(path)
}

/// The features of `items` items that a file holds.
pub(super) fn from_bytes(bytes: &[u8], items: usize, path: &Path) -> Result<ItemFeatures> {
    let arrays = ArrayReader::new(path.to_owned(), bytes)?;
    let broken = |what: &str| damaged(path, format!("its {what} are not whole"));
    let names: FeatureNames = parse(&arrays.get::<u8>("names")?, path)?;
    let rows = items + 1;
    let labels = ItemLabels::from_parts(
        [names.columns, names.labels],
        arrays.get("labels.offsets")?,
        arrays.get("labels")?,
    );
    let labels = labels.filter(|labels| labels.offsets().len() == rows + 1);
    let numbers = ItemNumbers::from_parts(names.numbers, rows, arrays.get("numbers")?);
    let mut given = Vec::new();
    for (place, name) in names.vectors.into_iter().enumerate() {
        let known: Vec<u8> = arrays.get(&format!("vectors.{place}.known"))?;
        let known: Vec<bool> = known.into_iter().map(|known| known > 0).collect();
        let values = arrays.get(&format!("vectors.{place}"))?;
        let of_items = known.len() == rows;
        let vectors = GivenVectors::from_parts(name, known, values).filter(|_| of_items);
        given.push(vectors.ok_or_else(|| broken("vectors"))?);
    }
    Ok(ItemFeatures::from_parts(
        rows,
        labels.ok_or_else(|| broken("labels"))?,
        numbers.ok_or_else(|| broken("numbers"))?,
        given,
    ))
}
