//! What events mean to channels: their weights, dislikes, and which items are seen.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::{Array2, array};
use seqrec::channels::{
    AlsConfig, BprConfig, Content, ContentNeighborsConfig, ItemNeighborsConfig, MarkovChainConfig,
    MatrixFactorization, NearestItemsConfig, NearestUsersConfig, Popularity, PopularityConfig,
    PreferredTagsConfig, SessionKnnConfig, SimilarUsersConfig, baselines,
};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Behaviors, Features, Interaction, Items, Role, TrainingData, User};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::prelude::*;
use seqrec::recall::{
    Candidates, ChannelConfig, ChannelSource, ChannelWeight, Fusion, HistoryItems, Path, Reason,
    RecallChannel, RecallStage, UserEncoder, Users,
};
use seqrec::store::ServedStage;

use crate::told::Told;

const RULES: &str = "buy=target*2, view*0.5, dislike=negative";

/// Users with what they did, in this order; items are numbered as they turn up.
type Rows<'a> = &'a [(&'a str, &'a [(i64, &'a str)])];

/// Anna bought 2 and viewed 1 and 4, bo bought 1 and 2 and viewed 1 again, cy bought 3 and 4, dan
/// 5.
const SHOP: Rows<'static> = &[
    (
        "anna",
        &[(1, "view"), (2, "buy"), (3, "dislike"), (4, "view")],
    ),
    ("bo", &[(1, "buy"), (2, "buy"), (1, "view")]),
    ("cy", &[(2, "dislike"), (3, "buy"), (4, "buy")]),
    // Who returns what they bought.
    ("dan", &[(1, "buy"), (1, "dislike"), (5, "buy")]),
];

fn log(rows: Rows<'_>) -> Interactions {
    (rows
        .iter()
        .flat_map(|(user, did)| did.iter().map(move |did| (user, did))))
    .enumerate()
    .map(|(time, (user, &(item, what)))| {
        Interaction::new(*user, item, time as f64).with_event(what)
    })
    .collect()
}

fn dataset(rows: Rows<'_>, rules: &str) -> Dataset {
    let log = log(rows).with_behaviors(&rules.parse().unwrap()).unwrap();
    Dataset::new(log, Filters::default()).unwrap()
}

fn shop() -> TrainingData {
    dataset(SHOP, RULES).training_data()
}

/// Scores of one user's candidates, by item.
fn scores(candidates: &Candidates) -> Vec<(u32, f32)> {
    let mut scores: Vec<_> = candidates
        .of(0)
        .map(|candidate| (candidate.item.get(), candidate.score))
        .collect();
    scores.sort_by_key(|&(item, _)| item);
    scores
}

#[track_caller]
fn assert_scores(found: &[(u32, f32)], expected: &[(u32, f32)]) {
    let near = |((a, found), (b, expected)): (&(u32, f32), &(u32, f32))| {
        a == b && (found - expected).abs() < 1e-5 * expected.abs().max(1.0)
    };
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(near),
        "{found:?} {expected:?}"
    );
}

fn linked<T: Copy>((nodes, weights): (&[T], &[f32])) -> Vec<(T, f32)> {
    nodes.iter().copied().zip(weights.iter().copied()).collect()
}

#[test]
fn a_disliked_item_is_no_beginning_and_may_lower_what_is_near_it() {
    let data = shop();
    let anna = data.sequences().history(0);
    let start = HistoryItems::last(9)
        .and_then(|start| start.with_decay(0.5))
        .unwrap();
    let walked = |start: HistoryItems| -> Vec<(u32, f32)> {
        let walked = start.walk(&[anna]).unwrap().remove(0);
        walked
            .iter()
            .map(|reached| (reached.node, reached.weight))
            .collect()
    };
    assert_scores(&walked(start), &[(1, 0.5 * 0.25), (2, 2.0 * 0.5), (4, 0.5)]);
    let lowering = start.with_dislikes(0.25).unwrap();
    assert_scores(
        &walked(lowering),
        &[(1, 0.125), (2, 1.0), (3, -0.25 * 0.5), (4, 0.5)],
    );
    assert!(start.with_dislikes(-0.5).is_err());
    // The last two that are liked, whatever comes between.
    assert_scores(
        &walked(HistoryItems::last(2).unwrap()),
        &[(2, 2.0), (4, 0.5)],
    );
    // Only what is above 0 is recalled.
    let bought_again = lowering.into_channel();
    assert_scores(
        &scores(&bought_again.recall(&[anna], 9, None).unwrap()),
        &[(1, 0.125), (2, 1.0), (4, 0.5)],
    );
    let dan = data.sequences().history(3);
    assert_eq!(
        start.walk(&[dan]).unwrap()[0].len(),
        1,
        "what was returned is not liked"
    );

    let json = serde_json::to_string(&start).unwrap();
    assert!(!json.contains("dislikes"), "{json}");
    for start in [start, lowering] {
        let json = serde_json::to_string(&start).unwrap();
        assert_eq!(serde_json::from_str::<HistoryItems>(&json).unwrap(), start);
    }
}

#[test]
fn transitions_count_what_they_end_with_and_skip_dislikes() {
    let followers = MarkovChainConfig::new().followers(&shop());
    assert_eq!(linked(followers.of(1)), [(2, 1.0)]);
    assert_eq!(linked(followers.of(2)), [(1, 0.5), (4, 0.5)]);
    assert_eq!(linked(followers.of(3)), [(4, 1.0)]);
    assert!(followers.of(5).0.is_empty() && followers.of(4).0.is_empty());
}

#[test]
fn neighbors_are_cosines_of_weights() {
    let cosines = ItemNeighborsConfig::new()
        .with_inverse_user_frequency(false)
        .with_position_decay(1.0)
        .with_backward(1.0)
        .with_shrinkage(0.0);
    let links = cosines.fit(&shop()).unwrap();
    // Squares: 1 has ½² + 2², 2 has 2² + 2², 3 and 5 have 2², 4 has ½² + 2².
    let (of_1, of_2) = (4.25f32.sqrt(), 8f32.sqrt());
    let sorted = |item| {
        let mut links = linked(links.of(item));
        links.sort_by_key(|&(item, _)| item);
        links
    };
    assert_scores(&sorted(1), &[(2, 5.0 / (of_1 * of_2)), (4, 0.25 / 4.25)]);
    assert_scores(&sorted(3), &[(4, 4.0 / (2.0 * of_1))]);
    assert!(links.of(5).0.is_empty());
    // Bo's 1 comes after 2, by its last event, with the weight of the purchase.
    let before = cosines
        .with_backward(0.25)
        .with_position_decay(0.5)
        .fit(&shop())
        .unwrap();
    let mut of_bo = linked(before.of(2));
    of_bo.sort_by_key(|&(item, _)| item);
    assert_scores(
        &of_bo,
        &[(1, (0.25 + 4.0) / (of_1 * of_2)), (4, 1.0 / (of_1 * of_2))],
    );
}

#[test]
fn similar_users_and_sessions_weigh_what_both_did() {
    let data = shop();
    let anna = data.sequences().history(0);
    let (common, rare) = (2f32.ln(), 4f32.ln());
    let config = SimilarUsersConfig::new().with_start(HistoryItems::last(9).unwrap());
    let (similar, items) = config.fit(&data).unwrap();
    let mut walked: Vec<(u32, f32)> = (similar.walk(&[anna]).unwrap()[0].iter())
        .map(|reached| (reached.node, reached.weight))
        .collect();
    walked.sort_by_key(|&(user, _)| user);
    let of_cy = common / (2.0 * 5f32.sqrt());
    let expected = [
        (0, 4.5f32.sqrt() * common),
        (1, 5.0 * common / 8f32.sqrt()),
        (2, of_cy),
    ];
    assert_scores(&walked, &expected);
    assert_scores(&linked(items.of(2)), &[(3, 2.0 * rare), (4, 2.0 * common)]);
    assert_scores(&linked(items.of(3)), &[(5, 2.0 * rare)]);

    let knn = SessionKnnConfig::new().fit(&data).unwrap();
    let found = knn.recall(&[anna], 9, None).unwrap();
    // Anna's own session 3 · 0.9 with 4 shared last, bo's 3 · 0.8 with 2, cy's 1 · 0.9 with 4.
    let expected = [
        (1, (2.4 * 2.0 + 2.7 * 0.5) * common),
        (2, (2.4 * 2.0 + 2.7 * 2.0) * common),
        (3, 0.9 * 2.0 * rare),
        (4, (0.9 * 2.0 + 2.7 * 0.5) * common),
    ];
    assert_scores(&scores(&found), &expected);
}

#[cfg(feature = "ease")]
#[test]
fn ease_is_its_closed_form_over_weights() {
    let data = shop();
    let ease = seqrec::channels::EaseConfig::new()
        .with_regularization(0.5)
        .fit(&data)
        .unwrap();
    let taken = array![
        [0.5, 2.0, 0.0, 0.5, 0.0],
        [2.0, 2.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 2.0, 2.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 2.0]
    ];
    let inverse = crate::channels::inverse(taken.t().dot(&taken) + 0.5 * Array2::<f64>::eye(5));
    let found = ease
        .recall(&[data.sequences().history(0)], 9, None)
        .unwrap();
    let of_item = |to: usize| {
        let part = |from: usize| match from == to {
            true => 0.0,
            false => -taken[[0, from]] * inverse[[from, to]] / inverse[[to, to]],
        };
        (to as u32 + 1, (0..5).map(part).sum::<f64>() as f32)
    };
    let expected: Vec<_> = (0..5)
        .map(of_item)
        .filter(|(_, score)| *score > 1e-9)
        .collect();
    assert!(expected.len() > 1);
    assert_scores(&scores(&found), &expected);
}

/// Scores of all items for a user's vector.
fn products(model: &MatrixFactorization, user: usize) -> Vec<(u32, f32)> {
    let products = model.item_vectors().dot(&model.user_vectors().row(user));
    (0..).zip(products).skip(1).collect()
}

#[test]
fn least_squares_take_an_event_of_weight_two_for_two() {
    let rows: Rows<'_> = &[
        ("anna", &[(1, "view"), (2, "buy"), (3, "dislike")]),
        ("bo", &[(1, "buy"), (4, "view"), (3, "buy")]),
        ("cy", &[(4, "buy"), (2, "view")]),
    ];
    let twice: Rows<'_> = &[
        ("anna", &[(1, "view"), (2, "buy"), (2, "buy")]),
        (
            "bo",
            &[(1, "buy"), (1, "buy"), (4, "view"), (3, "buy"), (3, "buy")],
        ),
        ("cy", &[(4, "buy"), (4, "buy"), (2, "view")]),
    ];
    let weighed = dataset(rows, "buy=target*2, view, dislike=negative");
    let counted = dataset(twice, "*=target");
    let number = |data: &Dataset, item: u32| {
        data.catalog()
            .index_of(&i64::from(item).into())
            .unwrap()
            .to_usize()
    };
    let config = AlsConfig::new().with_dim(2).with_iterations(60);
    let models = [&weighed, &counted].map(|data| config.fit(&data.training_data()).unwrap());
    for user in 0..3 {
        for item in 1..=4 {
            let [a, b] = [(&weighed, &models[0]), (&counted, &models[1])]
                .map(|(data, model)| products(model, user)[number(data, item) - 1].1);
            assert!((a - b).abs() < 2e-3, "user {user}, item {item}: {a} {b}");
        }
    }
    // So are users who are folded in, and one who likes nothing gets nothing.
    let data = weighed.training_data();
    let users: Vec<User<'_>> = (0..3).map(|user| data.sequences().history(user)).collect();
    let folded = models[0].encode(&users).unwrap();
    let apart = &folded - &models[0].user_vectors();
    assert!(apart.iter().all(|apart| apart.abs() < 1e-2), "{apart}");
    let only = dataset(&[("eve", &[(1, "dislike"), (2, "dislike")])], RULES);
    let only = only.training_data();
    let nothing = models[0]
        .recall(&[only.sequences().history(0)], 2, None)
        .unwrap();
    assert!(nothing.items(0).is_empty());
}

