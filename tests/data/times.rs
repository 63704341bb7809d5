//! What times of a log may be: of one unit, which most of them decide, and of days that can be
//! meant.

use seqrec::data::{
    BadRows, Column, Dataset, Filters, Format, Interaction, InteractionReader, Interactions,
    Schema, SequenceStore, TimeUnit,
};
use seqrec::{Error, ErrorKind, Result};

fn reader(text: &str, format: &str) -> InteractionReader {
    InteractionReader::from_reader(text.as_bytes(), format.parse().unwrap()).unwrap()
}

/// Rows of one user with these times.
fn log(times: &[&str]) -> InteractionReader {
    let rows: String = (times.iter().enumerate())
        .map(|(row, time)| format!("1,{row},{time}\n"))
        .collect();
    reader(
        &format!("user,item,time\n\n{rows}"),
        "user=user,item=item,time=time",
    )
}

fn of_columns(times: &[f64]) -> Result<Interactions> {
    Interactions::from_columns(&vec![1i64; times.len()], &vec![2i64; times.len()], times)
}

const NOVEMBER: [&str; 5] = [
    "2023-11-14 22:13:20",
    "1700000001",
    "2023-11-15",
    "1700100000",
    "1700200000",
];

/// November, with one time among its own.
fn november_and(odd: &str) -> InteractionReader {
    log(&[
        NOVEMBER[0],
        NOVEMBER[1],
        odd,
        NOVEMBER[2],
        NOVEMBER[3],
        NOVEMBER[4],
    ])
}

#[test]
fn times_of_two_units_are_refused_by_line_with_both_names() {
    for (odd, unit) in [
        ("1700000000111", "milliseconds"),
        ("1700000000111222", "microseconds"),
        ("20231114", "a time of 1970"),
        ("0", "a time of 1970"),
        ("9999-12-31", "a date after 2100"),
        ("253402300799", "a date after 2100"),
        ("2999-12-31", "after 2100"),
        ("0001-01-01", "before 1900"),
    ] {
        let refused = november_and(odd).read().unwrap_err();
        let ErrorKind::Field {
            line: 5,
            field: "timestamp",
            value,
            expected,
            ..
        } = refused.kind()
        else {
            panic!("{odd}: {refused}");
        };
        assert!(value.starts_with(odd) && value.contains(unit), "{value}");
        assert!(expected.contains("seconds since 1970"), "{expected}");
        // Left out, it is counted, and the unit is that of the rest.
        let log = november_and(odd).bad_rows(BadRows::Skip).read().unwrap();
        assert_eq!((log.len(), log.skipped_rows()), (5, 1), "{odd}");
        assert_eq!(
            TimeUnit::from_times(log.times()),
            TimeUnit::Seconds,
            "{odd}"
        );
        Dataset::new(log, Filters::default()).unwrap();
    }
    // Most are in milliseconds: the date is the one that is odd.
    let refused = log(&["1700000000111", "2023-11-14 22:13:20", "1700000000222"]);
    let refused = refused.read().unwrap_err().to_string();
    assert!(
        refused.contains(":4: ") && refused.contains("by its size in seconds"),
        "{refused}"
    );
    assert!(refused.contains("milliseconds since 1970"), "{refused}");
    // A line is that of the file with quotes, with blanks between, and in sequences of lines alike.
    let quoted = "user,item,time\n1,\"a\nb\",1700000000\n1,2,1700000001\n1,2,1700000000111\n";
    let refused = reader(quoted, "user=user,item=item,time=time").read();
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::Field { line: 5, .. })
        ),
        "{refused:?}"
    );
    let blanks = "# of a graph\n1 2 5 1700000000\n1 3 5 1700000001\n\n1 4 5 1700000000111\n";
    let refused = reader(blanks, "columns").read();
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::Field { line: 5, .. })
        ),
        "{refused:?}"
    );
}

