//! Reading: sessions that grow and forget, offsets out of range, all ways to ask for an offset, with
//! records that are written and deleted in between.

use serde_json::{Value, json};

use super::Walk;
use super::classic_groups::version;
use super::dice::Dice;

#[derive(Debug, Default)]
pub(super) struct Fetch {
    /// Variable of the session, as `$s4`, and its next epoch.
    session: Option<(String, i64)>,
    request_count: usize,
}

impl Walk for Fetch {
    fn api(&self) -> &str {
        "Fetch"
    }

    fn topics(&self) -> Value {
        json!([{"topic": "$t", "partitions": 3}, {"topic": "${t}b", "id": "idb"}])
    }

    fn next(&mut self, dice: &mut Dice) -> Value {
        self.request_count += 1;
        match dice.below(20) {
            0..=3 => write(dice),
            4..=7 => list(dice),
            8 | 9 => epochs(dice),
            10 => delete(dice),
            _ => self.fetch(dice),
        }
    }

    fn heard(&mut self, step: &Value, outcome: &Value) {
        if step["api"] != "Fetch" {
            return;
        }
        let is_good = outcome["errorCode"] == 0;
        let epoch = step["body"]["sessionEpoch"].as_i64().unwrap_or_default();
        let variable = step["capture"]
            .as_object()
            .and_then(|names| names.keys().next());
        let is_new = outcome["sessionId"].as_str().is_some();
        match (&mut self.session, variable) {
            (_, Some(name)) if is_good && is_new => self.session = Some((format!("${name}"), 1)),
            (Some((_, next)), None) if is_good && epoch == *next => *next += 1,
            _ => {}
        }
        if is_good && epoch == -1 && step["body"]["sessionId"] != 0 {
            self.session = None;
        }
    }
}

fn some_topic(dice: &mut Dice) -> (&'static str, &'static str) {
    dice.weighted(&[
        (12, ("$t", "$id")),
        (5, ("${t}b", "$idb")),
        (1, ("${t}none", "00000000000000000000000000000abc")),
    ])
}

fn write(dice: &mut Dice) -> Value {
    let (topic, id) = dice.pick(&[("$t", "$id"), ("${t}b", "$idb")]);
    let index = if topic == "$t" { dice.between(0, 2) } else { 0 };
    let time = format!("$now+{}", dice.between(1, 9));
    let records: Vec<Value> = (0..dice.between(1, 4))
        .map(|_| json!({"value": "v", "timestampDelta": dice.between(0, 3)}))
        .collect();
    json!({"api": "Produce", "versions": "13", "body": {"acks": -1, "timeoutMs": 5000,
        "topicData": [{"name": topic, "topicId": id, "partitionData": [{"index": index, "records": [{"baseTimestamp": time, "records": records}]}]}]}})
}

fn list(dice: &mut Dice) -> Value {
    let partitions: Vec<Value> = dice
        .some(&[0, 1, 2, 5])
        .into_iter()
        .map(|index| {
            let timestamp = match dice.below(10) {
                0 | 1 => json!(format!("$now+{}", dice.between(0, 14))),
                2 => json!(0),
                3 => json!(-7),
                _ => json!(dice.between(-6, -1)),
            };
            json!({"partitionIndex": index, "timestamp": timestamp, "currentLeaderEpoch": some_epoch(dice)})
        })
        .collect();
    json!({"api": "ListOffsets", "versions": version(dice, 1, 11), "body": {"isolationLevel": dice.between(0, 1), "timeoutMs": 1000,
        "topics": [{"name": some_topic(dice).0, "partitions": partitions}]}})
}

fn some_epoch(dice: &mut Dice) -> i64 {
    dice.weighted(&[(8, -1), (3, 0), (1, 1), (1, -2)])
}

fn epochs(dice: &mut Dice) -> Value {
    let partitions: Vec<Value> = dice
        .some(&[0, 1, 2, 5])
        .into_iter()
        .map(|index| json!({"partition": index, "currentLeaderEpoch": some_epoch(dice), "leaderEpoch": some_epoch(dice)}))
        .collect();
    json!({"api": "OffsetForLeaderEpoch", "versions": version(dice, 2, 4), "body": {"replicaId": -2,
        "topics": [{"topic": some_topic(dice).0, "partitions": partitions}]}})
}

fn delete(dice: &mut Dice) -> Value {
    let partitions: Vec<Value> = dice
        .some(&[0, 1, 5])
        .into_iter()
        .map(|index| json!({"partitionIndex": index, "offset": dice.between(-2, 8)}))
        .collect();
    json!({"api": "DeleteRecords", "versions": version(dice, 0, 2), "body": {"timeoutMs": 1000,
        "topics": [{"name": some_topic(dice).0, "partitions": partitions}]}})
}

impl Fetch {
    fn fetch(&self, dice: &mut Dice) -> Value {
        let mut body = json!({"maxWaitMs": 0, "minBytes": dice.between(0, 1), "isolationLevel": dice.between(0, 1)});
        body["maxBytes"] = json!(dice.pick(&[1_000_000, 1_000_000, 1, 0]));
        let (mut id, mut epoch) = (json!(0), dice.pick(&[0, 0, -1]));
        let mut is_incremental = false;
        if let Some((session, next)) = &self.session
            && dice.percent(85)
        {
            id = json!(session);
            is_incremental = true;
            epoch = match dice.below(20) {
                0 => next + 1,
                1 => 0,
                2 => -1,
                3 => next - 1,
                _ => *next,
            };
        } else if dice.percent(4) {
            id = json!(123);
            epoch = dice.between(-1, 3);
        }
        body["sessionId"] = id;
        body["sessionEpoch"] = json!(epoch);
        let mut topics = Vec::new();
        let mut forgotten = Vec::new();
        for _ in 0..dice.between(i64::from(!is_incremental), 2) {
            let (topic, topic_id) = some_topic(dice);
            if topics.iter().any(|other: &Value| other["topic"] == topic) {
                continue;
            }
            topics
                .push(json!({"topic": topic, "topicId": topic_id, "partitions": partitions(dice)}));
        }
        if is_incremental && dice.percent(20) {
            let (topic, topic_id) = some_topic(dice);
            forgotten.push(
                json!({"topic": topic, "topicId": topic_id, "partitions": dice.some(&[0, 1, 2])}),
            );
        }
        body["topics"] = json!(topics);
        body["forgottenTopicsData"] = json!(forgotten);
        let first = if dice.percent(20) { 4 } else { 7 };
        let mut step = json!({"api": "Fetch", "versions": version(dice, first, 18), "body": body});
        if epoch == 0 {
            step["capture"] = json!({format!("s{}", self.request_count): "/sessionId"});
        }
        step
    }
}

fn partitions(dice: &mut Dice) -> Vec<Value> {
    dice.some(&[0, 1, 2, 0, 5])
        .into_iter()
        .map(|index| {
            let mut partition = json!({"partition": index, "fetchOffset": dice.pick(&[0, 0, 0, 1, 2, 3, 5, 100, -1]),
                "partitionMaxBytes": dice.pick(&[1_000_000, 1_000_000, 1]), "currentLeaderEpoch": some_epoch(dice)});
            if dice.percent(15) {
                partition["lastFetchedEpoch"] = json!(some_epoch(dice));
            }
            partition
        })
        .collect()
}
