//! Roles of a header's columns, inferred from their names.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use crate::{Error, ErrorKind, Result};

use super::schema::{Column, Schema};

const USER: &[&str] = &[
    "userid",
    "user",
    "uid",
    "visitorid",
    "visitor",
    "customerid",
    "customer",
    "memberid",
    "reviewerid",
];
const SESSION: &[&str] = &["sessionid", "session", "usersession", "sid"];
const ITEM: &[&str] = &[
    "movieid",
    "itemid",
    "item",
    "iid",
    "productid",
    "product",
    "asin",
    "parentasin",
    "sku",
    "trackid",
    "songid",
    "bookid",
    "isbn",
    "videoid",
    "articleid",
];
/// Names that are the item where no column has one of these.
const ITEM_LIKE: &[&str] = &["movie", "track", "song", "book", "article", "video"];
/// Names that are the time where several columns have to do with it.
const TIME: &[&str] = &[
    "timestamp",
    "time",
    "ts",
    "unixtime",
    "eventtime",
    "unixreviewtime",
];
/// Last words of names that have to do with time.
const TIME_ENDS: &[&str] = &["time", "timestamp", "date", "datetime", "dt", "ts", "at"];
/// Other such names.
const TIME_LIKE: &[&str] = &[
    "t",
    "timeframe",
    "day",
    "when",
    "eventdate",
    "orderdate",
    "reviewtime",
    "clicktime",
];
/// Words before a `time` that make it a length of time.
const LENGTHS: &[&str] = &["watch", "play", "run", "dwell", "life"];
/// Words of times of something else than the event.
const OTHER_TIMES: &[&str] = &["release", "released", "birth"];
const VALUE: &[&str] = &["rating", "value", "score", "overall", "price"];
const EVENT: &[&str] = &["event", "eventtype", "action", "behavior"];

/// A field of a header without the blanks and quotes around it.
pub(super) fn bare(field: &str) -> &str {
    field.trim().trim_matches('"').trim()
}

/// A name in one form, whatever the case, and whether words are joined by `_`, `-` or a blank.
pub(super) fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '-', ' '], "")
}

/// The words of a name: joined by `_`, `-` or a blank, or each with a capital.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in name.chars() {
        let joins = ['_', '-', ' '].contains(&letter);
        if joins || (after_small && letter.is_uppercase()) {
            words.push(String::new());
        }
        if let (false, Some(word)) = (joins, words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase();
    }
    words
}

/// True if a name has to do with time; a `candidate` has not.
fn is_time(name: &str) -> bool {
    let words = words(name);
    let ends = (words.last()).is_some_and(|word| TIME_ENDS.contains(&word.as_str()));
    ends || TIME_LIKE.contains(&plain(name).as_str())
}

/// True if a name that has to do with time may rather say how long something took, or when
/// something came out.
fn is_other_time(name: &str) -> bool {
    let words = words(name);
    let has = |of: &[&str]| words.iter().any(|word| of.contains(&word.as_str()));
    has(OTHER_TIMES) || (has(LENGTHS) && words.last().is_some_and(|word| word == "time"))
}

/// Refuses to take rows in the order of a file where a column that has no other role may be the
/// time: one that is called so, or that holds times. Columns without a header are told by what they
/// hold alone.
pub(super) fn check_order(
    path: &Path,
    schema: &Schema,
    header: &[String],
    holds_times: impl Fn(usize) -> bool,
) -> Result<()> {
    if schema.time.is_some() || schema.in_file_order {
        return Ok(());
    }
    let has_role = |place: usize, name: &str| {
        let mut roles = schema.columns().into_iter().flatten();
        roles.any(|column| match column {
            Column::Name(of_role) => of_role == name,
            Column::Position(of_role) => *of_role == place,
        })
    };
    let mut columns = header.iter().map(|name| bare(name)).enumerate();
    let is_free_time = |&(place, name): &(usize, &str)| {
        !has_role(place, name) && (is_time(name) || holds_times(place))
    };
    let Some((place, name)) = columns.find(is_free_time) else {
        return Ok(());
    };
    let time = match schema.user {
        Column::Name(_) => Column::name(name),
        Column::Position(_) => Column::Position(place),
    };
    Err(ErrorKind::UncertainColumns {
        path: path.to_owned(),
        problem: format!("the schema has no time, and {name} may be it"),
        header: header.to_owned(),
        example: schema.clone().time(time).to_string(),
    }
    .into())
}

