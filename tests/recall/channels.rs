//! Channels without a neural model, on data small enough to be followed by hand.

use crate::told;

use std::sync::Arc;

use ndarray::{Array2, array};
use seqrec::channels::{
    AlsConfig, BprConfig, Content, ContentNeighborsConfig, ItemNeighborsConfig, MarkovChainConfig,
    NearestItemsConfig, NearestUsersConfig, Popularity, PopularityConfig, PreferredTagsConfig,
    SessionKnnConfig, SimilarUsersConfig,
};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    Catalog, Dataset, ExternalId, Features, Filters, Interaction, Interactions, ItemIndex,
    Protocol, Seen, Split, TrainingData, User,
};
use seqrec::eval::Metric;
use seqrec::index::Filter;
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::prelude::Flex;
use seqrec::recall::{
    Candidate, Candidates, CategoryBonus, ChannelConfig, ChannelSource, ChannelWeight, Evaluation,
    Fusion, HistoryItems, Links, MaximalMarginalRelevance, Path, Reason, RecallChannel,
    RecallStage, Selection, UserEncoder, VectorChannelConfig, WeightLearningConfig,
};
use seqrec::retrieve::{ModelEncoder, item_vectors};
use seqrec::{Error, ErrorKind};

use told::Told;

/// Items are numbered by first appearance, so that `rows` that count up keep their numbers.
fn dataset(rows: &[impl AsRef<[i64]>]) -> Dataset {
    let log: Interactions = (rows.iter().enumerate())
        .flat_map(|(user, items)| {
            items
                .as_ref()
                .iter()
                .enumerate()
                .map(move |(place, &item)| {
                    Interaction::new(user as i64, item, (100 * user + place) as f64)
                })
        })
        .collect();
    Dataset::new(log, Filters::default()).unwrap()
}

fn training(rows: &[&[i64]]) -> (TrainingData, Catalog) {
    let dataset = dataset(rows);
    (dataset.training_data(), dataset.catalog().clone())
}

fn recall(channel: &dyn RecallChannel, history: &[u32], k: usize) -> Candidates {
    channel.recall(&[user(history)], k, None).unwrap()
}

fn user(history: &[u32]) -> User<'_> {
    ItemIndex::from_slice(history).into()
}

/// The items of one user's candidates, as numbers.
fn numbers(candidates: &Candidates, user: usize) -> &[u32] {
    ItemIndex::as_numbers(candidates.items(user))
}

fn odd(_: usize, item: ItemIndex) -> bool {
    item.get() % 2 == 1
}

#[test]
fn popularity_counts_all_and_recent() {
    let (data, catalog) = training(&[&[1, 2, 2, 2], &[1, 3], &[3, 3]]);
    let all = Popularity::new(&catalog);
    assert_eq!(numbers(&recall(&all, &[], 9), 0), [2, 3, 1]);
    assert_eq!(
        recall(&all, &[], 9).scores(0),
        [3.0 / 8.0, 3.0 / 8.0, 2.0 / 8.0]
    );
    let of_late = |half_life| {
        let config = PopularityConfig::new().with_half_life(Some(half_life));
        config.fit(&data)
    };
    let recent = of_late(10.0).unwrap();
    assert!(of_late(0.0).is_err());
    assert_eq!(numbers(&recall(&recent, &[], 2), 0), [3, 1]);
    let users = [user(&[]), user(&[2])];
    let hits = all
        .recall(&users, 1, Some(Filter::Predicate(&odd)))
        .unwrap();
    assert_eq!([numbers(&hits, 0), numbers(&hits, 1)], [[3], [3]]);
}

#[test]
fn a_markov_chain_gives_shares_of_transitions() {
    let (data, _) = training(&[&[1, 2, 3], &[1, 2], &[1, 3, 1, 4]]);
    let chain = MarkovChainConfig::new().fit(&data).unwrap();
    let followers = MarkovChainConfig::new().followers(&data);
    assert_eq!(followers.of(1), (&[2, 3, 4][..], &[0.5, 0.25, 0.25][..]));
    assert!(followers.of(4).0.is_empty());
    let hits = recall(&chain, &[3, 1], 2);
    assert_eq!(
        (numbers(&hits, 0), hits.scores(0)),
        (&[2, 3][..], &[0.5, 0.25][..])
    );
    assert!(recall(&chain, &[4], 2).items(0).is_empty());
    assert!(recall(&chain, &[], 2).items(0).is_empty());
}

#[test]
fn nearest_sessions_vote_by_late_items_and_rarity() {
    let rows: [&[i64]; 4] = [&[1, 2, 3], &[2, 4], &[5, 6], &[1, 7]];
    let (data, _) = training(&rows);
    let knn = SessionKnnConfig::new().fit(&data).unwrap();
    // The history 1, 2: session 0 shares both (1/2 + 1, the last at place 1), session 1 the 2
    // (1, place 1), session 3 the 1 (1/2, place 2).
    let rare = 4f32.ln();
    let common = 2f32.ln();
    let expected = [
        (3, 1.5 * 0.9 * rare),
        (4, 1.0 * 0.9 * rare),
        (7, 0.5 * 0.8 * rare),
        (2, (1.5 + 1.0) * 0.9 * common),
        (1, (1.5 * 0.9 + 0.5 * 0.8) * common),
    ];
    let hits = recall(&knn, &[1, 2], 10);
    assert_eq!(hits.items(0).len(), expected.len());
    for hit in hits.of(0) {
        let (_, score) = expected
            .iter()
            .find(|(item, _)| *item == hit.item.get())
            .unwrap();
        assert!((hit.score - score).abs() < 1e-5, "{hit:?} is not {score}");
    }
    let nearest = SessionKnnConfig::new().with_neighbors(1);
    let knn = nearest.fit(&data).unwrap();
    let mut items = numbers(&recall(&knn, &[1, 2], 10), 0).to_vec();
    items.sort_unstable();
    assert_eq!(items, [1, 2, 3]);
}

