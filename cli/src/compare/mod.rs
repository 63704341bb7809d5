//! `seqrec compare`: what is better than what, on your data.

pub mod channels;
pub mod cold_items;
pub mod daily;
pub mod indexes;
pub mod models;

use std::error::Error;

use clap::{Args, Subcommand};

use crate::results::Results;

#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Trains models with several seeds under one protocol, and tabulates their metrics.
    ///
    /// Example: seqrec compare models ratings.csv --models gru4rec,sasrec,markov --seeds 1,2,3
    Models(models::options::Options),
    /// Recalls by a dozen channels and by fusions of them, and can keep the best fusion as a stage.
    ///
    /// Example: seqrec compare channels ratings.csv --model gru4rec --save run
    Channels(channels::Options),
    /// Follows a model day by day: never retrained, retrained from scratch, or continued.
    ///
    /// Example: seqrec compare daily ratings.csv --days 5
    Daily(daily::Options),
    /// Recalls items that were left out of training, by their genres, with two towers.
    ///
    /// Example: seqrec compare cold-items ml-latest-small/ratings.csv --share 0.1
    ColdItems(cold_items::Options),
    /// Draws recall against queries per second, from lines that `cargo bench -p seqrec-bench
    /// --bench ann` prints.
    ///
    /// Example: seqrec compare indexes lines.jsonl ann.svg "200,000 vectors of 64 numbers"
    Indexes(indexes::Options),
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    match &options.what {
        What::Models(options) => models::run(options, results),
        What::Channels(options) => channels::run(options, results),
        What::Daily(options) => daily::run(options, results),
        What::ColdItems(options) => cold_items::run(options, results),
        What::Indexes(options) => indexes::run(options),
    }
}
