//! The program as a person uses it: from a log with columns of its own to what is recalled.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use seqrec::store::Recaller;
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

    fn command(&self, arguments: &str) -> Command {
        let arguments = arguments.split_whitespace();
        let mut command = Command::new(env!("CARGO_BIN_EXE_seqrec"));
        command.args(arguments.map(|argument| argument.replace('~', " ")));
        command.current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a call that goes well.
    #[track_caller]
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a call that goes well says beside.
    #[track_caller]
    fn says(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments}: {said}");
        said
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

    // As it was trained, where nothing else is said, which is the same as training said of it.
    let evaluated = desk.json("--json evaluate run clicks.csv");
    let chosen = trained.last().unwrap();
    assert_eq!(chosen["exclude_seen"], true);
    assert_eq!(evaluated[0]["recall@5"], chosen["recall@5"]);
    let said = desk.says("evaluate run/run clicks.csv --seen keep");
    assert!(
        said.contains("--protocol leave-one-out --seed 42 -k 5"),
        "{said}"
    );
    assert!(!said.contains("too good"), "{said}");

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
    let (_, said) = desk.fails("export run --channel markov --out other");
    assert!(said.contains("--channels u2i,als"), "{said}");
    // Vectors are a channel of the name of their file.
    let (_, said) = desk.fails(&format!(
        "{} --vectors vectors/items.npy --channels content",
        TRAIN.replace("--out run", "--out alike")
    ));
    assert!(said.contains("content_items"), "{said}");
    desk.ok("report run --out report.html");
    assert!(desk.path("report.html").is_file());
}

/// A service, which ends with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_folder_that_training_made_is_served_as_it_is_and_by_the_run_in_it() {
    let desk = Desk::new();
    desk.ok(TRAIN);
    for run in ["run", "run/run"] {
        let mut command = desk.command(&format!("serve {run} --address 127.0.0.1:0"));
        let mut served = Served(command.stderr(Stdio::piped()).spawn().unwrap());
        let mut said = String::new();
        let mut errors = BufReader::new(served.0.stderr.take().unwrap());
        errors.read_line(&mut said).unwrap();
        let address = said
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("{said}"));
        let body = r#"{"user": "v3", "k": 2}"#;
        let mut answer = ureq::post(format!("http://{address}/recall"))
            .send(body)
            .unwrap();
        let answer = answer.body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["items"].as_array().unwrap().len(), 2, "{answer}");
    }
    // A model alone, as the library keeps one.
    let model = Recaller::open(desk.path("run/run")).unwrap();
    model.save(desk.path("model")).unwrap();
    for command in ["serve model", "recall model --all"] {
        let (_, said) = desk.fails(command);
        for part in ["model holds", "seqrec train", "seqrec compare channels"] {
            assert!(said.contains(part), "{command}: {said}");
        }
    }
    let (_, said) = desk.fails("serve nothing");
    assert!(said.contains("seqrec train DATA --out nothing"), "{said}");
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
    // What is kept isn't trained again, nor measured again at the same cuts.
    assert_eq!(desk.json(&format!("--json {models}")).len(), 0);
    let table = desk.ok(&format!("{models} -k 3,7"));
    for metric in ["hit_rate@3", "ndcg@7", "coverage@7"] {
        assert!(table.contains(metric), "{table}");
    }
    assert!(!table.contains("@10"), "{table}");
    assert_eq!(desk.json(&format!("--json {models} --k 7")).len(), 0);
    let (_, said) = desk.fails(&format!("{models} -k 0"));
    assert!(said.contains('k'), "{said}");
}

