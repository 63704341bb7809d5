//! `seqrec tune`: settings that are better on the validation users.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use seqrec::backend::{Autodiff, Flex};
use seqrec::eval::Metric;
use seqrec::model::{ModelVisitor, TrainableConfig, visit_model};
use seqrec::settings::overridden;
use seqrec::train::{Search, TrainerConfig};
use serde_json::{Value, json};

use crate::compare::models::settings::Settings;
use crate::data::{DataArgs, ProtocolName, SeenName};
use crate::results::Results;
use crate::text_file;

#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    data: DataArgs,
    /// The models, which share the trials.
    #[arg(long, value_delimiter = ',', default_value = "gru4rec", value_parser = crate::model_names())]
    model: Vec<String>,
    /// The space as JSON, or a file of it, such as {"model.dim":[32,64],"trainer.learning_rate":
    /// {"from":1e-4,"to":1e-2,"scale":"log"}} [default: one for each model].
    #[arg(long)]
    space: Option<String>,
    /// Settings drawn in the first round, which the better third of each round outlive.
    #[arg(long, default_value_t = 20)]
    trials: usize,
    /// Epochs of the first round; each further round has three times those of the one before.
    #[arg(long, default_value_t = 5)]
    first_epochs: usize,
    /// The most epochs.
    #[arg(long, default_value_t = 60)]
    epochs: usize,
    /// The metric that trials are compared by.
    #[arg(long, default_value = "ndcg@10")]
    metric: Metric,
    /// How users are divided into training, validation and test data.
    #[arg(long, value_enum, default_value_t = ProtocolName::LeaveOneOut)]
    protocol: ProtocolName,
    /// Whether items of the history are recalled again.
    #[arg(long, value_enum, default_value_t = SeenName::LeaveOut)]
    seen: SeenName,
    /// Seeds; all but the first train the best trials alone.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    seeds: Vec<u64>,
    /// Where trials are kept; an interrupted search resumes there.
    #[arg(long, default_value = "seqrec-tune")]
    out: PathBuf,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let seed = options.seeds.first().copied().unwrap_or(1);
    let trainer = TrainerConfig::new()
        .with_epochs(options.epochs)
        .with_metric(options.metric)
        .with_seen(options.seen.into())
        .with_seed(seed);
    let space = options.space.as_deref().map(space).transpose()?;
    let split = options.data.read()?.split(options.protocol, seed)?;
    let mut search = Search::<Autodiff<Flex>>::new(trainer)
        .trials(options.trials)
        .first_epochs(options.first_epochs)
        .seeds(options.seeds.iter().copied())
        .on_trial(|trial| eprintln!("{trial}"));
    for name in &options.model {
        let space = match &space {
            Some(space) => space.clone(),
            None => default_space(name)?,
        };
        search = visit_model::<Autodiff<Flex>, _>(
            name,
            Searched {
                search,
                name,
                space,
                settings: options.data.features.settings(json!({})),
            },
        )??;
    }
    let found = search.run(&split, &options.out, &Default::default())?;
    let best = found.best();
    if results.json {
        println!("{}", serde_json::to_string(&found)?);
        return Ok(());
    }
    println!("{found}");
    let settings = serde_json::to_value(best)?["settings"].take();
    println!(
        "\nseqrec train DATA --model {} --settings '{}' --trainer '{}'",
        best.model, settings["model"], settings["trainer"],
    );
    Ok(())
}

/// A space as JSON, or the file's of a name.
fn space(text: &str) -> Result<String, Box<dyn Error>> {
    if text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    text_file::read(Path::new(text)).map_err(|error| format!("--space: {error}").into())
}

/// The space of a model, as the settings of `seqrec compare models` have it.
fn default_space(model: &str) -> Result<String, Box<dyn Error>> {
    let entry = Settings::read(None)?.entry(model, "")?;
    if entry.search.is_empty() {
        let reason = "give one by --space, such as {\"model.dim\":[32,64]}";
        return Err(format!("there is no space for {model}: {reason}").into());
    }
    Ok(Value::Object(entry.search).to_string())
}

/// A model that joins a search.
struct Searched<'a> {
    search: Search<'a, Autodiff<Flex>>,
    name: &'a str,
    space: String,
    /// What the model's settings are in every trial, in place of its defaults.
    settings: Value,
}

impl<'a> ModelVisitor<Autodiff<Flex>> for Searched<'a> {
    type Output = Result<Search<'a, Autodiff<Flex>>, Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let defaults = overridden(&defaults, &self.settings)?;
        Ok(self.search.model(self.name, defaults, &self.space)?)
    }
}
