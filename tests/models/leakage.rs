//! Whatever the data and the protocol, the future never reaches a history or the training data.

use proptest::prelude::*;
use seqrec::data::{
    Batcher, Case, Dataset, Filters, Interaction, Interactions, Protocol, Split, Targets,
};
use seqrec::prelude::Flex;

fn dataset() -> impl Strategy<Value = Dataset> {
    // Few times, so that ties are common.
    let row = (0..12i64, 0..30i64, 0..40u32);
    proptest::collection::vec(row, 40..300).prop_map(|rows| {
        let rows = rows
            .into_iter()
            .map(|(user, item, time)| Interaction::new(user, item, f64::from(time)));
        let log: Interactions = rows.collect();
        Dataset::new(log, Filters::default()).unwrap()
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        any::<u64>().prop_map(|seed| Protocol::Ratio { seed }),
        Just(Protocol::LeaveOneOut),
        (1..25u32, 1..14u32).prop_map(|(valid, more)| Protocol::TimeCut {
            valid: f64::from(valid),
            test: f64::from(valid + more),
        }),
    ]
}

/// A case's parts are the user's sequence, cut once: history, then labels.
fn check_case(dataset: &Dataset, case: Case<'_>) -> usize {
    let items = dataset.sequences().items(case.number);
    let cut = case.user.items().len();
    assert!(cut > 0 && !case.labels.is_empty());
    assert_eq!(case.user.items(), &items[..cut]);
    assert_eq!(case.labels, &items[cut..cut + case.labels.len()]);
    cut
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_leaks(dataset in dataset(), protocol in protocol()) {
        let Ok(split) = Split::new(&dataset, protocol) else { return Ok(()) };
        let sequences = dataset.sequences();
        // How far each user's sequence is known to training, and where labels begin.
        let mut first_label = vec![usize::MAX; dataset.users()];
        for case in split.valid.iter().chain(split.test.iter()) {
            let cut = check_case(&dataset, case);
            first_label[case.number] = first_label[case.number].min(cut);
        }
        let held_out: Vec<usize> = split.valid.iter().chain(split.test.iter()).map(|case| case.number).collect();
        let mut training = split.train.sequences().item_lists();
        match protocol {
            Protocol::Ratio { .. } => {
                let users = (0..dataset.users()).filter(|user| !held_out.contains(user));
                // Held-out users who are too short are in neither part.
                let candidates: Vec<_> = users.map(|user| sequences.items(user)).collect();
                prop_assert!(training.all(|sequence| candidates.contains(&sequence)));
                prop_assert_eq!(split.train.sequences().len() + held_out.len() + split.too_short, dataset.users());
            }
            Protocol::LeaveOneOut => {
                let long = (0..dataset.users()).filter(|&user| sequences.items(user).len() >= 3);
                for (user, sequence) in long.zip(training.by_ref()) {
                    prop_assert_eq!(sequence, &sequences.items(user)[..first_label[user]]);
                }
                prop_assert!(training.next().is_none());
                prop_assert_eq!(split.valid.len() + split.too_short, dataset.users());
            }
            Protocol::TimeCut { valid, test } => {
                let before = |user: usize, time: f64| sequences.times(user).iter().filter(|&&t| t < time).count();
                let active = (0..dataset.users()).filter(|&user| before(user, valid) > 0);
                for (user, sequence) in active.zip(training.by_ref()) {
                    prop_assert_eq!(sequence.len(), before(user, valid));
                }
                prop_assert!(training.next().is_none());
                for (cases, cut) in [(&split.valid, valid), (&split.test, test)] {
                    for case in cases.iter() {
                        prop_assert_eq!(case.user.items().len(), before(case.number, cut));
                    }
                }
                for case in split.valid.iter() {
                    prop_assert_eq!(case.user.items().len() + case.labels.len(), before(case.number, test));
                }
                // Whoever has labels is a case or a newcomer, and nobody is left out.
                for (cases, cut, end) in [(&split.valid, valid, test), (&split.test, test, f64::INFINITY)] {
                    let has_labels = (0..dataset.users()).filter(|&user| before(user, cut) < before(user, end));
                    let begun: Vec<usize> = has_labels.clone().filter(|&user| before(user, cut) == 0).collect();
                    let newcomers = cases.newcomers();
                    prop_assert!(newcomers.iter().map(|case| case.number).eq(begun.iter().copied()));
                    prop_assert!(newcomers.iter().all(|case| case.user.items().is_empty() && !case.labels.is_empty()));
                    prop_assert_eq!(cases.len() + newcomers.len(), has_labels.count());
                }
                prop_assert_eq!(split.too_short, 0);
            }
            _ => unreachable!("no other protocol is drawn"),
        }
        // Items are counted over training data alone.
        let counted: u64 = split.catalog().counts().iter().sum();
        prop_assert_eq!(counted as usize, split.train.sequences().item_lists().map(<[_]>::len).sum::<usize>());
    }

    /// The k-core is what is left when users and items with too little are dropped again and again.
    #[test]
    fn a_core_is_what_repeated_dropping_leaves(dataset in dataset(), least in (0..6usize, 0..6usize)) {
        let mut rows: Vec<(usize, u32)> = (0..dataset.users())
            .flat_map(|user| dataset.sequences().items(user).iter().map(move |item| (user, item.get())))
            .collect();
        loop {
            let before = rows.clone();
            let count = |of: &dyn Fn(&(usize, u32)) -> bool| before.iter().filter(|row| of(row)).count();
            rows.retain(|&(user, item)| {
                count(&|row| row.0 == user) >= least.0 && count(&|row| row.1 == item) >= least.1
            });
            if rows.len() == before.len() {
                break;
            }
        }
        let log: Interactions = (0..dataset.users())
            .flat_map(|user| {
                let times = dataset.sequences().times(user).iter();
                let items = dataset.sequences().items(user).iter();
                items.zip(times).map(move |(item, &time)| Interaction::new(user as i64, i64::from(item.get()), time))
            })
            .collect();
        let filters = Filters::new().with_minimum_per_user(least.0).with_minimum_per_item(least.1);
        let Ok(core) = Dataset::new(log, filters) else {
            prop_assert!(rows.is_empty());
            return Ok(());
        };
        let left = (0..core.users()).flat_map(|user| {
            let id = core.user_id(user).unwrap().to_string();
            let items = core.sequences().items(user).iter();
            items.map(move |&item| (id.clone(), item))
        });
        let left: Vec<(usize, u32)> = left
            .map(|(user, item)| {
                let item = core.catalog().id_of(item).unwrap().to_string();
                (user.parse().unwrap(), item.parse().unwrap())
            })
            .collect();
        prop_assert_eq!(left, rows);
    }

    #[test]
    fn sequences_are_in_time_order(dataset in dataset()) {
        for user in 0..dataset.users() {
            prop_assert!(dataset.sequences().times(user).is_sorted());
        }
    }

    #[test]
    fn batches_are_the_same_for_the_same_seed(dataset in dataset(), seed in any::<u64>()) {
        let Ok(split) = Split::new(&dataset, Protocol::LeaveOneOut) else { return Ok(()) };
        let Ok(batcher) = Batcher::new(&split.train, 3, 4, Targets::All, seed) else { return Ok(()) };
        let again = Batcher::new(&split.train, 3, 4, Targets::All, seed).unwrap();
        let device = Default::default();
        let [first, second] = [batcher, again].map(|batcher| {
            let batches = batcher.epoch::<Flex>(2, &device).map(|batch| {
                let numbers = [batch.histories.items.into_data(), batch.positions.into_data(), batch.targets.into_data()];
                let times = [batch.histories.times, batch.histories.next_times];
                (numbers, times, batch.histories.lengths, batch.continues_from, batch.seed)
            });
            batches.collect::<Vec<_>>()
        });
        prop_assert_eq!(first, second);
    }
}
