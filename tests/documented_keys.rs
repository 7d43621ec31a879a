//! Compares the configuration keys that the documents and the sample files name with those that the
//! node knows, so that nobody copies a key that does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kabuki_controller::BrokerConfig;
use kabuki_controller::catalogue::{
    ConfigKey, broker_key, broker_keys, group_keys, topic_key, topic_keys,
};

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

#[test]
fn every_key_with_effect_names_the_test_that_shows_it() {
    let path = root().join("actors/controller/src/catalogue/shown_by.txt");
    let text = read(&path);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut shown: BTreeMap<(String, String), String> = BTreeMap::new();
    for line in lines {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_else(|| panic!("too short: {line}"));
        let twice = shown.insert((next(), next()), next());
        assert_eq!(twice, None, "{line}");
    }
    let tables: [(&str, &[ConfigKey]); 3] = [
        ("topic", topic_keys()),
        ("group", group_keys()),
        ("broker", broker_keys()),
    ];
    let all = tables
        .iter()
        .flat_map(|(kind, keys)| keys.iter().map(move |key| (*kind, key)));
    for (kind, key) in all.filter(|(_, key)| key.without_effect.is_none()) {
        let place = (kind.to_owned(), key.name.to_owned());
        assert!(
            shown.contains_key(&place),
            "no test is named for {kind} key {}",
            key.name
        );
    }
    for ((kind, name), test) in &shown {
        let (_, keys) = tables
            .iter()
            .find(|(table, _)| table == kind)
            .expect("a kind of resource");
        let key = keys.iter().find(|key| key.name == name);
        let has_effect = key.is_some_and(|key| key.without_effect.is_none());
        assert!(has_effect, "{kind} key {name} has no effect to be shown");
        let (file, test) = test
            .split_once(' ')
            .unwrap_or_else(|| panic!("{kind} key {name}: file and test, not {test}"));
        let source = read(&root().join(file));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{file} has no test {test}"
        );
    }
}
