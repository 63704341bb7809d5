//! The subcommands of the program `seqrec`, each a module with its `Options` and its `run`.

#[macro_use]
mod printing;
pub mod compare;
pub mod data;
pub mod evaluate;
pub mod export;
pub mod features;
pub mod import;
pub mod item_table;
pub mod numbers;
pub mod output_file;
pub mod prepare;
pub mod reading;
pub mod recall;
pub mod report;
pub mod results;
pub mod runs;
pub mod serve;
pub mod shell;
mod text_file;
mod times;
pub mod train;
pub mod tune;

use std::error::Error;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use seqrec::model::MODEL_NAMES;

use results::Results;

/// Sequential recall: trains models on what users did, in order, and finds the few hundred items
/// out of millions that are worth ranking.
///
/// Progress and remarks go to standard error, results to standard output.
#[derive(Parser, Debug)]
#[command(name = "seqrec", version, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
    /// Prints results as lines of JSON.
    #[arg(long, global = true)]
    json: bool,
    /// CPU threads [default: RAYON_NUM_THREADS, else all cores].
    #[arg(long, global = true)]
    threads: Option<NonZeroUsize>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Trains a model, evaluates it, and keeps it with its users as a run folder.
    ///
    /// Example: seqrec train ratings.csv --model sasrec --out run
    Train(Box<train::options::Options>),
    /// Compares models, channels, schedules of training, or indexes.
    Compare(compare::Options),
    /// Searches for settings that are better on the validation users.
    ///
    /// Example: seqrec tune ratings.csv --model gru4rec,sasrec --trials 27
    Tune(tune::Options),
    /// Evaluates a run's model, without the channels that may be fused with it, on held-out
    /// interactions: read, divided and judged as they were in its training, where nothing else is
    /// said.
    ///
    /// Items are matched by their ids, and those that the model doesn't know are counted.
    ///
    /// Example: seqrec evaluate run ratings.csv
    Evaluate(evaluate::Options),
    /// Recalls items for a history, for some users of a run, or for all of them.
    ///
    /// Example: seqrec recall run --all -k 100 --out recalled.parquet
    Recall(recall::Options),
    /// Serves a run over HTTP, with a page to look at it.
    ///
    /// Example: seqrec serve run --address 127.0.0.1:8080
    Serve(serve::Options),
    /// Writes a report of runs as one HTML page.
    ///
    /// Example: seqrec report run other-run --out report.html
    Report(report::Options),
    /// Makes a store of interactions, which opens at once and may be larger than memory.
    ///
    /// Example: seqrec prepare events-*.parquet --out events.store
    Prepare(prepare::Options),
    /// Exports a model's vectors, index and weights for other programs.
    ///
    /// Example: seqrec export run --out vectors
    Export(export::Options),
    /// Makes a run folder of a model that PyTorch trained.
    Import(import::Options),
    /// Prints completions for a shell.
    ///
    /// Example: seqrec completions bash > /etc/bash_completion.d/seqrec
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// The names of models, of which a flag takes one.
fn model_names() -> PossibleValuesParser {
    PossibleValuesParser::new(MODEL_NAMES.iter().copied())
}

/// Runs the program with the arguments of this process.
///
/// The exit code is 0, 1 when something went wrong, or 2 for arguments that aren't understood.
pub fn main() -> ExitCode {
    let program = Program::parse();
    match run(&program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &Program) -> Result<(), Box<dyn Error>> {
    if let Some(threads) = program.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()?;
    }
    let results = Results { json: program.json };
    match &program.command {
        Command::Train(options) => train::run(options, results),
        Command::Compare(options) => compare::run(options, results),
        Command::Tune(options) => tune::run(options, results),
        Command::Evaluate(options) => evaluate::run(options, results),
        Command::Recall(options) => recall::run(options, results),
        Command::Serve(options) => serve::run(options),
        Command::Report(options) => report::run(options, results),
        Command::Prepare(options) => prepare::run(options, results),
        Command::Export(options) => export::run(options, results),
        Command::Import(options) => import::run(options, results),
        Command::Completions { shell } => {
            // Into memory first: it would panic where nobody reads to the end.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Program::command(), "seqrec", &mut script);
            println!("{}", String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
    }
}
