//! Trains every model under one protocol and writes a table of what each recalls.
//!
//! `seqrec compare models FILE… --models gru4rec,sasrec,ease` reads files of
//! interactions; `--help` lists the options. What is finished is kept in `--out`, and a run that
//! was interrupted goes on from there.

mod fit;
pub mod options;
pub mod results;
pub mod settings;

use std::error::Error;
use std::time::Instant;

use seqrec::OutputFolder;
use seqrec::data::Seen;
use seqrec::recall::Evaluation;

use crate::data::SeenName;
use fit::{Context, Fitted};
use options::Options;
use results::{Outcome, Results, Run, table};
use settings::Settings;

pub fn run(options: &Options, results: crate::results::Results) -> Result<(), Box<dyn Error>> {
    let settings = Settings::read(options.settings.as_deref())?;
    let names = settings.names(&options.models)?;
    let out = OutputFolder::open(&options.out, "compare")?;
    let mut kept = Results::open(out.join("results.jsonl"))?;
    for file in &options.files {
        let data = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let split = options
            .reading
            .read(file, None)?
            .split(options.protocol, 42)?;
        let run = Run {
            data: data.clone(),
            // Other contents under the same name, another protocol or filter: all are in it.
            split: format!("{:016x}", split.fingerprint()),
            protocol: options.protocol.name().to_owned(),
            exclude_seen: options.seen == SeenName::LeaveOut,
        };
        // What can't be judged is told before any time is spent.
        (evaluation(options).validate(split.catalog()))
            .map_err(|error| format!("{error}; give other cuts by -k"))?;
        for name in &names {
            let entry = settings.entry(name, &data)?;
            for &seed in &options.seeds {
                let key = entry.key(&run, seed);
                if kept.has(&key, &options.k) {
                    continue;
                }
                let context = Context {
                    split: &split,
                    seed,
                    seen: seen(options),
                    largest: options.k.iter().copied().max().unwrap_or(1),
                    checkpoints: out.join("checkpoints").join(&key),
                    progress: true,
                };
                let outcome = measure(name, &run, &entry, &context, options)
                    .map_err(|error| format!("{name}: {error}"))?;
                eprintln!("  {outcome}");
                results.value(&serde_json::to_value(&outcome)?);
                kept.add(key, outcome)?;
            }
        }
        let report = table(&kept, &run, &options.k)?;
        results.text(format_args!("\n{}", report.markdown));
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
    let fitted: Fitted = fit::fit(entry, context)?;
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
    options.seen.into()
}

fn evaluation(options: &Options) -> Evaluation {
    Evaluation::new(&options.k, seen(options))
}
