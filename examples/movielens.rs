//! The main job from end to end: a model trained on MovieLens, measured, and what it recalls.

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use seqrec::channels::baselines;
use seqrec::data::movielens::{Downloader, Edition, movies};
use seqrec::data::{Items, synthetic::Synthetic};
use seqrec::eval::Comparison;
use seqrec::plot::{MapPoint, draw_map, draw_training_curves};
use seqrec::prelude::*;
use seqrec::train::{CsvLog, ProgressBars};
use seqrec::{ErrorKind, OutputFolder, Result};
use serde_json::json;

/// Training gives large buffers back at every step, which glibc's allocator gives on to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains GRU4Rec on MovieLens, compares it with simple channels, and shows what it recalls.
#[derive(Parser)]
#[command(name = "movielens", max_term_width = 100)]
struct Options {
    /// MovieLens's edition: 100k, 1m, 10m, 20m, 25m, 32m or latest-small.
    #[arg(long, default_value = "latest-small")]
    size: Edition,
    /// A file of interactions to use instead of MovieLens.
    #[arg(long, conflicts_with = "size")]
    data: Option<PathBuf>,
    /// Uses generated data, as is done without a network.
    #[arg(long, conflicts_with_all = ["size", "data"])]
    generated: bool,
    /// The largest number of epochs; training stops earlier where nothing gets better.
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Cuts of the metrics; training is stopped by the recall at the largest.
    #[arg(long, value_delimiter = ',', default_value = "10,50")]
    k: Vec<usize>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The folder for the run, its log, its pictures and its checkpoints.
    #[arg(long, default_value = "movielens-run")]
    out: PathBuf,
    /// Resumes an interrupted run in the same folder.
    #[arg(long)]
    resume: bool,
    /// Prints all metrics, both with seen items left out and with them kept.
    #[arg(long)]
    all: bool,
}

// `println!` would panic once nobody reads any more, as after `| head`.
fn main() -> ExitCode {
    let result = run(&Options::parse());
    match &result {
        Ok(screen) => drop(stdout().write_all(screen.as_bytes())),
        Err(error) => drop(writeln!(stderr(), "error: {error}")),
    }
    ExitCode::from(u8::from(result.is_err()))
}

/// The interactions, what is known of their items (without titles, ids are shown), and a name.
fn data(options: &Options) -> Result<(Interactions, Items, String)> {
    let generated = || {
        let shop = Synthetic::new().with_seed(options.seed);
        Ok((shop.generate()?, shop.movies()?, "generated data".into()))
    };
    let path = match &options.data {
        _ if options.generated => return generated(),
        Some(path) => path.clone(),
        None => {
            let cache = dirs::cache_dir().unwrap_or_default().join("seqrec");
            match Downloader::default().fetch(options.size, cache, |_| ()) {
                Err(error) if matches!(error.kind(), ErrorKind::Download { .. }) => {
                    let _ = writeln!(stderr(), "{error}; using generated data instead");
                    return generated();
                }
                path => path?,
            }
        }
    };
    let known = movies(&path).ok().flatten();
    let known = known.map_or(Items::new([0; 0]), Ok)?;
    let name = path.display().to_string();
    Ok((Interactions::read(path)?, known, name))
}

