//! Interactions in Parquet files, folders of them, and Arrow batches.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use seqrec::data::{
    AttributeKind, BadRows, Column, Dataset, ExternalId, Filters, Format, InteractionReader,
    Interactions, ItemReader, Items, Schema, SequenceStore, TimeUnit,
};
use seqrec::{Error, ErrorKind, Result};

fn column(values: impl Array + 'static) -> ArrayRef {
    Arc::new(values)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Writes a batch in groups of two rows.
fn write(path: &Path, batch: &RecordBatch) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

type Row = (String, String, f64, Option<f32>, Option<String>);

fn rows(log: &Interactions) -> Vec<Row> {
    let id = |ids: &[ExternalId], number: u32| ids[number as usize].to_string();
    (0..log.len())
        .map(|row| {
            (
                id(log.users(), log.user_numbers()[row]),
                id(log.items(), log.item_numbers()[row]),
                log.times()[row],
                log.value(row),
                log.event(row).map(ToString::to_string),
            )
        })
        .collect()
}

fn events() -> RecordBatch {
    batch(vec![
        ("user_id", column(Int64Array::from(vec![7, 7, 8, 9, 9]))),
        (
            "product_id",
            column(StringArray::from(vec!["pen", "12", "pen", "desk", "12"])),
        ),
        (
            "event_time",
            column(
                TimestampMillisecondArray::from(vec![1_500, 2_000, 500, 0, 9_000])
                    .with_timezone("UTC"),
            ),
        ),
        (
            "price",
            column(Float32Array::from(vec![
                Some(1.5),
                None,
                Some(f32::NAN),
                Some(9.0),
                Some(2.0),
            ])),
        ),
        (
            "event_type",
            column(StringArray::from(vec![
                Some("view"),
                Some("buy"),
                None,
                Some("view"),
                Some("buy"),
            ])),
        ),
    ])
}

#[test]
fn a_file_is_read_by_the_names_of_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    write(&path, &events());
    let reader = InteractionReader::detect(&path).unwrap();
    let row = |user: &str, item: &str, time, value, event: Option<&str>| {
        (
            user.to_owned(),
            item.to_owned(),
            time,
            value,
            event.map(str::to_owned),
        )
    };
    let all = [
        row("7", "pen", 1.5, Some(1.5), Some("view")),
        row("7", "12", 2.0, None, Some("buy")),
        row("8", "pen", 0.5, None, None),
        row("9", "desk", 0.0, Some(9.0), Some("view")),
        row("9", "12", 9.0, Some(2.0), Some("buy")),
    ];
    assert_eq!(rows(&reader.read().unwrap()), all);
    // A text that is a number is the integer that other files have.
    let log = reader.read().unwrap();
    assert!(log.items().contains(&ExternalId::Integer(12)));
    // The columns may be named, whatever a delimiter is.
    let format: Format = "user=user_id,item=product_id,time=event_time"
        .parse()
        .unwrap();
    let named = InteractionReader::new(&path, format).only("event_type", ["buy", "sell"]);
    let bought: Vec<Row> = rows(&named.read().unwrap());
    assert_eq!(
        bought,
        [
            row("7", "12", 2.0, None, None),
            row("9", "12", 9.0, None, None)
        ]
    );
    // Arrow's batches are the same.
    let schema = Schema::names("user_id", "product_id")
        .time(Column::name("event_time"))
        .value(Column::name("price"))
        .event(Column::name("event_type"));
    let log = Interactions::from_arrow([events().slice(0, 2), events().slice(2, 3)], &schema);
    assert_eq!(rows(&log.unwrap()), all);
}

