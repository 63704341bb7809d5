//! Generated interactions: each thing that their settings name is in them, and can be taken out.

use std::collections::{HashMap, HashSet};

use seqrec::data::synthetic::Synthetic;
use seqrec::data::{ExternalId, Interactions, Items};
use seqrec::{Error, ErrorKind};

/// Each user's items with their times.
fn histories(settings: Synthetic) -> Vec<Vec<(i64, f64)>> {
    let log = settings.generate().unwrap();
    let mut users: Vec<Vec<(i64, f64)>> = vec![Vec::new(); log.users().len()];
    for row in 0..log.len() {
        let ExternalId::Integer(item) = log.items()[log.item_numbers()[row] as usize] else {
            unreachable!("generated ids are numbers")
        };
        users[log.user_numbers()[row] as usize].push((item, log.times()[row]));
    }
    users
}

fn small() -> Synthetic {
    Synthetic::new().with_users(400)
}

/// Nothing but new things of the user's genre, all equally popular.
fn plain() -> Synthetic {
    small()
        .with_series(0.0)
        .with_variety(0.0)
        .with_interruptions(0.0)
        .with_drift(0.0)
        .with_companions(0.0)
        .with_seasons(0.0)
        .with_popularity(0.0)
        .with_repeats(0.0)
}

/// The share of interactions for which something holds of the items before and the item.
fn share(settings: Synthetic, holds: impl Fn(&[(i64, f64)], i64) -> bool) -> f64 {
    let users = histories(settings);
    let mut all = 0;
    let mut held = 0;
    for user in &users {
        for place in 1..user.len() {
            all += 1;
            held += usize::from(holds(&user[..place], user[place].0));
        }
    }
    held as f64 / all as f64
}

/// Whether an item is the next part of the series that the one before it is of.
fn follows(movies: &Items, before: i64, item: i64) -> bool {
    let series = |item: i64| {
        let title = movies.title(&item.into());
        title.split(", part").next().unwrap().to_owned()
    };
    item == before + 1 && series(before) == series(item)
}

fn genre(movies: &Items, item: i64) -> String {
    movies.labels(&item.into(), "genres").unwrap()[0].to_owned()
}

#[test]
fn the_default_is_of_the_size_that_it_says() {
    let log = Synthetic::default().generate().unwrap();
    assert_eq!(log.users().len(), 3_000);
    assert!((80_000..140_000).contains(&log.len()), "{}", log.len());
    assert!((750..=800).contains(&log.items().len()));
}

