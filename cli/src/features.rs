//! What models see of items besides who took them: the same flags everywhere.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use seqrec::data::{Catalog, Dataset, Items};
use seqrec::store::VectorTable;
use serde_json::{Value, json};

use crate::item_table::tag_column;
use crate::shell::quoted;

/// Features of items.
#[derive(Args, Debug, Clone, Default)]
pub struct FeatureArgs {
    /// Columns of the table of items that models look at, such as tags,brand,price. Items of the
    /// table that nobody has taken are then recalled as well [default: none].
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    features: Vec<String>,
    /// Vectors of items that models look at, such as those of titles: a .npy with the ids as a list
    /// in a .json of the same name, or a .parquet with the columns id and vector [default: none].
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    vectors: Vec<PathBuf>,
    /// A table of users (CSV, TSV or Parquet), of which --user-features names columns [default:
    /// none].
    #[arg(long, value_name = "FILE", requires = "user_features")]
    user_table: Option<PathBuf>,
    /// The column of the ids in that table.
    #[arg(long, default_value = "user", requires = "user_table")]
    user_id: String,
    /// Columns of the table of users that the model looks at, such as age,country [default: none].
    #[arg(
        long,
        value_name = "COLUMNS",
        value_delimiter = ',',
        requires = "user_table"
    )]
    user_features: Vec<String>,
    /// Whether the table's columns of tags are looked at where no columns are named.
    #[arg(skip)]
    tags: bool,
}

impl FeatureArgs {
    /// The data with the features that were asked for, and with the items that have some and that
    /// nobody has taken.
    pub fn join(&self, dataset: Dataset, items: Option<&Items>) -> Result<Dataset, Box<dyn Error>> {
        let dataset = self.join_users(dataset)?;
        if !self.are_given() {
            return Ok(dataset);
        }
        let known = dataset.catalog().len();
        let tables = self
            .vectors
            .iter()
            .map(|path| Ok((path, VectorTable::read(path)?)));
        let tables: Vec<(&PathBuf, VectorTable)> = tables.collect::<seqrec::Result<_>>()?;
        let dataset = match items {
            Some(items) => dataset.with_items(items)?,
            None if self.features.is_empty() && !self.tags => dataset,
            None => {
                let reason =
                    "--features names columns of a table of items; give the table by --items";
                return Err(reason.into());
            }
        };
        let catalog = dataset.catalog();
        let mut columns: Vec<&str> = self.features.iter().map(String::as_str).collect();
        if self.tags {
            columns.extend(items.and_then(tag_column));
        }
        let mut features = match items {
            Some(items) => items.features(catalog, &columns)?,
            None => Items::new(catalog.ids().cloned())?.features(catalog, &[])?,
        };
        for (path, table) in tables {
            let name = name_of(path);
            let ids = table.ids().iter().cloned();
            features = features.with_vectors(&name, catalog, ids, table.vectors())?;
            let have = features.known_vectors(&name).unwrap_or(0);
            eprintln!(
                "{}: vectors of {have} of {} items",
                path.display(),
                catalog.len()
            );
        }
        eprintln!(
            "features of items: {} labels; {} items that nobody has taken are recalled by them",
            features.labels().len(),
            catalog.len() - known
        );
        Ok(dataset.with_item_features(features)?)
    }

    /// Refuses features of users where no model looks at them.
    pub fn refuse_users(&self, command: &str) -> Result<(), Box<dyn Error>> {
        match &self.user_table {
            None => Ok(()),
            Some(_) => Err(format!(
                "seqrec {command} compares what looks at no features of users: leave out --user-table, or give \
                 it to train, tune or compare cold-items"
            )
            .into()),
        }
    }

    fn join_users(&self, dataset: Dataset) -> Result<Dataset, Box<dyn Error>> {
        let Some(path) = &self.user_table else {
            return Ok(dataset);
        };
        let users = Items::read(path, &self.user_id)?;
        let columns: Vec<&str> = self.user_features.iter().map(String::as_str).collect();
        let dataset = dataset.with_users(&users, &columns)?;
        let names = dataset.catalog().user_features();
        eprintln!(
            "features of users: {} of {}",
            names.len(),
            columns.join(", ")
        );
        Ok(dataset)
    }

    /// Settings of a model, which looks at all of the users' features unless the settings say how
    /// many there are.
    pub fn user_settings(&self, mut settings: Value, catalog: &Catalog) -> Value {
        if self.user_table.is_some() && settings.get("user_features").is_none() {
            settings["user_features"] = json!(catalog.user_features().len());
        }
        settings
    }

    /// Settings of a model, which looks at the features unless the settings say how.
    pub fn settings(&self, mut settings: Value) -> Value {
        if self.are_given() && settings.get("item_features").is_none() {
            settings["item_features"] = json!({});
        }
        settings
    }

    /// The same, or with the columns of tags where none of anything was asked for.
    pub fn or_tags(self) -> Self {
        Self {
            tags: !self.are_given(),
            ..self
        }
    }

    /// The flags that give these, as a shell takes them.
    pub fn flags(&self) -> Vec<String> {
        let paths = self
            .vectors
            .iter()
            .map(|path| path.to_string_lossy().into_owned());
        let flags = [
            ("--features", self.features.clone()),
            ("--vectors", paths.collect()),
        ];
        let given = flags.into_iter().filter(|(_, values)| !values.is_empty());
        let features = given.map(|(flag, values)| format!("{flag} {}", quoted(&values.join(","))));
        let users = self.user_table.iter().flat_map(|path| {
            let (path, id) = (quoted(&path.to_string_lossy()), quoted(&self.user_id));
            let columns = quoted(&self.user_features.join(","));
            [
                format!("--user-table {path}"),
                format!("--user-id {id}"),
                format!("--user-features {columns}"),
            ]
        });
        features.chain(users).collect()
    }

    fn are_given(&self) -> bool {
        self.tags || !(self.features.is_empty() && self.vectors.is_empty())
    }
}

/// A file's name without its folder and ending.
fn name_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
