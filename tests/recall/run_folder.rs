//! Run folders come back as they were saved, are refused when damaged, and in use: saved while they
//! are loaded, locked, full and read-only disks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seqrec::backend::Flex;
use seqrec::channels::{
    AlsConfig, ItemNeighborsConfig, MarkovChainConfig, NearestItemsConfig, PopularityConfig,
};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    Catalog, Dataset, ExternalId, Filters, Interactions, ItemIndex, Protocol, SequenceStore, Split,
    User,
};
use seqrec::index::{Filter, FlatIndex};
use seqrec::model::{Gru4RecConfig, HstuConfig, RecallerConfig};
use seqrec::recall::{
    Candidate, Candidates, ChannelConfig, ChannelSource, Fusion, HistoryItems, Links, Reason,
    RecallChannel, Retriever, VectorChannel, VectorChannelConfig,
};
use seqrec::retrieve::item_vectors;
use seqrec::store::{PlannedChannel, Recaller, Run, ServedStage, StageData, StagePlan};
use seqrec::{Error, ErrorKind, typetag};

use serde::{Deserialize, Serialize};

use crate::small;

type GruRun = Run<Flex, Gru4RecConfig>;

/// Another seed has its items in another order, so that a mixture is a wrong answer.
fn log(seed: u64) -> Interactions {
    let synthetic = Synthetic::new()
        .with_users(30)
        .with_items(40)
        .with_seed(seed);
    synthetic.generate().unwrap()
}

fn dataset(seed: u64) -> Dataset {
    Dataset::new(log(seed), Filters::default()).unwrap()
}

fn run(dataset: &Dataset, seed: u64) -> GruRun {
    let config = Gru4RecConfig::new().with_dim(4);
    let items = dataset.catalog().len();
    let model = config.init::<Flex>(items, seed, &Default::default());
    Run::new(config, model.unwrap(), dataset.catalog().clone())
}

/// Another kind of model over the same items.
fn further(dataset: &Dataset, seed: u64) -> Recaller {
    let config = HstuConfig::new().with_dim(6).with_blocks(1);
    let items = dataset.catalog().len();
    let model = config.init::<Flex>(items, seed, &Default::default());
    let run = Run::new(config, model.unwrap(), dataset.catalog().clone());
    Recaller::from(run)
}

fn save_stage(path: &Path, seed: u64) -> seqrec::Result<()> {
    let dataset = dataset(seed);
    let start = HistoryItems::last(9)?;
    let mut plan =
        StagePlan::new(Fusion::RECIPROCAL_RANK).channel("u2i", VectorChannelConfig::new());
    let of_hstu = PlannedChannel::new("hstu", VectorChannelConfig::new()).with_model("hstu");
    plan.channels.push(of_hstu);
    let plan = plan.channel("item_cf", ItemNeighborsConfig::new().with_start(start));
    let data = StageData::from(dataset.training_data());
    let data = data.with_further_model("hstu", further(&dataset, seed))?;
    plan.save(path, &run(&dataset, seed).into(), data)
}

/// What a stage says of its first users, with external ids.
fn answers(served: &ServedStage) -> Vec<String> {
    let data = served.data();
    let users: Vec<User<'_>> = (0..5).map(|user| data.sequences().history(user)).collect();
    let fused = served.stage().recall_fused(&users, 10, None).unwrap();
    let items = fused.iter().flatten();
    items
        .map(|fused| {
            let id = data.catalog().id_of(fused.item).unwrap();
            format!("{id} {:?} {:?}", fused.score, fused.found)
        })
        .collect()
}

