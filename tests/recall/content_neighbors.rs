//! Items of like content, on data small enough to be followed by hand.

use std::sync::Arc;

use ndarray::{Array2, array};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::channels::{Content, ContentNeighborsConfig};
use seqrec::data::{
    Dataset, Filters, Interaction, Interactions, ItemFeatures, ItemIndex, Items, TrainingData,
};
use seqrec::recall::recalled::{Because, Recalled};
use seqrec::recall::{
    ChannelConfig, ChannelSource, HistoryItems, Links, Reason, RecallChannel, Retriever,
};
use seqrec::{Error, ErrorKind, Result};

/// Items 1 to 6, of which 4, 5 and 6 nobody has taken, and the last has no labels.
const LABELS: [&[&str]; 6] = [
    &["crime", "city", "film"],
    &["crime", "spies", "film"],
    &["farm", "film"],
    &["crime", "city", "film"],
    &["spies", "farm", "film"],
    &[],
];

fn items() -> Items {
    let titles = ["Heat", "Ronin", "Babe", "Collateral", "Spy Pigs", "Blank"];
    Items::new(1..=6)
        .and_then(|items| items.with_tags("tags", LABELS))
        .and_then(|items| items.with_texts("title", titles.map(Some)))
        .unwrap()
}

fn dataset() -> Dataset {
    let rows = [(1, 1, 1.0), (1, 2, 2.0), (2, 1, 1.0), (2, 3, 2.0)];
    let log: Interactions = rows
        .map(|(user, item, time)| Interaction::new(user, item, time))
        .into_iter()
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    dataset.with_items(&items()).unwrap()
}

fn training(features: impl FnOnce(&Dataset) -> Result<ItemFeatures>) -> TrainingData {
    let dataset = dataset();
    let features = features(&dataset).unwrap();
    let dataset = dataset.with_item_features(features).unwrap();
    dataset.training_data()
}

fn with_labels() -> TrainingData {
    training(|dataset| items().features(dataset.catalog(), &["tags"]))
}

/// Their mean is (1, 1), which item 4 is at; items 5 and 6 have none.
fn with_vectors() -> TrainingData {
    let vectors = array![[2.0, 1.0], [2.0, 2.0], [-1.0, 0.0], [1.0, 1.0]];
    training(|dataset| {
        let catalog = dataset.catalog();
        let features = items().features(catalog, &[])?;
        features.with_vectors("text", catalog, 1..=4, vectors.view())
    })
}

fn by_text() -> ContentNeighborsConfig {
    ContentNeighborsConfig::new().with_by(Content::Vectors("text".to_owned()))
}

fn assert_links(links: &Links<ItemIndex, ItemIndex>, expected: &[&[(u32, f64)]]) {
    assert_eq!(links.len(), expected.len() + 1);
    for (item, expected) in (1..).zip(expected) {
        let (found, cosines) = links.of(item);
        let items: Vec<u32> = expected.iter().map(|&(other, _)| other).collect();
        assert_eq!(found, items, "of {item}");
        for (&cosine, &(other, exact)) in cosines.iter().zip(*expected) {
            let off = (f64::from(cosine) - exact).abs();
            assert!(off < 1e-6, "{item} and {other}: {cosine}, not {exact}");
        }
    }
}

#[test]
fn neighbors_by_labels_are_cosines_of_inverse_frequencies() {
    let data = with_labels();
    // Of five items with labels three have "crime" and two each other one; all have "film".
    let [three, two] = [3.0, 2.0].map(|count: f64| (5.0 / count).ln());
    let length = three.hypot(two);
    let crime = (three / length).powi(2);
    let spies = two / length * 0.5f64.sqrt();
    let expected: [&[(u32, f64)]; 6] = [
        &[(4, 1.0), (2, crime)],
        &[(5, spies), (1, crime), (4, crime)],
        &[(5, 0.5f64.sqrt())],
        &[(1, 1.0), (2, crime)],
        &[(3, 0.5f64.sqrt()), (2, spies)],
        &[],
    ];
    let config = ContentNeighborsConfig::new();
    assert_links(&config.fit(&data).unwrap(), &expected);
    let nearest = expected.map(|of_item| &of_item[..of_item.len().min(1)]);
    let one = config.with_neighbors(1).fit(&data);
    assert_links(&one.unwrap(), &nearest);
}