/// Users of two tastes, who dislike some items of their own.
fn tastes() -> Dataset {
    let rows = (0..60i64).flat_map(|user| {
        (0..10).map(move |place| {
            let item = 2 * ((user * 7 + place * 3) % 15) + user % 2;
            let what = if place % 5 == 3 { "dislike" } else { "buy" };
            Interaction::new(user, item, place as f64).with_event(what)
        })
    });
    let log: Interactions = rows.collect();
    let log = log
        .with_behaviors(&"buy=target, dislike=negative".parse().unwrap())
        .unwrap();
    Dataset::new(log, Filters::default()).unwrap()
}

#[test]
fn pairwise_ranking_moves_disliked_items_away() {
    let data = tastes().training_data();
    let config = BprConfig::new().with_dim(8).with_epochs(40);
    let mean_dislike = |dislikes: f64| {
        let model = config.clone().with_dislikes(dislikes).fit(&data).unwrap();
        let mut all = Vec::new();
        for user in 0..data.sequences().len() {
            let history = data.sequences().history(user);
            let products = products(&model, user);
            let disliked = (0..history.items().len())
                .filter(|&place| history.role(place) == Role::Negative)
                .map(|place| products[history.items()[place].to_usize() - 1].1);
            all.extend(disliked);
        }
        all.iter().sum::<f32>() / all.len() as f32
    };
    let (without, with) = (mean_dislike(0.0), mean_dislike(0.5));
    assert!(with < without - 0.5, "{without} {with}");
    assert!(config.clone().with_dislikes(1.0).fit(&data).is_err());
    let json = serde_json::to_value(&config).unwrap();
    let mut older = json.as_object().unwrap().clone();
    older.remove("dislikes");
    assert_eq!(
        serde_json::from_value::<BprConfig>(older.into()).unwrap(),
        config
    );
}

