//! What models are judged by, followed by hand: metrics, reports, splits.

/// The names of measures, in the order of reports, and those of them that are of all lists
/// together.
const MEASURES: [&str; 9] = [
    "recall",
    "ndcg",
    "hit_rate",
    "mrr",
    "map",
    "precision",
    "coverage",
    "mean_popularity",
    "label_position_ndcg",
];
const OF_ALL: [&str; 2] = ["coverage", "mean_popularity"];

/// One list.
mod metrics {
    use seqrec::data::ItemIndex;
    use seqrec::eval::*;

    /// Hits at ranks 2 and 4 (counted from 1); labels in the order 7, 3, 9.
    const RANKED: [u32; 5] = [1, 9, 2, 7, 5];
    const LABELS: [u32; 3] = [7, 3, 9];

    fn value(metric: &str, ranked: &[u32], labels: &[u32]) -> Option<f64> {
        let [ranked, labels] = [ranked, labels].map(ItemIndex::from_slice);
        metric.parse::<Metric>().unwrap().of_list(ranked, labels)
    }

    fn assert_near(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() < 1e-12,
            "{value} is not {expected}"
        );
    }

    #[test]
    fn by_hand() {
        let at = |metric: &str| value(metric, &RANKED, &LABELS).unwrap();
        assert_near(at("recall@5"), 2.0 / 3.0);
        assert_near(at("recall@2"), 1.0 / 3.0);
        assert_near(at("recall@1"), 0.0);
        assert_near(at("precision@5"), 2.0 / 5.0);
        // A short list does not make k smaller.
        assert_near(at("precision@10"), 2.0 / 10.0);
        assert_near(at("hit_rate@2"), 1.0);
        assert_near(at("hit_rate@1"), 0.0);
        assert_near(at("mrr@5"), 0.5);
        assert_near(at("mrr@1"), 0.0);
        assert_near(at("map@5"), (1.0 / 2.0 + 2.0 / 4.0) / 3.0);
        assert_near(at("map@2"), (1.0 / 2.0) / 2.0);
        let log3 = 3f64.log2();
        assert_near(
            at("ndcg@5"),
            (1.0 / log3 + 1.0 / 5f64.log2()) / (1.0 + 1.0 / log3 + 0.5),
        );
        // Two places can hold two labels at best, found or not.
        assert_near(at("ndcg@2"), (1.0 / log3) / (1.0 + 1.0 / log3));
        // Found labels stand at places 0 and 2 of the labels.
        assert_near(
            at("label_position_ndcg@5"),
            (1.0 + 0.5) / (1.0 + 1.0 / log3),
        );
        assert_near(at("label_position_ndcg@1"), 0.0);
    }

    #[test]
    fn a_perfect_list_is_one() {
        for name in ["recall", "precision", "hit_rate", "ndcg", "map"] {
            assert_near(value(&format!("{name}@3"), &LABELS, &LABELS).unwrap(), 1.0);
        }
    }

    #[test]
    fn without_labels_and_of_all_lists_there_is_no_value() {
        assert_eq!(value("recall@5", &RANKED, &[]), None);
        for name in ["coverage@5", "mean_popularity@5"] {
            assert_eq!(value(name, &RANKED, &LABELS), None, "{name}");
        }
    }

    #[test]
    fn names_are_read_back_and_wrong_ones_refused() {
        let metrics = [Metric::recall(20), Metric::ndcg(20), Metric::hit_rate(20)];
        for (metric, name) in metrics.into_iter().zip(super::MEASURES) {
            assert_eq!(metric.unwrap().to_string(), format!("{name}@20"));
        }
        for measure in super::MEASURES {
            let name = format!("{measure}@20");
            assert_eq!(name.parse::<Metric>().unwrap().to_string(), name);
        }
        for text in ["recall", "recall@", "recall@0", "recall@x", "recal@5", ""] {
            assert!(text.parse::<Metric>().is_err(), "{text}");
        }
    }
}

