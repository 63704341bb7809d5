//! One training step of a model: encoder, softmax over every item, backward, Adam.
//!
//! `cargo bench -p seqrec-bench --bench train_step -- --dim 16 --items 15406 --batch-size 256 --len
//! 20 --threads 2` prints one JSON line with the median time of a step and the loss of the last,
//! which must be the same on every backend; `--model sasrec` takes another model, and with the
//! features `cuda` or `wgpu`, `--backend cuda` another backend. `--drawn 1024` samples the softmax:
//! over the targets of the batch and so many drawn items, with `--tables lazy` or `row_wise` moving
//! their rows alone, which `--half` keeps in half precision.

use std::time::Instant;

use burn::tensor::{ElementConversion, Tensor, TensorData};
use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::backend::{Autodiff, Flex, TrainingBackend};
use seqrec::burn;
use seqrec::data::{ItemIndex, NegativeSampling, Negatives, SequenceBatch, TrainingBatch};
use seqrec::model::{
    Loss, MODEL_NAMES, ModelVisitor, Objective, SampledLoss, SequenceRecaller, TrainableConfig,
    visit_model,
};
use seqrec::settings::overridden;
use seqrec::train::{ModelOptimizer, Optimizer, Tables};
use serde_json::json;

/// Training gives large buffers back at every step, which glibc's allocator gives on to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "support/memory.rs"]
mod memory;
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
    /// How many items are drawn for a softmax over them and the batch's targets, in place of one
    /// over every item.
    #[arg(long)]
    drawn: Option<usize>,
    /// How tables of vectors move: dense, lazy or row_wise.
    #[arg(long, default_value = "dense", value_parser = tables)]
    tables: Tables,
    /// Keeps tables in half precision.
    #[arg(long)]
    half: bool,
    /// Given by `cargo bench`; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn tables(name: &str) -> Result<Tables, String> {
    match name {
        "dense" => Ok(Tables::Dense),
        "lazy" => Ok(Tables::Lazy),
        "row_wise" => Ok(Tables::ROW_WISE),
        other => Err(format!("{other} is none of dense, lazy and row_wise")),
    }
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
        let objective = match options.drawn {
            None => Objective::new(),
            Some(drawn) => {
                let negatives = NegativeSampling::new()
                    .with_in_batch(options.batch_size)
                    .with_drawn(drawn);
                let loss = SampledLoss::Softmax { log_q: true };
                Objective::new().with_loss(Loss::sampled(loss, negatives))
            }
        };
        let config = settings::config(&defaults, options.dim, options.len, 0.0, &objective)?;
        let precision = if options.half { "half" } else { "single" };
        let config = overridden(&config, &json!({ "table_precision": precision }))?;
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
                "drawn": options.drawn,
                "tables": options.tables,
                "table_precision": precision,
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
    let adam = Optimizer::ADAM;
    let mut optimizer = ModelOptimizer::new(adam, options.tables);
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
        let negatives = (options.drawn)
            .map(|drawn| negatives(&targets, drawn, options.items, &mut random, device));
        let batch = TrainingBatch {
            positions: histories.last_positions(),
            histories,
            targets: Tensor::from_data(TensorData::new(targets, [options.batch_size]), device),
            negatives,
            continues_from: Vec::new(),
            seed: step as u64,
            weights: None,
            disliked: 0,
        };
        let (loss, gradients) = optimizer.gradients(&model, |model| model.loss(&batch))?;
        let value: f64 = loss.into_scalar().elem();
        if !value.is_finite() {
            return Err(format!("the loss of step {step} is {value}").into());
        }
        last = value;
        model = optimizer.step(1e-3, model, gradients);
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok((times, last))
}

/// The targets and so many drawn items, each once, as a batch of a trainer has them.
fn negatives<B: TrainingBackend>(
    targets: &[i32],
    drawn: usize,
    items: usize,
    random: &mut ChaCha8Rng,
    device: &B::Device,
) -> Negatives<B> {
    let mut all = targets.to_vec();
    all.extend((0..drawn).map(|_| item(random, items).get() as i32));
    all.sort_unstable();
    all.dedup();
    // All items are as likely.
    let log_chance = ((targets.len() + drawn) as f32 / items as f32)
        .min(1.0)
        .ln();
    let places: Vec<i32> = (targets.iter())
        .filter_map(|target| all.binary_search(target).ok())
        .map(|place| place as i32 + 1)
        .collect();
    let chances = |count| Tensor::full([count], log_chance, device);
    let count = all.len();
    Negatives {
        items: Tensor::from_data(TensorData::new(all, [count]), device),
        log_chances: chances(count),
        log_chances_of_targets: chances(targets.len()),
        places_of_targets: Some(Tensor::from_data(
            TensorData::new(places, [targets.len()]),
            device,
        )),
    }
}

fn item(random: &mut ChaCha8Rng, items: usize) -> ItemIndex {
    ItemIndex::new(random.random_range(1..=items as u32))
}
