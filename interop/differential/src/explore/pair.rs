//! Two brokers that are asked the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{LATE_APIS, Walk};
use crate::compare::differences_of;
use crate::golden::Golden;
use crate::normal::Rules;
use crate::play::{Player, now_ms};
use crate::schema::Schemas;
use crate::sequence::{Sequence, Step};
use crate::variables::Variables;
use crate::{Difference, Lists, Stopped};

/// Longer than an answer takes that does not wait for other requests.
const PATIENCE_MS: u64 = 3_000;

/// How long a broker gets to take in a request that waits, before the next one is sent. Kafka answers
/// within a few milliseconds what it can answer.
const SETTLE: Duration = Duration::from_millis(15);

/// How long a broker gets to hear of such a change.
const PUBLISHING: Duration = Duration::from_millis(120);

/// What became of a step.
#[derive(Debug, Default)]
pub(super) struct Put {
    /// API that was asked.
    pub(super) api: String,
    /// What the first broker answered, made comparable; null for a request in the background.
    pub(super) outcome: Value,
    pub(super) differences: Vec<Difference>,
}

pub(super) struct Pair<'a> {
    players: [Player<'a>; 2],
    /// File by which lists of differences name the steps.
    file: String,
    lists: &'a Lists,
    /// Steps that wait in the background, by name.
    background: BTreeMap<String, Value>,
    position: usize,
}

impl<'a> Pair<'a> {
    /// Connects, and creates the topics of the walk. `name` is in the names of topics and groups: no
    /// other walk before these brokers may have it.
    pub(super) fn begin(
        addresses: [SocketAddr; 2],
        schemas: &'a Schemas,
        rules: &'a Rules,
        lists: &'a Lists,
        walk: &dyn Walk,
        name: &str,
    ) -> Result<Self, Stopped> {
        let own = schemas.api(walk.api())?;
        let sequence = json!({"name": walk.sequence(), "create": walk.topics(), "steps": []});
        // Lives as long as the process: a few hundred bytes a walk.
        let sequence: &'static Sequence = Box::leak(Box::new(parsed(sequence)?));
        let now_ms = now_ms();
        let players = addresses.map(|address| {
            let variables = Variables::new(&format!("x.{name}."), now_ms);
            Player::new(address, schemas, rules, own, sequence, variables)
        });
        let mut pair = Self {
            players,
            file: walk.file().to_owned(),
            lists,
            background: BTreeMap::new(),
            position: 0,
        };
        for player in &mut pair.players {
            player.create_topics()?;
        }
        Ok(pair)
    }

    /// Puts a step to both and compares.
    pub(super) fn put(&mut self, step: &Value) -> Result<Put, Stopped> {
        let mut read: Step = parsed(step.clone())?;
        if read.background.is_none() && read.patience_ms.is_none() {
            read.patience_ms = Some(PATIENCE_MS);
        }
        self.position += 1;
        let name = match read.name.as_str() {
            "" => self.position.to_string(),
            name => name.to_owned(),
        };
        let mut answers = Vec::new();
        for player in &mut self.players {
            player.step(&read, &name)?;
            let mut exchanges = std::mem::take(&mut player.exchanges);
            for exchange in &mut exchanges {
                order(&mut exchange.outcome);
            }
            answers.push(Golden { exchanges });
        }
        let mut put = Put::default();
        if let Some(name) = &read.background {
            self.background.insert(name.clone(), step.clone());
            for player in &mut self.players {
                player.is_answered(name, SETTLE);
            }
        }
        let asked = read.api.as_deref().unwrap_or_default();
        let brings_regex = step["body"]["subscribedTopicRegex"].is_string();
        if LATE_APIS.contains(&asked) || brings_regex {
            // Nothing tells when the broker has heard, or has searched its topics.
            std::thread::sleep(PUBLISHING);
        }
        if let Some(name) = &read.awaits {
            self.background.remove(name);
        }
        if let Some(exchange) = answers[0].exchanges.first() {
            put.api = exchange.request.0.clone();
            put.outcome = exchange.outcome.clone();
        }
        put.differences = differences_of(&self.file, &answers[0], &answers[1]);
        put.differences
            .retain(|difference| !self.lists.is_deliberate(difference));
        Ok(put)
    }

    /// Steps that take the answers which one of the brokers has given by now.
    pub(super) fn answered(&mut self) -> Vec<Value> {
        let names: Vec<String> = self.players[0].waiting();
        let mut steps = Vec::new();
        for name in names {
            if self.is_answered(&name, Duration::from_millis(1)) {
                let mut step = json!({"await": name, "patience_ms": PATIENCE_MS});
                if let Some(capture) = self.background.get(&name).and_then(|it| it.get("capture")) {
                    step["capture"] = capture.clone();
                }
                steps.push(step);
            }
        }
        steps
    }

    /// True if one of the brokers has answered the request of this name, or does within `wait`.
    pub(super) fn is_answered(&mut self, name: &str, wait: Duration) -> bool {
        self.players
            .iter_mut()
            .any(|player| player.is_answered(name, wait))
    }
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Stopped> {
    let shown = value.to_string();
    serde_json::from_value(value)
        .map_err(|error| Stopped::because(format!("{error} in the step {shown}")))
}

/// Sorts every list of structs or texts: brokers give them in the order of their tables. What is
/// answered twice is kept once: `sequences/` holds how often each list answers the same question.
fn order(outcome: &mut Value) {
    match outcome {
        Value::Array(values) => {
            // Kafka fills up a limit with the head of the next batch.
            values.retain(|value| value.get("cut off").is_none());
            merge(values);
            values.iter_mut().for_each(order);
            if values
                .iter()
                .all(|value| value.is_object() || value.is_string())
            {
                values.sort_by_key(ToString::to_string);
                values.dedup();
            }
        }
        Value::Object(fields) => {
            let fields: &mut Map<String, Value> = fields;
            let is_batch = |name: &str| name == "records";
            fields
                .iter_mut()
                .filter(|(name, _)| !is_batch(name))
                .for_each(|(_, value)| order(value));
        }
        _ => {}
    }
}

/// Kafka names a topic twice in an answer of a fetch session when another one lies between.
fn merge(values: &mut Vec<Value>) {
    let mut merged: Vec<Value> = Vec::new();
    for mut value in values.drain(..) {
        let name = |value: &Value| (value.get("topic").cloned(), value.get("topicId").cloned());
        let own = name(&value);
        let is_topic = own != (None, None) && value.get("partitions").is_some_and(Value::is_array);
        let known = merged
            .iter_mut()
            .find(|known| is_topic && name(known) == own);
        match known.and_then(|known| known["partitions"].as_array_mut()) {
            Some(partitions) => partitions.extend(
                value["partitions"]
                    .as_array_mut()
                    .into_iter()
                    .flat_map(std::mem::take),
            ),
            None => merged.push(value),
        }
    }
    *values = merged;
}