#[test]
fn the_unit_goes_by_the_bulk_of_times() {
    for (unit, times) in [
        (TimeUnit::Order, vec![]),
        (TimeUnit::Order, vec![f64::NAN, -5.0]),
        (TimeUnit::Order, vec![7.0; 3]),
        (TimeUnit::Order, vec![-3.5, -1.0, 0.0, 2.0]),
        (TimeUnit::Order, vec![0.0, 1.0, 1.7e9]),
        (TimeUnit::Seconds, vec![1.7e9; 3]),
        (TimeUnit::Seconds, vec![-52_617_600.0, 1.2e9, 1.3e9]),
        (TimeUnit::Seconds, vec![0.0, 1.7e9, 1.8e9]),
        (TimeUnit::Seconds, vec![1.7e9, 1.8e9, 253_402_300_799.0]),
        (TimeUnit::Milliseconds, vec![1.7e9, 1.7e12, 1.8e12]),
    ] {
        assert_eq!(TimeUnit::from_times(&times), unit, "{times:?}");
    }
    for unit in [
        TimeUnit::Seconds,
        TimeUnit::Milliseconds,
        TimeUnit::Microseconds,
        TimeUnit::Nanoseconds,
    ] {
        assert_eq!(TimeUnit::from_times(&[0.0, unit.now()]), unit);
        of_columns(&[unit.now(); 4]).unwrap();
    }
    // Numbers that rise from small ones are times of one unit where all of them can be.
    let rising = |power| {
        let times: Vec<f64> = (0..1_000).map(|row| f64::from(row).powi(power)).collect();
        TimeUnit::from_times(&times.iter().map(|time| time * 1e6).collect::<Vec<_>>())
    };
    assert_eq!([rising(1), rising(3)], [TimeUnit::Seconds, TimeUnit::Order]);
    assert_eq!(
        TimeUnit::from_times(&[TimeUnit::Order.now()]),
        TimeUnit::Seconds
    );
}

#[test]
fn what_users_have_is_taken_and_what_cannot_be_meant_is_not() {
    let rows = || (0..1_000).map(f64::from);
    for times in [
        // Places, of which there may be many, and times since a log began, in any unit.
        rows().collect(),
        rows().map(|row| row * 1e6).collect(),
        rows().map(|row| row.powi(3) * 100.0).collect(),
        rows().map(|row| row.powi(4) * 300.0).collect(),
        // Dates of long ago that go on until today.
        (0..100)
            .map(|year| f64::from(year - 50) * 31_557_600.0)
            .collect(),
        // A few of long ago, and of before seconds had nine digits.
        vec![-52_617_600.0, 315_532_800.0, 473_385_600.0],
        vec![-52_617_600.0, -21_081_600.0, 315_532_800.0],
        vec![41_904_000.0, 1.2e9, 1.3e9, 1.6e9],
        vec![-52_617_600_000.0, 1.2e12, 1.3e12],
        vec![-2.0, 5.0],
        vec![1.7e9, 1.7e9],
    ] {
        assert_eq!(of_columns(&times).unwrap().times(), times);
    }
    for times in [
        vec![1.0, 2.0, 3.0, 1.7e9],
        vec![1.7e9, 1.7e9, 1.7e12],
        vec![1.7e9, 1.7e9, 253_402_300_799.0],
        // Digits of dates, 2023-11-14 22:13:20.
        vec![20_231_114_221_320.0; 2],
        vec![f64::INFINITY],
        // What stands for none.
        vec![0.0, 1.2e9, 1.3e9],
        vec![-1.0, 1.2e9, 1.3e9],
        vec![-1.0, 1.2e12, 1.3e12],
        vec![-62_135_596_800.0, -52_617_600.0, 315_532_800.0],
    ] {
        let refused = of_columns(&times).unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::InvalidValue { field: "time", .. }
            ),
            "{refused}"
        );
        let rows = times.iter().map(|&time| Interaction::new(1, 2, time));
        let refused = Dataset::new(rows.collect(), Filters::default()).unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::InvalidValue { field: "time", .. }
            ),
            "{refused}"
        );
    }
    let refused = of_columns(&[1.7e9, 1.7e9, 1.7e12]).unwrap_err().to_string();
    assert!(
        refused.contains("in row 2") && refused.contains("milliseconds"),
        "{refused}"
    );
}

#[test]
fn numbers_of_no_known_unit_are_said_to_be_none() {
    for number in [
        "20231114221320",
        // Microseconds since 1601.
        "13344537600000000",
    ] {
        let times = [number; 3];
        let refused = log(&times).read().unwrap_err().to_string();
        assert!(
            refused.contains(":3: ") && refused.contains("counted from another year"),
            "{refused}"
        );
        let refused = log(&times).bad_rows(BadRows::Skip).read().unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.contains("all 3 rows were skipped: 3 rows, the first: reader:3: "),
            "{refused}"
        );
    }
    // By the unit, and not by the number, a time lies before 1900.
    for (odd, what) in [
        ("-3000000", "a time of 1970"),
        ("-62135596800000", "before 1900"),
    ] {
        let milliseconds = log(&["1700000000111", "1700000000222", odd]);
        let refused = milliseconds.read().unwrap_err().to_string();
        assert!(refused.contains(what), "{refused}");
    }
}