#[test]
fn a_folder_is_all_its_files_with_the_columns_of_its_folders() {
    let folder = tempfile::tempdir().unwrap();
    let day = |day: &str, kind: &str| {
        let folder = folder
            .path()
            .join(format!("day={day}"))
            .join(format!("kind={kind}"));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let of = |users: Vec<i32>, items: Vec<u64>| {
        batch(vec![
            ("user", column(Int32Array::from(users))),
            ("item", column(UInt64Array::from(items))),
        ])
    };
    write(
        &day("2026-11-27", "view").join("part-1.parquet"),
        &of(vec![3], vec![30]),
    );
    write(
        &day("2026-11-27", "view").join("part-0.parquet"),
        &of(vec![1, 2], vec![10, u64::MAX]),
    );
    write(
        &day("2026-11-28", "buy").join("part-0.parquet"),
        &of(vec![1], vec![30]),
    );
    std::fs::write(folder.path().join("_SUCCESS"), "").unwrap();
    std::fs::write(folder.path().join("README.md"), "mine").unwrap();
    std::fs::create_dir(folder.path().join("metadata")).unwrap();
    std::fs::write(folder.path().join("metadata/v1.metadata.json"), "{}").unwrap();
    // Something else's, and broken: of a kind that is not asked for it is never opened.
    std::fs::write(day("2026-11-28", "view").join("part-0.parquet"), "PAR1").unwrap();
    let format: Format = "user=user,item=item,time=day,event=kind".parse().unwrap();
    let reader = InteractionReader::new(folder.path(), format);
    assert!(matches!(
        reader.read().as_ref().map_err(Error::kind),
        Err(ErrorKind::Damaged { .. })
    ));
    let bought = reader.clone().only("kind", ["buy"]).read().unwrap();
    let expected = (
        "1".into(),
        "30".into(),
        1_795_824_000.0,
        None,
        Some("buy".into()),
    );
    assert_eq!(rows(&bought), [expected]);
    std::fs::remove_file(day("2026-11-28", "view").join("part-0.parquet")).unwrap();
    let ids: Vec<(String, String)> = rows(&reader.read().unwrap())
        .into_iter()
        .map(|(user, item, ..)| (user, item))
        .collect();
    let expected = [
        ("1", "10"),
        ("2", "18446744073709551615"),
        ("3", "30"),
        ("1", "30"),
    ];
    assert_eq!(
        ids,
        expected.map(|(user, item)| (user.to_owned(), item.to_owned()))
    );
    let detected = InteractionReader::detect(folder.path()).unwrap();
    assert!(
        detected.format().to_string().contains("time=day"),
        "{}",
        detected.format()
    );
}

/// What the guide says of data on several machines: a job writes a folder by shard, and each worker
/// makes a store of its own shard, or one worker of all, without ever having them in memory.
#[test]
fn rows_are_chosen_by_numbers_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    write(&path, &events());
    let reader = InteractionReader::detect(&path).unwrap();
    let times = |reader: InteractionReader| -> Vec<f64> { reader.read().unwrap().times().to_vec() };
    // Times are in seconds, whatever the column's unit; the end of a range is as Rust has it.
    assert_eq!(
        times(reader.clone().within("event_time", 0.5..2.0)),
        [1.5, 0.5]
    );
    assert_eq!(
        times(reader.clone().within("event_time", 0.5..=2.0)),
        [1.5, 2.0, 0.5]
    );
    assert_eq!(
        times(reader.clone().within("event_time", 2.0..)),
        [2.0, 9.0]
    );
    // A column that is not read otherwise; what has no number is not within.
    let cheap = reader.clone().within("price", ..=2.0);
    assert_eq!(times(cheap.clone()), [1.5, 9.0]);
    assert_eq!(times(cheap.only("event_type", ["buy"])), [9.0]);
    assert_eq!(times(reader.clone().within("user_id", 8.0..9.0)), [0.5]);
    let error = reader
        .clone()
        .within("event_type", 0.0..)
        .read()
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Field { line: 1, value, .. } if value == "view"),
        "{error}"
    );
    let error = reader.within("no such", 0.0..).read().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::MissingColumn { .. }),
        "{error}"
    );

    // Dates as texts, and in the names of folders.
    for (name, dates) in [
        ("day=2026-11-27", "2026-01-01"),
        ("day=2026-11-28", "2026-01-02 12:00"),
    ] {
        std::fs::create_dir_all(folder.path().join("log").join(name)).unwrap();
        let rows = batch(vec![
            ("user", column(Int64Array::from(vec![1]))),
            ("item", column(Int64Array::from(vec![2]))),
            ("since", column(StringArray::from(vec![dates]))),
        ]);
        write(
            &folder.path().join("log").join(name).join("part.parquet"),
            &rows,
        );
    }
    let format: Format = "user=user,item=item,time=day".parse().unwrap();
    let log = || InteractionReader::new(folder.path().join("log"), format.clone());
    assert_eq!(
        times(log().within("since", 1_767_300_000.0..)),
        [1_795_824_000.0]
    );
    assert_eq!(
        times(log().within("day", ..1_795_800_000.0)),
        [1_795_737_600.0]
    );
}

