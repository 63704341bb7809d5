//! Ids as text and as JSON: the same id either way, written back as it was but for blanks around
//! it.
//!
//! `cargo +nightly fuzz run ids` from the repository's root.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seqrec::data::{Catalog, ExternalId, Interaction, Interactions};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let id = ExternalId::from(&*text);
    assert_eq!(id.to_string(), text.trim());
    for json in [serde_json::to_string(&id), serde_json::to_string(&*text)] {
        let read = serde_json::from_str::<ExternalId>(&json.unwrap());
        // An empty id and a mark of a missing value are refused, here as in a catalog.
        let is_id = Catalog::from_ids([id.clone()]).is_ok();
        assert!(!(is_id && text.trim().is_empty()));
        assert_eq!(read.ok(), is_id.then(|| id.clone()));
    }
    // What JSON takes for an id by itself is that of its text, if it is a number; readers of JSON
    // don't tell -0 from -0.0 or -0e3.
    if let Ok(read) = serde_json::from_slice::<ExternalId>(data)
        && !text.trim_start().starts_with('"')
    {
        let number = text.trim();
        let is_zero = number.starts_with("-0");
        assert_eq!(read, ExternalId::from(if is_zero { "-0" } else { number }));
    }
    let words: Vec<ExternalId> = text.split(' ').map(ExternalId::from).collect();
    let rows = words
        .iter()
        .map(|word| Interaction::new(word.clone(), word.clone(), 0.0));
    let log: Interactions = rows.collect();
    for (word, &number) in words.iter().zip(log.item_numbers()) {
        assert_eq!(log.items()[number as usize], *word);
    }
    if let Ok(catalog) = Catalog::from_ids(words.iter().cloned()) {
        assert_eq!(catalog.len(), words.len());
        catalog.fingerprint();
    }
});