/// One thread saves two runs in turn, others load and answer: each answer is wholly one run's.
#[test]
fn a_load_during_saves_is_one_run_or_the_other() {
    // In memory where there is such a place: a disk that is busy takes long to be sure of each
    // save.
    let home = match tempfile::tempdir_in("/dev/shm") {
        Ok(home) => home,
        Err(_) => tempfile::tempdir().unwrap(),
    };
    let path = home.path().join("run");
    let expected = [1, 2].map(|seed| {
        let alone = home.path().join(format!("alone-{seed}"));
        save_stage(&alone, seed).unwrap();
        answers(&ServedStage::load::<Flex>(&alone, &Default::default()).unwrap())
    });
    assert_ne!(expected[0], expected[1]);
    save_stage(&path, 1).unwrap();
    let (done, loads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = [const { AtomicUsize::new(0) }; 2];
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let served = ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
                    let found = answers(&served);
                    let which = expected.iter().position(|expected| *expected == found);
                    seen[which.expect("an answer of neither run")].fetch_add(1, Ordering::Relaxed);
                    loads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let begun = Instant::now();
        let mut saves = 0;
        while saves < 40 || loads.load(Ordering::Relaxed) < 40 {
            save_stage(&path, 1 + (saves + 1) % 2).unwrap();
            saves += 1;
            assert!(begun.elapsed() < Duration::from_secs(300));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(
        seen.iter().all(|seen| seen.load(Ordering::Relaxed) > 0),
        "{seen:?}"
    );
    let mut names: Vec<String> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "two versions and what names one: {names:?}");
    assert_eq!(names[0], "run.json");
}

#[test]
fn nothing_that_lies_beside_a_run_is_lost() {
    let home = tempfile::tempdir().unwrap();
    // Somebody's folder is no run folder.
    let keep = home.path().join("keep");
    std::fs::create_dir(&keep).unwrap();
    std::fs::write(keep.join("thesis.txt"), "x").unwrap();
    let dataset = dataset(1);
    let run = run(&dataset, 1);
    for refused in [run.save(&keep), save_stage(&keep, 1)] {
        assert!(
            matches!(
                refused.as_ref().map_err(Error::kind),
                Err(ErrorKind::NotOurs { .. })
            ),
            "{refused:?}"
        );
    }
    assert_eq!(std::fs::read(keep.join("thesis.txt")).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(&keep).unwrap().count(), 1);
    // An index in a run folder outlives every save.
    let path = home.path().join("run");
    run.save(&path).unwrap();
    let index = FlatIndex::new(item_vectors::<Flex, _>(&run.model).view()).unwrap();
    let fingerprint = run.catalog.fingerprint();
    index.save(path.join("items.index"), fingerprint).unwrap();
    for _ in 0..3 {
        run.save(&path).unwrap();
    }
    assert!(FlatIndex::open(path.join("items.index"), fingerprint).is_ok());
}

#[test]
fn a_stage_is_only_saved_with_its_own_model() {
    let home = tempfile::tempdir().unwrap();
    let (data, other) = (dataset(1), dataset(2));
    assert_eq!(data.catalog().len(), other.catalog().len());
    let of_data = data.training_data();
    let plan = StagePlan::new(Fusion::RoundRobin).channel("u2i", VectorChannelConfig::new());
    let path = home.path().join("run");
    let refused = plan.save(&path, &run(&other, 1).into(), of_data);
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::InvalidValue {
                field: "data of the stage",
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(!path.exists());
    // Nor with sequences of other items than the catalog's.
    let few = seqrec::data::Catalog::from_ids([1, 2].map(Into::into)).unwrap();
    let refused = data.training_data().with_catalog(few);
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::UnknownItem { .. })
        ),
        "{refused:?}"
    );
}

/// A disk for a test: a small one, or one that can't be written. `None` where this process may not
/// mount any.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of_size(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("no disk can be mounted here: only what needs none is tested");
        }
        mounted.then_some(Self(folder))
    }

    fn make_read_only(&self) -> bool {
        let mount = std::process::Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(self.0.path())
            .output();
        mount.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .output();
    }
}

