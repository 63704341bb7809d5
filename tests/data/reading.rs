//! Files of interactions: which format each is of, and what is read of it.

use std::io::Write;

use proptest::prelude::*;
use seqrec::data::{
    BadRows, Catalog, Column, Dataset, ExternalId, Filters, Format, Interaction, InteractionReader,
    Interactions, Schema, SequenceStore,
};
use seqrec::{Error, ErrorKind, Result};

fn read(name: &str, text: impl AsRef<[u8]>, bad_rows: BadRows) -> Result<Interactions> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    InteractionReader::detect(&path)?.bad_rows(bad_rows).read()
}

fn rows(log: &Interactions) -> Vec<(String, String, f64, Option<f32>)> {
    (0..log.len())
        .map(|row| {
            (
                log.users()[log.user_numbers()[row] as usize].to_string(),
                log.items()[log.item_numbers()[row] as usize].to_string(),
                log.times()[row],
                log.value(row),
            )
        })
        .collect()
}

fn expected() -> Vec<(String, String, f64, Option<f32>)> {
    vec![
        ("1".into(), "31".into(), 1_260_759_144.0, Some(2.5)),
        ("2".into(), "x9".into(), 835_355_493.0, Some(4.0)),
    ]
}

#[test]
fn the_same_rows_come_from_every_format() {
    let files = [
        (
            "ratings.csv",
            "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,x9,4.0,835355493\n",
        ),
        (
            "ratings.csv",
            "\u{feff}userId,movieId,rating,timestamp\r\n1,31,2.5,1260759144\r\n\r\n2,x9,4.0,835355493",
        ),
        (
            "ratings.dat",
            "1::31::2.5::1260759144\n2::x9::4::835355493\n",
        ),
        ("u.data", "1\t31\t2.5\t1260759144\n2\tx9\t4\t835355493\n"),
        (
            "a.inter",
            "item_id:token\tuser_id:token\trating:float\ttimestamp:float\n31\t1\t2.5\t1260759144.0\nx9\t2\t4\t835355493\n",
        ),
        (
            "log.csv",
            "\u{feff}time,user,item,score\r\n1260759144,1,31,2.5\r\n835355493,2,\"x9\",4\r\n",
        ),
    ];
    for (name, text) in files {
        let log = read(name, text, BadRows::Fail).unwrap();
        assert_eq!(rows(&log), expected(), "{name}");
    }
}

#[test]
fn sequences_are_timed_by_their_place() {
    let log = read("b.txt", "7 1 2 3\n8 2\n", BadRows::Fail).unwrap();
    assert_eq!(log.user_numbers(), [0, 0, 0, 1]);
    assert_eq!(log.item_numbers(), [0, 1, 2, 1]);
    assert!(log.times().is_sorted());
}

#[test]
fn a_schema_reads_any_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.txt");
    std::fs::write(&path, "a|view|b|3.5\na|buy|c|\n").unwrap();
    let schema = Schema::positions(0, 2)
        .delimiter("|")
        .event(Column::Position(1))
        .value(Column::Position(3));
    let log = InteractionReader::new(&path, Format::Delimited(schema))
        .read()
        .unwrap();
    assert_eq!([log.value(0), log.value(1)], [Some(3.5), None]);
    assert_eq!(log.event(1), Some(&"buy".into()));
}

#[test]
fn errors_name_the_line_and_the_field() {
    let head = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n";
    let error = |row: &[u8]| {
        let text = [head.as_bytes(), row].concat();
        read("ratings.csv", text, BadRows::Fail).unwrap_err()
    };
    assert!(matches!(
        error(b"1,2\n").kind(),
        ErrorKind::ColumnCount {
            line: 3,
            expected: 4,
            found: 2,
            ..
        }
    ));
    assert!(matches!(
        error(b"1,2,3,yesterday\n").kind(),
        ErrorKind::Field { line: 3, field: "timestamp", value, .. } if value == "yesterday"
    ));
    assert!(matches!(
        error(b"1,2,3,NaN\n").kind(),
        ErrorKind::Field {
            field: "timestamp",
            ..
        }
    ));
    assert!(matches!(
        error(b"1,2,good,4\n").kind(),
        ErrorKind::Field { field: "value", .. }
    ));
    assert!(matches!(
        error(b",2,3,4\n").kind(),
        ErrorKind::Field { field: "user", .. }
    ));
    assert!(matches!(
        error(b"1,\xff\xfe,3,4\n").kind(),
        ErrorKind::Encoding { line: 3, .. }
    ));
    let message = error(b"1,2,3,yesterday\n").to_string();
    assert!(message.ends_with(
        "ratings.csv:3: timestamp is \"yesterday\", expected a number, or a date such as \
         2021-05-11 08:30:00"
    ));
    // A value that would become infinite.
    assert!(matches!(
        error(b"1,2,1e39,4\n").kind(),
        ErrorKind::Field { field: "value", .. }
    ));
}

#[test]
fn lines_are_right_with_quotes_and_carriage_returns() {
    for end in ["\n", "\r\n"] {
        let rows = [
            "userId,movieId,rating,timestamp",
            "1,\"31\",2.5,9",
            "1,2,3,soon",
            "",
        ];
        let error = read("ratings.csv", rows.join(end), BadRows::Fail).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Field { line: 3, .. }),
            "{error}"
        );
    }
}

#[test]
fn columns_with_blanks_between_are_rows_and_remarks_are_none() {
    let text = "% user item rating time\n1   31 2.5\t1260759144\n\n  2 x9 4.0 835355493\n# end\n";
    assert_eq!(
        rows(&read("out.konect", text, BadRows::Fail).unwrap()),
        expected()
    );
    let text = "1 31 2.5 1260759144\n1 31 4\n2 x9 4 835355493\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    std::fs::write(&path, text).unwrap();
    let read = |bad_rows| {
        InteractionReader::new(&path, Format::Columns)
            .bad_rows(bad_rows)
            .read()
    };
    assert!(matches!(
        read(BadRows::Fail).as_ref().map_err(Error::kind),
        Err(ErrorKind::ColumnCount { line: 2, .. })
    ));
    let log = read(BadRows::Skip).unwrap();
    assert_eq!((rows(&log), log.skipped_rows()), (expected(), 1));
}

