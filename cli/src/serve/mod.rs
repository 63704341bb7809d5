//! Serves a run folder over HTTP.
//!
//! `seqrec train ratings.csv --channels all --out run` makes a folder, and
//! `seqrec serve run` serves it:
//!
//! ```sh
//! curl -d '{"user": 42, "k": 20}' localhost:8080/recall
//! curl -d '{"history": [1, 31, 1029], "k": 20}' localhost:8080/recall
//! curl -d '{"history": [{"item": 1, "time": 1260759144}], "k": 20}' localhost:8080/recall
//! curl -d '{"history": [1], "features": {"new here": 1}, "k": 20}' localhost:8080/recall
//! curl -d '{"user": 42}' localhost:8080/history
//! curl -d '{"events": [{"user": 42, "item": 31}]}' localhost:8080/events
//! curl -d '{"items": [{"id": 900, "title": "New", "genres": ["War"], "year": 2026}]}' localhost:8080/items
//! curl localhost:8080/healthz
//! curl localhost:8080/metrics
//! ```
//!
//! and <http://localhost:8080/> is a page on which people ask, for a user or for items, and see the
//! history that channels see beside what is recalled, by which channel and why; with `--items
//! movies.csv`, by title. Requests may then filter by the columns of the table, `"filter":
//! "in_stock and price < 20"`.
//!
//! Times are in the unit of the folder's data, which `/healthz` tells. An event is accepted, or is
//! said to be a repeated one, one from before what the folder holds of its user, or one of an item
//! that is not in the folder (it counts once a folder has the item); a request with one that can't
//! be right is refused as a whole, with the reason.
//!
//! Items may be added where the folder's model looks at features of items: a row has an `id` and
//! the columns that the model was trained with, numbers, texts, `true` or `false`, or lists of
//! texts, and given vectors by their names, lists of numbers. What the catalog has already is
//! counted and left as it is. They stay while other folders are read, until the service ends.
//!
//! The folder is read again at SIGHUP, or every `--reload-every` seconds, while calls go on;
//! SIGTERM and Ctrl-C stop the service after the calls that have begun. It listens on this machine
//! alone unless told otherwise: it knows no users of its own and asks for no password, so what is
//! in front of it must. A connection that says nothing is closed after `--idle` seconds, or sooner
//! where there are `--connections` of them and another comes.

pub mod api;
pub mod connections;
pub mod metrics;
mod named;
mod new_items;
mod page;
mod refusal;
pub mod titles;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clap::Args;
use seqrec::backend::Flex;
use seqrec::engine::{EngineConfig, RecallEngine};
use tokio::sync::Semaphore;

use crate::item_table::ItemOptions;
use crate::runs;
use api::{Limits, Service, router};
use connections::Bounds;
use titles::Titles;

#[derive(Args, Debug)]
pub struct Options {
    /// A run folder that `seqrec train` or `seqrec compare channels --save` made.
    run: PathBuf,
    #[command(flatten)]
    items: ItemOptions,
    /// Where to listen, as host:port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: String,
    /// How long a call waits for a channel, in milliseconds.
    #[arg(long, default_value_t = 50.0)]
    budget: f64,
    /// Threads that run channels [default: one a core].
    #[arg(long)]
    threads: Option<usize>,
    /// The largest k.
    #[arg(long, default_value_t = 1_000)]
    max_k: usize,
    /// How many of a user's last items channels see.
    #[arg(long, default_value_t = 200)]
    history: usize,
    /// How many items of a user's older events are held, only to be left out.
    #[arg(long, default_value_t = 2_000)]
    seen: usize,
    /// Of how many users events are held.
    #[arg(long, default_value_t = 100_000)]
    users: usize,
    /// How many items may be added to those of the folder while it serves.
    #[arg(long, default_value_t = 100_000)]
    added: usize,
    /// The largest body of a request, in bytes.
    #[arg(long, default_value_t = 256 * 1024)]
    greatest_body: usize,
    /// How many calls may be under way; those above it are told to come again.
    #[arg(long, default_value_t = 64)]
    concurrent: usize,
    /// How many connections there may be; for one more, the one that has been idle the longest is
    /// closed.
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// How long a connection may be idle, or take to send a request's head, in seconds.
    #[arg(long, default_value_t = 30.0)]
    idle: f64,
    /// Reads the folder again every so many seconds [default: never, but at SIGHUP].
    #[arg(long)]
    reload_every: Option<f64>,
}

