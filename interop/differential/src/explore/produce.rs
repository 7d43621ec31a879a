//! Batches of producers with and without an id: gaps, repetitions, epochs, wrapping sequences.

use serde_json::{Value, json};

use super::Walk;
use super::classic_groups::version;
use super::dice::Dice;

/// What a producer has sent to one partition.
#[derive(Debug, Clone, Default)]
struct Sent {
    /// Base sequence and number of records of its batches.
    batches: Vec<(i64, i64)>,
}

#[derive(Debug, Clone)]
struct Producer {
    /// Variable of its id, as `$p1`.
    id: Value,
    epoch: i64,
    /// By partition.
    sent: [Sent; 2],
}

#[derive(Debug, Default)]
pub(super) struct Produce {
    producers: Vec<Producer>,
    request_count: usize,
    /// Producer, epoch and batches of the request under way, by partition.
    under_way: Vec<(usize, usize, i64, i64, i64)>,
}

impl Walk for Produce {
    fn api(&self) -> &str {
        "Produce"
    }

    fn topics(&self) -> Value {
        json!([
            {"topic": "$t", "partitions": 2},
            {"topic": "${t}c", "id": "idc", "configs": {"cleanup.policy": "compact"}},
            {"topic": "${t}m", "id": "idm", "configs": {"max.message.bytes": "150", "message.timestamp.type": "LogAppendTime"}},
            {"topic": "${t}s", "id": "ids", "configs": {"message.timestamp.after.max.ms": "1000", "message.timestamp.before.max.ms": "3600000"}},
        ])
    }

    fn next(&mut self, dice: &mut Dice) -> Value {
        self.request_count += 1;
        if self.producers.len() < 2 || dice.percent(4) {
            let id = format!("p{}", self.request_count);
            self.producers.push(Producer {
                id: json!(format!("${id}")),
                epoch: 0,
                sent: Default::default(),
            });
            return json!({"api": "InitProducerId", "versions": version(dice, 2, 5), "capture": {&id: "/producerId"},
                "body": {"transactionalId": null, "transactionTimeoutMs": 60_000, "producerId": -1, "producerEpoch": -1}});
        }
        match dice.below(20) {
            0 => self.bump(dice),
            1 | 2 => end(dice),
            3 | 4 => read(dice),
            _ => self.produce(dice),
        }
    }

    fn heard(&mut self, step: &Value, outcome: &Value) {
        if step["api"] == "InitProducerId" && step["body"]["producerId"] != -1 {
            let id = &step["body"]["producerId"];
            if let Some(producer) = self
                .producers
                .iter_mut()
                .find(|producer| producer.id == *id)
                && let Some(epoch) = outcome["producerEpoch"]
                    .as_i64()
                    .filter(|epoch| *epoch >= 0)
            {
                producer.epoch = epoch;
            }
        }
        for (producer, partition, epoch, sequence, count) in std::mem::take(&mut self.under_way) {
            let answers = outcome["responses"].as_array().into_iter().flatten();
            let is_taken = answers
                .filter_map(|topic| topic["partitionResponses"].get(partition.to_string()))
                .any(|answer| answer["errorCode"] == 0);
            let producer = &mut self.producers[producer];
            if is_taken && epoch >= producer.epoch {
                if epoch > producer.epoch {
                    producer.sent = Default::default();
                }
                producer.epoch = epoch;
                let batches = &mut producer.sent[partition].batches;
                if !batches.contains(&(sequence, count)) {
                    batches.push((sequence, count));
                }
            }
        }
    }
}

fn end(dice: &mut Dice) -> Value {
    let topic = dice.pick(&["$t", "$t", "${t}c", "${t}m", "${t}s"]);
    let timestamp = dice.pick(&[-1, -2, -3]);
    json!({"api": "ListOffsets", "versions": version(dice, 7, 11), "body": {"topics": [{"name": topic, "partitions": [{"partitionIndex": 0, "timestamp": timestamp}]}]}})
}

fn read(dice: &mut Dice) -> Value {
    let (topic, id) = dice.pick(&[
        ("$t", "$id"),
        ("$t", "$id"),
        ("${t}c", "$idc"),
        ("${t}m", "$idm"),
    ]);
    json!({"api": "Fetch", "versions": version(dice, 4, 18), "body": {"maxWaitMs": 0, "minBytes": 0, "maxBytes": 1_000_000, "sessionEpoch": -1,
        "topics": [{"topic": topic, "topicId": id, "partitions": [{"partition": 0, "fetchOffset": 0, "partitionMaxBytes": 1_000_000}]}]}})
}

/// The sequence that follows: it wraps to 0 after the highest one.
fn follow(sequence: i64, count: i64) -> i64 {
    (sequence + count) % (i64::from(i32::MAX) + 1)
}