#[test]
fn remarks_before_sequences_are_no_users() {
    let log = read(
        "b.txt",
        "% bipartite graph\n# made by hand\n7 1 2 3\n8 2\n",
        BadRows::Fail,
    );
    let log = log.unwrap();
    assert_eq!((log.users().len(), log.items().len(), log.len()), (2, 3, 4));
    // Further down a line like that is a user's.
    let log = read("b.txt", "7 1 2 3 4 5\n#tag 2\n", BadRows::Fail).unwrap();
    assert_eq!(log.users().len(), 2);
}

#[test]
fn blanks_around_names_and_fields_are_nothing() {
    let text = "userId, movieId, rating, timestamp\n1, 31, 2.5, 1260759144\n2, x9, , 835355493\n";
    let log = read("log.csv", text, BadRows::Fail).unwrap();
    let mut expected = expected();
    expected[1].3 = None;
    assert_eq!(rows(&log), expected);
}

#[test]
fn tab_separated_fields_may_begin_with_a_quote() {
    let text =
        "user\titem\ttime\n1\t\"Heroes\" live\t1\n1\t\"Heroes\t2\n2\tsoon\tsoon\n2\tb\"\t3\n";
    let log = read("plays.tsv", text, BadRows::Skip).unwrap();
    assert_eq!((log.len(), log.skipped_rows()), (3, 1));
    assert_eq!(log.items()[1], "\"Heroes".into());
    // Asked for, they are quotes: the two rows between are one field.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plays.tsv");
    std::fs::write(&path, "1\t\"a\tb\"\t1\n").unwrap();
    let schema = Schema::positions(0, 1)
        .delimiter("\t")
        .time(Column::Position(2));
    let with = |quotes| Format::Delimited(schema.clone().quotes(quotes));
    let log = InteractionReader::new(&path, with(true)).read().unwrap();
    assert_eq!(log.items()[0], "a\tb".into());
    assert!(InteractionReader::new(&path, with(false)).read().is_err());
}

#[test]
fn dates_are_seconds_since_1970() {
    let text = "user_id,item_id,last_watch_dt\n1,31,2021-05-11\n1,32,2021-05-11 08:30:00 UTC\n\
                1,33,2021-05-11T10:30:00.5+02:00\n1,34,1620721801\n";
    let log = read("kion.csv", text, BadRows::Fail).unwrap();
    assert_eq!(
        log.times(),
        [
            1_620_691_200.0,
            1_620_721_800.0,
            1_620_721_800.5,
            1_620_721_801.0
        ]
    );
}

#[test]
fn what_has_no_time_or_two_is_refused_with_a_way_out() {
    let sessions = "sessionId;userId;itemId;timeframe;eventdate\n1;NA;5;12;2016-05-09\n";
    let error = read("train-item-views.csv", sessions, BadRows::Fail).unwrap_err();
    assert!(
        error.to_string().contains("user=sessionId,item=itemId"),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train-item-views.csv");
    std::fs::write(&path, sessions).unwrap();
    let format = "user=sessionId,item=itemId,time=eventdate,delimiter=;"
        .parse()
        .unwrap();
    let log = InteractionReader::new(&path, format).read().unwrap();
    assert_eq!(log.times(), [1_462_752_000.0]);
    for (name, text) in [
        ("log.csv", "user,item\n1,2\n"),
        ("a.inter", "user_id:token\titem_id:token\n1\t2\n"),
    ] {
        let error = read(name, text, BadRows::Fail).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UncertainColumns { .. }),
            "{error}"
        );
    }
    for header in [
        "\"user_id:token\"\t\"item_id:token\"\t\"timestamp:float\"",
        "user_id:token\titem_id:token\t timestamp:float",
    ] {
        let text = format!("{header}\n1\t31\t9\n1\t32\t5\n");
        assert_eq!(
            read("a.inter", text, BadRows::Fail).unwrap().times(),
            [9.0, 5.0]
        );
    }
}

const TWO_ROWS: &str = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,x9,4.0,835355493\n";

#[test]
fn streams_are_read_like_files() {
    let source = TWO_ROWS.as_bytes();
    let reader = InteractionReader::from_reader(source, Format::RatingsCsv).unwrap();
    assert_eq!(rows(&reader.read().unwrap()), expected());
    assert_eq!(rows(&reader.read().unwrap()), expected());
    let bad = format!("{TWO_ROWS}1,2,3,soon\n");
    let reader = InteractionReader::from_reader(bad.as_bytes(), Format::RatingsCsv).unwrap();
    let message = reader.read().unwrap_err().to_string();
    assert!(message.starts_with("reader:4: "), "{message}");
}

#[test]
fn compressed_text_is_read_like_files() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    packed.write_all(TWO_ROWS.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let log = read("ratings.csv.gz", &packed, BadRows::Fail).unwrap();
    assert_eq!(rows(&log), expected());
    let reader = InteractionReader::from_reader(&packed[..], Format::RatingsCsv).unwrap();
    assert_eq!(rows(&reader.read().unwrap()), expected());
    // Cut short, it is an error and not fewer rows.
    let cut = read("ratings.csv.gz", &packed[..packed.len() - 9], BadRows::Fail);
    let message = cut.unwrap_err().to_string();
    assert!(message.contains("can't be unpacked (gzip)"), "{message}");
}

#[cfg(feature = "zstd")]
#[test]
fn text_compressed_by_zstd_is_read_like_files() {
    let packed = zstd::stream::encode_all(TWO_ROWS.as_bytes(), 3).unwrap();
    // Two frames, as tools that write bit by bit leave them.
    let more = zstd::stream::encode_all(&b"3,4,5,835355494\n"[..], 3).unwrap();
    let log = read(
        "ratings.csv.zst",
        [&packed[..], &more].concat(),
        BadRows::Fail,
    )
    .unwrap();
    assert_eq!(rows(&log)[..2], expected());
    assert_eq!(log.len(), 3);
    let cut = read(
        "ratings.csv.zst",
        &packed[..packed.len() - 9],
        BadRows::Fail,
    );
    let message = cut.unwrap_err().to_string();
    assert!(message.contains("can't be unpacked (zstd)"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.csv");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let writer = std::thread::spawn({
        let path = path.clone();
        move || std::fs::write(path, TWO_ROWS).unwrap()
    });
    let log = InteractionReader::detect(&path).unwrap().read().unwrap();
    writer.join().unwrap();
    assert_eq!(rows(&log), expected());
}

