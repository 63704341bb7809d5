//! The times of a data set, as the program tells of them.

use jiff::Timestamp;
use seqrec::data::{Sequences, TimeUnit};

/// From when to when interactions go, in which unit; what order they are in where that is not
/// known.
///
/// A wrong unit, a wrong order of day and month and a column that holds no times all show in it.
pub fn of(sequences: &Sequences) -> Option<String> {
    let (first, last) = sequences.time_span()?;
    if first == last {
        return Some(format!(
            "WARNING: all times are {first}, so that the order of the file is taken for what came first; \
             name the column of times by --format, as in time=at"
        ));
    }
    let times = (0..sequences.len()).flat_map(|user| sequences.times(user));
    let unit = TimeUnit::from_times(times);
    let date = |time: f64| {
        let seconds = Timestamp::from_second((time / unit.per_second()) as i64).ok()?;
        Some(seconds.strftime("%Y-%m-%d").to_string())
    };
    Some(match (unit, date(first), date(last)) {
        (TimeUnit::Order, ..) | (_, None, _) | (_, _, None) => format!(
            "times from {first} to {last}, in no known unit: they say what came first, and nothing else \
             (dates, and seconds since 1970, are known)"
        ),
        (_, Some(first), Some(last)) => format!("times from {first} to {last}, in {unit}"),
    })
}
