//! Puts sequences to a broker and tells what it answered.

mod setup;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Stopped;
use crate::boundaries;
use crate::connection::{Arrived, Connection, Head};
use crate::message;
use crate::normal::Rules;
use crate::schema::{Api, Schemas, Versions};
use crate::sequence::{Sequence, SequenceFile, Step};
use crate::variables::Variables;
use crate::wire::from_hex;

/// How long a condition is waited for that a broker fulfils within milliseconds.
const CONDITION_WAIT: Duration = Duration::from_secs(30);

/// How far before the clock `$now` lies, in milliseconds.
const NOW_BEFORE_CLOCK_MS: i64 = 600_000;

/// A request and what became of it, made comparable.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// `sequence/step`, and API and version of a step that is not of the sequence's own.
    pub label: String,
    /// Version that the label is told apart by.
    pub version: i16,
    /// Name of the API, and version of the request.
    pub request: (String, i16),
    /// The answer's body, or a text: `closed`, `no answer` …
    pub outcome: Value,
    /// What went over the wire; not recorded.
    pub(crate) frames: Frames,
}

/// A request and its answer as bytes, without the length in front.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Frames {
    /// True if the request is meant to be well-formed.
    pub(crate) is_plain: bool,
    pub(crate) request: Vec<u8>,
    /// Empty if there was none.
    pub(crate) answer: Vec<u8>,
}

/// Plays all sequences of a file against the broker at `address`; `names` stands in front of the names
/// of their topics and groups.
///
/// # Errors
/// When a sequence cannot be understood, or what it needs cannot be set up.
pub fn play(
    file: &SequenceFile,
    address: SocketAddr,
    schemas: &Schemas,
    rules: &Rules,
    names: &str,
) -> Result<Vec<Exchange>, Stopped> {
    let now_ms = now_ms();
    let own = schemas.api(&file.api)?;
    let mut exchanges = Vec::new();
    for sequence in &file.sequences {
        let versions: Vec<Option<i16>> = match &sequence.each {
            None => vec![None],
            Some(text) => range(text, own)?.each().map(Some).collect(),
        };
        for each in versions {
            let mut topic = format!("{names}{}.{}", file.name, slug(&sequence.name));
            if let Some(version) = each {
                topic.push_str(&format!("-v{version}"));
            }
            let variables = Variables::new(&topic, now_ms);
            let mut player = Player::new(address, schemas, rules, own, sequence, variables);
            player.each = each;
            player
                .play()
                .map_err(|error| Stopped::because(format!("{topic}: {error}")))?;
            exchanges.append(&mut player.exchanges);
        }
    }
    Ok(exchanges)
}

/// What `$now` stands for in a run that begins now.
pub(crate) fn now_ms() -> i64 {
    let clock_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    clock_ms - NOW_BEFORE_CLOCK_MS
}

fn slug(name: &str) -> String {
    name.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect()
}

/// `all`, `max` or a range of versions.
pub(crate) fn range(text: &str, api: &Api) -> Result<Versions, Stopped> {
    match text {
        "all" => Ok(api.advertised),
        "max" => Ok(Versions {
            first: api.advertised.last,
            last: api.advertised.last,
        }),
        other => Ok(other
            .parse::<Versions>()?
            .both(Versions { first: 0, last: 99 })),
    }
}

/// A request in the background.
struct Waiting {
    api: Api,
    version: i16,
    connection: String,
    correlation_id: i32,
    frames: Frames,
}

/// Puts the steps of one sequence to one broker.
pub(crate) struct Player<'a> {
    address: SocketAddr,
    schemas: &'a Schemas,
    rules: &'a Rules,
    own: &'a Api,
    sequence: &'a Sequence,
    each: Option<i16>,
    variables: Variables,
    connections: BTreeMap<String, Connection>,
    background: BTreeMap<String, Waiting>,
    /// Requests of the sequence so far; names what only one of them speaks of.
    request_count: usize,
    /// What was answered since these were last taken.
    pub(crate) exchanges: Vec<Exchange>,
}

impl<'a> Player<'a> {
    pub(crate) fn new(
        address: SocketAddr,
        schemas: &'a Schemas,
        rules: &'a Rules,
        own: &'a Api,
        sequence: &'a Sequence,
        variables: Variables,
    ) -> Self {
        Self {
            address,
            schemas,
            rules,
            own,
            sequence,
            each: None,
            variables,
            connections: BTreeMap::new(),
            background: BTreeMap::new(),
            request_count: 0,
            exchanges: Vec::new(),
        }
    }

