//! Channels without a neural model, on data small enough to be followed by hand.

use ndarray::{Array2, array};
use seqrec::data::{
    Catalog, Dataset, Filters, Interaction, Interactions, ItemIndex, Protocol, Split,
    TrainingSequences,
};
use seqrec::eval::Metric;
use seqrec::index::Filter;
use seqrec::recall::{
    AlsConfig, BprConfig, Candidates, Ease, Evaluation, MarkovChain, MatrixFactorization,
    Popularity, PopularityConfig, RecallChannel, SessionKnn, SessionKnnConfig, UserContext,
};

/// Items are numbered by first appearance, so that `rows` that count up keep their numbers.
fn data(rows: &[&[i64]]) -> (TrainingSequences, Catalog) {
    let log: Interactions = rows
        .iter()
        .enumerate()
        .flat_map(|(user, items)| {
            items.iter().enumerate().map(move |(place, &item)| {
                Interaction::new(user as i64, item, (100 * user + place) as f64)
            })
        })
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    (TrainingSequences::all(&dataset), dataset.catalog().clone())
}

fn recall(channel: &dyn RecallChannel, history: &[ItemIndex], k: usize) -> Candidates {
    channel.recall(&[history.into()], k, None).unwrap()
}

#[test]
fn popularity_counts_all_and_recent() {
    let (sequences, catalog) = data(&[&[1, 2, 2, 2], &[1, 3], &[3, 3]]);
    let all = Popularity::new(&catalog);
    assert_eq!(recall(&all, &[], 9).items(0), [2, 3, 1]);
    assert_eq!(
        recall(&all, &[], 9).scores(0),
        [3.0 / 8.0, 3.0 / 8.0, 2.0 / 8.0]
    );
    let of_late = |half_life| {
        let config = PopularityConfig::new().with_half_life(Some(half_life));
        Popularity::of_sequences(&sequences, |_| Vec::new(), &config)
    };
    let recent = of_late(10.0).unwrap();
    assert!(of_late(0.0).is_err());
    assert_eq!(recall(&recent, &[], 2).items(0), [3, 1]);
    let odd = |_: usize, item: ItemIndex| item % 2 == 1;
    let users = [UserContext::from(&[][..]), UserContext::from(&[2][..])];
    let hits = all
        .recall(&users, 1, Some(Filter::Predicate(&odd)))
        .unwrap();
    assert_eq!((hits.items(0), hits.items(1)), (&[3][..], &[3][..]));
}

#[test]
fn a_markov_chain_gives_shares_of_transitions() {
    let (sequences, catalog) = data(&[&[1, 2, 3], &[1, 2], &[1, 3, 1, 4]]);
    let chain = MarkovChain::new(&sequences, &catalog).unwrap();
    let followers = chain.followers();
    assert_eq!(followers.of(1), (&[2, 3, 4][..], &[0.5, 0.25, 0.25][..]));
    assert!(followers.of(4).0.is_empty());
    let hits = recall(&chain, &[3, 1], 2);
    assert_eq!(
        (hits.items(0), hits.scores(0)),
        (&[2, 3][..], &[0.5, 0.25][..])
    );
    assert!(recall(&chain, &[4], 2).items(0).is_empty());
    assert!(recall(&chain, &[], 2).items(0).is_empty());
}

#[test]
fn nearest_sessions_vote_by_late_items_and_rarity() {
    let rows: [&[i64]; 4] = [&[1, 2, 3], &[2, 4], &[5, 6], &[1, 7]];
    let (sequences, catalog) = data(&rows);
    let knn = SessionKnn::new(&sequences, &catalog, &SessionKnnConfig::new()).unwrap();
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
        let (_, score) = expected.iter().find(|(item, _)| *item == hit.item).unwrap();
        assert!((hit.score - score).abs() < 1e-5, "{hit:?} is not {score}");
    }
    let nearest = SessionKnnConfig::new().with_neighbours(1);
    let knn = SessionKnn::new(&sequences, &catalog, &nearest).unwrap();
    let mut items = recall(&knn, &[1, 2], 10).items(0).to_vec();
    items.sort_unstable();
    assert_eq!(items, [1, 2, 3]);
}

/// The closed form of the paper, with an inverse worked out by elimination.
#[test]
fn ease_is_its_closed_form() {
    let rows: [&[i64]; 4] = [&[1, 2, 3], &[1, 2], &[3, 4], &[4, 2]];
    let (sequences, catalog) = data(&rows);
    let ease = Ease::new(&sequences, &catalog, 0.5).unwrap();
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
        match hits.of(0).find(|hit| hit.item as usize == to) {
            Some(hit) => assert!((f64::from(hit.score) - expected).abs() < 1e-5, "{hit:?}"),
            None => assert!(expected <= 1e-6, "{to} should score {expected}"),
        }
    }
    assert!(Ease::new(&sequences, &catalog, 0.0).is_err());
}

fn inverse(mut matrix: Array2<f64>) -> Array2<f64> {
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
    let (sequences, catalog) = data(&rows);
    let config = AlsConfig::new()
        .with_dim(3)
        .with_confidence(4.0)
        .with_regularization(0.3);
    let model = MatrixFactorization::als(&sequences, &catalog, &config).unwrap();
    let items = model.item_vectors();
    let history = [2u32, 5];
    let user = model.fold_in(&history);
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
    let same = model.fold_in(&[1, 2, 3]);
    let (of_training, of_history) = (model.user_vectors(), same.view());
    let apart = (&of_training.row(0) - &of_history).mapv(f32::abs);
    assert!(apart.iter().all(|&value| value < 0.05), "{apart}");
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
    let (sequences, catalog) = data(&rows);
    let als = AlsConfig::new().with_dim(2);
    let bpr = BprConfig::new().with_dim(2).with_epochs(100);
    for model in [
        MatrixFactorization::als(&sequences, &catalog, &als).unwrap(),
        MatrixFactorization::bpr(&sequences, &catalog, &bpr).unwrap(),
    ] {
        let history = &sequences.get(0)[..3];
        let hits = recall(&model, history, 8);
        let parity = |item: u32| {
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
    let log: Interactions = rows
        .iter()
        .enumerate()
        .flat_map(|(user, items)| {
            items
                .iter()
                .enumerate()
                .map(move |(place, &item)| Interaction::new(user as i64, item, place as f64))
        })
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let chain = MarkovChain::new(&split.train, split.catalog()).unwrap();
    let evaluation = Evaluation::new(&[1], false);
    let report = evaluation
        .run_channel(&chain, &split.test, split.catalog())
        .unwrap();
    let hit_rate: Metric = "hit_rate@1".parse().unwrap();
    assert_eq!(report.get(hit_rate), Some(1.0));
    let popular = Popularity::new(split.catalog());
    let report = evaluation
        .run_channel(&popular, &split.test, split.catalog())
        .unwrap();
    assert!(report.get(hit_rate).unwrap() < 0.5);
}
