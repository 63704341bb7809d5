//! Recall for everyone: the same as one by one, under the ids that were given, into whole files.

use crate::told;

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use seqrec::channels::{ItemNeighborsConfig, MarkovChainConfig, Popularity, PopularityConfig};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{ExternalId, Features, Interaction, Items, SequenceStore};
use seqrec::prelude::*;
use seqrec::recall::{
    ChannelWeight, Fusion, HistoryItems, Path, RecallStage, Recalled, Users, WeightLearningConfig,
};
use seqrec::store::{ServedStage, StageData, StagePlan};
use seqrec::{Error, ErrorKind};

use told::Told;

fn log(rows: &[(&str, &str, f64)]) -> Interactions {
    (rows.iter())
        .map(|&(user, item, time)| Interaction::new(user, item, time))
        .collect()
}

/// More users than are asked for at a time.
fn dataset() -> Dataset {
    let log = Synthetic::new()
        .with_users(700)
        .with_items(60)
        .generate()
        .unwrap();
    Dataset::new(log, Filters::default()).unwrap()
}

fn stage(data: &TrainingData) -> RecallStage {
    let neighbors = ItemNeighborsConfig::new().fit(data).unwrap();
    let item_cf = HistoryItems::last(20)
        .unwrap()
        .then(neighbors)
        .into_channel();
    let markov = MarkovChainConfig::new().fit(data).unwrap();
    RecallStage::new(Fusion::RECIPROCAL_RANK, 20)
        .and_then(|stage| stage.channel("markov", markov, ChannelWeight::default()))
        .and_then(|stage| stage.channel("item_cf", item_cf, ChannelWeight::default()))
        .unwrap()
        .fallback(PopularityConfig::new().fit(data).unwrap())
}

fn all(
    retriever: &Retriever,
    users: Users<'_>,
    request: &RecallRequest,
) -> Vec<(String, Recalled)> {
    let all = retriever.recall_all(users, request).unwrap();
    all.map(|recalled| recalled.map(|(user, recalled)| (user.to_string(), recalled)))
        .collect::<seqrec::Result<_>>()
        .unwrap()
}

#[test]
fn everyone_gets_what_they_get_alone() {
    let dataset = dataset();
    let data = dataset.training_data();
    let catalog = data.catalog().clone();
    let markov = MarkovChainConfig::new().fit(&data).unwrap();
    let retrievers = [
        Retriever::new(markov, catalog.clone()).unwrap(),
        Retriever::new(stage(&data), catalog.clone()).unwrap(),
        Retriever::new(Told(Arc::new(|_| Ok(Vec::new()))), catalog.clone())
            .unwrap()
            .fallback(Popularity::new(&catalog)),
    ];
    for retriever in &retrievers {
        for (seen, only) in [
            (Seen::Exclude, None),
            (Seen::Keep, None),
            (Seen::Exclude, Some(5..30)),
            (Seen::Keep, Some(5..30)),
        ] {
            let like = |request: RecallRequest| {
                let request = request.seen(seen).blocked([5]).at(1e9);
                let request = request.filter(|item| *item != 7.into());
                match only.clone() {
                    Some(only) => request.only(only),
                    None => request,
                }
            };
            let recalled = all(
                retriever,
                (&dataset).into(),
                &like(RecallRequest::for_everyone(9)),
            );
            assert_eq!(recalled.len(), dataset.users());
            for (place, (user, recalled)) in recalled.iter().enumerate() {
                assert_eq!(*user, dataset.user_id(place).unwrap().to_string());
                let history = data.sequences().history(place);
                let timed = (history.items().iter().zip(history.times()))
                    .map(|(&item, &time)| (catalog.id_of(item).unwrap().clone(), time));
                let alone = like(RecallRequest::for_timed_history(timed, 9));
                assert_eq!(*recalled, retriever.recall_for(&alone).unwrap());
            }
        }
    }
}