#[test]
fn other_data_are_matched_by_the_ids_of_items() {
    let desk = Desk::new();
    desk.ok(TRAIN);
    let log = std::fs::read_to_string(desk.path("clicks.csv")).unwrap();
    let (header, rows) = log.split_once('\n').unwrap();
    let written = |name: &str, rows: Vec<String>| {
        std::fs::write(desk.path(name), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    };
    let evaluated = |name: &str| desk.json(&format!("--json evaluate run {name}")).remove(0);
    let expected = evaluated("clicks.csv");
    assert_eq!(expected["unknown_items"], 0);

    written(
        "turned.csv",
        rows.lines().rev().map(str::to_owned).collect(),
    );
    let turned = evaluated("turned.csv");
    for metric in ["users", "recall@5", "ndcg@5"] {
        assert_eq!(turned[metric], expected[metric], "{metric}");
    }
    let said = desk.says("evaluate run turned.csv");
    assert!(said.contains("too good"), "{said}");

    let renamed = |from: &str, to: &str| rows.lines().map(|row| row.replace(from, to)).collect();
    written("new.csv", renamed("P00", "Q00"));
    let new = evaluated("new.csv");
    assert_eq!(new["unknown_items"], 10);
    let said = desk.says("evaluate run new.csv");
    let counts = "10 of 60 items are unknown to the model: 10 of 60 labels";
    assert!(said.contains(counts), "{said}");
    written("others.csv", renamed("P", "Q"));
    let (_, said) = desk.fails("evaluate run others.csv");
    assert!(said.contains("none of the data's 60 items"), "{said}");
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
    let again =
        "seqrec train clicks.store --protocol leave-one-out --seen leave-out --seed 1 --model";
    assert!(found.contains(again), "{found}");
    let report = desk.json(&format!("--json {tune}"));
    assert_eq!(report[0]["trials"].as_array().unwrap().len(), 3);
    // The line names all that was given, and is a line of a shell.
    let format = "user=visitor,item=sku,time=at,delimiter=;";
    let found = desk.ok(&format!(
        "tune clicks.csv --format {format} --skip-bad-rows --protocol ratio --seeds 7 --trials 1 \
         --first-epochs 1 --epochs 1 --space {{\"model.dim\":4}} --out tuned"
    ));
    let again =
        format!("seqrec train clicks.csv --format '{format}' --skip-bad-rows --protocol ratio");
    assert!(found.contains(&again), "{found}");
    assert!(found.contains("--seed 7"), "{found}");
    assert!(found.contains("of 1 epoch\n"), "{found}");
}

#[test]
fn vectors_of_a_channel_of_factorization_are_exported_as_the_models_are() {
    let desk = Desk::new();
    let format = "--format user=visitor,item=sku,time=at,delimiter=;";
    let kept = "--channels u2i,als --save run --keep-all";
    desk.ok(&format!(
        "compare channels clicks.csv {format} --interests 0 --epochs 1 --dim 8 -k 5 {kept}"
    ));
    let ids = |folder: &str| std::fs::read(desk.path(folder).join("items.json")).unwrap();
    let base = |folder: &str| std::fs::read(desk.path(folder).join("base.f32")).unwrap();
    for (channel, folder) in [("", "model"), ("--channel als", "als")] {
        let line = format!("--json export run {channel} --queries 10 -k 5 --out {folder}");
        let exported = desk.json(&line);
        let dim = exported[0]["dim"].as_u64().unwrap() as usize;
        assert_eq!(base(folder).len(), 60 * dim * 4);
        let numbers = std::fs::read(desk.path(folder).join("query.f32")).unwrap();
        assert_eq!(numbers.len(), 10 * dim * 4);
        let truth = std::fs::read(desk.path(folder).join("truth.u32")).unwrap();
        assert_eq!(truth.len(), 10 * 5 * 4);
    }
    assert_eq!(ids("als"), ids("model"));
    assert_ne!(base("als"), base("model"));
    let (_, said) = desk.fails("export run --channel u2i --out other");
    assert!(said.contains("these channels have: als"), "{said}");
}

#[test]
fn channels_are_compared_at_the_cuts_that_are_asked_for() {
    let desk = Desk::new();
    let format = "--format user=visitor,item=sku,time=at,delimiter=;";
    let channels = "--channels popular,markov,als,u2i --interests 0 --epochs 1 --dim 8";
    let table = desk.ok(&format!(
        "compare channels clicks.csv {format} {channels} -k 5 --save kept --keep-all"
    ));
    assert!(table.contains("| recall@5 | coverage@5 |"), "{table}");
    let compared = format!("--json compare channels clicks.csv {format} {channels}");
    let lines = desk.json(&format!("{compared} --k 3,7"));
    assert!(lines[0]["best_fusion_recall@7"].is_number(), "{lines:?}");
}

#[test]
fn places_of_a_list_can_be_kept_for_items_that_were_left_out() {
    let desk = Desk::new();
    let data = "clicks.csv --format user=visitor,item=sku,time=at,delimiter=; --items products.csv --item-id sku \
                --features price";
    let rest = "--share 0.2 -k 5 --epochs 2 --seeds 1,2 --model sasrec --settings {\"dim\":8} \
                --trainer {\"batch_size\":16}";
    let lines = desk.json(&format!(
        "--json compare cold-items {data} {rest} --reserve 0,4"
    ));
    let [none, four] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!((&none["reserve"], &four["reserve"]), (&0.into(), &4.into()));
    assert_eq!(none["seeds"].as_array().map(Vec::len), Some(2));
    let of = |line: &Value, what: &str| line["trained_on"][what].as_f64().unwrap();
    let cold = "times_chance_among_all";
    assert!(of(four, cold) > of(none, cold), "{lines:?}");
    assert!(of(four, "others") < of(none, "others"), "{lines:?}");
    let (_, said) = desk.fails(&format!("compare cold-items {data} {rest} --reserve 5"));
    assert!(
        said.contains("--reserve 5") && said.contains("--k"),
        "{said}"
    );
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
    for (flag, path, known) in [
        (
            r#"--settings {"objective":{"temprature":1}}"#,
            "objective has no setting",
            "temperature",
        ),
        (r#"--settings {"dims":4}"#, "no setting \"dims\"", "max_len"),
        (
            r#"--trainer {"optimizer":{"adam":{"beta1":1}}}"#,
            "optimizer.adam has no",
            "beta_1",
        ),
    ] {
        let (_, said) = desk.fails(&format!("{TRAIN} {flag}"));
        assert!(
            said.contains(path) && said.contains(known),
            "{flag}: {said}"
        );
    }
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

/// The names of the commands in a page of help; none where it is that of a command.
fn commands(help: &str) -> Vec<&str> {
    let below = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = below.split("\n\n").next().unwrap_or_default().lines();
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|&name| name != "help").collect()
}

/// The arguments and options in a page of help: what they are called, and all that is said of them.
fn entries(help: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        // Descriptions are further in, and what begins farther left is a heading.
        let name = line.trim_start();
        let (indent, is_name) = (line.len() - name.len(), name.starts_with(['-', '<', '[']));
        if is_name && (indent == 2 || indent == 6) {
            // Short pages have what is said in the same line.
            let (name, text) = name.split_once("  ").unwrap_or((name, ""));
            entries.push((name.to_owned(), text.trim_start().to_owned()));
        } else if let Some((_, text)) = entries.last_mut().filter(|_| indent >= 10) {
            text.push_str(name);
            text.push(' ');
        }
    }
    entries
}

#[test]
fn a_folder_that_holds_something_is_not_trained_into_without_a_word() {
    let desk = Desk::new();
    let train = TRAIN.replace("--k 5", "--k 2,5");
    let said = desk.says(&format!("{train} --resume"));
    assert!(
        said.contains("run holds no checkpoint to go on from"),
        "{said}"
    );
    // The metric that decides is the one that is shown.
    assert!(said.contains(", recall@5 0."), "{said}");
    assert!(!desk.says(&format!("{train} --resume")).contains(" holds "));
    let said = desk.says(TRAIN);
    assert!(
        said.contains("run holds a run, which this training replaces"),
        "{said}"
    );
    // As after an interruption.
    std::fs::remove_dir_all(desk.path("run").join("run")).unwrap();
    let (_, said) = desk.fails("recall run --all");
    assert!(said.contains("--resume goes on with it"), "{said}");
    let said = desk.says(TRAIN);
    assert!(said.contains("interrupted: it is begun anew"), "{said}");
}

#[test]
fn a_small_catalog_is_judged_at_cuts_that_it_has() {
    let desk = Desk::new();
    let mut log = String::from("user,item,time\n");
    for user in 0..30 {
        for step in 0..6 {
            writeln!(log, "u{user},i{},{}", (user + step) % 16, user + step).unwrap();
        }
    }
    std::fs::write(desk.path("small.csv"), log).unwrap();
    for command in ["train small.csv", "compare models small.csv"] {
        let (_, said) = desk.fails(command);
        assert!(said.contains("at most 16") && said.contains("-k"), "{said}");
    }
    let compare = "compare models small.csv --models popularity,markov -k 4,8";
    let one = desk.ok(&format!("{compare} --seeds 1"));
    assert!(one.contains("recall@8") && !one.contains('±'), "{one}");
    let several = desk.ok(&format!("{compare} --seeds 1,2"));
    assert!(several.contains("± 0.0000"), "{several}");
    desk.ok("tune small.csv --model comirec_sa,mind --trials 2 --first-epochs 1 --epochs 1");
}

#[test]
fn every_command_has_an_example_and_every_option_a_sentence_and_its_default() {
    let desk = Desk::new();
    let mut pages = vec![String::new()];
    let mut seen = 0;
    while let Some(command) = pages.pop() {
        let help = desk.ok(&format!("{command} --help"));
        let further = commands(&help);
        pages.extend(further.iter().map(|name| format!("{command} {name}")));
        if further.is_empty() {
            seen += 1;
            let example = format!("Example: seqrec{command} ");
            assert!(help.contains(&example), "{example}: {help}");
        }
        let usage = help
            .lines()
            .find(|line| line.starts_with("Usage:"))
            .unwrap();
        for (name, text) in entries(&help) {
            assert!(
                text.starts_with(char::is_uppercase),
                "{command} {name}: {text}"
            );
            let flag = name.split([' ', ',']).find(|part| part.starts_with("--"));
            let has_value = flag.is_some() && name.contains('<');
            let is_required = flag.is_some_and(|flag| usage.contains(&format!(" {flag} <")));
            assert!(
                !has_value || is_required || text.contains("[default: "),
                "{command} {name} has no default: {text}"
            );
        }
    }
    assert!(seen > 15, "{seen}");
    let bash = desk.ok("completions bash");
    assert!(bash.contains("seqrec"), "{bash}");
}