/// The columns of a header.
struct HeaderNames<'a> {
    path: &'a Path,
    delimiter: &'a str,
    /// As they stand in the file, without blanks and quotes.
    names: Vec<&'a str>,
    /// The name that is compared: without the type that RecBole's have.
    roles: Vec<&'a str>,
}

impl<'a> HeaderNames<'a> {
    /// The names whose role is one of some.
    fn known(&self, wanted: &[&str]) -> Vec<&'a str> {
        self.matching(|role| wanted.contains(&plain(role).as_str()))
    }

    fn matching(&self, wanted: impl Fn(&str) -> bool) -> Vec<&'a str> {
        let columns = self.names.iter().zip(&self.roles);
        columns
            .filter(|(_, role)| wanted(role))
            .map(|(name, _)| *name)
            .collect()
    }

    fn uncertain(&self, problem: String, user: &str, item: &str, time: Option<&str>) -> Error {
        let mut example = Schema::names(user, item).delimiter(self.delimiter);
        example.time = time.map(Column::name);
        Error::from(ErrorKind::UncertainColumns {
            path: self.path.to_owned(),
            problem,
            header: self.names.iter().map(|&name| name.to_owned()).collect(),
            example: example.to_string(),
        })
    }

    /// The schema; `None` where there is no column of users or none of items.
    fn schema(&self) -> Result<Option<Schema>> {
        let (users, sessions) = (self.known(USER), self.known(SESSION));
        let mut items = self.known(ITEM);
        if items.is_empty() {
            items = self.known(ITEM_LIKE);
        }
        let of: Vec<&str> = sessions.iter().chain(&users).copied().collect();
        let (Some(&user), Some(&item)) = (of.first(), items.first()) else {
            return Ok(None);
        };
        let timed = self.matching(|role| is_time(role) && !is_other_time(role));
        let doubtful = self.matching(|role| is_time(role) && is_other_time(role));
        let sure = self.known(TIME);
        let time = sure.first().or(timed.first()).copied();
        let several =
            |what: &str, names: &[&str]| format!("{} may all be the {what}", names.join(" and "));
        if of.len() > 1 {
            let problem = several("one whose sequences these are", &of);
            return Err(self.uncertain(problem, user, item, time));
        }
        if items.len() > 1 {
            return Err(self.uncertain(several("item", &items), user, item, time));
        }
        if sure.len() > 1 || (sure.is_empty() && timed.len() > 1) {
            return Err(self.uncertain(several("time", &timed), user, item, time));
        }
        let Some(time) = time else {
            let problem = match doubtful.first() {
                Some(name) => format!(
                    "{name} may be the time, or say how long something took or when it came out"
                ),
                None => "no column is known to hold the time".to_owned(),
            };
            return Err(self.uncertain(problem, user, item, doubtful.first().copied()));
        };
        let one = |what: &str, names: &[&str]| {
            let found = self.known(names);
            if found.len() > 1 {
                return Err(self.uncertain(several(what, &found), user, item, Some(time)));
            }
            Ok(found.first().copied().map(Column::name))
        };
        let mut schema = Schema::names(user, item)
            .delimiter(self.delimiter)
            .time(Column::name(time));
        schema.value = one("value", VALUE)?;
        schema.event = one("event type", EVENT)?;
        Ok(Some(schema))
    }
}

