//! What is kept on disk: trained models, and stages with the data they serve from.

mod arrays;
mod fit;
mod grown_stage;
mod item_features;
mod kept;
mod made_stage;
mod new_items;
#[cfg(feature = "parquet")]
mod parquet_vectors;
mod plan;
mod recaller;
mod registry;
mod run;
mod run_folder;
mod served;
mod stage_data;
mod torch;
mod vector_files;
mod vector_table;

pub use fit::Fit;
#[cfg(feature = "engine")]
pub(crate) use grown_stage::GrownStage;
pub use plan::{PlannedChannel, PlannedSelection, StagePlan};
pub use recaller::Recaller;
pub use registry::ModelRegistry;
pub use run::Run;
pub use served::ServedStage;
pub use stage_data::StageData;
pub use torch::{TorchGru4Rec, TorchSasRec};
pub use vector_table::VectorTable;
