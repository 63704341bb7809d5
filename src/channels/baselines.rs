//! The channels that a model is compared with.

use crate::Result;
use crate::data::TrainingData;
use crate::recall::{HistoryItems, Path, RecallChannel};

use super::{
    ItemNeighborsConfig, MarkovChainConfig, Popularity, PopularityConfig, SessionKnnConfig,
    SimilarUsersConfig,
};

/// The channels that a model should be better than, by name, each with its defaults: popularity, a
/// Markov chain, session kNN, item-based and user-based collaborative filtering of the last 20
/// items. They take a second where a model trains for minutes.
///
/// ```
/// use seqrec::channels::baselines;
/// use seqrec::data::synthetic::Synthetic;
/// use seqrec::prelude::*;
///
/// let log = Synthetic::new().with_users(80).with_items(60).generate()?;
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let evaluation = Evaluation::new(&[10], Seen::Exclude);
/// println!("{}", evaluation.compare(&baselines(&split.train)?, &split.test, split.catalog())?);
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// # Errors
/// Those of the channels.
pub fn baselines(data: &TrainingData) -> Result<Vec<(&'static str, Box<dyn RecallChannel>)>> {
    let recent = HistoryItems::last(20)?.with_decay(0.8)?;
    let neighbors = ItemNeighborsConfig::new().with_start(recent).fit(data)?;
    let similar = SimilarUsersConfig::new().with_start(recent);
    let (similar, items) = similar.fit(data)?;
    // A catalog counts all events alike, also those of dislikes.
    let popularity = match data.catalog().behaviors() {
        Some(_) => PopularityConfig::new().fit(&data.clone().without_log())?,
        None => Popularity::new(data.catalog()),
    };
    Ok(vec![
        ("popularity", Box::new(popularity)),
        ("Markov", Box::new(MarkovChainConfig::new().fit(data)?)),
        ("session kNN", Box::new(SessionKnnConfig::new().fit(data)?)),
        ("item CF", Box::new(recent.then(neighbors).into_channel())),
        ("user CF", Box::new(similar.then(items).into_channel())),
    ])
}
