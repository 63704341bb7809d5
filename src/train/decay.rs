//! Decoupled weight decay.

use burn::module::{ModuleMapper, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::model::ParameterPath;

/// Takes a share of a model's parameters away.
pub(super) struct Decay {
    /// The share that is left of each value.
    left: f64,
    /// Whether every trained parameter decays, and not only the matrices of layers.
    all: bool,
    path: ParameterPath,
}

impl Decay {
    /// A step's decay: the learning rate times the weight decay.
    pub(super) fn new(share: f64, all: bool) -> Self {
        Self {
            left: 1.0 - share,
            all,
            path: ParameterPath::default(),
        }
    }

    fn concerns(&self, shape: &[usize]) -> bool {
        let named = |part: &str| self.path.field().contains(part);
        let is_matrix = shape.iter().filter(|&&size| size > 1).count() > 1;
        let is_layers = is_matrix && !self.path.is_items() && !named("bias") && !named("position");
        self.all || is_layers
    }
}

impl<B: AutodiffBackend> ModuleMapper<B> for Decay {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if !self.concerns(&param.dims()) {
            return param;
        }
        param.map(|tensor| {
            // What is not trained, such as features, stays what it is.
            if !tensor.is_require_grad() {
                return tensor;
            }
            Tensor::from_inner(tensor.inner().mul_scalar(self.left)).require_grad()
        })
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use burn::module::{Module, ModuleVisitor};

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

    fn shrunk(model: impl Module<Train>, all: bool) -> Vec<String> {
        let before = sizes(&model);
        let after = sizes(&model.map(&mut Decay::new(0.25, all)));
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