#[test]
fn popularity_counts_weights_of_sequences_and_of_logs() {
    let nobody = [User::default()];
    let shares = |popular: &Popularity, total: f32| -> Vec<(u32, f32)> {
        let found = scores(&popular.recall(&nobody, 9, None).unwrap());
        found
            .iter()
            .map(|&(item, share)| (item, share * total))
            .collect()
    };
    let data = shop();
    let sums = [(1, 5.0), (2, 4.0), (3, 2.0), (4, 2.5), (5, 2.0)];
    let config = PopularityConfig::new();
    assert_scores(&shares(&config.fit(&data).unwrap(), 15.5), &sums);
    let logged = data.clone().with_log(log(SHOP)).unwrap();
    let by_log = config.fit(&logged).unwrap();
    assert_scores(&shares(&by_log, 15.5), &sums);
    let (name, baseline) = baselines(&data).unwrap().remove(0);
    assert_eq!(name, "popularity");
    let found = scores(&baseline.recall(&nobody, 1, None).unwrap());
    assert_scores(&found, &[(1, 5.0 / 15.5)]);
    let viewed = config
        .with_events(vec!["view".into(), "dislike".into()])
        .fit(&logged)
        .unwrap();
    assert_scores(&shares(&viewed, 1.5), &[(1, 1.0), (4, 0.5)]);
    // What is observed counts by the same rules.
    let item = ItemIndex::new(5);
    for what in ["dislike", "of no rule", "buy"] {
        let more = Interaction::new("eve", 5, 99.0).with_event(what);
        by_log.observe(item, &more, &[]);
    }
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    by_log.observe(
        item,
        &Interaction::new("eve", 5, 99.0).with_event("view"),
        &[],
    );
    let sums = [(1, 5.0), (2, 4.0), (3, 2.0), (4, 2.5), (5, 4.5)];
    assert_scores(&shares(&by_log, 18.0), &sums);
}

