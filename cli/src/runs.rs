//! Run folders as the subcommands take them.

use std::error::Error;
use std::path::{Path, PathBuf};

use seqrec::ErrorKind;
use seqrec::backend::Flex;
use seqrec::store::{Recaller, ServedStage};

/// The run folder at a path, or in the output folder at that path.
pub fn find(path: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let run = [path.to_owned(), path.join("run")]
        .into_iter()
        .find(|folder| folder.join("run.json").is_file());
    run.ok_or_else(|| {
        let is_begun = has_checkpoints(path);
        let path = path.display();
        match is_begun {
            true => format!(
                "{path} holds a training that was interrupted; the same `seqrec train` with --resume \
                 goes on with it"
            ),
            false => format!("{path} is no run folder; `seqrec train DATA --out {path}` makes one"),
        }
        .into()
    })
}

/// Whether an output folder of `seqrec train` has a checkpoint to go on from.
pub fn has_checkpoints(path: &Path) -> bool {
    let entries = std::fs::read_dir(path.join("checkpoints"));
    let entries = entries.into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with("epoch-"))
}

/// The stage of a run, with the users that it was made of.
pub fn stage(path: &Path) -> Result<ServedStage, Box<dyn Error>> {
    let stage = ServedStage::load::<Flex>(find(path)?, &Default::default());
    stage.map_err(|error| with_what_makes_a_stage(error, path))
}

/// The error of a run folder, which names the commands that make a stage where that is what it
/// lacks.
pub fn with_what_makes_a_stage(error: seqrec::Error, path: &Path) -> Box<dyn Error> {
    if !matches!(error.kind(), ErrorKind::NoStage { .. }) {
        return error.into();
    }
    format!(
        "{} holds a model without a stage, which has the channels and the users; `seqrec train DATA --out RUN` \
         or `seqrec compare channels DATA --save RUN` makes both",
        path.display()
    )
    .into()
}

/// The model of a run.
pub fn model(path: &Path) -> Result<Recaller, Box<dyn Error>> {
    Ok(Recaller::open(find(path)?)?)
}
