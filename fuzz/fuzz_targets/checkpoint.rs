//! Checkpoints with bytes and numbers changed anywhere: training goes on from them, or refuses to.
//!
//! Tensors are not changed under right checksums: their decoder is given nothing but what was
//! written.
//!
//! `cargo +nightly fuzz run checkpoint` from the repository's root.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seqrec::backend::{Autodiff, Flex};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Filters, Protocol, Split};
use seqrec::eval::Metric;
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::train::{Trainer, TrainerConfig};
use seqrec_fuzz::overwrite_bytes;
use serde_json::{Value, json};

const FILES: [&str; 5] = [
    "state.json",
    "model.bin",
    "optimizer.bin",
    "best.bin",
    "mean.bin",
];

static SPLIT: LazyLock<Split> = LazyLock::new(|| {
    let synthetic = Synthetic::new()
        .with_users(10)
        .with_items(12)
        .with_mean_per_user(6);
    let dataset = Dataset::new(synthetic.generate().unwrap(), Filters::default()).unwrap();
    Split::new(&dataset, Protocol::LeaveOneOut).unwrap()
});

/// The files of a whole checkpoint, after two epochs.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(train(home.path(), 2).unwrap(), 2);
    let path = home.path().join("epoch-00002");
    FILES
        .map(|name| std::fs::read(path.join(name)).unwrap())
        .into()
});

/// How many epochs there are in the end.
fn train(folder: &Path, epochs: usize) -> seqrec::Result<usize> {
    let device = Default::default();
    let config = Gru4RecConfig::new().with_dim(2).with_max_len(4);
    let model = config.init::<Autodiff<Flex>>(SPLIT.catalog().len(), 1, &device)?;
    let trainer = TrainerConfig::new()
        .with_epochs(epochs)
        .with_minimum_steps(0)
        .with_average(Some(0.9))
        .with_metric(Metric::recall(5)?);
    let trained = Trainer::new(trainer)
        .checkpoints(folder)
        .resume(true)
        .fit(model, &SPLIT)?;
    assert!((1..=trained.epochs.len()).contains(&trained.best_epoch));
    Ok(trained.epochs.len())
}

fuzz_target!(|data: &[u8]| {
    let [which, mode, rest @ ..] = data else {
        return;
    };
    let mut files = WHOLE.clone();
    let which = usize::from(*which) % files.len();
    match mode % 4 {
        0 => files[which] = rest.to_vec(),
        1 => overwrite_bytes(&mut files[which], rest),
        // Each two bytes put one value into the state.
        2 => {
            let mut state: Value = serde_json::from_slice(&files[0]).unwrap();
            for edit in rest.chunks_exact(2) {
                let mut leaves = Vec::new();
                collect(&mut state["progress"], &mut leaves);
                let place = usize::from(edit[0]) % leaves.len();
                *leaves[place] = value(edit[1]);
            }
            files[0] = serde_json::to_vec(&state).unwrap();
        }
        _ => {
            files.swap(1, which);
        }
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("epoch-00002");
    std::fs::create_dir(&path).unwrap();
    for (name, contents) in FILES.iter().zip(&files) {
        std::fs::write(path.join(name), contents).unwrap();
    }
    let _ = train(home.path(), 3);
});

/// Values that are no lists or maps.
fn collect<'a>(value: &'a mut Value, leaves: &mut Vec<&'a mut Value>) {
    let is_leaf = match value {
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => true,
    };
    match value {
        leaf if is_leaf => leaves.push(leaf),
        Value::Array(values) => values.iter_mut().for_each(|value| collect(value, leaves)),
        Value::Object(values) => values.values_mut().for_each(|value| collect(value, leaves)),
        _ => {}
    }
}

fn value(which: u8) -> Value {
    match which % 12 {
        0 => json!(0),
        1 => json!(1),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(1e308),
        5 => json!(-1e308),
        6 => json!(0.5),
        7 => Value::Null,
        8 => json!("recall@0"),
        9 => json!([]),
        10 => json!({}),
        _ => json!(which),
    }
}
