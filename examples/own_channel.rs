//! A channel of your own: the latest items that anybody took, which no model can know.
//!
//! `cargo run --release --example own_channel` judges it, fuses it with a Markov chain, and serves
//! both while events come in.

use std::collections::VecDeque;
use std::sync::Mutex;

use seqrec::Result;
use seqrec::channels::MarkovChainConfig;
use seqrec::data::{Interaction, User, synthetic::Synthetic};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::index::Filter;
use seqrec::prelude::*;
use seqrec::recall::{
    Candidate, Candidates, ChannelWeight, Fusion, Reason, RecallChannel, RecallStage,
};
use seqrec::store::ServedStage;

/// The latest items that anybody took, each once, the last one first.
struct Latest {
    items: Mutex<VecDeque<ItemIndex>>,
}

/// How many are kept.
const KEPT: usize = 200;

impl Latest {
    fn new() -> Self {
        Self {
            items: Mutex::default(),
        }
    }
}

impl RecallChannel for Latest {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let latest = self.items.lock().expect("no holder of it panics").clone();
        let mut candidates = Candidates::with_capacity(users.len(), k);
        let reason = Reason::named("somebody just took it");
        for user in 0..users.len() {
            let passing = latest.iter().enumerate();
            let passing = passing.filter(|&(_, &item)| filter.is_none_or(|f| f.passes(user, item)));
            candidates.push(passing.take(k).map(|(place, &item)| Candidate {
                item,
                score: -(place as f32),
                reason,
            }));
        }
        Ok(candidates)
    }

    fn observe(&self, item: ItemIndex, _: &Interaction, _: &[String]) {
        let mut items = self.items.lock().expect("no holder of it panics");
        items.retain(|&other| other != item);
        items.push_front(item);
        items.truncate(KEPT);
    }
}

fn main() -> Result<()> {
    let dataset = Dataset::new(Synthetic::default().generate(), Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    let markov = MarkovChainConfig::new().fit(&split.train)?;
    let evaluation = Evaluation::new(&[10], Seen::Keep);
    let report = evaluation.run(&markov, &split.test, split.catalog())?;
    for (metric, value) in report.iter() {
        println!("the chain alone: {metric} {value:.4}");
    }

    let load = move || {
        let all = dataset.training_data();
        let stage = RecallStage::new(Fusion::RoundRobin, 50)?
            .channel("latest", Latest::new(), ChannelWeight::default())?
            .channel(
                "markov",
                MarkovChainConfig::new().fit(&all)?,
                ChannelWeight::default(),
            )?;
        Ok(ServedStage::new(stage, all))
    };
    let engine = RecallEngine::with_loader(load, EngineConfig::default())?;
    engine.observe(&Interaction::new("somebody", 42, 1.7e9), &[])?;
    let answer = engine.recall_for(&RecallRequest::for_history([1, 2, 3], 4))?;
    // Every item with the channels that found it, and why.
    print!("{answer}");
    Ok(())
}