#[test]
fn a_full_or_read_only_disk_leaves_the_last_run_whole() {
    let Some(disk) = Disk::of_size(256 * 1024) else {
        return;
    };
    let path = disk.0.path().join("run");
    save_stage(&path, 1).unwrap();
    let load = || ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
    let before = answers(&load());
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let names = files();
    // Nearly full: the next version does not fit.
    let rest = std::fs::File::create(disk.0.path().join("rest")).unwrap();
    let mut filled = 0;
    while std::io::Write::write(&mut &rest, &[1; 1024]).is_ok_and(|written| written > 0) {
        filled += 1;
    }
    assert!(filled > 0);
    let full = save_stage(&path, 2);
    assert!(
        matches!(
            full.as_ref().map_err(Error::kind),
            Err(ErrorKind::Io { .. })
        ),
        "{full:?}"
    );
    assert_eq!(answers(&load()), before);
    assert_eq!(files(), names, "nothing half-written is left");
    drop(rest);
    std::fs::remove_file(disk.0.path().join("rest")).unwrap();
    save_stage(&path, 2).unwrap();
    let second = answers(&load());
    assert_ne!(second, before);
    if disk.make_read_only() {
        let refused = save_stage(&path, 1);
        assert!(
            matches!(
                refused.as_ref().map_err(Error::kind),
                Err(ErrorKind::Io { .. })
            ),
            "{refused:?}"
        );
        assert_eq!(answers(&load()), second);
    }
}

/// Writers of one folder, in one process or several, take turns or are told.
#[test]
fn two_writers_of_a_folder_are_told_of_each_other() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    save_stage(&path, 1).unwrap();
    let (mut saved, mut in_use) = (0, 0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=2)
            .map(|seed| {
                let path = &path;
                scope.spawn(move || {
                    let saves = (0..40).map(|_| save_stage(path, seed));
                    saves.collect::<Vec<_>>()
                })
            })
            .collect();
        for result in writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
        {
            match result {
                Ok(()) => saved += 1,
                Err(error) if matches!(error.kind(), ErrorKind::InUse { .. }) => in_use += 1,
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert!(saved > 0, "{in_use} were told that it is in use");
    ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
}

/// A copy of `run.json`, put back, makes the version before count again, and a backup that begins
/// with it is whole.
#[test]
fn the_version_before_counts_again_by_its_run_json() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let load = |path: &Path| ServedStage::load::<Flex>(path, &Default::default());
    let copy = |from: &Path, to: &Path| std::fs::copy(from, to).map(drop).unwrap();
    save_stage(&path, 1).unwrap();
    let (kept, backup) = (
        home.path().join("run.json.before"),
        home.path().join("copy"),
    );
    copy(&path.join("run.json"), &kept);
    let serving = load(&path).unwrap();
    let first = answers(&serving);
    save_stage(&path, 2).unwrap();
    let second = answers(&load(&path).unwrap());
    assert_ne!(first, second);

    // A backup, between whose pointer and files there was a save.
    std::fs::create_dir_all(backup.join("v000001")).unwrap();
    copy(&kept, &backup.join("run.json"));
    for file in std::fs::read_dir(path.join("v000001")).unwrap() {
        let file = file.unwrap();
        copy(&file.path(), &backup.join("v000001").join(file.file_name()));
    }
    assert_eq!(answers(&load(&backup).unwrap()), first);

    let second_pointer = home.path().join("run.json.second");
    copy(&path.join("run.json"), &second_pointer);
    copy(&kept, &path.join("run.json.new"));
    std::fs::rename(path.join("run.json.new"), path.join("run.json")).unwrap();
    assert_eq!(answers(&load(&path).unwrap()), first);
    // The next save keeps what counted before it, and no number comes twice.
    save_stage(&path, 2).unwrap();
    assert_eq!(answers(&load(&path).unwrap()), second);
    let there = |version: &str| path.join(version).exists();
    assert!(there("v000001") && !there("v000002") && there("v000003"));
    // A version that is gone is told.
    copy(&second_pointer, &path.join("run.json"));
    let error = load(&path).unwrap_err();
    assert!(error.to_string().contains("v000002"), "{error}");
    // Whoever has loaded a version serves on without its files.
    if cfg!(unix) {
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(answers(&serving), first);
    }
}

/// A folder a release, and a link that names the one that serves.
#[cfg(unix)]
#[test]
fn a_link_names_the_folder_that_serves() {
    use std::os::unix::fs::symlink;
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let load = |path: &Path| ServedStage::load::<Flex>(path, &Default::default());
    for (seed, name) in [(1, "first"), (2, "second")] {
        save_stage(&at(name), seed).unwrap();
        symlink(name, at("new")).unwrap();
        std::fs::rename(at("new"), at("current")).unwrap();
        let expected = answers(&load(&at(name)).unwrap());
        assert_eq!(answers(&load(&at("current")).unwrap()), expected);
    }
    // Both have a version of the first number, of which a switch in the midst of a load would mix
    // files.
    let pointer = at("first").join("run.json");
    std::fs::copy(pointer, at("second").join("run.json")).unwrap();
    let error = load(&at("current")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Damaged { .. }), "{error}");
}

