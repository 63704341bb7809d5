//! Data sets, what is cut of them, and what is generated.

mod rolling {
    use seqrec::Error;
    use seqrec::data::{Filters, Interaction, Interactions, Rolling};

    /// Ten users who take one item each at times 0 to 9; item 100 + t first appears at time t.
    fn log() -> Interactions {
        let rows = (0..10).flat_map(|user| (0..10).map(move |time| (user, time)));
        rows.map(|(user, time): (i64, i64)| {
            let item = if user == 0 {
                100 + time
            } else {
                (user + time) % 10
            };
            Interaction::new(user, item, time as f64)
        })
        .collect()
    }

    #[test]
    fn each_window_has_its_own_time_and_nothing_after() {
        let log = log();
        let rolling = Rolling::evenly(&log, 0.6, 3).unwrap();
        assert_eq!(
            (rolling.windows(), rolling.cuts()),
            (3, &[6.0, 7.0, 8.0, 9.0][..])
        );
        for window in 0..3 {
            let split = rolling.split(&log, Filters::default(), window).unwrap();
            // Items of times up to the test.
            assert_eq!(split.catalog().len(), 10 + 8 + window);
            assert_eq!((split.valid.len(), split.test.len()), (10, 10));
            let trained: usize = split.train.iter().map(<[_]>::len).sum();
            assert_eq!(trained, 10 * (6 + window));
            let case = split.test.get(0);
            assert_eq!((case.history.len(), case.labels.len()), (7 + window, 1));
        }
    }

    #[test]
    fn cuts_that_cannot_be_are_refused() {
        for cuts in [
            vec![],
            vec![1.0],
            vec![2.0, 1.0],
            vec![1.0, 1.0],
            vec![0.0, f64::NAN],
        ] {
            assert!(matches!(
                Rolling::at(cuts),
                Err(Error::InvalidValue { field: "cuts", .. })
            ));
        }
        let log = log();
        for (share, windows, name) in [
            (0.0, 1, "share"),
            (1.0, 1, "share"),
            (0.5, 0, "windows"),
            (0.5, 20, "windows"),
        ] {
            let refused = Rolling::evenly(&log, share, windows).unwrap_err();
            assert!(
                matches!(refused, Error::InvalidValue { field, .. } if field == name),
                "{refused}"
            );
        }
        assert!(Rolling::evenly(&Interactions::default(), 0.5, 1).is_err());
    }
}

mod synthetic {
    use seqrec::data::synthetic::Synthetic;

    #[test]
    fn the_default_has_the_shape_of_latest_small() {
        let log = Synthetic::default().generate();
        assert_eq!(log.users().len(), 610);
        assert!((60_000..140_000).contains(&log.len()), "{}", log.len());
        assert!(
            (4_000..=9_724).contains(&log.items().len()),
            "{}",
            log.items().len()
        );
    }

    #[test]
    fn the_seed_decides_and_small_sizes_work() {
        let of = |seed| {
            let log = Synthetic::new()
                .with_users(3)
                .with_items(5)
                .with_seed(seed)
                .generate();
            (log.item_numbers().to_vec(), log.times().to_vec())
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let least = Synthetic::new()
            .with_users(0)
            .with_items(0)
            .with_minimum_per_user(0)
            .with_mean_per_user(0)
            .with_tastes(0)
            .with_seed(0);
        assert_eq!(least.generate().len(), 1);
    }
}

mod dataset {
    use seqrec::Error;
    use seqrec::data::{Dataset, Filters, Interaction, Interactions, ItemIndex, Repeats};

    fn log(rows: &[(&str, &str, f64)]) -> Interactions {
        rows.iter()
            .map(|&(user, item, time)| Interaction::new(user, item, time))
            .collect()
    }

    fn sequence(dataset: &Dataset, user: &str) -> Vec<String> {
        let user = dataset.user_of(&user.into()).unwrap();
        let items = dataset.sequences().items(user).iter();
        items
            .map(|&item| dataset.catalog().id_of(item).unwrap().to_string())
            .collect()
    }

    #[test]
    fn sequences_are_in_time_order_with_ties_in_file_order() {
        let log = log(&[
            ("u", "c", 5.0),
            ("u", "b", 1.0),
            ("v", "c", 0.0),
            ("u", "a", 5.0),
            ("u", "d", 1.0),
        ]);
        let dataset = Dataset::new(log, Filters::default()).unwrap();
        assert_eq!(sequence(&dataset, "u"), ["b", "d", "c", "a"]);
        assert_eq!(
            dataset.catalog().index_of(&"c".into()),
            Some(ItemIndex::new(1))
        );
        assert_eq!(dataset.catalog().counts(), [0, 2, 1, 1, 1]);
    }

    #[test]
    fn repeats_are_kept_or_collapsed() {
        let log = log(&[
            ("u", "a", 1.0),
            ("u", "a", 2.0),
            ("u", "b", 3.0),
            ("u", "a", 4.0),
            ("v", "a", 1.0),
        ]);
        let with = |repeats| {
            let filters = Filters::new().with_repeats(repeats);
            sequence(&Dataset::new(log.clone(), filters).unwrap(), "u").concat()
        };
        assert_eq!(with(Repeats::Keep), "aaba");
        assert_eq!(with(Repeats::CollapseRuns), "aba");
        assert_eq!(with(Repeats::First), "ab");
    }

    #[test]
    fn the_core_is_taken_until_nothing_changes() {
        // Dropping user w leaves item c with one interaction, which leaves user v with one.
        let log = log(&[
            ("u", "a", 1.0),
            ("u", "b", 2.0),
            ("x", "a", 1.0),
            ("x", "b", 2.0),
            ("v", "a", 1.0),
            ("v", "c", 2.0),
            ("w", "c", 1.0),
        ]);
        let filters = Filters::new()
            .with_minimum_per_user(2)
            .with_minimum_per_item(2);
        let dataset = Dataset::new(log, filters).unwrap();
        assert_eq!((dataset.users(), dataset.catalog().len()), (2, 2));
        assert_eq!(dataset.user_of(&"v".into()), None);
        assert_eq!(sequence(&dataset, "x"), ["a", "b"]);
    }

    #[test]
    fn low_values_are_dropped_and_nothing_left_is_an_error() {
        let mut rows = log(&[("u", "a", 1.0)]);
        rows.push(Interaction {
            value: Some(2.0),
            ..Interaction::new("u", "b", 2.0)
        });
        let with = |minimum| Filters::new().with_minimum_value(Some(minimum));
        assert_eq!(
            sequence(&Dataset::new(rows.clone(), with(2.0)).unwrap(), "u"),
            ["a", "b"]
        );
        assert_eq!(
            sequence(&Dataset::new(rows.clone(), with(2.5)).unwrap(), "u"),
            ["a"]
        );
        let core = Filters::new().with_minimum_per_user(9);
        assert!(matches!(
            Dataset::new(rows.clone(), core),
            Err(Error::NothingLeft { .. })
        ));
        assert!(matches!(
            Dataset::new(rows, with(f32::NAN)),
            Err(Error::InvalidValue {
                field: "minimum_value",
                ..
            })
        ));
    }
}