/// An encoder that gives a history the sum of its items' vectors.
struct Sum;

const PLANE: [[f32; 2]; 6] = [
    [0.0, 0.0],
    [1.0, 0.0],
    [0.9, 0.1],
    [0.0, 1.0],
    [0.1, 0.9],
    [0.5, 0.5],
];

impl UserEncoder for Sum {
    fn dim(&self) -> usize {
        2
    }

    fn encode(&self, users: &[User<'_>]) -> seqrec::Result<Array2<f32>> {
        let part = |user: &User<'_>, column: usize| -> f32 {
            user.items()
                .iter()
                .map(|item| PLANE[item.to_usize()][column])
                .sum()
        };
        Ok(Array2::from_shape_fn((users.len(), 2), |(row, column)| {
            part(&users[row], column)
        }))
    }
}

#[test]
fn users_near_as_vectors_lead_to_what_they_liked_next() {
    let data = shop();
    let config = NearestUsersConfig::new()
        .with_held_back(2)
        .with_neighbors(4);
    let mut source = ChannelSource::new(&data).with_encoder(Arc::new(Sum));
    let channel = config.build(&mut source).unwrap();
    let asks = [ItemIndex::new(1)];
    let found = channel.recall(&[User::from(&asks[..])], 9, None).unwrap();
    // Anna is near by 1 and 2, bo and dan by 1 alone, cy by 2.
    let near = |x: f32, y: f32| x / (x * x + y * y).sqrt();
    let (anna, cy) = (near(1.9, 0.1), near(0.9, 0.1));
    let expected = [
        (1, 0.5),
        (2, 2.0),
        (3, 2.0 * cy),
        (4, 0.5 * anna + 2.0 * cy),
        (5, 2.0),
    ];
    assert_scores(&scores(&found), &expected);
}

