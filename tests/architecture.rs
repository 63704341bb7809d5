//! The map in `ARCHITECTURE.md` against the sources: who knows whom, and that nothing goes in a
//! circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MAP: &str = include_str!("../ARCHITECTURE.md");

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file below a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// A file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names of the paths that begin with a prefix, lists in braces among them.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        let letters = text.trim_start().chars();
        letters
            .take_while(|&c| c.is_alphanumeric() || c == '_')
            .collect()
    };
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (place, letter) in list.char_indices() {
            if begins && depth == 0 {
                names.insert(name(&list[place..]));
            }
            begins = letter == ',';
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    names
}

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Which nodes lie on a circle, if any do.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    // Nodes from which nothing leads on are taken away until none is left, or a circle.
    let mut left = arrows.clone();
    while !left.is_empty() {
        let ends: Vec<String> = left
            .iter()
            .filter(|(_, to)| to.iter().all(|to| !left.contains_key(to)))
            .map(|(from, _)| from.clone())
            .collect();
        if ends.is_empty() {
            return Some(left.into_keys().collect());
        }
        ends.iter().for_each(|end| drop(left.remove(end)));
    }
    None
}

fn drawn() -> Arrows {
    let table = MAP.split("```rooms\n").nth(1).unwrap();
    let table = table.split("```").next().unwrap();
    let row = |line: &str| {
        let (room, knows) = line.split_once(':').unwrap();
        (
            room.to_owned(),
            knows.split_whitespace().map(str::to_owned).collect(),
        )
    };
    table.lines().map(row).collect()
}

#[test]
fn rooms_know_what_the_map_says() {
    let drawn = drawn();
    let mut found: Arrows = drawn
        .keys()
        .map(|room| (room.clone(), BTreeSet::new()))
        .collect();
    let mut all = Vec::new();
    files(&src(), &mut all);
    assert!(all.len() > 100);
    for path in all {
        let relative = path.strip_prefix(src()).unwrap();
        let first = relative.components().next().unwrap().as_os_str();
        let room = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if ["lib", "error"].contains(&room.as_str()) {
            continue;
        }
        let known = names_after(&code(&path), "crate::");
        let known = known
            .into_iter()
            .filter(|name| drawn.contains_key(name) && *name != room);
        let knows = found.get_mut(&room);
        knows
            .unwrap_or_else(|| panic!("{room} is not on the map"))
            .extend(known);
    }
    assert_eq!(found, drawn);
    assert_eq!(circle(&drawn), None);
}

#[test]
fn files_of_a_room_go_in_no_circle() {
    let mut all = Vec::new();
    files(&src(), &mut all);
    let mut folders: BTreeMap<PathBuf, Arrows> = BTreeMap::new();
    for path in &all {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // A room's front door names all that is in it.
        if name == "mod" || name == "lib" {
            continue;
        }
        let known = names_after(&code(path), "super::");
        let folder = folders.entry(path.parent().unwrap().to_owned());
        folder.or_default().insert(name, known);
    }
    for (folder, arrows) in folders {
        assert_eq!(circle(&arrows), None, "{}", folder.display());
    }
}

#[test]
fn a_circle_is_told() {
    let arrows = |list: &[(&str, &str)]| -> Arrows {
        let row = |&(from, to): &(&str, &str)| {
            (
                from.to_owned(),
                to.split_whitespace().map(str::to_owned).collect(),
            )
        };
        list.iter().map(row).collect()
    };
    assert_eq!(
        circle(&arrows(&[("a", "b"), ("b", "c std"), ("c", "")])),
        None
    );
    let found = circle(&arrows(&[("a", "b"), ("b", "c"), ("c", "b")]));
    assert_eq!(
        found,
        Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
    );
    let code = "use crate::{Error, a::{B, c::D}, e};\nfn f(x: crate::g::H) {}";
    let names: Vec<String> = names_after(code, "crate::").into_iter().collect();
    assert_eq!(names, ["Error", "a", "e", "g"]);
}

#[test]
fn what_the_map_names_is_there() {
    let mut named = 0;
    for name in MAP.split('`').skip(1).step_by(2) {
        if name.ends_with(".rs") && name.contains('/') {
            let root = if name.starts_with("tests/") {
                src().join("..")
            } else {
                src()
            };
            assert!(root.join(name).exists(), "{name}");
            named += 1;
        }
    }
    assert!(named > 20);
}

#[test]
fn only_rooms_with_tensors_know_burn() {
    for room in ["kernels", "index", "eval", "recall", "channels", "engine"] {
        let mut all = Vec::new();
        files(&src().join(room), &mut all);
        for path in all {
            assert!(!code(&path).contains("burn::"), "{}", path.display());
        }
    }
}