fn saved_run() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = small::config()
        .init::<Flex>(small::ITEMS as usize, 9, &Default::default())
        .unwrap();
    GruRun::new(small::config(), model, small::catalog())
        .save(&path)
        .unwrap();
    (folder, path)
}

#[test]
fn a_run_comes_back_as_it_was_saved() {
    let (_folder, path) = saved_run();
    let run = GruRun::load(&path, &Default::default()).unwrap();
    assert_eq!(run.config, small::config());
    assert_eq!(run.catalog, small::catalog());
    let index = FlatIndex::new(&item_vectors(&run.model)).unwrap();
    let loaded = Retriever::new(VectorChannel::from_model(run.model, index), run.catalog).unwrap();
    let history = ["item-3", "item-8"];
    assert_eq!(
        loaded.recall(history, 10).unwrap(),
        small::retriever().recall(history, 10).unwrap()
    );
    // Saving over a run replaces it whole.
    let again = GruRun::load(&path, &Default::default()).unwrap();
    again.save(&path).unwrap();
    assert!(GruRun::load(&path, &Default::default()).is_ok());
}

/// A file of a run folder that was saved once.
fn file_of(path: &Path, name: &str) -> std::path::PathBuf {
    match name {
        "run.json" => path.join(name),
        _ => path.join("v000001").join(name),
    }
}

#[test]
fn damaged_and_foreign_runs_are_errors() {
    let load = |path: &Path| GruRun::load(path, &Default::default()).unwrap_err();
    let (_folder, path) = saved_run();
    assert!(matches!(
        load(&path.join("nowhere")).kind(),
        ErrorKind::Io { .. }
    ));
    for name in [
        "weights.safetensors",
        "catalog.json",
        "config.json",
        "model.json",
        "run.json",
    ] {
        let (_folder, path) = saved_run();
        let file = file_of(&path, name);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert!(
            matches!(load(&path).kind(), ErrorKind::Damaged { .. }),
            "{name} cut short"
        );
        if !["run.json", "model.json"].contains(&name) {
            let mut altered = whole.clone();
            let middle = altered.len() / 2;
            altered[middle] ^= 1;
            std::fs::write(&file, altered).unwrap();
            assert!(
                matches!(load(&path).kind(), ErrorKind::Damaged { .. }),
                "{name} altered"
            );
        }
        std::fs::remove_file(&file).unwrap();
        assert!(
            matches!(load(&path).kind(), ErrorKind::Io { .. }),
            "{name} missing"
        );
    }
    let change = |from: &str, to: &str| {
        let (folder, path) = saved_run();
        let file = file_of(&path, "model.json");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let error = load(&path);
        drop(folder);
        error
    };
    let (_folder, path) = saved_run();
    let pointer = std::fs::read_to_string(path.join("run.json")).unwrap();
    let mut later: serde_json::Value = serde_json::from_str(&pointer).unwrap();
    assert!(later["format_version"].is_u64());
    later["format_version"] = 99.into();
    std::fs::write(path.join("run.json"), later.to_string()).unwrap();
    let version = load(&path);
    assert!(
        matches!(version.kind(), ErrorKind::FormatVersion { found: 99, .. }),
        "{version}"
    );
    let model = change("\"gru4rec\"", "\"sasrec\"");
    assert!(matches!(model.kind(), ErrorKind::Damaged { .. }), "{model}");
    let similarity = change("\"cosine\"", "\"dot\"");
    assert!(
        matches!(similarity.kind(), ErrorKind::Damaged { .. }),
        "{similarity}"
    );
    let catalog = change("\"fingerprint\": ", "\"fingerprint\": 1");
    assert!(
        matches!(catalog.kind(), ErrorKind::Damaged { .. }),
        "{catalog}"
    );
}

