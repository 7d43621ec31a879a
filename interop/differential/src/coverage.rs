//! Which API versions have been asked something good and something that is refused.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use crate::play::Exchange;

/// An API version that lacks a good or a refused request, and why.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uncovered {
    /// Name of the API.
    pub api: String,
    /// Range of versions.
    pub versions: String,
    /// `good` or `refused`.
    pub lacks: String,
    /// Why there is none.
    pub reason: String,
}

impl Uncovered {
    /// True if it speaks of this.
    #[must_use]
    pub fn names(&self, api: &str, version: i16, lacks: &str) -> bool {
        let versions = self.versions.parse::<crate::schema::Versions>();
        self.api == api
            && self.lacks == lacks
            && versions.is_ok_and(|versions| versions.holds(version))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    good: usize,
    refused: usize,
}

/// Good and refused requests by API and version, judged by what Kafka answered.
#[derive(Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<(i16, String), BTreeMap<i16, Counts>>,
}

impl Coverage {
    /// Counts an exchange with the API of this key.
    pub fn count(&mut self, key: i16, exchange: &Exchange) {
        let (api, version) = &exchange.request;
        let counts = self
            .counts
            .entry((key, api.clone()))
            .or_default()
            .entry(*version)
            .or_default();
        if is_refused(&exchange.outcome) {
            counts.refused += 1;
        } else {
            counts.good += 1;
        }
    }

    /// What a version of an API lacks: `good`, `refused`, or both.
    #[must_use]
    pub fn lacks(&self, key: i16, name: &str, version: i16) -> Vec<&'static str> {
        let counts = self
            .counts
            .get(&(key, name.to_owned()))
            .and_then(|versions| versions.get(&version))
            .copied()
            .unwrap_or_default();
        let mut lacks = Vec::new();
        if counts.good == 0 {
            lacks.push("good");
        }
        if counts.refused == 0 {
            lacks.push("refused");
        }
        lacks
    }

    /// `API  v0 good/refused  v1 …`, one API a line.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = String::new();
        for ((key, name), versions) in &self.counts {
            // Writing to a string cannot fail.
            let _ = write!(table, "{key:>3} {name:<24}");
            for (version, Counts { good, refused }) in versions {
                let _ = write!(table, "  v{version} {good}/{refused}");
            }
            table.push('\n');
        }
        table
    }
}

/// True if the connection was closed or any error code of the answer is not 0.
fn is_refused(outcome: &Value) -> bool {
    match outcome {
        Value::String(text) => text != "no answer",
        other => has_error(other),
    }
}

fn has_error(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let is_code = name.to_ascii_lowercase().ends_with("errorcode");
            (is_code && value.as_i64() != Some(0)) || has_error(value)
        }),
        Value::Array(values) => values.iter().any(has_error),
        _ => false,
    }
}
