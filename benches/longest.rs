//! The longest of their kind: a user with a million labels, and a chain of a million items of which
//! dropping one leaves the next with too few interactions.
//!
//! `cargo bench -p seqrec-bench --bench longest` prints a JSON line for each size; what takes ten
//! times as long for ten times as much is right.

use std::time::Instant;

use clap::Parser;
use seqrec::data::{Catalog, Dataset, ExternalId, Filters, Interaction, Interactions, ItemIndex};
use seqrec::eval::Scorer;

#[derive(Parser)]
struct Options {
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    sizes: Vec<usize>,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for size in Options::parse().sizes {
        let line = serde_json::json!({
            "size": size,
            "labels_seconds": labels(size)?,
            "core_seconds": core(size)?,
        });
        println!("{line}");
    }
    Ok(())
}

/// The seconds that it takes to measure a list of as many items as there are labels.
fn labels(count: usize) -> seqrec::Result<f64> {
    let catalog = Catalog::from_ids((0..count as i64).map(ExternalId::Integer))?;
    let ranked: Vec<ItemIndex> = catalog.items().collect();
    let labels: Vec<ItemIndex> = ranked.iter().rev().step_by(2).copied().collect();
    let mut scorer = Scorer::new(&catalog, &[10, count])?;
    let start = Instant::now();
    scorer.add(&ranked, &labels);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(scorer.report().recall(count), Some(1.0));
    Ok(seconds)
}

/// The seconds that it takes to find that nothing is left of a chain: each user shares an item with
/// the next, and the last one has one item only.
fn core(count: usize) -> seqrec::Result<f64> {
    let mut log = Interactions::default();
    for user in 0..count as i64 {
        log.push(Interaction::new(user, user, 0.0));
        if user > 0 {
            log.push(Interaction::new(user, user - 1, 1.0));
        }
    }
    let filters = Filters::new()
        .with_minimum_per_user(2)
        .with_minimum_per_item(2);
    let start = Instant::now();
    let left = Dataset::new(log, filters);
    let seconds = start.elapsed().as_secs_f64();
    assert!(left.is_err(), "nothing is left of a chain");
    Ok(seconds)
}
