//! The models of this crate, by name.

use super::{
    BsaRecConfig, Gru4RecConfig, HstuConfig, Item2VecConfig, MultiInterestConfig, RecallerConfig,
    SasRecConfig, TrainableConfig, TwoTowerConfig,
};
use crate::backend::TrainingBackend;
use crate::{Error, Result};

/// Something to do with the settings of a model, whichever it is; see [`visit_model`].
pub trait ModelVisitor<B: TrainingBackend> {
    /// The result.
    type Output;

    /// Does it with these settings, the model's defaults.
    fn visit<C: TrainableConfig<B>>(self, defaults: C) -> Self::Output;
}

/// Something to do for the type of each model's settings; see [`visit_configs`].
pub(crate) trait ConfigVisitor {
    /// Does it for one.
    fn visit<C: RecallerConfig>(&mut self);
}

/// Makes all that goes through the models out of one list: names, and the defaults for each.
macro_rules! models {
    ($($name:literal: $config:ident = $defaults:expr;)*) => {
        /// The names that [`visit_model`] knows. Some are of the same model with other settings.
        pub const MODEL_NAMES: &[&str] = &[$($name),*];

        /// Does something with the default settings of the model of that name.
        ///
        /// # Errors
        /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when no model is called so.
        pub fn visit_model<B: TrainingBackend, V: ModelVisitor<B>>(
            name: &str,
            visitor: V,
        ) -> Result<V::Output> {
            match name {
                $($name => Ok(visitor.visit::<$config>($defaults)),)*
                _ => {
                    let reason = format!("is none of {}", MODEL_NAMES.join(", "));
                    Err(Error::invalid("model", name, reason))
                }
            }
        }

        /// Does something for the type of each model's settings; a type of which there are
        /// several models is visited for each of them.
        pub(crate) fn visit_configs(visitor: &mut impl ConfigVisitor) {
            $(visitor.visit::<$config>();)*
        }
    };
}

models! {
    "gru4rec": Gru4RecConfig = Gru4RecConfig::new();
    "sasrec": SasRecConfig = SasRecConfig::new();
    "bsarec": BsaRecConfig = BsaRecConfig::new();
    "hstu": HstuConfig = HstuConfig::new();
    "mind": MultiInterestConfig = MultiInterestConfig::mind();
    "comirec_dr": MultiInterestConfig = MultiInterestConfig::comirec_dr();
    "comirec_sa": MultiInterestConfig = MultiInterestConfig::comirec_sa();
    "two_tower": TwoTowerConfig = TwoTowerConfig::new();
    "item2vec": Item2VecConfig = Item2VecConfig::new();
}
