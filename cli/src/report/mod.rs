//! One page of HTML about one run or several.
//!
//! `seqrec report run other-run --out report.html` draws training curves, metrics beside baselines,
//! recall by popularity and by length of history, what indexes find in which time, maps of the
//! items and users' histories beside what is recalled. The page needs no network and no script.

mod charts;
pub mod names;
mod page;
mod run;
mod tables;

use std::error::Error;
use std::path::PathBuf;

use clap::Args;

use crate::output_file::OutputFile;
use crate::results::Results;
use names::names;
use page::page;
use run::Run;

#[derive(Args, Debug)]
pub struct Options {
    /// Folders that `seqrec train` wrote.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The page; one that this program wrote before is replaced.
    #[arg(long, default_value = "report.html")]
    out: PathBuf,
}

/// What a page of ours begins with.
const MARK: &str = "<!doctype html><!-- seqrec report -->";

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let out = OutputFile::new(&options.out, MARK)?;
    let runs = (options.runs.iter().zip(names(&options.runs)))
        .map(|(path, name)| Run::read(path, name))
        .collect::<Result<Vec<_>, _>>()?;
    out.write(&page(&runs))?;
    results.print(&[("page", options.out.display().to_string().into())]);
    Ok(())
}
