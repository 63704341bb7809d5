//! Data sets and what is cut of them.

mod rolling {
    use seqrec::data::{Filters, Interaction, Interactions, Rolling};
    use seqrec::{Error, ErrorKind};

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
            let trained: usize = split.train.sequences().item_lists().map(<[_]>::len).sum();
            assert_eq!(trained, 10 * (6 + window));
            let case = split.test.get(0);
            assert_eq!(
                (case.user.items().len(), case.labels.len()),
                (7 + window, 1)
            );
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
                Rolling::at(cuts).as_ref().map_err(Error::kind),
                Err(ErrorKind::InvalidValue { field: "cuts", .. })
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
                matches!(refused.kind(), ErrorKind::InvalidValue { field, .. } if *field == name),
                "{refused}"
            );
        }
        assert!(Rolling::evenly(&Interactions::default(), 0.5, 1).is_err());
    }
}

mod dataset {
    use seqrec::data::{Dataset, Filters, Interaction, Interactions, ItemIndex, Repeats};
    use seqrec::{Error, ErrorKind};

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
        rows.push(Interaction::new("u", "b", 2.0).with_value(2.0));
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
            Dataset::new(rows.clone(), core)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::NothingLeft { .. })
        ));
        assert!(matches!(
            Dataset::new(rows, with(f32::NAN))
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::InvalidValue {
                field: "minimum_value",
                ..
            })
        ));
    }
}

mod sequence_stores {
    use std::fs;

    use seqrec::data::{
        Batcher, Dataset, Filters, Interaction, InteractionReader, Interactions, Protocol,
        SequenceStore, Split, Targets,
    };
    use seqrec::prelude::Flex;
    use seqrec::{Error, ErrorKind};

    /// Interactions whose users come in no order, with ties in time, repeats, low values, and users
    /// and items that are rare.
    fn log() -> Interactions {
        let mut state = 1u64;
        let mut draw = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        (0..6_000)
            .map(|_| {
                let user = draw(300);
                let most = 1 + draw(150);
                let item = draw(most);
                let value = draw(10) as f32 / 2.0;
                let time = draw(40) as f64 - 3.5;
                Interaction::new(format!("user {user}"), item as i64, time).with_value(value)
            })
            .collect()
    }

    fn assert_same(store: &Dataset, memory: &Dataset) {
        assert_eq!(store.catalog(), memory.catalog());
        assert_eq!(store.sequences(), memory.sequences());
        for user in 0..=memory.users() {
            assert_eq!(store.user_id(user), memory.user_id(user));
        }
        let user = memory.users() / 2;
        let id = memory.user_id(user).unwrap();
        assert_eq!(store.user_of(id), Some(user));
    }

    #[test]
    fn splits_and_batches_are_those_of_the_data_set_in_memory() {
        let home = tempfile::tempdir().unwrap();
        let mut writer =
            SequenceStore::create(home.path().join("log.store"), Filters::default()).unwrap();
        writer.append(log()).unwrap();
        let store = writer.finish().unwrap();
        let memory = Dataset::new(log(), Filters::default()).unwrap();
        for protocol in [
            Protocol::LeaveOneOut,
            Protocol::Ratio { seed: 3 },
            Protocol::TimeCut {
                valid: 20.0,
                test: 30.0,
            },
        ] {
            let splits = [store.dataset(), &memory].map(|of| Split::new(of, protocol).unwrap());
            let [stored, known] = &splits;
            assert_eq!(stored.fingerprint(), known.fingerprint());
            assert!(stored.test.iter().eq(known.test.iter()));
        }
        let batches = [store.dataset(), &memory].map(|of| {
            let all = of.training_data();
            let batcher = Batcher::new(&all, 32, 10, Targets::ONE_RANDOM, 5).unwrap();
            let batches = batcher.epoch::<Flex>(1, &Default::default());
            let numbers = batches.map(|batch| {
                let numbers = [
                    batch.histories.items.into_data(),
                    batch.positions.into_data(),
                    batch.targets.into_data(),
                ];
                (numbers, batch.histories.times, batch.seed)
            });
            numbers.collect::<Vec<_>>()
        });
        let [stored, known] = &batches;
        assert_eq!(stored, known);
    }

    #[test]
    fn what_is_no_store_is_an_error_and_nothing_is_lost() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log.store");
        let write = || {
            let mut writer = SequenceStore::create(&path, Filters::default()).unwrap();
            writer.append(log()).unwrap();
            writer
        };
        write().finish().unwrap();
        let whole = fs::read(&path).unwrap();
        // A writer that is dropped, or finds nothing, leaves the old store.
        drop(write());
        let none = SequenceStore::create(&path, Filters::default())
            .unwrap()
            .finish();
        assert!(
            matches!(
                none.as_ref().map_err(Error::kind),
                Err(ErrorKind::NothingLeft { .. })
            ),
            "{none:?}"
        );
        let none = {
            let filters = Filters::default().with_minimum_per_user(10_000);
            let mut writer = SequenceStore::create(&path, filters).unwrap();
            writer.append(log()).unwrap();
            writer.finish()
        };
        assert!(
            matches!(
                none.as_ref().map_err(Error::kind),
                Err(ErrorKind::NothingLeft { .. })
            ),
            "{none:?}"
        );
        let bad: Interactions = [Interaction::new("u", "i", f64::NAN)].into_iter().collect();
        let refused = write().append(bad);
        assert!(matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::InvalidValue { field: "time", .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), whole);

        let damaged = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            SequenceStore::open(&path).unwrap_err()
        };
        for length in [0, 5, 100, 256, 5_000, whole.len() - 64, whole.len() - 1] {
            let error = damaged(&whole[..length]);
            assert!(
                matches!(error.kind(), ErrorKind::Damaged { .. }),
                "{length}: {error}"
            );
        }
        for place in (0..whole.len()).step_by(whole.len() / 97) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            if fs::write(&path, &bytes).is_ok()
                && let Ok(store) = SequenceStore::open(&path)
            {
                // Between the arrays nothing is kept.
                assert_same(
                    store.dataset(),
                    &Dataset::new(log(), Filters::default()).unwrap(),
                );
            }
        }
        fs::write(&path, &whole).unwrap();
        let read = InteractionReader::detect(&path).unwrap_err().to_string();
        assert!(read.contains("SequenceStore::open"), "{read}");
        let mut other = whole.clone();
        other[8] = 9;
        assert!(matches!(
            damaged(&other).kind(),
            ErrorKind::FormatVersion { found: 9, .. }
        ));

        // Something else's file or folder is not written over.
        let thesis = home.path().join("thesis.txt");
        fs::write(&thesis, "x").unwrap();
        for taken in [thesis.as_path(), home.path()] {
            let refused = SequenceStore::create(taken, Filters::default());
            assert!(matches!(
                refused.as_ref().map_err(Error::kind),
                Err(ErrorKind::InvalidValue { field: "path", .. })
            ));
            assert!(matches!(
                SequenceStore::open(taken).as_ref().map_err(Error::kind),
                Err(ErrorKind::Damaged { .. })
            ));
        }
        assert!(matches!(
            SequenceStore::open(home.path().join("none"))
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Io { .. })
        ));
    }
}
