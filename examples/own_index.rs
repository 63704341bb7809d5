//! An index of your own: exact search in vectors whose values are kept as bytes of one scale for
//! all, behind the same trait as every other.
//!
//! `cargo run --release --example own_index` trains a model, recalls through the index, and
//! compares it with exact search.

use seqrec::Result;
use seqrec::data::{SequenceBatch, synthetic::Synthetic};
use seqrec::index::{Filter, Hit, Hits};
use seqrec::ndarray::{Array2, ArrayView2, Axis, s};
use seqrec::prelude::*;
use seqrec::retrieve::user_vectors;

/// Items' vectors as bytes `[items, dim]`.
struct ByteIndex {
    bytes: Array2<i8>,
    scale: f32,
}

impl ByteIndex {
    /// An index over `[items + 1, dim]`, of which row 0 is padding.
    fn new(vectors: ArrayView2<'_, f32>) -> Self {
        let items = vectors.slice(s![1.., ..]);
        let largest = items
            .iter()
            .fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
        let scale = largest / 127.0;
        let bytes = items.mapv(|value| (value / scale).round() as i8);
        Self { bytes, scale }
    }
}

impl VectorIndex for ByteIndex {
    fn len(&self) -> usize {
        self.bytes.nrows()
    }

    fn dim(&self) -> usize {
        self.bytes.ncols()
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        self.check_queries(queries, k)?;
        let mut hits = Hits::with_capacity(queries.nrows(), k);
        for (row, query) in queries.axis_iter(Axis(0)).enumerate() {
            let vectors = self.bytes.axis_iter(Axis(0)).zip((1..).map(ItemIndex::new));
            let passing = vectors.filter(|&(_, item)| filter.is_none_or(|f| f.passes(row, item)));
            let mut found: Vec<Hit> = passing
                .map(|(bytes, item)| {
                    let products = bytes.iter().zip(query).map(|(&b, q)| f32::from(b) * q);
                    let score = products.sum::<f32>() * self.scale;
                    Hit::new(item, score)
                })
                .collect();
            // Best first, ties by item: the sort is stable.
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(k);
            hits.push(found);
        }
        Ok(hits)
    }
}

fn main() -> Result<()> {
    let dataset = Dataset::new(Synthetic::default().generate()?, Filters::default())?;
    let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
    let device = Default::default();
    let config = Gru4RecConfig::new().with_dim(32);
    let model = config.init::<Autodiff<Flex>>(split.catalog().len(), 42, &device)?;
    let trainer = TrainerConfig::new().with_epochs(2).with_batch_size(256);
    let model = Trainer::new(trainer).fit(model, &split)?.model;

    let vectors = item_vectors(&model);
    let exact = FlatIndex::new(&vectors)?;
    let index = ByteIndex::new(vectors.view());
    let histories = (0..split.test.len()).map(|case| split.test.get(case).user);
    let histories =
        SequenceBatch::<Flex>::new(histories, model.config().describe().max_len, &device)?;
    let users = user_vectors(&model, &histories);
    let truth = exact.search(users.view(), 10, None)?;
    let found = index.search(users.view(), 10, None)?;
    println!("it finds {:.4} of the true best 10", found.recall(&truth));

    let evaluation = Evaluation::new(&[10], Seen::Keep);
    let channel = VectorChannel::from_model(model, index);
    let report = evaluation.run(&channel, &split.test, split.catalog())?;
    for (metric, value) in report.iter() {
        println!("{metric:<20} {value:.4}");
    }
    Ok(())
}
