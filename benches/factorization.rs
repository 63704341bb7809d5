//! Matrix factorization and nearest sessions: the seconds of training and of recall, and what is
//! found.
//!
//! `cargo bench -p seqrec-bench --bench factorization -- sequences.txt` takes out each user's last
//! item, trains on what is before the one before it, and prints a JSON line for ALS, BPR and
//! session kNN: what of 50 items, seen ones left out, is the last item, with the seconds of
//! training and the milliseconds that recall takes for each user.

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use seqrec::channels::{AlsConfig, BprConfig, SessionKnnConfig};
use seqrec::data::{Dataset, Filters, InteractionReader, Protocol, Seen, Split, User};
use seqrec::eval::Metric;
use seqrec::recall::{Evaluation, RecallChannel};

#[path = "support/memory.rs"]
mod memory;

#[derive(Parser)]
struct Options {
    /// The interactions, or sequences.
    file: PathBuf,
    /// The size of vectors.
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Passes of Bayesian personalized ranking over the interactions; none leaves it out.
    #[arg(long, default_value_t = 60)]
    epochs: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    let log = InteractionReader::detect(&options.file)?.read()?;
    let dataset = Dataset::new(log, Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    let train = &split.train;

    let start = Instant::now();
    let als = AlsConfig::new()
        .with_dim(options.dim)
        .with_confidence(20.0)
        .with_seed(options.seed)
        .fit(train)?;
    report("als", start.elapsed().as_secs_f64(), &als, &split)?;
    drop(als);
    if options.epochs > 0 {
        let start = Instant::now();
        let bpr = BprConfig::new()
            .with_dim(options.dim)
            .with_epochs(options.epochs)
            .with_seed(options.seed)
            .fit(train)?;
        report("bpr", start.elapsed().as_secs_f64(), &bpr, &split)?;
    }
    let start = Instant::now();
    // Those that its times in docs/benchmarks.md are of.
    let sessions = SessionKnnConfig::new()
        .with_recent(500)
        .with_neighbors(100)
        .with_max_len(20)
        .fit(train)?;
    let seconds = start.elapsed().as_secs_f64();
    report("session_knn", seconds, &sessions, &split)
}

fn report(
    name: &str,
    fit_s: f64,
    channel: &dyn RecallChannel,
    split: &Split,
) -> Result<(), Box<dyn std::error::Error>> {
    let users: Vec<User<'_>> = (split.test.iter())
        .map(|case| case.user.items().into())
        .collect();
    let start = Instant::now();
    channel.recall(&users, 50, None)?;
    let ms = 1e3 * start.elapsed().as_secs_f64() / users.len() as f64;
    let evaluation = Evaluation::new(&[10, 50], Seen::Exclude);
    let found = evaluation.run(channel, &split.test, split.catalog())?;
    let metric = |name: &str| -> Result<Option<f64>, seqrec::Error> {
        Ok(found.get(name.parse::<Metric>()?))
    };
    let line = serde_json::json!({
        "model": name,
        "fit_s": fit_s,
        "recall_ms_per_user": ms,
        "hit_rate@10": metric("hit_rate@10")?,
        "recall@50": metric("recall@50")?,
        "peak_rss_mb": memory::peak_rss_mb(),
    });
    println!("{line}");
    Ok(())
}