#[test]
fn tags_are_preferred_by_the_weights_of_what_has_them() {
    let values = array![
        [0.0, 0.0],
        [1.0, 0.0],
        [0.0, 1.0],
        [1.0, 0.0],
        [0.0, 1.0],
        [1.0, 0.0]
    ];
    let tags = Features::new(["x", "y"].map(str::to_owned).to_vec(), values).unwrap();
    let data = shop().with_tags(tags).unwrap();
    let start = HistoryItems::last(9).unwrap();
    let config = PreferredTagsConfig::new().with_start(start);
    let walked = config
        .fit(&data)
        .unwrap()
        .walk(&[data.sequences().history(0)])
        .unwrap();
    // Liked in all: 1 weighs 2.5 (a view and bo's purchase and view, 3), 2 4, 3 2, 4 2.5 and 5 2.
    let usual = 6.5f32 / 13.5;
    let share = 2.5f32 / 3.0;
    let weight = share * (share / usual).ln();
    let found: Vec<(u32, f32)> = walked[0]
        .iter()
        .map(|reached| (reached.node, reached.weight))
        .collect();
    assert_scores(&found, &[(1, weight)]);
    let channel = config.build(&mut ChannelSource::new(&data)).unwrap();
    let found = channel
        .recall(&[data.sequences().history(0)], 9, None)
        .unwrap();
    assert_scores(
        &scores(&found),
        &[(2, weight * 4.0 / 6.5), (4, weight * 2.5 / 6.5)],
    );
}

