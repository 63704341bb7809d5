//! How files of interactions are read, and what is said of what they hold.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use clap::Args;
use seqrec::data::{
    BadRows, Behaviors, Dataset, ExternalId, Filters, Format, InteractionReader, Interactions,
    Items, SequenceStore,
};
use serde::{Deserialize, Serialize};

use crate::data::{Data, name_of};
use crate::item_table::movies_beside;
use crate::numbers::finite;
use crate::shell::quoted;

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
    /// Reads only interactions of these types, such as buy,cart, from the column that --format
    /// names as event=.. [default: all, which count alike].
    #[arg(long, value_delimiter = ',', value_name = "TYPE,..")]
    pub events: Vec<String>,
    /// Says what events mean, such as "buy=target*3, cart=target, view, dislike=negative" or
    /// "value>=4=target, value<=2=negative, *": which are to be recalled, which are in histories
    /// alone, which are a dislike, and which are ignored, each with a weight [default: all are to
    /// be recalled].
    #[arg(long, value_name = "RULES")]
    pub behaviors: Option<Behaviors>,
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
    /// Takes what isn't given here from what other data were read by, and gives the flags that
    /// would have given it. A store was read when it was made, and needs none; what is no file of
    /// somebody's own has its format.
    pub fn fill(&mut self, before: &Self, data: Option<&Path>) -> Vec<String> {
        if data.is_some_and(|path| SequenceStore::is_at(path).unwrap_or(false)) {
            return Vec::new();
        }
        let given = self.flags();
        if data.is_some() && self.format.is_none() {
            self.format.clone_from(&before.format);
        }
        self.skip_bad_rows |= before.skip_bad_rows;
        self.ids_as_written |= before.ids_as_written;
        if self.events.is_empty() {
            self.events.clone_from(&before.events);
        }
        if self.behaviors.is_none() {
            self.behaviors.clone_from(&before.behaviors);
        }
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
        let events = (!self.events.is_empty())
            .then(|| format!("--events {}", quoted(&self.events.join(","))));
        let behaviors = (self.behaviors.as_ref())
            .map(|behaviors| format!("--behaviors {}", quoted(&behaviors.to_string())));
        let written = (self.ids_as_written).then(|| "--ids-as-written".to_owned());
        let rating = self
            .min_rating
            .map(|rating| format!("--min-rating {rating}"));
        let core = self.core.map(|core| format!("--core {core}"));
        [format, skip, events, behaviors, written, rating, core]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The rows of a log of which events are read, with what these mean.
    pub fn chosen(&self, mut log: Interactions) -> seqrec::Result<Interactions> {
        let events: Vec<&str> = self.events.iter().map(String::as_str).collect();
        if !events.is_empty() {
            log.retain_events(&events)?;
        }
        match &self.behaviors {
            Some(behaviors) => log.with_behaviors(behaviors),
            None => Ok(log),
        }
    }

    pub fn filters(&self) -> Filters {
        Filters::new()
            .with_minimum_value(self.min_rating)
            .with_minimum_per_user(self.core.unwrap_or(5))
            .with_minimum_per_item(self.core.unwrap_or(0))
    }

    /// How a file is read.
    pub fn reader(&self, path: &Path) -> Result<InteractionReader, Box<dyn Error>> {
        if path == Path::new("-") {
            return Err(
                "- is no file: name standard input /dev/stdin, and its columns by --format".into(),
            );
        }
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
        let reader = match &self.behaviors {
            Some(behaviors) => reader.behaviors(behaviors.clone()),
            None => reader,
        };
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
            ("--behaviors", self.behaviors.is_some()),
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
        if self.events.is_empty() && self.behaviors.is_none() {
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
        "events of {} types count alike: {}; --behaviors says what each means, and --events keeps some \
         of them",
        counts.len(),
        shown.join(", ")
    );
}
