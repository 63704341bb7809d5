//! Events with a meaning, from the log to the batch.

use seqrec::data::{
    Batcher, Behaviors, Dataset, Filters, Interaction, InteractionReader, Interactions, ItemIndex,
    Protocol, Repeats, Role, SequenceStore, Split, Targets, TrainingBatch,
};
use seqrec::prelude::*;

const RULES: &str = "buy=target*3, cart=target, view*0.5, dislike=negative*2, error=ignored";

/// Anna's and Bo's days in a shop; item n is the n-th to turn up.
fn log() -> Interactions {
    rows().collect()
}

fn rows() -> impl Iterator<Item = Interaction> {
    let did = |user: &str, item: i64, time, what: &str, value: Option<f32>| {
        let did = Interaction::new(user, item, time).with_event(what);
        value.map_or(did.clone(), |value| did.with_value(value))
    };
    [
        did("anna", 1, 1.0, "view", None),
        did("anna", 1, 2.0, "buy", Some(20.0)),
        did("anna", 2, 3.0, "view", None),
        did("bo", 2, 1.0, "buy", Some(5.0)),
        did("anna", 9, 3.5, "error", None),
        did("anna", 3, 4.0, "dislike", None),
        did("anna", 4, 5.0, "buy", Some(7.0)),
        did("bo", 3, 2.0, "view", None),
        did("anna", 5, 7.0, "view", None),
        did("anna", 4, 6.0, "cart", None),
        did("bo", 1, 3.0, "cart", None),
        did("bo", 5, 4.0, "dislike", None),
        did("bo", 4, 5.0, "buy", None),
    ]
    .into_iter()
}

fn behaviors() -> Behaviors {
    RULES.parse().unwrap()
}

fn dataset(filters: Filters) -> Dataset {
    Dataset::new(log().with_behaviors(&behaviors()).unwrap(), filters).unwrap()
}

fn roles(data: &Dataset, user: usize) -> Vec<Role> {
    let training = data.training_data();
    let user = training.sequences().history(user);
    (0..user.items().len())
        .map(|place| user.role(place))
        .collect()
}

#[test]
fn sequences_have_the_roles_weights_and_values_of_their_events() {
    use Role::{History as H, Negative as N, Target as T};
    let data = dataset(Filters::default());
    assert_eq!(roles(&data, 0), [H, T, H, N, T, T, H]);
    assert_eq!(roles(&data, 1), [T, H, T, N, T]);
    assert_eq!(
        data.catalog().len(),
        5,
        "an item of an ignored event alone is none"
    );
    assert_eq!(data.catalog().behaviors(), Some(&behaviors()));
    let training = data.training_data();
    let anna = training.sequences().history(0);
    let weights: Vec<f32> = (0..7).map(|place| anna.weight(place)).collect();
    assert_eq!(weights, [0.5, 3.0, 0.5, 2.0, 3.0, 1.0, 0.5]);
    let value = anna.events()[1].value().unwrap();
    assert!((value - 20.0).abs() < 1.0, "{value}");
    let seen: Vec<u32> = anna.seen_items().map(ItemIndex::get).collect();
    assert_eq!(seen, [1, 3, 4, 4]);
    let liked: Vec<(u32, f32)> = anna
        .liked_items()
        .map(|(item, w)| (item.get(), w))
        .collect();
    assert_eq!(
        liked,
        [(1, 0.5), (1, 3.0), (2, 0.5), (4, 3.0), (4, 1.0), (5, 0.5)]
    );
}

#[test]
fn a_repeat_is_one_of_the_same_kind() {
    let data = dataset(Filters::default().with_repeats(Repeats::First));
    assert_eq!(
        data.sequences().items(0).len(),
        7,
        "a view is no repeat of a purchase"
    );
    let twice = log()
        .with_behaviors(&"error=ignored, *=target".parse().unwrap())
        .unwrap();
    let data = Dataset::new(twice, Filters::default().with_repeats(Repeats::First)).unwrap();
    assert_eq!(data.sequences().items(0).len(), 5);
}