/// Runs and stages of the version before, whose settings had other names, are refused by their
/// version.
#[test]
fn folders_are_read_or_refused_by_their_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    // Without an index, which goes by the checksum of the model's manifest.
    let dataset = dataset(1);
    let data = StageData::from(dataset.training_data());
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("next", MarkovChainConfig::new());
    let device = Default::default();
    plan.save(&path, &run(&dataset, 1).into(), data).unwrap();
    let load = || ServedStage::load::<Flex>(&path, &device);
    let expected = answers(&load().unwrap());
    let read = |file: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    };
    let current = |json: &serde_json::Value| json["format_version"].as_u64().unwrap();
    let write = |file: &Path, mut json: serde_json::Value, version: u64| {
        json["format_version"] = version.into();
        let bytes = serde_json::to_vec_pretty(&json).unwrap();
        std::fs::write(file, &bytes).unwrap();
        crc32fast::hash(&bytes)
    };
    let at = |name: &str| file_of(&path, name);
    let pointer = path.join("run.json");
    let written = [&pointer, &at("model.json"), &at("stage.json")].map(|file| current(&read(file)));
    let [pointer_version, model_version, stage_version] = written;
    for (run_back, stage_back, is_read) in [(0, 0, true), (1, 0, false), (0, 1, false)] {
        let model = write(
            &at("model.json"),
            read(&at("model.json")),
            model_version - run_back,
        );
        let mut stage = read(&at("stage.json"));
        stage["model"] = model.into();
        let stage = write(&at("stage.json"), stage, stage_version - stage_back);
        let mut manifests = read(&pointer);
        manifests["manifests"] = serde_json::json!({"model.json": model, "stage.json": stage});
        write(&pointer, manifests, pointer_version - run_back);
        match load() {
            Ok(served) => assert!(is_read && answers(&served) == expected),
            Err(error) => {
                assert!(
                    !is_read && matches!(error.kind(), ErrorKind::FormatVersion { .. }),
                    "{error}"
                );
            }
        }
    }
}

/// A stage of sequences in a mapped file, which need not fit in memory, comes back as it was saved:
/// the same users, sequences and answers as of the data in memory.
#[test]
fn a_stage_of_a_sequence_store_is_saved_and_loaded() {
    let home = tempfile::tempdir().unwrap();
    let mut writer =
        SequenceStore::create(home.path().join("log.store"), Filters::default()).unwrap();
    writer.append(log(1)).unwrap();
    let store = writer.finish().unwrap();
    let in_memory = dataset(1);
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("u2i", VectorChannelConfig::new())
        .channel("next", MarkovChainConfig::new())
        .fallback(PopularityConfig::new());
    let [mapped, expected] = [store.dataset(), &in_memory].map(|dataset| {
        let path = home.path().join(format!("{dataset:p}"));
        let data = dataset.training_data();
        plan.save(&path, &run(&in_memory, 1).into(), data).unwrap();
        let served = ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
        let data = served.data();
        let users: Vec<ExternalId> = data.user_ids().cloned().collect();
        (users, data.sequences().fingerprint(), answers(&served))
    });
    assert_eq!(mapped, expected);
    assert_eq!(
        mapped.1,
        in_memory.training_data().sequences().fingerprint()
    );
    // The beginnings of some users' sequences, as a split has them, are kept as they are.
    let split = Split::new(store.dataset(), Protocol::LeaveOneOut).unwrap();
    let GruRun { config, model, .. } = run(&in_memory, 1);
    let run = GruRun::new(config, model, split.catalog().clone());
    let path = home.path().join("split");
    plan.save(&path, &run.into(), split.train.clone()).unwrap();
    let served = ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
    let (kept, saved) = (served.data(), &split.train);
    assert_eq!(
        kept.sequences().fingerprint(),
        saved.sequences().fingerprint()
    );
    assert!(kept.user_ids().eq(saved.user_ids()));
    assert_eq!(kept.catalog().counts(), saved.catalog().counts());
}

/// A kind of channels that this crate does not know: the item that lies so many places on from a
/// user's last one, as a folder keeps it in bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FurtherOnConfig {
    step: u32,
}