#[test]
fn neighbors_by_vectors_are_cosines_about_their_mean() {
    let data = with_vectors();
    let diagonal = 0.5f64.sqrt();
    let links = by_text().fit(&data).unwrap();
    // What is at the mean is like nothing, and what lies across from it like nothing here.
    assert_links(&links, &[&[(2, diagonal)], &[(1, diagonal)], &[], &[]]);
    let links = by_text().with_centered(false).fit(&data).unwrap();
    let near = 0.9f64.sqrt();
    assert_links(
        &links,
        &[
            &[(2, near), (4, near)],
            &[(4, 1.0), (1, near)],
            &[],
            &[(2, 1.0), (1, near)],
        ],
    );
}

/// Where few items share a label and where many do, as where vectors are searched in a graph.
#[test]
fn neighbors_of_many_items_are_their_definition() {
    const ITEMS: usize = 400;
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let labels: Vec<Vec<String>> = (0..ITEMS)
        .map(|item| {
            let rare = (0..item % 4).map(|_| random.random_range(0..150));
            let mut labels: Vec<u32> = rare.collect();
            labels.extend((item % 5 == 0).then_some(150 + (item % 2) as u32));
            labels
                .iter()
                .map(|label| format!("label {label}"))
                .collect()
        })
        .collect();
    let log: Interactions = (0..ITEMS as i64)
        .map(|item| Interaction::new(1, item, item as f64))
        .collect();
    let items = Items::new(0..ITEMS as i64).unwrap();
    let items = items.with_tags("tags", labels.clone()).unwrap();
    let vectors = Array2::from_shape_fn((ITEMS, 8), |_| random.random_range(-1.0..1.5));
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let catalog = dataset.catalog().clone();
    let features = items.features(&catalog, &["tags"]).unwrap();
    let ids = 0..ITEMS as i64;
    let features = features.with_vectors("text", &catalog, ids, vectors.view());
    let dataset = dataset.with_item_features(features.unwrap()).unwrap();
    let data = dataset.training_data();

    let mut names: Vec<&String> = labels.iter().flatten().collect();
    names.sort();
    names.dedup();
    let has = |item: usize, name: usize| labels[item].contains(names[name]);
    let labeled = labels.iter().filter(|labels| !labels.is_empty()).count() as f64;
    let weights: Vec<f64> = (0..names.len())
        .map(|name| {
            let frequency = (0..ITEMS).filter(|&item| has(item, name)).count();
            (labeled / frequency as f64).ln()
        })
        .collect();
    let of_labels = Array2::from_shape_fn((ITEMS, names.len()), |(item, name)| {
        if has(item, name) { weights[name] } else { 0.0 }
    });
    let vectors = vectors.mapv(f64::from);
    let of_vectors = &vectors - &vectors.mean_axis(ndarray::Axis(0)).unwrap();
    let by_labels = ContentNeighborsConfig::new();
    for (config, exact) in [(by_labels, of_labels), (by_text(), of_vectors)] {
        let links = config.with_neighbors(10).fit(&data).unwrap();
        let lengths = exact.map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt().max(1e-9));
        for item in 0..ITEMS {
            let cosine =
                |other| exact.row(item).dot(&exact.row(other)) / lengths[item] / lengths[other];
            let others = (0..ITEMS).filter(|&other| other != item);
            let mut best: Vec<f64> = others.map(cosine).filter(|&cosine| cosine > 1e-9).collect();
            best.sort_by(|a, b| b.total_cmp(a));
            best.truncate(10);
            let (found, cosines) = links.of(item as u32 + 1);
            assert_eq!(found.len(), best.len(), "of {item}");
            for ((&other, &found), exact) in found.iter().zip(cosines).zip(best) {
                let found = f64::from(found);
                assert!(
                    (found - exact).abs() < 1e-5
                        && (cosine(other as usize - 1) - exact).abs() < 1e-5
                );
            }
        }
    }
    let start = HistoryItems::last(3).unwrap();
    let config = by_text().with_start(start).with_neighbors(10);
    let mut source = ChannelSource::new(&data);
    source.index.exact_up_to = 10;
    let of_graph = config.build(&mut source).unwrap();
    let exact = config.build(&mut ChannelSource::new(&data)).unwrap();
    let mut shared = 0;
    for item in (1..=ITEMS as u32).map(ItemIndex::new) {
        let history = [item];
        let user = [(&history[..]).into()];
        let exact = exact.recall(&user, 10, None).unwrap();
        let found = of_graph.recall(&user, 10, None).unwrap();
        let same = |item: &&ItemIndex| exact.items(0).contains(item);
        shared += found.items(0).iter().filter(same).count();
    }
    assert!(shared > ITEMS * 10 * 9 / 10, "{shared}");
}