#[test]
fn the_seed_decides() {
    let of = |seed| {
        let log = small().with_seed(seed).generate().unwrap();
        (log.item_numbers().to_vec(), log.times().to_vec())
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn series_are_followed_in_order() {
    let next = |settings: Synthetic| {
        let movies = settings.movies().unwrap();
        share(settings, |before, item| {
            follows(&movies, before.last().unwrap().0, item)
        })
    };
    let followed = next(plain().with_series(0.8));
    assert!(followed > 0.4, "{followed}");
    // A user who takes single parts may still happen upon the next.
    let by_chance = next(plain());
    assert!(by_chance < 0.02, "{by_chance}");
}

#[test]
fn users_differ_in_how_they_follow_series() {
    let followers = |settings: Synthetic| {
        let movies = settings.movies().unwrap();
        let users = histories(settings);
        let share = |user: &Vec<(i64, f64)>| {
            let next = user
                .windows(2)
                .filter(|pair| follows(&movies, pair[0].0, pair[1].0));
            next.count() as f64 / user.len() as f64
        };
        let shares: Vec<f64> = users.iter().map(share).collect();
        let between = shares.iter().filter(|&&share| (0.1..0.3).contains(&share));
        between.count() as f64 / shares.len() as f64
    };
    let alike = followers(plain().with_series(0.4));
    let apart = followers(plain().with_series(0.4).with_variety(1.0));
    assert!(alike > 0.6 && apart < 0.1, "{alike} {apart}");
}

#[test]
fn series_are_resumed_after_interruptions() {
    let resumed = |settings: Synthetic| {
        let movies = settings.movies().unwrap();
        share(settings, |before, item| {
            let (last, earlier) = before.split_last().unwrap();
            let resumes = |&(other, _): &(i64, f64)| follows(&movies, other, item);
            !follows(&movies, last.0, item) && earlier.iter().rev().take(10).any(resumes)
        })
    };
    let often = resumed(plain().with_series(0.6).with_interruptions(0.5));
    let seldom = resumed(plain().with_series(0.6));
    let by_chance = resumed(plain());
    assert!(often > 1.2 * seldom, "{often} {seldom}");
    assert!(seldom > 3.0 * by_chance, "{seldom} {by_chance}");
}

#[test]
fn tastes_drift_forward() {
    let genres = |settings: Synthetic| {
        let users = histories(settings);
        let movies = settings.movies().unwrap();
        let name = |&(item, _): &(i64, f64)| genre(&movies, item);
        let users = users.iter();
        users.map(|user| user.iter().map(name).collect()).collect()
    };
    let still: Vec<Vec<String>> = genres(plain());
    assert!(
        still
            .iter()
            .all(|user| user.iter().all(|genre| *genre == user[0]))
    );
    let drifting: Vec<Vec<String>> = genres(plain().with_drift(0.3));
    let mut changes: HashMap<(&str, &str), usize> = HashMap::new();
    for user in &drifting {
        for pair in user.windows(2).filter(|pair| pair[0] != pair[1]) {
            *changes.entry((&pair[0], &pair[1])).or_default() += 1;
        }
    }
    let all: usize = changes.values().sum();
    let steps: usize = drifting.iter().map(|user| user.len() - 1).sum();
    let drift = all as f64 / steps as f64;
    assert!((0.25..0.32).contains(&drift), "{drift}");
    // 19 of 20 go from each genre to one and the same, and few go back.
    let mut most: HashMap<&str, usize> = HashMap::new();
    for (&(from, _), &count) in &changes {
        let most = most.entry(from).or_default();
        *most = (*most).max(count);
    }
    let forward = most.values().sum::<usize>() as f64 / all as f64;
    assert!((0.9..0.98).contains(&forward), "{forward}");
}

#[test]
fn companions_follow_what_was_finished() {
    // How often the item that most often follows an item soon does.
    let strongest = |settings: Synthetic| {
        let mut pairs: HashMap<(i64, i64), usize> = HashMap::new();
        let mut times: HashMap<i64, usize> = HashMap::new();
        for user in histories(settings) {
            for (place, &(item, _)) in user.iter().enumerate() {
                *times.entry(item).or_default() += 1;
                for &(later, _) in user.iter().skip(place + 2).take(5) {
                    *pairs.entry((item, later)).or_default() += 1;
                }
            }
        }
        let mut most: HashMap<i64, usize> = HashMap::new();
        for (&(item, _), &count) in &pairs {
            let most = most.entry(item).or_default();
            *most = (*most).max(count);
        }
        most.values().sum::<usize>() as f64 / times.values().sum::<usize>() as f64
    };
    // Other genres come in between, so that nothing comes back by itself.
    let moving = plain().with_drift(1.0);
    let (with, without) = (strongest(moving.with_companions(0.9)), strongest(moving));
    assert!(with > 1.6 * without, "{with} {without}");
}

#[test]
fn genres_have_their_season() {
    const YEAR: f64 = 365.25 * 86_400.0;
    // The share of a genre's interactions in the best twentieth of the year.
    let in_season = |settings: Synthetic| {
        let movies = settings.movies().unwrap();
        let mut counts: HashMap<String, [usize; 20]> = HashMap::new();
        for (item, time) in histories(settings).into_iter().flatten() {
            let part = ((time / YEAR).fract() * 20.0) as usize;
            counts.entry(genre(&movies, item)).or_default()[part] += 1;
        }
        let best: usize = counts
            .values()
            .map(|parts| parts.iter().max().unwrap())
            .sum();
        best as f64 / counts.values().flatten().sum::<usize>() as f64
    };
    let (with, without) = (in_season(plain().with_seasons(0.5)), in_season(plain()));
    assert!(with > 0.45, "{with}");
    assert!(without < 0.25, "{without}");
}

#[test]
fn popularity_has_a_long_tail() {
    let head = |popularity| {
        let moving = plain().with_drift(1.0).with_popularity(popularity);
        let log = moving.generate().unwrap();
        let mut counts = vec![0; log.items().len()];
        for &item in log.item_numbers() {
            counts[item as usize] += 1;
        }
        counts.sort_unstable();
        let head = &counts[counts.len() * 9 / 10..];
        head.iter().sum::<usize>() as f64 / log.len() as f64
    };
    let (flat, steep) = (head(0.0), head(1.5));
    assert!(flat < 0.4 && steep > 1.35 * flat, "{flat} {steep}");
}

#[test]
fn single_titles_are_repeated() {
    let repeated = |settings: Synthetic| {
        share(settings, |before, item| {
            before.iter().any(|&(other, _)| other == item)
        })
    };
    // With so many items that nobody comes to the end of a genre.
    let many = plain().with_items(100_000).with_mean_per_user(20);
    assert!(repeated(many) < 0.01);
    let repeats = repeated(many.with_repeats(0.3));
    assert!((0.2..0.32).contains(&repeats), "{repeats}");
}

#[test]
fn titles_are_told_apart_and_series_are_of_one_genre() {
    let settings = Synthetic::new().with_items(5_000).with_genres(30);
    let movies = settings.movies().unwrap();
    let titles: HashSet<String> = movies.ids().map(|id| movies.title(id)).collect();
    assert_eq!(titles.len(), 5_000);
    assert!(titles.iter().any(|title| title.ends_with("part 10")));
    let genres: HashSet<String> = (1..=5_000).map(|id| genre(&movies, id)).collect();
    assert_eq!(genres.len(), 30);
    let together: Vec<i64> = (1..5_000)
        .filter(|&id| follows(&movies, id, id + 1))
        .collect();
    assert!(together.len() > 2_000);
    assert!(
        together
            .iter()
            .all(|&id| genre(&movies, id) == genre(&movies, id + 1))
    );
    assert!(Synthetic::new().with_items(0).movies().is_err());
}

#[test]
fn odd_settings_work_or_are_refused_by_name() {
    let least = Synthetic::new()
        .with_users(1)
        .with_items(1)
        .with_minimum_per_user(1)
        .with_mean_per_user(0)
        .with_seed(0);
    let len = |settings: Synthetic| settings.generate().map(|log: Interactions| log.len());
    assert_eq!(len(least).unwrap(), 1);
    for (items, genres) in [(1, 5), (2, 1), (23, 20), (25, usize::MAX), (24, 7)] {
        for probability in [0.0, 1.0] {
            let odd = small()
                .with_users(5)
                .with_items(items)
                .with_genres(genres)
                .with_series(probability)
                .with_interruptions(1.0)
                .with_companions(1.0)
                .with_drift(probability)
                .with_seasons(probability)
                .with_popularity(10.0 * probability);
            assert!(len(odd).unwrap() >= 75);
        }
    }
    let refused = |settings: Synthetic, name: &str| {
        let error: Error = settings.generate().unwrap_err();
        let named = matches!(error.kind(), ErrorKind::InvalidValue { field, .. } if *field == name);
        assert!(named, "{error}");
    };
    refused(small().with_users(0), "users");
    refused(small().with_users(usize::MAX), "users");
    refused(small().with_items(0), "items");
    refused(small().with_items(usize::MAX), "items");
    refused(small().with_minimum_per_user(0), "minimum_per_user");
    refused(small().with_minimum_per_user(usize::MAX), "users");
    refused(small().with_genres(0), "genres");
    refused(small().with_popularity(f64::INFINITY), "popularity");
    refused(small().with_popularity(-0.1), "popularity");
    for bad in [-0.1, 1.1, f64::NAN] {
        refused(small().with_series(bad), "series");
        refused(small().with_variety(bad), "variety");
        refused(small().with_interruptions(bad), "interruptions");
        refused(small().with_drift(bad), "drift");
        refused(small().with_companions(bad), "companions");
        refused(small().with_seasons(bad), "seasons");
        refused(small().with_repeats(bad), "repeats");
    }
}

/// With events, users buy at the item's price, look at other things, and dislike one genre each.
#[test]
fn events_are_those_of_a_shop() {
    let shop = small().with_events(true);
    let (log, movies) = (shop.generate().unwrap(), shop.movies().unwrap());
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut disliked: HashMap<u32, HashSet<String>> = HashMap::new();
    for row in 0..log.len() {
        let event = log.event(row).unwrap().to_string();
        let item = &log.items()[log.item_numbers()[row] as usize];
        let price = movies.number(item, "price").unwrap().unwrap();
        let is_bought = event == "buy";
        assert_eq!(log.value(row), is_bought.then_some(price as f32));
        if event == "dislike" {
            let genre = movies.labels(item, "genres").unwrap()[0].to_owned();
            disliked
                .entry(log.user_numbers()[row])
                .or_default()
                .insert(genre);
        }
        *counts.entry(event).or_default() += 1;
    }
    assert!(disliked.values().all(|genres| genres.len() == 1) && disliked.len() > 50);
    let share = |event: &str| counts[event] as f64 / log.len() as f64;
    assert!((0.3..0.5).contains(&share("view")), "{counts:?}");
    assert!((0.01..0.1).contains(&share("dislike")), "{counts:?}");
    let times = histories(shop);
    assert!(
        times
            .iter()
            .all(|user| user.is_sorted_by_key(|&(_, time)| time))
    );
}
