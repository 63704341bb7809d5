//! Sequential recall: from what a user did, in order, find the few hundred items out of millions
//! that are worth ranking.
//!
//! This crate trains sequence models in pure Rust on [burn] and searches their item vectors. In
//! short:
//!
//! ```
//! use seqrec::prelude::*;
//!
//! // Interactions from a file, `Interactions::read("ratings.csv")?`, or elsewhere.
//! let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
//! let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
//! let trained = Gru4RecConfig::new().with_dim(16).fit(&split)?;
//! println!("{}", trained.evaluate(&split.test)?);
//! println!("{}", trained.recall(["3", "14", "15"], 10)?);
//! # let folder = tempfile::tempdir().unwrap();
//! # let run = folder.path().join("run");
//! trained.save(&run)?; // `Recaller::open` reads it, whichever of this crate's models it holds
//! # Ok::<(), seqrec::Error>(())
//! ```
//!
//! Training and retrieval are parts that you compose yourself where you want another trainer,
//! device, index, fusion or protocol:
//!
//! ```
//! use seqrec::prelude::*;
//!
//! # let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
//! let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::Ratio { seed: 42 })?;
//! // Train on a backend with gradients; what comes back runs without them.
//! let config = Gru4RecConfig::new().with_dim(16);
//! let model = config.init::<Autodiff<Flex>>(split.catalog().len(), 42, &Default::default())?;
//! let settings = TrainerConfig::new().with_epochs(2);
//! let trained = Trainer::new(settings).fit(model, &split)?;
//!
//! // A model and an index of its item vectors are a channel: evaluate it, and recall for a raw history.
//! let index = FlatIndex::new(&item_vectors(&trained.model))?;
//! let channel = VectorChannel::from_model(trained.model, index);
//! let report = Evaluation::new(&[10], Seen::Exclude).run(&channel, &split.test, split.catalog())?;
//! println!("recall@10 {:.4}", report.recall(10).unwrap());
//!
//! let retriever = Retriever::new(channel, split.catalog().clone())?;
//! let recalled = retriever.recall([3, 14, 15], 10)?;
//! assert_eq!(recalled.items.len(), 10);
//! # Ok::<(), seqrec::Error>(())
//! ```
//!
//! The [`guide`] goes from data to serving, a page each, with a [cookbook](guide::cookbook) of
//! whole programs and a page for those [coming from other libraries](guide::coming_from).
//!
//! # Which part do I start with?
//!
//! | I want to | start with |
//! | --- | --- |
//! | read a file of interactions | [`data::Interactions::read`], or a [`data::InteractionReader`] that is told more |
//! | read titles, tags, prices and stock of items | [`data::Items::read`], or a [`data::ItemReader`] that is told more |
//! | recall only what a filter passes | a [`data::ItemFilter`] in a [`recall::RecallRequest`] |
//! | bring interactions of my own | [`data::Interactions`] |
//! | hold out users or items to judge by | [`data::Split`] |
//! | train a model | a [`model::Gru4RecConfig`] and [`store::Fit`], or a [`train::Trainer`] |
//! | choose a model and its settings | the page [choose](guide::choose), or a [`train::Search`] |
//! | choose another model | [`model`]: SASRec, BSARec, HSTU, MIND, ComiRec, two towers, Item2Vec |
//! | choose a loss and negatives | [`model::Objective`] and [`data::NegativeSampling`] |
//! | compare with models that are not trained | [`channels::PopularityConfig`], [`channels::MarkovChainConfig`], [`channels::SessionKnnConfig`], [`channels::AlsConfig`], [`channels::ItemNeighborsConfig`] |
//! | recall items by what they are alike in | a [`channels::ContentNeighborsConfig`] |
//! | write a model of my own | [`model::SequenceRecaller`] |
//! | write a training loop of my own | [`data::Batcher`] and [`model::SequenceRecaller::loss`] |
//! | search vectors | [`index::FlatIndex`], [`index::HnswIndex`], or an index of my own behind [`index::VectorIndex`] |
//! | change an index while it is searched | [`index::UpdatableIndex`] |
//! | search vectors that no one machine holds | `index::MilvusIndex` (feature `milvus`) |
//! | recall items for a history | [`recall::Retriever`] |
//! | recall for all users, into a file | [`recall::Retriever::recall_all`] |
//! | train a ranker on what is recalled | [`recall::RecallAll::write_for_ranker`] |
//! | recall in a way of my own | [`recall::RecallChannel`], or a [`recall::Path`] of steps |
//! | fuse several ways into one list | [`recall::RecallStage`], or a [`store::StagePlan`] that makes one |
//! | serve it while models and users change | `engine::RecallEngine` (feature `engine`) |
//! | judge ranked lists of any origin | [`eval::Scorer`] |
//! | read settings from JSON, over the defaults | [`settings::overridden`] |
//! | keep a trained model | [`store::Recaller`], or a [`store::Run`] with the model itself |
//! | write results without overwriting anything else's | [`OutputFolder`] |
//! | bring another burn backend | [`join_backend!`], one line |
//!
//! # What holds everywhere
//!
//! - Item index 0 is padding: it changes no result, is never a target and is never recalled.
//! - The user vector is the state at the last real item, whatever the padding.
//! - Rankings are over the whole catalog; ties break by item index.
//! - Everything random takes a seed, and the same seed gives the same bytes: splits, batches,
//!   weights, dropout. On the CPU backends this holds for any number of threads.
//! - Nothing is printed unless an observer or a display is asked for. Programs follow the work by
//!   [tracing](https://docs.rs/tracing): rows that are skipped, epochs, channels that time out, reloads.
//! - A recalled item comes with every channel that found it and the reason.
//! - Bad input is an [`Error`] that names the file and line or the field and value, and what could
//!   be read in two ways is not guessed.
//! - Only what this crate wrote is overwritten or removed. Files are written aside and renamed, run
//!   folders in versions that are never changed, so that a crash, a full disk or a load meanwhile
//!   finds the last good state whole.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! | --- | --- | --- |
//! | `flex` | yes | burn's pure-Rust CPU backend, with this crate's kernels |
//! | `engine` | | `engine::RecallEngine` |
//! | `progress` | | `train::ProgressBars` |
//! | `ndarray` | | burn's older CPU backend, with the same kernels |
//! | `cuda`, `wgpu` | | burn's GPU backends |
//! | `plot` | | `plot`: training curves and t-SNE maps as SVG |
//! | `hnsw_rs` | | `index::HnswRsIndex`, for comparison |
//! | `gzip`, `zstd` | | reading files that are compressed by them |
//! | `parquet` | | reading Parquet files and folders, and Arrow batches; vectors and recalled items as Parquet |
//! | `npy` | | vectors for numpy |
//! | `ease` | | `channels::EaseConfig` |
//! | `download` | | `data::movielens::Downloader` |
//! | `milvus` | | `index::MilvusIndex`: a Milvus server or cluster behind the same trait |
//!
//! # Versions
//!
//! Types of [burn] and [ndarray] stand in this crate's signatures, so that a new major version of
//! either makes one of this crate; both are re-exported, so that a caller has the same. Arrow has a
//! new major version every few months: `data::arrow`, behind the feature `parquet`, may change with
//! any version of this crate.

