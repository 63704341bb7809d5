//! A shop's three files through the program: training, tuning, evaluation, a list with a filter,
//! and a service that takes a new product and a dislike.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const READ: &str = "events.csv --format user=visitor,item=sku,time=at,event=kind,value=price";
const RULES: &str = "buy=target*2, view*0.5, dislike=negative, error=ignored";
const FEATURES: &str = "--items products.csv --item-id sku --features kind,price \
                        --user-table users.csv --user-id visitor --user-features age,country";
const MODEL: &str = "--model sasrec --dim 8 --epochs 2 --protocol leave-one-out";

/// Visitors walk through a kind of products from where they began, look at others on the way, and
/// don't want what ends in 9.
fn files(folder: &Path) {
    let mut events = String::from("visitor,sku,at,kind,price\n");
    let (mut products, mut users) = (String::from("sku,title,kind,price\n"), String::new());
    users.push_str("visitor,age,country\n");
    for visitor in 0..60u32 {
        writeln!(
            users,
            "v{visitor},{},{}",
            20 + visitor,
            ["is", "no"][visitor as usize % 2]
        )
        .unwrap();
        for step in 0..12u32 {
            let (sku, at) = (
                (visitor * 7 + step) % 60,
                1_700_000_000 + visitor * 1_000 + step * 60,
            );
            let seen = (sku * 11 + 5) % 60;
            writeln!(events, "v{visitor},P{seen:02},{},view,", at - 20).unwrap();
            let kind = if sku % 10 == 9 { "dislike" } else { "buy" };
            writeln!(events, "v{visitor},P{sku:02},{at},{kind},{}", sku * 2).unwrap();
        }
        writeln!(events, "v{visitor},P00,1700100000,error,").unwrap();
    }
    for sku in 0..60 {
        let kind = ["desk", "lamp", "chair"][sku / 20];
        writeln!(products, "P{sku:02},Product {sku},{kind},{}", sku * 2).unwrap();
    }
    for (name, text) in [("events", events), ("products", products), ("users", users)] {
        std::fs::write(folder.join(name).with_extension("csv"), text).unwrap();
    }
}

fn command(folder: &Path, arguments: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seqrec"));
    command.args(arguments.split_whitespace()).args(more);
    command.current_dir(folder);
    command
}

/// What a call says: its output, and what it says beside.
fn said(folder: &Path, arguments: &str, more: &[&str]) -> (bool, String, String) {
    let output = command(folder, arguments, more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[track_caller]
fn ok(folder: &Path, arguments: &str, more: &[&str]) -> String {
    let (is_ok, out, beside) = said(folder, arguments, more);
    assert!(is_ok, "{arguments}: {beside}");
    out
}

/// A service, which ends with the test.
struct Served(Child, String);

impl Served {
    fn new(folder: &Path) -> Self {
        let arguments = "serve run --items products.csv --item-id sku --address 127.0.0.1:0";
        let mut child = command(folder, arguments, &[])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut beside = BufReader::new(child.stderr.take().unwrap());
        while !line.contains("http://") {
            line.clear();
            assert!(
                beside.read_line(&mut line).unwrap() > 0,
                "it says no address"
            );
        }
        let address = line.split("http://").nth(1).unwrap();
        let address = address.split(',').next().unwrap().trim().to_owned();
        Self(child, address)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("http://{}{path}", self.1);
        let mut answer = ureq::post(url).send(body.to_string()).unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    fn recalled(&self, request: &Value) -> Vec<String> {
        let answer = self.post("/recall", request);
        let items = answer["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_shops_files_are_trained_on_tuned_evaluated_and_served() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    files(folder);
    let rules = ["--behaviors", RULES];
    let tuned = ok(
        folder,
        &format!(
            "tune {READ} {FEATURES} --model sasrec --trials 2 --epochs 1 --protocol leave-one-out --out tuned"
        ),
        &rules,
    );
    for flag in [
        "--behaviors 'buy=target*2, view=history*0.5",
        "--user-table users.csv",
        "\"user_features\":3",
    ] {
        assert!(tuned.contains(flag), "{flag}: {tuned}");
    }
    ok(
        folder,
        &format!("train {READ} {FEATURES} {MODEL} --out run"),
        &rules,
    );
    // As it was trained, without a word of rules.
    let arguments = format!("--json evaluate run {READ} {FEATURES}");
    let figures: Value = serde_json::from_str(&ok(folder, &arguments, &[])).unwrap();
    assert_eq!(figures["users"], 60, "{figures}");
    let cheap = ok(
        folder,
        "--json recall run --user v7 -k 5 --items products.csv --item-id sku --filter",
        &["price < 40"],
    );
    for line in cheap.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(!line.to_string().contains("\"P2"), "{line}");
    }

    let served = Served::new(folder);
    let of_user = json!({"user": "v7", "k": 60, "filter": "price < 40"});
    let before = served.recalled(&of_user);
    let unwanted = before[0].clone();
    let events = json!({"events": [
        {"user": "v7", "item": unwanted, "event": "dislike"},
        {"user": "v7", "item": before[1], "event": "view"},
        {"user": "v7", "item": before[2], "event": "error"},
    ]});
    let taken = served.post("/events", &events);
    assert_eq!(
        (&taken["accepted"], &taken["ignored"]),
        (&json!(2), &json!(1)),
        "{taken}"
    );
    let after = served.recalled(&of_user);
    assert!(
        !after.contains(&unwanted) && after.contains(&before[1]),
        "{after:?}"
    );

    let new =
        json!({"items": [{"id": "NEW", "title": "A new lamp", "kind": "lamp", "price": 12.0}]});
    let added = served.post("/items", &new);
    assert_eq!(added["added"], 1, "{added}");
    assert!(served.recalled(&of_user).contains(&"NEW".to_owned()));
    let of_anyone = json!({"history": [{"item": "NEW", "event": "buy", "value": 12}], "k": 3,
        "features": {"age": 33, "country=is": 1}});
    assert_eq!(served.recalled(&of_anyone).len(), 3);
}

#[test]
fn what_is_wrong_with_rules_and_tables_is_said_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    files(folder);
    for (rules, more, expected) in [
        (
            "buy=target",
            "",
            "no rule of \"buy=target\" names them; there are",
        ),
        ("buy=goal, *", "", "target, history, negative or ignored"),
        ("buy=target, *, view", "", "falls under *=history before it"),
        (
            RULES,
            "--user-table users.csv --user-id visitor --user-features height",
            "height",
        ),
        (
            RULES,
            "--user-table products.csv --user-id sku --user-features price",
            "none of the data's 60 users",
        ),
        (
            RULES,
            "--user-table users.csv --user-id visitor --user-features age --model item2vec",
            "user_features",
        ),
    ] {
        let arguments = format!("train {READ} {more} --epochs 1 --out wrong");
        let (is_ok, _, beside) = said(folder, &arguments, &["--behaviors", rules]);
        assert!(
            !is_ok && beside.contains(expected),
            "{rules} {more}: {beside}"
        );
    }
}
