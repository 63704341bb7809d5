//! The command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use seqrec::data::Targets;
use seqrec::eval::Metric;
use seqrec::model::{Objective, Similarity};
use seqrec::settings::{merge, overridden};
use seqrec::train::TrainerConfig;
use serde_json::{Map, Value, json};

use crate::data::{DataArgs, ProtocolName, SeenName};
use crate::numbers::finite;

#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    pub data: DataArgs,
    /// How users are divided into training, validation and test data.
    #[arg(long, value_enum, default_value_t = ProtocolName::Ratio)]
    pub protocol: ProtocolName,
    /// Whether items of the history are recalled again, in what the best epoch is chosen by. The
    /// test split is evaluated both ways.
    #[arg(long, value_enum, default_value_t)]
    pub seen: SeenName,
    /// The model.
    #[arg(long, default_value = "gru4rec", value_parser = crate::model_names())]
    pub model: String,
    /// Settings of the model, as JSON such as {"blocks":3}.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json_value)]
    pub settings: Value,
    /// Further settings of the trainer, as JSON such as {"schedule":"cosine","warm_up_steps":100}.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json_value)]
    pub trainer: Value,
    /// All settings of a published run of GRU4Rec; single ones can still be set [default: none].
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Targets per sequence and epoch: one at random, all, or all with a history each [default:
    /// all; with a history each for MIND and ComiRec].
    #[arg(long, value_enum)]
    pub targets: Option<TargetsName>,
    /// Epochs at most [default: 100].
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Epochs without a better validation recall before training stops [default: 10].
    #[arg(long)]
    pub patience: Option<usize>,
    /// Steps before training may stop so [default: 1000].
    #[arg(long)]
    pub min_steps: Option<usize>,
    /// The size of vectors [default: the model's, 128 for GRU4Rec].
    #[arg(long)]
    pub dim: Option<usize>,
    /// Layers, of GRU4Rec [default: 1].
    #[arg(long)]
    pub layers: Option<usize>,
    /// The share dropped in training; of GRU4Rec's inputs [default: the model's, 0.5 for GRU4Rec].
    #[arg(long, value_parser = finite::<f64>)]
    pub dropout: Option<f64>,
    /// The share of the GRU's output dropped in training, of GRU4Rec [default: 0.5].
    #[arg(long, value_parser = finite::<f64>)]
    pub hidden_dropout: Option<f64>,
    /// How many of a history's last items are seen [default: 50].
    #[arg(long)]
    pub max_len: Option<usize>,
    /// Sequences per batch [default: 32].
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// Adam's learning rate [default: 0.002].
    #[arg(long, value_parser = finite::<f64>)]
    pub lr: Option<f64>,
    /// How vectors are compared, in training and search: dot or cosine [default: cosine].
    #[arg(long, value_name = "dot|cosine")]
    pub similarity: Option<Similarity>,
    /// The index that the test split and the shown users are searched with.
    #[arg(long, value_enum, default_value_t = IndexName::Flat)]
    pub index: IndexName,
    /// Cuts of the metrics; training is stopped by the recall at the largest.
    #[arg(long, short, value_delimiter = ',', default_value = "10,50")]
    pub k: Vec<usize>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// What the model runs on; all but flex need `--features` of the same name.
    #[arg(long, value_enum, default_value_t = BackendName::Flex)]
    pub backend: BackendName,
    /// Channels beside the model, whose weights in the fusion are learned, by name, or `all`
    /// (`seqrec compare channels` shows what each is worth) [default: none].
    #[arg(long, value_delimiter = ',')]
    pub channels: Vec<String>,
    /// The folder for the run, its log, its pictures and its checkpoints.
    #[arg(long, default_value = "seqrec-run")]
    pub out: PathBuf,
    /// Goes on with an interrupted run in the same folder.
    #[arg(long)]
    pub resume: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The tutorial that this crate grew out of: dim 16, one layer, max-len 20, batch 256, lr
    /// 1e-4, 100 epochs, patience 5, one random target, trained by dot and searched by cosine.
    Tutorial,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetsName {
    /// One at random.
    One,
    /// Every item, by those before it in one pass.
    All,
    /// Every item, each with a history of its own.
    Prefixes,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexName {
    /// Exact.
    Flat,
    /// Approximate, in a graph.
    Hnsw,
    /// Approximate, in the hnsw_rs crate's graph.
    HnswRs,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendName {
    /// The CPU.
    Flex,
    /// NVIDIA GPUs.
    Cuda,
    /// GPUs by Vulkan, Metal or DirectX.
    Wgpu,
}

impl Options {
    /// What pictures are called.
    pub fn title(&self) -> String {
        format!("{} on {}", self.model, self.data.name())
    }

    /// What the model's settings are instead of its defaults: the preset's, with what was asked for
    /// on top.
    pub fn model_settings(&self) -> Value {
        let is_gru = self.model == "gru4rec";
        let mut settings = match self.preset {
            Some(Preset::Tutorial) => json!({
                "dim": 16, "max_len": 20, "embedding_dropout": 0.0, "hidden_dropout": 0.0,
                "objective": Objective::new(), "search_similarity": "cosine",
            }),
            None => Value::Object(Map::new()),
        };
        let dropout = if is_gru {
            "embedding_dropout"
        } else {
            "dropout"
        };
        let asked = [
            ("dim", self.dim.map(Value::from)),
            ("layers", self.layers.map(Value::from)),
            (dropout, self.dropout.map(Value::from)),
            ("hidden_dropout", self.hidden_dropout.map(Value::from)),
            ("max_len", self.max_len.map(Value::from)),
        ];
        for (name, value) in asked {
            if let Some(value) = value {
                settings[name] = value;
            }
        }
        if let Some(similarity) = self.similarity {
            merge(
                &mut settings,
                &json!({"objective": {"similarity": similarity}}),
            );
            if is_gru {
                settings["search_similarity"] = Value::Null;
            }
        }
        merge(&mut settings, &self.settings);
        self.data.features.settings(settings)
    }

    /// The trainer's settings, likewise.
    pub fn trainer(
        &self,
        needs_one_target: bool,
    ) -> Result<TrainerConfig, Box<dyn std::error::Error>> {
        let mut config = match self.preset {
            Some(Preset::Tutorial) => TrainerConfig::new()
                .with_targets(Targets::ONE_RANDOM)
                .with_batch_size(256)
                .with_learning_rate(1e-4)
                .with_patience(5)
                .with_minimum_steps(0),
            None => TrainerConfig::new(),
        };
        config.targets = match self.targets {
            Some(TargetsName::One) => Targets::ONE_RANDOM,
            Some(TargetsName::All) => Targets::All,
            Some(TargetsName::Prefixes) => Targets::EveryPrefix,
            None if needs_one_target => Targets::EveryPrefix,
            None => config.targets,
        };
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.patience = self.patience.unwrap_or(config.patience);
        config.minimum_steps = self.min_steps.unwrap_or(config.minimum_steps);
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.learning_rate = self.lr.unwrap_or(config.learning_rate);
        config.seed = self.seed;
        config.seen = self.seen.into();
        config.ks = self.k.clone();
        let largest = self.k.iter().max().copied().unwrap_or(0);
        config.metric = Metric::recall(largest)?;
        overridden(&config, &self.trainer).map_err(|error| format!("--trainer: {error}").into())
    }
}

/// A flag that is JSON.
pub fn json_value(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}