#[test]
fn groups_of_rows_beyond_a_range_are_not_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.parquet");
    let rows = |from: i64| {
        batch(vec![
            ("user", column((from..from + 1_000).collect::<Int64Array>())),
            ("item", column((from..from + 1_000).collect::<Int64Array>())),
            ("time", column((from..from + 1_000).collect::<Int64Array>())),
        ])
    };
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), rows(0).schema(), None).unwrap();
    for from in [0, 5_000] {
        writer.write(&rows(from)).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    let reader = InteractionReader::detect(&path).unwrap();
    let whole = reader.read().unwrap();
    assert_eq!(whole.len(), 2_000);
    // The first group's values are gone.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..5_000].fill(0xAB);
    std::fs::write(&path, bytes).unwrap();
    assert!(reader.read().is_err());
    for range in [5_000.0..6_000.0, 4_999.5..1e9, 5_990.0..f64::INFINITY] {
        let some = reader.clone().within("time", range.clone()).read().unwrap();
        let wanted = whole.times().iter().filter(|time| range.contains(time));
        assert!(some.times().iter().eq(wanted), "{range:?}");
    }
    assert!(
        reader
            .clone()
            .within("time", 999.0..5_000.0)
            .read()
            .is_err()
    );
}

#[test]
fn stores_are_made_of_folders_or_of_a_shard() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    for shard in 0..3 {
        let part = folder.path().join(format!("shard={shard}"));
        std::fs::create_dir(&part).unwrap();
        for file in 0..2 {
            let users: Vec<i32> = (0..40).map(|row| 3 * (row % 7) + shard).collect();
            let items: Vec<u64> = (0..40).map(|row| (row * (shard as u64 + 2)) % 11).collect();
            let times: Vec<f64> = (0..40).map(|row| f64::from(40 * file + row)).collect();
            let rows = batch(vec![
                ("user", column(Int32Array::from(users))),
                ("item", column(UInt64Array::from(items))),
                ("time", column(Float64Array::from(times))),
            ]);
            write(&part.join(format!("part-{file}.parquet")), &rows);
        }
    }
    let reader = InteractionReader::detect(folder.path())?;
    let path = folder.path().join("log.store");
    for (reader, users) in [(reader.clone().only("shard", [1]), 7), (reader, 21)] {
        let mut writer = SequenceStore::create(&path, Filters::default())?;
        writer.read(&reader)?;
        let store = writer.finish()?;
        let memory = Dataset::new(reader.read()?, Filters::default())?;
        assert_eq!(store.dataset().users(), users);
        assert_eq!(store.dataset().sequences(), memory.sequences());
        assert_eq!(store.dataset().catalog(), memory.catalog());
        std::fs::remove_file(&path).unwrap();
    }
    Ok(())
}

/// The error of a file with some columns.
fn refused(columns: Vec<(&str, ArrayRef)>, format: &str) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    write(&path, &batch(columns));
    let format: Format = format.parse().unwrap();
    InteractionReader::new(&path, format).read().unwrap_err()
}

