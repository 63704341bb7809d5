//! A channel of your own: the latest items that anybody took, which no model can know.
//!
//! `cargo run --release --example own_channel` judges it together with a Markov chain, keeps both
//! in a folder, and serves them from there while events come in. It needs the feature `engine`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use seqrec::channels::MarkovChainConfig;
use seqrec::data::{Interaction, User, synthetic::Synthetic};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::index::Filter;
use seqrec::prelude::*;
use seqrec::recall::{
    Candidate, Candidates, ChannelConfig, ChannelSource, Fusion, Reason, RecallChannel,
};
use seqrec::store::StagePlan;
use seqrec::{Result, typetag};
// cargo add serde --features derive
use serde::{Deserialize, Serialize};

/// The settings, which a folder keeps; they say how a channel is made of training data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatestConfig {
    /// How many items are kept.
    most: usize,
}

#[typetag::serde(name = "own_channel/latest")]
impl ChannelConfig for LatestConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        let sequences = from.data.sequences();
        let histories = (0..sequences.len()).map(|user| sequences.history(user));
        let mut taken: Vec<(f64, ItemIndex)> = histories
            .flat_map(|user| {
                user.times()
                    .iter()
                    .copied()
                    .zip(user.items().iter().copied())
            })
            .collect();
        taken.sort_by(|a, b| a.0.total_cmp(&b.0));
        let latest = Latest {
            items: Mutex::default(),
            most: self.most,
        };
        taken.into_iter().for_each(|(_, item)| latest.take(item));
        Ok(Arc::new(latest))
    }
}

/// The latest items that anybody took, each once, the last one first.
struct Latest {
    items: Mutex<VecDeque<ItemIndex>>,
    most: usize,
}

impl Latest {
    fn take(&self, item: ItemIndex) {
        let mut items = self.items.lock().expect("no holder of it panics");
        items.retain(|&other| other != item);
        items.push_front(item);
        items.truncate(self.most);
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
        self.take(item);
    }
}

fn main() -> Result<()> {
    let dataset = Dataset::new(Synthetic::default().generate()?, Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    let plan = StagePlan::new(Fusion::RoundRobin)
        .channel("latest", LatestConfig { most: 200 })
        .channel("markov", MarkovChainConfig::new());
    let stage = plan.build(&split.train.clone().into())?;
    let evaluation = Evaluation::new(&[10], Seen::Keep);
    println!("{}", evaluation.run(&stage, &split.test, split.catalog())?);

    // A run folder holds a model, even where no channel looks at it.
    let (catalog, device) = (dataset.catalog().clone(), Default::default());
    let config = Gru4RecConfig::new().with_dim(8);
    let model = config.init::<Flex>(catalog.len(), 42, &device)?;
    let folder = std::env::temp_dir().join("own_channel");
    plan.save(
        &folder,
        &Run::new(config, model, catalog).into(),
        dataset.training_data(),
    )?;

    let engine = RecallEngine::open::<Flex>(&folder, device, EngineConfig::default())?;
    engine.observe(&Interaction::new("somebody", 42, 1.7e9), &[])?;
    let answer = engine.recall_for(&RecallRequest::for_history([1, 2, 3], 4))?;
    // Every item with the channels that found it, and why.
    print!("{answer}");
    Ok(())
}
