//! The main job from end to end: a model trained on MovieLens, measured, and what it recalls.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use pico_args::Arguments;
use seqrec::channels::baselines;
use seqrec::data::movielens::{Downloader, Edition, movies};
use seqrec::data::{Items, synthetic::Synthetic};
use seqrec::eval::Comparison;
use seqrec::plot::{MapPoint, draw_map, draw_training_curves};
use seqrec::prelude::*;
use seqrec::train::CsvLog;
use seqrec::{ErrorKind, OutputFolder, Result};
use serde_json::json;

const HELP: &str = "\
Trains GRU4Rec on MovieLens, compares it with simple channels, and shows what it recalls.

  --size EDITION  100k, 1m, 10m, 20m, 25m, 32m or latest-small [default: latest-small]
  --data FILE     a file of interactions to use instead of MovieLens
  --generated     generated data, as is used without a network
  --epochs N      the largest number of epochs; training stops earlier [default: 100]
  --k N,N         cuts of the metrics [default: 10,50]
  --seed N        the seed of everything random [default: 42]
  --out FOLDER    the run, its log, pictures and checkpoints [default: movielens-run]
  --all           prints all metrics, with seen items left out and with them kept
";

// `println!` would panic once nobody reads any more, as after `| head`.
fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help") {
        let _ = stdout().write_all(HELP.as_bytes());
        return ExitCode::SUCCESS;
    }
    let result = run(Arguments::from_env());
    match &result {
        Ok(screen) => drop(stdout().write_all(screen.as_bytes())),
        Err(error) => drop(writeln!(stderr(), "error: {error}")),
    }
    ExitCode::from(u8::from(result.is_err()))
}

/// The interactions, what is known of their items (without titles, ids are shown), and a name.
fn data(file: Option<PathBuf>, size: Edition) -> Result<(Interactions, Items, String)> {
    let home = std::env::home_dir().unwrap_or_default();
    let fetched = || Downloader::default().fetch(size, home.join(".cache/seqrec"), |_| ());
    let path = file.map_or_else(fetched, Ok)?;
    let known = movies(&path).ok().flatten();
    Ok((
        Interactions::read(&path)?,
        known.map_or(Items::new([0; 0]), Ok)?,
        path.display().to_string(),
    ))
}

/// Data in which order matters.
fn generated(seed: u64) -> Result<(Interactions, Items, String)> {
    let shop = Synthetic::new().with_seed(seed);
    Ok((shop.generate()?, shop.movies()?, "generated data".into()))
}

