//! What models are judged by, followed by hand: metrics, reports, splits.

/// One list.
mod metrics {
    use seqrec::data::ItemIndex;
    use seqrec::eval::*;

    /// Hits at ranks 2 and 4 (counted from 1); labels in the order 7, 3, 9.
    const RANKED: [u32; 5] = [1, 9, 2, 7, 5];
    const LABELS: [u32; 3] = [7, 3, 9];

    type PerList = fn(&[ItemIndex], &[ItemIndex], usize) -> f64;

    fn at(measure: PerList, ranked: &[u32], k: usize) -> f64 {
        let [ranked, labels] = [ranked, &LABELS].map(ItemIndex::from_slice);
        measure(ranked, labels, k)
    }

    fn assert_near(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() < 1e-12,
            "{value} is not {expected}"
        );
    }

    #[test]
    fn by_hand() {
        let at = |measure: PerList, k| at(measure, &RANKED, k);
        assert_near(at(recall_at, 5), 2.0 / 3.0);
        assert_near(at(recall_at, 2), 1.0 / 3.0);
        assert_near(at(recall_at, 1), 0.0);
        assert_near(at(precision_at, 5), 2.0 / 5.0);
        // A short list does not make k smaller.
        assert_near(at(precision_at, 10), 2.0 / 10.0);
        assert_near(at(hit_rate_at, 2), 1.0);
        assert_near(at(hit_rate_at, 1), 0.0);
        assert_near(at(reciprocal_rank_at, 5), 0.5);
        assert_near(at(reciprocal_rank_at, 1), 0.0);
        assert_near(at(average_precision_at, 5), (1.0 / 2.0 + 2.0 / 4.0) / 3.0);
        assert_near(at(average_precision_at, 2), (1.0 / 2.0) / 2.0);
        let log3 = 3f64.log2();
        assert_near(
            at(ndcg_at, 5),
            (1.0 / log3 + 1.0 / 5f64.log2()) / (1.0 + 1.0 / log3 + 0.5),
        );
        // Two places can hold two labels at best, found or not.
        assert_near(at(ndcg_at, 2), (1.0 / log3) / (1.0 + 1.0 / log3));
        // Found labels stand at places 0 and 2 of the labels.
        assert_near(
            at(label_position_ndcg_at, 5),
            (1.0 + 0.5) / (1.0 + 1.0 / log3),
        );
        assert_near(at(label_position_ndcg_at, 1), 0.0);
    }

    #[test]
    fn a_perfect_list_is_one() {
        let measures: [PerList; 5] = [
            recall_at,
            precision_at,
            hit_rate_at,
            ndcg_at,
            average_precision_at,
        ];
        for measure in measures {
            assert_near(at(measure, &LABELS, 3), 1.0);
        }
    }

    #[test]
    fn names_are_read_back_and_wrong_ones_refused() {
        for measure in Measure::ALL {
            let metric = Metric::new(measure, 20).unwrap();
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
        for text in ["recall", "recall@", "recall@0", "recall@x", "recal@5", ""] {
            assert!(text.parse::<Metric>().is_err(), "{text}");
        }
    }
}

/// Many lists.
mod reports {
    use seqrec::Error;
    use seqrec::data::{Catalog, ExternalId, ItemIndex};
    use seqrec::eval::*;

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
        assert_eq!(report.iter().count(), 2 * Measure::ALL.len());

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

    #[test]
    fn cuts_that_cannot_be_are_refused() {
        let catalog = catalog();
        for ks in [&[][..], &[0], &[1, 5]] {
            assert!(matches!(
                Scorer::new(&catalog, ks),
                Err(Error::InvalidValue { field: "k", .. })
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
    use seqrec::Error;
    use seqrec::data::*;

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
            (split.train.len(), split.valid.len(), split.test.len()),
            (40, 5, 5)
        );
        for case in split.valid.iter().chain(split.test.iter()) {
            assert_eq!((case.history.len(), case.labels.len()), (8, 2));
            assert!(case.history.iter().copied().eq((1..=8).map(ItemIndex::new)));
        }
        let mut held_out: Vec<usize> = split
            .valid
            .iter()
            .chain(split.test.iter())
            .map(|case| case.user)
            .collect();
        held_out.sort_unstable();
        held_out.dedup();
        assert_eq!(held_out.len(), 10);
    }

    #[test]
    fn the_seed_decides_who_is_held_out() {
        let users = |seed| -> Vec<usize> {
            let split = Split::new(&dataset(&[5; 100]), Protocol::Ratio { seed }).unwrap();
            split.test.iter().map(|case| case.user).collect()
        };
        assert_eq!(users(3), users(3));
        assert_ne!(users(3), users(4));
    }

    #[test]
    fn leave_one_out_takes_the_last_two_and_counts_the_short() {
        let split = Split::new(&dataset(&[4, 2, 3]), Protocol::LeaveOneOut).unwrap();
        assert_eq!(split.too_short, 1);
        let expected = [&[1, 2][..], &[1]].map(ItemIndex::from_slice);
        assert!(split.train.iter().eq(expected));
        assert_eq!(
            split.valid.get(0),
            Case {
                user: 0,
                history: ItemIndex::from_slice(&[1, 2]),
                times: &[0.0, 10.0],
                labels: ItemIndex::from_slice(&[3])
            }
        );
        assert_eq!(
            split.test.get(1),
            Case {
                user: 2,
                history: ItemIndex::from_slice(&[1, 2]),
                times: &[2.0, 12.0],
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
            split.train.iter().map(<[_]>::len).collect::<Vec<_>>(),
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
                .map(|case| case.history.len())
                .collect::<Vec<_>>(),
            [3, 3]
        );
        assert_eq!(split.catalog().counts()[..3], [0, 3, 1]);
    }

    #[test]
    fn what_cannot_be_split_is_an_error() {
        let data = dataset(&[2, 2]);
        assert!(matches!(
            Split::new(&data, Protocol::LeaveOneOut),
            Err(Error::NothingLeft { .. })
        ));
        let cut = Protocol::TimeCut {
            valid: 5.0,
            test: 5.0,
        };
        assert!(matches!(
            Split::new(&data, cut),
            Err(Error::InvalidValue {
                field: "protocol.test",
                ..
            })
        ));
    }
}
