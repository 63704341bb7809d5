//! Tables of half precision in training.

use burn::module::Module;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{DType, Tensor, TensorMetadata, TensorPrimitive};

use super::config::TrainerConfig;
use super::tables::Tables;
use crate::backend::Backend;
use crate::model::{Loss, RecallerConfig, SequenceRecaller, for_each_parameter, map_parameters};
use crate::{Error, Result};

/// The precision of each of a model's parameters, in their order.
pub(super) fn precisions<B: BurnBackend>(model: &impl Module<B>) -> Vec<DType> {
    let mut precisions = Vec::new();
    for_each_parameter(model, |_, _, values| precisions.push(values.dtype()));
    precisions
}

/// A model as precise as it [was](precisions): a record gives all of it in single precision, which
/// half precision was read from without loss.
pub(super) fn with_precisions<B: BurnBackend, M: Module<B>>(model: M, precisions: Vec<DType>) -> M {
    if !precisions.contains(&DType::F16) {
        return model;
    }
    let mut precisions = precisions.into_iter();
    map_parameters(model, |_, _, values| {
        if precisions.next() != Some(DType::F16) {
            return values;
        }
        let device = B::float_device(&values);
        let is_trained = B::float_is_require_grad(&values);
        let single = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(values));
        let half = single.into_data().convert_dtype(DType::F16);
        B::float_set_require_grad(B::float_from_data(half, &device), is_trained)
    })
}

/// Refuses settings under which tables of half precision would save nothing, or lose what they
/// learn.
pub(super) fn check_half_tables<B: Backend>(
    model: &impl SequenceRecaller<B>,
    config: &TrainerConfig,
) -> Result<()> {
    if !precisions(model).contains(&DType::F16) {
        return Ok(());
    }
    if config.tables == Tables::Dense {
        return Err(Error::invalid(
            "tables",
            "dense",
            "gradients would be of the tables' size, in single precision; for tables of half \
             precision take lazy or row_wise",
        ));
    }
    if model.config().describe().objective.loss == Loss::Softmax {
        return Err(Error::invalid(
            "objective.loss",
            "softmax",
            "its gradient is of the table's size, in single precision; for tables of half \
             precision take a sampled loss",
        ));
    }
    if let Some(kept) = config.average {
        let reason = "moves weights by too little for tables of half precision to show it";
        return Err(Error::invalid("average", kept, reason));
    }
    if config.weight_decay > 0.0 && config.decay_all {
        return Err(Error::invalid(
            "decay_all",
            true,
            "takes away too little for tables of half precision to show it",
        ));
    }
    Ok(())
}