#[test]
fn skipped_rows_are_counted() {
    let text = "1::2::3::4\n1::2\n1::5::3::soon\n1::6::3::9\n";
    let log = read("ratings.dat", text, BadRows::Skip).unwrap();
    assert_eq!((log.len(), log.skipped_rows()), (2, 2));
}

#[test]
fn missing_empty_and_headless_files_are_errors() {
    assert!(matches!(
        InteractionReader::detect("/no/such/file")
            .unwrap_err()
            .kind(),
        ErrorKind::Io { action: "read", .. }
    ));
    assert!(matches!(
        read("a.csv", "", BadRows::Fail)
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::EmptyFile { .. })
    ));
    let header_only = "userId,movieId,rating,timestamp\n";
    assert!(matches!(
        read("a.csv", header_only, BadRows::Fail)
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::EmptyFile { .. })
    ));
    assert!(matches!(
        read("a.inter", "item_id:token\tx:float\n1\t2\n", BadRows::Fail).as_ref().map_err(Error::kind),
        Err(ErrorKind::MissingColumn { column, .. }) if column == "user_id:token"
    ));
}

fn detect(name: &str, text: &str) -> Result<Format> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    Format::detect(path)
}

#[test]
fn each_known_format_is_told_from_its_first_lines() {
    let cases = [
        (
            "ratings.csv",
            "userId,movieId,rating,timestamp",
            Format::RatingsCsv,
        ),
        (
            "ratings.csv",
            "userId, movieId, rating, timestamp\n1, 2, 3, 4",
            Format::RatingsCsv,
        ),
        ("ratings.dat", "1::1193::5::978300760", Format::RatingsDat),
        ("u.data", "196\t242\t3\t881250949", Format::UData),
        (
            "x.inter",
            "user_id:token\titem_id:token\ttimestamp:float",
            Format::Inter,
        ),
        ("x.txt", "user_id:token\titem_id:token", Format::Inter),
        ("Beauty.txt", "1 1 2 3 4 5", Format::Sequences),
        ("short.txt", "1 5\n1 6\n2 5", Format::Sequences),
        ("mixed.txt", "1 5 7 8\n2 6\n3 9 1 1 2", Format::Sequences),
        (
            "rows.txt",
            "1 31 2.5 1260759144\n7 31 4 835355493\n",
            Format::Columns,
        ),
        (
            "out.konect",
            "% bip weighted\n% 3 2 2\n1 31  2 1260759144\n1 9 4 835355493",
            Format::Columns,
        ),
        ("rows", "# by hand\n1 31 2.5 1260759144\n", Format::Columns),
        (
            "rows",
            "1 31 2.5 1260759144\n1 31 4\n2 x9 4 835355493\n",
            Format::Columns,
        ),
        (
            "isbns",
            "7 9780131103 9780131104 9780131105\n8 9780131103 9780131104\n",
            Format::Sequences,
        ),
    ];
    for (name, text, format) in cases {
        assert_eq!(detect(name, text).unwrap(), format, "{name}");
    }
}

#[test]
fn a_csv_with_usual_names_gets_a_schema() {
    let found = detect("log.csv", "event_time;event_type;user_id; product_id\n").unwrap();
    let expected = Schema::names("user_id", "product_id")
        .delimiter(";")
        .time(Column::name("event_time"))
        .event(Column::name("event_type"));
    assert_eq!(found, Format::Delimited(expected));
}

#[test]
fn what_fits_nothing_or_two_things_is_not_guessed() {
    for (name, text) in [
        ("a.csv", "a,b,c"),
        ("a.txt", "hello"),
        ("a.csv", "1 2 3"),
        ("a", "# 1"),
    ] {
        let found = detect(name, text);
        assert!(
            matches!(
                found.as_ref().map_err(Error::kind),
                Err(ErrorKind::UnknownFormat { .. })
            ),
            "{text}: {found:?}"
        );
    }
    for text in [
        "1 5 3\n1 6 4\n2 5 1",
        "1 5 3 12\n1 6 4 13",
        "1 5 3 1260759144\n1 6 bad 1260759145",
        "1 5 3 1 9\n1 6 4 2 9\n2 7 7 7 7",
    ] {
        let found = detect("a.txt", text);
        assert!(
            matches!(
                found.as_ref().map_err(Error::kind),
                Err(ErrorKind::UncertainFormat { .. })
            ),
            "{text}: {found:?}"
        );
    }
    let error = detect("a.txt", "1 31 1260759144 2.5\n2 9 835355493 4\n").unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("time=2,value=3,delimiter=blank"),
        "{message}"
    );
}

#[test]
fn formats_are_written_as_they_are_read() {
    for text in [
        "ratings-csv",
        "columns",
        "sequences",
        "user=visitor,item=product",
        "user=0,item=2,time=3,delimiter=tab",
        "user=0,item=1,value=2,delimiter=blank,header=yes,quotes=no",
        "user=a,item=b,time=c,event=d,delimiter=::,quotes=yes",
    ] {
        let format: Format = text.parse().unwrap();
        assert_eq!(format.to_string(), text);
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    for text in [
        "csv",
        "user=a",
        "user=a,item=b,day=c",
        "user=a,item=b,header=maybe",
        "user=a,item",
        "user=a,item=b,delimiter=",
    ] {
        assert!(text.parse::<Format>().is_err(), "{text}");
    }
}

/// Three rows of one user, of which the second has a field that is to be made wrong.
fn titled(field: &str) -> String {
    format!("user,item,time,title\n1,31,7,x\n1,32,8,{field}\n1,33,9,z\n")
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_where_it_opens_and_loses_its_line_alone() {
    let error = read("log.csv", titled("\"abc"), BadRows::Fail).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Malformed { line: 3, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("never closed"), "{error}");
    let log = read("log.csv", titled("\"abc"), BadRows::Skip).unwrap();
    assert_eq!((log.times(), log.skipped_rows()), (&[7.0, 9.0][..], 1));
    // It may be the file's last line, or stand in the header.
    let log = read("log.csv", "user,item,time\n1,31,7\n1,32,\"8", BadRows::Skip).unwrap();
    assert_eq!((log.len(), log.skipped_rows()), (1, 1));
    let error = read("log.csv", "user,item,\"time\n1,31,7\n", BadRows::Skip).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Malformed { line: 1, .. }),
        "{error}"
    );
}

