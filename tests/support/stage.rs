//! A small stage's data.

use seqrec::data::{Dataset, Filters, Interaction, Interactions, TrainingSequences};
use seqrec::store::StageData;

/// Three users: anna took a, b; bo b, c; cy c, a, d. Times count up from 1.
pub fn data() -> StageData {
    let rows = [
        ("anna", "a"),
        ("anna", "b"),
        ("bo", "b"),
        ("bo", "c"),
        ("cy", "c"),
        ("cy", "a"),
        ("cy", "d"),
    ];
    let log: Interactions = (rows.iter().enumerate())
        .map(|(place, &(user, item))| Interaction::new(user, item, place as f64 + 1.0))
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let sequences = TrainingSequences::all(&dataset);
    StageData::new(&dataset, sequences, dataset.catalog().clone()).unwrap()
}