/// The closed form of the paper, with an inverse worked out by elimination.
#[cfg(feature = "ease")]
#[test]
fn ease_is_its_closed_form() {
    let rows: [&[i64]; 4] = [&[1, 2, 3], &[1, 2], &[3, 4], &[4, 2]];
    let (data, _) = training(&rows);
    let ease = seqrec::channels::EaseConfig::new()
        .with_regularization(0.5)
        .fit(&data)
        .unwrap();
    let taken = array![
        [1.0, 1.0, 1.0, 0.0],
        [1.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 1.0],
        [0.0, 1.0, 0.0, 1.0]
    ];
    let inverse = inverse(taken.t().dot(&taken) + 0.5 * Array2::<f64>::eye(4));
    let history = [1u32, 4];
    let hits = recall(&ease, &history, 4);
    for to in 1..=4usize {
        let weight = |from: u32| {
            let from = from as usize - 1;
            if from == to - 1 {
                0.0
            } else {
                -inverse[[from, to - 1]] / inverse[[to - 1, to - 1]]
            }
        };
        let expected: f64 = history.iter().map(|&from| weight(from)).sum();
        match hits.of(0).find(|hit| hit.item.to_usize() == to) {
            Some(hit) => assert!((f64::from(hit.score) - expected).abs() < 1e-5, "{hit:?}"),
            None => assert!(expected <= 1e-6, "{to} should score {expected}"),
        }
    }
    assert!(
        seqrec::channels::EaseConfig::new()
            .with_regularization(0.0)
            .fit(&data)
            .is_err()
    );
}

#[cfg(feature = "ease")]
pub fn inverse(mut matrix: Array2<f64>) -> Array2<f64> {
    let size = matrix.nrows();
    let mut inverse = Array2::eye(size);
    for pivot in 0..size {
        let by = matrix[[pivot, pivot]];
        for column in 0..size {
            matrix[[pivot, column]] /= by;
            inverse[[pivot, column]] /= by;
        }
        for row in (0..size).filter(|&row| row != pivot) {
            let by = matrix[[row, pivot]];
            for column in 0..size {
                matrix[[row, column]] -= by * matrix[[pivot, column]];
                inverse[[row, column]] -= by * inverse[[pivot, column]];
            }
        }
    }
    inverse
}

/// A folded-in user solves his system of equations: its gradient is 0.
#[test]
fn a_folded_in_user_is_the_least_squares_solution() {
    let rows: [&[i64]; 5] = [&[1, 2, 3], &[1, 2], &[3, 4], &[4, 5, 1], &[5, 2]];
    let (data, catalog) = training(&rows);
    let config = AlsConfig::new()
        .with_dim(3)
        .with_confidence(4.0)
        .with_regularization(0.3);
    let model = config.fit(&data).unwrap();
    let items = model.item_vectors();
    let history = [2u32, 5];
    let user = model.fold_in(ItemIndex::from_slice(&history));
    let mut gradient = user.mapv(|value| 0.3 * value);
    for item in 1..=catalog.len() {
        let vector = items.row(item);
        let (wanted, weight) = if history.contains(&(item as u32)) {
            (1.0, 5.0)
        } else {
            (0.0, 1.0)
        };
        gradient.scaled_add(weight * (user.dot(&vector) - wanted), &vector);
    }
    assert!(
        gradient.iter().all(|value| value.abs() < 1e-4),
        "{gradient}"
    );
    // A user of training is solved for by the same system.
    let same = model.fold_in(&[1, 2, 3].map(ItemIndex::new));
    let (of_training, of_history) = (model.user_vectors(), same.view());
    let apart = (&of_training.row(0) - &of_history).mapv(f32::abs);
    assert!(apart.iter().all(|&value| value < 0.05), "{apart}");
}

/// A stage gives the vectors of its factorizations, and of no other channels.
#[test]
fn a_stage_gives_the_vectors_that_its_channels_compare() {
    let rows: [&[i64]; 4] = [&[1, 2, 3], &[1, 2], &[3, 4], &[4, 5, 1]];
    let (data, _) = training(&rows);
    let als = AlsConfig::new().with_dim(3).fit(&data).unwrap();
    let (items, users) = (
        als.item_vectors().to_owned(),
        als.fold_in(&[ItemIndex::new(2)]),
    );
    let stage = RecallStage::new(Fusion::RoundRobin, 10)
        .and_then(|stage| stage.channel("als", Arc::new(als), ChannelWeight::new()))
        .and_then(|stage| {
            let markov = MarkovChainConfig::new().fit(&data)?;
            stage.channel("markov", markov, ChannelWeight::new())
        })
        .unwrap();
    let (encoder, vectors) = stage.get("als").unwrap().vectors().unwrap();
    assert_eq!(vectors, items);
    let history = [ItemIndex::new(2)];
    let encoded = encoder.encode(&[User::from(&history[..])]).unwrap();
    assert_eq!(encoded.row(0), users);
    assert!(stage.get("markov").unwrap().vectors().is_none());
    assert!(stage.get("bpr").is_none());
}

/// On sequences with two tastes, each factorization recalls the history's own.
#[test]
fn factorizations_tell_tastes_apart() {
    let rows: Vec<Vec<i64>> = (0..40)
        .map(|user| {
            (0..6)
                .map(|place| 2 * ((user * 7 + place * 3) % 10) + user % 2)
                .collect()
        })
        .collect();
    let rows: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
    let (data, catalog) = training(&rows);
    let als = AlsConfig::new().with_dim(2);
    let bpr = BprConfig::new().with_dim(2).with_epochs(100);
    for model in [als.fit(&data).unwrap(), bpr.fit(&data).unwrap()] {
        let history = ItemIndex::as_numbers(&data.sequences().items(0)[..3]);
        let hits = recall(&model, history, 8);
        let parity = |item: ItemIndex| {
            catalog
                .id_of(item)
                .unwrap()
                .to_string()
                .parse::<i64>()
                .unwrap()
                % 2
        };
        let same = hits
            .items(0)
            .iter()
            .filter(|&&item| parity(item) == 0)
            .count();
        assert!(same >= 7, "{same} of 8 are of the user's taste");
    }
}

