//! The main job from end to end: MovieLens in, a model trained, items recalled, measured.
//!
//! `seqrec train --help` lists the options.

mod baselines;
pub mod options;
mod record;
mod source;

use std::error::Error;

use ndarray::Array2;
use seqrec::backend::{Autodiff, Backend};
use seqrec::data::{Case, Dataset, ExternalId, Filters, ItemIndex, Protocol, Seen, Split};
use seqrec::eval::{Metric, Report};
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, HnswRsIndex, VectorIndex};
use seqrec::model::{ModelVisitor, RecallerConfig, SequenceRecaller, TrainableConfig, visit_model};
use seqrec::plot::{MapPoint, draw_map, draw_training_curves, tsne};
use seqrec::recall::{Evaluation, RecallRequest, Retriever, VectorChannel};
use seqrec::retrieve::{exact_index, item_vectors};
use seqrec::store::Run;
use seqrec::train::{CsvLog, EpochTable, ProgressBars, StopReason, Trained, Trainer};
use seqrec::{OutputFolder, Result};
use serde_json::{Value, json};

use crate::overrides::config;
use options::{BackendName, IndexName, Options, ProtocolName};
use source::{Source, Titles};

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    if let Some(threads) = options.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()?;
    }
    match options.backend {
        BackendName::Flex => job::<seqrec::backend::Flex>(options),
        #[cfg(feature = "cuda")]
        BackendName::Cuda => job::<seqrec::backend::Cuda>(options),
        #[cfg(feature = "wgpu")]
        BackendName::Wgpu => job::<seqrec::backend::Wgpu>(options),
        #[allow(unreachable_patterns)]
        other => {
            let name = format!("{other:?}").to_lowercase();
            Err(format!("this build has no {name}; run again with `--features {name}`").into())
        }
    }
}

fn job<B: Backend>(options: &Options) -> Result<(), Box<dyn Error>> {
    visit_model::<Autodiff<B>, _>(&options.model, Job { options })?
}

/// The job with whichever model.
struct Job<'a> {
    options: &'a Options,
}

impl<B: Backend> ModelVisitor<Autodiff<B>> for Job<'_> {
    type Output = Result<(), Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<B>>>(self, defaults: C) -> Self::Output {
        train_and_judge::<B, C>(self.options, defaults)
    }
}

