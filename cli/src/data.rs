//! The data that a subcommand reads: the same flags everywhere.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use seqrec::data::movielens::{Downloader, Edition};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    BadRows, Dataset, ExternalId, Filters, Format, InteractionReader, Interactions, Items, Protocol, Seen,
    SequenceStore, Split, TimeUnit,
};
use serde::{Deserialize, Serialize};

use crate::features::FeatureArgs;
use crate::item_table::{ItemOptions, movies_beside, tag_column};
use crate::numbers::finite;
use crate::shell::quoted;
use crate::times;

/// Interactions, and which of them are kept.
#[derive(Args, Debug, Clone, Default)]
pub struct DataArgs {
    /// A file of interactions, or a store that `seqrec prepare` wrote.
    #[arg(value_name = "DATA", required_unless_present_any = ["movielens", "generated"])]
    pub data: Option<PathBuf>,
    /// An edition of MovieLens in place of DATA, which is downloaded where it isn't in the user's cache
    /// folder [default: none].
    #[arg(
        long,
        conflicts_with = "data",
        value_name = "100k|1m|10m|20m|25m|32m|latest-small"
    )]
    pub movielens: Option<Edition>,
    /// Generated data in which order matters, in place of DATA.
    #[arg(long, conflicts_with_all = ["movielens", "data"])]
    pub generated: bool,
    #[command(flatten)]
    pub reading: ReadingArgs,
    #[command(flatten)]
    pub items: ItemOptions,
    #[command(flatten)]
    pub features: FeatureArgs,
}