#[test]
fn what_is_no_interaction_is_named() {
    let users = || ("user", column(Int64Array::from(vec![1, 2, 3])));
    let items = || ("item", column(Int64Array::from(vec![1, 2, 3])));
    let plain = "user=user,item=item";
    let floats = ("item", column(Float64Array::from(vec![1.0, 2.0, 3.0])));
    let error = refused(vec![users(), floats], plain);
    assert!(
        matches!(error.kind(), ErrorKind::ColumnType { column, found, .. } if column == "item" && found == "Float64"),
        "{error}"
    );
    let lists = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([
        Some([Some(1)]),
        Some([Some(2)]),
        Some([Some(3)]),
    ]);
    let error = refused(
        vec![users(), items(), ("at", column(lists))],
        "user=user,item=item,time=at",
    );
    assert!(
        matches!(error.kind(), ErrorKind::ColumnType { column, .. } if column == "at"),
        "{error}"
    );
    let error = refused(vec![users(), items()], "user=user,item=thing");
    assert!(
        matches!(error.kind(), ErrorKind::MissingColumn { column, .. } if column == "thing"),
        "{error}"
    );
    let error = refused(vec![users(), items()], "user=0,item=1");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::InvalidValue {
                field: "schema",
                ..
            }
        ),
        "{error}"
    );
    let error = refused(vec![users(), items()], "sequences");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::InvalidValue {
                field: "format",
                ..
            }
        ),
        "{error}"
    );
    let texts = (
        "at",
        column(StringArray::from(vec!["2026-11-28", "soon", "2026-11-29"])),
    );
    let error = refused(vec![users(), items(), texts], "user=user,item=item,time=at");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Field {
                line: 2,
                field: "timestamp",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn rows_without_ids_are_errors_or_left_out() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    let items = Int64Array::from(vec![Some(1), Some(2), None, Some(4)]);
    let users = StringArray::from(vec![Some("a"), Some(" "), Some("b"), Some("c")]);
    write(
        &path,
        &batch(vec![("user", column(users)), ("item", column(items))]),
    );
    let format: Format = "user=user,item=item".parse()?;
    let reader = InteractionReader::new(&path, format);
    let error = reader.read().unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Field {
                line: 2,
                field: "user",
                ..
            }
        ),
        "{error}"
    );
    let log = reader.bad_rows(BadRows::Skip).read()?;
    assert_eq!((log.len(), log.skipped_rows()), (2, 2));
    Ok(())
}

#[test]
fn a_file_that_was_cut_short_or_altered_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    write(&path, &events());
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(
            InteractionReader::detect(&path)
                .and_then(|reader| reader.read())
                .is_err(),
            "{length}"
        );
    }
    // Pages whose bytes are others must not bring anything down; rows may be others.
    for place in (4..whole.len()).step_by(3) {
        let mut altered = whole.clone();
        altered[place] ^= 0x55;
        std::fs::write(&path, &altered).unwrap();
        drop(InteractionReader::detect(&path).and_then(|reader| reader.read()));
    }
    let nothing = folder.path().join("empty");
    std::fs::create_dir(&nothing).unwrap();
    let refused = InteractionReader::detect(&nothing).map(drop);
    assert!(matches!(
        refused.as_ref().map_err(Error::kind),
        Err(ErrorKind::EmptyFile { .. })
    ));
}

#[test]
fn rows_of_text_are_not_chosen_by_a_column() {
    let reader = InteractionReader::from_reader(&b"1 2 3\n"[..], Format::Sequences).unwrap();
    let refused = reader.only("kind", ["buy"]).read().unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::InvalidValue { field: "only", .. }
        ),
        "{refused}"
    );
}

/// Rows of user 1, who takes an item each time.
fn at(times: ArrayRef) -> RecordBatch {
    let rows = times.len();
    let items: Vec<i64> = (0..rows as i64).collect();
    batch(vec![
        ("user", column(Int64Array::from(vec![1; rows]))),
        ("item", column(Int64Array::from(items))),
        ("time", times),
    ])
}

#[test]
fn times_of_two_units_or_types_are_refused_by_file_and_row() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let seconds: Vec<i64> = (0..6).map(|row| 1_700_000_000 + row).collect();
    let clock = |unit: i64| seconds.iter().map(|time| time * unit).collect::<Vec<_>>();
    let first = at(column(TimestampMicrosecondArray::from(clock(1_000_000))));
    let milliseconds = || at(column(Int64Array::from(clock(1_000))));
    write(&folder.path().join("a.parquet"), &first);
    write(&folder.path().join("b.parquet"), &milliseconds());
    let reader = InteractionReader::detect(folder.path())?;
    let schema = Schema::names("user", "item").time(Column::name("time"));
    let of_batches = || Interactions::from_arrow([first.clone(), milliseconds()], &schema);
    for refused in [
        reader.read(),
        reader.clone().within("time", 0.0..).read(),
        of_batches(),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::ColumnType { column, found, expected, .. }
                if column == "time" && found == "Int64" && expected.starts_with("Timestamp(")),
            "{refused}"
        );
    }
    let refused = reader.read().unwrap_err().to_string();
    assert!(
        refused.contains("b.parquet: ") && refused.contains("a.parquet"),
        "{refused}"
    );
    // Of one type, but two units: most times are of the first file.
    write(
        &folder.path().join("a.parquet"),
        &at(column(Int64Array::from(seconds.clone()))),
    );
    write(
        &folder.path().join("b.parquet"),
        &milliseconds().slice(0, 3),
    );
    let refused = reader.read().unwrap_err();
    let text = refused.to_string();
    assert!(
        matches!(refused.kind(), ErrorKind::Field { path, line: 1, field: "timestamp", .. }
            if path.ends_with("b.parquet")),
        "{text}"
    );
    assert!(
        text.contains("milliseconds") && text.contains("seconds since 1970"),
        "{text}"
    );
    let log = reader.clone().bad_rows(BadRows::Skip).read()?;
    assert_eq!((log.len(), log.skipped_rows()), (6, 3));
    // Timestamps of any unit are seconds.
    let milliseconds = TimestampMillisecondArray::from(clock(1_000));
    write(&folder.path().join("a.parquet"), &first);
    write(&folder.path().join("b.parquet"), &at(column(milliseconds)));
    assert_eq!(reader.read()?.times()[6..], reader.read()?.times()[..6]);
    Ok(())
}