fn channel(config: &dyn ChannelConfig, data: &TrainingData) -> Arc<dyn RecallChannel> {
    config.build(&mut ChannelSource::new(data)).unwrap()
}

#[test]
fn what_nobody_has_taken_is_recalled_with_what_it_is_like() {
    let data = with_labels();
    let by_labels = channel(&ContentNeighborsConfig::new(), &data);
    let [heat, collateral] = [1, 4].map(ItemIndex::new);
    let found = by_labels.recall(&[(&[heat][..]).into()], 9, None).unwrap();
    let best = found.of(0).next().unwrap();
    assert_eq!(best.item, collateral);
    assert!(matches!(best.reason, Reason::Alike { item, .. } if item == heat));
    assert_eq!(best.reason.name(), Some("labels"));
    // Nothing for who has taken nothing, or what is like nothing.
    let blank = [ItemIndex::new(6)];
    let none = by_labels.recall(&[(&[][..]).into(), (&blank[..]).into()], 9, None);
    let none = none.unwrap();
    assert!(none.items(0).is_empty() && none.items(1).is_empty());

    let retriever = Retriever::new(by_labels, data.catalog().clone()).unwrap();
    let plain = retriever.recall([1], 1).unwrap();
    let because = |recalled: &Recalled| recalled.items[0].found[0].because.clone();
    assert_eq!(because(&plain).to_string(), "like 1, by its labels");
    let titled = retriever.items(items()).unwrap();
    let titled = titled.recall([1], 1).unwrap();
    let expected = Because::Alike {
        id: 1.into(),
        title: Some("Heat".to_owned()),
        by: "labels",
    };
    assert_eq!(because(&titled), expected);
    assert_eq!(expected.to_string(), "like Heat [1], by its labels");
    let json = serde_json::to_value(&titled).unwrap();
    let written = &json["items"][0]["found"][0]["because"];
    assert_eq!(
        *written,
        serde_json::json!({"alike": {"item": 1, "by": "labels"}})
    );

    let data = with_vectors();
    let by_text = channel(&by_text(), &data);
    let retriever = Retriever::new(by_text, data.catalog().clone()).unwrap();
    let recalled = retriever.recall([1], 1).unwrap();
    assert_eq!(because(&recalled).to_string(), "like 1, by its text");
}

#[test]
fn what_is_lacking_is_named() {
    let told = |config: ContentNeighborsConfig, data: &TrainingData| -> Error {
        config.fit(data).unwrap_err()
    };
    let none = told(ContentNeighborsConfig::new(), &dataset().training_data());
    assert!(matches!(none.kind(), ErrorKind::NothingLeft { .. }));
    assert!(
        none.to_string().contains("`Dataset::with_item_features`"),
        "{none}"
    );
    let none = told(ContentNeighborsConfig::new(), &with_vectors());
    assert!(none.to_string().contains("no labels"), "{none}");
    let none = told(by_text(), &with_labels());
    assert!(
        none.to_string().contains("`ItemFeatures::with_vectors`"),
        "{none}"
    );
    let other = Content::Vectors("image".to_owned());
    let other = told(
        ContentNeighborsConfig::new().with_by(other),
        &with_vectors(),
    );
    assert!(matches!(other.kind(), ErrorKind::InvalidValue { .. }));
    assert!(
        other.to_string().contains(r#"have vectors of ["text"]"#),
        "{other}"
    );
    let zero = told(
        ContentNeighborsConfig::new().with_neighbors(0),
        &with_labels(),
    );
    assert!(matches!(zero.kind(), ErrorKind::InvalidValue { .. }));
    // Settings as a plan has them.
    let json = r#"{"kind":"content_neighbors","by":{"vectors":"text"},"neighbors":5,"centered":true,
        "start":{"last":20,"decay":0.8,"half_life":null}}"#;
    let config: Arc<dyn ChannelConfig> = serde_json::from_str(json).unwrap();
    assert!(
        config
            .build(&mut ChannelSource::new(&with_vectors()))
            .is_ok()
    );
}
