//! The rules of style that a program can check, each with its reason.
//! Clippy and rustfmt hold the rest; `layering.rs` holds the dependency graph.

use std::fs;
use std::path::{Path, PathBuf};

/// Giants grow where one file owns state, dispatch, I/O and tests at once.
const FILE_LINES_MAX: usize = 600;

/// Names that say nothing about what a file holds.
const BANNED_FILE_STEMS: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "types", "misc", "impls", "manager",
];

/// What an actor crate's `lib.rs` must tell a reader, in this order.
const CONTRACT_HEADINGS: &[&str] = &[
    "# Duty",
    "# Messages",
    "# Restart",
    "# Invariants",
    "# Source",
];

/// Crates in `actors/` without a mailbox: libraries that actors stand on.
const LIBRARIES_WITHOUT_MAILBOX: &[&str] = &["protocol", "storage", "runtime", "client"];

/// Text that must not land, with the reason. Written in two halves so that this file passes.
const BANNED_TEXT: &[(&str, &str, &str)] = &[
    ("todo", "!(", "unfinished code does not merge"),
    ("unimplemented", "!(", "unfinished code does not merge"),
    ("#[ign", "ore", "a test that does not run proves nothing"),
    ("FIX", "ME", "open ends belong in issues"),
    ("XX", "X:", "open ends belong in issues"),
    (
        "thread::",
        "sleep",
        "time that passes is no condition: wait for the event",
    ),
    (
        "Box<dyn ",
        "Error",
        "errors are enums that a caller can match",
    ),
    (
        "Box<dyn std::error::",
        "Error",
        "errors are enums that a caller can match",
    ),
    ("static m", "ut ", "shared state lives in an actor"),
];

/// Files that may hold a banned text: walks before a Kafka, as nothing tells when its broker has heard of what its
/// controller has answered.
const TEXT_EXCEPTIONS: &[(&str, &str)] = &[(
    "interop/differential/src/explore/pair.rs",
    concat!("thread::", "sleep"),
)];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("below the root")
        .display()
        .to_string()
}

/// All files below the folders that hold the product, build output left out.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = [
        "src", "actors", "tests", "examples", "benches", "interop", ".ci", "config",
    ]
    .iter()
    .map(|folder| root().join(folder))
    .filter(|folder| folder.is_dir())
    .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable folder") {
            let path = entry.expect("readable entry").path();
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            if path.is_dir() {
                if !matches!(name.as_deref(), Some("target" | ".work" | "node_modules")) {
                    folders.push(path);
                }
            } else if extension.is_empty()
                || path.extension().is_some_and(|found| found == extension)
            {
                found.push(path);
            }
        }
    }
    assert!(
        !found.is_empty(),
        "no {extension} files found: is the test run from the repository?"
    );
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_source_file_is_a_giant() {
    for path in files("rs") {
        let line_count = read(&path).lines().count();
        assert!(
            line_count <= FILE_LINES_MAX,
            "{} has {line_count} lines, more than {FILE_LINES_MAX}: split it by duty",
            relative(&path)
        );
    }
}

#[test]
fn file_names_say_what_is_inside() {
    for path in files("rs") {
        let stem = path
            .file_stem()
            .expect("a file has a stem")
            .to_string_lossy()
            .into_owned();
        assert!(
            !BANNED_FILE_STEMS.contains(&stem.as_str()),
            "name the thing: {}",
            relative(&path)
        );
        for part in path.strip_prefix(root()).expect("below the root").iter() {
            let part = part.to_string_lossy();
            assert!(
                !BANNED_FILE_STEMS.contains(&part.as_ref()),
                "name it: {}",
                relative(&path)
            );
        }
    }
}

#[test]
fn every_source_file_opens_by_saying_what_it_holds() {
    for path in files("rs") {
        let text = read(&path);
        assert!(
            text.starts_with("//!") || text.starts_with("#![no_main]"),
            "{}",
            relative(&path)
        );
    }
}

#[test]
fn actor_crates_state_their_contract() {
    for entry in fs::read_dir(root().join("actors")).expect("actors/ exists") {
        let folder = entry.expect("readable entry").path();
        let name = folder
            .file_name()
            .expect("a folder has a name")
            .to_string_lossy()
            .into_owned();
        if LIBRARIES_WITHOUT_MAILBOX.contains(&name.as_str()) {
            continue;
        }
        let text = read(&folder.join("src/lib.rs"));
        let mut from = 0;
        for heading in CONTRACT_HEADINGS {
            let at = text[from..].find(heading);
            assert!(
                at.is_some(),
                "actors/{name}/src/lib.rs lacks {heading:?} or has it too early"
            );
            from += at.unwrap_or_default();
        }
    }
}

#[test]
fn no_banned_text() {
    for path in files("rs") {
        let name = relative(&path);
        for (number, line) in read(&path).lines().enumerate() {
            for (left, right, reason) in BANNED_TEXT {
                let banned = format!("{left}{right}");
                let excepted = TEXT_EXCEPTIONS.contains(&(name.as_str(), banned.as_str()));
                assert!(
                    excepted || !line.contains(&banned),
                    "{name}:{}: {banned}: {reason}",
                    number + 1
                );
            }
        }
    }
}

#[test]
fn type_names_name_things() {
    for path in files("rs") {
        for (number, line) in read(&path).lines().enumerate() {
            let Some(name) = declared_type(line) else {
                continue;
            };
            assert!(
                !(name.ends_with("Manager") || name.ends_with("Impl") || name.ends_with("Helper")),
                "{}:{}: name the thing that {name} is",
                relative(&path),
                number + 1
            );
        }
    }
}

/// The name in `struct Name`, `enum Name` or `trait Name`.
fn declared_type(line: &str) -> Option<&str> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub"));
    if !matches!(words.next(), Some("struct" | "enum" | "trait")) {
        return None;
    }
    words
        .next()?
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .next()
}

#[test]
fn only_the_runtime_names_actix() {
    for path in files("rs") {
        let name = relative(&path);
        if name.starts_with("actors/runtime/") || name.starts_with("tests/") {
            continue;
        }
        let uses = read(&path).lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("actix::") || code.contains("actix_rt::")
        });
        assert!(!uses, "{name} names actix: go through kabuki_runtime");
    }
}

#[test]
fn scripts_and_manifests_name_no_registry_host() {
    let hosts = [
        ["pypi", ".org"],
        ["registry.npm", "js.org"],
        ["crates", ".io/"],
        ["repo.maven", ".apache.org"],
        ["repo1.", "maven.org"],
        ["proxy.go", "lang.org"],
        ["deb.deb", "ian.org"],
    ];
    for path in files("") {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for [left, right] in hosts {
            let host = format!("{left}{right}");
            assert!(
                !text.contains(&host),
                "{} names {host}: use package names",
                relative(&path)
            );
        }
    }
}
