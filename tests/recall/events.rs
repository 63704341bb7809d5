//! Events with a meaning in service: what a user did, how, and what they don't want.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seqrec::channels::PopularityConfig;
use seqrec::data::{
    Behaviors, Dataset, Filters, Interaction, Interactions, ItemIndex, Role, Seen, TrainingData,
    User,
};
use seqrec::engine::{EngineConfig, Observed, RecallEngine};
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::prelude::Flex;
use seqrec::recall::{
    ChannelWeight, Fusion, RecallRequest, RecallStage, Recalled, Retriever, Users,
};
use seqrec::store::{Recaller, Run, ServedStage, StagePlan};

use crate::told::Told;

const RULES: &str = "buy=target, view, dislike=negative, error=ignored";

fn did(user: &str, item: &str, time: f64, event: &str) -> Interaction {
    Interaction::new(user, item, time).with_event(event)
}

fn log() -> Interactions {
    [
        did("anna", "a", 1.0, "buy"),
        did("anna", "b", 2.0, "view"),
        did("anna", "c", 3.0, "dislike"),
        did("bo", "d", 1.0, "buy"),
        did("bo", "e", 2.0, "buy"),
    ]
    .into_iter()
    .collect()
}

fn data(rules: &str) -> TrainingData {
    let log = log().with_behaviors(&rules.parse().unwrap()).unwrap();
    Dataset::new(log, Filters::default())
        .unwrap()
        .training_data()
}

/// A channel that recalls the items a user wants, in the order of their history, and then all.
fn wanted() -> Told {
    Told(Arc::new(|user: User<'_>| {
        let roles = (0..user.items().len()).map(|place| user.role(place));
        let wanted = user.items().iter().zip(roles);
        let wanted = wanted.filter(|(_, role)| *role != Role::Negative);
        let mut items: Vec<ItemIndex> = Vec::new();
        for item in wanted
            .map(|(&item, _)| item)
            .chain((1..=5).map(ItemIndex::new))
        {
            if !items.contains(&item) {
                items.push(item);
            }
        }
        Ok(items)
    }))
}

fn stage() -> RecallStage {
    let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 10).unwrap();
    stage
        .channel("wanted", wanted(), ChannelWeight::default())
        .unwrap()
}

fn engine(rules: &'static str) -> RecallEngine {
    let settings = EngineConfig::new().with_threads(2);
    RecallEngine::with_loader(move || Ok(ServedStage::new(stage(), data(rules))), settings).unwrap()
}

fn ids(recalled: &Recalled) -> Vec<String> {
    recalled
        .items
        .iter()
        .map(|item| item.id.to_string())
        .collect()
}

#[test]
fn a_dislike_takes_effect_at_the_next_call_and_a_view_hides_nothing() {
    let engine = engine(RULES);
    let recalled = |user: &str| ids(&engine.recall(user, 5).unwrap());
    // What she bought and what she doesn't want are left out, and what she only saw is not.
    assert_eq!(recalled("anna"), ["b", "d", "e"]);
    let observe = |interaction: Interaction| engine.observe(&interaction, &[]).unwrap();
    assert_eq!(observe(did("anna", "d", 5.0, "dislike")), Observed::Taken);
    assert_eq!(recalled("anna"), ["b", "e"]);
    assert_eq!(observe(did("anna", "e", 6.0, "view")), Observed::Taken);
    assert_eq!(recalled("anna"), ["b", "e"]);
    // At the same time, a view and a purchase are two events; the view again is none.
    assert_eq!(observe(did("anna", "e", 6.0, "view")), Observed::Repeated);
    assert_eq!(observe(did("anna", "e", 6.0, "buy")), Observed::Taken);
    assert_eq!(recalled("anna"), ["b"]);
    let before = engine.history("anna").unwrap();
    assert_eq!(observe(did("anna", "b", 7.0, "error")), Observed::Ignored);
    assert_eq!(engine.history("anna").unwrap(), before);
    // Older than the data, a dislike still leaves its item out, and a view doesn't.
    assert_eq!(observe(did("bo", "a", 0.5, "view")), Observed::Older);
    assert_eq!(recalled("bo"), ["a", "b", "c"]);
    assert_eq!(observe(did("bo", "a", 0.6, "dislike")), Observed::Older);
    assert_eq!(recalled("bo"), ["b", "c"]);
    // As does what she bought long ago and looked at since.
    assert_eq!(
        observe(did("anna", "b", 1.5, "buy")),
        Observed::Older,
        "after which she viewed it"
    );
    assert!(recalled("anna").is_empty());
    // Channels see what each event was.
    let kept = RecallRequest::for_user("anna", 5).seen(Seen::Keep);
    assert_eq!(
        ids(&engine.recall_for(&kept).unwrap()),
        ["a", "b", "e", "c", "d"]
    );
}