#[test]
fn a_far_date_is_a_bad_row_and_decides_nothing() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    let times = vec![
        1_700_000_000_000,
        1_700_000_060_000,
        253_402_300_799_000,
        1_700_000_120_000,
    ];
    write(&path, &at(column(TimestampMillisecondArray::from(times))));
    let reader = InteractionReader::detect(&path)?;
    let refused = reader.read().unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::Field {
                line: 3,
                field: "timestamp",
                ..
            }
        ),
        "{refused}"
    );
    let log = reader.bad_rows(BadRows::Skip).read()?;
    assert_eq!((log.len(), log.skipped_rows()), (3, 1));
    assert_eq!(TimeUnit::from_times(log.times()), TimeUnit::Seconds);
    Ok(())
}

#[test]
fn values_in_names_of_folders_are_decoded_and_may_be_missing() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str, rows: &RecordBatch| {
        let folder = folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder.join("part.parquet"), rows);
    };
    let rows = at(column(Int64Array::from(vec![1, 2])));
    part("kind%20of=add%20to%20cart/rating=4.5", &rows);
    part(
        "kind%20of=100%25%zz/rating=__HIVE_DEFAULT_PARTITION__",
        &rows,
    );
    part("kind%20of=__HIVE_DEFAULT_PARTITION__/rating=1", &rows);
    let format: Format = "user=user,item=item,time=time,event=kind of,value=rating".parse()?;
    let reader = InteractionReader::new(folder.path(), format);
    let found: Vec<_> = rows_of(&reader.read()?);
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        (text("100%%zz"), None),
        (None, Some(1.0)),
        (text("add to cart"), Some(4.5)),
    ];
    for (two, expected) in found.chunks(2).zip(&expected) {
        assert_eq!(two, [expected.clone(), expected.clone()]);
    }
    assert_eq!(reader.only("kind of", ["add to cart"]).read()?.len(), 2);

    // A user or an item that is missing is a bad row, as an empty id is.
    for missing in ["__HIVE_DEFAULT_PARTITION__", "NULL"] {
        let folder = tempfile::tempdir().unwrap();
        for user in ["1", missing] {
            let folder = folder.path().join(format!("who={user}"));
            std::fs::create_dir(&folder).unwrap();
            write(&folder.join("part.parquet"), &rows);
        }
        let reader = InteractionReader::new(folder.path(), "user=who,item=item,time=time".parse()?);
        let refused = reader.read().unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::Field {
                    line: 1,
                    field: "user",
                    ..
                }
            ),
            "{refused}"
        );
        let log = reader.bad_rows(BadRows::Skip).read()?;
        assert_eq!(
            (log.len(), log.users().len(), log.skipped_rows()),
            (2, 1, 2)
        );
    }
    Ok(())
}

fn rows_of(log: &Interactions) -> Vec<(Option<String>, Option<f32>)> {
    let rows = rows(log).into_iter();
    rows.map(|(_, _, _, value, event)| (event, value)).collect()
}

