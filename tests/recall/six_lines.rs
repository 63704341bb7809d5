//! The short way from a file to recalled items, for every model and by their parts.

use std::fs;

use seqrec::data::synthetic::Synthetic;
use seqrec::model::{MODEL_NAMES, ModelVisitor, TrainableConfig, visit_model};
use seqrec::prelude::*;
use seqrec::{Error, ErrorKind, Result};

fn log(items: usize) -> Interactions {
    Synthetic::new()
        .with_users(60)
        .with_items(items)
        .generate()
        .unwrap()
}

fn split(log: Interactions) -> Split {
    Split::new(
        &Dataset::new(log, Filters::default()).unwrap(),
        Protocol::LeaveOneOut,
    )
    .unwrap()
}

/// The interactions as a file of CSV.
fn csv(log: &Interactions) -> String {
    let mut text = "userId,movieId,rating,timestamp\n".to_owned();
    let rows = log.user_numbers().iter().zip(log.item_numbers());
    for ((&user, &item), time) in rows.zip(log.times()) {
        let (user, item) = (&log.users()[user as usize], &log.items()[item as usize]);
        text += &format!("{user},{item},5,{time}\n");
    }
    text
}

#[test]
fn the_short_way_is_the_long_way() {
    let folder = tempfile::tempdir().unwrap();
    let (file, path) = (folder.path().join("ratings.csv"), folder.path().join("run"));
    fs::write(&file, csv(&log(40))).unwrap();

    let split = split(Interactions::read(&file).unwrap());
    let config = Gru4RecConfig::new().with_dim(8);
    let trained = config.fit(&split).unwrap();
    let report = trained.evaluate(&split.test).unwrap();
    let recalled = trained.recall(["3", "14", "15", "of nobody"], 10).unwrap();
    assert_eq!(
        (recalled.items.len(), recalled.known, recalled.unknown),
        (10, 3, 1)
    );
    trained.save(&path).unwrap();

    // The same of parts, whose defaults are these.
    let catalog = split.catalog();
    // A cut of most of the items would tell no epoch from another.
    let metric = Metric::recall(catalog.len() / 4).unwrap();
    let settings = TrainerConfig::new().with_metric(metric);
    let model = config.init::<Autodiff<Flex>>(catalog.len(), settings.seed, &Default::default());
    let model = Trainer::new(settings)
        .fit(model.unwrap(), &split)
        .unwrap()
        .model;
    let index = FlatIndex::new(&item_vectors(&model)).unwrap();
    let channel = VectorChannel::from_model(model, index);
    let evaluation = Evaluation::new(&[10, catalog.len().min(50)], Seen::Exclude);
    assert_eq!(
        evaluation.run(&channel, &split.test, catalog).unwrap(),
        report
    );
    let retriever = Retriever::new(channel, catalog.clone()).unwrap();
    assert_eq!(
        retriever
            .recall(["3", "14", "15", "of nobody"], 10)
            .unwrap(),
        recalled
    );

    // The same by settings of one's own, and by a trainer that shows what it does.
    let settings = TrainerConfig::new().with_metric(metric);
    let with = config.fit_with(&split, settings.clone()).unwrap();
    assert_eq!(with.item_vectors(), trained.item_vectors());
    let mut epochs = Vec::new();
    struct Count<'a>(&'a mut Vec<usize>);
    impl seqrec::train::TrainingObserver for Count<'_> {
        fn on_epoch(
            &mut self,
            epoch: &seqrec::train::EpochReport,
            _: bool,
        ) -> Result<std::ops::ControlFlow<()>> {
            self.0.push(epoch.epoch);
            Ok(std::ops::ControlFlow::Continue(()))
        }
    }
    let shown = Trainer::new(settings.with_epochs(2)).observer(Count(&mut epochs));
    config.fit_with(&split, shown).unwrap();
    assert_eq!(epochs, [1, 2]);

    // What is opened says the same, and is a typed run as well.
    let opened = Recaller::open(&path).unwrap();
    assert_eq!(opened.evaluate(&split.test).unwrap(), report);
    assert_eq!(
        opened.recall(["3", "14", "15", "of nobody"], 10).unwrap(),
        recalled
    );
    let run = Run::<Flex, Gru4RecConfig>::load(&path, &Default::default()).unwrap();
    assert_eq!(item_vectors(&run.model), opened.item_vectors());
    opened.save(&path).unwrap();
    assert_eq!(
        Recaller::open(&path).unwrap().item_vectors(),
        trained.item_vectors()
    );
}

