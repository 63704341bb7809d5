//! `seqrec import`: a model that PyTorch trained, as a run folder.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use seqrec::backend::Flex;
use seqrec::data::{Catalog, ExternalId};
use seqrec::model::{RecallerConfig, SequenceRecaller};
use seqrec::store::{Run, TorchGru4Rec, TorchSasRec};

use crate::results::Results;
use crate::text_file;

#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    model: Model,
}

#[derive(Subcommand, Debug)]
enum Model {
    /// GRU4Rec of its authors, of RecBole, or of an `nn.Embedding` and an `nn.GRU`.
    ///
    /// Example: seqrec import gru4rec model.safetensors --ids ids.txt --from recbole --out run
    Gru4rec {
        #[command(flatten)]
        files: Files,
        /// Whose names the weights have: authors, recbole or plain.
        #[arg(long, default_value = "plain", value_parser = ["authors", "recbole", "plain"])]
        from: String,
        /// The name of the `nn.Embedding`, of a plain model.
        #[arg(long, default_value = "items")]
        items: String,
        /// The name of the `nn.GRU`, of a plain model.
        #[arg(long, default_value = "gru")]
        gru: String,
    },
    /// SASRec of two `nn.Embedding` and an `nn.TransformerEncoder`.
    ///
    /// Example: seqrec import sasrec model.safetensors --ids ids.txt --out run
    Sasrec {
        #[command(flatten)]
        files: Files,
        /// The name of the items' `nn.Embedding`.
        #[arg(long, default_value = "item")]
        items: String,
        /// The name of the positions' `nn.Embedding`.
        #[arg(long, default_value = "position")]
        positions: String,
        /// The name of the `nn.TransformerEncoder`.
        #[arg(long, default_value = "encoder")]
        encoder: String,
        /// Heads of each layer.
        #[arg(long, default_value_t = 2)]
        heads: usize,
    },
}

#[derive(Args, Debug)]
struct Files {
    /// What `safetensors.torch.save_file(model.state_dict(), ..)` wrote.
    weights: PathBuf,
    /// The items' ids, one a line, in the order of the embedding's rows from row 1 on.
    #[arg(long)]
    ids: PathBuf,
    /// The run folder to make.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let device = Default::default();
    match &options.model {
        Model::Gru4rec {
            files,
            from,
            items,
            gru,
        } => {
            let source = match from.as_str() {
                "authors" => TorchGru4Rec::authors(),
                "recbole" => TorchGru4Rec::recbole(),
                _ => TorchGru4Rec::plain(items, gru),
            };
            let model = source.load::<Flex>(&files.weights, &device)?;
            save(files, model.config().clone(), model, results)
        }
        Model::Sasrec {
            files,
            items,
            positions,
            encoder,
            heads,
        } => {
            let source = TorchSasRec::new(items, positions, encoder, *heads);
            let model = source.load::<Flex>(&files.weights, &device)?;
            save(files, model.config().clone(), model, results)
        }
    }
}

fn save<C: RecallerConfig<Recaller<Flex> = M>, M: SequenceRecaller<Flex>>(
    files: &Files,
    config: C,
    model: M,
    results: Results,
) -> Result<(), Box<dyn Error>> {
    let ids = read_ids(&files.ids)?;
    let items = model.items().items();
    if ids.len() != items {
        let (path, ids) = (files.ids.display(), ids.len());
        return Err(format!(
            "{path} has {ids} ids and the weights have rows for {items} items: one id a line, in the order \
             of the rows, without the padding's"
        )
        .into());
    }
    Run::<Flex, C>::new(config, model, Catalog::from_ids(ids)?).save(&files.out)?;
    results.print(&[
        ("run", files.out.display().to_string().into()),
        ("items", items.into()),
    ]);
    Ok(())
}

fn read_ids(path: &Path) -> Result<Vec<ExternalId>, Box<dyn Error>> {
    Ok(text_file::read(path)?
        .lines()
        .map(ExternalId::from)
        .collect())
}