/// How often what a folder keeps of it was made.
static MADE: AtomicUsize = AtomicUsize::new(0);

#[typetag::serde(name = "further_on")]
impl ChannelConfig for FurtherOnConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> seqrec::Result<Arc<dyn RecallChannel>> {
        let items = from.data.catalog().len() as u32;
        let bytes = from.keep_bytes(|| {
            MADE.fetch_add(1, Ordering::Relaxed);
            let next = (0..=items).map(|item| (item + self.step - 1) % items + 1);
            Ok(next.flat_map(u32::to_le_bytes).collect())
        })?;
        let numbers = bytes.chunks_exact(4).map(|four| four.try_into().unwrap());
        let next = numbers.map(|four| ItemIndex::new(u32::from_le_bytes(four)));
        Ok(Arc::new(FurtherOn(next.collect())))
    }
}

struct FurtherOn(Vec<ItemIndex>);

impl RecallChannel for FurtherOn {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> seqrec::Result<Candidates> {
        let mut candidates = Candidates::with_capacity(users.len(), k);
        for (row, user) in users.iter().enumerate() {
            let next = user.items().last().map(|last| self.0[last.to_usize()]);
            let passing = next.filter(|&item| filter.is_none_or(|f| f.passes(row, item)));
            candidates.push(passing.into_iter().take(k).map(|item| Candidate {
                item,
                score: 1.0,
                reason: Reason::named("further on"),
            }));
        }
        Ok(candidates)
    }
}

/// A channel of one's own is planned, kept with its stage and read again like those of the crate,
/// what took long without being made anew; a kind that is not linked is told by its name.
#[test]
fn a_channel_of_ones_own_survives_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let dataset = dataset(1);
    let data = StageData::from(dataset.training_data());
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("further", FurtherOnConfig { step: 7 })
        .channel("next", MarkovChainConfig::new())
        .fallback(FurtherOnConfig { step: 3 });
    let user = data.training().sequences().history(0);
    let nobody = User::from(&user.items()[..0]);
    let built = plan.build(&data).unwrap();
    let expected = [user, nobody].map(|user| built.recall(&[user], 9, None).unwrap());
    assert!(!expected[0].items(0).is_empty() && expected[1].items(0).is_empty());

    let made = || MADE.load(Ordering::Relaxed);
    plan.save(&path, &run(&dataset, 1).into(), data.clone())
        .unwrap();
    let before = made();
    let served = ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
    // Of a fallback nothing is kept.
    assert_eq!(made(), before + 1);
    for (user, expected) in [user, nobody].into_iter().zip(&expected) {
        let found = served.stage().recall(&[user], 9, None).unwrap();
        assert_eq!(found.items(0), expected.items(0));
    }

    alter_stage(&path, |text| text.replacen("further_on", "further_off", 1));
    let refused = ServedStage::load::<Flex>(&path, &Default::default()).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::Damaged { .. }),
        "{refused}"
    );
    let refused = refused.to_string();
    let what_to_do = ["link the crate", "its feature"];
    for name in ["`further_off`", "`further_on`", "`markov_chain`", "`bpr`"]
        .iter()
        .chain(&what_to_do)
    {
        assert!(refused.contains(name), "{refused}");
    }
}