#[test]
fn items_are_known_by_their_ids_whatever_their_numbers() {
    let monday = [
        ("a", "pen", 1.0),
        ("a", "desk", 2.0),
        ("b", "pen", 1.0),
        ("b", "lamp", 2.0),
    ];
    let tuesday = [
        ("c", "new", 3.0),
        ("c", "lamp", 4.0),
        ("c", "pen", 5.0),
        ("d", "new", 6.0),
    ];
    let [monday, tuesday] =
        [&monday, &tuesday].map(|rows| Dataset::new(log(rows), Filters::default()).unwrap());
    let markov = MarkovChainConfig::new()
        .fit(&monday.training_data())
        .unwrap();
    let retriever = Retriever::new(markov, monday.catalog().clone()).unwrap();
    let request = RecallRequest::for_everyone(3);
    let mut recalled = retriever.recall_all(&tuesday, &request).unwrap();
    let (user, of_c) = recalled.next().unwrap().unwrap();
    assert_eq!(user, "c".into());
    assert_eq!((of_c.known, of_c.unknown), (2, 1));
    let ids: Vec<String> = of_c.items.iter().map(|item| item.id.to_string()).collect();
    assert_eq!(ids, ["desk"]);
    let (user, of_d) = recalled.next().unwrap().unwrap();
    assert_eq!((user, of_d.items.len(), of_d.unknown), ("d".into(), 0, 1));
    assert!(recalled.next().is_none());
    let counts = recalled.counts();
    assert_eq!((counts.users, counts.rows, counts.unknown_items), (2, 1, 2));
    assert_eq!((counts.without_history, counts.without_items), (1, 1));
    assert_eq!(
        counts.to_string(),
        "users: 2, rows: 1, users without a known item: 1, users without a recalled item: 1, \
         unknown items of histories: 2"
    );

    // Some users in the order in which they are asked for, one of them unknown, and of a store.
    let home = tempfile::tempdir().unwrap();
    let mut writer =
        SequenceStore::create(home.path().join("log.store"), Filters::default()).unwrap();
    writer
        .append(log(&[("c", "lamp", 4.0), ("e", "pen", 5.0)]))
        .unwrap();
    let store = writer.finish().unwrap();
    let some = Users::some(&store, ["e", "nobody", "c"]).unwrap();
    let recalled = all(&retriever, some, &request);
    let users: Vec<(&str, usize)> = (recalled.iter())
        .map(|(user, recalled)| (user.as_str(), recalled.known))
        .collect();
    assert_eq!(users, [("e", 1), ("nobody", 0), ("c", 1)]);
    let histories = Users::histories([("e", vec!["pen"]), ("nobody", vec![]), ("c", vec!["lamp"])]);
    assert_eq!(all(&retriever, histories, &request), recalled);
}

/// Columns of features that are in another order would be others' without a word.
#[test]
fn users_with_other_features_are_refused() {
    let features = |names: [&str; 2]| {
        let names = names.map(str::to_owned).to_vec();
        let values = seqrec::ndarray::Array2::zeros((700, 2));
        Features::new(names, values).unwrap()
    };
    let known = dataset()
        .with_user_features(features(["age", "sex"]))
        .unwrap();
    let popular = Popularity::new(known.catalog());
    let retriever = Retriever::new(popular, known.catalog().clone()).unwrap();
    let request = RecallRequest::for_everyone(3);
    let other = dataset()
        .with_user_features(features(["sex", "age"]))
        .unwrap();
    let refused = retriever.recall_all(&other, &request).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("the retriever's catalog names"),
        "{refused}"
    );
    assert!(retriever.recall_all(&known, &request).is_ok());

    for (request, part) in [
        (RecallRequest::for_everyone(0), "k is 0"),
        (RecallRequest::for_history([1], 3), "for_everyone"),
        (
            RecallRequest::for_everyone(3).in_segments(["x"]),
            "each user's own",
        ),
    ] {
        let refused = retriever.recall_all(&known, &request).unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let refused = retriever.recall_for(&request).unwrap_err();
    assert!(refused.to_string().contains("recall_all"), "{refused}");
}

fn rows(path: &FilePath) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().map(fields).collect()
}

