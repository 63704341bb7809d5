//! `seqrec evaluate`: a run's model on held-out cases of data.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use seqrec::recall::Evaluation;
use serde_json::{Value, json};

use crate::data::{DataArgs, ProtocolName, SeenName};
use crate::results::Results;
use crate::runs;

#[derive(Args, Debug)]
pub struct Options {
    /// A run folder that `seqrec train` made.
    run: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// How the data are divided: as they were when the model was trained, or the model has seen
    /// what it is evaluated by.
    #[arg(long, value_enum, default_value_t = ProtocolName::LeaveOneOut)]
    protocol: ProtocolName,
    /// Whether items of the history are recalled again.
    #[arg(long, value_enum, default_value_t = SeenName::LeaveOut)]
    seen: SeenName,
    /// Cuts of the metrics.
    #[arg(long, short, value_delimiter = ',', default_value = "10,50")]
    k: Vec<usize>,
    /// The seed by which users are divided.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let model = runs::model(&options.run)?;
    let split = options.data.read()?.split(options.protocol, options.seed)?;
    let evaluation = Evaluation::new(&options.k, options.seen.into());
    evaluation.validate(split.catalog())?;
    let report = evaluation.run(&model.channel()?, &split.test, split.catalog())?;
    let mut values: Vec<(String, Value)> = vec![("users".to_owned(), json!(report.users))];
    for (metric, value) in report.iter() {
        values.push((metric.to_string(), json!((value * 1e6).round() / 1e6)));
    }
    results.print(&values);
    Ok(())
}
