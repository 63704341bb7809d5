//! The subcommands of the program `seqrec`, each a module with its `Options` and its `run`.

#[macro_use]
mod printing;
pub mod ann_plot;
pub mod channels;
pub mod cold_items;
pub mod compare;
pub mod daily;
pub mod export;
pub mod item_table;
pub mod numbers;
pub mod output_file;
pub mod overrides;
pub mod report;
pub mod serve;
pub mod train;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sequential recall: trains models on what users did, in order, and finds the few hundred items
/// out of millions that are worth ranking.
#[derive(Parser, Debug)]
#[command(name = "seqrec", version, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Trains a model, evaluates it, and shows what it recalls.
    Train(Box<train::options::Options>),
    /// Trains models under one protocol and writes a table of what each recalls.
    Compare(compare::options::Options),
    /// Trains and compares recall channels and their fusion, and keeps them as a stage.
    Channels(channels::Options),
    /// Compares a model that is never retrained, trained anew each day, or continued each day.
    Daily(daily::Options),
    /// Evaluates how well items without interactions are recalled by their features.
    ColdItems(cold_items::Options),
    /// Exports the vectors that a model learned.
    Export(export::Options),
    /// Serves a run folder's stage over HTTP.
    Serve(serve::Options),
    /// Writes a report of runs as one HTML page.
    Report(report::Options),
    /// Draws recall against queries per second.
    AnnPlot(ann_plot::Options),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    match run(&Program::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Train(options) => train::run(options),
        Command::Compare(options) => compare::run(options),
        Command::Channels(options) => channels::run(options),
        Command::Daily(options) => daily::run(options),
        Command::ColdItems(options) => cold_items::run(options),
        Command::Export(options) => export::run(options),
        Command::Serve(options) => serve::run(options),
        Command::Report(options) => report::run(options),
        Command::AnnPlot(options) => ann_plot::run(options),
    }
}
