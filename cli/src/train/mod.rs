//! `seqrec train`: a model trained, evaluated, and kept with its users as a run folder.

mod baselines;
pub mod options;
mod record;
mod stage;

use std::error::Error;

use ndarray::Array2;
use seqrec::backend::{Autodiff, Backend};
use seqrec::data::{Case, Dataset, ExternalId, ItemIndex, Seen, Split};
use seqrec::eval::{Metric, Report};
use seqrec::index::{FlatIndex, HnswConfig, HnswIndex, HnswRsIndex, VectorIndex};
use seqrec::model::{ModelVisitor, SequenceRecaller, TrainableConfig, visit_model};
use seqrec::plot::{MapPoint, draw_map, draw_training_curves};
use seqrec::recall::{Evaluation, RecallRequest, Retriever, VectorChannel};
use seqrec::retrieve::{exact_index, item_vectors};
use seqrec::store::{Recaller, Run};
use seqrec::train::{CsvLog, ProgressBars, Trained, Trainer};
use seqrec::{OutputFolder, Result};
use serde_json::{Value, json};

use crate::compare::channels::build::tagged;
use crate::data::{Data, SeenName};
use crate::overrides::config;
use crate::results::Results;
use options::{BackendName, IndexName, Options};

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    match options.backend {
        BackendName::Flex => job::<seqrec::backend::Flex>(options, results),
        #[cfg(feature = "cuda")]
        BackendName::Cuda => job::<seqrec::backend::Cuda>(options, results),
        #[cfg(feature = "wgpu")]
        BackendName::Wgpu => job::<seqrec::backend::Wgpu>(options, results),
        #[allow(unreachable_patterns)]
        other => {
            let name = format!("{other:?}").to_lowercase();
            Err(format!("this build has no {name}; run again with `--features {name}`").into())
        }
    }
}

fn job<B: Backend>(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    visit_model::<Autodiff<B>, _>(&options.model, Job { options, results })?
}

/// The job with whichever model.
struct Job<'a> {
    options: &'a Options,
    results: Results,
}

impl<B: Backend> ModelVisitor<Autodiff<B>> for Job<'_> {
    type Output = Result<(), Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<B>>>(self, defaults: C) -> Self::Output {
        train_and_judge::<B, C>(self.options, self.results, defaults)
    }
}