fn run(options: &Options) -> Result<String> {
    let metric = Metric::recall(options.k.iter().copied().max().unwrap_or(0))?;
    let settings = TrainerConfig::new()
        .with_epochs(options.epochs)
        .with_metric(metric)
        .with_ks(options.k.clone())
        .with_seen(Seen::Keep)
        .with_seed(options.seed);
    // Before any time is spent; and nothing else's folder is written.
    settings.validate()?;
    let out = OutputFolder::open(&options.out, "movielens")?;
    let (interactions, movies, name) = data(options)?;
    let dataset = Dataset::new(interactions, Filters::new().with_minimum_per_user(5))?;
    let split = Split::new(&dataset, Protocol::Ratio { seed: options.seed })?;
    Evaluation::new(&options.k, Seen::Keep).validate(split.catalog())?;
    let (users, items) = (dataset.users(), split.catalog().len());
    let _ = writeln!(stderr(), "{name}: {users} users, {items} items");

    let config = Gru4RecConfig::new();
    let model = config.init::<Autodiff<Flex>>(items, options.seed, &Default::default())?;
    let trained = Trainer::new(settings)
        .observer(ProgressBars::default())
        .observer(CsvLog::new(out.join("log.csv")))
        .checkpoints(out.join("checkpoints"))
        .resume(options.resume)
        .fit(model, &split)?;
    let title = format!("GRU4Rec on {name}");
    draw_training_curves(&title, &trained, &[metric])?.save(out.join("training.svg"))?;
    let (epochs, best, seconds) = (trained.epochs, trained.best_epoch, trained.train_seconds);
    let run = Run::<Flex, _>::new(config, trained.model, split.catalog().clone());
    let model = Recaller::from(run);
    model.save(out.join("run"))?;
    let (catalog, vectors) = (model.catalog(), model.item_vectors());
    let map = MapPoint::of_items(catalog, vectors, Some(&movies), "genres", options.seed)?;
    draw_map(&title, &map)?.save(out.join("items.svg"))?;

    let tests = compare(&options.k, &split, &model)?;
    let [new, all] = tests.each_ref().map(|test| &test.reports);
    let record = json!({
        "model": "gru4rec", "data": name, "protocol": "ratio", "seed": options.seed, "map": map,
        "users": users, "items": items, "interactions": dataset.sequences().interactions(),
        "split": format!("{:016x}", split.fingerprint()), "metric": metric, "epochs": epochs,
        "best_epoch": best, "train_seconds": seconds, "test": [
        {"seen": "left out", "report": new[0].report, "baselines": new[1..]},
        {"seen": "kept", "report": all[0].report, "baselines": all[1..]}],
    });
    out.write("report.json", record.to_string())?;
    let (seen, table) = table(options, metric, &tests)?;
    let (epochs, shown) = (epochs.len(), show(&split, seen, &model, &movies)?);
    let out = options.out.display();
    Ok(format!(
        "{epochs} epochs in {seconds:.0} s, the best was epoch {best}; {table}{shown}\n\
         {out}: training.svg, items.svg, report.json with all numbers, and the trained run\n\
         next: --data FILE takes your own data; `cargo install --path cli` brings the program\n\
         `seqrec`, which compares models, recalls for everybody, draws reports and serves\n"
    ))
}

/// The model and simple channels on the test split, with seen items left out and kept.
fn compare(ks: &[usize], split: &Split, model: &Recaller) -> Result<[Comparison; 2]> {
    let mut channels = baselines(&split.train)?;
    channels.insert(0, ("model", Box::new(model.channel()?)));
    let on = |seen| Evaluation::new(ks, seen).compare(&channels, &split.test, split.catalog());
    Ok([on(Seen::Exclude)?, on(Seen::Keep)?])
}

/// Metrics on the test split, with seen items kept only where users come back to them.
fn table(options: &Options, metric: Metric, tests: &[Comparison; 2]) -> Result<(Seen, String)> {
    let [new, all] = tests;
    let least = options.k.iter().copied().min().unwrap_or(1);
    let (ndcg, hit_rate) = (Metric::ndcg(least)?, Metric::hit_rate(least)?);
    let mut metrics = vec![metric, Metric::recall(least)?, ndcg, hit_rate];
    metrics.dedup();
    let (shown, seen, how) = match new.reports[0].report.unreachable_labels {
        0 => (new, Seen::Exclude, "left out"),
        _ => (all, Seen::Keep, "kept"),
    };
    let mut table = match options.all {
        true => format!("test split, seen items left out\n\n{new}\nkept\n\n{all}"),
        false => format!("test split, seen items {how}\n\n{}", shown.table(&metrics)),
    };
    if let Some((ahead, _)) = shown.best(metric).filter(|(name, _)| *name != "model") {
        table += &format!(
            "\n{ahead} is ahead of the model on these data: try another model (`seqrec compare`),\n\
             or several channels in one stage (docs/guide/stage.md)\n"
        );
    }
    Ok((seen, table))
}

/// The last items of three test users beside what is recalled for them.
fn show(split: &Split, seen: Seen, model: &Recaller, movies: &Items) -> Result<String> {
    let mut screen = String::new();
    let id = |item: &ItemIndex| split.catalog().id_of(*item).cloned();
    let title = |id: &ExternalId| movies.title(id).chars().take(42).collect::<String>();
    for case in split.test.iter().take(3) {
        let (items, times) = (case.user.items(), case.user.times().iter().copied());
        let timed = items.iter().filter_map(id).zip(times);
        let recalled = model.recall_for(&RecallRequest::for_timed_history(timed, 5).seen(seen))?;
        let labels: Vec<ExternalId> = case.labels.iter().filter_map(id).collect();
        let of = format!("user {}, the last of {} items", case.number, items.len());
        screen += &format!("\n{of:<44} recalled (* taken later)\n");
        let last = &items[items.len().saturating_sub(5)..];
        for (last, found) in last.iter().filter_map(id).zip(&recalled.items) {
            let mark = if labels.contains(&found.id) { '*' } else { ' ' };
            screen += &format!("  {:<42} {mark} {}\n", title(&last), title(&found.id));
        }
    }
    Ok(screen)
}