#![warn(missing_docs)]
// Files that read what others wrote deny `expect` and indexing as well.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
mod buffer;
pub mod channels;
mod checks;
pub mod data;
#[cfg(feature = "engine")]
pub mod engine;
mod error;
pub mod eval;
// The first definition of a link counts: here pages are modules, and in the repository files.
#[doc = "[data]: crate::guide::data"]
#[doc = "[split]: crate::guide::split"]
#[doc = "[train]: crate::guide::train"]
#[doc = "[choose]: crate::guide::choose"]
#[doc = "[evaluate]: crate::guide::evaluate"]
#[doc = "[index]: crate::guide::index"]
#[doc = "[stage]: crate::guide::stage"]
#[doc = "[serve]: crate::guide::serve"]
#[doc = "[operate]: crate::guide::operate"]
#[doc = "[formats]: crate::guide::formats"]
#[doc = "[cookbook]: crate::guide::cookbook"]
#[doc = "[movielens]: crate::guide::movielens"]
#[doc = "[features]: crate::guide::features"]
#[doc = "[program]: crate::guide::program"]
#[doc = "[coming_from]: crate::guide::coming_from"]
#[doc = ""]
#[doc = include_str!("../docs/guide.md")]
pub mod guide {
    #[doc = "[features]: crate::guide::features#events"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/data.md")]
    pub mod data {}
    #[doc = include_str!("../docs/guide/split.md")]
    pub mod split {}
    #[doc = "[stage]: crate::guide::stage"]
    #[doc = "[choose]: crate::guide::choose"]
    #[doc = "[own_observer]: crate::guide::cookbook::own_observer"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/train.md")]
    pub mod train {}
    #[doc = "[stage]: crate::guide::stage"]
    #[doc = "[train]: crate::guide::train"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/choose.md")]
    pub mod choose {}
    #[doc = "[data]: crate::guide::data"]
    #[doc = "[serve]: crate::guide::serve"]
    #[doc = "[train]: crate::guide::train"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/features.md")]
    pub mod features {}
    #[doc = include_str!("../docs/guide/evaluate.md")]
    pub mod evaluate {}
    #[doc = include_str!("../docs/guide/index.md")]
    pub mod index {}
    #[doc = include_str!("../docs/guide/stage.md")]
    pub mod stage {}
    #[doc = "[cookbook]: crate::guide::cookbook"]
    #[doc = "[features]: crate::guide::features#a-new-item-in-a-service"]
    #[doc = "[operate]: crate::guide::operate"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/serve.md")]
    pub mod serve {}
    #[doc = include_str!("../docs/guide/operate.md")]
    pub mod operate {}
    #[doc = include_str!("../docs/guide/formats.md")]
    pub mod formats {}
    #[doc = "[own_model]: crate::guide::cookbook::own_model"]
    #[doc = "[own_index]: crate::guide::cookbook::own_index"]
    #[doc = "[own_channel]: crate::guide::cookbook::own_channel"]
    #[doc = "[own_observer]: crate::guide::cookbook::own_observer"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/cookbook.md")]
    pub mod cookbook {
        // What the examples are, which the tests run.
        #[doc = "# A model of one's own\n```no_run"]
        #[doc = include_str!("../examples/own_model.rs")]
        #[doc = "```"]
        pub mod own_model {}
        #[doc = "# An index of one's own\n```no_run"]
        #[doc = include_str!("../examples/own_index.rs")]
        #[doc = "```"]
        pub mod own_index {}
        #[doc = "# A channel of one's own\n```no_run"]
        #[doc = include_str!("../examples/own_channel.rs")]
        #[doc = "```"]
        pub mod own_channel {}
        #[doc = "# An observer of one's own\n```no_run"]
        #[doc = include_str!("../examples/own_observer.rs")]
        #[doc = "```"]
        pub mod own_observer {}
    }
    #[doc = "[features]: crate::guide::features#events"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/program.md")]
    pub mod program {}
    #[doc = "[data]: crate::guide::data"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/movielens.md")]
    pub mod movielens {}
    #[doc = include_str!("../docs/coming-from.md")]
    pub mod coming_from {}
}
mod files;
pub mod index;
mod item;
mod kernels;
pub mod model;
#[cfg(feature = "plot")]
pub mod plot;
pub mod recall;
pub mod retrieve;
pub mod settings;
pub mod store;
mod table;