fn train_and_judge<B: Backend, C: TrainableConfig<Autodiff<B>>>(
    options: &Options,
    results: Results,
    defaults: C,
) -> Result<(), Box<dyn Error>> {
    let device = B::Device::default();
    let config: C = config(&defaults, &options.model_settings())?;
    // How many items there are is not known yet.
    config.validate_for(u32::MAX as usize)?;
    // Before any time is spent, and for as long as this runs: nothing else's is overwritten.
    let out = OutputFolder::open(&options.out, "train")?;

    let data = options.data.read()?;
    let dataset = &data.dataset;
    let split = data.split(options.protocol, options.seed)?;
    let training = tagged(split.train.clone(), data.items.as_ref())?;
    let plan = stage::plan(options, &training)?;
    // What can't be judged is told before any time is spent.
    Evaluation::new(&options.k, Seen::Keep).validate(split.catalog())?;

    let model = config.init_for::<Autodiff<B>>(split.catalog(), options.seed, &device)?;
    let trainer_config = options.trainer(model.config().describe().one_target)?;
    let trained = Trainer::new(trainer_config.clone())
        .observer(ProgressBars::default())
        .on_epoch(|epoch, improved| {
            eprintln!("{epoch}{}", if improved { ", the best so far" } else { "" });
        })
        .observer(CsvLog::new(out.join("log.csv")))
        .checkpoints(out.join("checkpoints"))
        .resume(options.resume)
        .fit(model, &split)?;
    let metrics: Vec<Metric> = options
        .k
        .iter()
        .map(|&k| Metric::recall(k))
        .collect::<Result<_>>()?;
    let title = format!("{} on {}", options.model, options.data.name());
    draw_training_curves(&title, &trained, &metrics)?.save(out.join("training.svg"))?;
    let Trained {
        model,
        best_epoch,
        epochs,
        train_seconds,
        stop,
    } = trained;
    let made = epochs.last().map_or(0, |last| last.epoch);
    let best = (epochs.get(best_epoch.saturating_sub(1))).map_or(0, |best| best.epoch);
    eprintln!("stopped after {made} epochs ({stop}); the best was epoch {best}");

    let vectors = item_vectors(&model);
    let index: Box<dyn VectorIndex> = match options.index {
        IndexName::Flat => exact_index(&model)?,
        IndexName::Hnsw => Box::new(HnswIndex::new(vectors.view(), &HnswConfig::new())?),
        IndexName::HnswRs => Box::new(HnswRsIndex::new(vectors.view(), &HnswConfig::new())?),
    };
    if !index.is_exact() {
        let found = index_recall(&model, &index, &vectors, &split, options)?;
        eprintln!("the index finds {found:.4} of the true best");
    }
    let channel = VectorChannel::from_model(model.clone(), index);
    // By both protocols, since published results are by either; the one that training was stopped by
    // comes last.
    let channels = baselines::beside(&channel, &split)?;
    let mut reports = Vec::new();
    let mut tests = Vec::new();
    let chosen = options.seen == SeenName::LeaveOut;
    for exclude_seen in [!chosen, chosen] {
        let evaluation = Evaluation::new(&options.k, Seen::exclude_if(exclude_seen));
        let compared = evaluation.compare(&channels, &split.test, split.catalog())?;
        let report = compared.reports[0].report.clone();
        let seen = if exclude_seen { "left out" } else { "kept" };
        results.text(format_args!(
            "\nseen items {seen}: test split, {} users\n{compared}",
            report.users
        ));
        if report.unreachable_labels > 0 {
            results.text(format_args!(
                "{} labels were taken before, and can't be recalled where seen items are left out",
                report.unreachable_labels
            ));
        }
        tests.push(json!({"seen": seen, "report": report, "baselines": compared.reports[1..]}));
        if exclude_seen == chosen
            && let Some(words) = baselines::shortfall(&compared, trainer_config.metric)
        {
            results.text(words);
        }
        reports.push((exclude_seen, report));
    }
    drop(channels);

    let judged = (trainer_config.metric, Seen::exclude_if(chosen));
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
    let recaller = Recaller::from(run);
    stage::save(
        options,
        (&data, &split),
        (plan, training),
        &recaller,
        &out.join("run"),
    )?;
    // A map of a handful of items would show nothing.
    let map = if split.catalog().len() >= 10 {
        let (catalog, vectors) = (recaller.catalog(), recaller.item_vectors());
        let map = MapPoint::of_items(
            catalog,
            vectors,
            data.items.as_ref(),
            data.tags(),
            options.seed,
        )?;
        draw_map(&title, &map)?.save(out.join("items.svg"))?;
        map
    } else {
        Vec::new()
    };
    let retriever = Retriever::new(channel, split.catalog().clone())?;
    let users_shown = show_users(results, &data, &split, &retriever)?;
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
    eprintln!(
        "\nthe run, its log and its pictures are in {}",
        options.out.display()
    );
    for (exclude_seen, report) in reports {
        let training = (epochs.len(), train_seconds);
        results.value(&summary(options, dataset, training, exclude_seen, &report));
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

/// How many titles are shown of a history and of what is recalled for it.
const SHOWN_TITLES: usize = 8;
const TITLE_WIDTH: usize = 44;

/// Prints three test users' last items beside what is recalled for them, and gives them back.
fn show_users(
    results: Results,
    data: &Data,
    split: &Split,
    retriever: &Retriever,
) -> Result<Vec<Value>> {
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
        results.text(format_args!(
            "\nuser {number}: the last of {} items, and what is recalled (* taken later)",
            history.len()
        ));
        let last = history
            .iter()
            .rev()
            .take(SHOWN_TITLES)
            .map(|&item| data.title(id(item)));
        let mut last: Vec<String> = last.collect();
        last.reverse();
        let found = recalled.items.iter().map(|item| {
            let taken = labels.iter().any(|&label| *id(label) == item.id);
            (data.title(&item.id), taken)
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
            results.text(format_args!("  {:<TITLE_WIDTH$} | {found}", cut(seen)));
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
