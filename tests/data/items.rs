//! Tables of items: what is read of a file, what is refused, and what a catalog makes of it.

use std::path::PathBuf;

use seqrec::channels::PopularityConfig;
use seqrec::data::{
    AttributeKind, Catalog, Dataset, ExternalId, Filters, Interaction, Interactions, ItemReader,
    Items, Protocol, Split, movielens,
};
use seqrec::model::{Gru4RecConfig, RecallerConfig};
use seqrec::prelude::{FlatIndex, Flex, RecallRequest, Retriever, VectorChannel, item_vectors};
use seqrec::recall::RecallChannel;
use seqrec::{ErrorKind, Result};

/// A file in a folder that is gone with it.
struct Written(
    #[allow(dead_code, reason = "it is dropped")] tempfile::TempDir,
    PathBuf,
);

fn write(name: &str, contents: impl AsRef<[u8]>) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, contents).unwrap();
    Written(folder, path)
}

fn read(contents: impl AsRef<[u8]>) -> Result<Items> {
    Items::read(write("products.csv", contents).1, "sku")
}

const PRODUCTS: &str = "\
sku,title,tags,category,price,in_stock,released,zip
7,\"Oak desk, large\",wood|office,desks,129.5,yes,2026-11-28,00501
8,Desk lamp,office,lamps,,no,2026-01-02 10:30,90210
pen,\"A \"\"pen\"\"\",,,0.5,,,
";

#[test]
fn columns_are_what_their_values_are() {
    use AttributeKind::*;
    let items = read(PRODUCTS).unwrap();
    let columns: Vec<_> = items.columns().collect();
    assert_eq!(
        columns,
        [
            ("title", Text),
            ("tags", Tags),
            ("category", Text),
            ("price", Number),
            ("in_stock", Boolean),
            ("released", Date),
            // A number would lose the zeros.
            ("zip", Text),
        ]
    );
    let ids: Vec<String> = items.ids().map(ToString::to_string).collect();
    assert_eq!(ids, ["7", "8", "pen"]);
    let [desk, lamp, pen] = [7.into(), 8.into(), ExternalId::from("pen")];
    assert_eq!(items.title(&desk), "Oak desk, large");
    assert_eq!(items.title(&pen), "A \"pen\"");
    assert_eq!(items.title(&9.into()), "9");
    assert_eq!(items.labels(&desk, "tags").unwrap(), ["wood", "office"]);
    assert_eq!(items.labels(&pen, "category").unwrap(), [""; 0]);
    assert_eq!(items.labels(&desk, "zip").unwrap(), ["00501"]);
    assert_eq!(items.number(&desk, "price").unwrap(), Some(129.5));
    assert_eq!(items.number(&lamp, "price").unwrap(), None);
    assert_eq!(
        items.number(&lamp, "released").unwrap(),
        Some(1_767_349_800.0)
    );
    let in_stock = [&desk, &lamp, &pen].map(|id| items.boolean(id, "in_stock").unwrap());
    assert_eq!(in_stock, [Some(true), Some(false), None]);
    let error = items.number(&desk, "title").unwrap_err().to_string();
    assert!(
        error.contains("\"title\" holds text, expected numbers"),
        "{error}"
    );
    let error = items.labels(&desk, "colour").unwrap_err().to_string();
    assert!(
        error.contains("no column \"colour\"; its header is [\"title\", \"tags\""),
        "{error}"
    );
}

#[test]
fn files_of_any_delimiter_and_of_recbole_are_read() {
    let plain = "sku;name;price\n1;Pen;1.5\n2;Desk;99\n";
    for (delimiter, name) in [
        (";", "a.csv"),
        ("\t", "a.tsv"),
        ("::", "a.dat"),
        ("|", "a.txt"),
    ] {
        let file = write(name, plain.replace(';', delimiter));
        let items = Items::read(file.1, "sku").unwrap();
        assert_eq!(items.title(&2.into()), "Desk", "{delimiter:?}");
        assert_eq!(items.number(&1.into(), "price").unwrap(), Some(1.5));
    }
    // Windows' ends of lines, a mark of the byte order, blank lines, no end of the last line.
    let windows = format!("\u{feff}{}\r\n", plain.trim_end().replace('\n', "\r\n\r\n"));
    assert_eq!(read(windows.trim_end()).unwrap().title(&2.into()), "Desk");
    let recbole = "item_id:token\tmovie_title:token_seq\tyear:token\tclass:token_seq\tscore:float\n\
                   1\tToy Story\t1995\tAnimation Comedy\t3\n";
    for id in ["item_id", "item_id:token"] {
        let file = write("ml.item", recbole);
        let items = Items::read(file.1, id).unwrap();
        assert_eq!(items.title(&1.into()), "Toy Story");
        assert_eq!(
            items.labels(&1.into(), "class").unwrap(),
            ["Animation", "Comedy"]
        );
        assert_eq!(items.number(&1.into(), "year").unwrap(), Some(1995.0));
    }
    let ids = read("sku\n1\n2\n").unwrap();
    assert_eq!((ids.len(), ids.columns().len()), (2, 0));
}

