//! A trained model with items that its training did not know of.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata, TensorPrimitive};

use super::{Run, VectorTable};
use crate::backend::Backend;
use crate::data::{ExternalId, ItemFeatures, Items};
use crate::model::{RecallerConfig, SequenceRecaller, drawn, for_each_parameter, map_parameters};
use crate::{Error, ErrorKind, Result, checks};

impl<B: Backend, C: RecallerConfig> Run<B, C> {
    /// This run with the items of a table that its catalog lacks, after its own: each has the
    /// vector that its features say, and may be in histories. `vectors` has the given vectors of
    /// new items by the names of their kinds; one without is as one that had none in training.
    /// Nothing is trained, and what is recalled among the items before is as it was.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] when the model looks at no [features of
    /// items](crate::data::ItemFeatures), so that it has no vectors for new ones,
    /// [`ErrorKind::MissingColumn`] when the table lacks a column that the model looks at,
    /// [`ErrorKind::ColumnType`] for one with numbers where training had labels, or the other way
    /// round, [`ErrorKind::InvalidValue`] for vectors of a name that training had none of, and
    /// [`ErrorKind::Shape`] for a given vector of another size than those of training.
    pub fn with_items(&self, items: &Items, vectors: &[(&str, &VectorTable)]) -> Result<Self> {
        let features = self.features_of_new_items().ok_or_else(no_vectors)?;
        for (name, table) in vectors {
            checks::finite("given vectors", table.vectors())?;
            if features.known_vectors(name).is_none() {
                let known: Vec<&str> = features.vector_names().collect();
                let reason = format!("the model was trained with given vectors of {known:?}");
                return Err(Error::invalid("vectors", format!("{name:?}"), reason));
            }
        }
        let lacking = items.ids().filter(|id| self.catalog.index_of(id).is_none());
        let lacking: Vec<ExternalId> = lacking.cloned().collect();
        let rows: HashMap<(&str, &ExternalId), &[f32]> = (vectors.iter())
            .flat_map(|(name, table)| {
                let rows = table.ids().iter().zip(table.rows());
                rows.map(|(id, row)| ((*name, id), row))
            })
            .collect();
        let vector = |name: &str, id: &ExternalId| rows.get(&(name, id)).copied();
        let features = features.extended(items, &lacking, vector)?;
        let catalog = self.catalog.clone().with_new_ids(lacking.iter());
        let catalog = catalog.with_item_features(Some(Arc::new(features)));
        let device = self.model.items().device();
        let model = drawn::<B, C>(&self.config, &catalog, 0, &device)?;
        Ok(Self::new(self.config.clone(), self.trained(model), catalog))
    }

    /// The features that say which vectors new items have; `None` where the model looks at none.
    pub(super) fn features_of_new_items(&self) -> Option<&ItemFeatures> {
        let looks = self.config.describe().item_features.is_some();
        self.catalog
            .item_features()
            .filter(|_| looks)
            .map(Arc::as_ref)
    }

    /// A model of more items with the weights of this one's; the own vectors of new items are 0.
    fn trained(&self, model: C::Recaller<B>) -> C::Recaller<B> {
        let mut weights: HashMap<String, FloatTensor<B>> = HashMap::new();
        for_each_parameter(&self.model, |path, _, tensor| {
            weights.insert(path.name(), tensor);
        });
        map_parameters(model, |path, _, drawn| {
            let Some(trained) = weights.remove(&path.name()) else {
                return drawn;
            };
            if !path.is_items() {
                return trained;
            }
            let [rows, dim] = drawn.shape().dims();
            let [before, _] = trained.shape().dims();
            let trained = Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(trained));
            let options = (&trained.device(), trained.dtype());
            let new = Tensor::zeros([rows - before, dim], options);
            let all = Tensor::cat(vec![trained, new], 0);
            all.into_primitive().tensor()
        })
    }
}

/// The error of a model that has no vectors for new items.
pub(super) fn no_vectors() -> Error {
    let reason = "the model looks at no features of items, so that it has no vectors for new ones: train it \
                  with `item_features` in its settings, on data with `Dataset::with_item_features`";
    let reason = reason.to_owned();
    ErrorKind::NothingLeft { reason }.into()
}