#[test]
fn columns_that_only_some_files_have_are_not_passed_over() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let rows = at(column(Int64Array::from(vec![1, 2])));
    write(&folder.path().join("a.parquet"), &rows);
    let ids = || column(Int64Array::from(vec![1, 2]));
    let kinds = column(StringArray::from(vec!["buy", "view"]));
    let columns = vec![
        ("user", ids()),
        ("item", ids()),
        ("time", ids()),
        ("event", kinds),
    ];
    write(&folder.path().join("b.parquet"), &batch(columns));
    let refused = InteractionReader::detect(folder.path())?
        .read()
        .unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::MissingColumn { path, column, .. }
            if column == "event" && path.ends_with("a.parquet")),
        "{refused}"
    );
    let format = "user=user,item=item,time=time".parse()?;
    assert_eq!(
        InteractionReader::new(folder.path(), format).read()?.len(),
        4
    );
    Ok(())
}

#[test]
fn files_are_parquet_by_their_bytes_and_others_are_said() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let rows = at(column(Int64Array::from(vec![1, 2])));
    for name in [
        "000000_0",
        "20231114_000000_00001_abcde",
        "part.parquet",
        "part.snappy",
    ] {
        write(&file(name), &rows);
    }
    std::fs::write(file("_SUCCESS"), "").unwrap();
    std::fs::write(file(".part.parquet.crc"), "crc").unwrap();
    // Hive's of a bucket without rows.
    std::fs::write(file("000001_0"), "").unwrap();
    let reader = InteractionReader::detect(folder.path())?;
    assert_eq!(reader.read()?.len(), 8);
    std::fs::write(file("README.md"), "what it is").unwrap();
    assert_eq!(reader.read()?.len(), 8);
    for name in ["more.csv", "more.JSONL", "more.csv.gz", "000002_0"] {
        std::fs::write(file(name), "user,item,time\n1,2,3\n").unwrap();
        let refused = reader.read().unwrap_err().to_string();
        assert!(
            refused.contains(name) && refused.contains("may be data"),
            "{refused}"
        );
        std::fs::remove_file(file(name)).unwrap();
    }
    let csv = tempfile::tempdir().unwrap();
    std::fs::write(csv.path().join("a.csv"), "user,item,time\n1,2,3\n").unwrap();
    let refused = InteractionReader::detect(csv.path())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("a.csv") && refused.contains("not Parquet"),
        "{refused}"
    );
    Ok(())
}

#[test]
fn blanks_around_names_are_nothing_and_all_columns_are_named() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    let ids = || column(Int64Array::from(vec![1, 2]));
    let columns = vec![
        (" user_id", ids()),
        ("item_id ", ids()),
        ("timestamp", ids()),
        ("x", ids()),
    ];
    write(&path, &batch(columns));
    let reader = InteractionReader::detect(&path)?;
    assert_eq!(reader.read()?.times(), [1.0, 2.0]);
    assert_eq!(reader.within("timestamp", 2.0..).read()?.len(), 1);
    let format = "user=user_id,item=thing,time=timestamp".parse()?;
    let refused = InteractionReader::new(&path, format).read().unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::MissingColumn { header, .. }
            if header[..] == [" user_id", "item_id ", "timestamp", "x"]),
        "{refused}"
    );
    Ok(())
}

#[test]
fn a_column_of_times_is_asked_for_whatever_it_is_called() -> Result<()> {
    let rows = |name: &'static str, times: ArrayRef| {
        let ids = || column(Int64Array::from(vec![1, 2]));
        batch(vec![("user", ids()), ("item", ids()), (name, times)])
    };
    let numbers = || column(Int64Array::from(vec![9, 5]));
    let clock = || column(TimestampMillisecondArray::from(vec![9, 5]));
    let schema = Schema::names("user", "item");
    for rows in [rows("viewed", clock()), rows("timestamp", numbers())] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.parquet");
        write(&path, &rows);
        let read = |schema: Schema| InteractionReader::new(&path, Format::Delimited(schema)).read();
        let of_arrow = |schema: &Schema| Interactions::from_arrow([rows.clone()], schema);
        for refused in [read(schema.clone()), of_arrow(&schema)] {
            assert!(
                matches!(
                    refused.as_ref().map_err(Error::kind),
                    Err(ErrorKind::UncertainColumns { .. })
                ),
                "{refused:?}"
            );
        }
        let in_file_order = schema.clone().in_file_order();
        assert_eq!(read(in_file_order.clone())?.times(), [0.0, 1.0]);
        assert_eq!(of_arrow(&in_file_order)?.times(), [0.0, 1.0]);
    }
    assert_eq!(
        Interactions::from_arrow([rows("place", numbers())], &schema)?.len(),
        2
    );
    Ok(())
}