#[test]
fn files_of_two_units_make_no_store_together_and_one_that_is_refused_adds_nothing() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SequenceStore::create(folder.path().join("log.store"), Filters::default())?;
    let seconds = log(&NOVEMBER);
    writer.read(&seconds)?;
    for other in [
        log(&["1700000000111", "1700000000222"]),
        log(&["1", "2", "3"]),
    ] {
        let refused = writer.read(&other).unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::InvalidValue { field: "time", .. }
            ),
            "{refused}"
        );
        let refused = writer.append(other.read()?).unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::InvalidValue { field: "time", .. }
            ),
            "{refused}"
        );
    }
    assert!(writer.read(&november_and("0")).is_err());
    writer.read(&november_and("0").bad_rows(BadRows::Skip))?;
    let store = writer.finish()?;
    assert_eq!(store.dataset().sequences().interactions(), 10);
    assert_eq!(store.skipped_rows(), 1);
    Ok(())
}

#[test]
fn a_column_that_may_be_the_time_is_asked_for() -> Result<()> {
    let commas = "user,item,seen_at,rating\n1,7,1700000000,5\n1,8,1600000000,4\n";
    let blanks = commas.replace(',', " ");
    let quoted = commas.replace(",7,", ",\"7\",");
    for (text, format) in [
        (commas, "user=user,item=item"),
        (commas, "user=0,item=1,header=yes"),
        (blanks.as_str(), "user=user,item=item,delimiter=blank"),
        (quoted.as_str(), "user=user,item=item"),
    ] {
        let refused = reader(text, format).read().unwrap_err();
        let ErrorKind::UncertainColumns {
            problem, example, ..
        } = refused.kind()
        else {
            panic!("{refused}");
        };
        assert!(problem.contains("seen_at may be it"), "{problem}");
        assert!(refused.to_string().contains("order=file"), "{refused}");
        // Both ways out are ways out.
        assert!(reader(text, example).read()?.times()[0] > 1.6e9);
        let as_it_stands = format!("{format},order=file");
        assert_eq!(reader(text, &as_it_stands).read()?.times(), [0.0, 1.0]);
    }
    // With another role it is not free to be the time, and without such a column nothing is asked.
    for format in [
        "user=user,item=item,event=seen_at",
        "user=user,item=item,value=seen_at",
    ] {
        assert_eq!(reader(commas, format).read()?.times(), [0.0, 1.0]);
    }
    // Values say that a column is one of times, whatever it is called, or where it has no name.
    let dates = commas.replace("1700000000", "2023-11-14");
    let dates = dates.replace("1600000000", "2020-09-13 12:26:40");
    let viewed = dates.replace("seen_at", "viewed");
    let (_, unnamed) = commas.split_once('\n').unwrap_or_default();
    for (text, format) in [
        (viewed.as_str(), "user=user,item=item"),
        (unnamed, "user=0,item=1"),
        (&unnamed.replace(',', " "), "user=0,item=1,delimiter=blank"),
    ] {
        let refused = reader(text, format).read().unwrap_err();
        let ErrorKind::UncertainColumns { example, .. } = refused.kind() else {
            panic!("{refused}");
        };
        assert!(reader(text, example).read()?.times()[0] > 1.6e9);
    }
    let none = commas.replace("seen_at", "place").replace("00000", "");
    assert_eq!(
        reader(&none, "user=user,item=item").read()?.times(),
        [0.0, 1.0]
    );

    let text = "user=user,item=item,order=file";
    let format: Format = text.parse()?;
    assert_eq!(format.to_string(), text);
    assert_eq!(
        format,
        Format::Delimited(Schema::names("user", "item").in_file_order())
    );
    let timed = Schema::names("user", "item")
        .in_file_order()
        .time(Column::name("at"));
    assert_eq!(timed.to_string(), "user=user,item=item,time=at");
    for wrong in [
        "user=a,item=b,time=c,order=file",
        "user=a,item=b,order=time",
    ] {
        assert!(wrong.parse::<Format>().is_err(), "{wrong}");
    }
    Ok(())
}
