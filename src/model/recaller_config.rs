//! Settings of models, and models of them.

use burn::config::Config;
use burn::module::AutodiffModule;
use burn::tensor::TensorMetadata;

use super::parameters::for_each_parameter;
use super::parts::Weights;
use super::{Description, ItemFeaturesConfig, SequenceRecaller};
use crate::backend::{Backend, TrainingBackend, on_device, synchronize};
use crate::data::Catalog;
use crate::{Error, Result, checks};

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
            objective,
            max_len,
            item_features,
            ..
        } = self.describe();
        checks::at_least_one(&[("max_len", max_len)])?;
        item_features.map_or(Ok(()), ItemFeaturesConfig::validate)?;
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
        if self.describe().item_features.is_some() {
            let reason = "needs the features themselves, which a catalog has: make the model by \
                          `init_for(split.catalog(), ..)`";
            return Err(Error::invalid("item_features", "set", reason));
        }
        drawn_of(self, items, Weights::new(seed, device)?, device)
    }

    /// A model for a catalog, with weights drawn from `seed`: [`init`](Self::init), with the
    /// [features](Catalog::item_features) of the catalog's items where the settings ask for them,
    /// and with vectors of [events](Catalog::behaviors).
    ///
    /// # Errors
    /// As [`init`](Self::init), and [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) when
    /// the settings ask for features that the catalog lacks.
    fn init_for<B: Backend>(
        &self,
        catalog: &Catalog,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self::Recaller<B>> {
        drawn(self, catalog, seed, device)
    }
}

/// A model of checked settings, with weights drawn from a seed: for weights that are about to be
/// replaced too, without whatever else [`init_for`](RecallerConfig::init_for) may ask for.
pub(crate) fn drawn<B: Backend, C: RecallerConfig>(
    config: &C,
    catalog: &Catalog,
    seed: u64,
    device: &B::Device,
) -> Result<C::Recaller<B>> {
    let mut weights = Weights::new(seed, device)?.with_events(catalog);
    if let Some(features) = config.describe().item_features {
        weights = weights.with_features(catalog, features)?;
    }
    drawn_of(config, catalog.len(), weights, device)
}

/// Refuses a model that doesn't see events as one that is made for a catalog does.
///
/// # Errors
/// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a model that was made without
/// the catalog, or for another one.
pub(crate) fn check_events<B: Backend>(
    model: &impl SequenceRecaller<B>,
    catalog: &Catalog,
) -> Result<()> {
    let mut found = None;
    for_each_parameter(model, |path, _, values| {
        if path.is_of_events() && path.field() == "types" {
            found = values.shape().first().copied();
        }
    });
    let wanted = model.config().describe().event_vectors;
    let behaviors = catalog.behaviors().filter(|_| wanted);
    if found == behaviors.map(|behaviors| behaviors.len() + 1) {
        return Ok(());
    }
    let types = |count: Option<usize>| match count {
        Some(count) => format!("vectors of {count} types of events"),
        None => "no vectors of events".to_owned(),
    };
    let has = types(found.map(|rows| rows - 1));
    let expected = types(behaviors.map(|behaviors| behaviors.len()));
    let reason = format!(
        "by its settings and the data it has {expected}: make it by `init_for(split.catalog(), ..)`, \
         or set `event_vectors` to false"
    );
    Err(Error::invalid("model", has, reason))
}

fn drawn_of<B: Backend, C: RecallerConfig>(
    config: &C,
    items: usize,
    weights: Weights<'_, B>,
    device: &B::Device,
) -> Result<C::Recaller<B>> {
    config.validate_for(items)?;
    let mut weights = weights.with_tables(config.describe().table_precision)?;
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