#[test]
fn what_is_said_of_a_column_holds() {
    let file = write(
        "p.csv",
        "id,what,labels,ean,on\n1,Pen,\"a, b\",12,1\n2,?,c,7,0\n",
    );
    let reader = ItemReader::new(&file.1, "id")
        .title("what")
        .tags("labels", ",")
        .kind("ean", AttributeKind::Text)
        .kind("on", AttributeKind::Boolean)
        .missing("?");
    let items = reader.read().unwrap();
    assert_eq!(
        [items.title(&1.into()), items.title(&2.into())],
        ["Pen", "2"]
    );
    assert_eq!(items.labels(&1.into(), "labels").unwrap(), ["a", "b"]);
    assert_eq!(items.labels(&2.into(), "ean").unwrap(), ["7"]);
    assert_eq!(items.boolean(&2.into(), "on").unwrap(), Some(false));
    let headless = write("q.csv", "1,Pen\n2,Desk\n");
    let items = ItemReader::new(headless.1, "id").columns(["id", "title"]);
    assert_eq!(items.read().unwrap().title(&2.into()), "Desk");

    let said = reader.clone().kind("what", AttributeKind::Number).read();
    let message = said.unwrap_err().to_string();
    assert!(
        message.ends_with("p.csv:2: what is \"Pen\", expected a finite number such as 3.5"),
        "{message}"
    );
    let message = reader
        .kind("price", AttributeKind::Number)
        .read()
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("no column \"price\"; its header is [\"id\", \"what\""),
        "{message}"
    );
}

#[test]
fn rows_that_cannot_be_meant_are_errors_with_their_place() {
    let long = format!(
        "sku,title\n{}7,again\n",
        (0..40_000)
            .map(|n| format!("x{n},{n}\n"))
            .collect::<String>()
    );
    for (contents, expected) in [
        (
            "sku,title\n7,a\n8,b\n7,c\n",
            ":4: sku is \"7\", expected an id that no other row has, and line 2 does",
        ),
        // A quoted id is the same id.
        (
            "sku,title\n7,a\n\"7\",c\n",
            ":3: sku is \"7\", expected an id that no other row has, and line 2 does",
        ),
        ("sku,title\n,a\n", ":2: sku is \"\", expected an id"),
        ("sku,title\nNULL,a\n", ":2: sku is \"\", expected an id"),
        ("sku,title\n1,a,b\n", ":2: expected 2 columns, found 3"),
        ("sku,title\n1\n", ":2: expected 2 columns, found 1"),
        (
            "sku,title\n1,\"a\nb\n",
            ":2: a quote opens here that is never closed",
        ),
        (
            "sku,title\n1,\"a\n2,b\"\n",
            ":2: a quote opens here that is closed in line 3",
        ),
        (
            "sku,title\n1,\"a\" b\n",
            ":2: a quote opens here, and the field goes on",
        ),
        (
            "sku,title\n1,a\r2,b\n",
            ":2: there are carriage returns inside of the line",
        ),
        (
            "id,title\n1,a\n",
            "no column \"sku\"; its header is [\"id\", \"title\"]",
        ),
        (
            "SKU;title\n1;a\n",
            "no column \"sku\"; its header is [\"SKU\", \"title\"]",
        ),
        ("sku,a,a\n1,2,3\n", "2 columns of"),
        ("sku,title\n", "holds no rows"),
        ("", "no column \"sku\""),
    ] {
        let message = read(contents).unwrap_err().to_string();
        assert!(message.contains(expected), "{contents:?}: {message}");
    }
    let message = read(b"sku,title\n1,\xff\n").unwrap_err().to_string();
    assert!(message.ends_with(":2: not valid UTF-8"), "{message}");
    assert_eq!(read(&long[..long.len() - 8]).unwrap().len(), 40_000);
    let twice = long.replace("7,again", "x7,again");
    let message = read(twice).unwrap_err().to_string();
    assert!(
        message.contains(":40002: sku is \"x7\"") && message.ends_with("line 9 does"),
        "{message}"
    );
    let missing = Items::read("nowhere.csv", "sku").unwrap_err();
    assert!(matches!(missing.kind(), ErrorKind::Io { .. }), "{missing}");
    // A caller may say that such a text is one field.
    let lines = write("p.csv", "sku,title\n1,\"a\n2,b\"\n");
    let items = ItemReader::new(lines.1, "sku").quotes(true).read().unwrap();
    assert_eq!(items.title(&1.into()), "a\n2,b");
    let blocks = format!(
        "sku,text\n{}",
        (0..60_000)
            .map(|n| format!("{n},\"a line,\nand {n} more \"\"of\"\" it\"\n"))
            .collect::<String>()
    );
    assert!(blocks.len() > 2 << 20);
    let items = read(blocks).unwrap();
    assert_eq!(
        items.labels(&59_999.into(), "text").unwrap(),
        ["a line,\nand 59999 more \"of\" it"]
    );
}