/// Channels are judged like models: a chain that knows what comes next hits every time.
#[test]
fn channels_are_judged_by_the_same_protocol() {
    let rows: Vec<Vec<i64>> = (0..30)
        .map(|user| (0..8).map(|place| (user + place) % 12).collect())
        .collect();
    let dataset = dataset(&rows);
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let chain = MarkovChainConfig::new().fit(&split.train).unwrap();
    let evaluation = Evaluation::new(&[1], Seen::Keep);
    let report = evaluation
        .run(&chain, &split.test, split.catalog())
        .unwrap();
    let hit_rate: Metric = "hit_rate@1".parse().unwrap();
    assert_eq!(report.get(hit_rate), Some(1.0));
    let popular = Popularity::new(split.catalog());
    let report = evaluation
        .run(&popular, &split.test, split.catalog())
        .unwrap();
    assert!(report.get(hit_rate).unwrap() < 0.5);
}

/// Two users whose sequences hold everything that pairs of items are weighed by.
fn pairs() -> (TrainingData, Catalog) {
    training(&[
        &[1, 2, 3, 2, 4],
        &[2, 1, 5],
        &[4, 4, 1],
        &[6],
        &[3, 5, 2, 1, 4],
    ])
}

/// Item neighbors are the weighted cosines of their definition, for any settings.
#[test]
fn item_neighbors_are_their_definition() {
    let (data, catalog) = pairs();
    let plain = ItemNeighborsConfig::new()
        .with_inverse_user_frequency(false)
        .with_position_decay(1.0)
        .with_backward(1.0)
        .with_shrinkage(0.0);
    for config in [
        plain.clone(),
        ItemNeighborsConfig::new(),
        plain.clone().with_position_decay(0.5),
        plain.clone().with_half_life(Some(1.5)).with_shrinkage(2.0),
        ItemNeighborsConfig::new()
            .with_backward(0.25)
            .with_position_decay(0.9),
        plain.clone().with_longest(3),
        plain.clone().with_neighbors(2),
    ] {
        let links = config.fit(&data).unwrap();
        // What each user counts, and his distinct items by their last places, with times.
        let users: Vec<(f64, Vec<(u32, f64)>)> = (0..data.sequences().len())
            .map(|user| {
                let history = data.sequences().history(user).last(config.longest);
                let items: Vec<_> = history.items().iter().zip(history.times()).collect();
                let last = |place: usize| {
                    !items[place + 1..]
                        .iter()
                        .any(|(item, _)| *item == items[place].0)
                };
                let kept: Vec<_> = (0..items.len())
                    .filter(|&place| last(place))
                    .map(|place| (items[place].0.get(), *items[place].1))
                    .collect();
                let weight = if config.inverse_user_frequency {
                    1.0 / (1.0 + kept.len() as f64).ln()
                } else {
                    1.0
                };
                (weight, kept)
            })
            .collect();
        let count = |item: u32| -> f64 {
            users
                .iter()
                .filter(|(_, items)| items.iter().any(|(other, _)| *other == item))
                .map(|(weight, _)| weight)
                .sum()
        };
        for item in 1..=catalog.len() as u32 {
            let mut expected: Vec<(u32, f64)> = Vec::new();
            for other in (1..=catalog.len() as u32).filter(|&other| other != item) {
                let mut sum = 0.0;
                for (weight, items) in &users {
                    let place = |wanted: u32| items.iter().position(|(item, _)| *item == wanted);
                    let (Some(a), Some(b)) = (place(item), place(other)) else {
                        continue;
                    };
                    let mut pair = weight * config.position_decay.powi(a.abs_diff(b) as i32 - 1);
                    if b < a {
                        pair *= config.backward;
                    }
                    if let Some(half_life) = config.half_life {
                        pair *= (-(items[a].1 - items[b].1).abs() / half_life).exp2();
                    }
                    sum += pair;
                }
                let believed = if config.shrinkage > 0.0 {
                    sum / (sum + config.shrinkage)
                } else {
                    1.0
                };
                if sum > 0.0 {
                    expected.push((other, sum * believed / (count(item) * count(other)).sqrt()));
                }
            }
            let (items, cosines) = links.of(item);
            assert_eq!(
                items.len(),
                expected.len().min(config.neighbors),
                "{config:?}, item {item}"
            );
            assert!(cosines.is_sorted_by(|a, b| a >= b), "{cosines:?}");
            for (other, &cosine) in items.iter().zip(cosines) {
                let (_, wanted) = expected.iter().find(|(item, _)| item == other).unwrap();
                assert!(
                    (f64::from(cosine) - wanted).abs() < 1e-6,
                    "{config:?}: {item}, {other}"
                );
            }
            // Those that are kept are the best.
            let mut best: Vec<f64> = expected.iter().map(|(_, cosine)| *cosine).collect();
            best.sort_by(|a, b| b.total_cmp(a));
            let least = cosines.last().map_or(0.0, |&cosine| f64::from(cosine));
            assert!(
                best.get(items.len())
                    .is_none_or(|&next| next <= least + 1e-6)
            );
        }
    }
    let settings = |config: ItemNeighborsConfig| config.fit(&data);
    assert!(settings(plain.clone().with_neighbors(0)).is_err());
    assert!(settings(plain.clone().with_position_decay(1.5)).is_err());
    assert!(settings(plain.clone().with_half_life(Some(0.0))).is_err());
    assert!(settings(plain.with_shrinkage(-1.0)).is_err());
}

/// Also what others' libraries compute in parallel.
#[test]
fn channels_are_the_same_on_any_number_of_threads() {
    let log = Synthetic::new()
        .with_users(300)
        .with_items(1_500)
        .with_mean_per_user(40);
    let dataset = Dataset::new(log.generate().unwrap(), Filters::default()).unwrap();
    let movies = log.movies().unwrap();
    let features = movies.features(dataset.catalog(), &["genres"]).unwrap();
    let data = (dataset.with_item_features(features).unwrap()).training_data();
    let users: Vec<User> = (0..20)
        .map(|user| data.sequences().items(user).into())
        .collect();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let als = AlsConfig::new().with_dim(8).fit(&data);
            let bpr = BprConfig::new().with_dim(8).with_epochs(2).fit(&data);
            let knn = SessionKnnConfig::new().fit(&data);
            let neighbors = ItemNeighborsConfig::new().with_neighbors(20).fit(&data);
            let item_cf = HistoryItems::last(20).unwrap().then(neighbors.unwrap());
            let content = ContentNeighborsConfig::new().fit(&data);
            let content = HistoryItems::last(20).unwrap().then(content.unwrap());
            let channels: Vec<(&str, Box<dyn RecallChannel>)> = vec![
                ("content", Box::new(content.into_channel())),
                ("item_cf", Box::new(item_cf.into_channel())),
                ("als", Box::new(als.unwrap())),
                ("bpr", Box::new(bpr.unwrap())),
                #[cfg(feature = "ease")]
                (
                    "ease",
                    Box::new(seqrec::channels::EaseConfig::new().fit(&data).unwrap()),
                ),
                ("knn", Box::new(knn.unwrap())),
            ];
            let recalled = (channels.iter())
                .map(|(name, channel)| (*name, channel.recall(&users, 50, None).unwrap()));
            recalled.collect::<Vec<_>>()
        })
    };
    let one = on(1);
    for threads in [2, 4] {
        for ((name, one), (_, several)) in one.iter().zip(on(threads)) {
            assert!(*one == several, "{name} on {threads} threads");
        }
    }
}

