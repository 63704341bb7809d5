//! Indexes, channels, run folders and the engine.

mod added_items;
mod attributes;
mod behaviors;
mod channels;
mod content_neighbors;
mod engine;
mod events;
mod fusion;
mod index;
mod index_lengths;
mod index_model;
mod recall_all;
mod results;
mod retrieval;
mod run_folder;
mod six_lines;

// What several of these use.
#[path = "../support/small.rs"]
mod small;
#[path = "../support/stage.rs"]
mod stage;
#[path = "../support/told.rs"]
mod told;