/// How long calls that have begun may take to end when the service is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until it is told to end.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut settings = EngineConfig::new()
        .with_budget(seconds("budget", options.budget / 1e3)?)
        .with_max_k(options.max_k)
        .with_history(options.history)
        .with_seen(options.seen)
        .with_users(options.users)
        .with_added(options.added);
    settings.threads = options.threads.unwrap_or(settings.threads);
    let run = runs::find(&options.run)?;
    let items = options.items.read()?.map(Arc::new);
    let start = Instant::now();
    let engine = RecallEngine::open::<Flex>(&run, Default::default(), settings)
        .map_err(|error| runs::with_what_makes_a_stage(error, &options.run))?;
    if let Some(items) = &items {
        engine.set_items(items.clone())?;
    }
    let titles = items.map(Titles::new).unwrap_or_default();
    let engine = Arc::new(engine);
    let every = (options.reload_every)
        .map(|every| seconds("reload-every", every))
        .transpose()?;
    let bounds = Bounds {
        connections: options.connections,
        idle: seconds("idle", options.idle)?,
        ..Bounds::default()
    };
    let (hang_up, hang_ups) = channel();
    tokio::spawn(listen_for_hang_ups(hang_up));
    let reloading = engine.clone();
    std::thread::spawn(move || reload(&reloading, &hang_ups, every));
    for (option, count) in [
        ("concurrent", options.concurrent),
        ("connections", options.connections),
        ("greatest-body", options.greatest_body),
    ] {
        const MOST: usize = Semaphore::MAX_PERMITS;
        if !(1..=MOST).contains(&count) {
            return Err(format!("--{option} is {count}, but must be from 1 to {MOST}").into());
        }
    }
    let limits = Limits {
        body: options.greatest_body,
        concurrent: options.concurrent,
        ..Limits::default()
    };
    let app = router(Service::new(engine.clone(), titles, limits));
    let address = &options.address;
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|error| {
        let form = "give --address as host:port, such as 127.0.0.1:8080, of a port that is free";
        format!("could not listen on {address}: {error}; {form}")
    })?;
    eprintln!(
        "serving {} items of {}, with times in {}, on http://{}, loaded in {:.2} s",
        engine.items(),
        options.run.display(),
        engine.time_unit(),
        listener.local_addr()?,
        start.elapsed().as_secs_f64()
    );
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let stopping = async move {
        stop_signal().await;
        eprintln!("stopping");
        let _ = stop.send(());
    };
    tokio::select! {
        () = connections::serve(listener, app, bounds, stopping) => {}
        () = async { let _ = stopped.await; tokio::time::sleep(GRACE).await } => {
            eprintln!("some calls had not ended after {GRACE:?}");
        }
    }
    Ok(())
}

/// A time that an option gives, in seconds.
fn seconds(option: &str, value: f64) -> Result<Duration, String> {
    let time = Duration::try_from_secs_f64(value).ok();
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| format!("--{option} must be a time above 0 that can be counted"))
}

/// Reads the folder again at SIGHUP and at every interval, on a thread of its own: memory that one
/// stage leaves is taken up by the next.
fn reload(engine: &RecallEngine, hang_ups: &Receiver<()>, every: Option<Duration>) {
    // Without an interval it is as good as never.
    let every = every.unwrap_or(Duration::from_secs(1 << 40));
    let mut next = every;
    while hang_ups.recv_timeout(next) != Err(RecvTimeoutError::Disconnected) {
        let start = Instant::now();
        match engine.reload() {
            Ok(()) => eprintln!("reloaded: {} items", engine.items()),
            Err(error) => eprintln!("could not reload, the old stage goes on serving: {error}"),
        }
        next = every.saturating_sub(start.elapsed());
    }
}

/// Says when SIGHUP comes; never, where there is no such signal.
async fn listen_for_hang_ups(hang_up: Sender<()>) {
    #[cfg(unix)]
    if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        while signal.recv().await.is_some() && hang_up.send(()).is_ok() {}
    }
    std::future::pending::<()>().await;
    drop(hang_up);
}

async fn stop_signal() {
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}
