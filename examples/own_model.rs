//! A model of your own in one file: a user is the mean of the last items, each weighed by a gate.
//!
//! `cargo run --release --example own_model` trains it on generated data, judges it, saves it,
//! loads it, and serves it.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend as BurnBackend};
use seqrec::Result;
use seqrec::backend::{self, Backend};
use seqrec::burn;
use seqrec::data::{SequenceBatch, TrainingBatch, TrainingSequences, synthetic::Synthetic};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::model::parts::{Dropout, Packing, Weights, at_positions, checks};
use seqrec::model::{Objective, RecallerConfig};
use seqrec::prelude::*;
use seqrec::recall::Fusion;
use seqrec::store::{ChannelKind, ModelRegistry, StageData, StagePlan};

/// The settings.
#[derive(Config, Debug)]
pub struct GatedMeanConfig {
    #[config(default = 32)]
    dim: usize,
    #[config(default = 20)]
    max_len: usize,
    #[config(default = 0.2)]
    dropout: f64,
    #[config(default = "Objective::new().with_similarity(Similarity::Cosine)")]
    objective: Objective,
}

/// The weights.
#[derive(Module, Debug)]
pub struct GatedMean<B: BurnBackend> {
    items: Param<Tensor<B, 2>>,
    gate: Linear<B>,
    #[module(skip)]
    config: GatedMeanConfig,
}

impl RecallerConfig for GatedMeanConfig {
    type Recaller<B: Backend> = GatedMean<B>;
    const NAME: &'static str = "gated_mean";

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[("dim", self.dim), ("max_len", self.max_len)])?;
        checks::share("dropout", self.dropout)?;
        self.objective.validate(None)
    }

    fn objective(&self) -> &Objective {
        &self.objective
    }

    fn max_len(&self) -> usize {
        self.max_len
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> GatedMean<B> {
        let (items, gate) = (weights.items(items, self.dim), weights.linear(self.dim, 1));
        let config = self.clone();
        GatedMean {
            items,
            gate,
            config,
        }
    }
}

impl<B: Backend> GatedMean<B> {
    /// The gated sum up to each item, `[batch, len, dim]`; its direction is the mean's.
    fn states(&self, histories: &SequenceBatch<B>, mut dropout: Dropout) -> Tensor<B, 3> {
        let packing = Packing::new(histories);
        let items = backend::select_rows(self.items.val(), packing.items(histories));
        let gated = items.clone() * sigmoid(self.gate.forward(items));
        packing
            .unpack(dropout.apply(gated, self.config.dropout))
            .cumsum(1)
    }
}

impl<B: Backend> SequenceRecaller<B> for GatedMean<B> {
    type Config = GatedMeanConfig;

    fn config(&self) -> &GatedMeanConfig {
        &self.config
    }

    fn encode(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3> {
        let states = self.states(histories, Dropout::off());
        at_positions(states, histories.last_positions()).unsqueeze_dim(1)
    }

    fn item_embeddings(&self) -> Tensor<B, 2> {
        self.items.val()
    }

    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let dropout = Dropout::in_training::<B>(&self.items.device(), batch.seed);
        let states = self.states(&batch.histories, dropout);
        let users = at_positions(states, batch.positions.clone());
        self.config.objective.mean_loss(users, &self.items, batch)
    }
}

fn main() -> Result<()> {
    let dataset = Dataset::new(Synthetic::default().generate(), Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    let (device, config) = (Default::default(), GatedMeanConfig::new());
    let model = config.init::<Autodiff<Flex>>(split.catalog().len(), 42, &device)?;
    let trainer = TrainerConfig::new().with_epochs(2).with_batch_size(256);
    let model = Trainer::new(trainer).fit(model, &split, &device)?.model;

    let index = FlatIndex::new(&item_vectors(&model))?;
    let evaluation = Evaluation::new(&[10], Seen::Keep);
    let channel = VectorChannel::from_model(model.clone(), index);
    let report = evaluation.run(&channel, &split.test, split.catalog())?;
    for (metric, value) in report.iter() {
        println!("{metric:<20} {value:.4}");
    }

    let folder = tempfile::tempdir().expect("a folder for the run");
    let path = folder.path().join("run");
    let catalog = dataset.catalog().clone();
    let data = StageData::new(&dataset, TrainingSequences::all(&dataset), catalog.clone())?;
    let run = Run::<Flex, _>::new(config, model, catalog);
    let plan = StagePlan::new(Fusion::RoundRobin).channel("model", ChannelKind::Model);
    plan.save(&path, &run, data)?;

    let models = ModelRegistry::<Flex>::builtin().with::<GatedMeanConfig>();
    let engine = RecallEngine::open_with(&path, models, device, EngineConfig::default())?;
    let answer = engine.recall_for(&RecallRequest::for_history([1, 2, 3], 5))?;
    println!("recalled by {}: {:?}", GatedMeanConfig::NAME, answer.items);
    Ok(())
}
