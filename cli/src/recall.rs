//! `seqrec recall`: items for a history, for some users of a run, or for all of them.

use std::collections::HashSet;
use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use seqrec::data::{ExternalId, ItemFilter, Seen, TrainingData};
use seqrec::recall::{RecallRequest, Recalled, Users};
use serde_json::json;

use crate::data::SeenName;
use crate::item_table::{ItemOptions, say_matches};
use crate::results::Results;
use crate::runs;
use crate::text_file;

#[derive(Args, Debug)]
pub struct Options {
    /// A run folder that `seqrec train` made.
    run: PathBuf,
    /// Users by id [default: none].
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["users", "history"])]
    user: Vec<String>,
    /// A file of users, an id a line, with or without quotes [default: none].
    #[arg(long, conflicts_with = "history")]
    users: Option<PathBuf>,
    /// The items of a history, in time order, in place of users [default: none].
    #[arg(long, value_delimiter = ',')]
    history: Vec<String>,
    /// Everyone in the run.
    #[arg(long, conflicts_with_all = ["user", "users", "history"])]
    all: bool,
    /// The most items for each.
    #[arg(long, short, default_value_t = 10)]
    k: usize,
    /// Whether items of the history are recalled again.
    #[arg(long, value_enum, default_value_t)]
    seen: SeenName,
    #[command(flatten)]
    items: ItemOptions,
    /// Recalls only items whose attributes pass, such as `in_stock and price < 20` [default: all
    /// pass].
    #[arg(long, requires = "items")]
    filter: Option<ItemFilter>,
    /// A `.csv` or `.parquet` file of user, item, rank, score and reason [default: text on standard
    /// output].
    #[arg(long, conflicts_with = "history")]
    out: Option<PathBuf>,
}

pub fn run(options: &Options, results: Results) -> Result<(), Box<dyn Error>> {
    let (mut retriever, data) = runs::stage(&options.run)?.into_retriever()?;
    if let Some(items) = options.items.read()? {
        say_matches(&items, retriever.catalog());
        retriever = retriever.items(items)?;
    }
    let seen: Seen = options.seen.into();
    if !options.history.is_empty() {
        let request = RecallRequest::for_history(&options.history, options.k);
        let recalled = retriever.recall_for(&filtered(options, request).seen(seen))?;
        check_history(&options.history, &recalled)?;
        return print(results, None, &recalled);
    }
    let request = filtered(options, RecallRequest::for_everyone(options.k)).seen(seen);
    let users = match (&options.users, options.all) {
        (Some(file), _) => {
            some_users(&data, &text_file::lines(file)?, &file.display().to_string())?
        }
        (None, true) => Users::from(&data),
        (None, false) if options.user.is_empty() => {
            return Err("say for whom: --user ID, --users FILE, --history ITEM,.. or --all".into());
        }
        (None, false) => some_users(&data, &options.user, "--user")?,
    };
    let recalled = retriever.recall_all(users, &request)?;
    if let Some(out) = &options.out {
        let counts = recalled.write(out)?;
        eprintln!("{}: {counts}", out.display());
        return Ok(());
    }
    for recalled in recalled {
        let (user, recalled) = recalled?;
        print(results, Some(&user), &recalled)?;
    }
    Ok(())
}

/// A request with the filter, where there is one.
fn filtered(options: &Options, request: RecallRequest) -> RecallRequest {
    match &options.filter {
        Some(filter) => request.matching(filter.clone()),
        None => request,
    }
}

/// Refuses a history of which nothing is known.
fn check_history(history: &[String], recalled: &Recalled) -> Result<(), Box<dyn Error>> {
    match recalled.known {
        0 => {
            let reason = "is in the run; write ids as the log does";
            Err(format!("no item of --history {} {reason}", history.join(",")).into())
        }
        _ => Ok(()),
    }
}

/// Users of the data by their ids. How many are not in the data is said on standard error, and
/// nobody who is is an error.
fn some_users(
    data: &TrainingData,
    ids: &[String],
    from: &str,
) -> Result<Users<'static>, Box<dyn Error>> {
    let ids: Vec<ExternalId> = ids.iter().map(ExternalId::from).collect();
    let users = Users::some(data, ids.iter().cloned())?;
    let known: HashSet<&ExternalId> = data.user_ids().collect();
    let unknown: Vec<&ExternalId> = ids.iter().filter(|id| !known.contains(id)).collect();
    let (count, all) = (unknown.len(), ids.len());
    let Some(first) = unknown.first() else {
        return Ok(users);
    };
    if count == all {
        let example = known
            .iter()
            .next()
            .map_or_else(String::new, |id| format!(", where they are such as {id}"));
        return Err(format!(
            "none of the {all} users of {from} is in the run{example}; the first asked for is {first:?}: give an \
             id for each, as the log writes it"
        ).into());
    }
    eprintln!(
        "{count} of {all} users of {from} are not in the run, the first {first}: they get what new users get"
    );
    Ok(users)
}

fn print(
    results: Results,
    user: Option<&ExternalId>,
    recalled: &Recalled,
) -> Result<(), Box<dyn Error>> {
    if results.json {
        println!("{}", json!({"user": user, "recalled": recalled}));
        return Ok(());
    }
    if let Some(user) = user {
        println!("user {user}, {} items known", recalled.known);
    }
    print!("{recalled}");
    Ok(())
}