#[test]
fn stray_quotes_swallow_no_rows() {
    let rows = |at: &[(usize, &str)]| {
        let title = |row| at.iter().find(|(of, _)| *of == row).map_or("x", |of| of.1);
        let rows = (0..200).map(|row| format!("{},{},{row},{}\n", row / 5, row % 7, title(row)));
        format!("user,item,time,title\n{}", rows.collect::<String>())
    };
    for (at, bad) in [
        // The field goes on after the quote that closes it; the other one is never closed.
        (&[(20, "\"Heroes"), (120, "\"Heroes")][..], 2),
        // It is closed where a field ends, far from here or in the next line.
        (&[(20, "\"Heroes"), (120, "TV 40\"")], 1),
        (&[(20, "\"Heroes"), (21, "TV 40\"")], 1),
        // Pairs within are escaped quotes.
        (&[(20, "\"Heroes"), (50, "\"\""), (120, "TV 40\"")], 1),
        // A delimiter stands after the quote.
        (&[(20, "\"Heroes, The"), (71, "TV 40\"")], 1),
        (&[(20, "\"Heroes, The"), (21, "TV 40\"")], 1),
        // Quotes inside of a field, in one line.
        (&[(7, "\"Heroes\" live")], 1),
        // None of these is stray.
        (&[(7, "5\" disk"), (9, "\"a \"\"b\"\", c\"")], 0),
    ] {
        let strict = read("log.csv", rows(at), BadRows::Fail);
        let log = read("log.csv", rows(at), BadRows::Skip).unwrap();
        assert_eq!((log.len(), log.skipped_rows()), (200 - bad, bad), "{at:?}");
        match strict.as_ref().map_err(Error::kind) {
            Err(&ErrorKind::Malformed { line, .. }) => {
                assert_eq!(line, at[0].0 as u64 + 2, "{at:?}")
            }
            strict => assert!(bad == 0 && strict.is_ok(), "{at:?}: {strict:?}"),
        }
    }
    // A row with a bad time that swallows others, which are read.
    let text = titled("x\n1,32,soon,\"abc\n1,34,10,TV\"");
    let log = read("log.csv", text, BadRows::Skip).unwrap();
    assert_eq!((log.len(), log.skipped_rows()), (4, 1));
}

#[test]
fn a_fault_after_a_field_of_several_lines_loses_no_rows_unseen() {
    let of = |faulty: &str| {
        let rows = "1,32,8,\"Heroes,y\n1,33,9,x,y\n";
        format!("user,item,time,title,note\n{rows}{faulty}\n1,35,11,x,y\n")
    };
    for (faulty, skipped) in [
        // It goes on after its quotes, is never closed, or there is a carriage return in an id.
        ("1,34,10,TV 40\",\"7\" disk", 2),
        ("1,34,10,TV 40\",\"7", 2),
        ("1,34,10,TV 40\",1\r,2,3,4,5", 3),
    ] {
        let error = read("log.csv", of(faulty), BadRows::Fail).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Malformed { line: 2, .. }),
            "{error}"
        );
        let log = read("log.csv", of(faulty), BadRows::Skip).unwrap();
        let read = (log.times(), log.skipped_rows());
        assert_eq!(read, (&[9.0, 11.0][..], skipped), "{faulty}");
    }
    // Where lines of a field are no rows, the fault is the later field's.
    let text = of("x").replace("1,33,9,x,y\nx", "two\",\"7\" disk");
    let error = read("log.csv", text, BadRows::Fail).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Malformed { line: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_quoted_header_does_not_ask_for_quotes_that_swallow_rows() {
    let text = "\"user_id\"\t\"item_id\"\t\"timestamp\"\t\"title\"\n";
    let text = format!("{text}1\t32\t8\t\"Heroes\n1\t33\t9\tx\n1\t34\t10\tTV\"\n");
    let log = read("log.tsv", text, BadRows::Skip).unwrap();
    assert_eq!((log.times(), log.skipped_rows()), (&[9.0, 10.0][..], 1));
}

#[test]
fn lines_of_text_are_no_rows_where_any_two_words_are() {
    let text = "7,a,nice\n8,b,\"so good\nreally, I mean\nit, yes\"\n";
    let of = |text: &str| {
        let format = "user=0,item=1,order=file".parse().unwrap();
        let reader = InteractionReader::from_reader(text.as_bytes(), format).unwrap();
        reader.read()
    };
    assert_eq!(of(text).unwrap().len(), 2);
    let rows = text.replace("really, I mean", "9,c,mean");
    let error = of(&rows.replace("it, yes", "9,d,yes")).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Malformed { line: 2, .. }),
        "{error}"
    );
}

#[test]
fn quoted_fields_of_several_lines_are_one_field_and_lines_are_still_counted() {
    for title in [
        "\"two\nlines\"",
        "\"a, b,\r\nc\n\n\"\"d\"\"\"",
        "\"a\rb\"",
        "\"a\" ",
    ] {
        let log = read("log.csv", titled(title), BadRows::Fail).unwrap();
        assert_eq!(log.times(), [7.0, 8.0, 9.0], "{title:?}");
    }
    // The last line of a first field looks like a row, and its first line does not.
    let text = "title,user,item,time\n\"My title\nsecond part\",1,31,7\nx,1,soon,8\n,1,32,soon\n";
    let error = read("log.csv", text, BadRows::Fail).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Field { line: 5, .. }),
        "{error}"
    );
    // What can be read in two ways is read as it is asked for.
    let text = "7,a,\"nice\n8,b,bad\"\n";
    let of = |format: &str| {
        let reader = InteractionReader::from_reader(text.as_bytes(), format.parse().unwrap());
        reader.unwrap().read()
    };
    let error = of("user=0,item=1").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Malformed { line: 1, .. }),
        "{error}"
    );
    assert_eq!(of("user=0,item=1,quotes=yes").unwrap().len(), 1);
    assert_eq!(of("user=0,item=1,quotes=no").unwrap().len(), 2);
}

#[test]
fn bad_quotes_are_found_in_compressed_text_and_in_stores() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    packed.write_all(titled("\"abc").as_bytes()).unwrap();
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    let reader = InteractionReader::detect(&path).unwrap();
    assert!(matches!(
        reader.read().as_ref().map_err(Error::kind),
        Err(ErrorKind::Malformed { line: 3, .. })
    ));
    let store = folder.path().join("log.store");
    let mut writer = SequenceStore::create(&store, Filters::default()).unwrap();
    writer.read(&reader.bad_rows(BadRows::Skip)).unwrap();
    let store = writer.finish().unwrap();
    let rows = store.dataset().sequences().interactions();
    assert_eq!((rows, store.skipped_rows()), (2, 1));
}

