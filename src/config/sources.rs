//! Where the configuration of a node comes from: file, `KABUKI_*` environment, `--override`; the later wins.
//! Gathers text only; what the keys mean is the catalogue's business (`kabuki_controller`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::properties::{self, PropertiesFault};

/// Why the configuration could not be gathered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceFault {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// As given on the command line.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no property file.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// As given on the command line.
        path: PathBuf,
        /// The line and what is wrong with it.
        source: PropertiesFault,
    },
    /// An override without a key or without `=`.
    #[error("--override wants key=value, got {0:?}")]
    BadOverride(String),
}

/// Reads all sources into one map from Kafka's key to its value.
pub(crate) fn gather(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    overrides: &[String],
) -> Result<BTreeMap<String, String>, SourceFault> {
    let mut values = match file {
        Some(path) => read_file(path)?,
        None => BTreeMap::new(),
    };
    values.extend(environment.filter_map(|(name, value)| Some((environment_key(&name)?, value))));
    for pair in overrides {
        let Some((key, value)) = pair
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
        else {
            return Err(SourceFault::BadOverride(pair.clone()));
        };
        values.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(values)
}

fn read_file(path: &Path) -> Result<BTreeMap<String, String>, SourceFault> {
    let text = fs::read_to_string(path).map_err(|source| SourceFault::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    properties::parse(&text).map_err(|source| SourceFault::Malformed {
        path: path.to_owned(),
        source,
    })
}

/// The key that an environment variable sets: `KABUKI_LOG_DIRS` sets `log.dirs`, and
/// `KABUKI_KABUKI_CHAOS_ENABLE` sets `kabuki.chaos.enable`. Two underscores stand for one.
fn environment_key(name: &str) -> Option<String> {
    let rest = name.strip_prefix("KABUKI_")?;
    if rest.is_empty() {
        return None;
    }
    Some(
        rest.to_ascii_lowercase()
            .replace("__", "\u{0}")
            .replace('_', ".")
            .replace('\u{0}', "_"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        owned.into_iter()
    }

    #[test]
    fn overrides_beat_the_environment_which_beats_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("server.properties");
        fs::write(&path, "node.id=1\nlog.dirs=/a\nnum.partitions=3\n").expect("written");
        let environment = variables(&[("KABUKI_LOG_DIRS", "/b"), ("KABUKI_NODE_ID", "2")]);
        let values = gather(Some(&path), environment, &["node.id=3".to_owned()]).expect("gathered");
        assert_eq!(values["node.id"], "3");
        assert_eq!(values["log.dirs"], "/b");
        assert_eq!(values["num.partitions"], "3");
    }

    #[test]
    fn environment_names_become_keys() {
        assert_eq!(
            environment_key("KABUKI_LOG_DIRS").as_deref(),
            Some("log.dirs")
        );
        let own = environment_key("KABUKI_KABUKI_CHAOS_ENABLE");
        assert_eq!(own.as_deref(), Some("kabuki.chaos.enable"));
        assert_eq!(environment_key("KABUKI_A__B_C").as_deref(), Some("a_b.c"));
        assert_eq!(environment_key("HOME"), None);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let missing = Path::new("/nowhere/server.properties");
        let fault = gather(Some(missing), variables(&[]), &[]).expect_err("no such file");
        assert!(
            fault
                .to_string()
                .starts_with("cannot read /nowhere/server.properties")
        );
        for bad in ["node.id", "=1"] {
            let fault = gather(None, variables(&[]), &[bad.to_owned()]).expect_err(bad);
            let text = format!("--override wants key=value, got {bad:?}");
            assert_eq!(fault.to_string(), text);
        }
    }
}