fn train_and_judge<B: Backend, C: TrainableConfig<Autodiff<B>>>(
    options: &Options,
    defaults: C,
) -> Result<(), Box<dyn Error>> {
    let device = B::Device::default();
    let config: C = config(&defaults, &options.model_settings())?;
    // How many items there are is not known yet.
    config.validate_for(u32::MAX as usize)?;
    // Before any time is spent, and for as long as this runs: nothing else's is overwritten.
    let out = OutputFolder::open(&options.out, "movielens")?;

    let Source {
        interactions,
        titles,
    } = Source::find(options)?;
    let filters = Filters::new()
        .with_minimum_value(options.min_rating)
        .with_minimum_per_user(options.core.unwrap_or(5))
        .with_minimum_per_item(options.core.unwrap_or(0));
    let rows = interactions.len();
    let unrated = (0..rows).filter(|&row| interactions.value(row).is_none());
    let unrated = options.min_rating.map_or(0, |_| unrated.count());
    let dataset = Dataset::new(interactions, filters)?;
    let left_out = rows - dataset.sequences().interactions();
    if left_out > 0 {
        println!(
            "{left_out} of {rows} interactions are left out: those of users with fewer than {}, and what else \
             --core and --min-rating say",
            filters.minimum_per_user
        );
    }
    if unrated > 0 {
        println!(
            "{unrated} interactions have no rating, so that --min-rating says nothing of them"
        );
    }
    let protocol = match options.protocol {
        ProtocolName::Ratio => Protocol::Ratio { seed: options.seed },
        ProtocolName::LeaveOneOut => Protocol::LeaveOneOut,
    };
    let split = Split::new(&dataset, protocol)?;
    println!(
        "{} users, {} items, {} interactions; {} train, {} valid, {} test, {} too short",
        dataset.users(),
        dataset.catalog().len(),
        dataset.sequences().interactions(),
        split.train.sequences().len(),
        split.valid.len(),
        split.test.len(),
        split.too_short,
    );
    // What can't be judged is told before any time is spent.
    Evaluation::new(&options.k, Seen::Keep).validate(split.catalog())?;
    if split.test.is_empty() {
        return Err("no user has a history that is long enough to be judged by".into());
    }

    let model = config.init::<Autodiff<B>>(dataset.catalog().len(), options.seed, &device)?;
    let trainer_config = options.trainer(model.config().describe().one_target)?;
    let names = (options.k.iter())
        .flat_map(|k| ["recall", "ndcg", "hit_rate"].map(|measure| format!("{measure}@{k}")));
    let shown: Vec<Metric> = names.filter_map(|name| name.parse().ok()).collect();
    let trained = Trainer::new(trainer_config.clone())
        .observer(ProgressBars::default())
        .observer(EpochTable::of(shown))
        .observer(CsvLog::new(out.join("log.csv")))
        .checkpoints(out.join("checkpoints"))
        .resume(options.resume)
        .fit(model, &split)?;
    let metrics: Vec<Metric> = options
        .k
        .iter()
        .map(|&k| Metric::recall(k))
        .collect::<Result<_>>()?;
    let title = format!("{} on {}", options.model, options.source_name());
    draw_training_curves(&title, &trained, &metrics)?.save(out.join("training.svg"))?;
    let Trained {
        model,
        best_epoch,
        epochs,
        train_seconds,
        stop,
    } = trained;
    let why = match stop {
        StopReason::Epochs => "all epochs made".to_owned(),
        StopReason::Patience => "no better for long enough".to_owned(),
        StopReason::Time => "time is up".to_owned(),
        StopReason::Diverged { epoch, step } => {
            format!("the loss diverged in epoch {epoch}, step {step}; lower --lr")
        }
        _ => "ended".to_owned(),
    };
    let made = epochs.last().map_or(0, |last| last.epoch);
    let best = (epochs.get(best_epoch.saturating_sub(1))).map_or(0, |best| best.epoch);
    println!("stopped after {made} epochs ({why}); the best was epoch {best}");

    let vectors = item_vectors(&model);
    let index: Box<dyn VectorIndex> = match options.index {
        IndexName::Flat => exact_index(&model)?,
        IndexName::Hnsw => Box::new(HnswIndex::new(vectors.view(), &HnswConfig::new())?),
        IndexName::HnswRs => Box::new(HnswRsIndex::new(vectors.view(), &HnswConfig::new())?),
    };
    if !index.is_exact() {
        let found = index_recall(&model, &index, &vectors, &split, options)?;
        println!("the index finds {found:.4} of the true best");
    }
    let channel = VectorChannel::from_model(model.clone(), index);
    // By both protocols, since published results are by either; the one that training was stopped by
    // comes last.
    let baselines = baselines::Fitted::new(&split)?;
    let mut reports = Vec::new();
    let mut tests = Vec::new();
    for exclude_seen in [!options.exclude_seen, options.exclude_seen] {
        let evaluation = Evaluation::new(&options.k, Seen::exclude_if(exclude_seen));
        let report = evaluation.run(&channel, &split.test, split.catalog())?;
        let baselines = baselines.measure(&evaluation, &split)?;
        let seen = if exclude_seen { "left out" } else { "kept" };
        println!("\nseen items {seen}: {}", baselines.table(&report));
        tests.push(json!({"seen": seen, "report": report, "baselines": baselines.to_json()}));
        if exclude_seen == options.exclude_seen
            && let Some(words) = baselines.compare(&report, trainer_config.metric)
        {
            println!("{words}");
        }
        reports.push((exclude_seen, report));
    }

    let judged = (
        trainer_config.metric,
        Seen::exclude_if(options.exclude_seen),
    );
    let counts = split.catalog().counts();
    let taken = |case: Case<'_>| {
        case.labels
            .first()
            .map_or(0, |label| counts[label.to_usize()])
    };
    let length = |case: Case<'_>| case.user.items().len() as u64;
    let by_popularity = record::by_number(&channel, &split, judged, taken)?;
    let by_history = record::by_number(&channel, &split, judged, length)?;
    let indexes = record::indexes(&model, &vectors, &split, judged.0.k())?;

    let settings = json!({"model": &config, "training": &trainer_config});
    let run = Run::<B, C>::new(config, model, split.catalog().clone());
    run.save(out.join("run"))?;
    // A map of a handful of items would show nothing.
    let map = if run.catalog.len() >= 10 {
        draw_item_map(&out, options, &titles, &run)?
    } else {
        Vec::new()
    };
    let retriever = Retriever::new(channel, run.catalog)?;
    let users_shown = show_users(&titles, &split, &retriever)?;
    let record = json!({
        "model": options.model,
        "protocol": options.protocol.name(),
        "split": format!("{:016x}", split.fingerprint()),
        "users": dataset.users(),
        "items": dataset.catalog().len(),
        "interactions": dataset.sequences().interactions(),
        "metric": trainer_config.metric,
        "train_seconds": train_seconds,
        "best_epoch": best,
        "epochs": epochs,
        "test": tests,
        "by_popularity": by_popularity,
        "by_history": by_history,
        "index": indexes,
        "map": map,
        "users_shown": users_shown,
        "seed": options.seed,
        "settings": settings,
        "version": env!("CARGO_PKG_VERSION"),
        "date": record::date(),
        "command": record::command(std::env::args_os()),
    });
    out.write("report.json", record.to_string())?;
    println!(
        "\nthe run, its log and its pictures are in {}",
        options.out.display()
    );
    for (exclude_seen, report) in reports {
        let training = (epochs.len(), train_seconds);
        println!(
            "{}",
            summary(options, &dataset, training, exclude_seen, &report)
        );
    }
    Ok(())
}

