//! Vectors come out of indexes as they went in, and are read by other programs' readers.

use std::fs::File;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use ndarray::{Array2, ArrayView2, array, s};
use ndarray_npy::ReadNpyExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use seqrec::data::{Catalog, ExternalId, ItemIndex};
use seqrec::index::{
    AnyIndex, FlatIndex, HnswConfig, HnswIndex, Precision, UpdatableIndex, VectorIndex,
};
use seqrec::store::VectorTable;
use seqrec::{Error, ErrorKind, ndarray};

/// As many items as fill a panel and a half, of an odd size.
fn vectors() -> Array2<f32> {
    let value =
        |(row, column): (usize, usize)| ((row * 31 + column * 17) % 101) as f32 / 50.0 - 1.0;
    let mut vectors = Array2::from_shape_fn((98, 7), value);
    vectors.row_mut(0).fill(0.0);
    vectors
}

fn check<I: UpdatableIndex>(index: &I, vectors: ArrayView2<'_, f32>, error: f32) {
    let (seven, last, new) = (ItemIndex::new(7), ItemIndex::new(97), ItemIndex::new(98));
    let close = |item: ItemIndex, expected: &[f32]| {
        let vector = index.vector(item).unwrap();
        assert_eq!(vector.len(), expected.len());
        for (found, expected) in vector.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= error,
                "{item}: {found}, {expected}"
            );
        }
    };
    for item in (1..98).map(ItemIndex::new) {
        close(item, &vectors.row(item.to_usize()).to_vec());
    }
    let moved = [0.5, -0.25, 0.0, 1.0, -1.0, 0.75, 0.125];
    index.replace(seven, &moved).unwrap();
    close(seven, &moved);
    index.add(new, &moved).unwrap();
    close(new, &moved);
    index.remove(last).unwrap();
    for missing in [ItemIndex::new(0), last, ItemIndex::new(99)] {
        let error = index.vector(missing).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UnknownItem { item } if *item == missing),
            "{error}"
        );
    }
}

#[test]
fn indexes_give_back_what_they_keep() {
    let vectors = vectors();
    for (precision, error) in [
        (Precision::F32, 0.0),
        (Precision::F16, 1e-3),
        (Precision::Int8, 1.0 / 127.0),
    ] {
        let flat = FlatIndex::with_precision(vectors.view(), precision).unwrap();
        check(&flat, vectors.view(), error);
        let config = HnswConfig::new().with_precision(precision);
        check(
            &HnswIndex::new(vectors.view(), &config).unwrap(),
            vectors.view(),
            error,
        );
    }
}

