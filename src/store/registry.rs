//! Which models a run folder may hold.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use crate::Result;
use crate::backend::{Backend, check_device};
use crate::data::Catalog;
use crate::model::{self, ConfigVisitor, RecallerConfig};

use super::recaller::Recaller;
use super::run::{ModelFiles, Run, model_name};
use super::run_folder;
use crate::error::damaged;

/// The models that a run folder is loaded with when it is not known beforehand which one it holds:
/// [`ServedStage::load_with`](super::ServedStage::load_with) and
/// `RecallEngine::open_with` take one.
///
/// ```no_run
/// use seqrec::backend::Flex;
/// use seqrec::engine::{EngineConfig, RecallEngine};
/// use seqrec::store::ModelRegistry;
/// # use seqrec::model::Gru4RecConfig as MyConfig;
///
/// let models = ModelRegistry::<Flex>::builtin().with::<MyConfig>();
/// let engine = RecallEngine::open_with("run", models, Default::default(), EngineConfig::default())?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ModelRegistry<B: Backend> {
    models: Vec<(&'static str, Load<B>)>,
}

type Load<B> = fn(
    &Path,
    &ModelFiles,
    Option<&Catalog>,
    &<B as burn::tensor::backend::BackendTypes>::Device,
) -> Result<Recaller>;

impl<B: Backend> ModelRegistry<B> {
    /// The models of this crate.
    pub fn builtin() -> Self {
        struct Collect<B: Backend>(ModelRegistry<B>);
        impl<B: Backend> ConfigVisitor for Collect<B> {
            fn visit<C: RecallerConfig>(&mut self) {
                self.0.add::<C>();
            }
        }
        let mut all = Collect(Self { models: Vec::new() });
        model::visit_configs(&mut all);
        all.0
    }

    /// This registry with one more model, in place of another of the same
    /// [name](RecallerConfig::NAME).
    #[must_use]
    pub fn with<C: RecallerConfig>(mut self) -> Self {
        self.add::<C>();
        self
    }

    /// The models' [names](RecallerConfig::NAME).
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.models.iter().map(|&(name, _)| name)
    }

    fn add<C: RecallerConfig>(&mut self) {
        self.models.retain(|&(name, _)| name != C::NAME);
        self.models.push((C::NAME, load_run::<B, C>));
    }

    /// A model of a version of a run folder, whichever it is; its catalog is read unless another
    /// model came with it.
    pub(super) fn load(
        &self,
        version: &Path,
        files: &ModelFiles,
        catalog: Option<&Catalog>,
        device: &B::Device,
    ) -> Result<Recaller> {
        let wanted = model_name(version, files)?;
        let found = self.models.iter().find(|&&(name, _)| name == wanted);
        let Some((_, load)) = found else {
            let known: Vec<_> = self.names().collect();
            let reason = format!(
                "it holds a model {wanted:?}, and known are {}; open it by `open_with` and a registry that \
                 has the model's settings, as `ModelRegistry::<Flex>::builtin().with::<YourConfig>()`",
                known.join(", ")
            );
            return Err(damaged(version, reason));
        };
        load(version, files, catalog, device)
    }
}

impl Recaller {
    /// Reads the model of a run folder, whichever of this crate's models it is, for the CPU.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    #[cfg(feature = "flex")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let models = ModelRegistry::<crate::backend::Flex>::builtin();
        Self::open_with(path, &models, &Default::default())
    }

    /// Reads the model of a run folder, whichever model of a registry it is, to a device.
    ///
    /// # Errors
    /// As [`Run::load`], and [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) when the registry
    /// does not have the model.
    pub fn open_with<B: Backend>(
        path: impl AsRef<Path>,
        models: &ModelRegistry<B>,
        device: &B::Device,
    ) -> Result<Self> {
        check_device::<B>(device)?;
        run_folder::read(path.as_ref(), |version| {
            models.load(version, &ModelFiles::own(), None, device)
        })
    }
}

fn load_run<B: Backend, C: RecallerConfig>(
    version: &Path,
    files: &ModelFiles,
    catalog: Option<&Catalog>,
    device: &B::Device,
) -> Result<Recaller> {
    Run::<B, C>::load_version(version, files, catalog, device).map(Recaller::from)
}
