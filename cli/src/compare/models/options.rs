//! The command line.

use std::path::PathBuf;

use clap::Args;

use crate::data::{ProtocolName, SeenName};
use crate::reading::ReadingArgs;

#[derive(Args, Debug)]
pub struct Options {
    /// Files of interactions, or stores of `seqrec prepare`; one file after another.
    #[arg(required = true, value_name = "DATA")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Names of the settings file to train [default: all].
    #[arg(long, value_delimiter = ',')]
    pub models: Vec<String>,
    /// A JSON file of every model's settings [default: those of the published tables].
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// How users are divided into training, validation and test data.
    #[arg(long, value_enum, default_value_t = ProtocolName::LeaveOneOut)]
    pub protocol: ProtocolName,
    /// Whether items of the history are recalled again.
    #[arg(long, value_enum, default_value_t)]
    pub seen: SeenName,
    /// Cuts of the metrics. What was measured at others is measured again, and not trained again.
    #[arg(long, short, value_delimiter = ',', default_value = "10,50")]
    pub k: Vec<usize>,
    /// Seeds; each trains every model once.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    pub seeds: Vec<u64>,
    /// Where results are kept; an interrupted comparison resumes there.
    #[arg(long, default_value = "seqrec-compare")]
    pub out: PathBuf,
}