#[test]
fn tables_of_indexes_are_those_of_their_items() {
    let vectors = vectors();
    let catalog = Catalog::from_ids((1..98).map(ExternalId::from)).unwrap();
    let all = VectorTable::from_items(&catalog, vectors.view()).unwrap();
    assert_eq!(all.vectors(), vectors.slice(s![1.., ..]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    graph.save(&path, catalog.fingerprint()).unwrap();
    let opened = AnyIndex::open(&path, catalog.fingerprint()).unwrap();
    assert_eq!(VectorTable::from_index(&catalog, &opened).unwrap(), all);
    graph.remove(ItemIndex::new(2)).unwrap();
    let fewer = VectorTable::from_index(&catalog, &graph).unwrap();
    assert_eq!((fewer.ids().len(), fewer.ids()[1].clone()), (96, 3.into()));
    assert_eq!(fewer.vectors().row(1), vectors.row(3));
    assert_eq!(graph.len(), 96);
}

#[test]
fn others_read_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (npy, ids) = (
        folder.path().join("items.npy"),
        folder.path().join("items.json"),
    );
    let file = folder.path().join("items.parquet");
    let vectors = array![[1.0, -2.0, 0.5], [0.0, f32::MIN_POSITIVE, 3.25]];
    for (texts, id) in [
        (true, ExternalId::from("a \"lamp\"\nof tin")),
        (false, ExternalId::from(7)),
    ] {
        let table = VectorTable::new(vec![id.clone(), 42.into()], vectors.clone()).unwrap();
        table.save_npy(&npy, &ids).unwrap();
        assert_eq!(
            Array2::<f32>::read_npy(File::open(&npy).unwrap()).unwrap(),
            vectors
        );
        let read: Vec<ExternalId> = serde_json::from_slice(&std::fs::read(&ids).unwrap()).unwrap();
        assert_eq!(read, table.ids());

        table.save_parquet(&file).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap()).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        let column = batch.column_by_name("id").unwrap();
        if texts {
            let column = column.as_string::<i32>();
            assert_eq!(
                [column.value(0), column.value(1)],
                ["a \"lamp\"\nof tin", "42"]
            );
        } else {
            assert_eq!(column.as_primitive::<Int64Type>().values(), &[7, 42]);
        }
        let column = batch.column_by_name("vector").unwrap().as_fixed_size_list();
        assert_eq!(column.value_length(), 3);
        let values = column.values().as_primitive::<Float32Type>();
        assert_eq!(
            values.values().to_vec(),
            vectors.iter().copied().collect::<Vec<f32>>()
        );
    }
    // What was written aside is gone, and a failed write leaves what was there.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    let error = VectorTable::new(vec![1.into()], vectors).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Shape {
                expected: 2,
                found: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn only_tables_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let table = VectorTable::new(vec![1.into(), 2.into()], array![[1.0], [2.0]]).unwrap();
    let longer = VectorTable::new(vec![7.into()], array![[1.0, 3.0]]).unwrap();
    for table in [&table, &longer, &table] {
        table
            .save_npy(path("items.npy"), path("items.json"))
            .unwrap();
        table.save_parquet(path("items.parquet")).unwrap();
    }
    // Vectors of another program, and ids that are of no vectors.
    let write = |name: &str, contents: &[u8]| std::fs::write(path(name), contents).unwrap();
    let npy = std::fs::read(path("items.npy")).unwrap();
    write("mine.npy", &npy);
    write("mine.json", b"[1, 2, 3]");
    write("mine.csv", b"user,item");
    let mine = File::create(path("mine.parquet")).unwrap();
    let batch = arrow_array::RecordBatch::try_from_iter([(
        "id",
        std::sync::Arc::new(arrow_array::Int64Array::from(vec![1])) as arrow_array::ArrayRef,
    )]);
    let batch = batch.unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(mine, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let before = std::fs::read(path("mine.parquet")).unwrap();
    for refused in [
        table.save_npy(path("mine.npy"), path("new.json")),
        table.save_npy(path("mine.npy"), path("mine.json")),
        table.save_npy(path("new.npy"), path("mine.json")),
        table.save_npy(path("new.npy"), path("mine.csv")),
        table.save_parquet(path("mine.parquet")),
        table.save_parquet(path("mine.csv")),
        FlatIndex::new(vectors().view())
            .unwrap()
            .save(path("mine.csv"), 1),
    ] {
        assert!(
            matches!(
                refused.as_ref().map_err(Error::kind),
                Err(ErrorKind::NotOurs { .. })
            ),
            "{refused:?}"
        );
    }
    assert_eq!(std::fs::read(path("mine.npy")).unwrap(), npy);
    assert_eq!(std::fs::read(path("mine.parquet")).unwrap(), before);
    assert_eq!(std::fs::read(path("mine.csv")).unwrap(), b"user,item");
    assert!(!path("new.npy").exists() && !path("new.json").exists());
    // What an output folder holds is the program's own.
    let out = seqrec::OutputFolder::open(path("out"), "test").unwrap();
    out.write("items.npy", "x").unwrap();
    table
        .save_npy(out.join("items.npy"), out.join("items.json"))
        .unwrap();
}
