//! The service under all that comes over a network at once: calls, events, reloads of a folder that
//! changes, slow clients, bodies that are too large or no JSON, idle connections.
//!
//! `SEQREC_SOAK_SECONDS=1800 cargo test --release -p seqrec-cli --test soak -- --nocapture` is the
//! long form.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::Flex;
use seqrec::channels::{ItemNeighborsConfig, MarkovChainConfig, PopularityConfig};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, movielens};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::recall::{Fusion, HistoryItems, VectorChannelConfig};
use seqrec::store::{Run, StageData, StagePlan};

use seqrec_cli::serve::api::{Limits, Service, router};
use seqrec_cli::serve::titles::Titles;

fn save(path: &Path, dataset: &Dataset, seed: u64) {
    let config = Gru4RecConfig::new().with_dim(16);
    let catalog = dataset.catalog().clone();
    let model = config.init::<Flex>(catalog.len(), seed, &Default::default());
    let run = Run::<Flex, _>::new(config, model.unwrap(), catalog.clone());
    let start = HistoryItems::last(20).unwrap();
    let month = PopularityConfig::new().with_window(Some(30.0 * 86_400.0));
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("u2i", VectorChannelConfig::new())
        .channel("markov", MarkovChainConfig::new())
        .channel("item_cf", ItemNeighborsConfig::new().with_start(start))
        .channel("trending", month)
        .fallback(PopularityConfig::new());
    let data = StageData::from(dataset.training_data());
    plan.save(path, &run.into(), data).unwrap();
}

/// What this process has in memory, in MB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}

/// What the answers to all clients were.
#[derive(Default)]
struct Answers {
    good: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    times: Times,
}

/// How many calls took how long, in steps of 10 µs up to a second: what a test keeps of each call
/// would grow as memory that leaks does.
struct Times(Vec<AtomicU64>);