#[test]
fn carriage_returns_within_lines_lose_no_rows_unseen() {
    let rows = "1,31,7\r1,32,8\r1,33,9\r";
    for (name, text) in [
        ("log.csv", format!("user,item,time\r{rows}")),
        ("b.txt", "7 1 2 3\r8 2 3\r".to_owned()),
        (
            "rows.txt",
            "1 31 2.5 1260759144\r2 9 4 835355493\r".to_owned(),
        ),
        (
            "plays.tsv",
            "1\t2\t3\t1260759144\r2\t3\t4\t1260759145\r".to_owned(),
        ),
    ] {
        let error = read(name, text, BadRows::Skip).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Malformed { line: 1, .. }),
            "{error}"
        );
    }
    // Somewhere in a file they cost the rows of their line, with quotes elsewhere or without.
    for more in ["1,34,10\n", "1,\"34\",10\n"] {
        let text = format!("user,item,time\n1,30,6\n{rows}\n{more}");
        let error = read("log.csv", &text, BadRows::Fail).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Malformed { line: 3, .. }),
            "{error}"
        );
        let log = read("log.csv", &text, BadRows::Skip).unwrap();
        assert_eq!((log.times(), log.skipped_rows()), (&[6.0, 10.0][..], 3));
    }
    for format in ["sequences", "columns"] {
        let text = "1 31 4 8\n2 32 4 9\r3 33 4 9\n";
        let reader = InteractionReader::from_reader(text.as_bytes(), format.parse().unwrap());
        let reader = reader.unwrap().bad_rows(BadRows::Skip);
        assert_eq!(reader.read().unwrap().skipped_rows(), 2, "{format}");
    }
    // After the line feed's own or at a line's end they mean nothing.
    for row in ["1,31,7", "1,31,\"7\"", "1,\"31\",7"] {
        let text = format!("user,item,time\r\r\n{row}\r\r\n{row}\r\r\n");
        let log = read("log.csv", text, BadRows::Fail).unwrap();
        assert_eq!(log.times(), [7.0, 7.0], "{row}");
    }
}

#[test]
fn carriage_returns_in_text_that_is_not_read_are_text() {
    for row in ["1,32,8,a\rb,c", "1,32,8,\"a, b\",c\rd", "1,32,8,c\rd,\"a\""] {
        let text = format!("user,item,time,title,note\n{row}\n");
        assert_eq!(read("log.csv", text, BadRows::Fail).unwrap().times(), [8.0]);
    }
    let of = |text: &str| {
        let format = "user=0,item=1,time=2".parse().unwrap();
        let reader = InteractionReader::from_reader(text.as_bytes(), format).unwrap();
        reader.bad_rows(BadRows::Skip).read()
    };
    // What may be a row, were it not for its time, is not text, nor is there text in an id.
    for row in [
        "1,32,8,x\r1,33,soon",
        "1,32\r3,8",
        "1,\"32\",8,x\r1,33,soon",
    ] {
        let log = of(&format!("1,31,7\n{row}\n")).unwrap();
        assert_eq!((log.times(), log.skipped_rows()), (&[7.0][..], 2), "{row}");
    }
}

proptest! {
    #[test]
    fn quoted_rows_are_what_the_csv_crate_reads(
        rows in proptest::collection::vec((1..9i64, "[ab\", \n]{0,6}", 0..99i32), 1..20),
        windows in any::<bool>(),
        cut in any::<bool>(),
    ) {
        let terminator = if windows { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
        for (user, title, time) in &rows {
            let fields = [user.to_string(), format!("x{title}x"), time.to_string()];
            writer.write_record(fields).unwrap();
        }
        let mut text = writer.into_inner().unwrap();
        if cut {
            text.truncate(text.trim_ascii_end().len());
        }
        let format = "user=0,item=1,time=2,quotes=yes".parse().unwrap();
        let log = InteractionReader::from_reader(&text[..], format).unwrap().read().unwrap();
        let read = crate::reading::rows(&log);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..]);
        for (row, record) in reader.records().enumerate() {
            let record = record.unwrap();
            let (user, title, time, _) = read[row].clone();
            prop_assert_eq!([user, title, time.to_string()], [&record[0], &record[1], &record[2]]);
        }
        prop_assert_eq!(log.len(), rows.len());
    }
}

