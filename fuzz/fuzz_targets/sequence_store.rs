//! Sequence stores of any contents, with right and wrong checksums: opened or refused, and split
//! where they are opened.
//!
//! `cargo +nightly fuzz run sequence_store` from the repository's root.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    ExternalId, Filters, Interaction, Interactions, Protocol, SequenceStore, Split,
};
use seqrec_fuzz::overwrite_bytes;

const HEADER: usize = 256;
const SECTIONS: usize = 8;
/// Where the lengths of the arrays stand in a header, and their checksums.
const LENGTHS: usize = 24;
const CHECKSUMS: usize = LENGTHS + 8 * SECTIONS;

/// Whole files, which the fuzzer's bytes are laid over.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let synthetic = Synthetic::new()
        .with_users(12)
        .with_items(15)
        .with_mean_per_user(6);
    let texts: Interactions = (0..30u8)
        .map(|row| {
            let (user, item) = (format!("usér {}", row % 4), format!("item {}", row * 7 % 9));
            Interaction::new(
                ExternalId::from(user),
                ExternalId::from(item),
                f64::from(row),
            )
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    [synthetic.generate().unwrap(), texts]
        .map(|log| {
            let mut writer = SequenceStore::create(&path, Filters::default()).unwrap();
            writer.append(log).unwrap();
            writer.finish().unwrap();
            std::fs::read(&path).unwrap()
        })
        .into()
});

fuzz_target!(|data: &[u8]| {
    let [which, mode, rest @ ..] = data else {
        return;
    };
    let mut file = WHOLE[usize::from(*which) % WHOLE.len()].clone();
    if mode & 1 == 0 {
        file = rest.to_vec();
    } else {
        overwrite_bytes(&mut file, rest);
    }
    if mode & 2 == 0 {
        make_right(&mut file);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, file).unwrap();
    let Ok(store) = SequenceStore::open(&path) else {
        return;
    };
    let dataset = store.dataset();
    let sequences = dataset.sequences();
    for user in 0..dataset.users() {
        if let Some(id) = dataset.user_id(user) {
            assert!(dataset.user_of(id).is_some());
        }
        assert_eq!(sequences.items(user).len(), sequences.times(user).len());
        assert!(sequences.times(user).iter().all(|time| time.is_finite()));
        let known = |item| dataset.catalog().id_of(item).is_some();
        assert!(sequences.items(user).iter().copied().all(known));
    }
    dataset.catalog().by_popularity();
    for protocol in [Protocol::LeaveOneOut, Protocol::Ratio { seed: 1 }] {
        if let Ok(split) = Split::new(dataset, protocol) {
            split.fingerprint();
        }
    }
});

/// Puts the right checksums into the header.
fn make_right(file: &mut [u8]) {
    if file.len() < HEADER {
        return;
    }
    let mut start = HEADER;
    for section in 0..SECTIONS {
        let at = LENGTHS + 8 * section;
        let length = u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let Some(array) = file.get(start..end) else {
            break;
        };
        let checksum = crc32fast::hash(array).to_le_bytes();
        file[CHECKSUMS + 4 * section..][..4].copy_from_slice(&checksum);
        start = end.next_multiple_of(64);
    }
    let checksum = crc32fast::hash(&file[..HEADER - 4]).to_le_bytes();
    file[HEADER - 4..HEADER].copy_from_slice(&checksum);
}