#[test]
fn a_file_has_what_was_recalled_and_is_there_whole_or_not_at_all() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("recalled.csv");
    let dataset = dataset();
    let retriever =
        Retriever::new(stage(&dataset.training_data()), dataset.catalog().clone()).unwrap();
    let request = RecallRequest::for_everyone(9);
    let recalled = all(&retriever, (&dataset).into(), &request);
    let write = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let counts = pool.install(|| {
            let all = retriever.recall_all(&dataset, &request).unwrap();
            all.write(&path).unwrap()
        });
        (counts, std::fs::read(&path).unwrap())
    };
    let (counts, bytes) = write(1);
    assert_eq!((counts, bytes), write(3));
    let written = rows(&path);
    assert_eq!(written[0], ["user", "item", "rank", "score", "reason"]);
    let mut expected = Vec::new();
    for (user, recalled) in &recalled {
        for (place, item) in recalled.items.iter().enumerate() {
            let best = item.found.iter().min_by_key(|found| found.rank).unwrap();
            expected.push(vec![
                user.clone(),
                item.id.to_string(),
                (place + 1).to_string(),
                item.score.to_string(),
                format!("{}: {}", best.channel, best.because),
            ]);
        }
    }
    assert_eq!(written[1..], expected);
    assert_eq!((counts.users, counts.rows), (700, expected.len()));

    // A channel that fails after some batches, and a file of somebody else.
    let before = std::fs::read(&path).unwrap();
    let failing = Told(Arc::new(|user: User<'_>| match user.items().len() {
        0 => Err(Error::invalid("history", 0, "is empty")),
        _ => Ok(user.items().to_vec()),
    }));
    let failing = Retriever::new(failing, dataset.catalog().clone()).unwrap();
    let users = (0..1200).map(|user| (user, vec![1i64; usize::from(user < 1100)]));
    let mut left = failing
        .recall_all(Users::histories(users.clone()), &request)
        .unwrap();
    assert_eq!(left.by_ref().take_while(Result::is_ok).count(), 1024);
    assert!(left.next().is_none());
    let failed = failing
        .recall_all(Users::histories(users), &request)
        .unwrap()
        .write(&path);
    assert!(failed.unwrap_err().to_string().contains("is empty"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let log = home.path().join("log.csv");
    std::fs::write(&log, "user,item,time\n1,2,3\n").unwrap();
    let refused = retriever
        .recall_all(&dataset, &request)
        .unwrap()
        .write(&log);
    assert!(matches!(
        refused.unwrap_err().kind(),
        ErrorKind::NotOurs { .. }
    ));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2);
}

