//! A shop's three files from end to end: what users did, the products, and the users become a tuned
//! model in a service, which takes a new product and a dislike while it runs.
//!
//! `cargo run --release --example shop`

use std::fmt::Write;
use std::fs;
use std::path::Path;

use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Behaviors, Items};
use seqrec::model::ItemFeaturesConfig;
use seqrec::prelude::*;
use seqrec::recall::Fusion;
use seqrec::store::StagePlan;
use seqrec::train::Search;
use seqrec::{Error, Result, recall::VectorChannelConfig};

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("seqrec-shop-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(Error::other)?;
    let sold = serve(&folder);
    fs::remove_dir_all(&folder).map_err(Error::other)?;
    println!("{}", sold?);
    Ok(())
}

fn serve(folder: &Path) -> Result<String> {
    write_files(folder)?;
    let mut told = String::new();

    // What events mean is said once, for all that follows.
    let behaviors: Behaviors = "buy=target, view*0.2, dislike=negative".parse()?;
    let log = InteractionReader::detect(folder.join("events.csv"))?
        .behaviors(behaviors)
        .read()?;
    let products = Items::read(folder.join("products.csv"), "sku")?;
    let users = Items::read(folder.join("users.csv"), "user")?;
    let dataset = Dataset::new(log, Filters::default())?
        .with_items(&products)?
        .with_users(&users, &["country"])?;
    let features = products.features(dataset.catalog(), &["genres", "price"])?;
    let split = Split::new(
        &dataset.with_item_features(features)?,
        Protocol::LeaveOneOut,
    )?;

    // Settings are searched for by the validation cases, and the test cases are looked at once.
    let join = ItemFeaturesConfig::new().with_own_dropout(0.3);
    let config = SasRecConfig::new()
        .with_dim(16)
        .with_item_features(Some(join));
    let trainer = TrainerConfig::new()
        .with_epochs(6)
        .with_metric(Metric::ndcg(10)?);
    let space = r#"{"model.dropout": [0.1, 0.3], "trainer.learning_rate": [0.003, 0.01]}"#;
    let found = Search::<Autodiff<Flex>>::new(trainer)
        .model("sasrec", config, space)?
        .trials(4)
        .first_epochs(2)
        .run(&split, folder.join("search"), &Default::default())?;
    let best = found.best();
    let model = best
        .model_config::<SasRecConfig>()?
        .fit_with(&split, best.trainer_config()?)?;
    writeln!(told, "{}", model.evaluate(&split.test)?).map_err(Error::other)?;

    // The model and its users as a folder, which is served.
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("model", VectorChannelConfig::new());
    plan.save(folder.join("run"), &model, split.train.clone())?;
    let engine =
        RecallEngine::open::<Flex>(folder.join("run"), Default::default(), EngineConfig::new())?;
    engine.set_items(products)?;
    let cheap = || Ok(RecallRequest::for_user(7, 5).matching("price < 60".parse()?));
    let first = engine.recall_for(&cheap()?)?;
    writeln!(told, "for user 7, below 60: {first}").map_err(Error::other)?;

    // A new product is recalled by what is known of it, and a dislike counts at the next call.
    let new = Items::new([90_001])?
        .with_texts("title", [Some("The New Arrival")])?
        .with_tags("genres", [["Comedy"]])?
        .with_numbers("price", [Some(12.0)])?;
    engine.add_items(&new, &[])?;
    let unwanted = Interaction::new(7, first.items[0].id.clone(), engine.time_unit().now());
    engine.observe(&unwanted.with_event("dislike"), &[])?;
    let then = engine.recall_for(&cheap()?)?;
    writeln!(told, "and without {}: {then}", first.items[0].id).map_err(Error::other)?;
    let new = engine.recall_for(&RecallRequest::for_user(7, 1).only([90_001]))?;
    writeln!(told, "the new product: {new}").map_err(Error::other)?;
    Ok(told)
}

/// Generated files as a shop has them.
fn write_files(folder: &Path) -> Result<()> {
    let shop = Synthetic::new()
        .with_users(400)
        .with_items(300)
        .with_events(true);
    let (log, movies) = (shop.generate()?, shop.movies()?);
    let mut events = "user,item,time,event,value\n".to_owned();
    let rows = log
        .user_numbers()
        .iter()
        .zip(log.item_numbers())
        .zip(log.times());
    for (row, ((&user, &item), time)) in rows.enumerate() {
        let (user, item) = (&log.users()[user as usize], &log.items()[item as usize]);
        let (event, value) = (log.event(row).map(ToString::to_string), log.value(row));
        let value = value.map_or(String::new(), |value| value.to_string());
        events += &format!(
            "{user},{item},{time},{},{value}\n",
            event.unwrap_or_default()
        );
    }
    let mut products = "sku,title,genres,price\n".to_owned();
    for id in movies.ids() {
        let (genres, price) = (
            movies.labels(id, "genres")?.join("|"),
            movies.number(id, "price")?,
        );
        products += &format!(
            "{id},{},{genres},{}\n",
            movies.title(id),
            price.unwrap_or(0.0)
        );
    }
    let countries = log
        .users()
        .iter()
        .map(|id| format!("{id},{}\n", ["is", "no"][id.to_string().len() % 2]));
    let users = format!("user,country\n{}", countries.collect::<String>());
    for (name, text) in [("events", events), ("products", products), ("users", users)] {
        fs::write(folder.join(format!("{name}.csv")), text).map_err(Error::other)?;
    }
    Ok(())
}
