//! `MilvusIndex` against a real server, which the tests start: `MILVUS_LITE` names its program.
//!
//! `pip install milvus-lite` brings it, and then
//! `MILVUS_LITE=$(which milvus-lite) cargo test --features milvus --test milvus` runs them.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Array2;
use seqrec::ErrorKind;
use seqrec::data::{Catalog, ItemIndex, Items};
use seqrec::index::{
    Filter, FlatIndex, Hits, ItemSet, Matching, MilvusConfig, MilvusIndex, MilvusMethod,
    VectorIndex,
};

/// A server of its own for a test, on a port of its own, with data that survive a restart.
struct Server {
    data: tempfile::TempDir,
    address: SocketAddr,
    process: Child,
}

impl Server {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        // The port is free a moment later, when the listener is gone.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let process = Self::spawn(&data, address);
        let server = Self {
            data,
            address,
            process,
        };
        server.wait();
        server
    }

    fn spawn(data: &tempfile::TempDir, address: SocketAddr) -> Child {
        let program = std::env::var("MILVUS_LITE").expect("MILVUS_LITE names the server's program");
        Command::new(program)
            .arg("server")
            .arg("--data-dir")
            .arg(data.path())
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts")
    }

    fn wait(&self) {
        let start = Instant::now();
        while let Err(error) = MilvusIndex::connect(self.config("ready")) {
            assert!(start.elapsed() < Duration::from_secs(60), "{error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        self.process = Self::spawn(&self.data, self.address);
        self.wait();
    }

    fn config(&self, alias: &str) -> MilvusConfig {
        MilvusConfig::new(format!("http://{}", self.address), alias)
            .with_deadline(Duration::from_secs(20))
            .with_batch_size(300)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Vectors on a circle and up a slope, all different, row 0 padding.
fn vectors(items: usize) -> Array2<f32> {
    Array2::from_shape_fn((items + 1, 8), |(row, column)| {
        let angle = row as f32 * (0.37 + 0.11 * column as f32);
        angle.sin() + row as f32 / items as f32
    })
}

fn common(a: &Hits, b: &Hits) -> f64 {
    let of = |query: usize| {
        a.items(query)
            .iter()
            .filter(|item| b.items(query).contains(item))
            .count()
    };
    (0..a.len()).map(of).sum::<usize>() as f64
        / (0..a.len())
            .map(|query| a.items(query).len())
            .sum::<usize>() as f64
}

#[test]
fn versions_are_published_searched_and_dropped() {
    let server = Server::start();
    let vectors = vectors(1_400);
    let queries = vectors.slice(ndarray::s![1..21, ..]);
    let exact = FlatIndex::new(vectors.view()).unwrap();
    let best = exact.search(queries, 10, None).unwrap();
    for (alias, method) in [
        ("graph", MilvusMethod::HNSW),
        (
            "lists",
            MilvusMethod::Ivf {
                lists: 16,
                probes: 16,
            },
        ),
    ] {
        let config = server.config(alias).with_method(method);
        let index = MilvusIndex::connect(config.clone()).unwrap();
        assert!(index.is_empty());
        assert_eq!(index.refresh().unwrap(), None);
        let mut told = Vec::new();
        index
            .publish(vectors.view(), 1, |done, all| told.push((done, all)))
            .unwrap();
        let expected = [300, 600, 900, 1200, 1400].map(|done| (done, 1400));
        assert_eq!(told, expected);
        assert_eq!((index.len(), index.dim()), (1_400, 8));
        let hits = index.search(queries, 10, None).unwrap();
        assert!(
            common(&best, &hits) >= 0.95,
            "{alias}: {}",
            common(&best, &hits)
        );
        for query in 0..hits.len() {
            assert!(hits.scores(query).is_sorted_by(|a, b| a >= b));
            for hit in hits.list(query) {
                let score = vectors.row(hit.item.to_usize()).dot(&queries.row(query));
                assert!((score - hit.score).abs() < 1e-3 * score.abs().max(1.0));
            }
        }

        // Filters give what the exact index gives with them.
        let few: ItemSet = (1..1_001)
            .filter(|item| item % 50 == 3)
            .map(ItemIndex::new)
            .collect();
        let many: ItemSet = (1..1_401)
            .filter(|item| item % 4 != 3)
            .map(ItemIndex::new)
            .collect();
        let odd = |query: usize, item: ItemIndex| item.to_usize() % 9 == query % 9;
        for filter in [
            Filter::Allowed(&few),
            Filter::Allowed(&many),
            Filter::Predicate(&odd),
        ] {
            let expected = exact.search(queries, 10, Some(filter)).unwrap();
            let found = index.search(queries, 10, Some(filter)).unwrap();
            assert!(common(&expected, &found) >= 0.95, "{alias} {filter:?}");
            for query in 0..found.len() {
                assert_eq!(found.items(query).len(), 10);
                assert!(
                    found
                        .items(query)
                        .iter()
                        .all(|&item| filter.passes(query, item))
                );
            }
        }
        let found = index.search_where(queries, 10, "item < 5").unwrap();
        // The lite server looks at what passes among its candidates only, so it may find fewer.
        assert!((0..20).any(|query| !found.items(query).is_empty()));
        assert!((0..20).all(|query| found.items(query).iter().all(|&item| item.get() < 5)));
        assert!(index.search_where(queries, 10, "no such field").is_err());
        assert_eq!(
            index
                .search(queries, 5, Some(Filter::Allowed(&ItemSet::new())))
                .unwrap()
                .len(),
            20
        );

        // A new model's vectors take the alias over; another process sees that.
        let other = MilvusIndex::connect(config).unwrap();
        assert_eq!(
            (other.refresh().unwrap(), other.len(), other.dim()),
            (Some(1), 1_400, 8)
        );
        let reversed = vectors.slice(ndarray::s![..;-1, ..]).to_owned();
        index.publish(reversed.view(), 2, |_, _| {}).unwrap();
        assert_eq!(other.refresh().unwrap(), Some(2));
        let expected = FlatIndex::new(reversed.view())
            .unwrap()
            .search(queries, 10, None)
            .unwrap();
        assert!(common(&expected, &other.search(queries, 10, None).unwrap()) >= 0.95);
        let again = index.publish(vectors.view(), 2, |_, _| {}).unwrap_err();
        assert!(
            matches!(
                again.kind(),
                ErrorKind::InvalidValue {
                    field: "version",
                    ..
                }
            ),
            "{again}"
        );
        let in_use = index.drop_version(2).unwrap_err();
        assert!(
            matches!(
                in_use.kind(),
                ErrorKind::InvalidValue {
                    field: "version",
                    ..
                }
            ),
            "{in_use}"
        );
        assert!(index.drop_version(1).unwrap());
        assert!(!index.drop_version(1).unwrap());
        match index.drop_versions_before(3) {
            Ok(dropped) => assert_eq!(dropped, [0; 0]),
            // The lite server lists names without ids, which the client refuses.
            Err(error) => println!("drop_versions_before is skipped: {error}"),
        }
        assert_eq!(index.search(queries, 10, None).unwrap().len(), 20);
    }
}

#[test]
fn a_server_that_is_gone_is_an_error_and_works_again_when_it_is_back() {
    let mut server = Server::start();
    let vectors = vectors(200);
    let query = vectors.slice(ndarray::s![7..8, ..]);
    let config = server.config("items").with_deadline(Duration::from_secs(5));
    let index = MilvusIndex::connect(config).unwrap();
    index.publish(vectors.view(), 1, |_, _| {}).unwrap();
    let before = index.search(query, 5, None).unwrap();
    server.stop();
    let start = Instant::now();
    let error = index.search(query, 5, None).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Server { .. } | ErrorKind::Deadline { .. }
        ),
        "{error}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    server.restart();
    // A real server loads what was loaded before by itself; the lite one does after a moment.
    let start = Instant::now();
    let after = loop {
        match index.search(query, 5, None) {
            Ok(hits) => break hits,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
        }
    };
    assert_eq!(after.items(0), before.items(0));
}

#[test]
fn servers_that_do_not_answer_are_errors_within_the_deadline() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let config = MilvusConfig::new(format!("http://{address}"), "items")
            .with_deadline(Duration::from_millis(700));
        let start = Instant::now();
        let error = MilvusIndex::connect(config).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Server { .. } | ErrorKind::Deadline { .. }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn settings_that_cannot_be_are_named() {
    let good = || MilvusConfig::new("http://127.0.0.1:1", "items");
    for (config, name) in [
        (good().with_alias("no spaces".into()), "alias"),
        (good().with_batch_size(0), "batch_size"),
        (good().with_attempts(0), "attempts"),
        (good().with_deadline(Duration::ZERO), "deadline"),
    ] {
        let error = MilvusIndex::connect(config).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidValue { field, .. } if *field == name),
            "{error}"
        );
    }
}

