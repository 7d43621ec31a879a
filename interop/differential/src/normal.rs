//! Makes answers comparable: `rules.json` says which fields hold ids, times, ports and free texts, and
//! where order means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::variables::Variables;
use crate::{Stopped, read_json};

/// What `rules.json` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Free texts: only null, empty or there.
    texts: BTreeSet<String>,
    /// Times of a clock: null values (-1) stay, those that the client has set are told as such.
    times: BTreeSet<String>,
    /// Numbers that a broker chooses (a field of all APIs, or `Api.field`), and the lowest that it can
    /// choose: those below stay, those that were captured are named.
    numbers: BTreeMap<String, i64>,
    /// Texts that a broker chooses: null, empty and captured ones stay.
    names: BTreeSet<String>,
    /// Ports: the broker's own, or another one.
    ports: BTreeSet<String>,
    /// Arrays without an order, told as maps: `Api.field`, and the field to name entries by.
    keyed: BTreeMap<String, String>,
    /// Other arrays without an order.
    sorted: BTreeSet<String>,
    /// Configuration whose value belongs to the machine.
    configs: BTreeSet<String>,
}

impl Rules {
    /// Reads `rules.json`.
    ///
    /// # Errors
    /// When it is not of this form.
    pub fn read(home: &Path) -> Result<Self, Stopped> {
        read_json(&home.join("rules.json"))
    }

    pub(crate) fn apply(
        &self,
        api: &str,
        outcome: Value,
        variables: &Variables,
        port: u16,
    ) -> Value {
        let walk = Walk {
            rules: self,
            api,
            variables,
            port: i64::from(port),
        };
        walk.value("", outcome)
    }
}

struct Walk<'a> {
    rules: &'a Rules,
    api: &'a str,
    variables: &'a Variables,
    port: i64,
}

impl Walk<'_> {
    fn value(&self, field: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(values) => self.array(field, values),
            Value::String(text) => self.text(field, &text),
            Value::Number(number) => match number.as_i64() {
                Some(number) => self.number(field, number),
                None => Value::Number(number),
            },
            other => other,
        }
    }

    fn object(&self, mut fields: Map<String, Value>) -> Value {
        let name = fields.get("name").and_then(Value::as_str);
        let is_of_machine = name.is_some_and(|name| self.rules.configs.contains(name));
        if is_of_machine && let Some(value) = fields.get_mut("value") {
            let is_set = value.as_str().is_some_and(|text| !text.is_empty());
            if is_set {
                *value = json!("of this machine");
            }
        }
        fields
            .into_iter()
            .map(|(name, value)| {
                let value = self.value(&name, value);
                (name, value)
            })
            .collect()
    }

    fn array(&self, field: &str, values: Vec<Value>) -> Value {
        let place = format!("{}.{field}", self.api);
        let mut values: Vec<Value> = values
            .into_iter()
            .map(|value| self.value(field, value))
            .collect();
        if self.rules.sorted.contains(&place) {
            values.sort_by_key(ToString::to_string);
        }
        let Some(by) = self.rules.keyed.get(&place) else {
            return Value::Array(values);
        };
        let mut named = Map::new();
        for (position, mut value) in values.into_iter().enumerate() {
            let mut name = match value.get(by) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => position.to_string(),
            };
            if let Some(fields) = value.as_object_mut() {
                fields.remove(by);
            }
            while named.contains_key(&name) {
                name.push_str(" again");
            }
            named.insert(name, value);
        }
        Value::Object(named)
    }

    fn text(&self, field: &str, text: &str) -> Value {
        if text.is_empty() {
            return json!("");
        }
        if self.rules.texts.contains(field) {
            return json!("text");
        }
        let named = self.variables.name_text(text);
        let is_known = self.variables.is_value(text);
        let is_of_broker = self.rules.names.contains(field) && !is_known && text != "zero";
        json!(if is_of_broker { "some" } else { &named })
    }

    fn number(&self, field: &str, number: i64) -> Value {
        if self.rules.ports.contains(field) {
            let is_own = number == self.port;
            return json!(if is_own { "own" } else { "another" });
        }
        if number > 0 && self.rules.times.contains(field) {
            return json!(self.variables.name_time(number));
        }
        let numbers = &self.rules.numbers;
        let lowest = numbers
            .get(field)
            .or_else(|| numbers.get(&format!("{}.{field}", self.api)));
        if lowest.is_some_and(|lowest| number >= *lowest) {
            let name = self.variables.name_number(number);
            return json!(name.unwrap_or_else(|| "some".to_owned()));
        }
        json!(number)
    }
}