/// Many lists.
mod reports {
    use seqrec::data::{Catalog, ExternalId, ItemIndex};
    use seqrec::eval::*;
    use seqrec::{Error, ErrorKind};

    fn items(numbers: &[u32]) -> &[ItemIndex] {
        ItemIndex::from_slice(numbers)
    }

    fn catalog() -> Catalog {
        Catalog::from_ids((1..=4).map(ExternalId::Integer))
            .unwrap()
            .with_counts([items(&[1, 1, 1, 2, 3])])
    }

    #[test]
    fn means_coverage_and_popularity_by_hand() {
        let catalog = catalog();
        let mut scorer = Scorer::new(&catalog, &[1, 3]).unwrap();
        scorer.add(items(&[1, 2, 3]), items(&[1]));
        scorer.add(items(&[2, 1, 3]), items(&[3, 4, 3]));
        scorer.add(items(&[2, 1, 3]), &[]);
        let report = scorer.report();
        let value = |name: &str| report.get(name.parse().unwrap()).unwrap();
        assert_eq!(report.users, 2);
        assert_eq!(value("recall@1"), 0.5);
        assert_eq!(value("recall@3"), (1.0 + 0.5) / 2.0);
        assert_eq!(value("coverage@1"), 2.0 / 4.0);
        assert_eq!(value("coverage@3"), 3.0 / 4.0);
        assert_eq!(value("mean_popularity@1"), (3.0 + 1.0) / 2.0);
        assert_eq!(value("mean_popularity@3"), 2.0 * (3.0 + 1.0 + 1.0) / 6.0);
        assert_eq!(report.iter().count(), 2 * super::MEASURES.len());

        let ranked = [[1, 2, 3], [2, 1, 3], [2, 1, 3]];
        let labels = [&[1][..], &[3, 4, 3], &[]];
        let mut scorer = Scorer::new(&catalog, &[1, 3]).unwrap();
        scorer.add_all(3, |user| items(&ranked[user]), |user| items(labels[user]));
        assert_eq!(scorer.report(), report);
    }

    #[test]
    fn repeats_count_once_and_unknown_items_for_nothing() {
        let catalog = catalog();
        let mut scorer = Scorer::new(&catalog, &[4]).unwrap();
        scorer.add(items(&[1, 1, 99, 2]), items(&[1]));
        scorer.add_unreachable(2);
        let report = scorer.report();
        for measure in ["recall", "ndcg", "map", "hit_rate", "mrr"] {
            let value = report.get(format!("{measure}@4").parse().unwrap());
            assert_eq!(value, Some(1.0), "{measure}");
        }
        assert_eq!(report.get("precision@4".parse().unwrap()), Some(0.25));
        assert_eq!(report.get("coverage@4".parse().unwrap()), Some(0.5));
        assert_eq!(report.unreachable_labels, 2);
    }

