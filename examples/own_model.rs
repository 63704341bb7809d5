//! A model of your own in one file: a user is the mean of the last items, each weighed by a gate.
//!
//! `cargo run --release --example own_model` trains it on generated data, judges it, saves it,
//! loads it, and serves it, for which it needs the feature `engine`.

use burn::tensor::{Int, Tensor, activation::sigmoid, backend::Backend as BurnBackend};
use burn::{config::Config, module::Module, nn::Linear};
use seqrec::data::{SequenceBatch, synthetic::Synthetic};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::model::{Description, ItemTable, Objective, parts::*};
use seqrec::store::{ModelRegistry, StagePlan};
use seqrec::{
    Result, burn,
    prelude::*,
    recall::{Fusion, VectorChannelConfig},
};

/// The settings.
#[derive(Config, Debug)]
pub struct GatedMeanConfig {
    #[config(default = "Objective::cosine(0.1)")]
    objective: Objective,
}

/// The weights.
#[derive(Module, Debug)]
pub struct GatedMean<B: BurnBackend> {
    items: ItemTable<B>,
    gate: Linear<B>,
    #[module(skip)]
    config: GatedMeanConfig,
}

impl RecallerConfig for GatedMeanConfig {
    type Recaller<B: Backend> = GatedMean<B>;
    const NAME: &'static str = "gated_mean";

    fn describe(&self) -> Description<'_> {
        Description::new(&self.objective, 20) // the last 20 items
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> GatedMean<B> {
        GatedMean {
            items: weights.items(items, 32),
            gate: weights.linear(32, 1),
            config: self.clone(),
        }
    }
}

impl<B: Backend> SequenceRecaller<B> for GatedMean<B> {
    type Config = GatedMeanConfig;

    fn config(&self) -> &GatedMeanConfig {
        &self.config
    }

    fn items(&self) -> &ItemTable<B> {
        &self.items
    }

    /// The gated sum up to each position, `[n, 1, dim]`; its direction is the mean's.
    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        mut dropout: Dropout,
    ) -> Tensor<B, 3> {
        let packing = Packing::new(histories);
        let items = self.items.lookup::<1, 2>(packing.items(histories));
        let gated = items.clone() * sigmoid(self.gate.forward(items));
        let sums = packing.unpack(dropout.apply(gated, 0.2)).cumsum(1);
        at_positions(sums, positions).unsqueeze_dim(1)
    }
}

fn main() -> Result<()> {
    let log = Synthetic::new()
        .with_users(500)
        .with_items(300)
        .generate()?;
    let dataset = Dataset::new(log, Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    let trained = GatedMeanConfig::new().fit(&split)?;
    println!("{}", trained.evaluate(&split.test)?);

    let folder = std::env::temp_dir().join("own_model");
    let plan = StagePlan::new(Fusion::RoundRobin).channel("model", VectorChannelConfig::new());
    plan.save(&folder, &trained, dataset.training_data())?;

    let models = ModelRegistry::<Flex>::builtin().with::<GatedMeanConfig>();
    let (device, settings) = (Default::default(), EngineConfig::default());
    let engine = RecallEngine::open_with(&folder, models, device, settings)?;
    let request = RecallRequest::for_history([1, 2, 3], 5);
    print!("{}", engine.recall_for(&request)?);
    Ok(())
}
