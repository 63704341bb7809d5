//! What the program says of the files that it reads, and of ids that it doesn't know.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Runs the program in a folder: whether it went well, standard output and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seqrec"));
    let output = command.args(arguments).current_dir(folder).output();
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (said, errors) = (text(output.stdout), text(output.stderr));
    assert!(!errors.contains("panicked"), "{errors}");
    (output.status.success(), said, errors)
}

/// A log of 60 users, whose rows are made of user, step and item.
fn log(row: impl Fn(usize, usize, usize) -> String) -> String {
    let mut log = String::from("user,item,time\n");
    for user in 0..60 {
        for step in 0..8 {
            writeln!(log, "{}", row(user, step, (user * 5 + step) % 40)).unwrap();
        }
    }
    log
}

/// A folder with `log.csv`, and a run of it where one is asked for.
fn desk(log: &str, trained: bool) -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("log.csv"), log).unwrap();
    if trained {
        let (well, _, errors) = run(desk.path(), TRAIN);
        assert!(well, "{errors}");
    }
    desk
}

const TRAIN: &[&str] = &[
    "train",
    "log.csv",
    "--protocol",
    "leave-one-out",
    "--epochs",
    "1",
    "--dim",
    "4",
    "--k",
    "5",
    "--channels",
    "popular",
    "--out",
    "run",
];

/// All parts that a text must have.
#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn ids_that_the_run_lacks_are_counted_and_all_of_them_are_an_error() {
    let plain = log(|user, step, item| {
        format!(
            "u{user},\"P \"\"{item}\"\"\",{}",
            1_790_000_000 + step * 60 + user
        )
    });
    let desk = desk(&plain, true);
    let recall = |arguments: &[&str]| {
        run(
            desk.path(),
            &[&["recall", "run", "-k", "2"], arguments].concat(),
        )
    };

    let (well, said, _) = recall(&["--history", "P \"1\",nosuch"]);
    assert!(well);
    has(&said, &["1 items of the history are not in the catalog"]);
    for (arguments, parts) in [
        (["--history", "p1,nosuch"], ["p1,nosuch", "as the log does"]),
        (
            ["--user", "nobody,none"],
            ["none of the 2 users of --user", "nobody"],
        ),
        (["--user", ""], ["user is \"\"", "must not be empty"]),
        (
            ["--history", "N/A"],
            ["history is \"N/A\"", "must not be empty"],
        ),
    ] {
        let (well, said, errors) = recall(&arguments);
        assert!(!well && said.is_empty(), "{arguments:?}: {said}");
        has(&errors, &parts);
    }

    let users = |text: &str| {
        std::fs::write(desk.path().join("users.csv"), text).unwrap();
        recall(&["--users", "users.csv"])
    };
    // As spreadsheets write it.
    let (well, said, errors) = users("\u{feff}\"u3\"\r\nu4\r\n\r\nnobody\r\n");
    assert!(well);
    has(
        &said,
        &[
            "user u3, 8 items known",
            "user u4, 8 items known",
            "user nobody, 0 items",
        ],
    );
    has(
        &errors,
        &["1 of 3 users of users.csv are not in the run, the first nobody"],
    );
    for (text, part) in [
        ("", "users.csv is empty"),
        ("\n \n", "users.csv is empty"),
        (
            "u3,P1,5\nu4,P2,6\n",
            "none of the 2 users of users.csv is in the run",
        ),
    ] {
        let (well, said, errors) = users(text);
        assert!(!well && said.is_empty(), "{text:?}: {said}");
        has(&errors, &[part]);
    }
}

