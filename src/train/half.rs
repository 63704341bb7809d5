//! Tables of half precision in training.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{DType, Tensor};

use super::config::TrainerConfig;
use super::tables::Tables;
use crate::backend::Backend;
use crate::model::{Loss, RecallerConfig, SequenceRecaller};
use crate::{Error, Result};

/// The precision of each of a model's parameters, in their order.
pub(super) struct Precisions(Vec<DType>);

impl Precisions {
    pub(super) fn of<B: BurnBackend>(model: &impl Module<B>) -> Self {
        let mut precisions = Self(Vec::new());
        model.visit(&mut precisions);
        precisions
    }

    fn any_half(&self) -> bool {
        self.0.contains(&DType::F16)
    }

    /// A model as precise as before: a record gives all of it in single precision, which half
    /// precision was read from without loss.
    pub(super) fn restore<B: BurnBackend, M: Module<B>>(self, model: M) -> M {
        if !self.any_half() {
            return model;
        }
        model.map(&mut Restore(self.0.into_iter()))
    }
}

impl<B: BurnBackend> ModuleVisitor<B> for Precisions {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.push(param.val().dtype());
    }
}

struct Restore(std::vec::IntoIter<DType>);

impl<B: BurnBackend> ModuleMapper<B> for Restore {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        match self.0.next() {
            Some(DType::F16) => param.map(|tensor| {
                let kind = (&tensor.device(), DType::F16);
                let is_trained = tensor.is_require_grad();
                Tensor::from_data(tensor.into_data(), kind).set_require_grad(is_trained)
            }),
            _ => param,
        }
    }
}

/// Refuses settings under which tables of half precision would save nothing, or lose what they
/// learn.
pub(super) fn check_half_tables<B: Backend>(
    model: &impl SequenceRecaller<B>,
    config: &TrainerConfig,
) -> Result<()> {
    if !Precisions::of(model).any_half() {
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
