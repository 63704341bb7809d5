//! One training step of a model: encoder, softmax over every item, backward, Adam.
//!
//! `cargo bench --bench train_step -- --dim 16 --items 15406 --batch-size 256 --len 20 --threads 2`
//! prints one JSON line with the median time of a step and the loss of the last, which must be the
//! same on every backend; `--model sasrec` takes another model, and with the features `cuda` or
//! `wgpu`, `--backend cuda` another backend.

use std::time::Instant;

use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{GradientsParams, Optimizer as _};
use burn::tensor::{ElementConversion, Tensor, TensorData};
use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::{Autodiff, Flex, TrainingBackend};
use seqrec::burn;
use seqrec::data::{ItemIndex, SequenceBatch, TrainingBatch};
use seqrec::model::{MODEL_NAMES, ModelVisitor, SequenceRecaller, TrainableConfig, visit_model};
use seqrec::train::{Adam, Optimizer};
use serde_json::json;

/// Training gives large buffers back at every step, which glibc's allocator gives on to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "support/memory.rs"]
mod memory;
#[path = "../examples/support/overrides.rs"]
mod overrides;
#[path = "support/settings.rs"]
mod settings;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "gru4rec", value_parser = clap::builder::PossibleValuesParser::new(MODEL_NAMES.iter().copied()))]
    model: String,
    /// flex, cuda or wgpu.
    #[arg(long, default_value = "flex")]
    backend: String,
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

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global()?;
    match options.backend.as_str() {
        "flex" => on::<Autodiff<Flex>>(&options),
        #[cfg(feature = "cuda")]
        "cuda" => on::<Autodiff<seqrec::backend::Cuda>>(&options),
        #[cfg(feature = "wgpu")]
        "wgpu" => on::<Autodiff<seqrec::backend::Wgpu>>(&options),
        other => Err(format!("no backend {other} in this build").into()),
    }
}

fn on<B: TrainingBackend>(options: &Options) -> Result<(), Failure> {
    visit_model::<B, _>(&options.model, Steps { options })?
}

struct Steps<'a> {
    options: &'a Options,
}

impl<B: TrainingBackend> ModelVisitor<B> for Steps<'_> {
    type Output = Result<(), Failure>;

    fn visit<C: TrainableConfig<B>>(self, defaults: C) -> Self::Output {
        let options = self.options;
        let config = settings::config(&defaults, options.dim, options.len, 0.0)?;
        let device = B::Device::default();
        let model = config.init::<B>(options.items, 1, &device)?;
        let (mut times, loss) = time::<B, C>(options, model, &device)?;
        times.sort_by(f64::total_cmp);
        println!(
            "{}",
            json!({
                "model": options.model,
                "backend": options.backend,
                "dim": options.dim,
                "items": options.items,
                "batch_size": options.batch_size,
                "len": options.len,
                "threads": options.threads,
                "loss": (loss * 1e6).round() / 1e6,
                "ms_per_step": (times[times.len() / 2] * 1e3).round() / 1e3,
                "peak_rss_mb": memory::peak_rss_mb(),
            })
        );
        Ok(())
    }
}

/// How long each step takes, in milliseconds, and the last one's loss.
fn time<B: TrainingBackend, C: TrainableConfig<B>>(
    options: &Options,
    mut model: C::Recaller<B>,
    device: &B::Device,
) -> Result<(Vec<f64>, f64), Failure> {
    let adam = Optimizer::Adam(Adam::default());
    let mut optimizer = OptimizerAdaptor::<Optimizer, C::Recaller<B>, B>::from(adam);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    const WARM_UP: usize = 3;
    let mut times = Vec::new();
    let mut last = f64::NAN;
    for step in 0..WARM_UP + options.steps {
        let start = Instant::now();
        let histories: Vec<Vec<ItemIndex>> = (0..options.batch_size)
            .map(|_| {
                (0..options.len)
                    .map(|_| item(&mut random, options.items))
                    .collect()
            })
            .collect();
        let histories = histories.iter().map(Vec::as_slice);
        let histories = SequenceBatch::<B>::new(histories, options.len, device)?;
        let targets: Vec<i32> = (0..options.batch_size)
            .map(|_| item(&mut random, options.items).get() as i32)
            .collect();
        let batch = TrainingBatch {
            positions: histories.last_positions(),
            histories,
            targets: Tensor::from_data(TensorData::new(targets, [options.batch_size]), device),
            negatives: None,
            continues_from: Vec::new(),
            seed: step as u64,
        };
        let loss = model.loss(&batch);
        let value: f64 = loss.clone().into_scalar().elem();
        if !value.is_finite() {
            return Err(format!("the loss of step {step} is {value}").into());
        }
        last = value;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-3, model, gradients);
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok((times, last))
}

fn item(random: &mut ChaCha8Rng, items: usize) -> ItemIndex {
    ItemIndex::new(random.random_range(1..=items as u32))
}
