//! One training step of GRU4Rec: embedding, GRU, softmax over every item, backward, Adam.
//!
//! `cargo bench --bench train_step -- --dim 16 --items 15406 --batch-size 256 --len 20 --threads 2`
//! prints one JSON line with the median time of a step.

use std::time::Instant;

use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{GradientsParams, Optimizer as _};
use burn::tensor::{Tensor, TensorData};
use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::{ItemIndex, SequenceBatch, TrainingBatch};
use seqrec::model::{Gru4Rec, Gru4RecConfig, Objective, RecallerConfig, SequenceRecaller};
use seqrec::train::{Adam, Optimizer};

#[path = "support/memory.rs"]
mod memory;

type B = Autodiff<Flex>;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 16)]
    dim: usize,
    #[arg(long, default_value_t = 15_406)]
    items: usize,
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    #[arg(long, default_value_t = 20)]
    len: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 30)]
    steps: usize,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    let device = Default::default();
    let config = Gru4RecConfig::new()
        .with_embedding_dropout(0.0)
        .with_hidden_dropout(0.0)
        .with_objective(Objective::new())
        .with_dim(options.dim)
        .with_max_len(options.len);
    let mut model = config.init::<B>(options.items, 1, &device)?;
    let mut optimizer =
        OptimizerAdaptor::<Optimizer, Gru4Rec<B>, B>::from(Optimizer::Adam(Adam::default()));
    let mut random = ChaCha8Rng::seed_from_u64(1);
    const WARM_UP: usize = 3;
    let mut times = Vec::new();
    for step in 0..WARM_UP + options.steps {
        let start = Instant::now();
        let histories: Vec<Vec<ItemIndex>> = (0..options.batch_size)
            .map(|_| {
                (0..options.len)
                    .map(|_| item(&mut random, options.items))
                    .collect()
            })
            .collect();
        let histories =
            SequenceBatch::<B>::new(histories.iter().map(Vec::as_slice), options.len, &device)?;
        let targets: Vec<i32> = (0..options.batch_size)
            .map(|_| item(&mut random, options.items).get() as i32)
            .collect();
        let batch = TrainingBatch {
            positions: histories.last_positions(),
            histories,
            targets: Tensor::from_data(TensorData::new(targets, [options.batch_size]), &device),
            negatives: None,
            continues_from: Vec::new(),
            seed: step as u64,
        };
        let loss = model.loss(&batch);
        assert!(loss.clone().into_scalar().is_finite());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-3, model, gradients);
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({
            "dim": options.dim,
            "items": options.items,
            "batch_size": options.batch_size,
            "len": options.len,
            "threads": options.threads,
            "ms_per_step": (times[times.len() / 2] * 1e3).round() / 1e3,
            "peak_rss_mb": memory::peak_rss_mb(),
        })
    );
    Ok(())
}

fn item(random: &mut ChaCha8Rng, items: usize) -> ItemIndex {
    ItemIndex::new(random.random_range(1..=items as u32))
}