    /// The measures as they are written down, by looking for every item among all labels.
    fn written_down(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> [f64; 7] {
        let first = &ranked[..k.min(ranked.len())];
        let hits = || {
            (first.iter().enumerate())
                .filter(|(rank, item)| labels.contains(item) && !first[..*rank].contains(item))
                .map(|(rank, _)| rank)
        };
        let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let precision =
            |(before, rank): (usize, usize)| (before as f64 + 1.0) / (rank as f64 + 1.0);
        let found = labels.iter().enumerate();
        let found = found.filter(|(_, label)| first.contains(label));
        let (mut gain, mut best) = (0.0, 0.0);
        for (hits, (place, _)) in found.enumerate() {
            gain += discount(place);
            best += discount(hits);
        }
        let ideal = k.min(labels.len());
        [
            hits().count() as f64 / labels.len() as f64,
            hits().map(discount).sum::<f64>() / (0..ideal).map(discount).sum::<f64>(),
            f64::from(u8::from(hits().count() > 0)),
            hits().next().map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0)),
            hits().enumerate().map(precision).sum::<f64>() / ideal as f64,
            hits().count() as f64 / k as f64,
            if best == 0.0 { 0.0 } else { gain / best },
        ]
    }

    #[test]
    fn many_labels_are_measured_to_the_bit_as_few() {
        let catalog = Catalog::from_ids((1..=200).map(ExternalId::Integer)).unwrap();
        let mut state = 7u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for round in 0..200 {
            // Some items come twice, and some are in no catalog.
            let ranked: Vec<u32> = (0..draw(60)).map(|_| 1 + draw(220)).collect();
            let labels: Vec<u32> = (0..1 + draw(90)).map(|_| 1 + draw(200)).collect();
            let mut once: Vec<u32> = Vec::new();
            for label in &labels {
                if !once.contains(label) {
                    once.push(*label);
                }
            }
            let ks = [7, 1, 50];
            let mut scorer = Scorer::new(&catalog, &ks).unwrap();
            scorer.add(items(&ranked), items(&labels));
            let report = scorer.report();
            for k in ks {
                let expected = written_down(items(&ranked), items(&once), k);
                let of_users = super::MEASURES
                    .into_iter()
                    .filter(|name| !super::OF_ALL.contains(name));
                for (measure, expected) in of_users.zip(expected) {
                    // A sum of nothing is -0, and a report adds to 0.
                    let expected = 0.0 + expected;
                    let found = report
                        .get(format!("{measure}@{k}").parse().unwrap())
                        .unwrap();
                    assert_eq!(
                        found.to_bits(),
                        expected.to_bits(),
                        "{round}: {measure}@{k}"
                    );
                }
            }
        }
    }

    #[test]
    fn cuts_that_cannot_be_are_refused() {
        let catalog = catalog();
        for ks in [&[][..], &[0], &[1, 5]] {
            assert!(matches!(
                Scorer::new(&catalog, ks).as_ref().map_err(Error::kind),
                Err(ErrorKind::InvalidValue { field: "k", .. })
            ));
        }
    }

    #[test]
    fn reports_survive_json() {
        let catalog = catalog();
        let mut scorer = Scorer::new(&catalog, &[2]).unwrap();
        scorer.add(items(&[1, 2]), items(&[2]));
        let json = serde_json::to_string(&scorer.report()).unwrap();
        assert_eq!(
            serde_json::from_str::<Report>(&json).unwrap(),
            scorer.report()
        );
    }
}

/// What is learned from, and what is held out.
mod splits {
    use seqrec::data::*;
    use seqrec::{Error, ErrorKind};

    fn dataset(lengths: &[usize]) -> Dataset {
        let rows = lengths.iter().enumerate().flat_map(|(user, &length)| {
            (0..length).map(move |place| {
                Interaction::new(user as i64, place as i64, (10 * place + user) as f64)
            })
        });
        let log: Interactions = rows.collect();
        Dataset::new(log, Filters::default()).unwrap()
    }

    #[test]
    fn ratio_divides_users_and_held_out_sequences() {
        let split = Split::new(&dataset(&[10; 50]), Protocol::Ratio { seed: 1 }).unwrap();
        assert_eq!(
            (
                split.train.sequences().len(),
                split.valid.len(),
                split.test.len()
            ),
            (40, 5, 5)
        );
        for case in split.valid.iter().chain(split.test.iter()) {
            assert_eq!((case.user.items().len(), case.labels.len()), (8, 2));
            assert!(
                case.user
                    .items()
                    .iter()
                    .copied()
                    .eq((1..=8).map(ItemIndex::new))
            );
        }
        let mut held_out: Vec<usize> = split
            .valid
            .iter()
            .chain(split.test.iter())
            .map(|case| case.number)
            .collect();
        held_out.sort_unstable();
        held_out.dedup();
        assert_eq!(held_out.len(), 10);
    }

