//! Models that PyTorch trained answer here what they answer there.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use seqrec::backend::{Activation, Flex};
use seqrec::burn;
use seqrec::data::{Catalog, ItemIndex, SequenceBatch};
use seqrec::model::{Gru4Rec, Gru4RecConfig, Objective, SequenceRecaller};
use seqrec::store::{Run, TorchGru4Rec, TorchSasRec};
use seqrec::{ErrorKind, Result};
use serde::Deserialize;

/// What tests/reference/torch_checkpoints.py wrote.
#[derive(Deserialize)]
struct Answers {
    histories: Vec<Vec<u32>>,
    scores: std::collections::BTreeMap<String, Vec<Vec<f32>>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/torch")
}

fn checkpoint(name: &str) -> PathBuf {
    folder().join(name).with_extension("safetensors")
}

/// Scores of all items, a history after another.
fn scores<M: SequenceRecaller<Flex>>(model: &M, of: &[Vec<u32>]) -> Vec<f32> {
    let histories = of.iter().map(|items| ItemIndex::from_slice(items));
    let histories = SequenceBatch::new(histories, 50, &Default::default()).unwrap();
    let users: Tensor<Flex, 3> = model.encode(&histories);
    let [batch, _, dim] = users.dims();
    let scores = users
        .reshape([batch, dim])
        .matmul(model.item_embeddings().transpose());
    let [_, rows] = scores.dims();
    scores.narrow(1, 1, rows - 1).into_data().to_vec().unwrap()
}

#[track_caller]
fn check<M: SequenceRecaller<Flex>>(name: &str, model: &M) {
    let answers = std::fs::read(folder().join("answers.json")).unwrap();
    let answers: Answers = serde_json::from_slice(&answers).unwrap();
    let expected: Vec<f32> = answers.scores[name].concat();
    assert_eq!(expected.len(), 21);
    for (found, expected) in scores(model, &answers.histories).into_iter().zip(expected) {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error < 1e-5, "{name}: {found}, expected {expected}");
    }
}

fn load(from: &TorchGru4Rec, name: &str) -> Result<Gru4Rec<Flex>> {
    from.load(checkpoint(name), &Default::default())
}

#[test]
fn gru4rec_of_its_author() {
    for name in ["authors_shared", "authors_separate", "authors_one_hot"] {
        check(name, &load(&TorchGru4Rec::authors(), name).unwrap());
    }
}

#[test]
fn gru4rec_of_others() {
    check(
        "recbole",
        &load(&TorchGru4Rec::recbole(), "recbole").unwrap(),
    );
    let plain = TorchGru4Rec::plain("item", "gru");
    check("plain_gru", &load(&plain, "plain_gru").unwrap());
    // One of its tensors in double precision.
    check("plain_gru", &load(&plain, "plain_gru_mixed").unwrap());
    check(
        "dense_gru",
        &load(&plain.with_dense("last"), "dense_gru").unwrap(),
    );
}

#[test]
fn sasrec() {
    let from = TorchSasRec::new("item", "position", "encoder", 2).with_activation(Activation::Gelu);
    let load = |from: &TorchSasRec, name| from.load::<Flex>(checkpoint(name), &Default::default());
    check("plain_sasrec", &load(&from, "plain_sasrec").unwrap());
    check(
        "scaled_sasrec",
        &load(&from.clone().scaled(), "scaled_sasrec").unwrap(),
    );
    let heads = TorchSasRec::new("item", "position", "encoder", 3);
    let error = load(&heads, "plain_sasrec").unwrap_err();
    assert!(error.to_string().contains("heads"), "{error}");
}

#[test]
fn what_was_loaded_is_kept_like_any_model() {
    let model = load(&TorchGru4Rec::authors().with_max_len(9), "authors_one_hot").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::from_ids((1..=7).map(|id| id.into())).unwrap();
    let config = model.config().clone();
    assert_eq!(config.max_len, 9);
    let run = Run::<Flex, _>::new(config, model, catalog);
    run.save(folder.path().join("run")).unwrap();
    let run: Run<Flex, Gru4RecConfig> =
        Run::load(folder.path().join("run"), &Default::default()).unwrap();
    check("authors_one_hot", &run.model);
}

#[test]
fn what_does_not_fit_is_told() {
    let plain = TorchGru4Rec::plain("item", "gru");
    let pickle = folder().join("plain_gru.pt");
    let said = |result: Result<Gru4Rec<Flex>>| result.unwrap_err().to_string();
    // A layer that would be passed over.
    let error = said(load(
        &TorchGru4Rec::plain("item_embedding", "gru_layers"),
        "recbole",
    ));
    assert!(error.contains("states"), "{error}");
    let error = said(load(&plain, "recbole"));
    assert!(
        error.contains("item.weight") && error.contains("item_embedding.weight"),
        "{error}"
    );
    let error = said(load(&TorchGru4Rec::plain("item", "encoder"), "plain_gru"));
    assert!(error.contains("encoder.weight_hh_l0"), "{error}");
    let error = said(load(&TorchGru4Rec::authors(), "plain_gru"));
    assert!(error.contains("Wy.weight"), "{error}");
    // Biases that a cosine has no place for.
    let cosine = TorchGru4Rec::authors().with_objective(Objective::cosine(0.1));
    assert!(said(load(&cosine, "authors_shared")).contains("similarity"));
    // More than is asked for.
    let error = said(load(&plain, "dense_gru"));
    assert!(error.contains("last.bias, last.weight"), "{error}");
    let bytes = std::fs::read(checkpoint("plain_gru")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.safetensors");
    // PyTorch's own files, and files that were cut short.
    let error = said(plain.load(pickle, &Default::default()));
    assert!(error.contains("safetensors.torch.save_file"), "{error}");
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let error = plain.load::<Flex>(&path, &Default::default()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Damaged { .. }),
            "{len}: {error}"
        );
    }
    std::fs::write(&path, bytes.iter().rev().copied().collect::<Vec<u8>>()).unwrap();
    assert!(plain.load::<Flex>(&path, &Default::default()).is_err());
}
