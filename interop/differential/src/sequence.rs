//! Sequences of requests as they lie in `sequences/`, one file an API key. README.md there describes
//! every key of the format.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Stopped, read_json};

/// All sequences of one API key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceFile {
    /// Name of the file without its ending, as `03-metadata`.
    #[serde(skip)]
    pub name: String,
    /// API of the steps that do not name one.
    pub api: String,
    pub(crate) sequences: Vec<Sequence>,
}

impl SequenceFile {
    /// All files of `sequences/`, in the order of their names.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read_all(home: &Path) -> Result<Vec<Self>, Stopped> {
        let folder = home.join("sequences");
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| Stopped::because(format!("{}: {error}", folder.display())))?;
        let mut files = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let mut file: Self = read_json(&path)?;
                let stem = path.file_stem().unwrap_or_default();
                file.name = stem.to_string_lossy().into_owned();
                for sequence in &mut file.sequences {
                    let steps = std::mem::take(&mut sequence.steps);
                    sequence.steps = steps
                        .into_iter()
                        .flat_map(|step| step.for_each_value(&sequence.body))
                        .collect();
                }
                files.push(file);
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

/// Steps that belong together: what comes first may change what comes later.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    /// Runs the whole sequence once for each of these versions of the file's API.
    pub(crate) each: Option<String>,
    /// Body of the steps that have none.
    #[serde(default)]
    pub(crate) body: Value,
    /// Topics that are there, and lead, before the first step.
    #[serde(default)]
    pub(crate) create: Vec<NewTopic>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTopic {
    pub(crate) topic: String,
    #[serde(default = "one")]
    pub(crate) partitions: i32,
    #[serde(default)]
    pub(crate) configs: BTreeMap<String, String>,
    /// Variable that takes the topic's id.
    #[serde(default = "id")]
    pub(crate) id: String,
}

fn one() -> i32 {
    1
}

fn id() -> String {
    "id".to_owned()
}

/// One request, in one or more versions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) api: Option<String>,
    /// `each`, `all`, `max` or a range. Left out: `each` for the file's own API in a sequence that has
    /// one, `all` for it in another, `max` for the other APIs.
    pub(crate) versions: Option<String>,
    pub(crate) body: Option<Value>,
    /// JSON pointers into the body, and what is put there.
    pub(crate) set: BTreeMap<String, Value>,
    /// Variables, and JSON pointers into the answer.
    pub(crate) capture: BTreeMap<String, String>,
    /// Connection of this name instead of the sequence's first one.
    pub(crate) connection: Option<String>,
    /// Bytes to take from the end of the request.
    pub(crate) cut: usize,
    /// Hexadecimal bytes to put after the end of the request.
    pub(crate) append: String,
    /// Hexadecimal bytes instead of a body.
    pub(crate) raw: Option<String>,
    /// API key instead of the API's own.
    pub(crate) key: Option<i16>,
    /// Version in the header instead of that of the body.
    pub(crate) claim: Option<i16>,
    /// Stands for as many requests as this one has fields and they have bounds, each with one of them changed.
    pub(crate) boundaries: bool,
    /// Stands for this request in frames that are not as they should be.
    pub(crate) frames: bool,
    /// Changes that each are a reason to refuse: stands for one request for each of them, and for each two.
    pub(crate) pairs: BTreeMap<String, BTreeMap<String, Value>>,
    /// Names, with `*` for any text, of those that are left out.
    pub(crate) except: Vec<String>,
    /// Hexadecimal bytes in place of the tagged fields of the head.
    pub(crate) head: Option<String>,
    /// Client id instead of `differential`, as text or `hex:…`; an empty text stands for null.
    pub(crate) client_id: Option<String>,
    /// No answer is expected: what comes first on the connection is told.
    pub(crate) silent: bool,
    /// How long an answer is waited for where a broker may give none.
    pub(crate) patience_ms: Option<u64>,
    /// The answer is not waited for until the step that awaits this name.
    pub(crate) background: Option<String>,
    /// Takes the answer of a request in the background.
    #[serde(rename = "await")]
    pub(crate) awaits: Option<String>,
    /// Asks again until the answer has these values at these pointers; not recorded.
    pub(crate) until: BTreeMap<String, Value>,
    /// Entries of the array at this pointer that do not belong to the sequence are left out: those
    /// whose `field` does not start with the sequence's name for topics.
    pub(crate) keep: Option<Keep>,
    /// Stands for one request for each key with each of its values, which the body has as `$key` and `$value`.
    pub(crate) values: Vec<KeysWithValues>,
}

/// Keys that are given the same values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysWithValues {
    /// Names, parted by blanks.
    keys: String,
    values: Vec<Option<String>>,
}

impl Step {
    /// The steps that this one stands for by its `values`; `body` is that of its sequence.
    fn for_each_value(self, body: &Value) -> Vec<Self> {
        let body = self.body.as_ref().unwrap_or(body);
        let mut steps = Vec::new();
        for table in &self.values {
            for key in table.keys.split_whitespace() {
                for value in &table.values {
                    let shown = value
                        .as_deref()
                        .map_or("null".to_owned(), |value| format!("{value:?}"));
                    let filled = |body: &Value| filled(body, key, value.as_deref());
                    steps.push(Self {
                        name: format!("{}: {key} = {shown}", self.name),
                        body: Some(filled(body)),
                        set: self
                            .set
                            .iter()
                            .map(|(at, value)| (at.clone(), filled(value)))
                            .collect(),
                        values: Vec::new(),
                        ..self.clone()
                    });
                }
            }
        }
        if self.values.is_empty() {
            steps.push(self);
        }
        steps
    }

    /// True if it is a pattern for requests, and none itself.
    pub(crate) fn is_pattern(&self) -> bool {
        self.boundaries || self.frames || !self.pairs.is_empty()
    }

    /// True if its requests are frames as they should be.
    pub(crate) fn is_plain(&self) -> bool {
        let has_own_head = self.head.is_some() || self.client_id.is_some();
        let has_own_body = self.raw.is_some() || self.cut > 0 || !self.append.is_empty();
        let is_renamed = self.key.is_some() || self.claim.is_some();
        !has_own_head && !has_own_body && !is_renamed
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keep {
    pub(crate) at: String,
    pub(crate) field: String,
}

/// `body` with a key and a value in the places that are named so.
fn filled(body: &Value, key: &str, value: Option<&str>) -> Value {
    match body {
        Value::String(text) if text == "$key" => Value::from(key),
        Value::String(text) if text == "$value" => Value::from(value),
        Value::Array(values) => values.iter().map(|one| filled(one, key, value)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, one)| (name.clone(), filled(one, key, value)))
            .collect(),
        other => other.clone(),
    }
}