/// How a file is read.
#[derive(Args, Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadingArgs {
    /// The file's format: ratings-csv, ratings-dat, u-data, columns (user item rating time), inter,
    /// sequences, or columns such as user=visitor,item=product,time=at,delimiter=; [default:
    /// detected].
    #[arg(long)]
    #[serde(with = "by_text")]
    pub format: Option<Format>,
    /// Leaves out rows that can't be read, and counts them, instead of stopping.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Reads only interactions of these types, such as buy,cart, from the column that --format names
    /// as event=.. [default: all, which count alike].
    #[arg(long, value_delimiter = ',', value_name = "TYPE,..")]
    pub events: Vec<String>,
    /// Takes ids such as 7 and 007, or 5 and 5.0, for two, where a file has both.
    #[arg(long)]
    pub ids_as_written: bool,
    /// Drops interactions with a lower value [default: none are dropped].
    #[arg(long, value_parser = finite::<f32>)]
    pub min_rating: Option<f32>,
    /// Drops users and items with fewer interactions than this, repeatedly (k-core) [default:
    /// users with fewer than 5].
    #[arg(long, value_name = "K")]
    pub core: Option<usize>,
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
        let dataset = self.features.join(data.dataset, data.items.as_ref())?;
        Ok(Data { dataset, ..data })
    }

    fn read_without_features(&self) -> Result<Data, Box<dyn Error>> {
        if self.generated {
            let synthetic = Synthetic::new();
            return Ok(Data {
                dataset: Dataset::new(synthetic.generate()?, self.reading.filters())?,
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
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// A format as a flag has it.
mod by_text {
    use super::{Format, Serialize};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(format: &Option<Format>, to: S) -> Result<S::Ok, S::Error> {
        format.as_ref().map(Format::to_string).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Format>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

impl ReadingArgs {
    /// Takes what isn't given here from what other data were read by, and gives the flags that would
    /// have given it. A store was read when it was made, and needs none; what is no file of somebody's
    /// own has its format.
    pub fn fill(&mut self, before: &Self, data: Option<&Path>) -> Vec<String> {
        if data.is_some_and(|path| SequenceStore::is_at(path).unwrap_or(false)) {
            return Vec::new();
        }
        let given = self.flags();
        if data.is_some() && self.format.is_none() {
            self.format.clone_from(&before.format);
        }
        self.skip_bad_rows |= before.skip_bad_rows;
        self.min_rating = self.min_rating.or(before.min_rating);
        self.core = self.core.or(before.core);
        let mut flags = self.flags();
        flags.retain(|flag| !given.contains(flag));
        flags
    }

    /// The flags that give these, as a shell takes them.
    pub fn flags(&self) -> Vec<String> {
        let format = (self.format.as_ref())
            .map(|format| format!("--format {}", quoted(&format.to_string())));
        let skip = self.skip_bad_rows.then(|| "--skip-bad-rows".to_owned());
        let rating = self
            .min_rating
            .map(|rating| format!("--min-rating {rating}"));
        let core = self.core.map(|core| format!("--core {core}"));
        [format, skip, rating, core].into_iter().flatten().collect()
    }

    pub fn filters(&self) -> Filters {
        Filters::new()
            .with_minimum_value(self.min_rating)
            .with_minimum_per_user(self.core.unwrap_or(5))
            .with_minimum_per_item(self.core.unwrap_or(0))
    }

    /// How a file is read.
    pub fn reader(&self, path: &Path) -> Result<InteractionReader, Box<dyn Error>> {
        let reader = match &self.format {
            Some(format) => InteractionReader::new(path, format.clone()),
            None => InteractionReader::detect(path)?,
        };
        eprintln!("{}: read as {}", path.display(), reader.format());
        let reader = match self.ids_as_written {
            true => reader.ids_as_written(),
            false => reader,
        };
        let reader = reader.events(&self.events);
        Ok(reader.bad_rows(match self.skip_bad_rows {
            true => BadRows::Skip,
            false => BadRows::Fail,
        }))
    }

    /// Reads a file of interactions or a store.
    pub fn read(&self, path: &Path, items: Option<Items>) -> Result<Data, Box<dyn Error>> {
        let dataset = match SequenceStore::is_at(path)? {
            true => self.open_store(path)?,
            false => self.read_log(path)?,
        };
        Ok(Data {
            dataset,
            items: items
                .or_else(|| movies_beside(path, "ids stand for titles, and there are no tags")),
            name: name_of(path),
        })
    }

    /// Opens a store, whose rows were read and dropped by the flags of `seqrec prepare`.
    fn open_store(&self, path: &Path) -> Result<Dataset, Box<dyn Error>> {
        let flags = [
            ("--format", self.format.is_some()),
            ("--skip-bad-rows", self.skip_bad_rows),
            ("--events", !self.events.is_empty()),
            ("--ids-as-written", self.ids_as_written),
            ("--min-rating", self.min_rating.is_some()),
            ("--core", self.core.is_some()),
        ];
        if let Some((flag, _)) = flags.iter().find(|(_, is_given)| *is_given) {
            let path = path.display();
            let what_to_do = format!("give {flag} to `seqrec prepare`, which makes the store");
            return Err(format!(
                "{path} is a store, of which {flag} changes nothing: {what_to_do}"
            )
            .into());
        }
        Ok(SequenceStore::open(path)?.dataset().clone())
    }

    fn read_log(&self, path: &Path) -> Result<Dataset, Box<dyn Error>> {
        let log = self.reader(path)?.read()?;
        let rows = log.len();
        say_skipped(log.skipped_rows(), rows, log.skipped_reasons());
        if self.events.is_empty() {
            say_events(&log);
        }
        if self.min_rating.is_some() {
            let unrated = (0..rows).filter(|&row| log.value(row).is_none()).count();
            if unrated > 0 {
                eprintln!("{unrated} interactions have no rating, and pass --min-rating");
            }
        }
        let filters = self.filters();
        let dataset = Dataset::new(log, filters)?;
        let dropped = rows - dataset.sequences().interactions();
        if dropped > 0 {
            eprintln!(
                "{dropped} of {rows} interactions are dropped: those of users with fewer than {}, and \
                 what else --core and --min-rating say",
                filters.minimum_per_user
            );
        }
        Ok(dataset)
    }
}

/// Says on standard error how many rows were left out, and why; aloud where that is a large part.
pub fn say_skipped(skipped: usize, read: usize, reasons: &[String]) {
    if skipped == 0 {
        return;
    }
    let all = skipped + read;
    if 10 * skipped > all {
        eprintln!(
            "WARNING: {skipped} of {all} rows, {:.0} %, can't be read and were skipped: what follows is of \
             the others alone; perhaps --format names a wrong column or delimiter",
            100.0 * skipped as f64 / all as f64
        );
    } else {
        eprintln!("{skipped} of {all} rows can't be read and were skipped");
    }
    reasons.iter().for_each(|reason| eprintln!("  {reason}"));
}

/// Says on standard error that events of several types count alike, where there are some.
fn say_events(log: &Interactions) {
    const SHOWN: usize = 5;
    let mut counts: BTreeMap<&ExternalId, usize> = BTreeMap::new();
    for event in (0..log.len()).filter_map(|row| log.event(row)) {
        *counts.entry(event).or_default() += 1;
    }
    if counts.len() < 2 {
        return;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, rows)| Reverse(rows));
    let shown = counts.iter().take(SHOWN);
    let mut shown: Vec<String> = shown
        .map(|(event, rows)| format!("{event} ({rows})"))
        .collect();
    if counts.len() > SHOWN {
        shown.push("..".to_owned());
    }
    eprintln!(
        "events of {} types count alike: {}; --events keeps some of them",
        counts.len(),
        shown.join(", ")
    );
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