#[test]
fn rows_that_are_skipped_are_counted_by_why_and_aloud_where_they_are_many() {
    let loss = |part: usize| {
        log(move |user, step, item| match (user * 8 + step) % part {
            0 => format!("u{user},{item},01.08.2026 13:26"),
            1 if user == 5 => format!(",{item},{}", 1_790_000_000 + step),
            _ => format!("u{user},{item},{}", 1_790_000_000 + step),
        })
    };
    let train = |part| {
        let desk = desk(&loss(part), false);
        run(desk.path(), &[TRAIN, &["--skip-bad-rows"]].concat())
    };
    let (well, _, errors) = train(40);
    assert!(well, "{errors}");
    has(
        &errors,
        &[
            "13 of 480 rows",
            "12 rows, the first: log.csv:2: timestamp",
            "1 row: log.csv:",
        ],
    );
    assert!(!errors.contains("WARNING"), "{errors}");
    let (well, _, errors) = train(4);
    assert!(well, "{errors}");
    has(
        &errors,
        &[
            "WARNING: 122 of 480 rows, 25 %",
            "120 rows, the first",
            "2 rows, the first: log.csv:",
        ],
    );

    // Of rows that are all bad, the reason of most comes first, and not that of the first.
    let (well, _, errors) = train(1);
    assert!(!well);
    has(
        &errors,
        &["all 480 rows were skipped: 480 rows, the first: log.csv:2: timestamp"],
    );
    let empty = loss(1).replacen("u0,", ",", 1);
    let desk = desk(&empty, false);
    let (_, _, errors) = run(
        desk.path(),
        &[
            "prepare",
            "log.csv",
            "--skip-bad-rows",
            "--out",
            "log.store",
        ],
    );
    has(
        &errors,
        &[
            "all 480 rows were skipped: 479 rows, the first: log.csv:3: timestamp",
            "; 1 row: log.csv:2: user",
        ],
    );
}

#[test]
fn an_id_that_is_written_in_two_ways_is_refused_unless_the_flag_says_that_it_is_two() {
    let two = log(|user, step, item| match step {
        0..4 => format!("{user},p{item},{}", 1_790_000_000 + step),
        _ => format!("{user}.0,p{item},{}", 1_790_000_000 + step),
    });
    let desk = desk(&two, false);
    for command in ["train", "prepare"] {
        let out = ["log.csv", "--out", &format!("{command}.out")];
        let (well, _, errors) = run(desk.path(), &[&[command], &out[..]].concat());
        assert!(!well);
        has(
            &errors,
            &[
                "user is 0.0 in log.csv",
                "there is 0 as well",
                "--ids-as-written",
            ],
        );
    }
    let prepare = [
        "prepare",
        "log.csv",
        "--core",
        "0",
        "--ids-as-written",
        "--out",
        "log.store",
    ];
    let (well, said, errors) = run(desk.path(), &prepare);
    assert!(well, "{errors}");
    has(&said, &["120"]);
}

#[test]
fn the_span_of_times_is_said_so_that_a_wrong_unit_shows() {
    const DAY: usize = 86_400;
    // From 2026-08-01 on, eight days.
    let at = |step: usize| 1_785_542_400 + step * DAY;
    type Time = Box<dyn Fn(usize) -> String>;
    let times: [(Time, &[&str]); 5] = [
        (
            Box::new(move |step| at(step).to_string()),
            &["log.csv: times from 2026-08-01 to 2026-08-08, in seconds"],
        ),
        (
            Box::new(move |step| (at(step) * 1000).to_string()),
            &["log.csv: times from 2026-08-01 to 2026-08-08, in milliseconds"],
        ),
        (
            Box::new(|step| format!("2026-08-0{} 10:30", step + 1)),
            &["log.csv: times from 2026-08-01 to 2026-08-08, in seconds"],
        ),
        (
            Box::new(|step| (20_260_801 + step).to_string()),
            &[
                "times from 20260801 to 20260808, in no known unit",
                "seconds since 1970",
            ],
        ),
        (
            Box::new(|_| "0".to_owned()),
            &["WARNING: all times are 0", "time=at"],
        ),
    ];
    for (time, parts) in times {
        let rows = log(|user, step, item| format!("u{user},{item},{}", time(step)));
        let desk = desk(&rows, false);
        let models = ["compare", "models", "log.csv", "--models", "popularity"];
        let cuts = ["--seeds", "1", "-k", "5", "--out", "compared"];
        let (well, _, errors) = run(desk.path(), &[&models[..], &cuts].concat());
        assert!(well, "{errors}");
        has(&errors, parts);
    }
}