#[test]
fn rows_for_a_ranker_say_who_found_an_item_and_what_was_held_out() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rows.csv");
    let ages: Vec<f32> = (0..700).map(|user| user as f32).collect();
    let ages = seqrec::ndarray::Array2::from_shape_vec((700, 1), ages).unwrap();
    let dataset = dataset()
        .with_user_features(Features::new(vec!["age".to_owned()], ages).unwrap())
        .unwrap();
    let mut split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let catalog = split.catalog().clone();
    let tags = catalog.ids().map(|id| {
        (
            id.clone(),
            vec![if *id < 30.into() { "low" } else { "high" }],
        )
    });
    let tags = Features::from_item_tags(&catalog, tags.collect::<Vec<_>>());
    split.train = split.train.with_tags(tags).unwrap();
    let retriever = Retriever::new(stage(&split.train), catalog.clone()).unwrap();
    let request = RecallRequest::for_everyone(20);
    let cases = || Users::cases(&split.train, &split.valid).unwrap();
    let counts = retriever
        .recall_all(cases(), &request)
        .unwrap()
        .write_for_ranker(&path)
        .unwrap();
    let report = Evaluation::new(&[20], Seen::Exclude)
        .run(&stage(&split.train), &split.valid, &catalog)
        .unwrap();
    let recall = counts.labels_found as f64 / counts.labels as f64;
    assert!((report.recall(20).unwrap() - recall).abs() < 1e-9);

    let written = rows(&path);
    let header: Vec<&str> = written[0].iter().map(String::as_str).collect();
    let expected = "user,item,label,rank,score,markov_rank,markov_score,item_cf_rank,item_cf_score,\
                    fallback_rank,fallback_score,item_high,item_low,user_age";
    assert_eq!(header.join(","), expected);
    let column = |name: &str| header.iter().position(|&other| other == name).unwrap();
    let held_out: HashMap<String, String> = (split.valid.iter())
        .map(|case| {
            let user = dataset.user_id(case.number).unwrap().to_string();
            (user, catalog.id_of(case.labels[0]).unwrap().to_string())
        })
        .collect();
    let recalled = all(&retriever, cases(), &request);
    let recalled: HashMap<String, Recalled> = recalled.into_iter().collect();
    assert_eq!(written.len() - 1, counts.rows);
    for row in &written[1..] {
        let get = |name: &str| row[column(name)].as_str();
        let (user, item) = (get("user"), get("item"));
        assert_eq!(get("label") == "1", held_out[user] == item);
        assert_eq!(get("item_low") == "1", item.parse::<i64>().unwrap() < 30);
        let number = dataset.user_of(&user.into()).unwrap();
        assert_eq!(get("user_age"), number.to_string());
        let rank: usize = get("rank").parse().unwrap();
        let found = &recalled[user].items[rank - 1];
        assert_eq!(
            (
                found.id.to_string().as_str(),
                found.score.to_string().as_str()
            ),
            (item, get("score"))
        );
        for channel in ["markov", "item_cf", "fallback"] {
            let of_channel = found.found.iter().find(|found| &*found.channel == channel);
            let shown = |value: Option<String>| value.unwrap_or_default();
            let rank = of_channel.map(|found| found.rank.to_string());
            assert_eq!(get(&format!("{channel}_rank")), shown(rank));
            let score = of_channel.map(|found| found.score.to_string());
            assert_eq!(get(&format!("{channel}_score")), shown(score));
        }
    }
    // Those who are scored have no label.
    let scored = home.path().join("scored.csv");
    let all = retriever.recall_all(&split.train, &request).unwrap();
    let counts = all.write_for_ranker(&scored).unwrap();
    assert!(counts.labels == 0 && rows(&scored)[0][2] == "rank");
    // Cases of a data set with the same items and other users.
    let other = Synthetic::new()
        .with_users(900)
        .with_items(60)
        .generate()
        .unwrap();
    let other = Split::new(
        &Dataset::new(other, Filters::default()).unwrap(),
        Protocol::LeaveOneOut,
    )
    .unwrap();
    assert!(Users::cases(&split.train, &other.valid).is_err());
}

/// Two users, and a retriever of popular items with a table of all but the desk.
fn stationery() -> (Dataset, Retriever) {
    let rows = [
        ("ann", "pen", 1.0),
        ("bob", "lamp", 1.0),
        ("bob", "pen", 2.0),
        ("ann", "desk", 2.0),
    ];
    let dataset = Dataset::new(log(&rows), Filters::default()).unwrap();
    let items = Items::new(["lamp", "pen"])
        .and_then(|items| items.with_texts("title", [Some("A lamp, red"), None]))
        .and_then(|items| items.with_tags("tags", [vec!["light", "red"], vec![]]))
        .and_then(|items| items.with_numbers("price", [Some(12.5), None]))
        .and_then(|items| items.with_dates("since", [None, Some(1_700_000_001.0)]))
        .and_then(|items| items.with_booleans("in_stock", [Some(false), Some(true)]))
        .unwrap();
    let popular = Popularity::new(dataset.catalog());
    let retriever = Retriever::new(popular, dataset.catalog().clone())
        .and_then(|retriever| retriever.items(items))
        .unwrap();
    (dataset, retriever)
}