pub mod train;

/// The burn that this crate is built on, so that a caller can't get a second version by accident.
pub use burn;
pub use error::{Error, ErrorKind, Result};
pub use files::output_folder::OutputFolder;
/// The ndarray whose arrays this crate takes and gives, for the same reason.
pub use ndarray;
/// The typetag by which a [kind of channels](recall::ChannelConfig) of your own is known, for the
/// same reason.
pub use typetag;

/// What most programs use.
pub mod prelude {
    #[cfg(feature = "flex")]
    pub use crate::backend::Flex;
    pub use crate::backend::{Autodiff, Backend, TrainingBackend};
    pub use crate::data::{
        Catalog, Dataset, ExternalId, Filters, Interaction, InteractionReader, Interactions,
        ItemIndex, NegativeSampling, Protocol, Seen, Split, Targets, TrainingData, User,
    };
    #[cfg(feature = "engine")]
    pub use crate::engine::{EngineConfig, RecallEngine};
    pub use crate::eval::Metric;
    pub use crate::index::{FlatIndex, HnswConfig, HnswIndex, VectorIndex};
    pub use crate::model::{
        BsaRecConfig, Gru4RecConfig, HstuConfig, Item2VecConfig, Loss, MultiInterestConfig,
        Objective, RecallerConfig, SampledLoss, SasRecConfig, SequenceRecaller, Similarity,
        TwoTowerConfig,
    };
    pub use crate::recall::{Evaluation, RecallRequest, Retriever, VectorChannel};
    pub use crate::retrieve::item_vectors;
    pub use crate::store::{Fit, Recaller, Run};
    pub use crate::train::{EpochTable, Trainer, TrainerConfig};
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