#[test]
fn columns_without_names_are_known_by_values_of_most_rows_or_asked_for() {
    let row = |user: i64, fields: [String; 2], by: &str| {
        format!(
            "{user}{by}{}{by}{}{by}{}\n",
            user + 30,
            fields[0],
            fields[1]
        )
    };
    let rows = |by: &str, time_first: bool| -> String {
        let fields = |user: i64| [(user % 5 + 1).to_string(), (881_250_949 + user).to_string()];
        let rows = (1..50).map(|user| {
            let [rating, time] = fields(user);
            row(
                user,
                if time_first {
                    [time, rating]
                } else {
                    [rating, time]
                },
                by,
            )
        });
        rows.collect()
    };
    for (by, known) in [("\t", Format::UData), ("::", Format::RatingsDat)] {
        assert_eq!(detect("a.txt", &rows(by, false)).unwrap(), known);
        // The first row decides nothing.
        let odd = row(1, ["881250949".into(), "3".into()], by) + &rows(by, false);
        assert_eq!(detect("a.txt", &odd).unwrap(), known);
        let odd = row(1, ["3".into(), "881250949".into()], by) + &rows(by, true);
        // MovieLens's own names don't make ratings of times.
        for name in ["a.txt", "u.data", "ratings.dat"] {
            for text in [&odd, &rows(by, true)] {
                let error = detect(name, text).unwrap_err();
                assert!(
                    matches!(error.kind(), ErrorKind::UncertainFormat { .. }),
                    "{error}"
                );
                let way_out = Schema::positions(0, 1).delimiter(by);
                let way_out = way_out.time(Column::Position(2)).value(Column::Position(3));
                assert!(error.to_string().contains(&way_out.to_string()), "{error}");
            }
        }
    }
    for text in [
        "7\t1\t2\t3\n8\t2\t3\t4\n",
        "1\t5\t3\n1\t6\t4\n",
        "1\t5\t3\t1\t9\n",
    ] {
        let error = detect("a.tsv", text).unwrap_err();
        assert!(error.to_string().contains("or sequences"), "{error}");
    }
    assert_eq!(detect("u.data", "1\t5\t3\t4\n").unwrap(), Format::UData);
    // Names that are not known are no numbers.
    for by in ["\t", " "] {
        let text = format!("what{by}who{by}stars{by}when\n") + &rows(by, false);
        let error = detect("a.tsv", &text).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UnknownFormat { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_row_with_a_word_too_many_does_not_decide_for_the_others() {
    let text = "1 31 2.5 1260759144 odd\n1 31 2.5 1260759144\n2 x9 4.0 835355493\n";
    for text in [text.to_owned(), format!("1 31 2.5\n{}", &text[24..])] {
        let reader = InteractionReader::from_reader(text.as_bytes(), Format::Columns).unwrap();
        let error = reader.read().unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ColumnCount {
                    line: 1,
                    expected: 4,
                    ..
                }
            ),
            "{error}"
        );
        let log = reader.bad_rows(BadRows::Skip).read().unwrap();
        assert_eq!((rows(&log), log.skipped_rows()), (expected(), 1));
    }
}

#[test]
fn a_file_of_bad_rows_says_how_many_and_why() {
    for text in [
        "user,item,time\n1,2,soon\n,2,3\n",
        "user,item,time\n1,2,soon\n\"\",2,3\n",
    ] {
        let message = read("log.csv", text, BadRows::Skip)
            .unwrap_err()
            .to_string();
        assert!(message.contains("all 2 rows were skipped"), "{message}");
        assert!(
            message.contains("log.csv:2: timestamp is \"soon\""),
            "{message}"
        );
    }
}

#[test]
fn blank_lines_before_a_header_are_nothing() {
    for (name, text) in [
        ("ratings.csv", format!("\n \r\n{TWO_ROWS}")),
        ("ratings.csv", format!("\u{feff}\n{}", TWO_ROWS.replace("x9", "\"x9\""))),
        (
            "a.inter",
            "\nuser_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t31\t2.5\t1260759144\n2\tx9\t4\t835355493\n".to_owned(),
        ),
    ] {
        assert_eq!(rows(&read(name, &text, BadRows::Fail).unwrap()), expected(), "{name}");
        let bad = format!("{text}1,2\n");
        let error = read(name, &bad, BadRows::Fail).unwrap_err();
        let line = bad.lines().count() as u64;
        assert!(matches!(error.kind(), ErrorKind::ColumnCount { line: at, .. } if *at == line), "{error}");
    }
    assert!(matches!(
        read("a.csv", "\n\n", BadRows::Fail)
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::EmptyFile { .. })
    ));
}

#[test]
fn one_column_has_one_role() {
    for text in [
        "user=a,item=a",
        "user=0,item=1,time=1",
        "user=a,item=b,value=c,event=c",
    ] {
        let error = text.parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("can't be the"), "{error}");
    }
    assert!("user=a,user=b,item=c".parse::<Format>().is_err());
    let read = |text: &str, schema: Schema| {
        InteractionReader::from_reader(text.as_bytes(), Format::Delimited(schema))
            .unwrap()
            .read()
    };
    let text = "user,item,time\n1,2,3\n";
    let by_name = Schema::names("user", "item");
    for schema in [
        by_name.clone().time(Column::name("item")),
        // The same column by name and by place.
        by_name.clone().time(Column::Position(0)),
        Schema::positions(1, 1),
        by_name.clone().time(Column::Position(usize::MAX)),
    ] {
        let error = read(text, schema).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::InvalidValue {
                    field: "column",
                    ..
                }
            ),
            "{error}"
        );
    }
    // A name that two columns have.
    let error = read("user,item,time,item\n1,2,3,4\n", by_name).unwrap_err();
    assert!(error.to_string().contains("columns 1 and 3"), "{error}");
    let error = read_detected("user,item,time,rating,price\n1,2,3,4,5\n").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("rating and price may all be the value"),
        "{error}"
    );
}

fn read_detected(text: &str) -> Result<Interactions> {
    read("log.csv", text, BadRows::Fail)
}

#[test]
fn ids_are_the_same_wherever_they_come_from() {
    let from_file = read_detected("user,item,time\n anna ,pen ,1\n\" anna\",42,2\n").unwrap();
    let from_columns =
        Interactions::from_columns(&["anna", " anna"], &["\tpen", " 42 "], &[1.0, 2.0]).unwrap();
    let pushed: Interactions = [(" anna", "pen ", 1.0), ("anna ", " 42", 2.0)]
        .map(|(user, item, time)| Interaction::new(user, item, time))
        .into_iter()
        .collect();
    for log in [&from_columns, &pushed] {
        assert_eq!(rows(log), rows(&from_file));
        assert_eq!(log.users().len(), 1);
    }
    let dataset = Dataset::new(pushed, Filters::default()).unwrap();
    let catalog = dataset.catalog();
    assert_eq!(catalog.known([" pen", "42\n", ""]).count(), 2);
    assert_eq!(
        catalog.index_of(&ExternalId::Text("42 ".into())),
        catalog.index_of(&42.into())
    );
    assert_eq!(dataset.user_of(&" anna ".into()), Some(0));
    let json: ExternalId = serde_json::from_str("\" pen \"").unwrap();
    assert_eq!(json, "pen".into());
}

