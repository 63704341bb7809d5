//! Filters by attributes: what an expression passes, what is refused, and that all who recall
//! honor them alike.

use proptest::prelude::*;
use seqrec::ErrorKind;
use seqrec::channels::{MarkovChainConfig, Popularity, PopularityConfig};
use seqrec::data::{Catalog, ItemFilter, ItemIndex, Items, Seen};
use seqrec::index::{Filter, FlatIndex, HnswConfig, HnswIndex, ItemSet, VectorIndex};
use seqrec::recall::{ChannelWeight, Fusion, RecallChannel, RecallRequest, RecallStage, Retriever};

/// Six items, of which `e` lacks every value and `f` is not in the table.
fn catalog() -> Catalog {
    let taken: Vec<ItemIndex> = [1, 1, 1, 2, 2, 3, 4, 5, 6].map(ItemIndex::new).to_vec();
    let ids = ["a", "b", "c", "d", "e", "f"].map(Into::into);
    Catalog::from_ids(ids).unwrap().with_counts([&taken[..]])
}

const DAY: f64 = 86_400.0;

fn items() -> Items {
    // In another order than the catalog's.
    Items::new(["e", "d", "c", "b", "a"])
        .unwrap()
        .with_texts("title", [None, Some("D"), Some("C"), Some("B"), Some("A")])
        .unwrap()
        .with_numbers(
            "price",
            [None, Some(40.0), Some(30.0), Some(20.0), Some(10.0)],
        )
        .unwrap()
        .with_texts(
            "kind",
            [None, Some("desk"), Some("lamp"), Some("lamp"), Some("it's")],
        )
        .unwrap()
        .with_tags(
            "tag",
            [vec![], vec!["x"], vec!["y"], vec!["x", "y"], vec![]],
        )
        .unwrap()
        .with_booleans(
            "in_stock",
            [None, Some(true), Some(false), Some(true), Some(true)],
        )
        .unwrap()
        .with_numbers("new", [None, Some(1.0), Some(0.0), Some(0.0), Some(1.0)])
        .unwrap()
        .with_dates(
            "released",
            [None, Some(3.0 * DAY), Some(2.0 * DAY), Some(DAY), Some(0.0)],
        )
        .unwrap()
        .with_numbers(
            "list price",
            [None, Some(1.0), Some(2.0), Some(3.0), Some(-4.5)],
        )
        .unwrap()
}

fn filter(text: &str) -> ItemFilter {
    text.parse().unwrap()
}

fn named(items: &ItemSet) -> String {
    let catalog = catalog();
    items
        .iter()
        .map(|item| catalog.id_of(item).unwrap().to_string())
        .collect()
}