#[test]
fn a_path_adds_up_over_its_ways_and_says_where_they_began() {
    let mut links = Links::<ItemIndex, ItemIndex>::to(5);
    for of_item in [&[][..], &[(2, 0.5), (3, 1.0)], &[(3, 0.25), (4, 2.0)]] {
        links.push(of_item.iter().copied());
    }
    let start = HistoryItems::last(3).unwrap().with_decay(0.5).unwrap();
    let channel = start.then(links.clone()).into_channel();
    // Item 1 weighs 1 + 1/4, since it was taken twice, item 2 a half.
    let candidates = recall(&channel, &[1, 2, 1], 9);
    let expected = [(3, 1.25 + 0.125, 1), (4, 1.0, 2), (2, 0.625, 1)];
    let found: Vec<_> = candidates
        .of(0)
        .map(|c| (c.item, c.score, c.reason))
        .collect();
    assert_eq!(
        found,
        expected.map(|(item, score, from)| {
            (
                ItemIndex::new(item),
                score,
                Reason::Item(ItemIndex::new(from)),
            )
        })
    );
    // Only what passes, and a history that leads nowhere.
    let users = [user(&[1, 2, 1]), user(&[4]), user(&[])];
    let some = channel
        .recall(&users, 1, Some(Filter::Predicate(&odd)))
        .unwrap();
    assert_eq!(
        [0, 1, 2].map(|user| numbers(&some, user)),
        [&[3][..], &[], &[]]
    );
    // Two steps on, by the best of the nodes on the way.
    let farther = start
        .then(links.clone())
        .best(1)
        .unwrap()
        .then(links.reversed())
        .into_channel();
    let back = recall(&farther, &[1, 2, 1], 9);
    assert_eq!(
        (numbers(&back, 0), back.scores(0)),
        (&[1, 2][..], &[1.375, 0.34375][..])
    );
    assert!(start.best(0).is_err());
}

#[test]
fn old_items_weigh_less_by_age() {
    let mut links = Links::<ItemIndex, ItemIndex>::to(5);
    for of_item in [&[][..], &[(3, 1.0)], &[(4, 1.0)]] {
        links.push(of_item.iter().copied());
    }
    let start = HistoryItems::last(9).unwrap().with_half_life(10.0).unwrap();
    let channel = start.then(links).into_channel();
    let history = User::with_times(ItemIndex::from_slice(&[1, 2]), &[70.0, 90.0]).unwrap();
    let scores = |user: User<'_>| channel.recall(&[user], 9, None).unwrap().scores(0).to_vec();
    assert_eq!(scores(history), [1.0, 0.25]);
    assert_eq!(scores(history.at(100.0)), [0.5, 0.125]);
    // A clock that is behind makes nothing more than new.
    assert_eq!(scores(history.at(0.0)), [1.0, 1.0]);
    // After years away the later item still comes first.
    let [first, second] = scores(history.at(1e9))[..] else {
        panic!("both are recalled")
    };
    assert!(first > second && second > 0.0, "{first}, {second}");
    // Squares are numbers of full precision, as those are that a fusion divides by.
    assert!(second * second >= f32::MIN_POSITIVE, "{second}");
}

#[test]
fn similar_users_are_cosines_of_inverse_frequencies() {
    let (data, _) = training(&[&[1, 2, 3], &[1, 4], &[5, 2], &[1, 6]]);
    let config = SimilarUsersConfig::new().with_start(HistoryItems::last(9).unwrap());
    let (similar, items) = config.fit(&data).unwrap();
    let (one, two, four) = ((4f32 / 3.0).ln(), 2f32.ln(), 4f32.ln());
    let length = |weights: &[f32]| {
        weights
            .iter()
            .map(|weight| weight * weight)
            .sum::<f32>()
            .sqrt()
    };
    let walked = similar.walk(&[user(&[2, 4, 2])]).unwrap();
    let expected = [
        (1, four * four / length(&[one, four])),
        (2, two * two / length(&[four, two])),
        (0, two * two / length(&[one, two, four])),
    ];
    assert_eq!(walked[0].len(), 3);
    for (reached, (user, weight)) in walked[0].iter().zip(expected) {
        assert_eq!((reached.node, reached.reason), (user, Reason::User(user)));
        assert!(
            (reached.weight - weight).abs() < 1e-5,
            "{reached:?}, {weight}"
        );
    }
    let (nearest, _) = config.with_neighbors(1).fit(&data).unwrap();
    let candidates = recall(&nearest.then(items).into_channel(), &[2, 4, 2], 9);
    assert_eq!(numbers(&candidates, 0), [4, 1]);
}

/// An encoder that gives a history the sum of its items' vectors, twice over.
struct Sum(Array2<f32>);

impl UserEncoder for Sum {
    fn dim(&self) -> usize {
        self.0.ncols()
    }

