//! Run folders as the subcommands take them.

use std::error::Error;
use std::path::{Path, PathBuf};

use seqrec::ErrorKind;
use seqrec::backend::Flex;
use seqrec::data::TrainingData;
use seqrec::recall::Retriever;
use seqrec::store::{Recaller, ServedStage};

/// The run folder at a path, or in the output folder at that path.
pub fn find(path: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let run = [path.to_owned(), path.join("run")]
        .into_iter()
        .find(|folder| folder.join("run.json").is_file());
    run.ok_or_else(|| {
        let path = path.display();
        format!("{path} is no run folder; `seqrec train DATA --out {path}` makes one").into()
    })
}

/// What recalls for a run, and the users that it was made of.
pub fn retriever(path: &Path) -> Result<(Retriever, TrainingData), Box<dyn Error>> {
    let run = find(path)?;
    let stage = ServedStage::load::<Flex>(&run, &Default::default());
    let stage = stage.map_err(|error| -> Box<dyn Error> {
        if !matches!(error.kind(), ErrorKind::NoStage { .. }) {
            return error.into();
        }
        let path = path.display();
        let what_to_do = "`seqrec train DATA --out RUN` makes a run that recalls for them";
        format!("{path} holds a model without its users; {what_to_do}").into()
    })?;
    Ok(stage.into_retriever()?)
}

/// The model of a run.
pub fn model(path: &Path) -> Result<Recaller, Box<dyn Error>> {
    Ok(Recaller::open(find(path)?)?)
}
