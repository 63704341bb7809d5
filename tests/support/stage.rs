//! A small stage's data.

use seqrec::data::{Dataset, Filters, Interaction, Interactions, TrainingData};

/// Three users: anna took a, b; bo b, c; cy c, a, d. Times count up from 1.
pub fn data() -> TrainingData {
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
    dataset.training_data()
}
