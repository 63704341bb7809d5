//! All parameters of a model, one after another, whatever their ranks.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

use super::item_table::ParameterPath;

/// Calls `each` with the place, the id and the values of every parameter of a model.
pub(crate) fn for_each_parameter<B: Backend>(
    model: &impl Module<B>,
    each: impl FnMut(&ParameterPath, ParamId, FloatTensor<B>),
) {
    let path = ParameterPath::default();
    model.visit(&mut Each { path, call: each });
}

/// A model with every parameter's values replaced by what `change` makes of them.
pub(crate) fn map_parameters<B: Backend, M: Module<B>>(
    model: M,
    change: impl FnMut(&ParameterPath, ParamId, FloatTensor<B>) -> FloatTensor<B>,
) -> M {
    let path = ParameterPath::default();
    model.map(&mut Each { path, call: change })
}

/// A function that is called with every parameter.
struct Each<F> {
    path: ParameterPath,
    call: F,
}

impl<B: Backend, F: FnMut(&ParameterPath, ParamId, FloatTensor<B>)> ModuleVisitor<B> for Each<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let values = param.val().into_primitive().tensor();
        (self.call)(&self.path, param.id, values);
    }
}

impl<B, F> ModuleMapper<B> for Each<F>
where
    B: Backend,
    F: FnMut(&ParameterPath, ParamId, FloatTensor<B>) -> FloatTensor<B>,
{
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let id = param.id;
        param.map(|tensor| {
            let values = (self.call)(&self.path, id, tensor.into_primitive().tensor());
            Tensor::from_primitive(TensorPrimitive::Float(values))
        })
    }
}