fn catalog(ids: &[&str]) -> Catalog {
    Catalog::from_ids(ids.iter().map(|&id| id.into())).unwrap()
}

#[test]
fn ids_that_are_spelled_in_two_ways_are_refused() {
    let items = |ids: &[&str]| {
        let rows: String = ids.iter().map(|id| format!("{id},x\n")).collect();
        read(format!("sku,tag\n{rows}")).unwrap()
    };
    let refused =
        |table: &Items, of: &Catalog| table.tag_features(of, "tag").unwrap_err().to_string();
    for (table, known, expected) in [
        (["007", "8"], ["7", "8"], "an item's id is 007 in"),
        (["7.0", "8"], ["7", "8"], "an item's id is 7.0 in"),
        (["'a'", "b"], ["a", "b"], "an item's id is 'a' in"),
        (["AB", "b"], ["ab", "b"], "an item's id is AB in"),
        (
            ["c", "d"],
            ["a", "b"],
            "none of the catalog's 2 items is among them: it has ids such as a, b",
        ),
    ] {
        let message = refused(&items(&table), &catalog(&known));
        assert!(message.contains(expected), "{message}");
    }
    // Both spellings in both are two items, and what the table lacks has no attributes.
    let both = items(&["7", "007"]);
    let features = both
        .tag_features(&catalog(&["007", "7", "new"]), "tag")
        .unwrap();
    assert_eq!(features.values().column(0).to_vec(), [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn items_that_nobody_took_are_in_the_catalog() {
    let log: Interactions = [
        ("u", "a"),
        ("u", "b"),
        ("u", "a"),
        ("v", "b"),
        ("v", "a"),
        ("v", "b"),
    ]
    .iter()
    .enumerate()
    .map(|(time, &(user, item))| Interaction::new(user, item, time as f64))
    .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let items = Items::new(["new", "b", "newer", "a"]).unwrap();
    let extended = dataset.clone().with_items(&items).unwrap();
    let ids: Vec<String> = extended.catalog().ids().map(ToString::to_string).collect();
    assert_eq!(ids, ["a", "b", "new", "newer"]);
    assert_eq!(extended.catalog().counts(), [0, 3, 3, 0, 0]);
    assert!(extended.catalog().continues(dataset.catalog()));
    let split = Split::new(&extended, Protocol::LeaveOneOut).unwrap();
    assert_eq!(split.catalog().len(), 4);

    // A model has vectors for them, and its channel recalls them; popularity knows nothing of them.
    let model = Gru4RecConfig::new().with_dim(8);
    let model = model
        .init::<Flex>(split.catalog().len(), 1, &Default::default())
        .unwrap();
    let index = FlatIndex::new(&item_vectors(&model)).unwrap();
    let channel = VectorChannel::from_model(model, index);
    let retriever = Retriever::new(channel, split.catalog().clone()).unwrap();
    let request = RecallRequest::for_history(["a", "b"], 9);
    let recalled = retriever.recall_for(&request).unwrap();
    let mut ids: Vec<String> = recalled
        .items
        .iter()
        .map(|item| item.id.to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["new", "newer"]);
    PopularityConfig::new()
        .fit(&split.train)
        .unwrap()
        .check_catalog(split.catalog())
        .unwrap();

    let others = Items::new(["x"]).unwrap();
    assert!(dataset.with_items(&others).is_err());
}

#[test]
fn tables_in_memory_are_checked() {
    let table = || Items::new(["a", "b"]).unwrap();
    assert!(Items::new(["a", "a"]).is_err() && Items::new([" "]).is_err());
    assert!(table().with_numbers("n", [Some(1.0)]).is_err());
    assert!(
        table()
            .with_numbers("n", [Some(1.0), Some(f64::NAN)])
            .is_err()
    );
    assert!(table().with_texts("", [Some("x"), None]).is_err());
    let items = table().with_texts("name", [Some("A"), None]).unwrap();
    assert!(items.clone().with_booleans("name", [None, None]).is_err());
    assert_eq!(
        [items.title(&"a".into()), items.title(&"b".into())],
        ["A", "b"]
    );
    // A title comes before a name.
    let items = items.with_texts("Title", [None, Some("B")]).unwrap();
    assert_eq!(
        [items.title(&"a".into()), items.title(&"b".into())],
        ["a", "B"]
    );
}

#[test]
fn movies_of_each_edition_are_a_table() {
    let u_item = b"1|L\xe9on (1994)|01-Jan-1994||http|0|1|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0\n";
    let csv =
        "movieId,title,genres\n1,\"L\u{e9}on (1994)\",Action|Crime\n2,Heat,(no genres listed)\n";
    let files: [(&str, &[u8]); 3] = [
        ("movies.csv", csv.as_bytes()),
        ("movies.dat", b"1::L\xe9on (1994)::Action|Crime\n"),
        ("u.item", u_item),
    ];
    for (name, contents) in files {
        let file = write(name, contents);
        let movies = movielens::movies(file.1.with_file_name("ratings"))
            .unwrap()
            .unwrap();
        assert_eq!(movies.title(&1.into()), "L\u{e9}on (1994)", "{name}");
        assert_eq!(
            movies.labels(&1.into(), "genres").unwrap(),
            ["Action", "Crime"],
            "{name}"
        );
        assert_eq!(
            movies.labels(&2.into(), "genres").unwrap(),
            [""; 0],
            "{name}"
        );
    }
    let other = write("movies.csv", "my favorites\nLeon\n");
    assert!(movielens::movies(&other.1).is_err());
    let nothing = write("other.txt", "");
    assert!(movielens::movies(&nothing.1).unwrap().is_none());
}

/// What a table says of users is standardized once, and a request gives it as the table does.
#[test]
fn users_of_a_table_have_features_that_requests_give_as_they_are() {
    let log: Interactions = (1..=5)
        .map(|user| Interaction::new(user, user % 2, 0.0))
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let ages = [Some(20.0), Some(40.0), None, Some(60.0)];
    let users = Items::new([1, 2, 3, 4])
        .unwrap()
        .with_numbers("age", ages)
        .unwrap();
    let users = users
        .with_texts("country", [Some("is"), None, Some("no"), Some("is")])
        .unwrap();
    let known = dataset
        .clone()
        .with_users(&users, &["country", "age"])
        .unwrap();
    let names = known.catalog().user_features();
    assert_eq!(names, ["country=is", "country=no", "age", "age is missing"]);
    let data = known.training_data();
    let rows: Vec<&[f32]> = (0..5)
        .map(|user| data.sequences().history(user).features())
        .collect();
    let scale = 1.5f32.sqrt();
    let expected = [
        [1.0, 0.0, -scale, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 1.0],
        [1.0, 0.0, scale, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(
            row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{rows:?}"
        );
    }
    for (columns, said) in [
        (&["age", "age"][..], "is named twice"),
        (&["height"], "height"),
    ] {
        let refused = dataset
            .clone()
            .with_users(&users, columns)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(said), "{refused}");
    }
    let strangers = Items::new(["x"])
        .unwrap()
        .with_numbers("age", [Some(1.0)])
        .unwrap();
    let refused = dataset
        .with_users(&strangers, &["age"])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("none of the data's 5 users") && refused.contains('x'),
        "{refused}"
    );
}