    #[test]
    fn items_that_are_left_out_stay_in_histories_and_among_test_labels_alone() {
        let split = Split::new(&dataset(&[10; 50]), Protocol::Ratio { seed: 1 }).unwrap();
        let left_out = ItemIndex::from_slice(&[3, 9]);
        let without = split
            .clone()
            .without_items(|item| left_out.contains(&item))
            .unwrap();
        let trained = without.train.sequences();
        assert_eq!(trained.len(), 40);
        assert!((trained.item_lists().flatten()).all(|item| !left_out.contains(item)));
        assert_eq!((without.valid.len(), without.test.len()), (5, 5));
        for (before, case) in split.valid.iter().zip(without.valid.iter()) {
            assert_eq!(case.number, before.number);
            assert_eq!(case.user.items(), before.user.items());
            assert_eq!(case.labels, ItemIndex::from_slice(&[10]));
            // That of the first label that is left.
            assert_eq!(case.user.now(), Some((10 * 9 + case.number) as f64));
        }
        assert!(without.test.iter().eq(split.test.iter()));
        let all = split.without_items(|item| item.get() > 8).unwrap();
        assert!(all.valid.is_empty());
        assert_eq!(all.test.len(), 5);
    }

    #[test]
    fn the_seed_decides_who_is_held_out() {
        let users = |seed| -> Vec<usize> {
            let split = Split::new(&dataset(&[5; 100]), Protocol::Ratio { seed }).unwrap();
            split.test.iter().map(|case| case.number).collect()
        };
        assert_eq!(users(3), users(3));
        assert_ne!(users(3), users(4));
    }

    #[test]
    fn leave_one_out_takes_the_last_two_and_counts_the_short() {
        let split = Split::new(&dataset(&[4, 2, 3]), Protocol::LeaveOneOut).unwrap();
        assert_eq!(split.too_short, 1);
        let expected = [&[1, 2][..], &[1]].map(ItemIndex::from_slice);
        assert!(split.train.sequences().item_lists().eq(expected));
        let user = |times| User::with_times(ItemIndex::from_slice(&[1, 2]), times).unwrap();
        assert_eq!(
            split.valid.get(0),
            Case {
                number: 0,
                user: user(&[0.0, 10.0]).at(20.0),
                labels: ItemIndex::from_slice(&[3])
            }
        );
        assert_eq!(
            split.test.get(1),
            Case {
                number: 2,
                user: user(&[2.0, 12.0]).at(22.0),
                labels: ItemIndex::from_slice(&[3])
            }
        );
    }

    #[test]
    fn a_time_cut_holds_for_everyone() {
        // User u acts at u, 10 + u, 20 + u, …
        let split = Split::new(
            &dataset(&[5, 5, 2]),
            Protocol::TimeCut {
                valid: 11.0,
                test: 30.0,
            },
        )
        .unwrap();
        assert_eq!(
            split
                .train
                .sequences()
                .item_lists()
                .map(<[_]>::len)
                .collect::<Vec<_>>(),
            [2, 1, 1]
        );
        assert_eq!(
            split
                .valid
                .iter()
                .map(|case| case.labels.len())
                .collect::<Vec<_>>(),
            [1, 2, 1]
        );
        assert_eq!(
            split
                .test
                .iter()
                .map(|case| case.user.items().len())
                .collect::<Vec<_>>(),
            [3, 3]
        );
        assert_eq!(split.catalog().counts()[..3], [0, 3, 1]);
    }

    /// Ten users who each act on ten days in a row, user u from day 10 + u on, and one who begins
    /// late.
    fn days() -> Dataset {
        let day = 86_400.0;
        let start = 1.5e9;
        let rows =
            (0..10).flat_map(|user| (0..10).map(move |place| (user, place, 10 + user + place)));
        let late = (0..3).map(|place| (99, place, 27 + place));
        let log: Interactions = (rows.chain(late))
            .map(|(user, item, at): (i64, i64, i64)| {
                Interaction::new(user, item, start + day * at as f64)
            })
            .collect();
        Dataset::new(log, Filters::default()).unwrap()
    }

