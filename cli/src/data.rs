//! The data that a subcommand reads: the same flags everywhere.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use seqrec::data::movielens::{Downloader, Edition};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{Dataset, ExternalId, Items, Protocol, Seen, Split, TimeUnit};

use crate::features::FeatureArgs;
use crate::item_table::{ItemOptions, say_matches, tag_column};
use crate::reading::ReadingArgs;
use crate::shell::quoted;
use crate::times;

/// Interactions, and which of them are kept.
#[derive(Args, Debug, Clone, Default)]
pub struct DataArgs {
    /// A file of interactions, or a store that `seqrec prepare` wrote.
    #[arg(value_name = "DATA", required_unless_present_any = ["movielens", "generated"])]
    pub data: Option<PathBuf>,
    /// An edition of MovieLens in place of DATA, which is downloaded where it isn't in the user's
    /// cache folder [default: none].
    #[arg(
        long,
        conflicts_with = "data",
        value_name = "100k|1m|10m|20m|25m|32m|latest-small"
    )]
    pub movielens: Option<Edition>,
    /// Generated data in which order matters, in place of DATA; with --behaviors or --events they
    /// have the events view, buy and dislike.
    #[arg(long, conflicts_with_all = ["movielens", "data"])]
    pub generated: bool,
    #[command(flatten)]
    pub reading: ReadingArgs,
    #[command(flatten)]
    pub items: ItemOptions,
    #[command(flatten)]
    pub features: FeatureArgs,
}

/// A data set, with what is known of its items.
pub struct Data {
    pub dataset: Dataset,
    /// What is known of its items.
    pub items: Option<Items>,
    /// What it is called in tables and pictures.
    pub name: String,
}

impl DataArgs {
    /// Reads the data, and says on standard error how and what was left out.
    pub fn read(&self) -> Result<Data, Box<dyn Error>> {
        let data = self.read_without_features()?;
        if let Some(items) = &data.items {
            say_matches(items, data.dataset.catalog());
        }
        let dataset = self.features.join(data.dataset, data.items.as_ref())?;
        Ok(Data { dataset, ..data })
    }

    fn read_without_features(&self) -> Result<Data, Box<dyn Error>> {
        if self.generated {
            // A shop's, where it is said what events mean.
            let has_events = self.reading.behaviors.is_some() || !self.reading.events.is_empty();
            let synthetic = Synthetic::new().with_events(has_events);
            let log = self.reading.chosen(synthetic.generate()?)?;
            return Ok(Data {
                dataset: Dataset::new(log, self.reading.filters())?,
                items: Some(synthetic.movies()?),
                name: self.name(),
            });
        }
        match (&self.data, self.movielens) {
            (Some(path), _) => self.reading.read(path, self.items.read()?),
            (None, Some(edition)) => self.reading.read(&fetch(edition)?, self.items.read()?),
            (None, None) => Err("name a file of interactions, --movielens or --generated".into()),
        }
    }

    /// The arguments that name and read the data, as a shell takes them.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![match (&self.data, self.movielens) {
            (Some(path), _) => quoted(&path.to_string_lossy()),
            (None, Some(edition)) => format!("--movielens {edition}"),
            (None, None) => "--generated".to_owned(),
        }];
        arguments.extend(self.reading.flags());
        arguments.extend(self.items.flags());
        arguments.extend(self.features.flags());
        arguments
    }

    /// What the data are called.
    pub fn name(&self) -> String {
        match (&self.data, self.movielens) {
            (Some(path), _) => name_of(path),
            (None, Some(edition)) => format!("MovieLens {edition}"),
            (None, None) => "generated data".to_owned(),
        }
    }
}

/// A mark of who is held out of a split, and what of them: the same whichever items that nobody has
/// taken are in the catalog.
pub fn held_out(split: &Split) -> String {
    let train = split.train.sequences().fingerprint();
    [train, split.valid.fingerprint(), split.test.fingerprint()]
        .map(|part| format!("{part:016x}"))
        .concat()
}

