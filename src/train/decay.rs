//! Decoupled weight decay.

use burn::module::AutodiffModule;
use burn::tensor::TensorMetadata;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::FloatTensorOps;

use crate::model::{ParameterPath, map_parameters};

/// A model without a share of its parameters: of the matrices of layers, or of every parameter that
/// is trained.
pub(super) fn decayed<B: AutodiffBackend, M: AutodiffModule<B>>(
    model: M,
    share: f64,
    all: bool,
) -> M {
    map_parameters(model, |path, _, values| {
        let concerned = all || is_layers(path, &values.shape());
        // What is not trained, such as features, stays what it is.
        if !concerned || !B::float_is_require_grad(&values) {
            return values;
        }
        let left = B::InnerBackend::float_mul_scalar(B::inner(values), (1.0 - share).into());
        B::float_set_require_grad(B::from_inner(left), true)
    })
}

/// Whether the parameter here is a matrix of a layer.
fn is_layers(path: &ParameterPath, shape: &[usize]) -> bool {
    let named = |part: &str| path.field().contains(part);
    let is_matrix = shape.iter().filter(|&&size| size > 1).count() > 1;
    is_matrix && !path.is_items() && !path.is_of_events() && !named("bias") && !named("position")
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::Tensor;

    use super::*;
    use crate::model::{HstuConfig, MultiInterestConfig, RecallerConfig};

    type Train = Autodiff<Flex>;

    /// The names of parameters and the sums of their values' sizes.
    #[derive(Default)]
    struct Sizes(Vec<String>, Vec<(String, f32)>);

    impl ModuleVisitor<Train> for Sizes {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Train, D>>) {
            let size = param.val().abs().sum().into_scalar();
            self.1.push((self.0.join("."), size));
        }
    }

    fn sizes(model: &impl Module<Train>) -> Vec<(String, f32)> {
        let mut sizes = Sizes::default();
        model.visit(&mut sizes);
        sizes.1
    }

    fn shrunk(model: impl AutodiffModule<Train>, all: bool) -> Vec<String> {
        let before = sizes(&model);
        let after = sizes(&decayed(model, 0.25, all));
        let pairs = before.into_iter().zip(after);
        let changed = pairs.filter(|((_, before), (_, after))| before != after);
        let changed = changed.map(|((name, before), (_, after))| {
            assert!((after / before - 0.75).abs() < 1e-5, "{name}");
            name
        });
        changed.collect()
    }

    #[test]
    fn weights_decay_and_nothing_else_does_unless_asked() {
        let hstu = HstuConfig::new().with_dim(8).with_blocks(1);
        let model = || hstu.init::<Train>(9, 1, &Default::default()).unwrap();
        let names = shrunk(model(), false);
        assert!(!names.is_empty());
        assert!(
            names.iter().all(|name| name.ends_with(".weight")),
            "{names:?}"
        );
        let all = shrunk(model(), true);
        for name in ["ends.embedding", "ends.positions", "ends.norm.gamma"] {
            assert!(all.iter().any(|found| found == name), "{name} of {all:?}");
        }
        // Logits that are not trained are no parameters to decay.
        let mind = MultiInterestConfig::mind().with_dim(8);
        let mind = mind.init::<Train>(9, 1, &Default::default()).unwrap();
        let names = shrunk(mind, true);
        assert!(!names.iter().any(|name| name == "logits"), "{names:?}");
    }
}
