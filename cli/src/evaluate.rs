//! `seqrec evaluate`: a run's model on held-out cases of data.

mod trained;

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use seqrec::data::{Catalog, Spans, Split};
use seqrec::recall::Evaluation;
use serde_json::{Value, json};

use crate::data::{DataArgs, ProtocolName, SeenName, held_out};
use crate::results::Results;
use crate::runs;
use trained::Trained;

#[derive(Args, Debug)]
pub struct Options {
    /// A run folder that `seqrec train` made.
    run: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// How the data are divided: as they were when the model was trained, or the model has seen
    /// what it is evaluated by [default: the run's, or else leave-one-out].
    #[arg(long, value_enum)]
    protocol: Option<ProtocolName>,
    /// Whether items of the history are recalled again [default: the run's, or else leave-out].
    #[arg(long, value_enum)]
    seen: Option<SeenName>,
    /// Cuts of the metrics [default: the run's, or else 10,50].
    #[arg(long, short, value_delimiter = ',')]
    k: Vec<usize>,
    /// The seed by which users are divided [default: the run's, or else 42].
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let model = runs::model(&options.run)?;
    let trained = Trained::read(&options.run)?;
    let asked = options.or_as_trained(trained.as_ref());
    let evaluation = Evaluation::new(&asked.k, asked.seen.into());
    evaluation.validate(model.catalog())?;
    let split = asked.data.read()?.split(asked.protocol, asked.seed)?;
    remark_on_split(&options.run, &split, trained.as_ref());
    let (test, unknown) = known_cases(&split, model.catalog())?;
    let report = evaluation.run(&model.channel()?, &test, model.catalog())?;
    let mut values: Vec<(String, Value)> = vec![
        ("users".to_owned(), json!(report.users)),
        ("unknown_items".to_owned(), json!(unknown)),
    ];
    for (metric, value) in report.iter() {
        values.push((metric.to_string(), json!((value * 1e6).round() / 1e6)));
    }
    results.print(&values);
    Ok(())
}

/// What is evaluated, and how.
struct Asked {
    data: DataArgs,
    protocol: ProtocolName,
    seen: SeenName,
    k: Vec<usize>,
    seed: u64,
}

impl Options {
    /// What was asked for, and where nothing was, what the run was trained with: it is said on
    /// standard error, as the flags that would ask for it.
    fn or_as_trained(&self, trained: Option<&Trained>) -> Asked {
        let mut flags = Vec::new();
        let mut data = self.data.clone();
        if let Some(trained) = trained {
            flags.extend(data.reading.fill(&trained.reading, data.data.as_deref()));
        }
        let protocol = trained
            .filter(|_| self.protocol.is_none())
            .map(|run| run.protocol);
        let seed = trained.filter(|_| self.seed.is_none()).map(|run| run.seed);
        let seen = trained.filter(|_| self.seen.is_none()).map(|run| run.seen);
        let k = trained.filter(|_| self.k.is_empty()).map(|run| &run.k);
        flags.extend(protocol.map(|protocol| format!("--protocol {}", protocol.name())));
        flags.extend(seed.map(|seed| format!("--seed {seed}")));
        flags.extend(seen.map(|seen| format!("--seen {}", seen.name())));
        flags.extend(k.map(|k| format!("-k {}", list(k))));
        if !flags.is_empty() {
            eprintln!("as {} was trained: {}", self.run.display(), flags.join(" "));
        }
        let given = match self.k.is_empty() {
            true => vec![10, 50],
            false => self.k.clone(),
        };
        Asked {
            data,
            protocol: self
                .protocol
                .or(protocol)
                .unwrap_or(ProtocolName::LeaveOneOut),
            seen: self.seen.or(seen).unwrap_or_default(),
            k: k.cloned().unwrap_or(given),
            seed: self.seed.or(seed).unwrap_or(42),
        }
    }
}

fn list(k: &[usize]) -> String {
    let k: Vec<String> = k.iter().map(usize::to_string).collect();
    k.join(",")
}

/// Says on standard error where the model may have been trained on what it is evaluated on.
fn remark_on_split(run: &Path, split: &Split, trained: Option<&Trained>) {
    let here = Some(held_out(split));
    let run = run.display();
    let why = match trained {
        Some(trained) if trained.held_out == here => return,
        Some(_) => format!(
            "the data, or how they are read and divided, are not those that {run} was trained with"
        ),
        None => format!("nothing is known of how {run} was trained"),
    };
    eprintln!(
        "{why}: what it was trained on may be among what it is evaluated on here, and the metrics too good"
    );
}

/// The test cases with their items by the model's numbers, and how many items of the data are
/// unknown to the model, which is said on standard error with what comes of it.
fn known_cases(split: &Split, catalog: &Catalog) -> Result<(Spans, usize), Box<dyn Error>> {
    let test = split.test.for_catalog(catalog)?;
    let items = split.catalog().ids();
    let all = items.len();
    let unknown = items.filter(|id| catalog.index_of(id).is_none()).count();
    if unknown > 0 {
        let labels = || test.iter().flat_map(|case| case.labels);
        let lost = labels().filter(|label| catalog.id_of(**label).is_none());
        eprintln!(
            "{unknown} of {all} items are unknown to the model: {} of {} labels are of them and count as \
             not found, and {} users of whose history nothing is known are left out",
            lost.count(),
            labels().count(),
            split.test.len() - test.len(),
        );
    }
    Ok((test, unknown))
}