/// Every channel that is fitted on data alone, and those of given vectors and contents.
fn channels(data: &TrainingData) -> Vec<(String, Arc<dyn RecallChannel>)> {
    let vectors = Array2::from_shape_fn((data.catalog().len() + 1, 3), |(row, column)| {
        if row == 0 {
            0.0
        } else {
            ((row * 7 + column * 5) % 11) as f32 - 4.5
        }
    });
    let configs: Vec<(&str, Box<dyn ChannelConfig>)> = vec![
        ("popularity", Box::new(PopularityConfig::new())),
        ("markov", Box::new(MarkovChainConfig::new())),
        ("sessions", Box::new(SessionKnnConfig::new())),
        ("neighbors", Box::new(ItemNeighborsConfig::new())),
        (
            "timed",
            Box::new(ItemNeighborsConfig::new().with_half_life(Some(3.0))),
        ),
        ("users", Box::new(SimilarUsersConfig::new())),
        (
            "als",
            Box::new(AlsConfig::new().with_dim(4).with_iterations(3)),
        ),
        ("bpr", Box::new(BprConfig::new().with_dim(4).with_epochs(3))),
        ("nearest", Box::new(NearestItemsConfig::new())),
        ("tags", Box::new(PreferredTagsConfig::new())),
        (
            "content",
            Box::new(ContentNeighborsConfig::new().with_by(Content::Vectors("text".into()))),
        ),
        #[cfg(feature = "ease")]
        ("ease", Box::new(seqrec::channels::EaseConfig::new())),
    ];
    let build = |(name, config): (&str, Box<dyn ChannelConfig>)| {
        let mut source = ChannelSource::new(data).with_item_vectors(vectors.view());
        (name.to_owned(), config.build(&mut source).unwrap())
    };
    configs.into_iter().map(build).collect()
}

/// Data with tags and vectors of items, with what users dislike or without it.
fn synthetic(rules: Option<&str>, with_dislikes: bool) -> TrainingData {
    let log = Synthetic::new()
        .with_users(60)
        .with_items(40)
        .generate()
        .unwrap();
    let what = |row: usize| {
        if row % 7 == 2 {
            "dislike"
        } else if row.is_multiple_of(3) {
            "view"
        } else {
            "buy"
        }
    };
    let of_row = |row: usize| (log.user_numbers()[row], log.item_numbers()[row]);
    // What was said last of an item: everyone buys the first one again at the end.
    let mut by_time: Vec<usize> = (0..log.len()).collect();
    by_time.sort_by(|&a, &b| log.times()[a].total_cmp(&log.times()[b]));
    let last: HashMap<_, _> = by_time
        .into_iter()
        .map(|row| (of_row(row), what(row)))
        .collect();
    let is_liked = |row: usize| {
        what(row) != "dislike" && (of_row(row).1 == 0 || last[&of_row(row)] != "dislike")
    };
    let start = log.times().iter().copied().fold(f64::MAX, f64::min);
    let end = log.times().iter().copied().fold(f64::MIN, f64::max);
    // One who bought everything numbers the items.
    let items = log.items().iter();
    let mut rows: Vec<Interaction> = items
        .map(|item| Interaction::new("first", item.clone(), start).with_event("buy"))
        .collect();
    rows.extend(
        (0..log.len())
            .filter(|&row| with_dislikes || is_liked(row))
            .map(|row| {
                let user = log.users()[log.user_numbers()[row] as usize].clone();
                let item = log.items()[log.item_numbers()[row] as usize].clone();
                Interaction::new(user, item, log.times()[row]).with_event(what(row))
            }),
    );
    rows.extend(log.users().iter().map(|user| {
        Interaction::new(user.clone(), log.items()[0].clone(), end + 1.0).with_event("buy")
    }));
    let log: Interactions = rows.into_iter().collect();
    let log = match rules {
        Some(rules) => log.with_behaviors(&rules.parse().unwrap()).unwrap(),
        None => log,
    };
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let catalog = dataset.catalog();
    let ids: Vec<_> = catalog.ids().cloned().collect();
    let text = Array2::from_shape_fn((ids.len(), 4), |(row, column)| {
        ((row * 3 + column * 5) % 7) as f32
    });
    let features = Items::new(ids.clone())
        .and_then(|items| items.features(catalog, &[]))
        .and_then(|features| features.with_vectors("text", catalog, ids.clone(), text.view()))
        .unwrap();
    let dataset = dataset.with_item_features(features).unwrap();
    let tags = Array2::from_shape_fn((ids.len() + 1, 3), |(row, tag)| {
        f32::from(row > 0 && row % 3 == tag)
    });
    let names = ["x", "y", "z"].map(str::to_owned).to_vec();
    dataset
        .training_data()
        .with_tags(Features::new(names, tags).unwrap())
        .unwrap()
}