#[test]
fn an_event_that_no_rule_names_is_an_error_with_the_types_there_are() {
    let rules: Behaviors = "buy=target, view".parse().unwrap();
    let refused = log().with_behaviors(&rules).unwrap_err().to_string();
    for said in [
        "5 of 13 rows",
        "buy: 4",
        "dislike: 2",
        "cart: 2",
        "error: 1",
        "*=ignored",
    ] {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    let named = log()
        .with_behaviors(&"buy=target, *=ignored".parse().unwrap())
        .unwrap();
    assert_eq!(named.len(), 4);
    // Rows that come later are looked at as well.
    let mut later = log().with_behaviors(&behaviors()).unwrap();
    later.push(Interaction::new("bo", 1, 9.0).with_event("return"));
    let refused = Dataset::new(later, Filters::default())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("1 of 13 rows") && refused.contains("return: 1"),
        "{refused}"
    );
}

#[test]
fn a_store_is_the_data_set_in_memory_with_its_events() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("log.store");
    for filters in [
        Filters::default(),
        Filters::default()
            .with_repeats(Repeats::First)
            .with_minimum_per_item(2),
    ] {
        let mut writer = SequenceStore::create(&path, filters).unwrap();
        writer
            .append(log().with_behaviors(&behaviors()).unwrap())
            .unwrap();
        let refused = writer.append(log()).unwrap_err().to_string();
        assert!(refused.contains("those before have"), "{refused}");
        writer.finish().unwrap();
        let (kept, memory) = (SequenceStore::open(&path).unwrap(), dataset(filters));
        assert_eq!(kept.dataset().sequences(), memory.sequences());
        assert_eq!(kept.dataset().catalog(), memory.catalog());
        let splits = [kept.dataset(), &memory].map(|data| {
            Split::new(data, Protocol::LeaveOneOut)
                .unwrap()
                .fingerprint()
        });
        assert_eq!(splits[0], splits[1]);
    }
}

#[test]
fn labels_are_targets_and_what_follows_a_label_is_not_known() {
    let split = Split::new(&dataset(Filters::default()), Protocol::LeaveOneOut).unwrap();
    let anna = split.test.get(0);
    assert_eq!(
        anna.labels,
        [4].map(ItemIndex::new),
        "the cart, not the view after it"
    );
    assert_eq!(anna.user.items().len(), 5);
    assert_eq!(split.valid.get(0).user.items().len(), 4);
    assert_eq!(split.train.sequences().items(0).len(), 4);
    let bo = split.test.get(1);
    assert_eq!((bo.labels[0].get(), bo.user.items().len()), (4, 4));
    assert_eq!(split.valid.get(1).labels[0].get(), 1);
    // Bo's dislike comes after the validation label and before the test label.
    assert_eq!(bo.user.role(3), Role::Negative);

    let cut = Protocol::TimeCut {
        valid: 3.9,
        test: 4.5,
    };
    let split = Split::new(&dataset(Filters::default()), cut).unwrap();
    assert_eq!(split.valid.len(), 0, "dislikes are no labels");
    assert_eq!(
        split.test.get(0).labels,
        [4, 4].map(ItemIndex::new),
        "and views are none"
    );
    let disliked = split.test.with_labels_of(Role::History);
    assert_eq!(disliked.get(0).labels, [5].map(ItemIndex::new));
    let fewer = split.test.filtered(|case| case.number == 1);
    assert_eq!((fewer.len(), fewer.get(0).labels[0].get()), (1, 4));
}

/// Batches' targets with the item before each, and their weights.
fn batches(targets: Targets, max_len: usize) -> Vec<TrainingBatch<Flex>> {
    let data = dataset(Filters::default()).training_data();
    let batcher = Batcher::new(&data, 8, max_len, targets, 1).unwrap();
    let device = Default::default();
    batcher.epoch::<Flex>(0, &device).collect()
}

fn integers<const D: usize>(tensor: burn::tensor::Tensor<Flex, D, burn::tensor::Int>) -> Vec<i64> {
    tensor.into_data().iter::<i64>().collect()
}

/// What a batch predicts, as (position, target, weight).
fn predicted(batch: &TrainingBatch<Flex>) -> Vec<(i64, i64, f32)> {
    let weights = batch
        .weights
        .clone()
        .unwrap()
        .into_data()
        .to_vec::<f32>()
        .unwrap();
    let both = integers(batch.positions.clone())
        .into_iter()
        .zip(integers(batch.targets.clone()));
    both.zip(weights)
        .map(|((position, target), weight)| (position, target, weight))
        .collect()
}