/// Writes another manifest of a stage, with its checksum.
fn alter_stage(path: &Path, alter: impl FnOnce(&str) -> String) {
    let manifest = file_of(path, "stage.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let altered = alter(&text);
    assert_ne!(altered, text);
    std::fs::write(&manifest, &altered).unwrap();
    let pointer = std::fs::read_to_string(path.join("run.json")).unwrap();
    let checksum = |text: &str| crc32fast::hash(text.as_bytes()).to_string();
    let pointed = pointer.replacen(&checksum(&text), &checksum(&altered), 1);
    std::fs::write(path.join("run.json"), pointed).unwrap();
}

/// What was kept is a channel's own by its name, and is not trusted without its settings.
#[test]
fn what_a_folder_keeps_must_fit_the_kinds_of_its_channels() {
    type Alter = fn(&mut serde_json::Value);
    let dataset = dataset(1);
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("als", AlsConfig::new().with_dim(4))
        .channel("item_cf", ItemNeighborsConfig::new())
        .channel("near", NearestItemsConfig::new());
    let alterations: [(&str, Alter); 7] = [
        ("nothing of als", |stage| {
            drop(stage["kept"].as_object_mut().unwrap().remove("als"))
        }),
        ("something of nobody", |stage| {
            stage["kept"]["nobody"] = "links".into()
        }),
        ("another form", |stage| {
            stage["kept"]["als"] = "bytes".into()
        }),
        ("another channel's links", |stage| {
            stage["plan"]["channels"][1]["name"] = "other".into();
        }),
        ("no iterations", |stage| {
            stage["plan"]["channels"][0]["config"]["iterations"] = 0.into()
        }),
        ("another dim", |stage| {
            stage["plan"]["channels"][0]["config"]["dim"] = 5.into()
        }),
        ("no neighbors", |stage| {
            stage["plan"]["channels"][1]["config"]["neighbors"] = 0.into()
        }),
    ];
    for (name, alter) in alterations {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let data = dataset.training_data();
        plan.save(&path, &run(&dataset, 1).into(), data).unwrap();
        ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
        alter_stage(&path, |text| {
            let mut stage = serde_json::from_str(text).unwrap();
            alter(&mut stage);
            stage.to_string()
        });
        let refused = ServedStage::load::<Flex>(&path, &Default::default()).unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::Damaged { .. }),
            "{name}: {refused}"
        );
    }
}

/// A kind whose settings JSON has no number for.
#[derive(Debug, Serialize, Deserialize)]
struct EndlessConfig {
    half_life: f64,
}

#[typetag::serde(name = "tests/endless")]
impl ChannelConfig for EndlessConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> seqrec::Result<Arc<dyn RecallChannel>> {
        MarkovChainConfig::new().build(from)
    }
}

#[test]
fn a_stage_that_could_not_be_read_again_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let dataset = dataset(1);
    let half_life = f64::INFINITY;
    let plan =
        StagePlan::new(Fusion::RECIPROCAL_RANK).channel("endless", EndlessConfig { half_life });
    let saved = plan.save(&path, &run(&dataset, 1).into(), dataset.training_data());
    assert!(saved.is_err());
    assert!(!path.exists(), "nothing was written");
}

/// Vectors and links that are not of the data's items are refused, whoever brings them.
#[test]
fn a_source_is_of_the_items_of_its_data() {
    let dataset = dataset(1);
    let data = dataset.training_data();
    let items = dataset.catalog().len();
    for rows in [items, items + 2] {
        let vectors = ndarray::Array2::<f32>::ones((rows, 3));
        let mut source = ChannelSource::new(&data).with_item_vectors(vectors.view());
        let refused = NearestItemsConfig::new()
            .build(&mut source)
            .map(drop)
            .unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::Shape { .. }),
            "{refused}"
        );
    }
    for link in [(items as u32 + 1, 1.0), (1, f32::NAN)] {
        let refused = ChannelSource::new(&data).keep_links(|| {
            let mut links = Links::to(items + 9);
            links.push([link]);
            Ok(links)
        });
        assert!(refused.is_err(), "{link:?}");
    }
}

#[test]
fn a_channel_keeps_one_thing() {
    let data = dataset(1).training_data();
    let mut source = ChannelSource::new(&data);
    assert_eq!(*source.keep_bytes(|| Ok(vec![7])).unwrap(), [7]);
    assert!(source.keep_bytes(|| Ok(vec![8])).is_err());
    let ragged = ChannelSource::new(&data).keep_vectors(2, || Ok(ndarray::array![[1.0]]));
    let ragged = ragged.unwrap_err();
    assert!(matches!(ragged.kind(), ErrorKind::Shape { .. }), "{ragged}");
}

