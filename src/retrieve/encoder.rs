//! Models as encoders of users.

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{Catalog, SequenceBatch, User, check_known};
use crate::index::VectorIndex;
use crate::model::{Description, RecallerConfig, SequenceRecaller};
use crate::recall::{UserEncoder, VectorChannel};
use crate::{Error, ErrorKind, Result, checks::same_length};

use super::vectors::user_vectors;

/// A model as a [`UserEncoder`].
#[derive(Debug)]
pub struct ModelEncoder<B: Backend, M> {
    model: M,
    device: B::Device,
    items: usize,
    dim: usize,
}

impl<B: Backend, M: SequenceRecaller<B>> ModelEncoder<B, M> {
    /// An encoder of a model, on the device where the model is.
    pub fn new(model: M) -> Self {
        let items = model.items();
        let (device, items, dim) = (items.device(), items.items(), items.dim());
        Self {
            device,
            model,
            items,
            dim,
        }
    }
}

impl<B: Backend, M: SequenceRecaller<B>> UserEncoder for ModelEncoder<B, M> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>> {
        check_known(users.iter().copied(), self.items)?;
        let Description {
            max_len,
            times,
            user_features,
            ..
        } = self.model.config().describe();
        let lacks_times = |user: &User<'_>| user.times().is_empty();
        if times && let Some(row) = users.iter().position(lacks_times) {
            return Err(ErrorKind::TimesMissing { row }.into());
        }
        let lacks_features = |user: &User<'_>| user.features().is_empty();
        if user_features > 0
            && let Some(row) = users.iter().position(lacks_features)
        {
            return Err(ErrorKind::FeaturesMissing {
                row,
                expected: user_features,
            }
            .into());
        }
        let batch = SequenceBatch::<B>::new(users.iter().copied(), max_len, &self.device)?;
        batch.check_features(user_features)?;
        Ok(user_vectors(&self.model, &batch))
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        same_length("items of the model", catalog.len(), self.items)?;
        let features = self.model.config().describe().user_features;
        let named = catalog.user_features().len();
        if features == 0 || named == features {
            return Ok(());
        }
        let reason = format!(
            "the catalog must name the {features} that the model looks at; where it lacks names, as \
             that of an older run does, train and save the run again, on data with \
             `Dataset::with_user_features`"
        );
        Err(Error::invalid("catalog.user_features", named, reason))
    }
}

impl<'a> VectorChannel<'a> {
    /// A channel of a model and an index of its items.
    pub fn from_model<B: Backend, M: SequenceRecaller<B>>(
        model: M,
        index: impl VectorIndex + 'a,
    ) -> Self {
        Self::new(ModelEncoder::new(model), index)
    }
}
