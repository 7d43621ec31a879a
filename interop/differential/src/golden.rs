//! Kafka's answers as they lie in `golden/`: each different answer once, on a line of its own, and for
//! each request the number of its answer by version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::play::{Exchange, Frames};
use crate::{Stopped, read_json};

/// The recorded answers of one file of sequences.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Golden {
    /// In the order in which they were asked.
    pub exchanges: Vec<Exchange>,
}

/// One request in the file: its name, API, version of the request if it is always the same one, and
/// `versions answer` pairs as `0-3:5 4:6`.
#[derive(Debug, Deserialize)]
struct Stored {
    answers: Vec<Value>,
    requests: Vec<(String, String, Option<i16>, String)>,
}

fn path(home: &Path, name: &str) -> PathBuf {
    home.join("golden").join(format!("{name}.json"))
}

/// First and last version that have an answer, and its number.
type Place = (i16, i16, usize);

impl Golden {
    /// What was recorded for the file of this name.
    ///
    /// # Errors
    /// When there is no record, or it is not of this form.
    pub fn read(home: &Path, name: &str) -> Result<Self, Stopped> {
        let path = path(home, name);
        let stored: Stored = read_json(&path)?;
        let bad = || Stopped::because(format!("{} is not of its form", path.display()));
        let mut exchanges = Vec::new();
        for (label, api, fixed, places) in stored.requests {
            for place in places.split(' ') {
                let (versions, answer) = place.split_once(':').ok_or_else(bad)?;
                let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
                let first: i16 = first.parse().map_err(|_| bad())?;
                let last: i16 = last.parse().map_err(|_| bad())?;
                let answer: usize = answer.parse().map_err(|_| bad())?;
                let outcome = stored.answers.get(answer).ok_or_else(bad)?;
                exchanges.extend((first..=last).map(|version| Exchange {
                    label: label.clone(),
                    version,
                    request: (api.clone(), fixed.unwrap_or(version)),
                    outcome: outcome.clone(),
                    frames: Frames::default(),
                }));
            }
        }
        Ok(Self { exchanges })
    }

    /// What was asked just now.
    #[must_use]
    pub fn of(exchanges: Vec<Exchange>) -> Self {
        let mut golden = Self { exchanges };
        golden.order();
        golden
    }

    /// Requests in the order in which they were first asked, then by version: as they are written.
    fn order(&mut self) {
        let mut first = BTreeMap::new();
        for (position, exchange) in self.exchanges.iter().enumerate() {
            first.entry(exchange.label.clone()).or_insert(position);
        }
        self.exchanges
            .sort_by_key(|exchange| (first[&exchange.label], exchange.version));
    }

    /// Writes the record of the file of this name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, home: &Path, name: &str) -> Result<(), Stopped> {
        let path = path(home, name);
        std::fs::write(&path, self.text())
            .map_err(|error| Stopped::because(format!("{}: {error}", path.display())))
    }

    fn text(&self) -> String {
        let mut answers: Vec<&Value> = Vec::new();
        let mut requests: Vec<(&str, &str, Option<i16>, Vec<Place>)> = Vec::new();
        for exchange in &self.exchanges {
            let known = answers.iter().position(|known| **known == exchange.outcome);
            let number = known.unwrap_or_else(|| {
                answers.push(&exchange.outcome);
                answers.len() - 1
            });
            let version = exchange.version;
            let (api, asked) = &exchange.request;
            let fixed = (*asked != version || exchange.label.contains(" v")).then_some(*asked);
            match requests.last_mut() {
                Some((label, _, known, places)) if *label == exchange.label => {
                    *known = known.or(fixed);
                    match places.last_mut() {
                        Some((_, last, place)) if *place == number && *last + 1 == version => {
                            *last = version;
                        }
                        _ => places.push((version, version, number)),
                    }
                }
                _ => requests.push((
                    &exchange.label,
                    api,
                    fixed,
                    vec![(version, version, number)],
                )),
            }
        }
        let mut text = String::from("{\"answers\":[\n");
        let lines: Vec<String> = answers.iter().map(ToString::to_string).collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n],\"requests\":[\n");
        let lines: Vec<String> = requests
            .iter()
            .map(|(label, api, fixed, places)| {
                let places: Vec<String> = places.iter().map(written).collect();
                serde_json::json!([label, api, fixed, places.join(" ")]).to_string()
            })
            .collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n]}\n");
        text
    }
}

fn written((first, last, answer): &Place) -> String {
    if first == last {
        format!("{first}:{answer}")
    } else {
        format!("{first}-{last}:{answer}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let exchange = |label: &str, version, asked, outcome| Exchange {
            label: label.to_owned(),
            version,
            request: ("Fetch".to_owned(), asked),
            outcome,
            frames: Frames::default(),
        };
        let golden = Golden::of(vec![
            exchange("a/0", 4, 4, json!({"errorCode": 0})),
            exchange("a/1 Fetch v18", 4, 18, json!("closed")),
            exchange("a/0", 5, 5, json!({"errorCode": 0})),
            exchange("a/1 Fetch v18", 5, 18, json!("closed")),
        ]);
        let home = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(home.path().join("golden")).expect("it is ours");
        golden.write(home.path(), "x").expect("it can be written");
        let read = Golden::read(home.path(), "x").expect("it was written");
        assert_eq!(read, golden);
    }
}