/// What a channel recalls of everyone, as bytes; by item where `sorted`, since ties go by counts.
fn bytes(
    channel: &dyn RecallChannel,
    data: &TrainingData,
    sorted: bool,
) -> Vec<(u32, u32, Reason)> {
    let users: Vec<User<'_>> = (0..data.sequences().len())
        .map(|user| data.sequences().history(user))
        .collect();
    let found = channel.recall(&users, 100, None).unwrap();
    let mut all = Vec::new();
    for user in 0..users.len() {
        let mut of_user: Vec<_> = found
            .of(user)
            .map(|hit| (hit.item.get(), hit.score.to_bits(), hit.reason))
            .collect();
        if sorted {
            of_user.sort_by_key(|&(item, ..)| item);
        }
        all.extend(of_user);
    }
    all
}

#[test]
fn without_a_meaning_of_events_every_one_is_a_target() {
    let (plain, targets) = (synthetic(None, true), synthetic(Some("*=target"), true));
    for ((name, a), (_, b)) in channels(&plain).into_iter().zip(channels(&targets)) {
        let (a, b) = (bytes(&a, &plain, false), bytes(&b, &targets, false));
        assert!(!a.is_empty() && a == b, "{name}");
    }
}

#[test]
fn dislikes_add_nothing_to_any_channel_and_begin_nothing() {
    let rules = "dislike=negative, *=target";
    let with = synthetic(Some(rules), true);
    let without = synthetic(None, false);
    let disliked = (0..with.sequences().len()).any(|user| {
        let user = with.sequences().history(user);
        (0..user.items().len()).any(|place| user.role(place) == Role::Negative)
    });
    assert!(disliked);
    for ((name, a), (_, b)) in channels(&with).into_iter().zip(channels(&without)) {
        let (a, b) = (bytes(&a, &with, true), bytes(&b, &without, true));
        // What was returned was popular all the same: each event counts by itself there.
        assert!(!a.is_empty() && (a == b || name == "popularity"), "{name}");
    }
}