    #[test]
    fn who_begins_after_a_cut_is_a_newcomer_and_not_too_short() {
        let dataset = days();
        let at = |day: f64| 1.5e9 + 86_400.0 * day;
        let cut = Protocol::TimeCut {
            valid: at(15.0),
            test: at(18.0),
        };
        let split = Split::new(&dataset, cut).unwrap();
        // Users 0 to 4 begin before day 15, 5 to 7 before day 18, and 8, 9 and 99 after it.
        assert_eq!(split.too_short, 0);
        assert_eq!((split.train.sequences().len(), split.valid.len()), (5, 5));
        let users = |cases: &Spans| cases.iter().map(|case| case.number).collect::<Vec<_>>();
        assert_eq!(users(&split.valid.newcomers()), [5, 6, 7]);
        assert_eq!(users(&split.test), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(users(&split.test.newcomers()), [8, 9, 10]);
        let newcomers = split.test.newcomers();
        assert_eq!(newcomers.get(2).labels.len(), 3);
        assert_eq!(newcomers.get(2).user.now(), Some(at(27.0)));
        assert_eq!(newcomers.newcomers().len(), 0);
        assert_ne!(newcomers.fingerprint(), split.test.fingerprint());
        // They can be recalled for, by what needs no history.
        let catalog = split.catalog();
        let popularity = seqrec::channels::Popularity::new(catalog);
        let evaluation = seqrec::recall::Evaluation::new(&[5], Seen::Exclude);
        let report = evaluation.run(&popularity, &newcomers, catalog).unwrap();
        assert_eq!(report.users, 3);
        assert!(report.hit_rate(5).unwrap() > 0.0);
    }

    #[test]
    fn a_time_cut_is_by_shares_or_dates_as_well() {
        let dataset = days();
        let sequences = dataset.sequences();
        let cut = Protocol::time_cut_at_shares(&dataset, 0.5, 0.8).unwrap();
        let Protocol::TimeCut { valid, test } = cut else {
            panic!("{cut:?}")
        };
        let before = |cut: f64| -> usize {
            let users = (0..dataset.users()).map(|user| sequences.times(user));
            users.flatten().filter(|&&time| time < cut).count()
        };
        assert!((0.4..=0.5).contains(&(before(valid) as f64 / 103.0)));
        assert!((0.7..=0.8).contains(&(before(test) as f64 / 103.0)));
        for (valid, test, field) in [
            (0.0, 0.5, "valid"),
            (f64::NAN, 0.5, "valid"),
            (0.5, 1.0, "test"),
            (0.8, 0.5, "test"),
            (0.5, 0.5, "test"),
            // Nothing lies before the first time.
            (0.001, 0.5, "valid"),
        ] {
            let refused = Protocol::time_cut_at_shares(&dataset, valid, test).unwrap_err();
            let named = matches!(refused.kind(), ErrorKind::InvalidValue { field: name, .. } if *name == field);
            assert!(named, "{refused}");
        }
        let refused = Protocol::time_cut_at_shares(&dataset, 0.001, 0.5).unwrap_err();
        assert!(refused.to_string().contains("0.001"), "{refused}");

        // 1.5e9 is 2017-07-14 02:40.
        let at = Protocol::time_cut_at_dates(&dataset, "2017-07-29", "2017-08-01 02:40:00");
        let expected = Protocol::TimeCut {
            valid: 1_501_286_400.0,
            test: 1.5e9 + 18.0 * 86_400.0,
        };
        assert_eq!(at.unwrap(), expected);
        let refused = Protocol::time_cut_at_dates(&dataset, "2017-07-29", "in August");
        assert!(refused.unwrap_err().to_string().contains("in August"));
        // In milliseconds a date is another number.
        let mut log = Interactions::default();
        log.push(Interaction::new(1, 1, 1.5e12));
        let rolling = Rolling::at_dates(&log, &["2017-07-29", "2017-08-01"]).unwrap();
        assert_eq!(rolling.cuts(), [1.501_286_4e12, 1.501_545_6e12]);
        let order = super::splits::dataset(&[5, 5]);
        let refused = Protocol::time_cut_at_dates(&order, "2017-07-29", "2017-08-01").unwrap_err();
        assert!(refused.to_string().contains("no known unit"), "{refused}");
    }

    /// A cut in milliseconds of data in seconds would train on everything and test nothing.
    #[test]
    fn a_cut_outside_of_the_data_says_where_they_are() {
        let dataset = days();
        let at = |day: f64| 1.5e9 + 86_400.0 * day;
        for (valid, test, field) in [
            (1e3 * at(15.0), 1e3 * at(18.0), "protocol.valid"),
            (at(15.0), 1e3 * at(18.0), "protocol.test"),
            (at(15.0) / 1e3, at(18.0) / 1e3, "protocol.valid"),
            (at(10.0), at(18.0), "protocol.valid"),
        ] {
            let refused = Split::new(&dataset, Protocol::TimeCut { valid, test }).unwrap_err();
            let reason = refused.to_string();
            assert!(
                matches!(refused.kind(), ErrorKind::InvalidValue { field: name, .. } if *name == field),
                "{reason}"
            );
            let range = "1500864000 to 1502505600, 2017-07-24 to 2017-08-12 in seconds";
            assert!(reason.contains(range), "{reason}");
            let says_none = reason.contains("infinity for no test");
            assert_eq!(says_none, field == "protocol.test", "{reason}");
        }
        // No test is what infinity asks for.
        let cut = Protocol::TimeCut {
            valid: at(15.0),
            test: f64::INFINITY,
        };
        let split = Split::new(&dataset, cut).unwrap();
        assert_eq!((split.valid.len(), split.test.len()), (5, 0));

        let mut log = Interactions::default();
        for place in 0..30 {
            log.push(Interaction::new(1, place, at(place as f64)));
        }
        let rolling = Rolling::at(vec![1e3 * at(15.0), 1e3 * at(18.0)]).unwrap();
        let refused = rolling.split(&log, Filters::default(), 0).unwrap_err();
        assert!(refused.to_string().contains("cuts"), "{refused}");
        assert!(refused.to_string().contains("in seconds"), "{refused}");
    }

    #[test]
    fn what_cannot_be_split_is_an_error() {
        let data = dataset(&[2, 2]);
        assert!(matches!(
            Split::new(&data, Protocol::LeaveOneOut)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::NothingLeft { .. })
        ));
        let cut = Protocol::TimeCut {
            valid: 5.0,
            test: 5.0,
        };
        assert!(matches!(
            Split::new(&data, cut).as_ref().map_err(Error::kind),
            Err(ErrorKind::InvalidValue {
                field: "protocol.test",
                ..
            })
        ));
    }
}

