//! The command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use seqrec::data::Format;

/// Trains models under one protocol and writes a table of what each recalls.
#[derive(Args, Debug)]
pub struct Options {
    /// Files of interactions, in any format that is detected.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How the files are written, where that is not detected: ratings-csv, ratings-dat, u-data,
    /// columns, inter, sequences, or columns such as user=visitor,item=product,time=at,delimiter=;.
    #[arg(long)]
    pub format: Option<Format>,
    /// Names of the settings file to train; all, where none is given.
    #[arg(long, value_delimiter = ',')]
    pub models: Vec<String>,
    /// Settings of every model as JSON [default: those beside this example].
    #[arg(long)]
    pub settings: Option<PathBuf>,
    /// How data is divided.
    #[arg(long, value_enum, default_value_t = ProtocolName::LeaveOneOut)]
    pub protocol: ProtocolName,
    /// Leaves items of the history out of what is recalled.
    #[arg(long)]
    pub exclude_seen: bool,
    /// A run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    pub seeds: Vec<u64>,
    /// Tries so many random settings out of each model's search space first, by successive halving
    /// on the validation split, and takes the best.
    #[arg(long, default_value_t = 0)]
    pub search: usize,
    /// Where results are kept.
    #[arg(long, default_value = "benchmark")]
    pub out: PathBuf,
    /// CPU threads [default: RAYON_NUM_THREADS, else all cores].
    #[arg(long)]
    pub threads: Option<usize>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq)]
pub enum ProtocolName {
    LeaveOneOut,
    Ratio,
    TimeCut,
}
