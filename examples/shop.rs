//! A shop's three files from end to end: they become a tuned model in a service, which takes a new
//! product and a dislike while it runs.

use std::path::Path;
use std::{error::Error, fs};

use seqrec::data::{Behaviors, Items, synthetic::Synthetic};
use seqrec::model::ItemFeaturesConfig;
use seqrec::prelude::*;
use seqrec::recall::{Fusion, VectorChannelConfig};
use seqrec::{store::StagePlan, train::Search};

fn main() -> Result<(), Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let folder = home.path();
    write_files(folder)?;

    // What events mean is said once, for all that follows.
    let behaviors: Behaviors = "buy=target, view*0.2, dislike=negative".parse()?;
    let log = InteractionReader::detect(folder.join("events.csv"))?.behaviors(behaviors);
    let products = Items::read(folder.join("products.csv"), "sku")?;
    let users = Items::read(folder.join("users.csv"), "user")?;
    let dataset = Dataset::new(log.read()?, Filters::default())?
        .with_items(&products)?
        .with_users(&users, &["country"])?;
    let features = products.features(dataset.catalog(), &["genres", "price"])?;
    let split = Split::new(
        &dataset.with_item_features(features)?,
        Protocol::LeaveOneOut,
    )?;

    // Settings are searched for by the validation cases, and the test cases are looked at once.
    let config = SasRecConfig::new()
        .with_dim(16)
        .with_item_features(Some(ItemFeaturesConfig::new()))
        .with_user_features(split.catalog().user_features().len());
    let trainer = TrainerConfig::new()
        .with_epochs(6)
        .with_metric(Metric::ndcg(10)?);
    let space = r#"{"model.dropout": [0.1, 0.3], "trainer.learning_rate": [0.003, 0.01]}"#;
    let found = Search::<Autodiff<Flex>>::new(trainer)
        .model("sasrec", config, space)?
        .trials(4)
        .run(&split, folder.join("search"), &Default::default())?;
    let (best, trainer) = (found.best(), found.best().trainer_config()?);
    let model = best
        .model_config::<SasRecConfig>()?
        .fit_with(&split, trainer)?;
    println!("{}", model.evaluate(&split.test)?);

    // The model and its users become a folder, which is served.
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("model", VectorChannelConfig::new());
    plan.save(folder.join("run"), &model, split.train.clone())?;
    let settings = EngineConfig::new();
    let engine = RecallEngine::open::<Flex>(folder.join("run"), Default::default(), settings)?;
    engine.set_items(products)?;
    let cheap = RecallRequest::for_user(7, 5).matching("price < 60".parse()?);
    let first = engine.recall_for(&cheap)?;
    println!("for user 7, below 60: {first}");

    // A dislike counts at the next call, and a new product is recalled by what is known of it.
    let (unwanted, now) = (&first.items[0].id, engine.time_unit().now());
    let dislike = Interaction::new(7, unwanted.clone(), now).with_event("dislike");
    engine.observe(&dislike, &[])?;
    println!("without {unwanted}: {}", engine.recall_for(&cheap)?);
    let new = Items::new(["new"])?
        .with_texts("title", [Some("The New Arrival")])?
        .with_tags("genres", [["Comedy"]])?
        .with_numbers("price", [Some(12.0)])?;
    engine.add_items(&new, &[])?;
    let request = RecallRequest::for_user(7, 1).matching("title = \"The New Arrival\"".parse()?);
    println!("the new product: {}", engine.recall_for(&request)?);
    Ok(())
}

/// Generated files, as a shop has them.
fn write_files(folder: &Path) -> Result<(), Box<dyn Error>> {
    let shop = Synthetic::new().with_events(true).with_repeats(0.0);
    let shop = shop.with_users(400).with_items(300);
    let (log, movies) = (shop.generate()?, shop.movies()?);
    let mut events = "user,item,time,event\n".to_owned();
    for row in 0..log.len() {
        let (user, item) = (log.user_numbers()[row], log.item_numbers()[row]);
        let (user, item) = (&log.users()[user as usize], &log.items()[item as usize]);
        let event = log.event(row).ok_or("generated events have types")?;
        events += &format!("{user},{item},{},{event}\n", log.times()[row]);
    }
    let mut products = "sku,title,genres,price\n".to_owned();
    for id in movies.ids() {
        let (title, genres) = (movies.title(id), movies.labels(id, "genres")?.join("|"));
        let price = movies.number(id, "price")?.unwrap_or_default();
        products += &format!("{id},\"{title}\",{genres},{price}\n");
    }
    let users = (1..=400).map(|user| format!("{user},{}\n", ["is", "no"][user % 2]));
    let users = "user,country\n".to_owned() + &users.collect::<String>();
    for (name, text) in [("events", events), ("products", products), ("users", users)] {
        fs::write(folder.join(name).with_extension("csv"), text)?;
    }
    Ok(())
}