#[test]
fn only_events_of_some_types_are_read_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = String::from("who,what,at,kind\n");
    for row in 0..600 {
        let kind = ["view", "view", "buy"][row % 3];
        writeln!(
            rows,
            "u{},p{},{},{kind}",
            row % 20,
            row % 30,
            1_790_000_000 + row
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("log.csv"), rows).unwrap();
    let format = ["--format", "user=who,item=what,time=at,event=kind"];
    let models = [
        "compare",
        "models",
        "log.csv",
        "--models",
        "popularity",
        "--seeds",
        "1",
    ];
    let models = [&models[..], &["-k", "5", "--out", "compared"], &format].concat();
    let (well, _, errors) = run(folder.path(), &models);
    assert!(well, "{errors}");
    has(
        &errors,
        &[
            "events of 2 types count alike: view (400), buy (200)",
            "600 interactions",
        ],
    );
    let (well, _, errors) = run(folder.path(), &[&models[..], &["--events", "buy"]].concat());
    assert!(well, "{errors}");
    has(&errors, &[" 200 interactions"]);
    assert!(!errors.contains("count alike"), "{errors}");

    let prepare = ["prepare", "log.csv", "--out", "log.store"];
    let prepare = [&["--json"], &prepare[..], &format].concat();
    let (well, said, errors) = run(
        folder.path(),
        &[&prepare[..], &["--events", "buy,cart"]].concat(),
    );
    assert!(well, "{errors}");
    has(&said, &["\"interactions\":200"]);
    for command in [&models, &prepare] {
        let (well, _, errors) = run(
            folder.path(),
            &[&command[..], &["--events", "bye"]].concat(),
        );
        assert!(!well);
        has(
            &errors,
            &["no event type is one of [\"bye\"]; there are view: 400, buy: 200"],
        );
    }
}

#[test]
fn what_cannot_be_read_is_said_with_the_flag_that_mends_it() {
    let desk = desk(
        "besucher;ware;wann\nu1;p1;1790000000\nu1;p2;1790000060\n",
        false,
    );
    let train = |arguments: &[&str]| {
        let (well, _, errors) = run(
            desk.path(),
            &[&["train", "--out", "run"], arguments].concat(),
        );
        assert!(!well);
        errors
    };
    has(&train(&["log.csv"]), &["--format"]);
    let unknown = ["log.csv", "--format", "user=besucher,item=ware,time=wann"];
    has(&train(&unknown), &["add delimiter=;"]);
    has(&train(&["-"]), &["/dev/stdin", "--format"]);
    has(&train(&["log.csv", "--threads", "0"]), &["--threads"]);
    let few = [
        "log.csv",
        "--format",
        "user=besucher,item=ware,time=wann,delimiter=;",
        "--core",
        "3",
    ];
    has(
        &train(&few),
        &["users with fewer than 3, and items with fewer than 3"],
    );
}

#[test]
fn rows_of_a_table_of_items_that_match_nothing_are_counted() {
    let plain = log(|user, step, item| format!("u{user},p{item},{}", 1_790_000_000 + step));
    let desk = desk(&plain, true);
    let mut items = String::from("sku,price,in_stock\n");
    for item in 1..45 {
        writeln!(
            items,
            "p{item},{item},{}",
            if item == 9 { "maybe" } else { "yes" }
        )
        .unwrap();
    }
    std::fs::write(desk.path().join("items.csv"), items).unwrap();
    let table = [
        "recall",
        "run",
        "--history",
        "p1",
        "--items",
        "items.csv",
        "--item-id",
        "sku",
    ];
    let filter = |filter| run(desk.path(), &[&table[..], &["--filter", filter]].concat());
    let (well, _, errors) = filter("price < 20");
    assert!(well, "{errors}");
    has(
        &errors,
        &[
            "5 of 44 rows of the table of items are not in the data",
            "1 of 40 items of the data have no row",
        ],
    );
    let (_, _, errors) = filter("in_stock");
    has(
        &errors,
        &["line 10 has \"maybe\", which is neither true nor false"],
    );
    let (_, _, errors) = filter("in_stock = yes");
    has(&errors, &["as in `in_stock` or `not in_stock`"]);

    let (well, _, errors) = run(desk.path(), &["serve", "run", "--address", "8080"]);
    assert!(!well);
    has(&errors, &["could not listen on 8080", "host:port"]);
}