#[test]
fn an_expression_passes_what_it_says() {
    for (text, expected) in [
        ("price < 20", "a"),
        ("price <= 20", "ab"),
        ("price > 20", "cd"),
        ("price >= 2e1", "bcd"),
        ("price = 20", "b"),
        ("price == 20.0", "b"),
        // A comparison with a missing value is false, and `not` makes it true.
        ("price != 20", "acd"),
        ("price <> 20", "acd"),
        ("not price = 20", "acdef"),
        ("not price < 20", "bcdef"),
        ("price is missing", "ef"),
        ("price is not missing", "abcd"),
        ("not price is missing", "abcd"),
        ("price in (10, 40)", "ad"),
        ("price not in (10, 40)", "bc"),
        ("kind = \"lamp\"", "bc"),
        ("kind = 'it\\'s' or kind = \"desk\"", "ad"),
        ("kind != \"lamp\"", "ad"),
        ("kind in (\"lamp\", \"sofa\")", "bc"),
        ("kind not in (\"lamp\")", "ad"),
        ("tag = \"x\"", "bd"),
        ("not tag = \"x\"", "acef"),
        ("tag in (\"x\", \"y\")", "bcd"),
        ("tag is missing", "aef"),
        ("in_stock", "abd"),
        ("in_stock = false", "c"),
        ("not in_stock", "cef"),
        ("in_stock is missing", "ef"),
        ("new", "ad"),
        ("released > 1970-01-02", "cd"),
        ("released <= \"1970-01-02 00:00\"", "ab"),
        ("released < 1970-01-02T01:00:00+02:00", "a"),
        ("`list price` < -4", "a"),
        ("in_stock and price < 40 and not tag = \"x\"", "a"),
        // `and` before `or`.
        ("price = 10 or price = 20 and kind = \"desk\"", "a"),
        ("(price = 10 or price = 20) and kind = \"lamp\"", "b"),
        ("NOT (Price_is_no_column is missing) or in_stock", ""),
        ("IN_STOCK", ""),
        (
            "not not not tag = \"x\" AND in_stock OR price IS MISSING",
            "aef",
        ),
    ] {
        match items().passing(&filter(text), &catalog()) {
            Ok(passing) => assert_eq!(named(&passing), expected, "{text}"),
            Err(error) => {
                assert!(
                    expected.is_empty() && error.to_string().contains("no column"),
                    "{text}: {error}"
                );
            }
        }
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, expected) in [
        ("", "at its end: a column, `not` or `(` must come here"),
        ("price <", "at its end: a value must come here"),
        (
            "price < and in_stock",
            "at character 9, before `and in_stock`: a value must come here",
        ),
        (
            "price < 20 in_stock",
            "at character 12, before `in_stock`: `and`, `or` or the end must follow",
        ),
        ("10 < price < 20", "at character 1"),
        ("price < 20 < 30", "at character 12"),
        ("(price < 20", "at its end: `)`, `and` or `or` must follow"),
        (
            "price < 20)",
            "at character 11, before `)`: this parenthesis was never opened",
        ),
        (
            "kind = lamp",
            "at character 8, before `lamp`: a text is in quotes: \"lamp\"",
        ),
        (
            "kind = \"lamp",
            "at character 8, before `\"lamp`: this quote is never closed",
        ),
        ("kind in \"lamp\"", "`(` must follow `in`"),
        ("kind in ()", "at character 10"),
        ("price < 12abc", "neither a number"),
        (
            "price < 2026-13-45",
            "neither a number, such as 3.5, nor a date",
        ),
        ("price is 3", "`missing` or `not missing` must follow `is`"),
        ("\"kind\" = \"lamp\"", "without quotes or in backticks"),
        (
            "price & 3",
            "at character 7, before `& 3`: no expression has this character",
        ),
        ("\u{e4}\u{f6} < \u{2603}", "at character 6"),
        ("kind = \"a\\n\"", "may stand before a quote"),
        ("price < inf", "a text is in quotes"),
        ("price < 1e999", "neither a number"),
    ] {
        let error = text.parse::<ItemFilter>().unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::InvalidValue {
                field: "filter",
                ..
            }
        ));
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    let deep = format!("{}in_stock{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(
        deep.parse::<ItemFilter>()
            .unwrap_err()
            .to_string()
            .contains("levels are too many")
    );
    let nots = format!("{}in_stock", "not ".repeat(5_000));
    assert!(
        nots.parse::<ItemFilter>()
            .unwrap_err()
            .to_string()
            .contains("levels are too many")
    );
    let many = vec!["in_stock"; 1_001].join(" and ");
    assert!(
        many.parse::<ItemFilter>()
            .unwrap_err()
            .to_string()
            .contains("comparisons are too many")
    );
    assert!(
        "x".repeat(70_000)
            .parse::<ItemFilter>()
            .unwrap_err()
            .to_string()
            .contains("65536 at most")
    );
}

#[test]
fn what_does_not_fit_a_column_is_an_error_and_not_false() {
    for (text, expected) in [
        (
            "prise < 20",
            "at character 1: the table of items has no column \"prise\"; its header is [\"title\", \"price\"",
        ),
        ("in_stock and prise < 20", "at character 14"),
        (
            "price < \"abc\"",
            "at character 9: price holds numbers, and is compared with a number without quotes",
        ),
        ("price < \"20\"", "a number without quotes"),
        ("price < 2026-11-28", "where these are dates, say so"),
        ("price = true", "a number without quotes"),
        (
            "kind = 3",
            "kind holds text, and is compared with a text in quotes",
        ),
        ("kind in (\"a\", 3)", "at character 15: kind holds text"),
        ("kind < \"b\"", "have no order for `<`"),
        (
            "tag != \"x\"",
            "tag may hold several tags: write `not tag = ..`",
        ),
        (
            "tag not in (\"x\")",
            "tag may hold several tags: write `not tag in (..)`",
        ),
        ("in_stock = 1", "compared with true or false"),
        ("in_stock > false", "have no order"),
        ("price", "price holds numbers, and must be compared"),
        ("kind", "must be compared"),
        ("released > 3", "a date such as 2026-11-28"),
        ("released > \"soon\"", "a date such as 2026-11-28"),
        ("price < 0 and prise", "no column \"prise\""),
    ] {
        let error = items().passing(&filter(text), &catalog()).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::InvalidValue {
                field: "filter",
                ..
            }
        ));
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    std::fs::write(&path, "sku,price\na,1\nb,\"2,50\"\n").unwrap();
    let error = Items::read(path, "sku")
        .unwrap()
        .passing(&filter("price < 2"), &catalog());
    let error = error.unwrap_err().to_string();
    assert!(
        error.ends_with("line 3 has \"2,50\", which is no number"),
        "{error}"
    );
}