#[test]
fn rows_for_a_ranker_have_the_columns_of_the_table_of_items() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rows.csv");
    let (dataset, retriever) = stationery();
    let request = RecallRequest::for_everyone(3).seen(Seen::Keep);
    let recall = || retriever.recall_all(&dataset, &request).unwrap();
    recall().write_for_ranker(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let header = "user,item,rank,score,item_title,item_tags,item_price,item_since,item_in_stock";
    let items = [
        ("pen", ",,,1700000001,1"),
        ("lamp", "\"A lamp, red\",light|red,12.5,,0"),
        ("desk", ",,,,"),
    ];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), (header, 7));
    for (line, (item, values)) in lines[1..].iter().zip(items.iter().cycle()) {
        let fields: Vec<&str> = line.splitn(5, ',').collect();
        assert_eq!((fields[1], fields[4]), (*item, *values));
    }
    // A tag of the users' data that is called as a column is.
    let data = dataset.training_data();
    let tags = [(ExternalId::from("pen"), vec!["price"])];
    let data = data
        .clone()
        .with_tags(Features::from_item_tags(data.catalog(), tags))
        .unwrap();
    let refused = retriever.recall_all(&data, &request).unwrap();
    let refused = refused.write_for_ranker(&path).unwrap_err().to_string();
    assert!(refused.contains("item_price"), "{refused}");
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_for_a_ranker_has_null_where_a_value_is_missing() {
    use arrow_array::{Array, Float64Array, Int32Array, StringArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rows.parquet");
    let (dataset, retriever) = stationery();
    let request = RecallRequest::for_everyone(3).seen(Seen::Keep);
    let recall = || retriever.recall_all(&dataset, &request).unwrap();
    recall().write_for_ranker(&path).unwrap();
    recall().write_for_ranker(&path).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let batch = &batches[0];
    let column = |name: &str| batch.column_by_name(name).unwrap().as_any();
    let texts = |name: &str| column(name).downcast_ref::<StringArray>().unwrap();
    let numbers = |name: &str| column(name).downcast_ref::<Float64Array>().unwrap();
    let stock = column("item_in_stock")
        .downcast_ref::<Int32Array>()
        .unwrap();
    // Of the first user: the pen, the lamp, and the desk, which the table lacks.
    let first = |values: &mut dyn Iterator<Item = Option<String>>| -> Vec<String> {
        values
            .take(3)
            .map(|value| value.unwrap_or("null".to_owned()))
            .collect()
    };
    let text = |name: &str| first(&mut texts(name).iter().map(|text| text.map(str::to_owned)));
    let number = |name: &str| first(&mut numbers(name).iter().map(|n| n.map(|n| n.to_string())));
    assert_eq!(text("item"), ["pen", "lamp", "desk"]);
    assert_eq!(text("item_title"), ["null", "A lamp, red", "null"]);
    assert_eq!(text("item_tags"), ["null", "light|red", "null"]);
    assert_eq!(number("item_price"), ["null", "12.5", "null"]);
    assert_eq!(number("item_since"), ["1700000001", "null", "null"]);
    let stock = first(
        &mut stock
            .iter()
            .map(|truth| truth.map(|truth| truth.to_string())),
    );
    assert_eq!(stock, ["1", "0", "null"]);
}

#[test]
fn reasons_name_items_by_their_titles() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("recalled.csv");
    let (dataset, _) = stationery();
    let data = dataset.training_data();
    let items = Items::new(["lamp", "pen"])
        .and_then(|items| items.with_texts("title", [Some("Red lamp"), None]))
        .unwrap();
    let markov = MarkovChainConfig::new().fit(&data).unwrap();
    let retriever = Retriever::new(markov, data.catalog().clone())
        .and_then(|retriever| retriever.items(items))
        .unwrap();
    let of_lamp = retriever.recall(["lamp"], 1).unwrap();
    let of_pen = retriever.recall(["pen"], 1).unwrap();
    let shown = |recalled: &Recalled| recalled.items[0].found[0].because.to_string();
    assert_eq!(shown(&of_lamp), "goes with Red lamp [lamp]");
    assert!(of_lamp.to_string().contains("goes with Red lamp [lamp]"));
    assert_eq!(shown(&of_pen), "goes with pen");
    // A client asks for the title of each id once.
    let json = serde_json::to_value(&of_lamp).unwrap();
    assert_eq!(json["items"][0]["found"][0]["because"]["item"], "lamp");
    let request = RecallRequest::for_everyone(1);
    let users = Users::histories([("eve", ["lamp"])]);
    let all = retriever.recall_all(users, &request).unwrap();
    all.write(&path).unwrap();
    assert_eq!(rows(&path)[1][4], "goes with Red lamp [lamp]");
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_has_the_same_rows_with_ids_as_they_are() {
    use arrow_array::{Array, Float32Array, Int32Array, Int64Array, StringArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let home = tempfile::tempdir().unwrap();
    let (csv, path) = (home.path().join("all.csv"), home.path().join("all.parquet"));
    let dataset = dataset();
    let retriever =
        Retriever::new(stage(&dataset.training_data()), dataset.catalog().clone()).unwrap();
    let request = RecallRequest::for_everyone(9);
    let recall = || retriever.recall_all(&dataset, &request).unwrap();
    let counts = recall().write(&csv).unwrap();
    // Twice, since a file of recalled items is replaced.
    for _ in 0..2 {
        assert_eq!(recall().write(&path).unwrap(), counts);
    }
    let file = std::fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut found = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap().as_any();
        let integers = |name: &str| column(name).downcast_ref::<Int64Array>().unwrap();
        let (users, items) = (integers("user"), integers("item"));
        let ranks = column("rank").downcast_ref::<Int32Array>().unwrap();
        let scores = column("score").downcast_ref::<Float32Array>().unwrap();
        let reasons = column("reason").downcast_ref::<StringArray>().unwrap();
        assert_eq!(ranks.null_count() + scores.null_count(), 0);
        for row in 0..batch.num_rows() {
            found.push(vec![
                users.value(row).to_string(),
                items.value(row).to_string(),
                ranks.value(row).to_string(),
                scores.value(row).to_string(),
                reasons.value(row).to_owned(),
            ]);
        }
    }
    assert_eq!(found, rows(&csv)[1..]);
    // Ids of which one is no integer are texts, and so are those of an iterator.
    let users = Users::histories([(1, vec![1])]);
    retriever
        .recall_all(users, &request)
        .unwrap()
        .write(&path)
        .unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    for batch in reader {
        let batch = batch.unwrap();
        assert!(batch.column(0).as_any().is::<StringArray>());
        assert!(batch.column(1).as_any().is::<Int64Array>());
    }
}

#[test]
fn a_model_is_a_retriever_and_a_stage_with_sensible_channels_in_a_few_lines() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("run");
    let log = Synthetic::new()
        .with_users(120)
        .with_items(60)
        .generate()
        .unwrap();
    let split = Split::new(
        &Dataset::new(log, Filters::default()).unwrap(),
        Protocol::LeaveOneOut,
    )
    .unwrap();
    let config = Gru4RecConfig::new().with_dim(8);
    let model = config
        .init::<Flex>(split.catalog().len(), 1, &Default::default())
        .unwrap();
    let run = || Run::<Flex, _>::new(config.clone(), model.clone(), split.catalog().clone());
    let model = Recaller::from(run());
    let alone = run().into_retriever().unwrap().recall([3, 14], 5).unwrap();
    assert_eq!(alone, model.recall([3, 14], 5).unwrap());
    assert_eq!(
        alone,
        model.retriever().unwrap().recall([3, 14], 5).unwrap()
    );

    let data = StageData::from(split.train.clone())
        .with_model(model.clone())
        .unwrap();
    let mut plan = StagePlan::standard();
    plan.channels[1].share = ChannelWeight::new().with_weight(77.0);
    let learned = plan
        .learn_weights(&data, &split.valid, &WeightLearningConfig::new(10))
        .unwrap();
    let stage = plan.build(&data).unwrap();
    let report = Evaluation::new(&[10], Seen::Exclude)
        .run(&stage, &split.valid, split.catalog())
        .unwrap();
    assert!((report.recall(10).unwrap() - learned).abs() < 1e-6);
    let weights: Vec<f64> = stage.shares().map(|share| share.weight).collect();
    assert!(weights.contains(&1.0) && weights[1] <= 1.0, "{weights:?}");

    plan.save(&folder, &model, data.clone()).unwrap();
    let served = ServedStage::load::<Flex>(&folder, &Default::default()).unwrap();
    let (retriever, users) = served.into_retriever().unwrap();
    let request = RecallRequest::for_everyone(5);
    let served = all(&retriever, users.into(), &request);
    let built = Retriever::new(stage, split.catalog().clone()).unwrap();
    assert_eq!(served, all(&built, (&split.train).into(), &request));
}
