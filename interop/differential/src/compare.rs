//! Compares two records of the same sequences field by field.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::golden::Golden;

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

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| match value {
            None => "(nothing)".to_owned(),
            Some(value) => {
                let mut text = value.to_string();
                if text.len() > 200 {
                    let end = (0..200).rev().find(|end| text.is_char_boundary(*end));
                    text.truncate(end.unwrap_or(0));
                    text.push('…');
                }
                text
            }
        };
        let (kafka, other) = (shown(&self.kafka), shown(&self.other));
        let Self {
            request,
            version,
            path,
            ..
        } = self;
        write!(
            f,
            "{request} v{version}  {path}  kafka {kafka}  here {other}"
        )
    }
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
