//! Compares the configuration keys that the documents and the sample files name with those that the
//! node knows, so that nobody copies a key that does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kabuki_controller::BrokerConfig;
use kabuki_controller::catalogue::{broker_key, topic_key};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Settings of one sample file.
struct Sample {
    path: PathBuf,
    set: BTreeMap<String, String>,
    /// Those that are commented out: `#key=value`.
    offered: BTreeMap<String, String>,
}

/// The sample files with their settings.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for entry in fs::read_dir(root().join("config")).expect("config/ exists") {
        let path = entry.expect("readable entry").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "properties")
        {
            continue;
        }
        let (mut set, mut offered) = (BTreeMap::new(), BTreeMap::new());
        for line in read(&path).lines() {
            let (into, line) = match line.strip_prefix('#') {
                Some(rest) => (&mut offered, rest),
                None => (&mut set, line),
            };
            // A sentence begins with a space after its `#`.
            if let Some((key, value)) = line.split_once('=')
                && !key.contains(' ')
            {
                into.insert(key.to_owned(), value.to_owned());
            }
        }
        samples.push(Sample { path, set, offered });
    }
    assert!(!samples.is_empty(), "no sample file in config/");
    samples
}

#[test]
fn sample_files_start_a_node_without_a_warning() {
    for Sample { path, set, offered } in samples() {
        assert!(!set.is_empty(), "{} sets nothing", path.display());
        let all: BTreeMap<String, String> = set.into_iter().chain(offered).collect();
        let (_, warnings) = BrokerConfig::parse(all)
            .unwrap_or_else(|refused| panic!("{}: {refused}", path.display()));
        assert_eq!(warnings, [], "{}", path.display());
    }
}

#[test]
fn every_kabuki_key_in_the_documents_exists() {
    let mut named = BTreeSet::new();
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/configuration.md",
        "docs/running.md",
        "config/kabuki.service",
    ] {
        let text = read(&root().join(document));
        let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '.'));
        let keys = words.map(|word| word.trim_matches('.'));
        named.extend(
            keys.filter(|word| word.starts_with("kabuki."))
                .map(str::to_owned),
        );
    }
    assert!(
        named.contains("kabuki.chaos.enable"),
        "the README offers it: {named:?}"
    );
    // Names of files.
    for file in ["kabuki.toml", "kabuki.service"] {
        named.remove(file);
    }
    for key in named {
        assert!(
            broker_key(&key).is_some(),
            "{key} is documented and unknown"
        );
    }
}

#[test]
fn keys_that_the_readme_names_are_kafkas_or_ours() {
    let text = read(&root().join("README.md"));
    let line = text
        .lines()
        .find(|line| line.starts_with("The keys are Kafka's"));
    let line = line.expect("the README lists keys");
    let keys = line.split(['`', ' ']).filter(|word| word.contains('.'));
    for key in keys {
        let key = key.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        assert!(
            broker_key(key).is_some() || topic_key(key).is_some(),
            "{key} is unknown"
        );
    }
}