/// A function over any model has one bound.
struct Keep<'a> {
    split: &'a Split,
    path: &'a std::path::Path,
}

impl ModelVisitor<Autodiff<Flex>> for Keep<'_> {
    type Output = Result<Recaller>;

    fn visit<C: TrainableConfig<Autodiff<Flex>>>(self, config: C) -> Result<Recaller> {
        let items = self.split.catalog().len();
        let model = config.init::<Flex>(items, 7, &Default::default())?;
        let run = Run::<Flex, _>::new(config, model, self.split.catalog().clone());
        run.save(self.path)?;
        Ok(run.into())
    }
}

#[test]
fn a_run_of_any_model_is_opened_without_its_name() {
    let split = split(log(90));
    for name in MODEL_NAMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let kept = visit_model::<Autodiff<Flex>, _>(
            name,
            Keep {
                split: &split,
                path: &path,
            },
        );
        let kept = kept.unwrap().unwrap();
        let opened = Recaller::open(&path).unwrap();
        assert_eq!(opened.item_vectors(), kept.item_vectors(), "{name}");
        // One model looks at times.
        let request = RecallRequest::for_timed_history([(3, 1e9), (14, 1.1e9), (15, 1.2e9)], 5);
        let recalled = opened.recall_for(&request).unwrap();
        assert_eq!(recalled, kept.recall_for(&request).unwrap(), "{name}");
        assert_eq!(recalled.items.len(), 5, "{name}");
        assert_eq!(
            opened.evaluate(&split.test).unwrap(),
            kept.evaluate(&split.test).unwrap()
        );
    }
}

/// What needs other targets than most is given them.
#[test]
fn a_model_of_several_interests_fits_as_others_do() {
    let split = split(log(60));
    let config = MultiInterestConfig::mind().with_dim(8);
    let trained = config.fit(&split).unwrap();
    assert_eq!(trained.recall([3, 14, 15], 10).unwrap().items.len(), 10);
}

/// Items have numbers by their catalog, so that cases of other data would be judged by what means
/// something else.
#[test]
fn cases_of_another_catalog_are_refused() {
    let (mine, other) = (split(log(60)), split(log(70)));
    let model =
        Gru4RecConfig::new()
            .with_dim(8)
            .init::<Flex>(mine.catalog().len(), 1, &Default::default());
    let run = Run::<Flex, _>::new(Gru4RecConfig::new(), model.unwrap(), mine.catalog().clone());
    let recaller = Recaller::from(run);
    recaller.evaluate(&mine.test).unwrap();
    let refused = recaller.evaluate(&other.test).unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::InvalidValue { field: "cases", .. }
        ),
        "{refused}"
    );
    // Of as many items, in another order.
    let ids: Vec<ExternalId> = mine.catalog().ids().cloned().collect();
    let turned = Catalog::from_ids(ids.into_iter().rev()).unwrap();
    let evaluation = Evaluation::new(&[10], Seen::Exclude);
    assert!(
        evaluation
            .run(&recaller.channel().unwrap(), &mine.test, &turned)
            .is_err()
    );
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Recaller::open(folder.path().join("nowhere"));
    assert!(matches!(
        nothing.as_ref().map_err(Error::kind),
        Err(ErrorKind::Io { .. })
    ));
}