/// A file's name, without its folder.
pub fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

impl Data {
    /// Divides the data, and says on standard error into what.
    pub fn split(&self, protocol: ProtocolName, seed: u64) -> Result<Split, Box<dyn Error>> {
        let dataset = &self.dataset;
        let split = Split::new(dataset, protocol.of(dataset, seed)?)?;
        eprintln!(
            "{}: {} users, {} items, {} interactions; {} train, {} valid, {} test, {} too short",
            self.name,
            dataset.users(),
            dataset.catalog().len(),
            dataset.sequences().interactions(),
            split.train.sequences().len(),
            split.valid.len(),
            split.test.len(),
            split.too_short,
        );
        if let Some(times) = times::of(dataset.sequences()) {
            eprintln!("{}: {times}", self.name);
        }
        if split.test.is_empty() {
            return Err("no user has a history that is long enough to be evaluated".into());
        }
        Ok(split)
    }

    /// An item's title, or its id.
    pub fn title(&self, id: &ExternalId) -> String {
        let items = self.items.as_ref();
        items.map_or_else(|| id.to_string(), |items| items.title(id))
    }

    /// The column of tags of the items, or a name that none has.
    pub fn tags(&self) -> &str {
        self.items.as_ref().and_then(tag_column).unwrap_or_default()
    }
}

/// The file of ratings of an edition of MovieLens.
fn fetch(edition: Edition) -> seqrec::Result<PathBuf> {
    let cache = dirs::cache_dir()
        .unwrap_or_else(|| PathBuf::from(".cache"))
        .join("seqrec");
    let style = ProgressStyle::with_template("{spinner} {msg}: {bytes}, {bytes_per_sec}")
        .expect("the template is right");
    let bar = ProgressBar::no_length().with_style(style);
    bar.set_message(format!("fetching MovieLens {edition}"));
    let fetched = Downloader::default().fetch(edition, cache, |come| bar.set_position(come));
    bar.finish_and_clear();
    fetched
}

/// How users are divided into training, validation and test data.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolName {
    /// Each user's last item is the test label, the one before it the validation label.
    LeaveOneOut,
    /// Users 8:1:1; a held-out user's first 80 % are their history, the rest the labels.
    Ratio,
    /// The last fifth of all interactions in time is held out, half of it for validation.
    TimeCut,
}

impl ProtocolName {
    /// As results name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaveOneOut => "leave-one-out",
            Self::Ratio => "ratio",
            Self::TimeCut => "time-cut",
        }
    }

    fn of(self, dataset: &Dataset, seed: u64) -> Result<Protocol, Box<dyn Error>> {
        let sequences = dataset.sequences();
        let middle = || {
            sequences
                .time_quantile(0.5)
                .ok_or("there are no interactions")
        };
        if self == Self::TimeCut && TimeUnit::from_times(&[middle()?]) == TimeUnit::Order {
            let reason = "the data have no times to cut at: they say no more than what came first";
            return Err(reason.into());
        }
        Ok(match self {
            Self::LeaveOneOut => Protocol::LeaveOneOut,
            Self::Ratio => Protocol::Ratio { seed },
            Self::TimeCut => Protocol::time_cut_at_shares(dataset, 0.8, 0.9)?,
        })
    }
}

/// Whether items of the history are recalled again: by default they are not, in every subcommand.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SeenName {
    /// Items of the history can be recalled again.
    Keep,
    /// Items of the history are left out.
    #[default]
    LeaveOut,
}

impl SeenName {
    /// As a flag has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::LeaveOut => "leave-out",
        }
    }
}

impl From<Seen> for SeenName {
    fn from(seen: Seen) -> Self {
        match seen.is_excluded() {
            true => Self::LeaveOut,
            false => Self::Keep,
        }
    }
}

impl From<SeenName> for Seen {
    fn from(name: SeenName) -> Self {
        Self::exclude_if(name == SeenName::LeaveOut)
    }
}
