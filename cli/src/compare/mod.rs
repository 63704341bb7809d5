//! Trains every model under one protocol and writes a table of what each recalls.
//!
//! `cargo run --release --example benchmark -- FILE… --models gru4rec,sasrec,ease` reads files of
//! interactions; `--help` lists the options. What is finished is kept in `--out`, and a run that
//! was interrupted goes on from there.

mod models;
pub mod options;
pub mod results;
mod search;
pub mod settings;

use std::error::Error;
use std::time::Instant;

use seqrec::OutputFolder;
use seqrec::data::{Dataset, Filters, InteractionReader, Protocol, Seen, Split, TimeUnit};
use seqrec::recall::Evaluation;

use models::{Context, Fitted};
use options::{Options, ProtocolName};
use results::{Outcome, Results, Run, table};
use settings::Settings;

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    if let Some(threads) = options.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()?;
    }
    let settings = Settings::read(options.settings.as_deref())?;
    let names = settings.names(&options.models)?;
    let out = OutputFolder::open(&options.out, "benchmark")?;
    let mut results = Results::open(out.join("results.jsonl"))?;
    for file in &options.files {
        let data = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let reader = match &options.format {
            Some(format) => InteractionReader::new(file, format.clone()),
            None => InteractionReader::detect(file)?,
        };
        println!("{}: read as {}", file.display(), reader.format());
        let log = reader.read()?;
        let filters = Filters::new().with_minimum_per_user(5);
        let dataset = Dataset::new(log, filters)?;
        let protocol = options.protocol.of(&dataset)?;
        let split = Split::new(&dataset, protocol)?;
        println!(
            "{data}: {} users, {} items, {} interactions; {} valid, {} test; {} too short, {} without \
             a history before the test",
            dataset.users(),
            dataset.catalog().len(),
            dataset.sequences().interactions(),
            split.valid.len(),
            split.test.len(),
            split.too_short,
            split.test.newcomers().len(),
        );
        let run = Run {
            data: data.clone(),
            // Other contents under the same name, another protocol or filter: all are in it.
            split: format!("{:016x}", split.fingerprint()),
            protocol: options.protocol.name().to_owned(),
            exclude_seen: options.exclude_seen,
        };
        // What can't be judged is told before any time is spent.
        evaluation(options).validate(split.catalog())?;
        if split.test.is_empty() {
            let reason = "no user has a history that is long enough to be judged by";
            return Err(format!("{data}: {reason}").into());
        }
        for name in &names {
            let mut entry = settings.entry(name, &data)?;
            if options.search > 0 {
                entry = search::best(name, entry, &run, &split, options, &out)?;
            }
            for &seed in &options.seeds {
                let key = entry.key(&run, seed);
                if results.has(&key) {
                    continue;
                }
                let context = Context {
                    split: &split,
                    seed,
                    seen: seen(options),
                    checkpoints: out.join("checkpoints").join(&key),
                    pause_after: None,
                    progress: true,
                };
                let outcome = measure(name, &run, &entry, &context, options)
                    .map_err(|error| format!("{name}: {error}"))?;
                println!("  {outcome}");
                results.add(key, outcome)?;
            }
        }
        let report = table(&results, &run);
        println!("\n{}", report.markdown);
        out.write(format!("{run}.md"), report.markdown)?;
        out.write(format!("{run}.csv"), report.csv)?;
    }
    Ok(())
}

/// Trains one model once and judges it on the test split.
fn measure(
    name: &str,
    run: &Run,
    entry: &settings::Entry,
    context: &Context<'_>,
    options: &Options,
) -> Result<Outcome, Box<dyn Error>> {
    let fitted: Fitted = models::fit(entry, context)?;
    let evaluation = evaluation(options);
    let catalog = context.split.catalog();
    let start = Instant::now();
    let test = evaluation.run(fitted.channel.as_ref(), &context.split.test, catalog)?;
    let recall_seconds = start.elapsed().as_secs_f64();
    Ok(Outcome {
        model: name.to_owned(),
        run: run.clone(),
        seed: context.seed,
        epochs: fitted.epochs,
        train_seconds: fitted.train_seconds,
        recall_milliseconds: 1000.0 * recall_seconds / test.users as f64,
        valid: fitted.valid,
        test,
    })
}

fn seen(options: &Options) -> Seen {
    Seen::exclude_if(options.exclude_seen)
}

fn evaluation(options: &Options) -> Evaluation {
    Evaluation::new(&[10, 50], seen(options))
}

impl ProtocolName {
    fn name(self) -> &'static str {
        match self {
            Self::LeaveOneOut => "leave-one-out",
            Self::Ratio => "ratio",
            Self::TimeCut => "time-cut",
        }
    }

    /// A time cut holds out the last fifth of all interactions, half of it for validation.
    fn of(self, dataset: &Dataset) -> Result<Protocol, Box<dyn Error>> {
        let sequences = dataset.sequences();
        let at = |share| sequences.time_quantile(share).ok_or("no interaction");
        if self == Self::TimeCut && TimeUnit::from_times(&[at(0.5)?]) == TimeUnit::Order {
            let reason = "the file has no times to cut at: they say no more than what came first";
            return Err(reason.into());
        }
        Ok(match self {
            Self::LeaveOneOut => Protocol::LeaveOneOut,
            Self::Ratio => Protocol::Ratio { seed: 42 },
            Self::TimeCut => Protocol::time_cut_at_shares(dataset, 0.8, 0.9)?,
        })
    }
}