#[test]
fn rows_of_which_none_is_wanted_and_columns_of_two_roles_are_errors_that_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    write(&path, &events());
    let reader = InteractionReader::detect(&path).unwrap();
    let error = reader.only("event_type", ["Buy"]).read().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NothingLeft { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("\"event_type\" of [\"Buy\"]"));
    let twice = Schema::names("user_id", "product_id").time(Column::name("user_id"));
    for refused in [
        InteractionReader::new(&path, Format::Delimited(twice.clone())).read(),
        Interactions::from_arrow([events()], &twice),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("can't be the user and the time"), "{error}");
    }
}

#[test]
fn items_are_read_by_the_types_of_their_columns() {
    let mut tags =
        arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new());
    tags.append_value([Some("a"), None, Some("b")]);
    tags.append_null();
    tags.append_value([] as [Option<&str>; 0]);
    let batch = batch(vec![
        ("sku", column(Int64Array::from(vec![7, 8, 9]))),
        (
            "title",
            column(StringArray::from(vec![Some("Desk | oak"), None, Some("3")])),
        ),
        ("code", column(StringArray::from(vec!["7", "8", "9"]))),
        ("kinds", column(StringArray::from(vec!["x|y", "x", ""]))),
        (
            "price",
            column(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)])),
        ),
        (
            "brand",
            column(Int64Array::from(vec![1, 9_007_199_254_740_993, 2])),
        ),
        (
            "on",
            column(arrow_array::BooleanArray::from(vec![
                Some(true),
                None,
                Some(false),
            ])),
        ),
        (
            "at",
            column(TimestampMillisecondArray::from(vec![
                Some(1_500),
                None,
                Some(0),
            ])),
        ),
        ("tags", column(tags.finish())),
        (
            "vector",
            column(ListArray::from_iter_primitive::<
                arrow_array::types::Float32Type,
                _,
                _,
            >(vec![Some(vec![Some(1.0)]); 3])),
        ),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("products.parquet");
    write(&path, &batch);
    let items = Items::read(&path, "sku").unwrap();
    use AttributeKind::*;
    let columns: Vec<_> = items.columns().collect();
    assert_eq!(
        columns,
        [
            ("title", Text),
            ("code", Text),
            ("kinds", Tags),
            ("price", Number),
            ("brand", Text),
            ("on", Boolean),
            ("at", Date),
            ("tags", Tags),
        ]
    );
    let [a, b, c] = [7, 8, 9].map(ExternalId::from);
    assert_eq!([items.title(&a), items.title(&b)], ["Desk | oak", "8"]);
    assert_eq!(items.labels(&b, "brand").unwrap(), ["9007199254740993"]);
    assert_eq!(
        [&a, &b, &c].map(|id| items.number(id, "price").unwrap()),
        [Some(1.5), None, None]
    );
    assert_eq!(
        [&a, &b, &c].map(|id| items.number(id, "at").unwrap()),
        [Some(1.5), None, Some(0.0)]
    );
    assert_eq!(
        [&a, &b, &c].map(|id| items.boolean(id, "on").unwrap()),
        [Some(true), None, Some(false)]
    );
    assert_eq!(items.labels(&a, "tags").unwrap(), ["a", "b"]);
    assert_eq!(items.labels(&a, "kinds").unwrap(), ["x", "y"]);
    let error = items.labels(&a, "vector").unwrap_err().to_string();
    assert!(error.contains("\"vector\" holds List"), "{error}");
    let said = |kind| ItemReader::new(&path, "sku").kind("price", kind).read();
    assert!(said(Number).is_ok());
    let error = said(Boolean).unwrap_err().to_string();
    assert!(
        error.contains("\"price\" holds numbers, expected true or false"),
        "{error}"
    );
    let error = Items::read(&path, "id").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::MissingColumn { header, .. } if header.len() == 10),
        "{error}"
    );
    // Ids of a folder's files must differ, too.
    write(&folder.path().join("more.parquet"), &batch);
    let error = Items::read(folder.path(), "sku").unwrap_err().to_string();
    assert!(
        error.contains(":4: sku is \"7\", expected an id that no other row has, and line 1 does"),
        "{error}"
    );
}
