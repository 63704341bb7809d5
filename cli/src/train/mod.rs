//! `seqrec train`: a model trained, evaluated, and kept with its users as a run folder.

mod baselines;
mod fit;
mod index;
mod judge;
pub mod options;
mod record;
mod shown;
mod stage;

use std::error::Error;

use seqrec::OutputFolder;
use seqrec::backend::{Autodiff, Backend};
use seqrec::data::Seen;
use seqrec::model::{ModelVisitor, TrainableConfig, visit_model};
use seqrec::plot::{MapPoint, draw_map};
use seqrec::recall::{Evaluation, Retriever, VectorChannel};
use seqrec::retrieve::item_vectors;
use seqrec::settings::overridden;
use seqrec::store::{Recaller, Run};
use serde_json::json;

use crate::compare::channels::build::tagged;
use crate::data::Data;
use crate::results::Results;
use crate::runs;
use fit::fit;
use options::{BackendName, Options};

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
            Err(format!(
                "this build has no {name}; install one that has: `cargo install --path cli --features {name}`"
            )
            .into())
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
    let config: C = overridden(&defaults, &options.model_settings())
        .map_err(|error| format!("{}: {error}", options.model))?;
    // How many items there are is not known yet.
    config.validate_for(u32::MAX as usize)?;
    // Before any time is spent, and for as long as this runs: nothing else's is overwritten.
    let out = OutputFolder::open(&options.out, "train")?;
    remark_on_folder(&out, options.resume);

    let data = options.data.read()?;
    let split = data.split(options.protocol, options.seed)?;
    let settings = options.model_settings();
    let settings = options
        .data
        .features
        .user_settings(settings, split.catalog());
    let config: C =
        overridden(&defaults, &settings).map_err(|error| format!("{}: {error}", options.model))?;
    let training = tagged(split.train.clone(), data.items.as_ref())?;
    let plan = stage::plan(options, &training)?;
    // What can't be judged is told before any time is spent.
    (Evaluation::new(&options.k, Seen::Keep).validate(split.catalog()))
        .map_err(|error| format!("{error}; give other cuts by -k"))?;

    let fitted = fit::<B, C>(options, &config, &split, &out)?;
    let (trained, metric) = (fitted.record(), fitted.trainer.metric);
    let model = fitted.model;
    let vectors = item_vectors(&model);
    let index = index::of_items(&model, &vectors, &split, options)?;
    let channel = VectorChannel::from_model(model.clone(), index);
    let judged = judge::both_ways(&channel, &split, metric, options, results)?;
    let groups = record::groups(&channel, &split, (metric, options.seen.into()))?;
    let indexes = record::indexes(&model, &vectors, &split, metric.k())?;

    let settings = json!({"model": &config, "training": &fitted.trainer});
    let run = Run::<B, C>::new(config, model, split.catalog().clone());
    let recaller = Recaller::from(run);
    let path = out.join("run");
    stage::save(options, (&data, &split), (plan, training), &recaller, &path)?;
    let map = map(options, &data, &recaller, &out)?;
    let retriever = Retriever::new(channel, split.catalog().clone())?;
    let users_shown = shown::show(results, &data, &split, &retriever)?;
    let record = record::joined([
        record::of_data(options, &data, &split),
        trained,
        json!({"test": judged.each_ref().map(|judged| &judged.record)}),
        groups,
        json!({"index": indexes, "map": map, "users_shown": users_shown}),
        record::of_program(options, settings),
    ]);
    out.write("report.json", record.to_string())?;
    let path = options.out.display();
    eprintln!("\nthe run, its log and its pictures are in {path}");
    for judged in judged {
        let training = (fitted.epochs.len(), fitted.train_seconds);
        results.value(&judged.summary(options, &data.dataset, training));
    }
    Ok(())
}

/// Draws a map of the items, and gives its points; none of a handful of items, of which it would
/// show nothing.
fn map(
    options: &Options,
    data: &Data,
    recaller: &Recaller,
    out: &OutputFolder,
) -> Result<Vec<MapPoint>, Box<dyn Error>> {
    let (catalog, vectors) = (recaller.catalog(), recaller.item_vectors());
    if catalog.len() < 10 {
        return Ok(Vec::new());
    }
    let map = MapPoint::of_items(
        catalog,
        vectors,
        data.items.as_ref(),
        data.tags(),
        options.seed,
    )?;
    draw_map(&options.title(), &map)?.save(out.join("items.svg"))?;
    Ok(map)
}

/// Says on standard error what becomes of what the folder holds.
fn remark_on_folder(out: &OutputFolder, resume: bool) {
    let path = out.path().display();
    let is_begun = runs::has_checkpoints(out.path());
    let is_whole = out.join("run").join("run.json").is_file();
    match resume {
        true if !is_begun => {
            eprintln!("{path} holds no checkpoint to go on from: training begins anew");
        }
        false if is_whole => {
            eprintln!("{path} holds a run, which this training replaces at its end");
        }
        false if is_begun => eprintln!(
            "{path} holds a training that was interrupted: it is begun anew, where --resume would go on"
        ),
        _ => {}
    }
}