#[test]
fn an_empty_or_missing_id_is_refused_wherever_it_comes_from() {
    for (user, item, field) in [
        ("", "pen", "user"),
        (" \u{a0}", "pen", "user"),
        ("anna", " ", "item"),
        ("NULL", "pen", "user"),
        (" null", "pen", "user"),
        ("\\N", "pen", "user"),
        ("<NA>", "pen", "user"),
        ("N/A", "pen", "user"),
        ("anna", "-", "item"),
        ("anna", "#N/A", "item"),
        ("anna", "nan", "item"),
        ("anna", "NaN ", "item"),
        ("anna", "None", "item"),
    ] {
        let row = || Interaction::new(user, item, 2.0);
        let log: Interactions = [Interaction::new("anna", "pen", 1.0), row()]
            .into_iter()
            .collect();
        let columns = Interactions::from_columns(&["anna", user], &["pen", item], &[1.0, 2.0]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.store");
        let mut store = SequenceStore::create(path, Filters::default()).unwrap();
        for refused in [
            columns.map(drop),
            Dataset::new(log.clone(), Filters::default()).map(drop),
            store.append(log.clone()),
        ] {
            let error = refused.unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::InvalidValue { field: of, .. } if *of == field),
                "{error}"
            );
            assert!(error.to_string().contains("row 1"), "{error}");
        }
        // A row that is not kept does no harm.
        let mut kept = log;
        assert_eq!(kept.retain_times(|time| time < 2.0).unwrap(), 1);
        assert!(Dataset::new(kept, Filters::default()).is_ok());
        let text = format!("user,item,time\n{user},{item},1\nanna,pen,2\n");
        let error = read_detected(&text).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Field { field: of, .. } if *of == field),
            "{error}"
        );
        let log = read("log.csv", text, BadRows::Skip).unwrap();
        assert_eq!((log.len(), log.skipped_rows()), (1, 1));
    }
    assert!(Catalog::from_ids(["pen", " "].map(ExternalId::from)).is_err());
    assert!(Catalog::from_ids(["pen", "NULL"].map(ExternalId::from)).is_err());
    // What merely resembles a mark is an id.
    let log = read_detected("user,item,time\nNull,none,1\nnull7,NA,2\n").unwrap();
    assert_eq!((log.len(), log.users().len()), (2, 2));
    // A blank that is none to a reader of words.
    let log = read("b.txt", "7 1 \u{a0}\n8 2 3\n", BadRows::Skip).unwrap();
    assert_eq!((log.users().len(), log.skipped_rows()), (1, 1));
    // An empty event type is none.
    let log = Interactions::from_columns(&[1], &[2], &[3.0]).unwrap();
    assert_eq!(log.with_events(&[" "]).unwrap().event(0), None);
}

#[test]
fn what_leaves_no_row_says_which_there_are() {
    let events = ["view", "purchase", "view", ""];
    let log = Interactions::from_columns(&[1, 1, 2, 2], &[1, 2, 1, 3], &[10.0, 11.0, 12.0, 13.0]);
    let mut log = log.unwrap().with_events(&events).unwrap();
    let message = log.retain_events(&["Purchase"]).unwrap_err().to_string();
    assert!(
        message.ends_with("there are view: 2, purchase: 1, without one: 1"),
        "{message}"
    );
    let message = log.retain_times(|time| time > 1e9).unwrap_err().to_string();
    assert!(
        message.contains("those of 4 rows are from 10 to 13"),
        "{message}"
    );
    assert_eq!(log.len(), 4);
    assert_eq!(log.retain_events(&["view", "Purchase"]).unwrap(), 2);
    let nothing = |log, filters| Dataset::new(log, filters).unwrap_err().to_string();
    let message = nothing(Interactions::default(), Filters::default());
    assert!(message.contains("before any filter"), "{message}");
    let core = Filters::new().with_minimum_per_user(9);
    assert!(nothing(log.clone(), core).contains("of 2 interactions"));
    let valued = log.with_values(&[1.0, 2.0]).unwrap();
    let message = nothing(valued, Filters::new().with_minimum_value(Some(4.0)));
    assert!(
        message.contains("no value of 2 interactions is at least"),
        "{message}"
    );
}

#[test]
fn a_column_that_starts_late_is_filled_with_none() {
    let mut rows = Interactions::default();
    rows.push(Interaction::new(1, 10, 0.0));
    let bought = Interaction::new(1, 11, 1.0).with_value(4.5);
    rows.push(bought.with_event("buy"));
    rows.push(Interaction::new(2, 10, 2.0));
    let values = [0, 1, 2].map(|row| rows.value(row));
    assert_eq!(values, [None, Some(4.5), None]);
    let events = [0, 1, 2].map(|row| rows.event(row).map(ToString::to_string));
    assert_eq!(events, [None, Some("buy".to_owned()), None]);
    rows.retain_events(&["buy", "cart"]).unwrap();
    assert_eq!(rows.times(), [1.0]);
    assert_eq!(rows.event(0), Some(&"buy".into()));
}

#[test]
fn usual_names_are_known() {
    for (line, expected) in [
        (
            "user_id,item_id,last_watch_dt,total_dur",
            "user=user_id,item=item_id,time=last_watch_dt",
        ),
        (
            "reviewerID\tasin\toverall\tunixReviewTime\treviewTime",
            "user=reviewerID,item=asin,time=unixReviewTime,value=overall,delimiter=tab",
        ),
        (
            "timestamp,visitorid,event,itemid,transactionid",
            "user=visitorid,item=itemid,time=timestamp,event=event",
        ),
        (
            "\"user\"\t\"item\"\t\"ts\"",
            "user=user,item=item,time=ts,delimiter=tab,quotes=yes",
        ),
        ("user,movie,when", "user=user,item=movie,time=when"),
        // Neither a word that ends like one of time, nor a time of something else.
        (
            "user,item,candidate,update,viewedAt,watch_time,releaseDate",
            "user=user,item=item,time=viewedAt",
        ),
        (
            "userId,movieId,movie,timestamp",
            "user=userId,item=movieId,time=timestamp",
        ),
    ] {
        assert_eq!(
            detect("log.csv", line).unwrap().to_string(),
            expected,
            "{line}"
        );
    }
}

#[test]
fn what_is_not_certain_is_said_with_a_way_out() {
    for (line, problem, example) in [
        (
            "sessionId;userId;itemId;timeframe;eventdate",
            "sessionId and userId may all be the one whose sequences these are",
            "user=sessionId,item=itemId,time=timeframe,delimiter=;",
        ),
        (
            "sessionId;itemId;timeframe;eventdate",
            "timeframe and eventdate may all be the time",
            "user=sessionId,item=itemId,time=timeframe,delimiter=;",
        ),
        (
            "user,item,rating",
            "no column is known to hold the time",
            "user=user,item=item",
        ),
        (
            "user,item,candidate,runtime",
            "no column is known to hold the time",
            "user=user,item=item",
        ),
        (
            "user,item,watch_time",
            "watch_time may be the time, or say how long something took or when it came out",
            "user=user,item=item,time=watch_time",
        ),
        (
            "user,item,time,rating,price",
            "rating and price may all be the value",
            "user=user,item=item,time=time",
        ),
        (
            "user_id,asin,parent_asin,timestamp",
            "asin and parent_asin may all be the item",
            "user=user_id,item=asin,time=timestamp",
        ),
    ] {
        let error = detect("log.csv", line).unwrap_err();
        let ErrorKind::UncertainColumns {
            problem: found,
            example: way_out,
            ..
        } = error.kind()
        else {
            panic!("{error}");
        };
        assert_eq!(
            (found.as_str(), way_out.as_str()),
            (problem, example),
            "{line}"
        );
    }
}