    /// Names of the requests in the background, in the order of their names.
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.background.keys().cloned().collect()
    }

    /// True if the request of this name has an answer, or gets one within `wait`.
    pub(crate) fn is_answered(&mut self, name: &str, wait: Duration) -> bool {
        let Some(waiting) = self.background.get(name) else {
            return false;
        };
        let connection = waiting.connection.clone();
        self.connections
            .get_mut(&connection)
            .is_some_and(|connection| connection.is_readable(wait))
    }

    fn play(&mut self) -> Result<(), Stopped> {
        self.create_topics()?;
        for (position, step) in self.sequence.steps.iter().enumerate() {
            let name = if step.name.is_empty() {
                position.to_string()
            } else {
                step.name.clone()
            };
            self.step(step, &name)
                .map_err(|error| Stopped::because(format!("step {name}: {error}")))?;
        }
        self.delete_topics()
    }

    pub(crate) fn step(&mut self, step: &Step, name: &str) -> Result<(), Stopped> {
        if let Some(mut waiting) = step
            .awaits
            .as_ref()
            .and_then(|name| self.background.remove(name))
        {
            let label = format!("{}/{name}", self.sequence.name);
            let patience = step.patience_ms.map(Duration::from_millis);
            let arrived = self.connection(&waiting.connection).receive(patience);
            let outcome = outcome_of(arrived, &mut waiting);
            let asked = (&waiting.api, waiting.version);
            self.keep(step, label, asked, outcome, waiting.frames);
            return Ok(());
        }
        let schemas = self.schemas;
        let api = match &step.api {
            Some(api) => schemas.api(api)?,
            None => self.own,
        };
        let is_own = api.key == self.own.key;
        let asked = step.versions.as_deref();
        let (versions, is_each) = match (asked, self.each) {
            (Some("each") | None, Some(version)) if is_own => (
                Versions {
                    first: version,
                    last: version,
                },
                true,
            ),
            (None, _) => (range(if is_own { "all" } else { "max" }, api)?, false),
            (Some(text), _) => (range(text, api)?, false),
        };
        for version in versions.each() {
            let mut label = format!("{}/{name}", self.sequence.name);
            if !is_own || (self.each.is_some() && !is_each) {
                label = format!("{label} {} v{version}", api.name);
            }
            if !step.is_pattern() {
                self.request(step, label, api, version)?;
                continue;
            }
            // The frames around this body all have the same names in it.
            self.name_new(0);
            let bytes = self.body(step, api, version)?;
            let body = self.unfilled(step, api)?;
            for made in boundaries::steps_of(step, api, version, &body, &bytes) {
                let label = format!("{label}: {}", made.name);
                self.request(&made, label, api, version)?;
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        step: &Step,
        label: String,
        api: &Api,
        version: i16,
    ) -> Result<(), Stopped> {
        self.request_count += 1;
        self.name_new(self.request_count);
        let body = match &step.raw {
            Some(hex) => from_hex(hex)?,
            None => match self.body(step, api, version) {
                Ok(body) => body,
                // What an earlier answer did not give cannot be sent: that answer differs, and so does this.
                Err(error) => {
                    let outcome = json!(format!("not sent: {error}"));
                    self.keep(step, label, (api, version), outcome, Frames::default());
                    return Ok(());
                }
            },
        };
        let mut body = body;
        body.extend(from_hex(&step.append)?);
        let started = Instant::now();
        loop {
            let mut waiting = self.send(step, api, version, &body);
            if let Some(name) = &step.background {
                self.background.insert(name.clone(), waiting);
                return Ok(());
            }
            let arrived = if step.silent {
                self.after(&waiting)
            } else {
                let patience = step.patience_ms.map(Duration::from_millis);
                self.connection(&waiting.connection).receive(patience)
            };
            let outcome = outcome_of(arrived, &mut waiting);
            if step.until.is_empty() {
                self.keep(step, label, (api, version), outcome, waiting.frames);
                return Ok(());
            }
            let is_reached = step
                .until
                .iter()
                .all(|(at, value)| outcome.pointer(at) == Some(&self.variables.fill(value)));
            if is_reached {
                self.capture(step, &outcome);
                return Ok(());
            }
            if started.elapsed() > CONDITION_WAIT {
                return Err(Stopped::because(format!("{label}: still {outcome}")));
            }
        }
    }

    fn name_new(&mut self, number: usize) {
        let name = format!("{}.{number}", self.variables.topic_prefix());
        self.variables.set("new", json!(name));
    }

    fn body(&self, step: &Step, api: &Api, version: i16) -> Result<Vec<u8>, Stopped> {
        let body = self.unfilled(step, api)?;
        message::encode(&api.request, version, &self.variables.fill(&body))
    }

    /// The body of a step, with names of variables in it.
    fn unfilled(&self, step: &Step, api: &Api) -> Result<Value, Stopped> {
        let mut body = step.body.clone().unwrap_or_else(|| {
            if api.key == self.own.key {
                self.sequence.body.clone()
            } else {
                Value::Null
            }
        });
        for (at, value) in &step.set {
            put(&mut body, at, value.clone())?;
        }
        Ok(body)
    }

    fn send(&mut self, step: &Step, api: &Api, version: i16, body: &[u8]) -> Waiting {
        let is_flexible = api.request.flexible.holds(version);
        let head = Head {
            client_id: match step.client_id.as_deref() {
                None => Some(b"differential".to_vec()),
                Some("") => None,
                Some(other) => message::text_of(&json!(other)).unwrap_or_default(),
            },
            tags: match &step.head {
                Some(hex) => from_hex(hex).unwrap_or_default(),
                None if is_flexible => vec![0],
                None => Vec::new(),
            },
            cut: step.cut,
        };
        let name = step.connection.clone().unwrap_or_default();
        let connection = self.connection(&name);
        let (correlation_id, frame) = connection.send(
            step.key.unwrap_or(api.key),
            step.claim.unwrap_or(version),
            &head,
            body,
        );
        Waiting {
            api: api.clone(),
            version,
            connection: name,
            correlation_id,
            frames: Frames {
                is_plain: step.is_plain(),
                request: frame,
                answer: Vec::new(),
            },
        }
    }

    /// What comes first: the answer, the end of the connection, or that of a request sent after it.
    fn after(&mut self, waiting: &Waiting) -> Arrived {
        let head = Head {
            client_id: None,
            tags: Vec::new(),
            cut: 0,
        };
        let connection = self.connection(&waiting.connection);
        let (probe, _) = connection.send(18, 0, &head, &[]);
        match connection.receive(None) {
            Arrived::Frame { correlation_id, .. } if correlation_id == probe => Arrived::Nothing,
            other => {
                if connection.is_open() {
                    connection.receive(None);
                }
                other
            }
        }
    }

    fn connection(&mut self, name: &str) -> &mut Connection {
        let address = self.address;
        let connection = self
            .connections
            .entry(name.to_owned())
            .or_insert_with(|| Connection::open(address));
        if !connection.is_open() {
            *connection = Connection::open(address);
        }
        connection
    }

    fn capture(&mut self, step: &Step, outcome: &Value) {
        for (name, at) in &step.capture {
            let value = outcome.pointer(at).cloned().unwrap_or(Value::Null);
            self.variables.set(name, value);
        }
    }

    fn keep(
        &mut self,
        step: &Step,
        label: String,
        (api, version): (&Api, i16),
        mut outcome: Value,
        frames: Frames,
    ) {
        self.capture(step, &outcome);
        if let Some(keep) = &step.keep {
            let prefix = self.variables.topic_prefix().to_owned();
            if let Some(Value::Array(entries)) = outcome.pointer_mut(&keep.at) {
                entries.retain(|entry| {
                    let name = entry.get(&keep.field).and_then(Value::as_str);
                    name.is_some_and(|name| name.starts_with(&prefix))
                });
            }
        }
        let outcome = self
            .rules
            .apply(&api.name, outcome, &self.variables, self.address.port());
        self.exchanges.push(Exchange {
            label,
            version: self.each.unwrap_or(version),
            request: (api.name.clone(), version),
            outcome,
            frames,
        });
    }
}

fn outcome_of(arrived: Arrived, waiting: &mut Waiting) -> Value {
    let (correlation_id, rest) = match arrived {
        Arrived::Closed => return json!("closed"),
        Arrived::Nothing => return json!("no answer"),
        Arrived::Frame {
            correlation_id,
            rest,
        } => (correlation_id, rest),
    };
    waiting.frames.answer = [&correlation_id.to_be_bytes(), &rest[..]].concat();
    if correlation_id != waiting.correlation_id {
        return json!("the answer of another request");
    }
    let api = &waiting.api;
    // ApiVersions is answered before versions are agreed upon: its head never has tagged fields.
    let is_api_versions = api.name == "ApiVersions";
    let has_tags = api.response.flexible.holds(waiting.version) && !is_api_versions;
    let body = match (has_tags, rest.split_first()) {
        (true, Some((0, body))) => body,
        (true, _) => return json!("a head with tagged fields"),
        (false, _) => &rest,
    };
    // An ApiVersions of an unknown version is answered in version 0 (KIP-511).
    let readings = [waiting.version, 0];
    let readings = &readings[..if is_api_versions { 2 } else { 1 }];
    let mut outcome = json!("nothing");
    for version in readings {
        match message::decode(&api.response, *version, body) {
            Ok(read) if read.get("left over").is_none() => return read,
            Ok(read) => outcome = read,
            Err(error) => outcome = json!(format!("unreadable: {error}")),
        }
    }
    outcome
}

/// Puts a value at a JSON pointer; the last part may be a new field or `-`, the end of an array.
pub(crate) fn put(body: &mut Value, at: &str, value: Value) -> Result<(), Stopped> {
    let bad = || Stopped::because(format!("nothing is at {at}"));
    let (parent, last) = at.rsplit_once('/').ok_or_else(bad)?;
    match body.pointer_mut(parent).ok_or_else(bad)? {
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(values) if last == "-" => values.push(value),
        Value::Array(values) => {
            let index: usize = last.parse().map_err(|_| bad())?;
            *values.get_mut(index).ok_or_else(bad)? = value;
        }
        empty @ Value::Null => *empty = json!({last: value}),
        _ => return Err(bad()),
    }
    Ok(())
}
