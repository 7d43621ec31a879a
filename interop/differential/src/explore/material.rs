//! The requests of `sequences/` as material for others: each sequence with its good requests, and all
//! that they say in each field.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::Stopped;
use crate::play::put;
use crate::read_json;
use crate::schema::{Field, Schemas};
use crate::sequence::SequenceFile;

/// APIs whose requests change more than what has the name of a walk.
const LASTING: [&str; 1] = ["UpdateFeatures"];

/// Keys of a step that stay in the request that is taken of it.
const KEPT: [&str; 6] = [
    "api",
    "versions",
    "capture",
    "connection",
    "keep",
    "patience_ms",
];

/// Keys of steps that are no good requests, or wait for others.
const PASSED_OVER: [&str; 8] = [
    "raw",
    "cut",
    "append",
    "key",
    "claim",
    "head",
    "background",
    "await",
];

/// A sequence without what is malformed or waits.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: String,
    /// API of the file.
    pub(super) api: String,
    pub(super) name: String,
    pub(super) each: Option<String>,
    pub(super) create: Value,
    /// Each with a name and a whole body.
    pub(super) steps: Vec<Value>,
}

#[derive(Debug, Default)]
pub(super) struct Material {
    pub(super) sources: Vec<Source>,
    /// By API and names of fields, as `Fetch.topics.topic`.
    said: BTreeMap<String, BTreeSet<String>>,
}

impl Material {
    /// Takes the files with one of `only` in their names, which commas part.
    pub(super) fn read(home: &Path, schemas: &Schemas, only: &str) -> Result<Self, Stopped> {
        let mut material = Self::default();
        for file in SequenceFile::read_all(home)? {
            let path = home.join(format!("sequences/{}.json", file.name));
            let whole: Value = read_json(&path)?;
            let sequences = whole["sequences"].as_array();
            for sequence in sequences.into_iter().flatten() {
                let source = source_of(&file, sequence)?;
                for step in &source.steps {
                    let api = schemas.api(step["api"].as_str().unwrap_or(&file.api))?;
                    material.take_in(&api.name, &api.request.fields, &step["body"]);
                }
                if only.split(',').any(|part| file.name.contains(part)) && !source.steps.is_empty()
                {
                    material.sources.push(source);
                }
            }
        }
        if material.sources.is_empty() {
            return Err(Stopped::because(format!(
                "no file of sequences is called {only:?}"
            )));
        }
        Ok(material)
    }

    fn take_in(&mut self, at: &str, fields: &[Field], body: &Value) {
        for field in fields {
            let Some(value) = body.get(&field.name) else {
                continue;
            };
            let at = format!("{at}.{}", field.name);
            self.said
                .entry(at.clone())
                .or_default()
                .insert(value.to_string());
            match value {
                Value::Array(values) if !field.fields.is_empty() => {
                    for value in values {
                        self.take_in(&at, &field.fields, value);
                    }
                }
                _ => self.take_in(&at, &field.fields, value),
            }
        }
    }

    /// What the requests say in this field and `is_known` lets through.
    pub(super) fn said(&self, field: &str, is_known: impl Fn(&str) -> bool) -> Vec<Value> {
        let texts = self.said.get(field).into_iter().flatten();
        texts
            .filter(|text| is_known(text))
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect()
    }
}

fn source_of(file: &SequenceFile, sequence: &Value) -> Result<Source, Stopped> {
    let mut steps = Vec::new();
    let listed = sequence["steps"].as_array();
    for (position, step) in listed.into_iter().flatten().enumerate() {
        let api = step["api"].as_str().unwrap_or(&file.api);
        let is_passed_over = PASSED_OVER.iter().any(|key| step.get(key).is_some());
        if is_passed_over || LASTING.contains(&api) {
            continue;
        }
        let mut body = match step.get("body") {
            Some(body) => body.clone(),
            None if api == file.api => sequence["body"].clone(),
            None => Value::Null,
        };
        for (at, value) in step["set"].as_object().into_iter().flatten() {
            put(&mut body, at, value.clone())?;
        }
        if body.is_null() {
            body = json!({});
        }
        let position = json!(position.to_string());
        let name = step.get("name").unwrap_or(&position);
        let mut taken = json!({"name": name, "body": body});
        for key in KEPT {
            if let Some(value) = step.get(key) {
                taken[key] = value.clone();
            }
        }
        steps.push(taken);
    }
    Ok(Source {
        file: file.name.clone(),
        api: file.api.clone(),
        name: sequence["name"].as_str().unwrap_or_default().to_owned(),
        each: sequence["each"].as_str().map(str::to_owned),
        create: sequence.get("create").cloned().unwrap_or(json!([])),
        steps,
    })
}