#[test]
fn only_canonical_integers_become_integers() {
    for text in ["0", "7", "-7", "9223372036854775807"] {
        assert!(
            matches!(ExternalId::from(text), ExternalId::Integer(_)),
            "{text}"
        );
    }
    for text in [
        "",
        "-",
        "-0",
        "00",
        "007",
        "+7",
        "7 7",
        "9223372036854775808",
        "x",
    ] {
        assert!(
            matches!(ExternalId::from(text), ExternalId::Text(_)),
            "{text}"
        );
    }
}

#[test]
fn json_numbers_and_texts_of_them_are_the_same_id() {
    let ids: Vec<ExternalId> = serde_json::from_str(r#"[42, "42", "042"]"#).unwrap();
    assert_eq!(ids, [42.into(), 42.into(), ExternalId::from("042")]);
    let written = serde_json::to_string(&ids).unwrap();
    assert_eq!(written, r#"[42,42,"042"]"#);
    for integer in [
        "18446744073709551615",
        "9223372036854775808",
        "9223372036854775807",
        "-9223372036854775808",
        "-0",
        "0",
    ] {
        let id: ExternalId = serde_json::from_str(integer).unwrap();
        assert_eq!(id, ExternalId::from(integer));
        assert_eq!(id.to_string(), integer);
    }
    for (none, words) in [
        ("4.5", "4.5 is no id"),
        ("42.0", "42.0 is no id"),
        ("18446744073709551616", "as a text"),
        ("1e400", "out of range"),
        ("null", "an integer or a text"),
        ("[1]", "an integer or a text"),
        ("\" \"", "no id"),
    ] {
        let error = serde_json::from_str::<ExternalId>(none).unwrap_err();
        assert!(error.to_string().contains(words), "{none}: {error}");
    }
}

#[test]
fn every_text_is_written_back_as_it_was() {
    for text in ["0", "-12", "0012", "-0", "ä", "1e3"] {
        assert_eq!(ExternalId::from(text).to_string(), text);
    }
}

#[test]
fn numbers_follow_first_appearance() {
    let texts = ["b", "a", "b", "3", "-3", "1048575", "1048576", "3", "-3"];
    let rows = texts.map(|text| Interaction::new(text, text, 1.0));
    let log: Interactions = rows.into_iter().collect();
    let numbers = [0, 1, 0, 2, 3, 4, 5, 2, 3];
    assert_eq!(
        (log.user_numbers(), log.item_numbers()),
        (&numbers[..], &numbers[..])
    );
    assert_eq!(log.users(), log.items());
    for (&number, text) in numbers.iter().zip(texts) {
        assert_eq!(log.users()[number as usize], text.into());
    }
    let catalog = Catalog::from_ids(log.items().iter().cloned()).unwrap();
    for (number, id) in log.items().iter().enumerate() {
        assert_eq!(catalog.index_of(id).unwrap().to_usize(), number + 1);
    }
    for unknown in ["c", "4", "-4", "1048577"] {
        assert_eq!(catalog.index_of(&unknown.into()), None);
    }
}

/// Room is made by what was read so far, of which the first block may be next to nothing.
#[test]
fn a_quoted_row_before_two_megabytes_of_others_is_read() {
    let text = "\"a\",1\n".to_owned() + &"1,2\n".repeat(524_288);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, text).unwrap();
    for bad_rows in [BadRows::Fail, BadRows::Skip] {
        let format: Format = "user=0,item=1,order=file".parse().unwrap();
        let log = InteractionReader::new(&path, format)
            .bad_rows(bad_rows)
            .read()
            .unwrap();
        assert_eq!((log.len(), log.users().len()), (524_289, 2));
    }
}

/// Columns are found wherever a header names them.
#[test]
fn a_header_longer_than_what_is_looked_at_loses_no_column() {
    let filler: String = (0..9_000).map(|n| format!("f{n}:float\t")).collect();
    let header = format!("user_id:token\titem_id:token\t{filler}rating:float\ttimestamp:float");
    let row = format!("1\t31\t{}2.5\t1260759144", "0\t".repeat(9_000));
    let log = read("a.inter", format!("{header}\n{row}\n"), BadRows::Fail).unwrap();
    assert_eq!(
        rows(&log),
        [("1".into(), "31".into(), 1_260_759_144.0, Some(2.5))]
    );
}

#[test]
fn an_empty_delimiter_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, "user,item,time\n1,2,3\n").unwrap();
    let schema = Schema::names("user", "item")
        .time(Column::Name("time".into()))
        .delimiter("");
    let refused = InteractionReader::new(&path, Format::Delimited(schema))
        .read()
        .unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::InvalidValue {
                field: "delimiter",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn an_id_that_is_written_in_two_ways_is_refused_unless_it_is_two() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    for (user, item, refused) in [
        ("5.0", "9", "user is 5.0 in "),
        ("5", "007", "item is 007 in "),
    ] {
        let text = format!("user,item,time\n5,7,1\n{user},{item},2\n");
        std::fs::write(&path, text).unwrap();
        let reader = InteractionReader::detect(&path).unwrap();
        let error = reader.read().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidValue { .. }));
        assert!(error.to_string().starts_with(refused), "{error}");
        assert_eq!(reader.clone().ids_as_written().read().unwrap().len(), 2);

        // A store refuses the file, and takes nothing of it; over several files it is the same.
        let store = folder.path().join("log.store");
        let mut writer = SequenceStore::create(&store, Filters::default()).unwrap();
        let refused = writer.read(&reader).unwrap_err().to_string();
        assert_eq!(refused, error.to_string());
        for id in ["5", "5.0"] {
            std::fs::write(&path, format!("user,item,time\n{id},pen,3\n")).unwrap();
            let read = writer.read(&InteractionReader::detect(&path).unwrap());
            assert_eq!(read.is_ok(), id == "5", "{read:?}");
        }
        assert_eq!(writer.finish().unwrap().dataset().users(), 1);
    }
}
