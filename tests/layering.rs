//! Holds the dependency graph of the workspace to the levels that ARCHITECTURE.md draws.
//! Every edge between our own crates is listed here, so moving one is a visible diff.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crate, its level, and the crates of ours that it may name.
const LAYERS: &[(&str, u8, &[&str])] = &[
    ("kabuki-protocol-derive", 0, &[]),
    ("kabuki-runtime", 0, &[]),
    // Only tests name it. It names nobody: a mistake in our codec must not be repeated by its judge.
    ("kabuki-differential", 0, &[]),
    ("kabuki-protocol", 0, &["kabuki-protocol-derive"]),
    ("kabuki-storage", 1, &["kabuki-protocol"]),
    ("kabuki-client", 1, &["kabuki-protocol"]),
    (
        "kabuki-partition",
        2,
        &["kabuki-protocol", "kabuki-runtime", "kabuki-storage"],
    ),
    (
        "kabuki-controller",
        2,
        &["kabuki-protocol", "kabuki-runtime", "kabuki-storage"],
    ),
    (
        "kabuki-group",
        3,
        &[
            "kabuki-controller",
            "kabuki-partition",
            "kabuki-protocol",
            "kabuki-runtime",
        ],
    ),
    (
        "kabuki-replica",
        3,
        &[
            "kabuki-controller",
            "kabuki-partition",
            "kabuki-protocol",
            "kabuki-runtime",
            "kabuki-storage",
        ],
    ),
    (
        "kabuki-session",
        5,
        &[
            "kabuki-controller",
            "kabuki-group",
            "kabuki-partition",
            "kabuki-protocol",
            "kabuki-replica",
            "kabuki-runtime",
            "kabuki-storage",
        ],
    ),
    (
        "kabuki",
        6,
        &[
            "kabuki-client",
            "kabuki-controller",
            "kabuki-group",
            "kabuki-partition",
            "kabuki-protocol",
            "kabuki-replica",
            "kabuki-runtime",
            "kabuki-session",
            "kabuki-storage",
        ],
    ),
];

/// The derive macro is the one crate that shares a level with its user.
const SAME_LEVEL_EDGES: &[(&str, &str)] = &[("kabuki-protocol", "kabuki-protocol-derive")];

/// Libraries that exactly one crate may name, because that crate hides them behind its own words.
const SINGLE_OWNERS: &[(&str, &str)] = &[
    ("actix", "kabuki-runtime"),
    ("actix-rt", "kabuki-runtime"),
    ("dashmap", "kabuki-runtime"),
    ("flate2", "kabuki-protocol"),
    ("lz4", "kabuki-protocol"),
    ("snap", "kabuki-protocol"),
    ("zstd", "kabuki-protocol"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn manifest_paths() -> Vec<PathBuf> {
    let mut paths = vec![
        root().join("Cargo.toml"),
        root().join("actors/protocol/derive/Cargo.toml"),
        root().join("interop/differential/Cargo.toml"),
    ];
    for entry in fs::read_dir(root().join("actors")).expect("actors/ exists") {
        let path = entry.expect("readable entry").path().join("Cargo.toml");
        if path.is_file() {
            paths.push(path);
        }
    }
    paths
}

/// Package name to the names under `[dependencies]` (not dev-dependencies: tests may look up).
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    manifest_paths()
        .iter()
        .map(|path| read_dependencies(path))
        .collect()
}

fn read_dependencies(path: &Path) -> (String, BTreeSet<String>) {
    let text = fs::read_to_string(path).expect("readable manifest");
    let manifest: toml::Table = text.parse().expect("valid manifest");
    let name = manifest["package"]["name"]
        .as_str()
        .expect("package has a name")
        .to_owned();
    let mut names = BTreeSet::new();
    for table in ["dependencies", "build-dependencies"] {
        if let Some(entries) = manifest.get(table).and_then(|value| value.as_table()) {
            names.extend(entries.keys().cloned());
        }
    }
    (name, names)
}

#[test]
fn every_crate_has_a_level_and_every_level_a_crate() {
    let found: BTreeSet<String> = dependencies().into_keys().collect();
    let listed: BTreeSet<String> = LAYERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(found, listed, "crates on disk and crates in LAYERS differ");
}

#[test]
fn crates_name_only_the_crates_listed_for_them() {
    let dependencies = dependencies();
    for (name, _, allowed) in LAYERS {
        let ours: BTreeSet<&str> = dependencies[*name]
            .iter()
            .map(String::as_str)
            .filter(|dependency| dependency.starts_with("kabuki-"))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let extra: Vec<_> = ours.difference(&allowed).collect();
        assert!(
            extra.is_empty(),
            "{name} names {extra:?}, which LAYERS does not allow"
        );
    }
}

#[test]
fn listed_edges_point_to_lower_levels() {
    let level: BTreeMap<&str, u8> = LAYERS
        .iter()
        .map(|(name, level, _)| (*name, *level))
        .collect();
    for (name, own_level, edges) in LAYERS {
        for edge in *edges {
            if SAME_LEVEL_EDGES.contains(&(*name, *edge)) {
                continue;
            }
            assert!(
                level[edge] < *own_level,
                "{name} (level {own_level}) names {edge}"
            );
        }
    }
}

#[test]
fn a_hidden_library_is_named_by_its_owner_alone() {
    for (name, names) in dependencies() {
        for (library, owner) in SINGLE_OWNERS {
            assert!(
                !names.contains(*library) || name == *owner,
                "{name} names {library}, which belongs to {owner}"
            );
        }
    }
}
