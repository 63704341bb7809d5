//! Run folders with bytes changed anywhere, under right and wrong checksums: loaded and asked, or
//! refused.
//!
//! `cargo +nightly fuzz run run_folder` from the repository's root.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seqrec::backend::Flex;
use seqrec::channels::{
    AlsConfig, ItemNeighborsConfig, MarkovChainConfig, NearestItemsConfig, NearestUsersConfig,
    PopularityConfig, PreferredTagsConfig,
};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, Features, Filters};
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::recall::{Fusion, HistoryItems, VectorChannelConfig};
use seqrec::store::{Run, ServedStage, StagePlan};
use seqrec_fuzz::overwrite_bytes;
use serde_json::Value;

const FILES: [&str; 9] = [
    "../run.json",
    "model.json",
    "config.json",
    "catalog.json",
    "weights.safetensors",
    "stage.json",
    "segments.json",
    "stage.safetensors",
    "sequences.store",
];

/// The files of a whole folder.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let synthetic = Synthetic::new()
        .with_users(12)
        .with_items(15)
        .with_mean_per_user(6);
    let dataset = Dataset::new(synthetic.generate().unwrap(), Filters::default()).unwrap();
    let catalog = dataset.catalog();
    let config = Gru4RecConfig::new().with_dim(2);
    let model = config
        .init::<Flex>(catalog.len(), 1, &Default::default())
        .unwrap();
    let run = Run::<Flex, _>::new(config, model, catalog.clone());
    let start = HistoryItems::last(5).unwrap();
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("u2i", VectorChannelConfig::new())
        .channel("markov", MarkovChainConfig::new())
        .channel("item_cf", ItemNeighborsConfig::new().with_start(start))
        .channel("mf", AlsConfig::new().with_dim(2))
        .channel("i2i", NearestItemsConfig::new().with_neighbors(3))
        .channel(
            "u2u2i",
            NearestUsersConfig::new()
                .with_neighbors(3)
                .with_held_back(1),
        )
        .channel(
            "tags",
            PreferredTagsConfig::new().with_tags(2).with_items(5),
        )
        .fallback(PopularityConfig::new());
    let tags = catalog.ids().map(|id| {
        (
            id.clone(),
            [if id.to_string().as_str() < "3" {
                "a"
            } else {
                "b"
            }],
        )
    });
    let data = dataset
        .training_data()
        .with_tags(Features::from_item_tags(catalog, tags))
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    plan.save(&path, &run.into(), data).unwrap();
    let version = path.join("v000001");
    FILES
        .map(|name| std::fs::read(version.join(name)).unwrap())
        .into()
});

fuzz_target!(|data: &[u8]| {
    let [which, mode, rest @ ..] = data else {
        return;
    };
    let mut files = WHOLE.clone();
    let which = usize::from(*which) % files.len();
    if mode & 1 == 0 {
        files[which] = rest.to_vec();
    } else {
        overwrite_bytes(&mut files[which], rest);
    }
    if mode & 2 == 0 {
        make_right(&mut files);
    }
    let home = tempfile::tempdir().unwrap();
    let version = home.path().join("run/v000001");
    std::fs::create_dir_all(&version).unwrap();
    for (name, contents) in FILES.iter().zip(&files) {
        std::fs::write(version.join(name), contents).unwrap();
    }
    exercise(&home.path().join("run"));
});

/// Puts the right checksums into the manifests.
fn make_right(files: &mut [Vec<u8>]) {
    let crc = |file: &[u8]| Value::from(crc32fast::hash(file));
    // The last number of a header of 256 bytes.
    let header_checksum = |file: &[u8]| match file.get(252..256) {
        Some(&[a, b, c, d]) => Value::from(u32::from_le_bytes([a, b, c, d])),
        _ => Value::Null,
    };
    let put = |files: &mut [Vec<u8>], manifest: usize, values: &[(&[&str], Value)]| {
        let Ok(mut json) = serde_json::from_slice::<Value>(&files[manifest]) else {
            return;
        };
        for (path, value) in values {
            let place = path
                .iter()
                .try_fold(&mut json, |json, name| json.get_mut(*name));
            if let Some(place) = place {
                *place = value.clone();
            }
        }
        files[manifest] = serde_json::to_vec(&json).unwrap();
    };
    let of_model = [
        (&["checksums", "config"][..], crc(&files[2])),
        (&["checksums", "catalog"], crc(&files[3])),
        (&["checksums", "weights"], crc(&files[4])),
    ];
    put(files, 1, &of_model);
    let of_stage = [
        (&["model"][..], crc(&files[1])),
        (&["segments"], crc(&files[6])),
        (&["arrays"], crc(&files[7])),
        (&["sequences"], header_checksum(&files[8])),
    ];
    put(files, 5, &of_stage);
}

fn exercise(path: &Path) {
    let Ok(served) = ServedStage::load::<Flex>(path, &Default::default()) else {
        return;
    };
    let data = served.data();
    for user in 0..data.sequences().len().min(3) {
        let history = data.sequences().history(user);
        // Whatever a channel says, it says it.
        let _ = served.stage().recall_fused(&[history], 5, None);
    }
}