#[test]
fn an_event_that_no_rule_names_is_refused_and_what_is_given_with_it_as_well() {
    let engine = engine(RULES);
    for unnamed in [
        did("anna", "a", 9.0, "wish"),
        Interaction::new("anna", "a", 9.0),
    ] {
        let refused = engine.observe(&unnamed, &[]).unwrap_err().to_string();
        assert!(
            refused.contains("no rule of the data's \"buy=target"),
            "{refused}"
        );
        let refused = engine
            .observe_all(&[(did("anna", "a", 8.0, "buy"), vec![]), (unnamed, vec![])])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("event 1"), "{refused}");
    }
    assert_eq!(engine.statistics().events, 0);
}

#[test]
fn a_history_with_events_is_that_of_the_engine() {
    let engine = engine(RULES);
    let data = data(RULES);
    let retriever = Retriever::new(wanted(), data.catalog().clone()).unwrap();
    let request = || RecallRequest::for_history(["a", "b", "c", "d"], 5);
    let told = [
        ("buy", None),
        ("view", None),
        ("dislike", Some(1.0)),
        ("error", None),
    ];
    let told = told.map(|(name, value)| (Some(name), value));
    let request_told = request().with_events(told);
    for recalled in [
        engine.recall_for(&request_told),
        retriever.recall_for(&request_told),
    ] {
        let recalled = recalled.unwrap();
        assert_eq!(
            (ids(&recalled), recalled.known),
            (vec!["b".into(), "d".into(), "e".into()], 3)
        );
    }
    // Without events nothing is known of what they were, and all are left out.
    assert_eq!(ids(&retriever.recall_for(&request()).unwrap()), ["e"]);
    let everyone = RecallRequest::for_everyone(5);
    let of_all: Vec<_> = retriever.recall_all(&data, &everyone).unwrap().collect();
    let (user, recalled) = of_all[0].as_ref().unwrap();
    assert_eq!(
        (user.to_string(), ids(recalled)),
        ("anna".into(), vec!["b".into(), "d".into(), "e".into()])
    );
    for (wrong, said) in [
        (
            request().with_events([(Some("buy"), None)]),
            "events of a history",
        ),
        (
            request().with_events([(Some("wish"), None); 4]),
            "\"wish\" in place 0",
        ),
        (
            RecallRequest::for_user("anna", 3).with_events([(Some("buy"), None)]),
            "1 of a user",
        ),
    ] {
        let refused = engine.recall_for(&wrong).unwrap_err().to_string();
        assert!(refused.contains(said), "{said}: {refused}");
    }
    // Users of data whose events mean something else are refused, not guessed.
    let other = self::data("buy=target, *");
    let refused = retriever
        .recall_all(Users::from(&other), &everyone)
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("behaviors of the data") && refused.contains("*=history"),
        "{refused}"
    );
}

#[test]
fn a_stage_with_other_rules_is_refused_and_with_other_weights_it_serves() {
    const NEXT: [&str; 4] = [
        RULES,
        "buy=target, view=target, dislike=negative, error=ignored",
        "buy=target*3, view*0.1, dislike=negative, error=ignored",
        "buy=target, *",
    ];
    let loads = AtomicUsize::new(0);
    let load = move || {
        let number = loads.fetch_add(1, Ordering::SeqCst);
        Ok(ServedStage::new(stage(), data(NEXT[number])))
    };
    let engine = RecallEngine::with_loader(load, EngineConfig::default()).unwrap();
    engine
        .observe(&did("anna", "d", 5.0, "dislike"), &[])
        .unwrap();
    engine.observe(&did("anna", "e", 6.0, "view"), &[]).unwrap();
    assert_eq!(ids(&engine.recall("anna", 5).unwrap()), ["b", "e"]);
    // Where views are to be recalled, what was viewed is left out.
    engine.reload().unwrap();
    assert!(engine.recall("anna", 5).unwrap().items.is_empty());
    engine.reload().unwrap();
    assert_eq!(ids(&engine.recall("anna", 5).unwrap()), ["b", "e"]);
    let refused = engine.reload().unwrap_err().to_string();
    assert!(refused.contains("events of the new stage"), "{refused}");
    assert_eq!(ids(&engine.recall("anna", 5).unwrap()), ["b", "e"]);
}

#[test]
fn what_events_mean_is_kept_with_the_data() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("stage");
    let data = data(RULES);
    let catalog = data.catalog().clone();
    let config = Gru4RecConfig::new().with_dim(4);
    let model = config
        .init_for::<Flex>(&catalog, 1, &Default::default())
        .unwrap();
    let model: Recaller = Run::<Flex, _>::new(config, model, catalog).into();
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("popular", PopularityConfig::new());
    plan.save(&path, &model, data).unwrap();
    let engine =
        RecallEngine::open::<Flex>(&path, Default::default(), EngineConfig::default()).unwrap();
    engine
        .observe(&did("bo", "a", 5.0, "dislike"), &[])
        .unwrap();
    let recalled = ids(&engine.recall("bo", 5).unwrap());
    assert!(
        !recalled.contains(&"a".to_owned()) && recalled.contains(&"b".to_owned()),
        "{recalled:?}"
    );
    let rules: Behaviors = RULES.parse().unwrap();
    let refused = engine
        .observe(&did("bo", "a", 6.0, "wish"), &[])
        .unwrap_err()
        .to_string();
    assert!(refused.contains(&rules.to_string()), "{refused}");
}
