//! Files of interactions: which format each is of, and what is read of it.

use std::io::Write;

use seqrec::data::{BadRows, Column, Format, InteractionReader, Interactions, Schema};
use seqrec::{Error, Result};

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
                log.users().ids()[log.user_numbers()[row] as usize].to_string(),
                log.items().ids()[log.item_numbers()[row] as usize].to_string(),
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
        error(b"1,2\n"),
        Error::ColumnCount {
            line: 3,
            expected: 4,
            found: 2,
            ..
        }
    ));
    assert!(matches!(
        error(b"1,2,3,yesterday\n"),
        Error::Field { line: 3, field: "timestamp", ref value, .. } if value == "yesterday"
    ));
    assert!(matches!(
        error(b"1,2,3,NaN\n"),
        Error::Field {
            field: "timestamp",
            ..
        }
    ));
    assert!(matches!(
        error(b"1,2,good,4\n"),
        Error::Field { field: "value", .. }
    ));
    assert!(matches!(
        error(b",2,3,4\n"),
        Error::Field { field: "user", .. }
    ));
    assert!(matches!(
        error(b"1,\xff\xfe,3,4\n"),
        Error::Encoding { line: 3, .. }
    ));
    let message = error(b"1,2,3,yesterday\n").to_string();
    assert!(message.ends_with(
        "ratings.csv:3: timestamp is \"yesterday\", expected a number, or a date such as \
         2021-05-11 08:30:00"
    ));
    // A value that would become infinite.
    assert!(matches!(
        error(b"1,2,1e39,4\n"),
        Error::Field { field: "value", .. }
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
        assert!(matches!(error, Error::Field { line: 3, .. }), "{error}");
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
        read(BadRows::Fail),
        Err(Error::ColumnCount { line: 2, .. })
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
    assert_eq!(log.items().ids()[1], "\"Heroes".into());
    // Asked for, they are quotes: the two rows between are one field.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plays.tsv");
    std::fs::write(&path, "1\t\"a\tb\"\t1\n").unwrap();
    let schema = Schema::positions(0, 1)
        .delimiter("\t")
        .time(Column::Position(2));
    let with = |quotes| Format::Delimited(schema.clone().quotes(quotes));
    let log = InteractionReader::new(&path, with(true)).read().unwrap();
    assert_eq!(log.items().ids()[0], "a\tb".into());
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
        assert!(matches!(error, Error::UncertainColumns { .. }), "{error}");
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
        InteractionReader::detect("/no/such/file").unwrap_err(),
        Error::Io { action: "read", .. }
    ));
    assert!(matches!(
        read("a.csv", "", BadRows::Fail),
        Err(Error::EmptyFile { .. })
    ));
    let header_only = "userId,movieId,rating,timestamp\n";
    assert!(matches!(
        read("a.csv", header_only, BadRows::Fail),
        Err(Error::EmptyFile { .. })
    ));
    assert!(matches!(
        read("a.inter", "item_id:token\tx:float\n1\t2\n", BadRows::Fail),
        Err(Error::MissingColumn { ref column, .. }) if column == "user_id:token"
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
            matches!(found, Err(Error::UnknownFormat { .. })),
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
            matches!(found, Err(Error::UncertainFormat { .. })),
            "{text}: {found:?}"
        );
    }
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