impl Default for Times {
    fn default() -> Self {
        Self((0..100_000).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Times {
    fn add(&self, took: Duration) {
        let step = (took.as_micros() / 10) as usize;
        self.0[step.min(self.0.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Within how many milliseconds a share of the calls was answered.
    fn within(&self, share: f64) -> f64 {
        let counts = || self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let wanted = (counts().sum::<u64>() as f64 * share) as u64;
        let mut so_far = 0;
        let step = counts().position(|count| {
            so_far += count;
            so_far >= wanted
        });
        step.unwrap_or(0) as f64 / 100.0
    }
}

impl Answers {
    fn count(&self, status: u16) {
        let counter = match status {
            200..=299 => &self.good,
            400..=499 => &self.refused,
            _ => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

fn post(agent: &ureq::Agent, address: SocketAddr, path: &str, body: &[u8]) -> u16 {
    let mut response = agent
        .post(format!("http://{address}{path}"))
        .send(body)
        .unwrap();
    response.body_mut().read_to_vec().unwrap();
    response.status().as_u16()
}

#[test]
fn the_service_stays_up_and_its_memory_flat() {
    let seconds: u64 = std::env::var("SEQREC_SOAK_SECONDS").map_or(6, |text| text.parse().unwrap());
    // The short form is for builds without optimization as well.
    let (users, items) = if seconds < 60 {
        (100, 200)
    } else {
        (1_000, 2_000)
    };
    let synthetic = Synthetic::new().with_users(users).with_items(items);
    let dataset = Dataset::new(synthetic.generate().unwrap(), Filters::default()).unwrap();
    let ids: Vec<String> = dataset.catalog().ids().map(ToString::to_string).collect();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    save(&path, &dataset, 1);
    let settings = EngineConfig::new().with_users(20_000);
    let engine = RecallEngine::open::<Flex>(&path, Default::default(), settings).unwrap();
    let engine = Arc::new(engine);
    let limits = Limits {
        time: Duration::from_secs(2),
        ..Limits::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let movies = home.path().join("movies.csv");
    std::fs::write(&movies, "movieId,title,genres\n1,One,\n2,Two,\n").unwrap();
    let items = movielens::movies(&movies).unwrap().unwrap();
    let titles = Titles::new(Arc::new(items));
    let app = router(Service::new(engine.clone(), titles, limits));
    runtime.spawn(async move { axum::serve(listener, app).await });

    let idle: Vec<TcpStream> = (0..1_000)
        .map_while(|_| TcpStream::connect(address).ok())
        .collect();
    let (done, answers) = (AtomicBool::new(false), Answers::default());
    let (done, answers, ids) = (&done, &answers, &ids);
    let running = || !done.load(Ordering::Relaxed);
    let (mut reloads, mut resident_at) = (0u64, Vec::new());
    std::thread::scope(|scope| {
        for client in 0..3u64 {
            scope.spawn(move || {
                let mut random = ChaCha8Rng::seed_from_u64(client);
                let agent = agent();
                while running() {
                    let item =
                        |random: &mut ChaCha8Rng| ids[random.random_range(0..ids.len())].clone();
                    let k = random.random_range(1..=200);
                    let body = if random.random_bool(0.5) {
                        let user = random.random_range(0..users * 3);
                        format!(r#"{{"user": {user}, "k": {k}}}"#)
                    } else {
                        let items: Vec<String> = (0..random.random_range(0..40))
                            .map(|_| item(&mut random))
                            .collect();
                        format!(r#"{{"history": [{}], "k": {k}}}"#, items.join(","))
                    };
                    let begun = Instant::now();
                    answers.count(post(&agent, address, "/recall", body.as_bytes()));
                    answers.times.add(begun.elapsed());
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        scope.spawn(move || {
            let mut random = ChaCha8Rng::seed_from_u64(77);
            let agent = agent();
            while running() {
                let events: Vec<String> = (0..20)
                    .map(|_| {
                        let user = random.random_range(0..100_000);
                        let item = &ids[random.random_range(0..ids.len())];
                        format!(r#"{{"user": {user}, "item": {item}}}"#)
                    })
                    .collect();
                let body = format!(r#"{{"events": [{}]}}"#, events.join(","));
                assert_eq!(post(&agent, address, "/events", body.as_bytes()), 200);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        scope.spawn(move || {
            let mut random = ChaCha8Rng::seed_from_u64(78);
            let agent = agent();
            while running() {
                let size = random.random_range(1..400);
                let body: Vec<u8> = match random.random_range(0..3) {
                    0 => (0..size).map(|_| random.random()).collect(),
                    1 => vec![b'['; 300_000],
                    _ => br#"{"user": 1, "k": 100000000000}"#.to_vec(),
                };
                let path = ["/recall", "/events", "/titles"][random.random_range(0..3)];
                // A server may end a connection on which it reads no further.
                let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    if body.len() > 256 * 1024 {
                        let sent = agent
                            .post(format!("http://{address}{path}"))
                            .send(&body[..]);
                        return sent.map_or(413, |response| response.status().as_u16());
                    }
                    post(&agent, address, path, &body)
                }));
                let status = answer.unwrap();
                assert!((400..500).contains(&status), "{status}");
                answers.count(status);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        scope.spawn(move || {
            while running() {
                // A body that never comes to its end is told that it took too long.
                let mut slow = TcpStream::connect(address).unwrap();
                slow.set_read_timeout(Some(Duration::from_secs(60)))
                    .unwrap();
                let head = "POST /recall HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
                slow.write_all(head.as_bytes()).unwrap();
                let mut answer = [0; 64];
                let length = slow.read(&mut answer).unwrap();
                let text = String::from_utf8_lossy(&answer[..length]).into_owned();
                assert!(text.starts_with("HTTP/1.1 408"), "{text}");
            }
        });
        let begun = Instant::now();
        while reloads < 3 || begun.elapsed() < Duration::from_secs(seconds) {
            save(&path, &dataset, 2 + reloads);
            engine.reload().unwrap();
            reloads += 1;
            resident_at.push((begun.elapsed().as_secs_f64(), resident()));
            std::thread::sleep(Duration::from_millis(700));
        }
        done.store(true, Ordering::Relaxed);
    });
    for (at, resident) in resident_at.iter().step_by(resident_at.len().div_ceil(12)) {
        println!("after {at:.0} s: {resident:.1} MB");
    }
    // A third of the time is for caches and pools to fill.
    let settled = resident_at[resident_at.len() / 3].1;
    let end = resident_at[resident_at.len() - 1].1;
    let [good, refused, failed] = [&answers.good, &answers.refused, &answers.failed]
        .map(|counter| counter.load(Ordering::Relaxed));
    println!(
        "{seconds} s: {good} calls answered, {refused} requests refused, {failed} failed; {reloads} \
         reloads; {} idle connections; p50 {:.2} ms, p99 {:.2} ms, slowest {:.1} ms; resident {settled:.0} \
         MB after a third, {end:.0} MB at the end, {} users held",
        idle.len(),
        answers.times.within(0.5),
        answers.times.within(0.99),
        answers.times.within(1.0),
        engine.statistics().users,
    );
    assert_eq!(failed, 0);
    assert!(good > 0 && refused > 0 && reloads > 1);
    assert_eq!(engine.statistics().failed_reloads, 0);
    if seconds >= 300 {
        assert!(
            end < 1.15 * settled,
            "memory grows: {settled} MB to {end} MB"
        );
    }
}