#[test]
fn batches_predict_targets_and_end_with_dislikes() {
    let batches = batches(Targets::All, 10);
    assert_eq!(batches.len(), 1);
    let batch = &batches[0];
    let [_, len] = batch.histories.items.dims();
    let items = integers(batch.histories.items.clone());
    let all = predicted(batch);
    assert_eq!((all.len(), batch.disliked), (7, 2));
    let (wanted, unwanted) = all.split_at(5);
    let sorted = |rows: &[(i64, i64, f32)]| {
        let mut rows: Vec<(i64, i64, i64)> = rows
            .iter()
            .map(|&(at, target, weight)| (items[at as usize], target, weight as i64))
            .collect();
        rows.sort_unstable();
        rows
    };
    // The item seen last, the item predicted, the weight.
    assert_eq!(
        sorted(wanted),
        [(1, 1, 3), (3, 1, 1), (3, 4, 3), (4, 4, 1), (5, 4, 3)]
    );
    assert_eq!(sorted(unwanted), [(1, 5, 2), (2, 3, 2)]);
    // Types and values are those of the items seen.
    let types = integers(batch.histories.event_types.clone().unwrap());
    let values = integers(batch.histories.event_values.clone().unwrap());
    let anna = types
        .chunks(len)
        .zip(values.chunks(len))
        .find(|(types, _)| types[0] == 3)
        .unwrap();
    assert_eq!(anna.0[..6], [3, 1, 3, 4, 1, 2]);
    assert!(anna.1[0] == 0 && anna.1[1] > 128 && anna.1[3] == 0);
}

#[test]
fn other_targets_are_targets_as_well() {
    for batch in batches(Targets::EveryPrefix, 3) {
        let disliked = batch.disliked;
        let all = predicted(&batch);
        let positions: Vec<i64> = all.iter().map(|row| row.0).collect();
        assert!(positions.is_sorted(), "asked in the order of rows");
        assert!(
            all[..all.len() - disliked]
                .iter()
                .all(|row| [1, 4].contains(&row.1))
        );
        assert!(
            all[all.len() - disliked..]
                .iter()
                .all(|row| [3, 5].contains(&row.1))
        );
    }
    let one = Targets::OneRandom { minimum_history: 2 };
    for batch in batches(one, 10) {
        assert_eq!(batch.disliked, 0);
        assert!(
            integers(batch.targets)
                .iter()
                .all(|target| [1, 4].contains(target))
        );
    }
    let data = dataset(Filters::default()).training_data();
    let counts = Batcher::new(&data, 2, 10, Targets::All, 1)
        .unwrap()
        .target_counts();
    assert_eq!(
        (counts.per_epoch, counts.all, counts.items_never),
        (5, 5, 3)
    );
    let no_targets = log()
        .with_behaviors(&"sell=target, *=history".parse().unwrap())
        .unwrap();
    let data = Dataset::new(no_targets, Filters::default())
        .unwrap()
        .training_data();
    let refused = Batcher::new(&data, 2, 10, Targets::All, 1)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("sell=target"), "{refused}");
}

/// Of a sequence with one purchase among many views, every row reaches the purchase.
#[test]
fn a_row_of_a_long_sequence_has_a_target() {
    for place in [1i64, 20, 59] {
        let rows = (0..60).map(|time| {
            let what = if time == place { "buy" } else { "view" };
            Interaction::new("anna", time, time as f64).with_event(what)
        });
        let log: Interactions = rows.collect();
        let log = log
            .with_behaviors(&"buy=target, view".parse().unwrap())
            .unwrap();
        let data = Dataset::new(log, Filters::default())
            .unwrap()
            .training_data();
        let batcher = Batcher::new(&data, 1, 5, Targets::All, 1).unwrap();
        for epoch in 0..20 {
            for batch in batcher.epoch::<Flex>(epoch, &Default::default()) {
                assert_eq!(integers(batch.targets), [place + 1]);
                let position = integers(batch.positions)[0] as usize;
                let before = integers(batch.histories.items)[position];
                assert_eq!(before, place, "the item before it");
            }
        }
    }
}