    fn encode(&self, histories: &[User<'_>]) -> seqrec::Result<Array2<f32>> {
        let mut vectors = Array2::zeros((2 * histories.len(), self.dim()));
        for (row, mut vector) in vectors.rows_mut().into_iter().enumerate() {
            for &item in histories[row / 2].items() {
                vector += &self.0.row(item.to_usize());
            }
        }
        Ok(vectors)
    }
}

#[test]
fn users_near_in_vector_space_lead_to_what_they_took_next() {
    let (data, _) = training(&[&[1, 2, 3], &[4, 5], &[2, 6], &[7]]);
    let vectors = array![
        [0.0, 0.0],
        [1.0, 0.0],
        [1.0, 0.1],
        [0.0, 0.0],
        [0.0, 1.0],
        [0.0, 0.0],
        [0.0, 0.0],
        [0.0, 0.0]
    ];
    let nearest = |neighbors| {
        let config = NearestUsersConfig::new()
            .with_neighbors(neighbors)
            .with_held_back(1);
        let mut source = ChannelSource::new(&data).with_encoder(Arc::new(Sum(vectors.clone())));
        config.build(&mut source)
    };
    // The last user has nothing before his last item, and so is near nobody.
    for neighbors in [2, 4] {
        let channel = nearest(neighbors).unwrap();
        let candidates = recall(&channel, &[1], 9);
        assert_eq!(numbers(&candidates, 0), [3, 6]);
        assert_eq!(candidates.of(0).next().unwrap().reason, Reason::User(0));
        assert!(recall(&channel, &[], 9).items(0).is_empty());
    }
    assert!(nearest(0).is_err());
    assert_eq!(numbers(&recall(&nearest(1).unwrap(), &[1], 9), 0), [3]);
}

#[test]
fn preferred_tags_are_those_taken_more_than_usual() {
    let (data, _) = training(&[&[1, 1, 2, 2, 2, 3, 4, 4]]);
    let names = ["x", "y"].map(str::to_owned).to_vec();
    let values = array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0]];
    let start = HistoryItems::last(9).unwrap();
    let config = PreferredTagsConfig::new().with_start(start).with_items(2);
    let build = |data: &TrainingData| config.build(&mut ChannelSource::new(data));
    assert!(build(&data).is_err());
    let few = Features::new(vec!["x".into()], array![[0.0], [1.0]]).unwrap();
    assert!(data.clone().with_tags(few).is_err());
    let tags = Features::new(names, values).unwrap();
    let data = data.with_tags(tags).unwrap();
    let preferred = config.fit(&data).unwrap();
    // Of 8 interactions x has 2 + 1/2; of the history it has 2 1/2 of 4.
    let walked = preferred.walk(&[user(&[1, 3, 1, 4])]).unwrap();
    let (share, usual) = (2.5f32 / 4.0, 2.5f32 / 8.0);
    assert_eq!(walked[0].len(), 1);
    assert_eq!(
        (walked[0][0].node, walked[0][0].reason),
        (0, Reason::Tag(0))
    );
    let weight = share * (share / usual).ln();
    assert!((walked[0][0].weight - weight).abs() < 1e-6);
    assert!(preferred.walk(&[User::default()]).unwrap()[0].is_empty());
    // The two most popular items of the tag, by their shares of its interactions.
    let channel = build(&data).unwrap();
    let of_x = recall(&channel, &[1, 3, 1, 4], 9);
    assert_eq!(numbers(&of_x, 0), [1, 3]);
    for (score, share) in of_x.scores(0).iter().zip([2.0 / 3.0, 1.0 / 3.0]) {
        assert!((score - weight * share).abs() < 1e-6, "{score}");
    }
    let of_y = recall(&channel, &[2], 9);
    assert_eq!(numbers(&of_y, 0), [2, 4]);
    let scores = of_y.scores(0);
    assert!((scores[0] / scores[1] - 1.5).abs() < 1e-6, "{scores:?}");
    for bad in [config.clone().with_tags(0), config.clone().with_items(0)] {
        assert!(bad.fit(&data).is_err());
    }
}

/// A log of events with values.
fn shop() -> TrainingData {
    let row = |user: &str, item: i64, time: f64, event: &str, value: Option<f32>| {
        let row = Interaction::new(user, item, time).with_event(event);
        match value {
            Some(value) => row.with_value(value),
            None => row,
        }
    };
    let log: Interactions = [
        row("is-1", 1, 0.0, "click", None),
        row("is-1", 1, 1.0, "click", None),
        row("is-1", 2, 2.0, "click", None),
        row("is-1", 2, 3.0, "buy", Some(10.0)),
        row("no-1", 1, 90.0, "click", None),
        row("no-1", 3, 95.0, "click", None),
        row("no-1", 3, 96.0, "buy", Some(300.0)),
        row("no-2", 2, 99.0, "buy", Some(10.0)),
        row("no-2", 4, 100.0, "buy", Some(-5.0)),
    ]
    .into_iter()
    .collect();
    let dataset = Dataset::new(log.clone(), Filters::default()).unwrap();
    dataset.training_data().with_log(log).unwrap()
}

/// Data whose users are in the segments that `of` gives.
fn in_segments(data: TrainingData, of: impl Fn(&ExternalId) -> String) -> TrainingData {
    let segments = data.user_ids().map(|user| vec![of(user)]).collect();
    data.with_segments(segments).unwrap()
}

/// A stage keeps sequences and no log, so that it counts the same as built and as loaded.
#[test]
fn a_stage_counts_sequences_whatever_log_its_data_have() {
    let plan = |settings: PopularityConfig| {
        seqrec::store::StagePlan::new(Fusion::RECIPROCAL_RANK)
            .channel("markov", MarkovChainConfig::new())
            .fallback(settings)
    };
    // A log of somebody who took item 4 alone, and of nobody else.
    let log: Interactions = (0..9)
        .map(|row| Interaction::new(format!("is-{row}"), 4, f64::from(row)))
        .collect();
    let data = shop();
    let of = |data: TrainingData| {
        let stage = plan(PopularityConfig::new()).build(&data.into()).unwrap();
        numbers(&recall(&stage, &[], 4), 0).to_vec()
    };
    let bare = of(data.clone().with_log(Interactions::default()).unwrap());
    assert_eq!(of(data.clone().with_log(log).unwrap()), bare);
    let bought = PopularityConfig::new().with_events(vec!["buy".to_owned()]);
    assert!(plan(bought).build(&data.into()).is_err());
}