#[test]
fn a_filter_that_lets_nothing_pass_says_which_part() {
    let error = items()
        .passing(&filter("in_stock and price < 5"), &catalog())
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NothingLeft { .. }));
    let message = error.to_string();
    assert!(
        message.ends_with("no item of 6 passes the filter `in_stock and price < 5`: 3 pass `in_stock`, 0 pass `price < 5`"),
        "{message}"
    );
}

fn ids(recalled: &seqrec::recall::Recalled) -> String {
    recalled
        .items
        .iter()
        .map(|item| item.id.to_string())
        .collect()
}

fn retriever() -> Retriever {
    let catalog = catalog();
    Retriever::new(Popularity::new(&catalog), catalog)
        .unwrap()
        .items(items())
        .unwrap()
}

#[test]
fn a_retriever_recalls_what_passes_with_its_title() {
    let retriever = retriever();
    let ask = |request: RecallRequest| retriever.recall_for(&request);
    let request = || RecallRequest::for_history(["b"], 9);
    let recalled = ask(request().matching(filter("price <= 30"))).unwrap();
    // An item that was seen does not come, and is not counted.
    assert_eq!((ids(&recalled).as_str(), recalled.passing), ("ac", Some(2)));
    assert_eq!(recalled.items[0].title.as_deref(), Some("A"));
    assert!(recalled.to_string().contains("A [a]"), "{recalled}");
    let kept = ask(request().matching(filter("price <= 30")).seen(Seen::Keep)).unwrap();
    assert_eq!(ids(&kept), "abc");
    let blocked = request()
        .matching(filter("price <= 30"))
        .blocked(["a"])
        .filter(|id| *id != "c".into());
    let recalled = ask(blocked).unwrap();
    assert_eq!((ids(&recalled).as_str(), recalled.passing), ("", Some(0)));
    assert!(
        recalled.to_string().contains("0 items pass the filter"),
        "{recalled}"
    );
    let only = ask(request().only(["d", "a", "nowhere"])).unwrap();
    assert_eq!((ids(&only).as_str(), only.passing), ("ad", Some(2)));
    let both = ask(request()
        .only(["d", "a"])
        .only(["d", "c"])
        .matching(filter("tag = \"x\"")))
    .unwrap();
    assert_eq!(ids(&both), "d");
    assert_eq!(ask(request()).unwrap().passing, None);

    for (request, expected) in [
        (
            request().matching(filter("price < 0")),
            "passes the filter `price < 0`",
        ),
        (
            request().only(["nowhere"]),
            "none of the 1 items that the request names as the only ones is in the catalog",
        ),
        (
            request().only(["a"]).matching(filter("price > 10")),
            "none of the 1 items that the request names as the only ones passes the filter",
        ),
        (
            request().filter(|_| false),
            "no item of 6 passes the request's filter",
        ),
    ] {
        let error = ask(request).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NothingLeft { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
    let catalog = catalog();
    let plain = Retriever::new(Popularity::new(&catalog), catalog).unwrap();
    let error = plain
        .recall_for(&request().matching(filter("price < 20")))
        .unwrap_err();
    assert!(error.to_string().contains("`Retriever::items`"), "{error}");
}

use crate::stage;

fn stage(markov: f64) -> RecallStage {
    let data = stage::data();
    RecallStage::new(Fusion::RECIPROCAL_RANK, 10)
        .unwrap()
        .channel(
            "markov",
            MarkovChainConfig::new().fit(&data).unwrap(),
            ChannelWeight::new().with_weight(markov),
        )
        .unwrap()
        .channel(
            "popular",
            PopularityConfig::new().fit(&data).unwrap(),
            ChannelWeight::default(),
        )
        .unwrap()
}

#[test]
fn a_stage_and_indexes_take_the_set() {
    let (catalog, items) = (stage::data().catalog().clone(), items());
    let passing = items
        .passing(&filter("price > 10 and in_stock"), &catalog)
        .unwrap();
    let data = stage::data();
    let users = [data.sequences().history(0)];
    let found = stage(1.0)
        .recall(&users, 9, Some(Filter::Allowed(&passing)))
        .unwrap();
    let found: Vec<String> = found
        .items(0)
        .iter()
        .map(|&item| catalog.id_of(item).unwrap().to_string())
        .collect();
    assert_eq!(found.len(), 2);
    assert!(found.contains(&"b".to_owned()) && found.contains(&"d".to_owned()));
    let retriever = Retriever::new(stage(1.0), catalog.clone())
        .unwrap()
        .items(items)
        .unwrap();
    let request = RecallRequest::for_history(["a"], 9).matching(filter("price > 10 and in_stock"));
    let recalled = retriever.recall_for(&request).unwrap();
    let mut ids: Vec<String> = recalled
        .items
        .iter()
        .map(|item| item.id.to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["b", "d"]);
    let vectors = ndarray::Array2::from_shape_fn((5, 2), |(row, column)| (row * 2 + column) as f32);
    let query = ndarray::array![[1.0, 1.0]];
    let flat = FlatIndex::new(vectors.view()).unwrap();
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    for index in [&flat as &dyn VectorIndex, &graph] {
        let hits = index
            .search(query.view(), 9, Some(Filter::Allowed(&passing)))
            .unwrap();
        assert_eq!(hits.items(0).len(), 2);
        assert!(hits.items(0).iter().all(|&item| passing.contains(item)));
    }
}

#[cfg(feature = "engine")]
mod engine {
    use seqrec::data::ExternalId;
    use seqrec::engine::{EngineConfig, RecallEngine};
    use seqrec::store::ServedStage;

    use super::*;

    fn engine() -> RecallEngine {
        let load = || Ok(ServedStage::new(stage(1.0), stage::data()));
        let settings = EngineConfig::new().with_budget(std::time::Duration::from_secs(30));
        RecallEngine::with_loader(load, settings).unwrap()
    }

    #[test]
    fn an_engine_filters_by_the_table_of_the_moment() {
        let engine = engine();
        let request = || RecallRequest::for_user("somebody", 9).matching(filter("price < 25"));
        let error = engine.recall_for(&request()).unwrap_err();
        assert!(
            error.to_string().contains("`RecallEngine::set_items`"),
            "{error}"
        );
        engine.set_items(items()).unwrap();
        let found = |engine: &RecallEngine| {
            let recalled = engine.recall_for(&request()).unwrap();
            let mut ids: Vec<&ExternalId> = recalled.items.iter().map(|item| &item.id).collect();
            ids.sort();
            ids.iter().map(ToString::to_string).collect::<String>()
        };
        assert_eq!(found(&engine), "ab");
        // A filter that comes again is looked up, and a new table is looked at.
        assert_eq!(found(&engine), "ab");
        let dearer = Items::new(["a", "b"])
            .unwrap()
            .with_numbers("price", [Some(10.0), Some(90.0)]);
        engine.set_items(dearer.unwrap()).unwrap();
        assert_eq!(found(&engine), "a");
        engine.reload().unwrap();
        assert_eq!(found(&engine), "a");
        let titled = engine.recall("somebody", 9).unwrap();
        assert!(titled.items.iter().all(|item| item.title.is_none()));
        engine.set_items(items()).unwrap();
        let titled = engine.recall("somebody", 9).unwrap();
        assert!(titled.items.iter().all(|item| item.title.is_some()));

        // A table of other items changes nothing.
        let others = Items::new(["x"]).unwrap();
        assert!(engine.set_items(others).is_err());
        assert_eq!(found(&engine), "ab");
        let nothing = RecallRequest::for_user("somebody", 9).matching(filter("price < 0"));
        let error = engine.recall_for(&nothing).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NothingLeft { .. }),
            "{error}"
        );
        let nothing = RecallRequest::for_user("somebody", 9).filter(|_| false);
        assert!(engine.recall_for(&nothing).is_err());
        let panics = RecallRequest::for_user("somebody", 9)
            .matching(filter("price < 25"))
            .filter(|_| panic!("in its test"));
        let error = engine.recall_for(&panics).unwrap_err().to_string();
        assert!(error.contains("it panicked: in its test"), "{error}");
        let statistics = engine.statistics();
        assert_eq!((statistics.calls, statistics.refused), (7, 4));
        let many = (0..2_000).map(i64::from);
        assert!(
            engine
                .recall_for(&RecallRequest::for_user("somebody", 9).only(many))
                .is_err()
        );
    }
}

