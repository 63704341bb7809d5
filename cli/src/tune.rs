//! `seqrec tune`: settings that are better on the validation users.

mod space;

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use seqrec::backend::{Autodiff, Flex};
use seqrec::eval::Metric;
use seqrec::model::{ModelVisitor, TrainableConfig, visit_model};
use seqrec::settings::overridden;
use seqrec::train::{Search, TrainerConfig};
use serde_json::{Value, json};

use crate::data::{DataArgs, ProtocolName, SeenName};
use crate::results::Results;
use crate::shell::quoted;
use crate::text_file;

#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    data: DataArgs,
    /// The models, which share the trials.
    #[arg(long, value_delimiter = ',', default_value = "gru4rec", value_parser = crate::model_names())]
    model: Vec<String>,
    /// The space as JSON, or a file of it, such as {"model.dim":[32,64],"trainer.learning_rate":
    /// {"from":1e-4,"to":1e-2,"scale":"log"}} [default: sizes, dropout, losses and learning rates
    /// of each model].
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
    #[arg(long, value_enum, default_value_t)]
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
    let space = options.space.as_deref().map(given_space).transpose()?;
    let split = options.data.read()?.split(options.protocol, seed)?;
    let mut search = Search::<Autodiff<Flex>>::new(trainer)
        .trials(options.trials)
        .first_epochs(options.first_epochs)
        .seeds(options.seeds.iter().copied())
        .on_trial(|trial| eprintln!("{trial}"));
    for name in &options.model {
        let space = space.as_deref();
        let searched = Searched {
            search,
            name,
            space,
            settings: (options.data.features)
                .user_settings(options.data.features.settings(json!({})), split.catalog()),
        };
        search = visit_model::<Autodiff<Flex>, _>(name, searched)??;
    }
    let found = search.run(&split, &options.out, &Default::default())?;
    let best = found.best();
    if results.json {
        println!("{}", serde_json::to_string(&found)?);
        return Ok(());
    }
    println!("{found}");
    let settings = serde_json::to_value(best)?["settings"].take();
    let as_json = |part: &str| quoted(&settings[part].to_string());
    println!(
        "\nseqrec train {} --protocol {} --seen {} --seed {seed} --model {} --settings {} --trainer {}",
        options.data.arguments().join(" "),
        options.protocol.name(),
        options.seen.name(),
        best.model,
        as_json("model"),
        as_json("trainer"),
    );
    Ok(())
}

/// A space as JSON, or the file's of a name.
fn given_space(text: &str) -> Result<String, Box<dyn Error>> {
    if text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    text_file::read(Path::new(text)).map_err(|error| format!("--space: {error}").into())
}

/// A model that joins a search.
struct Searched<'a> {
    search: Search<'a, Autodiff<Flex>>,
    name: &'a str,
    /// That of the model's own settings where none is given.
    space: Option<&'a str>,
    /// What the model's settings are in every trial, in place of its defaults.
    settings: Value,
}

impl<'a> ModelVisitor<Autodiff<Flex>> for Searched<'a> {
    type Output = Result<Search<'a, Autodiff<Flex>>, Box<dyn Error>>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> Self::Output {
        let defaults = overridden(&defaults, &self.settings)?;
        let space = match self.space {
            Some(space) => space.to_owned(),
            None => space::of(&defaults)?,
        };
        Ok(self.search.model(self.name, defaults, &space)?)
    }
}

#[cfg(test)]
mod tests {
    use seqrec::model::MODEL_NAMES;

    use super::*;

    /// The number of settings that are drawn of a model, where none are asked for.
    struct Drawn(&'static str);

    impl ModelVisitor<Autodiff<Flex>> for Drawn {
        type Output = usize;

        fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, defaults: C) -> usize {
            let space: Value = serde_json::from_str(&space::of(&defaults).unwrap()).unwrap();
            assert!(space["model.dim"].is_array(), "{}: {space}", self.0);
            let search = Search::<Autodiff<Flex>>::new(TrainerConfig::new());
            let searched = Searched {
                search,
                name: self.0,
                space: None,
                settings: json!({}),
            };
            searched.visit(defaults).unwrap();
            space.as_object().unwrap().len()
        }
    }

    #[test]
    fn every_model_has_a_space() {
        for name in MODEL_NAMES {
            let drawn = visit_model(name, Drawn(name)).unwrap();
            assert!(drawn >= 4, "{name}: {drawn}");
        }
    }
}
