//! `seqrec prepare`: interactions as a store, which is larger than memory may be and opens at once.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use seqrec::data::SequenceStore;

use crate::reading::{ReadingArgs, say_skipped};
use crate::results::Results;

#[derive(Args, Debug)]
pub struct Options {
    /// Files of interactions; their rows may be in any order, also across files.
    #[arg(required = true, value_name = "DATA")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// The store, a file that other subcommands take as DATA.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let mut writer = SequenceStore::create(&options.out, options.reading.filters())?;
    for file in &options.files {
        writer.read(&options.reading.reader(file)?)?;
    }
    let reasons = writer.skipped_reasons().to_vec();
    let store = writer.finish()?;
    let dataset = store.dataset();
    let read = dataset.sequences().interactions();
    say_skipped(store.skipped_rows(), read, &reasons);
    results.print(&[
        ("store", options.out.display().to_string().into()),
        ("users", dataset.users().into()),
        ("items", dataset.catalog().len().into()),
        ("interactions", dataset.sequences().interactions().into()),
        ("skipped_rows", store.skipped_rows().into()),
    ]);
    Ok(())
}