/// A rule for a number and tags.
type Rule = fn(Option<f64>, &[&str]) -> bool;

/// An expression, and whether it passes an item with these values.
fn expressions() -> impl Strategy<Value = (String, Rule)> {
    let tests: Vec<(&str, Rule)> = vec![
        ("n < 2", |n, _| n.is_some_and(|n| n < 2.0)),
        ("n != 2", |n, _| n.is_some_and(|n| n != 2.0)),
        ("n is missing", |n, _| n.is_none()),
        ("tag = \"x\"", |_, tags| tags.contains(&"x")),
        ("tag in (\"x\", \"y\")", |_, tags| !tags.is_empty()),
    ];
    (0..tests.len()).prop_map(move |place| (tests[place].0.to_owned(), tests[place].1))
}

proptest! {
    #[test]
    fn no_text_makes_a_panic(text in r#"[a-c ()<>=!,"'`\\0-9.é-]{0,40}|(not |in |and |or |is |missing |a |\(|\)|< |"x" |, ){0,12}"#) {
        if let Ok(parsed) = text.parse::<ItemFilter>() {
            items().passing(&parsed, &catalog()).ok();
            prop_assert_eq!(parsed.to_string(), text.trim());
        }
    }

    #[test]
    fn sets_are_those_of_the_rule_for_each_item(
        a in expressions(), b in expressions(), c in expressions(), negated in any::<[bool; 3]>(), shape in 0..4,
        values in proptest::collection::vec((proptest::option::of(0..4u8), 0..4u8), 1..20),
    ) {
        let tags = |of: u8| [vec![], vec!["x"], vec!["y"], vec!["x", "y"]][of as usize].clone();
        let items = Items::new((0..values.len() as i64).collect::<Vec<_>>()).unwrap()
            .with_numbers("n", values.iter().map(|(n, _)| n.map(f64::from))).unwrap()
            .with_tags("tag", values.iter().map(|&(_, of)| tags(of))).unwrap();
        let parts = [a, b, c];
        let texts: Vec<String> = (0..3).map(|at| format!("{}{}", if negated[at] { "not " } else { "" }, parts[at].0)).collect();
        let [a, b, c] = [&texts[0], &texts[1], &texts[2]];
        let text = match shape {
            0 => format!("{a} and {b} or {c}"),
            1 => format!("{a} or {b} and {c}"),
            2 => format!("({a} or {b}) and {c}"),
            _ => format!("not ({a} and {b}) and {c}"),
        };
        let catalog = Catalog::from_ids((0..values.len() as i64).rev().map(Into::into)).unwrap();
        let expected: Vec<ItemIndex> = catalog.items().filter(|&item| {
            let row = values.len() - item.to_usize();
            let (n, of) = values[row];
            let holds = |at: usize| (parts[at].1)(n.map(f64::from), &tags(of)) != negated[at];
            match shape {
                0 => (holds(0) && holds(1)) || holds(2),
                1 => holds(0) || (holds(1) && holds(2)),
                2 => (holds(0) || holds(1)) && holds(2),
                _ => !(holds(0) && holds(1)) && holds(2),
            }
        }).collect();
        match items.passing(&filter(&text), &catalog) {
            Ok(passing) => prop_assert_eq!(passing.iter().collect::<Vec<_>>(), expected),
            Err(error) => {
                prop_assert!(matches!(error.kind(), ErrorKind::NothingLeft { .. }), "{}", error);
                prop_assert!(expected.is_empty());
            }
        }
    }
}