/// Cases of data whose items have other numbers than those of the model.
mod other_catalogs {
    use seqrec::data::{Catalog, ExternalId, ItemIndex, Spans};
    use seqrec::prelude::*;
    use seqrec::store::{Recaller, Run};
    use seqrec::{ErrorKind, data::Interaction};

    const USERS: u32 = 40;
    const ITEMS: u32 = 30;

    /// What each user did, the rows in the order of `users`, the items' ids with a letter before.
    fn split(users: impl Iterator<Item = u32>, letter: impl Fn(u32) -> char) -> Split {
        let rows = users.flat_map(|user| (0..8).map(move |step| (user, step)));
        let log: Interactions = rows
            .map(|(user, step)| {
                let item = (user * 7 + step * step) % ITEMS;
                Interaction::new(user, format!("{}{item}", letter(item)), f64::from(step))
            })
            .collect();
        let dataset = Dataset::new(log, Filters::default()).unwrap();
        Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
    }

    fn model(catalog: &Catalog) -> Recaller {
        let config = Gru4RecConfig::new().with_dim(8);
        let model = config
            .init::<Flex>(catalog.len(), 1, &Default::default())
            .unwrap();
        Run::<Flex, _>::new(config, model, catalog.clone()).into()
    }

    fn ids<'a>(catalog: &'a Catalog, items: &'a [ItemIndex]) -> Vec<Option<&'a ExternalId>> {
        items.iter().map(|&item| catalog.id_of(item)).collect()
    }

