//! Tables of items, as options name them or as they lie beside MovieLens's ratings.

use std::path::{Path, PathBuf};

use clap::Args;
use seqrec::data::{AttributeKind, Catalog, Items, movielens};

use crate::shell::quoted;

#[derive(Args, Debug, Clone, Default)]
pub struct ItemOptions {
    /// A table of items (CSV, TSV, Parquet or MovieLens's movies), for titles and filters [default:
    /// MovieLens's movies beside its ratings, or none].
    #[arg(long)]
    items: Option<PathBuf>,
    /// The column of the ids in that table [default: that of MovieLens's movies].
    #[arg(long, requires = "items")]
    item_id: Option<String>,
}

impl ItemOptions {
    /// The flags that give these, as a shell takes them.
    pub fn flags(&self) -> Vec<String> {
        let items = self.items.as_ref().map(|path| path.to_string_lossy());
        let items = items.map(|path| format!("--items {}", quoted(&path)));
        let id = (self.item_id.as_ref()).map(|id| format!("--item-id {}", quoted(id)));
        items.into_iter().chain(id).collect()
    }

    /// The table, where one is named.
    pub fn read(&self) -> Result<Option<Items>, Box<dyn std::error::Error>> {
        let Some(path) = &self.items else {
            return Ok(None);
        };
        if let Some(id) = &self.item_id {
            return Ok(Some(Items::read(path, id)?));
        }
        let name = path.file_name().unwrap_or_default();
        if ["movies.csv", "movies.dat", "u.item"]
            .iter()
            .any(|movies| name == *movies)
        {
            return Ok(movielens::movies(path)?);
        }
        let path = path.display();
        Err(format!("name the column of {path} that has the items' ids by --item-id").into())
    }
}

/// The movies beside a file of ratings; what can't be read of them is said, with what lacks
/// without.
pub fn movies_beside(ratings: &Path, lacks: &str) -> Option<Items> {
    movielens::movies(ratings).unwrap_or_else(|error| {
        eprintln!("{error}; {lacks}");
        None
    })
}

/// The column of tags of a table: the first of that kind.
pub fn tag_column(items: &Items) -> Option<&str> {
    let mut columns = items.columns();
    columns.find_map(|(name, kind)| (kind == AttributeKind::Tags).then_some(name))
}

/// Says on standard error which items a table and a catalog don't have in common, where there are
/// any.
pub fn say_matches(items: &Items, catalog: &Catalog) {
    let both = items
        .ids()
        .filter(|id| catalog.index_of(id).is_some())
        .count();
    let (rows, all) = (items.len(), catalog.len());
    if (both, both) != (rows, all) {
        eprintln!(
            "{} of {rows} rows of the table of items are not in the data; {} of {all} items of the data have \
             no row",
            rows - both,
            all - both
        );
    }
}
