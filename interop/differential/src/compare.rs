//! Compares two records of the same sequences field by field.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::golden::Golden;

/// Letters of a value that are shown.
const SHOWN_MAX: usize = 200;

/// A field that the two brokers answer differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `file: sequence/step`.
    pub request: String,
    /// Version of the request or of its sequence.
    pub version: i16,
    /// Names of fields and positions in arrays, with dots between them; empty for the whole answer.
    pub path: String,
    /// What Kafka says; `None` if it has no such field.
    pub kafka: Option<Value>,
    /// What the other broker says.
    pub other: Option<Value>,
}

impl Difference {
    /// True if only one side was asked, so there is nothing to compare.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.path.is_empty() && (self.kafka.is_none() || self.other.is_none())
    }
}

/// One line for each difference, with all versions that have the same one: `kafka` and `other` are what
/// the two sides are called.
#[must_use]
pub fn lines_of<'a>(
    differences: impl IntoIterator<Item = &'a Difference>,
    [kafka, other]: [&str; 2],
) -> Vec<String> {
    let mut lines: Vec<(String, String, Vec<i16>)> = Vec::new();
    let mut places = BTreeMap::new();
    for difference in differences {
        let said = format!(
            "{}  {kafka} {}  {other} {}",
            difference.path,
            shown(&difference.kafka),
            shown(&difference.other)
        );
        let place = *places
            .entry((&difference.request, said.clone()))
            .or_insert(lines.len());
        if place == lines.len() {
            lines.push((difference.request.clone(), said, Vec::new()));
        }
        lines[place].2.push(difference.version);
    }
    lines
        .into_iter()
        .map(|(request, said, versions)| format!("{request} v{}  {said}", ranges(&versions)))
        .collect()
}

/// `3`, `3-5` or `3-5,7`.
fn ranges(versions: &[i16]) -> String {
    let mut ranges: Vec<(i16, i16)> = Vec::new();
    for version in versions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *version => *last = *version,
            _ => ranges.push((*version, *version)),
        }
    }
    let ranges = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    ranges.collect::<Vec<_>>().join(",")
}

/// As JSON, cut where it is long.
fn shown(value: &Option<Value>) -> String {
    let Some(value) = value else {
        return "(nothing)".to_owned();
    };
    let mut text = value.to_string();
    if text.len() > SHOWN_MAX {
        let end = (0..SHOWN_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// All differences, in the order of the requests. A request that only one side has is one, too.
#[must_use]
pub fn differences_of(file: &str, kafka: &Golden, other: &Golden) -> Vec<Difference> {
    let mut theirs: BTreeMap<(&str, i16), &Value> = other
        .exchanges
        .iter()
        .map(|exchange| {
            (
                (exchange.label.as_str(), exchange.version),
                &exchange.outcome,
            )
        })
        .collect();
    let mut differences = Vec::new();
    for exchange in &kafka.exchanges {
        let other = theirs.remove(&(exchange.label.as_str(), exchange.version));
        compare(
            "",
            Some(&exchange.outcome),
            other,
            &mut |path, kafka, other| {
                differences.push(Difference {
                    request: format!("{file}: {}", exchange.label),
                    version: exchange.version,
                    path,
                    kafka,
                    other,
                });
            },
        );
    }
    for ((label, version), outcome) in theirs {
        differences.push(Difference {
            request: format!("{file}: {label}"),
            version,
            path: String::new(),
            kafka: None,
            other: Some(outcome.clone()),
        });
    }
    differences
}

fn compare(
    path: &str,
    kafka: Option<&Value>,
    other: Option<&Value>,
    tell: &mut impl FnMut(String, Option<Value>, Option<Value>),
) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match (kafka, other) {
        (Some(kafka), Some(other)) if kafka == other => {}
        (Some(Value::Object(kafka)), Some(Value::Object(other))) => {
            for (name, value) in kafka {
                compare(&below(name), Some(value), other.get(name), tell);
            }
            for (name, value) in other {
                if !kafka.contains_key(name) {
                    tell(below(name), None, Some(value.clone()));
                }
            }
        }
        (Some(Value::Array(kafka)), Some(Value::Array(other))) => {
            for position in 0..kafka.len().max(other.len()) {
                let name = below(&position.to_string());
                compare(&name, kafka.get(position), other.get(position), tell);
            }
        }
        (kafka, other) => tell(path.to_owned(), kafka.cloned(), other.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_with_the_same_difference_share_a_line() {
        let difference = |version, other| Difference {
            request: "01-fetch: a/b".to_owned(),
            version,
            path: "c".to_owned(),
            kafka: Some(json!(1)),
            other,
        };
        let differences = [
            difference(4, None),
            difference(5, None),
            difference(6, Some(json!(2))),
            difference(8, None),
        ];
        assert_eq!(
            lines_of(&differences, ["was", "is"]),
            [
                "01-fetch: a/b v4-5,8  c  was 1  is (nothing)",
                "01-fetch: a/b v6  c  was 1  is 2"
            ]
        );
    }

    #[test]
    fn each_field_that_differs_is_told_once() {
        let mut told = Vec::new();
        let kafka = json!({"a": [1, {"b": null}], "c": 1});
        let other = json!({"a": [1, {"b": ""}, 3], "d": 1});
        compare("", Some(&kafka), Some(&other), &mut |path, _, _| {
            told.push(path)
        });
        assert_eq!(told, ["a.1.b", "a.2", "c", "d"]);
    }
}
