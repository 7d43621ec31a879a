//! The differences that are known: `differences.toml` those on purpose, `pending.toml` the others.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::compare::Difference;
use crate::coverage::Uncovered;
use crate::patterns::matches;
use crate::{Stopped, read_text};

/// A known difference. All patterns have to fit; `*` stands for any text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// `file: sequence/step`, without the version.
    pub request: String,
    /// Range of versions; left out: all.
    pub versions: Option<String>,
    /// Path of the field.
    pub path: String,
    /// What Kafka says, as JSON; left out: anything.
    pub kafka: Option<String>,
    /// What Kabuki says, as JSON; left out: anything.
    pub kabuki: Option<String>,
    /// Why it is so.
    pub reason: String,
}

impl Listed {
    fn fits(&self, difference: &Difference) -> bool {
        let is_version = match self
            .versions
            .as_deref()
            .map(str::parse::<crate::schema::Versions>)
        {
            None => true,
            Some(Ok(versions)) => versions.holds(difference.version),
            Some(Err(_)) => false,
        };
        let is_value = |asked: &Option<String>, value: &Option<Value>| match (asked, value) {
            (None, _) => true,
            (Some(asked), Some(value)) => {
                serde_json::from_str::<Value>(asked).is_ok_and(|asked| asked == *value)
            }
            (Some(asked), None) => asked == "nothing",
        };
        is_version
            && matches(&self.request, &difference.request)
            && matches(&self.path, &difference.path)
            && is_value(&self.kafka, &difference.kafka)
            && is_value(&self.kabuki, &difference.other)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DifferencesFile {
    difference: Vec<Listed>,
    uncovered: Vec<Uncovered>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PendingFile {
    not_replayed: BTreeMap<String, String>,
    difference: Vec<Listed>,
}

/// Both lists.
#[derive(Debug)]
pub struct Lists {
    /// On purpose.
    pub deliberate: Vec<Listed>,
    /// Not on purpose, and not yet mended.
    pub pending: Vec<Listed>,
    /// Files of sequences that Kabuki is not asked yet, each with the reason.
    pub not_replayed: BTreeMap<String, String>,
    /// API versions without a good or without a refused request, each with the reason.
    pub uncovered: Vec<Uncovered>,
}

/// What the lists say of a run.
#[derive(Debug, Default)]
pub struct Verdict<'a> {
    /// Differences that no list names.
    pub unlisted: Vec<&'a Difference>,
    /// How many differences are on purpose.
    pub deliberate_count: usize,
    /// How many wait to be mended.
    pub pending_count: usize,
    /// Entries that name no difference of the run.
    pub stale: Vec<&'a Listed>,
}

impl Lists {
    /// True if the difference is one on purpose.
    pub(crate) fn is_deliberate(&self, difference: &Difference) -> bool {
        self.deliberate.iter().any(|listed| listed.fits(difference))
    }

    /// Reads both files.
    ///
    /// # Errors
    /// When one is not of its form.
    pub fn read(home: &Path) -> Result<Self, Stopped> {
        let differences: DifferencesFile = read_toml(&home.join("differences.toml"))?;
        let pending: PendingFile = read_toml(&home.join("pending.toml"))?;
        Ok(Self {
            deliberate: differences.difference,
            uncovered: differences.uncovered,
            pending: pending.difference,
            not_replayed: pending.not_replayed,
        })
    }

    /// Sorts differences by what the lists say of them.
    #[must_use]
    pub fn judge<'a>(&'a self, differences: &'a [Difference]) -> Verdict<'a> {
        let mut verdict = Verdict::default();
        let mut is_deliberate_used = vec![false; self.deliberate.len()];
        let mut is_pending_used = vec![false; self.pending.len()];
        for difference in differences {
            let place = |list: &[Listed]| list.iter().position(|listed| listed.fits(difference));
            if let Some(at) = place(&self.deliberate) {
                is_deliberate_used[at] = true;
                verdict.deliberate_count += 1;
            } else if let Some(at) = place(&self.pending) {
                is_pending_used[at] = true;
                verdict.pending_count += 1;
            } else {
                verdict.unlisted.push(difference);
            }
        }
        let listed = self.deliberate.iter().chain(&self.pending);
        let is_used = is_deliberate_used.iter().chain(&is_pending_used);
        verdict.stale = listed
            .zip(is_used)
            .filter(|(_, is_used)| !**is_used)
            .map(|(listed, _)| listed)
            .collect();
        verdict
    }
}

impl Lists {
    /// `pending.toml` anew: files that are not replayed as before, and an entry for each pair of
    /// values at a place, with the reason that an entry for it had before.
    #[must_use]
    pub fn pending_text(&self, differences: &[Difference]) -> String {
        let mut entries: BTreeMap<(String, String, String, String), (i16, i16)> = BTreeMap::new();
        for difference in differences {
            if self.deliberate.iter().any(|listed| listed.fits(difference)) {
                continue;
            }
            let written = |value: &Option<Value>| match value {
                None => "nothing".to_owned(),
                Some(value) => value.to_string(),
            };
            let place = (
                difference.request.clone(),
                difference.path.clone(),
                written(&difference.kafka),
                written(&difference.other),
            );
            let versions = entries
                .entry(place)
                .or_insert((difference.version, difference.version));
            versions.0 = versions.0.min(difference.version);
            versions.1 = versions.1.max(difference.version);
        }
        let mut text = PENDING_HEAD.to_owned();
        for (file, reason) in &self.not_replayed {
            text.push_str(&format!("{} = {}\n", quoted(file), quoted(reason)));
        }
        for ((request, path, kafka, kabuki), (first, last)) in entries {
            text.push_str(&format!(
                "\n[[difference]]\nrequest = {}\nversions = \"{first}-{last}\"\npath = {}\nkafka = {}\nkabuki = {}\nreason = \"\"\n",
                quoted(&request),
                quoted(&path),
                quoted(&kafka),
                quoted(&kabuki),
            ));
        }
        text
    }
}

const PENDING_HEAD: &str = "\
# Where Kabuki answers otherwise than Kafka and should not. An entry that names no difference any more fails
# the test: take it out with the change that mends it.

# Files of sequences that are recorded and not put to Kabuki yet.
[not_replayed]
";

/// As a text of TOML: literal, or where that cannot be in the form that it shares with JSON.
fn quoted(text: &str) -> String {
    if text.contains('\'') {
        return Value::from(text).to_string();
    }
    format!("'{text}'")
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Stopped> {
    toml::from_str(&read_text(path)?)
        .map_err(|error| Stopped::because(format!("{}: {error}", path.display())))
}
