//! The ways in which this crate's work can fail.

use std::path::PathBuf;

use crate::item::ItemIndex;

/// Everything that can go wrong in this crate.
///
/// Each variant says what was wrong and where: the file and line, or the field and value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused a file operation (missing file, full disk, no permission).
    #[error("could not {action} {}: {cause}", path.display())]
    Io {
        /// What was being done, as a verb phrase such as `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's own error.
        cause: std::io::Error,
    },

    /// A file holds no rows at all.
    #[error("{} holds no rows", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },

    /// The format could not be detected from the file's name and first line.
    #[error(
        "the format of {} is not one this crate detects (first line: {first_line:?}); name its columns, \
         as in the format \"user=who,item=what,time=at\", on the command line by --format, in code by \
         `InteractionReader::new(path, format.parse()?)`{}", path.display(), other_delimiter(first_line)
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its first line, cut short.
        first_line: String,
    },

    /// A file may be in one format or another, and a wrong guess would be read without complaint.
    #[error(
        "the format of {} is not certain: {reason}; name it: {options}; on the command line by --format, in code by \
         `InteractionReader::new(path, format.parse()?)`", path.display()
    )]
    UncertainFormat {
        /// The file.
        path: PathBuf,
        /// Why more than one is possible.
        reason: String,
        /// How it can be named, on a command line or by [`Format`](crate::data::Format).
        options: String,
    },

    /// A header has no column that is known to hold the time, or several columns that may be meant.
    #[error(
        "{}: {problem}; its header is {header:?}; name the columns as in the format {example:?}, on the command line by --format, in code by \
         `InteractionReader::new(path, format.parse()?)`, with order=file in place of a time if rows are in \
         the order in which things happened",
        path.display()
    )]
    UncertainColumns {
        /// The file.
        path: PathBuf,
        /// Which column, and why.
        problem: String,
        /// The header's columns.
        header: Vec<String>,
        /// A schema as a command line or [`Schema`](crate::data::Schema) takes it.
        example: String,
    },

    /// The header lacks a column that the schema names.
    #[error(
        "{} has no column {column:?}; its header is {header:?}{}", path.display(),
        header.first().filter(|_| header.len() == 1).map_or_else(String::new, |line| other_delimiter(line))
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that was looked for.
        column: String,
        /// The header's columns.
        header: Vec<String>,
    },

    /// A row has too few or too many columns.
    #[error("{}:{line}: expected {expected} columns, found {found}", path.display())]
    ColumnCount {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// How many columns the schema or the header has.
        expected: usize,
        /// How many the row has.
        found: usize,
    },

    /// A field can't be read as what its column holds.
    #[error("{}:{line}: {field} is {value:?}, expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The column's role, such as `timestamp`.
        field: &'static str,
        /// The text that was found.
        value: String,
        /// What was expected there.
        expected: &'static str,
    },

    /// A cell of a table of items can't be read as its column holds it.
    #[error("{}:{line}: {column} is {value:?}, expected {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; of Parquet, the row.
        line: u64,
        /// The column's name.
        column: String,
        /// The text that was found.
        value: String,
        /// The kind of value that was expected.
        expected: String,
    },

    /// A line can't be divided into fields: by a quote that is not closed, or one that closes where
    /// rows have been swallowed, or by a carriage return within a line.
    #[error("{}:{line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1: of a quote, where it opens.
        line: u64,
        /// What is wrong, and what can be done.
        reason: String,
    },

    /// A line is not valid UTF-8.
    #[error("{}:{line}: not valid UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },

    /// A folder that is to be written holds something that this crate did not write there, or a
    /// file that is to be written is there already and is none of this crate's.
    #[error(
        "{} holds {}, which was not written here and would be in danger; \
         choose another name, or a folder that is absent or empty", path.display(), entry.display()
    )]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        entry: PathBuf,
    },

    /// Another process, or another thread, is writing the same file or folder.
    #[error("{} is being written by another process; wait for it or choose another name", path.display())]
    InUse {
        /// The file or folder.
        path: PathBuf,
    },

    /// A checkpoint belongs to another training than the one that resumes from it.
    #[error(
        "the checkpoint can't be resumed, since it has another {what} ({checkpoint}, and here {now}); \
         train with the same, or begin anew without resuming"
    )]
    OtherTraining {
        /// The first thing that differs, such as `set of training sequences` or `model.dim`.
        what: String,
        /// What the checkpoint has.
        checkpoint: String,
        /// What there is now.
        now: String,
    },

    /// The model that training is to start from has other weights.
    #[error(
        "the model to start from has {found} for the weights {weights:?}, and the new model needs \
         {expected}; make the new model with the old one's settings"
    )]
    OtherModel {
        /// The name of the first weights that differ, such as `layers.0.input`.
        weights: String,
        /// Their shape in the model to start from, or `nothing`.
        found: String,
        /// Their shape in the new model.
        expected: String,
    },

    /// A column of a Parquet file or an Arrow batch holds something else.
    #[error("{}: the column {column:?} holds {found}, expected {expected}", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type that it has.
        found: String,
        /// What it must hold.
        expected: String,
    },

    /// A model uses the times of a history, and there are none.
    #[error(
        "the model needs the time of each item, and the history in row {row} has no times; give them in the \
         unit of the training data, by `RecallRequest::for_timed_history` or `User::with_times`"
    )]
    TimesMissing {
        /// Which of the histories, counted from 0.
        row: usize,
    },

    /// A model uses features of users, and there are none.
    #[error(
        "the model looks at {expected} features of a user, and the user in row {row} has none; \
         give them: in training by `Dataset::with_user_features`, and in a call by their names"
    )]
    FeaturesMissing {
        /// Which of the histories, counted from 0.
        row: usize,
        /// How many features the model looks at.
        expected: usize,
    },

    /// A run folder holds a model without a stage.
    #[error(
        "{} holds a model without a stage; `StagePlan::save` writes both, and `Recaller::open` reads the \
         model", path.display()
    )]
    NoStage {
        /// The run folder's version.
        path: PathBuf,
    },

    /// A file of this crate's own (a run folder, a checkpoint) is damaged or incomplete.
    #[error("{} can't be loaded: {reason}", path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A run folder or checkpoint was written in another format version.
    #[error(
        "{} has format version {found}, and this build reads version {supported}; \
         write it again with the version of seqrec you use", path.display()
    )]
    FormatVersion {
        /// The folder.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that this build reads.
        supported: u32,
    },

    /// A setting or an argument is invalid.
    #[error("{field} is {value}, but {reason}")]
    InvalidValue {
        /// The setting or argument, as it is written in code.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        reason: String,
    },

    /// Two shapes that must agree don't.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What has the shape.
        what: &'static str,
        /// The size that was expected.
        expected: usize,
        /// The size that was found.
        found: usize,
    },

    /// A vector holds a NaN or an infinity.
    #[error("{what}: row {row}, column {column} is {value}, expected a finite number")]
    NonFiniteVector {
        /// What the vector is part of.
        what: &'static str,
        /// Its row.
        row: usize,
        /// The column of the first bad value.
        column: usize,
        /// The bad value.
        value: f32,
    },

    /// An item that is to be added to an index is in it already.
    #[error("item {item} is in the index already; replace it instead")]
    DuplicateItem {
        /// The item's index.
        item: ItemIndex,
    },

    /// An item that is to be replaced or removed is not in the index, or one of a history or a
    /// sequence is not in the catalog.
    #[error("item {item} is not among the items that this was made for")]
    UnknownItem {
        /// The item's index.
        item: ItemIndex,
    },

    /// An index file was made for another catalog.
    #[error(
        "{} was made for another catalog (fingerprint {found:016x}, this one has {expected:016x}); \
         build the index from this model's vectors", path.display()
    )]
    OtherCatalog {
        /// The file.
        path: PathBuf,
        /// The fingerprint of the catalog at hand.
        expected: u64,
        /// The one in the file.
        found: u64,
    },

    /// No interaction, user or case is left to work with.
    #[error("nothing left to work with: {reason}")]
    NothingLeft {
        /// Which step left nothing, and with which settings.
        reason: String,
    },

    /// The training loss became NaN or infinite before any epoch was finished.
    #[error(
        "the loss became {loss} at epoch {epoch}, step {step}; \
         lower the learning rate"
    )]
    NonFiniteLoss {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the epoch, counted from 1.
        step: usize,
        /// The loss.
        loss: f64,
    },

    /// A background thread of this crate ended before its work was done.
    #[error("the {thread} thread ended early: {reason}")]
    Thread {
        /// What the thread does.
        thread: &'static str,
        /// Why it ended.
        reason: String,
    },

    /// A server of vectors can't be reached, or refuses.
    #[error("the server at {address} could not {action}: {reason}")]
    Server {
        /// The address.
        address: String,
        /// What was asked of it, as a verb phrase.
        action: &'static str,
        /// Why.
        reason: String,
    },

    /// A server of vectors did not answer within the caller's deadline.
    #[error("the server at {address} did not {action} within {seconds} s")]
    Deadline {
        /// The address.
        address: String,
        /// What was asked of it, as a verb phrase.
        action: &'static str,
        /// The deadline.
        seconds: f64,
    },

    /// A download failed: no network, a refused connection or an HTTP error.
    #[error("could not download {url}: {reason}")]
    Download {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },

    /// A file's checksum is not the published one.
    #[error("{} has checksum {found}, expected {expected}; delete it and fetch it again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The published checksum.
        expected: String,
        /// The file's own.
        found: String,
    },

    /// An archive is cut short, damaged, or lacks a file.
    #[error("{} is not a usable archive: {reason}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A picture could not be drawn.
    #[error("could not draw {picture:?}: {reason}")]
    Plot {
        /// The picture's title.
        picture: String,
        /// Why.
        reason: String,
    },

    /// A device is missing, has no memory left, or failed.
    #[error(
        "the device {device} can't be used: {reason}; see that it and its driver are there and that it has memory to \
         spare, or take the backend `Flex`, which needs no device"
    )]
    Device {
        /// The device, as its backend names it.
        device: String,
        /// What the backend says.
        reason: String,
    },

    /// An error of a channel, an index, an observer or a loader of your own, which came here by `?`
    /// from a `std::io::Error` or a boxed error. It is shown as it is, and `downcast_ref` returns
    /// it.
    #[error(transparent)]
    Own(Box<dyn std::error::Error + Send + Sync>),

    /// Something outside of this crate failed, such as a store of your own, with what was being
    /// done.
    #[error("{context}")]
    Other {
        /// What was being done.
        context: String,
        /// Why it failed; the [`source`](std::error::Error::source).
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What to do with a line that seems to have columns, but not the usual delimiters between them.
fn other_delimiter(line: &str) -> String {
    let delimiters = [";", "|", "::"].map(|delimiter| (line.matches(delimiter).count(), delimiter));
    match delimiters.into_iter().max() {
        Some((1.., delimiter)) if !line.contains([',', '\t']) => {
            format!("; columns seem to have {delimiter:?} between them: add delimiter={delimiter}")
        }
        _ => String::new(),
    }
}