#[test]
fn a_file_is_read_with_the_meaning_of_its_events() {
    let text = "who,what,at,kind,price\n7,pen,1,view,\n7,pen,2,buy,3.5\n7,desk,3,bot,\n";
    let format = "user=who,item=what,time=at,event=kind,value=price"
        .parse()
        .unwrap();
    let reader = InteractionReader::from_reader(text.as_bytes(), format).unwrap();
    let reader = reader.behaviors("buy=target, view, bot=ignored".parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let mut writer =
        SequenceStore::create(home.path().join("log.store"), Filters::default()).unwrap();
    writer.read(&reader).unwrap();
    let store = writer.finish().unwrap();
    let memory = Dataset::new(reader.read().unwrap(), Filters::default()).unwrap();
    assert_eq!(store.dataset().sequences(), memory.sequences());
    assert_eq!(roles(&memory, 0), [Role::History, Role::Target]);
}

/// What events mean is part of what tells one split from another, and so of what a checkpoint is
/// resumed by; without rules nothing changes.
#[test]
fn other_rules_are_other_data() {
    let print = |rules: &str| {
        let log = log().with_behaviors(&rules.parse().unwrap()).unwrap();
        let data = Dataset::new(log, Filters::default()).unwrap();
        Split::new(&data, Protocol::Ratio { seed: 1 })
            .unwrap()
            .train
            .sequences()
            .fingerprint()
    };
    let first = print("buy=target, view, *");
    assert_eq!(first, print("buy=target, view, *"));
    assert_ne!(first, print("buy=target*2, view, *"));
    assert_ne!(first, print("buy=target, view=target, *"));
}

/// Labels stay those of the role that was asked for, whatever is made of the cases.
#[test]
fn labels_of_a_role_stay_so() {
    let rules: Behaviors = "buy=target, dislike=negative, *".parse().unwrap();
    let split = |log: Interactions| {
        let data = Dataset::new(log.with_behaviors(&rules).unwrap(), Filters::default()).unwrap();
        Split::new(
            &data,
            Protocol::TimeCut {
                valid: 2.5,
                test: 3.5,
            },
        )
        .unwrap()
    };
    let ours = split(log());
    // The same rows behind another user's, whose items come first and shift all numbers.
    let other = Interaction::new("cy", 99, 0.0).with_event("buy");
    let theirs = split(std::iter::once(other).chain(rows()).collect());
    let unwanted = ours.test.with_labels_of(Role::Negative);
    let labels = |spans: &seqrec::data::Spans| -> Vec<Vec<ItemIndex>> {
        spans.iter().map(|case| case.labels.to_vec()).collect()
    };
    assert_eq!(labels(&unwanted.filtered(|_| true)), labels(&unwanted));
    assert_ne!(unwanted.fingerprint(), ours.test.fingerprint());
    let renumbered = unwanted.for_catalog(theirs.catalog()).unwrap();
    let again = theirs.test.with_labels_of(Role::Negative);
    assert_eq!(labels(&renumbered), labels(&again));
    assert!(labels(&unwanted).concat() != labels(&ours.test).concat());
}

/// In-batch negatives are corrected by how often items are targets, not by how often they are seen.
#[test]
fn chances_of_negatives_are_those_of_targets() {
    let rows = (0..40i64).flat_map(|user| {
        let did =
            move |item: i64, time: f64, what| Interaction::new(user, item, time).with_event(what);
        // Everybody looks at 1 and buys 2 and 3; one in ten buys 1.
        let bought = if user % 10 == 0 { 1 } else { 3 };
        [
            did(1, 1.0, "view"),
            did(1, 2.0, "view"),
            did(2, 3.0, "buy"),
            did(bought, 4.0, "buy"),
        ]
    });
    let log: Interactions = rows.collect();
    let log = log
        .with_behaviors(&"buy=target, view".parse().unwrap())
        .unwrap();
    let data = Dataset::new(log, Filters::default())
        .unwrap()
        .training_data();
    let batcher = Batcher::new(&data, 4, 10, Targets::All, 1).unwrap();
    let batcher = batcher.negatives(NegativeSampling::in_batch(8)).unwrap();
    let chance = |item: i64| {
        let item = data.catalog().index_of(&item.into()).unwrap().get() as i64;
        batcher
            .epoch::<Flex>(0, &Default::default())
            .find_map(|batch| {
                let negatives = batch.negatives.unwrap();
                let place = integers(negatives.items)
                    .iter()
                    .position(|&other| other == item)?;
                let chances = negatives.log_chances.into_data().to_vec::<f32>().unwrap();
                Some(f64::from(chances[place]).exp())
            })
    };
    // A twentieth of targets, of eight a batch.
    let expected = 1.0 - (1.0f64 - 0.05).powi(8);
    assert!(
        (chance(1).unwrap() - expected).abs() < 1e-3,
        "{:?}",
        chance(1)
    );
}