/// A stage's second model comes back as it was, with times, and every flaw of its files is found.
#[test]
fn a_stage_keeps_further_models() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let dataset = dataset(1);
    let data = StageData::from(dataset.training_data());
    let model = || further(&dataset, 1);
    let alone = data.clone().with_model(model()).unwrap();
    let mut source = alone.source(None).unwrap();
    let expected = VectorChannelConfig::new().build(&mut source).unwrap();
    let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK);
    plan.channels =
        vec![PlannedChannel::new("hstu", VectorChannelConfig::new()).with_model("hstu")];
    let data = data.with_further_model("hstu", model()).unwrap();
    plan.save(&path, &run(&dataset, 1).into(), data).unwrap();
    let load = || ServedStage::load::<Flex>(&path, &Default::default());
    let served = load().unwrap();
    for user in 0..5 {
        let user = alone.training().sequences().history(user);
        let expected = expected.recall(&[user], 5, None).unwrap();
        let found = served.stage().recall_fused(&[user], 5, None).unwrap();
        let found: Vec<_> = found[0].iter().map(|found| found.item).collect();
        assert_eq!(found, expected.items(0));
    }

    let version = path.join("v000001");
    for name in [
        "model-0.json",
        "config-0.json",
        "weights-0.safetensors",
        "channel-0.index",
    ] {
        let file = version.join(name);
        let whole = std::fs::read(&file).unwrap();
        let mut altered = whole.clone();
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        std::fs::write(&file, altered).unwrap();
        assert!(
            matches!(
                load().as_ref().map_err(Error::kind),
                Err(ErrorKind::Damaged { .. })
            ),
            "{name}"
        );
        std::fs::remove_file(&file).unwrap();
        assert!(
            matches!(
                load().as_ref().map_err(Error::kind),
                Err(ErrorKind::Io { .. })
            ),
            "{name}"
        );
        std::fs::write(&file, whole).unwrap();
    }
    load().unwrap();
    // Indexes of two models in each other's place are no indexes of theirs.
    let path = folder.path().join("two");
    save_stage(&path, 1).unwrap();
    let load = || ServedStage::load::<Flex>(&path, &Default::default());
    load().unwrap();
    let version = path.join("v000001");
    let indexes = [0, 1].map(|place| version.join(format!("channel-{place}.index")));
    let contents = indexes.clone().map(|index| std::fs::read(index).unwrap());
    std::fs::write(&indexes[0], &contents[1]).unwrap();
    std::fs::write(&indexes[1], &contents[0]).unwrap();
    assert!(load().is_err());
}

/// Catalogs of one size are not one catalog: a model's numbers mean its own items.
#[test]
fn a_further_model_of_another_catalog_is_refused() {
    let (one, other) = (dataset(1), dataset(2));
    let catalog = one.catalog();
    let mut ids: Vec<ExternalId> = catalog.ids().cloned().collect();
    ids.reverse();
    let reversed = Catalog::from_ids(ids).unwrap();
    let device = Default::default();
    let data = || StageData::from(one.training_data());
    let of = |catalog: Catalog| {
        let config = Gru4RecConfig::new().with_dim(4);
        let model = config.init::<Flex>(catalog.len(), 1, &device).unwrap();
        Recaller::from(GruRun::new(config, model, catalog))
    };
    assert!(data().with_further_model("x", of(catalog.clone())).is_ok());
    let refused = data()
        .with_further_model("x", of(reversed.clone()))
        .unwrap_err();
    assert!(refused.to_string().contains("another order"), "{refused}");
    assert!(data().with_model(of(reversed)).is_err());
    assert!(data().with_further_model("x", further(&other, 1)).is_err());
}

#[test]
fn further_models_that_cannot_be_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let dataset = dataset(1);
    let data = StageData::from(dataset.training_data());
    let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK);
    plan.channels =
        vec![PlannedChannel::new("hstu", VectorChannelConfig::new()).with_model("hstu")];
    let save = |data: StageData| plan.save(&path, &run(&dataset, 1).into(), data);
    let unknown = save(data.clone()).unwrap_err();
    assert!(
        matches!(
            unknown.kind(),
            ErrorKind::InvalidValue { field: "model", .. }
        ),
        "{unknown}"
    );
    assert!(!path.exists(), "nothing was written");
    let twice = data
        .with_further_model("hstu", further(&dataset, 1))
        .and_then(|data| data.with_further_model("hstu", further(&dataset, 2)));
    assert!(matches!(
        twice.as_ref().map_err(Error::kind),
        Err(ErrorKind::InvalidValue { field: "model", .. })
    ));
}