#[test]
fn segments_stay_with_their_users_when_items_are_taken_out() {
    let rows: [&[i64]; 3] = [&[1, 1, 1], &[1, 2, 3], &[2, 3, 4]];
    let mut split = Split::new(&dataset(&rows), Protocol::LeaveOneOut).unwrap();
    split.train = in_segments(split.train, |user| format!("of {user}"));
    let users: Vec<ExternalId> = split.train.user_ids().cloned().collect();
    let split = split.without_items(|item| item.get() == 1).unwrap();
    let left: Vec<ExternalId> = split.train.user_ids().cloned().collect();
    assert!(
        left.len() < users.len() && !left.is_empty(),
        "{left:?} of {users:?}"
    );
    for (place, user) in left.iter().enumerate() {
        assert_eq!(split.train.segments(place), [format!("of {user}")]);
    }
}

#[test]
fn a_catalog_that_puts_other_items_in_place_of_the_datas_is_refused() {
    let (data, catalog) = training(&[&[1, 2, 3], &[1, 2, 4]]);
    let mut ids: Vec<ExternalId> = catalog.ids().cloned().collect();
    ids.swap(0, 1);
    let swapped = Catalog::from_ids(ids.clone()).unwrap();
    assert!(matches!(
        data.clone()
            .with_catalog(swapped)
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::UnknownItem { .. })
    ));
    ids.swap(0, 1);
    ids.push("new".into());
    let longer = Catalog::from_ids(ids).unwrap();
    assert!(data.clone().with_catalog(longer.clone()).is_ok());
    let tags = Features::from_item_tags(&catalog, [(1.into(), ["a"])]);
    let tagged = data.with_tags(tags).unwrap();
    assert!(matches!(
        tagged.with_catalog(longer).as_ref().map_err(Error::kind),
        Err(ErrorKind::Shape { .. })
    ));
}

