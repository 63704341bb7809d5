//! Settings of models, and models of them.

use burn::config::Config;
use burn::module::AutodiffModule;

use super::parts::Weights;
use super::{Description, SequenceRecaller};
use crate::backend::{Backend, TrainingBackend, on_device, synchronize};
use crate::{Result, checks};

/// The settings of a model, from which it is made: what a run folder stores beside the weights.
pub trait RecallerConfig: Config + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The model.
    type Recaller<B: Backend>: SequenceRecaller<B, Config = Self>;

    /// The name under which run folders know the model.
    const NAME: &'static str;

    /// The model's description for training, search and serving.
    fn describe(&self) -> Description<'_>;

    /// The model for a catalog of `items` items, of weights that are drawn one after another. Its
    /// settings have been checked.
    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> Self::Recaller<B>;

    /// Checks the settings that the model has besides its objective.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Checks every setting, for a catalog of `items` items.
    ///
    /// # Errors
    /// As [`validate`](RecallerConfig::validate), and for a catalog of no items or fewer than the
    /// loss draws.
    fn validate_for(&self, items: usize) -> Result<()> {
        self.validate()?;
        let Description {
            objective, max_len, ..
        } = self.describe();
        checks::at_least_one(&[("max_len", max_len)])?;
        objective.validate(Some(items))
    }

    /// A model for a catalog of `items` items, with weights drawn from `seed`.
    ///
    /// The same seed gives the same weights on every backend.
    ///
    /// # Errors
    /// As [`validate_for`](RecallerConfig::validate_for), and
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) when there is no such device or it has no
    /// room for the model.
    fn init<B: Backend>(
        &self,
        items: usize,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self::Recaller<B>> {
        drawn(self, items, seed, device)
    }
}

/// A model of checked settings, with weights drawn from a seed: for weights that are about to be
/// replaced too, without whatever else [`init`](RecallerConfig::init) may ask for.
pub(crate) fn drawn<B: Backend, C: RecallerConfig>(
    config: &C,
    items: usize,
    seed: u64,
    device: &B::Device,
) -> Result<C::Recaller<B>> {
    config.validate_for(items)?;
    let mut weights = Weights::new(seed, device)?.with_tables(config.describe().table_precision)?;
    on_device::<B, _>(device, || {
        let model = config.build(items, &mut weights);
        // That there is no room may be told no earlier than now.
        synchronize::<B>(device)?;
        Ok(model)
    })
}

/// Settings whose model can be trained on `B`: those of every model that derives `Module`.
pub trait TrainableConfig<B: TrainingBackend>:
    RecallerConfig<
    Recaller<B>: AutodiffModule<
        B,
        InnerModule = <Self as RecallerConfig>::Recaller<B::InnerBackend>,
    >,
>
{
}

impl<B: TrainingBackend, C> TrainableConfig<B> for C where
    C: RecallerConfig<Recaller<B>: AutodiffModule<B, InnerModule = C::Recaller<B::InnerBackend>>>
{
}