/// The schema of a header with usual names; `None` where it is no such header.
///
/// # Errors
/// [`ErrorKind::UncertainColumns`].
pub(super) fn of_header(path: &Path, line: &str) -> Result<Option<Schema>> {
    let mut delimiters = [",", "\t", ";", "|"].into_iter();
    let Some(delimiter) = delimiters.find(|delimiter| line.contains(delimiter)) else {
        return Ok(None);
    };
    let names = line.split(delimiter).map(bare).collect();
    let schema = of_names(path, names, delimiter)?;
    Ok(schema.map(|schema| quoted_like(schema, line)))
}

/// The schema of columns with usual names; `None` where they have others.
///
/// # Errors
/// [`ErrorKind::UncertainColumns`].
pub(super) fn of_names(path: &Path, names: Vec<&str>, delimiter: &str) -> Result<Option<Schema>> {
    let header = HeaderNames {
        path,
        delimiter,
        roles: names.clone(),
        names,
    };
    header.schema()
}

/// The schema of a header of RecBole's `name:type`.
///
/// # Errors
/// [`ErrorKind::MissingColumn`] and [`ErrorKind::UncertainColumns`].
pub(super) fn of_inter(path: &Path, line: &str) -> Result<Schema> {
    let names: Vec<&str> = line.split('\t').map(bare).collect();
    let roles = names
        .iter()
        .map(|name| name.split(':').next().unwrap_or(name));
    let header = HeaderNames {
        path,
        delimiter: "\t",
        roles: roles.collect(),
        names: names.clone(),
    };
    // RecBole's own names come before others that may stand beside them.
    let own = |role: &str| {
        let mut columns = header.names.iter().zip(&header.roles);
        columns.find(|(_, of)| **of == role).map(|(name, _)| *name)
    };
    if let (Some(user), Some(item), Some(time)) = (
        own("user_id").or(own("session_id")),
        own("item_id"),
        own("timestamp"),
    ) {
        let both = [own("user_id"), own("session_id")];
        if let [Some(of_user), Some(of_session)] = both {
            let problem =
                format!("{of_user} and {of_session} may both be the one whose sequences these are");
            return Err(header.uncertain(problem, user, item, Some(time)));
        }
        let mut schema = Schema::names(user, item)
            .delimiter("\t")
            .time(Column::name(time));
        schema.value = own("rating").map(Column::name);
        return Ok(quoted_like(schema, line));
    }
    let schema = header.schema()?.ok_or_else(|| {
        let lacks_user = header.known(USER).is_empty() && header.known(SESSION).is_empty();
        let column = if lacks_user {
            "user_id:token"
        } else {
            "item_id:token"
        };
        Error::from(ErrorKind::MissingColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            header: names.iter().map(|&name| name.to_owned()).collect(),
        })
    })?;
    Ok(quoted_like(schema, line))
}

/// A schema whose rows are quoted if the header's fields are.
fn quoted_like(schema: Schema, line: &str) -> Schema {
    let quoted = line.trim_start().starts_with('"') || line.contains("\t\"");
    match schema.delimiter.as_str() {
        "\t" if quoted => Schema {
            quotes_inferred: true,
            ..schema.quotes(true)
        },
        _ => schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recboles_columns_are_known_however_they_are_written() {
        let of = |line| of_inter(Path::new("a.inter"), line).map(|schema| schema.to_string());
        let plain = "user=user_id:token,item=item_id:token,time=timestamp:float,delimiter=tab";
        assert_eq!(
            of("user_id:token\titem_id:token\ttimestamp:float").unwrap(),
            plain
        );
        assert_eq!(
            of("user_id:token\t item_id:token\t timestamp:float ").unwrap(),
            plain
        );
        assert_eq!(
            of("\"user_id:token\"\t\"item_id:token\"\t\"timestamp:float\"").unwrap(),
            format!("{plain},quotes=yes")
        );
        assert!(matches!(
            of("user_id:token\titem_id:token")
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::UncertainColumns { .. })
        ));
        assert!(matches!(
            of("user_id:token\tsession_id:token\titem_id:token\ttimestamp:float")
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::UncertainColumns { .. })
        ));
        assert!(matches!(
            of("x:float\titem_id:token").as_ref().map_err(Error::kind),
            Err(ErrorKind::MissingColumn { .. })
        ));
    }
}