#[test]
fn rules_count_clicks_purchases_and_revenue_in_windows_and_segments() {
    let by_segment = PopularityConfig::new().with_by_segment(true);
    assert!(by_segment.fit(&shop()).is_err());
    let shop = in_segments(shop(), |user| user.to_string()[..2].to_owned());
    let rule = |config: PopularityConfig| config.fit(&shop).unwrap();
    let items = |rule: &Popularity| numbers(&recall(rule, &[], 9), 0).to_vec();
    let of = |event: &str| PopularityConfig::new().with_events(vec![event.to_owned()]);
    assert_eq!(items(&rule(of("click"))), [1, 2, 3]);
    assert_eq!(items(&rule(of("buy"))), [2, 3, 4]);
    let revenue = recall(&rule(of("buy").with_by_value(true)), &[], 9);
    assert_eq!(
        (numbers(&revenue, 0), revenue.scores(0)),
        (&[3, 2][..], &[0.9375, 0.0625][..])
    );
    // The window is counted from the last interaction that is looked at.
    assert_eq!(items(&rule(of("click").with_window(Some(5.0)))), [1, 3]);
    assert_eq!(items(&rule(of("click").with_window(Some(4.9)))), [3]);
    assert_eq!(
        items(&rule(of("click").with_half_life(Some(1.0)))),
        [3, 1, 2]
    );
    let by_region = rule(of("click").with_by_segment(true));
    let in_segments = |segments: &[&str]| {
        let segments: Vec<String> = segments.iter().map(|&segment| segment.to_owned()).collect();
        let user = user(&[]).in_segments(&segments);
        let candidates = by_region.recall(&[user], 9, None).unwrap();
        candidates
            .of(0)
            .map(|c| (c.item.get(), c.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        in_segments(&["is"]),
        [(1, Reason::Segment(0)), (2, Reason::Segment(0))]
    );
    // An item of both is there for the one in which it is best.
    let both = [
        (1, Reason::Segment(1)),
        (3, Reason::Segment(0)),
        (2, Reason::Segment(1)),
    ];
    assert_eq!(in_segments(&["no", "is"]), both);
    assert!(in_segments(&["nowhere"]).is_empty() && in_segments(&[]).is_empty());
    let bad = [
        PopularityConfig::new().with_window(Some(0.0)),
        PopularityConfig::new().with_half_life(Some(f64::NAN)),
    ];
    for config in bad {
        assert!(config.fit(&shop).is_err());
    }
    let (sequences, _) = training(&[&[1]]);
    let of_sequences = |config: PopularityConfig| config.fit(&sequences);
    assert!(of_sequences(of("buy")).is_err());
    assert!(of_sequences(PopularityConfig::new().with_by_value(true)).is_err());
}

#[test]
fn what_is_observed_counts_and_what_is_long_past_is_forgotten() {
    let shop = in_segments(shop(), |_| "all".to_owned());
    let config = PopularityConfig::new()
        .with_events(vec!["click".to_owned()])
        .with_window(Some(50.0))
        .with_by_segment(true);
    let rule = config.fit(&shop).unwrap();
    let all = ["all".to_owned()];
    let items = || {
        let user = user(&[]).in_segments(&all);
        numbers(&rule.recall(&[user], 9, None).unwrap(), 0).to_vec()
    };
    assert_eq!(items(), [1, 3]);
    let observe = |item: u32, time: f64, event: &str| {
        let interaction = Interaction::new("x", i64::from(item), time).with_event(event);
        rule.observe(ItemIndex::new(item), &interaction, &all);
    };
    // What is of another kind, or from before the window, counts for nothing.
    for place in 0..256 {
        observe(4, 96.0, "buy");
        observe(2, 10.0, "click");
        assert_eq!(items(), [1, 3], "{place}");
    }
    for _ in 0..256 {
        observe(2, 120.0, "click");
    }
    assert_eq!(items(), [2, 1, 3]);
    for _ in 0..256 {
        observe(4, 160.0, "click");
    }
    assert_eq!(items(), [2, 4]);
    // One that is far ahead counts, and is past in its turn.
    observe(5, 1e6, "click");
    for _ in 0..255 {
        observe(4, 160.0, "click");
    }
    assert_eq!(items(), [4, 2, 5]);
    for _ in 0..256 {
        observe(4, 270.0, "click");
    }
    assert_eq!(items(), [4]);
    // With a half-life, however far apart in time: weights stay numbers.
    let config = PopularityConfig::new().with_half_life(Some(1.0));
    let rule = config.fit(&shop).unwrap();
    for place in 0..512 {
        let interaction = Interaction::new("x", 4, 100.0 + 10.0 * f64::from(place));
        rule.observe(ItemIndex::new(4), &interaction, &[]);
    }
    let candidates = recall(&rule, &[], 9);
    assert_eq!(numbers(&candidates, 0), [4]);
    assert!((candidates.scores(0)[0] - 1.0).abs() < 1e-6);
}

/// Whatever a channel goes by, it keeps to its trait: k at most, each item once, best first, only
/// what passes, and no padding.
#[test]
fn every_channel_keeps_to_its_trait() {
    let log = Synthetic::new()
        .with_users(60)
        .with_items(90)
        .with_mean_per_user(25);
    let dataset = Dataset::new(log.generate().unwrap(), Filters::default()).unwrap();
    let movies = log.movies().unwrap();
    let features = movies.features(dataset.catalog(), &["genres"]).unwrap();
    let genres =
        Array2::from_shape_fn((movies.len(), 5), |(row, place)| (row % (place + 2)) as f32);
    let ids = movies.ids().cloned();
    let features = features.with_vectors("text", dataset.catalog(), ids, genres.view());
    let dataset = dataset.with_item_features(features.unwrap()).unwrap();
    let (data, catalog) = (dataset.training_data(), dataset.catalog().clone());
    let tags = movies.tag_features(&catalog, "genres");
    let tags = tags.unwrap();
    let config = Gru4RecConfig::new().with_dim(8);
    let model = config
        .init::<Flex>(catalog.len(), 1, &Default::default())
        .unwrap();
    let segments = vec![vec!["all".to_owned()]; data.sequences().len()];
    let all_data = (data.clone().with_tags(tags))
        .and_then(|data| data.with_segments(segments))
        .unwrap();
    let vectors = item_vectors::<Flex, _>(&model);
    let encoder = Arc::new(ModelEncoder::<Flex, _>::new(model));
    let start = HistoryItems::last(20).unwrap();
    let popular = PopularityConfig::new();
    let kinds: Vec<Box<dyn ChannelConfig>> = vec![
        Box::new(popular.clone()),
        Box::new(popular.clone().with_by_segment(true)),
        Box::new(popular.with_half_life(Some(1e6))),
        Box::new(MarkovChainConfig::new()),
        Box::new(ItemNeighborsConfig::new().with_start(start)),
        Box::new(ContentNeighborsConfig::new().with_start(start)),
        Box::new(
            ContentNeighborsConfig::new()
                .with_by(Content::Vectors("text".to_owned()))
                .with_neighbors(30),
        ),
        Box::new(SimilarUsersConfig::new().with_start(start)),
        Box::new(SessionKnnConfig::new()),
        Box::new(AlsConfig::new().with_dim(8)),
        Box::new(BprConfig::new().with_dim(8).with_epochs(5)),
        #[cfg(feature = "ease")]
        Box::new(seqrec::channels::EaseConfig::new()),
        Box::new(VectorChannelConfig::new()),
        Box::new(
            NearestItemsConfig::new()
                .with_start(start)
                .with_neighbors(30),
        ),
        Box::new(
            NearestUsersConfig::new()
                .with_neighbors(20)
                .with_held_back(2),
        ),
        Box::new(
            PreferredTagsConfig::new()
                .with_start(start)
                .with_tags(3)
                .with_items(30),
        ),
    ];
    let segments = ["all".to_owned()];
    let users: Vec<User<'_>> = (0..20)
        .map(|user| data.sequences().history(user).in_segments(&segments))
        .chain([user(&[]).in_segments(&segments)])
        .collect();
    let passes = |row: usize, item: ItemIndex| !(item.to_usize() + row).is_multiple_of(3);
    for kind in kinds {
        let mut source = ChannelSource::new(&all_data)
            .with_encoder(encoder.clone())
            .with_item_vectors(vectors.view());
        let channel = kind.build(&mut source).unwrap();
        for k in [1, 7, 500] {
            let all = channel
                .recall(&users, k, Some(Filter::Predicate(&passes)))
                .unwrap();
            assert_eq!(all.len(), users.len(), "{kind:?}");
            for row in 0..users.len() {
                let items = all.items(row);
                let distinct: std::collections::HashSet<_> = items.iter().collect();
                assert!(
                    items.len() <= k && distinct.len() == items.len(),
                    "{kind:?}"
                );
                let in_catalog = |&item: &ItemIndex| catalog.id_of(item).is_some();
                assert!(
                    items
                        .iter()
                        .all(|item| in_catalog(item) && passes(row, *item)),
                    "{kind:?}"
                );
                assert!(all.scores(row).is_sorted_by(|a, b| a >= b), "{kind:?}");
                assert!(
                    all.scores(row).iter().all(|score| score.is_finite()),
                    "{kind:?}"
                );
                // One user alone is answered as among others.
                let alone = |_: usize, item| passes(row, item);
                let one = channel.recall(&users[row..=row], k, Some(Filter::Predicate(&alone)));
                assert_eq!(one.unwrap().items(0), items, "{kind:?}");
            }
            assert!(!all.items(0).is_empty(), "{kind:?} says nothing");
            let by_history = !format!("{kind:?}").starts_with("PopularityConfig");
            let without = all.items(users.len() - 1);
            assert_eq!(
                without.is_empty(),
                by_history,
                "{kind:?} of an empty history"
            );
        }
    }
}

/// Some of what is observed, by where it was.
struct Noted(Popularity, std::sync::Mutex<Vec<ItemIndex>>);

impl RecallChannel for &Noted {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> seqrec::Result<Candidates> {
        self.0.recall(users, k, filter)
    }

    fn observe(&self, item: ItemIndex, _: &Interaction, _: &[String]) {
        self.1.lock().unwrap().push(item);
    }
}

#[test]
fn a_fallback_answers_those_users_alone_for_whom_nothing_was_found() {
    let (data, catalog) = training(&[&[1, 2, 3], &[1, 2, 4], &[2, 3, 4]]);
    let noted = Noted(Popularity::new(&catalog), Default::default());
    let channel = MarkovChainConfig::new().fit(&data).unwrap().or_else(&noted);
    // After 4 came nothing; the filter knows users by their places among all that were asked for.
    let users = [user(&[4]), user(&[1]), user(&[4])];
    let passes = |row: usize, item: ItemIndex| row != 2 || item.get() != 2;
    let found = channel
        .recall(&users, 2, Some(Filter::Predicate(&passes)))
        .unwrap();
    assert_eq!(
        [numbers(&found, 0), numbers(&found, 1)],
        [&[2, 1], &[2][..]]
    );
    assert_eq!(numbers(&found, 2), [1, 3]);
    // Where all are answered, the fallback is not asked.
    assert_eq!(numbers(&recall(&channel, &[1], 9), 0), [2]);
    let seen = Interaction::new(9, 3, 1.0);
    channel.observe(ItemIndex::new(3), &seen, &[]);
    assert_eq!(*noted.1.lock().unwrap(), [ItemIndex::new(3)]);
}

#[test]
fn a_selection_chooses_among_more_than_are_wanted() {
    let (_, catalog) = training(&[&[1, 2, 3, 4], &[1, 2, 3], &[1, 2], &[1]]);
    let noted = Noted(Popularity::new(&catalog), Default::default());
    // Items 1 and 2 are of one category, 3 has another, and 4 is beyond the list.
    let bonus = |factor| CategoryBonus::new(vec![0, 7, 7, 8], factor);
    let chosen = |factor, candidates, k| {
        let selected = bonus(factor).unwrap().among(&noted, candidates);
        selected.observe(ItemIndex::new(2), &Interaction::new(9, 2, 1.0), &[]);
        numbers(&recall(&selected, &[], k), 0).to_vec()
    };
    assert_eq!(chosen(0.0, 4, 3), [1, 2, 3]);
    assert_eq!(chosen(10.0, 4, 3), [1, 3, 4]);
    // Among no more than are wanted there is nothing to choose.
    assert_eq!(chosen(10.0, 1, 2), [1, 2]);
    assert_eq!(chosen(10.0, 4, 9), [1, 3, 4, 2]);
    assert_eq!(noted.1.lock().unwrap().len(), 4);
    assert!(bonus(-1.0).is_err());

    let vectors = array![[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]];
    let relevance = |relevance| MaximalMarginalRelevance::new(vectors.view(), relevance);
    let selected = relevance(0.3).unwrap().among(&noted, 4);
    // Item 4 has no vector and is near nothing.
    assert_eq!(numbers(&recall(&selected, &[], 4), 0), [1, 3, 4, 2]);
    for wrong in [-0.1, 1.1, f64::NAN] {
        assert!(relevance(wrong).is_err(), "{wrong}");
    }
    // Scores that are all the same, and none at all.
    let flat = |count: u32| -> Vec<Candidate> {
        let item = |item| Candidate {
            item: ItemIndex::new(item),
            score: 1.0,
            reason: Reason::Taste,
        };
        (1..=count).map(item).collect()
    };
    assert_eq!(relevance(0.5).unwrap().select(&flat(3), 2), [0, 2]);
    assert!(relevance(0.5).unwrap().select(&flat(0), 2).is_empty());
}

#[test]
fn learned_weights_find_more_than_any_one_channel() {
    // Users 1 to 30 begin with an item of their own, and take as their last one an item that only
    // the first, only the second, or neither channel recalls.
    let rows: Vec<Vec<i64>> = (1..=30i64)
        .map(|user| vec![user, 31, 31 + user % 3, 31 + user % 3])
        .collect();
    let dataset = dataset(&rows);
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let index = |item: i64| dataset.catalog().index_of(&item.into()).unwrap();
    let of_all = |items: Vec<ItemIndex>| Told(Arc::new(move |_| Ok(items.clone())));
    let stage = |fusion| {
        RecallStage::new(fusion, 10)
            .and_then(|stage| {
                stage.channel(
                    "noise",
                    of_all(vec![index(1), index(2)]),
                    ChannelWeight::default(),
                )
            })
            .and_then(|stage| {
                stage.channel("first", of_all(vec![index(32)]), ChannelWeight::default())
            })
            .and_then(|stage| {
                stage.channel("second", of_all(vec![index(33)]), ChannelWeight::default())
            })
            .unwrap()
    };
    for fusion in [Fusion::RECIPROCAL_RANK, Fusion::ZScore] {
        let mut stage = stage(fusion);
        let config = WeightLearningConfig::new(2);
        let learned = stage
            .learn_weights(&split.valid, &config, |case| case.user)
            .unwrap();
        assert!((learned - 2.0 / 3.0).abs() < 1e-9, "{fusion:?}: {learned}");
        let weights: Vec<f64> = stage.shares().map(|share| share.weight).collect();
        assert!(
            weights[0] < weights[1] && weights[0] < weights[2],
            "{weights:?}"
        );
        // What was learned is what the fused lists then do.
        let report = Evaluation::new(&[2], Seen::Keep)
            .run(&stage, &split.valid, split.catalog())
            .unwrap();
        assert_eq!(report.recall(2), Some(learned));
    }
    let mut turns = stage(Fusion::RoundRobin);
    let config = WeightLearningConfig::new(2);
    assert!(
        turns
            .learn_weights(&split.valid, &config, |case| case.user)
            .is_err()
    );
    assert!(turns.set_weights(&[1.0]).is_err() && turns.set_weights(&[1.0, -1.0, 0.0]).is_err());
}

#[test]
fn sequences_of_another_data_set_are_an_error() {
    let log = Synthetic::new()
        .with_users(20)
        .with_items(30)
        .generate()
        .unwrap();
    let data = Dataset::new(log, Filters::default())
        .unwrap()
        .training_data();
    let few = Catalog::from_ids([1i64, 2].map(ExternalId::from)).unwrap();
    let refused = data.clone().with_catalog(few.clone()).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::UnknownItem { .. }),
        "{refused}"
    );
    let none = Catalog::from_ids([]).unwrap();
    assert!(data.clone().with_catalog(none).is_err());
    // More items than the sequences have are no error: nobody has taken them yet.
    let new = data.catalog().ids().cloned().chain(["new".into()]);
    let more = data.clone().with_catalog(Catalog::from_ids(new).unwrap());
    assert!(MarkovChainConfig::new().fit(&more.unwrap()).is_ok());
    // Counted where it is not in the catalog, an item counts for nothing.
    assert_eq!(
        few.clone()
            .with_counts([ItemIndex::from_slice(&[1, 30])])
            .counts(),
        [0, 1, 0]
    );
}
