//! A small catalog, and a model over it.

use seqrec::backend::Flex;
use seqrec::channels::Popularity;
use seqrec::data::{Catalog, ExternalId, ItemIndex};
use seqrec::index::FlatIndex;
use seqrec::model::{Gru4RecConfig, Objective, RecallerConfig, Similarity};
use seqrec::recall::{Retriever, VectorChannel};
use seqrec::retrieve::item_vectors;

pub const ITEMS: i64 = 30;

pub fn catalog() -> Catalog {
    let counted: Vec<ItemIndex> = (1..=ITEMS as u32)
        .flat_map(|item| vec![ItemIndex::new(item); item as usize])
        .collect();
    let ids = (1..=ITEMS).map(|number| ExternalId::from(format!("item-{number}")));
    Catalog::from_ids(ids)
        .unwrap()
        .with_counts([counted.as_slice()])
}

pub fn config() -> Gru4RecConfig {
    Gru4RecConfig::new()
        .with_dim(8)
        .with_max_len(5)
        .with_objective(Objective::new().with_similarity(Similarity::Cosine))
}

pub fn retriever() -> Retriever {
    let model = config()
        .init::<Flex>(ITEMS as usize, 9, &Default::default())
        .unwrap();
    let index = FlatIndex::new(&item_vectors(&model)).unwrap();
    let channel = VectorChannel::from_model(model, index);
    let popular = Popularity::new(&catalog());
    Retriever::new(channel, catalog())
        .unwrap()
        .fallback(popular)
}