fn run(mut given: Arguments) -> std::result::Result<String, Box<dyn std::error::Error>> {
    let cuts: String = given.opt_value_from_str("--k")?.unwrap_or("10,50".into());
    let ks: std::result::Result<Vec<usize>, _> = cuts.split(',').map(str::parse).collect();
    let (ks, size) = (ks?, given.opt_value_from_str("--size")?);
    let file = given.opt_value_from_str("--data")?;
    let epochs = given.opt_value_from_str("--epochs")?;
    let seed = given.opt_value_from_str("--seed")?.unwrap_or(42);
    let folder = given.opt_value_from_str("--out")?;
    let folder = folder.unwrap_or(PathBuf::from("movielens-run"));
    let (is_generated, is_all) = (given.contains("--generated"), given.contains("--all"));
    if let Some(unknown) = given.finish().first() {
        return Err(format!("{unknown:?} is not understood\n\n{HELP}").into());
    }

    let metric = Metric::recall(ks.iter().copied().max().unwrap_or(0))?;
    let settings = TrainerConfig::new()
        .with_epochs(epochs.unwrap_or(100))
        .with_metric(metric)
        .with_ks(ks.clone())
        .with_seen(Seen::Keep)
        .with_seed(seed);
    // Before any time is spent; and nothing else's folder is written.
    settings.validate()?;
    let out = OutputFolder::open(&folder, "movielens")?;
    let (interactions, movies, name) = match is_generated {
        true => generated(seed)?,
        false => data(file, size.unwrap_or(Edition::LatestSmall)).or_else(|error| {
            match error.kind() {
                ErrorKind::Download { .. } => {
                    let _ = writeln!(stderr(), "{error}; using generated data instead");
                    generated(seed)
                }
                _ => Err(error),
            }
        })?,
    };
    let dataset = Dataset::new(interactions, Filters::new().with_minimum_per_user(5))?;
    let split = Split::new(&dataset, Protocol::Ratio { seed })?;
    Evaluation::new(&ks, Seen::Keep).validate(split.catalog())?;
    let (users, items) = (dataset.users(), split.catalog().len());
    let _ = writeln!(stderr(), "{name}: {users} users, {items} items");

    let config = Gru4RecConfig::new();
    let model = config.init::<Autodiff<Flex>>(items, seed, &Default::default())?;
    // By few users, chance alone makes some epoch the best for long.
    let patience = [5, 10][usize::from(split.valid.len() < 200)];
    let trained = Trainer::new(settings.with_patience(patience))
        .on_epoch(|epoch, improved| {
            let best = if improved { ", the best so far" } else { "" };
            let end = ["\n", "\x1b[K\r"][usize::from(stderr().is_terminal())];
            let _ = write!(stderr(), "{epoch}{best}{end}");
        })
        .observer(CsvLog::new(out.join("log.csv")))
        .fit(model, &split)?;
    let title = format!("GRU4Rec on {name}");
    draw_training_curves(&title, &trained, &[metric])?.save(out.join("training.svg"))?;
    let (epochs, best, seconds) = (trained.epochs, trained.best_epoch, trained.train_seconds);
    let run = Run::<Flex, _>::new(config, trained.model, split.catalog().clone());
    let model = Recaller::from(run);
    model.save(out.join("run"))?;
    let (catalog, vectors) = (model.catalog(), model.item_vectors());
    let map = MapPoint::of_items(catalog, vectors, Some(&movies), "genres", seed)?;
    draw_map(&title, &map)?.save(out.join("items.svg"))?;

    let mut channels = baselines(&split.train)?;
    channels.insert(0, ("model", Box::new(model.channel()?)));
    let on = |seen| Evaluation::new(&ks, seen).compare(&channels, &split.test, split.catalog());
    let tests = [on(Seen::Exclude)?, on(Seen::Keep)?];
    let [new, all] = tests.each_ref().map(|test| &test.reports);
    let record = json!({
        "model": "gru4rec", "data": name, "protocol": "ratio", "seed": seed, "map": map,
        "users": users, "items": items, "interactions": dataset.sequences().interactions(),
        "split": format!("{:016x}", split.fingerprint()), "metric": metric, "epochs": epochs,
        "best_epoch": best, "train_seconds": seconds, "test": [
        {"seen": "left out", "report": new[0].report, "baselines": new[1..]},
        {"seen": "kept", "report": all[0].report, "baselines": all[1..]}],
    });
    out.write("report.json", record.to_string())?;
    let least = ks.iter().copied().min().unwrap_or(1);
    let (seen, table) = table(is_all, metric, least, &tests)?;
    let (epochs, shown) = (epochs.len(), show(&split, seen, &model, &movies)?);
    Ok(format!(
        "{epochs} epochs in {seconds:.0} s, the best was epoch {best}; {table}{shown}\n\
         {}: training.svg, items.svg, report.json with all numbers, and the trained run\n\
         next: --data FILE takes your own data; `cargo install --path cli` brings the program\n\
         `seqrec`, which compares models, recalls for everybody, draws reports and serves\n",
        folder.display()
    ))
}

/// Metrics on the test split, with seen items kept only where users come back to them.
fn table(
    is_all: bool,
    metric: Metric,
    least: usize,
    [new, all]: &[Comparison; 2],
) -> Result<(Seen, String)> {
    let (ndcg, hit_rate) = (Metric::ndcg(least)?, Metric::hit_rate(least)?);
    let mut metrics = vec![metric, Metric::recall(least)?, ndcg, hit_rate];
    metrics.dedup();
    let (shown, seen, how) = match new.reports[0].report.unreachable_labels {
        0 => (new, Seen::Exclude, "left out"),
        _ => (all, Seen::Keep, "kept"),
    };
    let mut table = match is_all {
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