/// An index may be let go of wherever it was used, within asynchronous code too.
#[test]
fn an_index_is_dropped_within_asynchronous_code() {
    let server = Server::start();
    let config = server.config("dropped").with_deadline(Duration::MAX);
    let index = MilvusIndex::connect(config).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move { drop(index) });
}

#[test]
fn filters_of_attributes_are_looked_at_by_the_server() {
    const ITEMS: usize = 3_000;
    // The server in one file that tests have finds fewer than it is asked for, the fewer the more.
    const K: usize = 80;
    const QUERIES: usize = 20;
    let of = |item: usize| move |every: usize| item % every != 0;
    let all = || (1..=ITEMS).map(of);
    let tags = ["x", "y", "a \"quoted\" \\ tag"];
    let items = Items::new((1..=ITEMS).map(|item| format!("sku-{item}")))
        .unwrap()
        .with_numbers(
            "price",
            (1..=ITEMS)
                .zip(all())
                .map(|(item, not)| not(7).then_some((item % 40) as f64)),
        )
        .unwrap()
        .with_texts(
            "kind",
            (1..=ITEMS)
                .zip(all())
                .map(|(item, not)| not(5).then_some(["lamp", "d\u{e9}sk"][item % 2])),
        )
        .unwrap()
        .with_tags("tag", (1..=ITEMS).map(|item| tags[..item % 4].to_vec()))
        .unwrap()
        .with_booleans(
            "in_stock",
            (1..=ITEMS)
                .zip(all())
                .map(|(item, not)| not(11).then_some(item % 3 > 0)),
        )
        .unwrap()
        .with_dates(
            "released",
            (1..=ITEMS).map(|item| (item % 9 > 0).then_some(item as f64 * 86_400.0)),
        )
        .unwrap();
    let items = Arc::new(items);
    let ids = (1..=ITEMS).map(|item| format!("sku-{item}").into());
    let catalog = Catalog::from_ids(ids).unwrap();
    let server = Server::start();
    let vectors = vectors(ITEMS);
    let queries = vectors.slice(ndarray::s![1..=QUERIES, ..]);
    let exhaustive = MilvusMethod::Ivf {
        lists: 4,
        probes: 4,
    };
    let config = server.config("attributes").with_method(exhaustive);
    let index = MilvusIndex::connect(config.clone()).unwrap();
    let columns = ["price", "kind", "tag", "in_stock", "released"];
    assert!(
        index
            .set_items(items.clone(), &catalog, &["prise"])
            .is_err()
    );
    index.set_items(items.clone(), &catalog, &columns).unwrap();
    index.publish(vectors.view(), 1, |_, _| {}).unwrap();
    let other = MilvusIndex::connect(config).unwrap();
    // A table with another price of one item is another one, whose filters go as ids.
    let changed = (*items)
        .clone()
        .with_numbers("more", vec![None; ITEMS])
        .unwrap();
    let seen: ItemSet = [3, 4, 5, 2_999].map(ItemIndex::new).into_iter().collect();
    for text in [
        "price < 20",
        "price != 20",
        "not price < 20",
        "price not in (1, 2)",
        "price is missing or price >= 10",
        "kind = \"lamp\"",
        "kind != \"lamp\"",
        "kind in (\"d\u{e9}sk\", \"lamp\", \"\")",
        "kind not in (\"lamp\")",
        "kind is not missing",
        "not kind = \"\"",
        "tag = \"x\"",
        "not tag = \"y\"",
        "tag in (\"y\", 'a \"quoted\" \\\\ tag')",
        "not tag is missing",
        "in_stock",
        "not in_stock",
        "in_stock != true or in_stock is missing",
        "released > 1972-01-01",
        "in_stock and not (tag = \"x\" and price < 3) or kind is missing",
    ] {
        let matching = Matching::new(items.clone(), text.parse().unwrap(), &catalog).unwrap();
        let without = matching.clone().without_items(&seen);
        let of_changed = Matching::new(changed.clone(), text.parse().unwrap(), &catalog).unwrap();
        let search = |index: &MilvusIndex, matching: &Matching| {
            let hits = index.search(queries, K, Some(Filter::Matching(matching)));
            hits.unwrap()
        };
        let by_ids = search(&index, &of_changed);
        let by_expression = search(&index, &matching);
        let of_others = search(&other, &without);
        for query in 0..QUERIES {
            let found = by_expression.items(query);
            assert!(!found.is_empty() && found.len() <= K, "{text}");
            assert!(
                found.iter().all(|&item| matching.items().contains(item)),
                "{text}"
            );
            // Nothing that passes is missing.
            assert_eq!(found, by_ids.items(query), "{text}");
            let others = of_others.items(query);
            assert!(
                others.iter().all(|&item| without.items().contains(item)),
                "{text}"
            );
        }
    }
    // Fields are there for expressions of one's own.
    let hits = index
        .search_where(queries, K, "price < 20.0 and price_missing == false")
        .unwrap();
    let cheap = items
        .passing(&"price < 20".parse().unwrap(), &catalog)
        .unwrap();
    assert!(!hits.items(0).is_empty());
    assert!(hits.items(0).iter().all(|&item| cheap.contains(item)));
    let short = Catalog::from_ids(["sku-1".into()]).unwrap();
    index.set_items(items.clone(), &short, &["price"]).unwrap();
    let error = index.publish(vectors.view(), 2, |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("not in the catalog"), "{error}");
    let odd = (*items)
        .clone()
        .with_numbers("list price", vec![None; ITEMS])
        .unwrap();
    assert!(index.set_items(odd, &catalog, &["list price"]).is_err());
    assert!(
        index
            .set_items(items, &catalog, &["price", "price"])
            .is_err()
    );
}