impl Produce {
    fn bump(&self, dice: &mut Dice) -> Value {
        let producer = &self.producers[dice.below(self.producers.len())];
        let epoch = producer.epoch + dice.between(-1, 1);
        json!({"api": "InitProducerId", "versions": version(dice, 3, 5),
            "body": {"transactionalId": null, "transactionTimeoutMs": 60_000, "producerId": producer.id, "producerEpoch": epoch}})
    }

    fn produce(&mut self, dice: &mut Dice) -> Value {
        if dice.percent(25) {
            return plain(dice);
        }
        let partitions: &[usize] = dice.pick(&[&[0usize][..], &[0], &[1], &[0, 1]]);
        let at = dice.below(self.producers.len());
        let mut data = Vec::new();
        for partition in partitions {
            let batch = self.batch(dice, at, *partition);
            data.push(json!({"index": partition, "records": [batch]}));
        }
        let acks = dice.pick(&[-1, -1, -1, 1, 1]);
        json!({"api": "Produce", "versions": version(dice, 3, 13), "body": {"acks": acks, "timeoutMs": 5000,
            "topicData": [{"name": "$t", "topicId": "$id", "partitionData": data}]}})
    }

    fn batch(&mut self, dice: &mut Dice, at: usize, partition: usize) -> Value {
        let producer = &self.producers[at];
        let batches = &producer.sent[partition].batches;
        let next = batches
            .last()
            .map_or(0, |(sequence, count)| follow(*sequence, *count));
        let mut count = dice.between(1, 3);
        let mut epoch = producer.epoch;
        let mut sequence = next;
        match dice.below(16) {
            0 => sequence += 1,
            1 => sequence = (sequence - 1).max(0),
            2 => sequence = 0,
            3..=6 if !batches.is_empty() => {
                // One of the last seven: the broker keeps five.
                let back = dice.below(batches.len().min(7));
                (sequence, count) = batches[batches.len() - 1 - back];
                if dice.percent(15) {
                    count += 1;
                }
            }
            7 => {
                epoch += 1;
                if dice.percent(70) {
                    sequence = 0;
                }
            }
            8 => epoch -= 1,
            9 if batches.is_empty() => sequence = i64::from(i32::MAX) - 1,
            10 => sequence = -1,
            _ => {}
        }
        let unknown = dice.percent(3);
        let id = if unknown {
            json!(987_654_321)
        } else {
            producer.id.clone()
        };
        if !unknown {
            self.under_way.push((at, partition, epoch, sequence, count));
        }
        let records: Vec<Value> = (0..count).map(|_| json!({"value": "v"})).collect();
        json!({"producerId": id, "producerEpoch": epoch, "baseSequence": sequence, "baseTimestamp": "$now+1", "records": records})
    }
}

/// A batch without a producer id, into a topic that may not want it.
fn plain(dice: &mut Dice) -> Value {
    let (topic, id) = dice.pick(&[
        ("$t", "$id"),
        ("${t}c", "$idc"),
        ("${t}m", "$idm"),
        ("${t}s", "$ids"),
        ("${t}none", "zero"),
    ]);
    let time = dice.pick(&[
        json!("$now+1"),
        json!("$now+1"),
        json!(-1),
        json!(0),
        json!(4_000_000_000_000_i64),
    ]);
    let value = dice.pick(&["v".to_owned(), "v".repeat(60), "v".repeat(200)]);
    let record = |dice: &mut Dice| {
        let mut record = json!({"value": value});
        if dice.percent(50) {
            record["key"] = json!("k");
        }
        if dice.percent(10) {
            record["timestampDelta"] = json!(dice.between(-5, 5));
        }
        record
    };
    let mut batch = json!({"baseTimestamp": time});
    let records: Vec<Value> = (0..dice.between(1, 3)).map(|_| record(dice)).collect();
    batch["records"] = json!(records);
    match dice.below(16) {
        0 => batch["attributes"] = json!(8),
        1 => batch["attributes"] = json!(16),
        2 => batch["attributes"] = json!(32),
        3 => batch["lastOffsetDelta"] = json!(7),
        4 => batch["baseOffset"] = json!(100),
        5 => batch["maxTimestamp"] = json!("$now+90"),
        6 => batch["partitionLeaderEpoch"] = json!(3),
        _ => {}
    }
    let batches = match dice.below(14) {
        0 => json!([batch, batch]),
        1 => json!([]),
        _ => json!([batch]),
    };
    let acks = dice.pick(&[-1, -1, 1, 1, 2]);
    let index = dice.pick(&[0, 0, 0, 0, 0, 5]);
    let mut step = json!({"api": "Produce", "versions": version(dice, 3, 13), "body": {"acks": acks, "timeoutMs": 5000,
        "topicData": [{"name": topic, "topicId": id, "partitionData": [{"index": index, "records": batches}]}]}});
    if dice.percent(10) && topic != "${t}none" && index == 0 {
        step["body"]["acks"] = json!(0);
        step["silent"] = json!(true);
    }
    step
}