#[test]
fn seen_are_targets_and_dislikes_wherever_lists_are_made() {
    let rows: Rows<'_> = &[
        (
            "anna",
            &[
                (1, "view"),
                (2, "buy"),
                (3, "dislike"),
                (4, "view"),
                (1, "buy"),
                (5, "buy"),
            ],
        ),
        (
            "bo",
            &[(5, "buy"), (4, "view"), (2, "buy"), (5, "buy"), (1, "buy")],
        ),
    ];
    let data = dataset(rows, RULES);
    let split = Split::new(&data, Protocol::LeaveOneOut).unwrap();
    let all = Told(Arc::new(|_| {
        Ok([1, 2, 3, 4, 5].map(ItemIndex::new).to_vec())
    }));
    // Of the validation's histories anna saw 2 and 3 and gets 1, which she viewed; bo saw 5 and 2.
    let cases = &split.valid;
    assert_eq!(
        [cases.get(0).labels, cases.get(1).labels],
        [[1], [5]]
            .map(|item| item.map(ItemIndex::new))
            .each_ref()
            .map(|item| &item[..])
    );
    let lists = [vec!["1", "4", "5"], vec!["1", "3", "4"]];
    let report = Evaluation::new(&[1, 5], Seen::Exclude)
        .run(&all, cases, split.catalog())
        .unwrap();
    assert_eq!(
        (report.unreachable_labels, report.hit_rate(1)),
        (1, Some(0.5))
    );
    let keep = Evaluation::new(&[5], Seen::Keep)
        .run(&all, cases, split.catalog())
        .unwrap();
    assert_eq!((keep.unreachable_labels, keep.hit_rate(5)), (0, Some(1.0)));

    let stage = || {
        RecallStage::new(Fusion::RoundRobin, 10)
            .and_then(|stage| stage.channel("all", all.clone(), ChannelWeight::new()))
            .unwrap()
    };
    let ids = |recalled: &seqrec::recall::Recalled| -> Vec<String> {
        recalled
            .items
            .iter()
            .map(|item| item.id.to_string())
            .collect()
    };
    let retriever = Retriever::new(stage(), split.catalog().clone()).unwrap();
    let users = Users::cases(&split.train, cases).unwrap();
    let of_cases = retriever
        .recall_all(users, &RecallRequest::for_everyone(9))
        .unwrap();
    let of_cases: Vec<_> = of_cases.map(|recalled| ids(&recalled.unwrap().1)).collect();
    assert_eq!(of_cases, lists);
    let asked = RecallRequest::for_everyone(9).only([1, 2, 3, 4]);
    let passing: Vec<_> = retriever
        .recall_all(&split.train, &asked)
        .unwrap()
        .collect();
    assert_eq!(passing[0].as_ref().unwrap().1.passing, Some(2));

    // The same users by what the training data have of them, and what they do while it serves.
    let train = split.train.clone();
    let load = {
        let (train, all) = (train.clone(), all.clone());
        move || {
            let stage = RecallStage::new(Fusion::RoundRobin, 10)?.channel(
                "all",
                all.clone(),
                ChannelWeight::new(),
            )?;
            Ok(ServedStage::new(stage, train.clone()))
        }
    };
    let engine = RecallEngine::with_loader(load, EngineConfig::new()).unwrap();
    let everyone = retriever
        .recall_all(&train, &RecallRequest::for_everyone(9))
        .unwrap();
    for recalled in everyone {
        let (user, recalled) = recalled.unwrap();
        assert_eq!(
            ids(&recalled),
            ids(&engine.recall(user.clone(), 9).unwrap()),
            "{user}"
        );
    }
    // Of ids alone it isn't known what was done with them.
    assert_eq!(ids(&retriever.recall([1, 2], 9).unwrap()), ["3", "4", "5"]);
}

/// An engine gives channels the meaning of events, as an evaluation does.
#[test]
fn an_engine_and_a_retriever_recall_as_an_evaluation_does() {
    let data = shop();
    let channel = |data: &TrainingData| {
        let links = ItemNeighborsConfig::new().fit(data).unwrap();
        HistoryItems::default().then(links).into_channel()
    };
    let anna = data.sequences().history(0);
    let kept = channel(&data).recall(&[anna], 9, None).unwrap();
    let direct: Vec<(String, f32)> = (kept.of(0))
        .filter(|hit| !anna.seen_items().any(|seen| seen == hit.item))
        .map(|hit| {
            (
                data.catalog().id_of(hit.item).unwrap().to_string(),
                hit.score,
            )
        })
        .collect();
    assert!(!direct.is_empty());
    let list = |recalled: seqrec::recall::Recalled| -> Vec<(String, f32)> {
        let items = recalled.items.iter();
        items
            .map(|item| (item.id.to_string(), item.found[0].score))
            .collect()
    };
    let stage = move |data: &TrainingData| {
        RecallStage::new(Fusion::RECIPROCAL_RANK, 9)
            .and_then(|stage| stage.channel("neighbors", channel(data), ChannelWeight::new()))
    };
    let retriever = Retriever::new(stage(&data).unwrap(), data.catalog().clone()).unwrap();
    let mut all = retriever
        .recall_all(&data, &RecallRequest::for_everyone(9))
        .unwrap();
    assert_eq!(list(all.next().unwrap().unwrap().1), direct);
    let served = data.clone();
    let load = move || Ok(ServedStage::new(stage(&served)?, served.clone()));
    let engine = RecallEngine::with_loader(load, EngineConfig::new()).unwrap();
    assert_eq!(list(engine.recall("anna", 9).unwrap()), direct);
    let rules: Behaviors = RULES.parse().unwrap();
    assert_eq!(data.catalog().behaviors(), Some(&rules));
}