    fn labels(cases: &Spans) -> impl Iterator<Item = ItemIndex> {
        cases.iter().flat_map(|case| case.labels.iter().copied())
    }

    #[test]
    fn the_order_of_rows_changes_no_metric() {
        let own = split(0..USERS, |_| 'a');
        let other = split((0..USERS).rev(), |_| 'a');
        assert_eq!(own.catalog().len(), other.catalog().len());
        assert_ne!(own.catalog().fingerprint(), other.catalog().fingerprint());
        let model = model(own.catalog());
        let expected = model.evaluate(&own.test).unwrap();
        let renumbered = other.test.for_catalog(model.catalog()).unwrap();
        let found = model.evaluate(&renumbered).unwrap();
        assert_eq!(found.users, expected.users);
        for ((metric, found), (_, expected)) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-9,
                "{metric}: {found}, {expected}"
            );
        }
        // By the numbers alone they would be others, which is refused, in whichever way it is
        // asked.
        let refused = |result: seqrec::Result<seqrec::eval::Report>| {
            let error = result.unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::InvalidValue { .. }),
                "{error}"
            );
            assert!(error.to_string().contains("for_catalog"), "{error}");
        };
        refused(model.evaluate(&other.test));
        let evaluation = Evaluation::new(&[10], Seen::Exclude);
        let channel = model.channel().unwrap();
        refused(evaluation.run(&channel, &other.test, own.catalog()));
        refused(evaluation.run(&channel, &other.test, other.catalog()));
        assert!(Retriever::new(channel, other.catalog().clone()).is_err());
    }

    #[test]
    fn unknown_items_are_left_out_of_histories_and_not_found_as_labels() {
        let own = split(0..USERS, |_| 'a');
        let other = split(0..USERS, |item| if item % 3 == 0 { 'b' } else { 'a' });
        let catalog = own.catalog();
        let renumbered = other.test.for_catalog(catalog).unwrap();
        assert_eq!(
            renumbered.len() + renumbered.newcomers().len(),
            other.test.len()
        );
        for case in renumbered.iter() {
            let place = (0..other.test.len()).find(|&place| other.test.user(place) == case.number);
            let before = other.test.get(place.unwrap());
            let mut history = ids(other.catalog(), before.user.items());
            history.retain(|id| catalog.index_of(id.unwrap()).is_some());
            assert_eq!(ids(catalog, case.user.items()), history);
            assert_eq!(case.user.now(), before.user.now());
            assert_eq!(case.user.times().len(), history.len());
            assert_eq!(case.labels.len(), before.labels.len());
            for (label, before) in case.labels.iter().zip(ids(other.catalog(), before.labels)) {
                assert_eq!(
                    Some(*label).filter(|&label| catalog.id_of(label).is_some()),
                    catalog.index_of(before.unwrap())
                );
            }
        }
        let unknown = labels(&renumbered).filter(|&label| catalog.id_of(label).is_none());
        assert!(unknown.count() > 0);
        // All of the catalog is recalled: what is missed is unknown.
        let evaluation = Evaluation::new(&[catalog.len()], Seen::Keep);
        let channel = model(catalog).channel().unwrap();
        let report = evaluation.run(&channel, &renumbered, catalog).unwrap();
        let known = labels(&renumbered).filter(|&label| catalog.id_of(label).is_some());
        let share = known.count() as f64 / labels(&renumbered).count() as f64;
        assert!((report.recall(catalog.len()).unwrap() - share).abs() < 1e-9);
    }

    #[test]
    fn a_catalog_of_none_of_the_items_is_an_error() {
        let own = split(0..USERS, |_| 'a');
        let other = split(0..USERS, |_| 'b');
        let error = other.test.for_catalog(own.catalog()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NothingLeft { .. }),
            "{error}"
        );
    }
}
