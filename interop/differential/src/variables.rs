//! Values that a sequence gives names to: put into requests, and found again in answers.
//!
//! `$name` alone takes the value as it is, `$now+5` a time, `${name}` becomes a part of a text.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::{Writer, to_hex};

/// Milliseconds after `now` that still count as a time the client has set.
const CLIENT_TIMES_MS: i64 = 240_000;

#[derive(Debug, Clone)]
pub(crate) struct Variables {
    values: BTreeMap<String, Value>,
    /// What `$now` stands for: ten minutes before the run, so that it is no time of the broker's.
    now_ms: i64,
}

impl Variables {
    pub(crate) fn new(topic: &str, now_ms: i64) -> Self {
        let mut variables = Self {
            values: BTreeMap::new(),
            now_ms,
        };
        variables.set("t", json!(topic));
        variables
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    pub(crate) fn topic_prefix(&self) -> &str {
        self.values
            .get("t")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Puts values in place of names.
    pub(crate) fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill_text(text),
            Value::Array(values) => values.iter().map(|value| self.fill(value)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), self.fill(value)))
                .collect(),
            other => other.clone(),
        }
    }

    fn fill_text(&self, text: &str) -> Value {
        if let Some(name) = text.strip_prefix('$') {
            if let Some(offset) = name.strip_prefix("now") {
                let offset = offset.trim_start_matches('+').parse().unwrap_or(0);
                return json!(self.now_ms + offset);
            }
            if let Some(value) = self.values.get(name) {
                return value.clone();
            }
            // `$pid+1`: a number that is close to one that was seen.
            if let Some((name, offset)) = name.split_once('+')
                && let (Some(value), Ok(offset)) = (
                    self.values.get(name).and_then(Value::as_i64),
                    offset.parse::<i64>(),
                )
            {
                return json!(value + offset);
            }
        }
        let mut filled = text.to_owned();
        for (name, value) in &self.values {
            if let Some(value) = value.as_str() {
                filled = filled.replace(&format!("${{{name}}}"), value);
            }
        }
        Value::String(filled)
    }

    /// Puts names in place of the texts that the sequence knows, also within bytes.
    pub(crate) fn name_text(&self, text: &str) -> String {
        let mut known: Vec<(&str, &str)> = self
            .values
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .filter(|(_, value)| value.len() > 3)
            .collect();
        known.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let is_bytes = text.starts_with("hex:");
        let mut named = text.to_owned();
        for (name, value) in known {
            let value = match is_bytes {
                true => hex_of_text(value),
                false => value.to_owned(),
            };
            named = named.replace(&value, &format!("${name}"));
        }
        named
    }

    /// True if a variable has this text.
    pub(crate) fn is_value(&self, text: &str) -> bool {
        self.values
            .values()
            .any(|value| value.as_str() == Some(text))
    }

    /// Name of the variable that has this number.
    pub(crate) fn name_number(&self, number: i64) -> Option<String> {
        self.values
            .iter()
            .find(|(_, value)| value.as_i64() == Some(number))
            .map(|(name, _)| format!("${name}"))
    }

    /// How a time is written: as an offset to `$now`, or only that it is one.
    pub(crate) fn name_time(&self, time_ms: i64) -> String {
        let offset = time_ms - self.now_ms;
        if (0..CLIENT_TIMES_MS).contains(&offset) {
            format!("$now+{offset}")
        } else {
            "time".to_owned()
        }
    }
}

/// A text with its length of two bytes in front, as consumers embed it.
fn hex_of_text(text: &str) -> String {
    let mut writer = Writer::default();
    writer.put(&(text.len() as u16).to_be_bytes());
    writer.put(text.as_bytes());
    to_hex(&writer.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_and_found_again() {
        let mut variables = Variables::new("orders-v3", 1000);
        variables.set("pid", json!(4000));
        let filled = variables.fill(&json!(["$t", "${t}.b", "$pid", "$pid+1", "$now+7", "$x"]));
        assert_eq!(
            filled,
            json!(["orders-v3", "orders-v3.b", 4000, 4001, 1007, "$x"])
        );
        assert_eq!(variables.name_text("about orders-v3.b"), "about $t.b");
        let embedded = format!("hex:0001{}ffff", hex_of_text("orders-v3"));
        assert_eq!(variables.name_text(&embedded), "hex:0001$tffff");
        assert_eq!(variables.name_number(4000).as_deref(), Some("$pid"));
        assert_eq!(variables.name_time(1007), "$now+7");
        assert_eq!(variables.name_time(5), "time");
    }
}
