//! Which error codes the requests have drawn from Kafka, held against `codes.toml`: what each API can
//! answer, and why some of it no request can draw.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::play::Exchange;
use crate::{Stopped, read_text};

/// The codes of one API in `codes.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CodesOfApi {
    /// Code, and when it is answered.
    codes: BTreeMap<String, String>,
    /// Code, why no request draws it, and the test that shows it.
    not_drawn: BTreeMap<String, Vec<String>>,
}

/// What `codes.toml` says.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct ErrorCodes {
    apis: BTreeMap<String, CodesOfApi>,
}

/// How often each API has answered each error code.
#[derive(Debug, Default)]
pub struct DrawnCodes {
    apis: BTreeMap<String, BTreeMap<i64, usize>>,
}

impl DrawnCodes {
    /// Counts the codes in an answer, each once.
    pub fn count(&mut self, exchange: &Exchange) {
        let mut codes = BTreeSet::new();
        collect(&exchange.outcome, &mut codes);
        let drawn = self.apis.entry(exchange.request.0.clone()).or_default();
        for code in codes {
            *drawn.entry(code).or_default() += 1;
        }
    }
}

fn collect(value: &Value, codes: &mut BTreeSet<i64>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name.to_ascii_lowercase().ends_with("errorcode") {
                    codes.extend(value.as_i64().filter(|code| *code != 0));
                }
                collect(value, codes);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, codes)),
        _ => {}
    }
}

impl ErrorCodes {
    /// Reads `codes.toml`.
    ///
    /// # Errors
    /// When it is not of its form.
    pub fn read(home: &Path) -> Result<Self, Stopped> {
        toml::from_str(&read_text(&home.join("codes.toml"))?)
            .map_err(|error| Stopped::because(format!("codes.toml: {error}")))
    }

    /// What does not agree: codes that were drawn and are not listed, or the other way round, and tests
    /// that are not in the project at `root`. `apis` are those that have to be in the list.
    #[must_use]
    pub fn problems(&self, drawn: &DrawnCodes, apis: &[&str], root: &Path) -> Vec<String> {
        let mut problems = Vec::new();
        let none = BTreeMap::new();
        for api in apis {
            let drawn = drawn.apis.get(*api).unwrap_or(&none);
            let Some(listed) = self.apis.get(*api) else {
                problems.push(format!("codes.toml has no [{api}.codes]; drawn: {drawn:?}"));
                continue;
            };
            for code in drawn.keys().map(ToString::to_string) {
                if !listed.codes.contains_key(&code) {
                    problems.push(format!(
                        "{api} answers {code}, which codes.toml does not list"
                    ));
                }
                if listed.not_drawn.contains_key(&code) {
                    problems.push(format!("{api}: {code} is drawn: take it out of not_drawn"));
                }
            }
            for (code, when) in &listed.codes {
                let is_drawn = code.parse().is_ok_and(|code| drawn.contains_key(&code));
                if !is_drawn && !listed.not_drawn.contains_key(code) {
                    problems.push(format!("{api}: no request draws {code} ({when})"));
                }
            }
            for (code, why) in &listed.not_drawn {
                if !listed.codes.contains_key(code) {
                    problems.push(format!("{api}: {code} is in not_drawn and not in codes"));
                }
                if let Some(test) = why.get(1)
                    && !is_test(root, test)
                {
                    problems.push(format!("{api}: {code}: there is no test {test}"));
                }
            }
        }
        problems
    }

    /// `API  code times …  not drawn: code (why) …`, one API a line.
    #[must_use]
    pub fn table(&self, drawn: &DrawnCodes) -> String {
        let mut table = String::new();
        for (api, counts) in &drawn.apis {
            // Writing to a string cannot fail.
            let _ = write!(table, "{api:<28}");
            for (code, count) in counts {
                let _ = write!(table, " {code}:{count}");
            }
            for (code, why) in self
                .apis
                .get(api)
                .into_iter()
                .flat_map(|api| &api.not_drawn)
            {
                let why = why.first().map_or("", String::as_str);
                let _ = write!(table, "  not {code} ({why})");
            }
            table.push('\n');
        }
        table
    }
}

/// True if `test` is `file::function` of the project.
fn is_test(root: &Path, test: &str) -> bool {
    test.split_once("::").is_some_and(|(file, function)| {
        read_text(&root.join(file)).is_ok_and(|text| text.contains(&format!("fn {function}(")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::Frames;
    use serde_json::json;

    #[test]
    fn what_is_drawn_and_what_is_listed_have_to_agree() {
        let codes: ErrorCodes = toml::from_str(
            "[Fetch.codes]\n-1 = 'a'\n1 = 'b'\n3 = 'c'\n[Fetch.not_drawn]\n3 = ['d', 'none.rs::e']",
        )
        .expect("of its form");
        let mut drawn = DrawnCodes::default();
        drawn.count(&Exchange {
            label: String::new(),
            version: 4,
            request: ("Fetch".to_owned(), 4),
            outcome: json!({"errorCode": 0, "parts": [{"topicErrorCode": -1}, {"errorCode": 6}]}),
            frames: Frames::default(),
        });
        let problems = codes.problems(&drawn, &["Fetch", "Metadata"], Path::new("."));
        assert_eq!(problems.len(), 4, "{problems:?}");
        for (problem, told) in problems.iter().zip(["6", "draws 1", "no test", "Metadata"]) {
            assert!(problem.contains(told), "{problem}");
        }
    }
}