/// The share of what exact search finds for test users that an index finds.
fn index_recall<B: Backend>(
    model: &impl SequenceRecaller<B>,
    index: &dyn VectorIndex,
    vectors: &Array2<f32>,
    split: &Split,
    options: &Options,
) -> Result<f64> {
    const USERS: usize = 500;
    let k = options.k.iter().copied().max().unwrap_or(50);
    let users = record::test_users(model, split, USERS)?;
    let exact = FlatIndex::new(vectors)?.search(users.view(), k, None)?;
    Ok(index.search(users.view(), k, None)?.recall(&exact))
}

/// The items that a map shows at most: the most popular ones.
const MAP_ITEMS: usize = 3_000;

fn draw_item_map<B: Backend, C: RecallerConfig>(
    out: &OutputFolder,
    options: &Options,
    titles: &Titles,
    run: &Run<B, C>,
) -> Result<Vec<MapPoint>> {
    let vectors = item_vectors(&run.model);
    let mut items = run.catalog.by_popularity();
    items.truncate(MAP_ITEMS);
    let rows: Vec<usize> = items.iter().map(|item| item.to_usize()).collect();
    let mut shown = vectors.select(ndarray::Axis(0), &rows);
    // Directions matter more than lengths, which mostly tell how popular an item is.
    seqrec::model::Similarity::Cosine.prepare(shown.view_mut());
    let places = tsne(shown.view(), options.seed)?;
    let points: Vec<MapPoint> = (items.iter().zip(places))
        .map(|(&item, (x, y))| {
            let id = run.catalog.id_of(item);
            MapPoint {
                x,
                y,
                group: id.and_then(|id| titles.group(id)),
                title: id.map(|id| titles.title(id)),
            }
        })
        .collect();
    let title = format!(
        "The {} most popular items, {} on {}",
        points.len(),
        options.model,
        options.source_name()
    );
    draw_map(&title, &points)?.save(out.join("items.svg"))?;
    Ok(points)
}

/// How many titles are shown of a history and of what is recalled for it.
const SHOWN_TITLES: usize = 8;
const TITLE_WIDTH: usize = 44;

/// Prints three test users' last items beside what is recalled for them, and gives them back.
fn show_users(titles: &Titles, split: &Split, retriever: &Retriever) -> Result<Vec<Value>> {
    let mut shown = Vec::new();
    let id = |item: ItemIndex| -> &ExternalId {
        split
            .catalog()
            .id_of(item)
            .expect("cases hold items of the catalog")
    };
    let cut = |text: String| -> String { text.chars().take(TITLE_WIDTH).collect() };
    for Case {
        number,
        user,
        labels,
        ..
    } in split.test.iter().take(3)
    {
        let history = user.items();
        // With their times, which some models look at.
        let timed = history.iter().zip(user.times());
        let timed = timed.map(|(&item, &time)| (id(item).clone(), time));
        let recalled =
            retriever.recall_for(&RecallRequest::for_timed_history(timed, SHOWN_TITLES))?;
        println!(
            "\nuser {number}: the last of {} items, and what is recalled (* taken later)",
            history.len()
        );
        let last = history
            .iter()
            .rev()
            .take(SHOWN_TITLES)
            .map(|&item| titles.title(id(item)));
        let mut last: Vec<String> = last.collect();
        last.reverse();
        let found = recalled.items.iter().map(|item| {
            let taken = labels.iter().any(|&label| *id(label) == item.id);
            (titles.title(&item.id), taken)
        });
        let found: Vec<(String, bool)> = found.collect();
        let recalled = found
            .iter()
            .map(|(title, taken)| json!({"title": title, "taken": taken}));
        let recalled: Vec<Value> = recalled.collect();
        shown.push(json!({"length": history.len(), "history": last, "recalled": recalled}));
        last.resize(SHOWN_TITLES, String::new());
        for (place, seen) in last.into_iter().enumerate() {
            let found = found.get(place).map_or_else(String::new, |(title, taken)| {
                format!("{} {}", if *taken { "*" } else { " " }, cut(title.clone()))
            });
            println!("  {:<TITLE_WIDTH$} | {found}", cut(seen));
        }
    }
    Ok(shown)
}

/// The result as one line of JSON, with how many epochs and seconds training took.
fn summary(
    options: &Options,
    dataset: &Dataset,
    (epochs, train_seconds): (usize, f64),
    exclude_seen: bool,
    report: &Report,
) -> serde_json::Value {
    let mut summary = serde_json::Map::new();
    let fixed: [(&str, serde_json::Value); 8] = [
        ("split", "test".into()),
        ("protocol", options.protocol.name().into()),
        ("exclude_seen", exclude_seen.into()),
        ("users", report.users.into()),
        ("items", dataset.catalog().len().into()),
        ("interactions", dataset.sequences().interactions().into()),
        ("epochs", epochs.into()),
        (
            "train_seconds",
            ((train_seconds * 1000.0).round() / 1000.0).into(),
        ),
    ];
    for (name, value) in fixed {
        summary.insert(name.to_owned(), value);
    }
    for (metric, value) in report.iter() {
        summary.insert(metric.to_string(), ((value * 1e6).round() / 1e6).into());
    }
    summary.into()
}
