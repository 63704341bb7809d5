//! The program as a person uses it: from a log with columns of its own to what is recalled.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with a log and a table of products, in which the program is run.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, mut products) = (String::from("visitor;sku;at\n"), String::new());
        for visitor in 0..60 {
            for step in 0..12 {
                // Visitors walk on from where they began, so that order says what comes next.
                let sku = (visitor * 5 + step) % 60;
                let at = 1_700_000_000 + visitor * 1_000 + step * 60;
                writeln!(log, "v{visitor};P{sku:03};{at}").unwrap();
            }
        }
        products.push_str("sku,title,price,in_stock\n");
        for sku in 0..60 {
            writeln!(
                products,
                "P{sku:03},Product {sku},{},{}",
                sku * 2,
                ["yes", "no"][sku % 2]
            )
            .unwrap();
        }
        std::fs::write(folder.path().join("clicks.csv"), log).unwrap();
        std::fs::write(folder.path().join("products.csv"), products).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_seqrec"))
            .args(
                arguments
                    .split_whitespace()
                    .map(|argument| argument.replace('~', " ")),
            )
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Standard output of a call that goes well.
    #[track_caller]
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is said of a call that goes wrong, with its exit code.
    #[track_caller]
    fn fails(&self, arguments: &str) -> (i32, String) {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments}");
        assert!(!errors.contains("panicked"), "{errors}");
        (output.status.code().unwrap(), errors)
    }

    /// The lines of JSON of a call.
    #[track_caller]
    fn json(&self, arguments: &str) -> Vec<Value> {
        let lines = self.ok(arguments);
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}

const TRAIN: &str = "train clicks.csv --format user=visitor,item=sku,time=at,delimiter=; \
                     --protocol leave-one-out --epochs 2 --dim 8 --k 5 --out run";

#[test]
fn from_a_log_to_recall_for_everyone() {
    let desk = Desk::new();
    let trained = desk.json(&format!("--json {TRAIN} --channels markov,item_cf"));
    assert!(
        trained.iter().all(|line| line["recall@5"].is_number()),
        "{trained:?}"
    );
    for name in [
        "log.csv",
        "report.json",
        "training.svg",
        "items.svg",
        "run/run.json",
    ] {
        assert!(desk.path("run").join(name).is_file(), "{name}");
    }

    let format = "--format user=visitor,item=sku,time=at,delimiter=;";
    let evaluated = desk.json(&format!("--json evaluate run clicks.csv {format} --k 5"));
    // The same as training said of the same split.
    let left_out = trained
        .iter()
        .find(|line| line["exclude_seen"] == true)
        .unwrap();
    assert_eq!(evaluated[0]["recall@5"], left_out["recall@5"]);

    let all = desk.ok("recall run --all -k 3 --out recalled.csv");
    assert_eq!(all, "");
    let recalled = std::fs::read_to_string(desk.path("recalled.csv")).unwrap();
    assert_eq!(recalled.lines().count(), 1 + 60 * 3);
    assert!(
        recalled.starts_with("user,item,rank,score,reason\n"),
        "{recalled}"
    );
    desk.ok("recall run --all -k 3 --out recalled.parquet");

    let filter = "--items products.csv --item-id sku --filter in_stock~and~price~<~20";
    let lines = desk.json(&format!("--json recall run --user v3,v4 -k 4 {filter}"));
    assert_eq!(lines.len(), 2);
    for line in &lines {
        let items = line["recalled"]["items"].as_array().unwrap();
        assert!(!items.is_empty());
        for item in items {
            let id: usize = item["id"].as_str().unwrap()[1..].parse().unwrap();
            assert!(id.is_multiple_of(2) && id < 10, "{item}");
        }
    }
    let text = desk.ok("recall run --history P001,P002 -k 2 --items products.csv --item-id sku");
    assert!(text.contains("Product "), "{text}");

    desk.ok("export run --queries 10 --k 5 --out vectors");
    for name in [
        "items.npy",
        "items.json",
        "items.parquet",
        "items.index",
        "truth.u32",
    ] {
        assert!(desk.path("vectors").join(name).is_file(), "{name}");
    }
    desk.ok("report run --out report.html");
    assert!(desk.path("report.html").is_file());
}

#[test]
fn a_store_is_data_like_any_other() {
    let desk = Desk::new();
    let format = "--format user=visitor,item=sku,time=at,delimiter=;";
    let made = desk.json(&format!(
        "--json prepare clicks.csv {format} --out clicks.store"
    ));
    assert_eq!(
        (&made[0]["users"], &made[0]["items"]),
        (&60.into(), &60.into())
    );
    desk.ok(&TRAIN.replace(
        "clicks.csv --format user=visitor,item=sku,time=at,delimiter=;",
        "clicks.store",
    ));
    // What a flag would change was settled when the store was made.
    let (_, said) = desk.fails("evaluate run clicks.store --core 9");
    assert!(
        said.contains("--core") && said.contains("seqrec prepare"),
        "{said}"
    );
    let models = "compare models clicks.store --models popularity,markov --seeds 1 --out compared";
    let lines = desk.json(&format!("--json {models}"));
    assert_eq!(lines.len(), 2);
    // What is kept isn't trained again.
    assert_eq!(desk.json(&format!("--json {models}")).len(), 0);
}

#[test]
fn settings_are_searched_for_and_can_be_trained_with() {
    let desk = Desk::new();
    desk.ok(
        "prepare clicks.csv --format user=visitor,item=sku,time=at,delimiter=; --out clicks.store",
    );
    let space = r#"{"model.dim":[4,8],"trainer.learning_rate":[0.01,0.001]}"#;
    let tune = format!("tune clicks.store --trials 3 --first-epochs 1 --epochs 1 --space {space}");
    let found = desk.ok(&tune);
    assert!(found.contains("seqrec train"), "{found}");
    let report = desk.json(&format!("--json {tune}"));
    assert_eq!(report[0]["trials"].as_array().unwrap().len(), 3);
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("empty")).unwrap();
    let (code, said) = desk.fails("recall empty --all");
    assert_eq!(code, 1);
    assert!(said.contains("seqrec train DATA --out empty"), "{said}");
    let (code, said) = desk.fails("train");
    assert_eq!(code, 2);
    assert!(said.contains("DATA"), "{said}");
    let (_, said) = desk.fails("train nothing.csv");
    assert!(said.contains("nothing.csv"), "{said}");
    let (_, said) = desk.fails(&format!("{TRAIN} --channels markow"));
    assert!(said.contains("markow") && said.contains("markov"), "{said}");
    // Nothing of somebody else's is overwritten.
    let (_, said) =
        desk.fails("prepare products.csv --format user=sku,item=title --out products.csv");
    assert!(said.contains("products.csv"), "{said}");
    assert!(
        std::fs::read_to_string(desk.path("products.csv"))
            .unwrap()
            .starts_with("sku,")
    );
    let (code, said) = desk.fails("recall . --user 1 --all");
    assert_eq!(code, 2);
    assert!(said.contains("--all"), "{said}");
}

#[test]
fn every_command_has_an_example_and_its_defaults() {
    let desk = Desk::new();
    for command in [
        "train", "tune", "evaluate", "recall", "serve", "report", "prepare", "export",
    ] {
        let help = desk.ok(&format!("{command} --help"));
        assert!(
            help.contains(&format!("Example: seqrec {command}")),
            "{help}"
        );
        assert!(help.contains("[default"), "{help}");
    }
    let bash = desk.ok("completions bash");
    assert!(
        bash.contains("seqrec"),
        "{}",
        Path::new("completions").display()
    );
}
