//! Topics that come, grow, are set otherwise and go, asked for by name and by id.

use serde_json::{Value, json};

use super::Walk;
use super::classic_groups::version;
use super::dice::Dice;

const NAMES: [&str; 4] = ["${t}a", "${t}b", "${t}c", "${t}a_b"];

/// Keys and values, good and bad.
const CONFIGS: [(&str, &str); 14] = [
    ("retention.ms", "1000000"),
    ("retention.ms", "-2"),
    ("retention.ms", "soon"),
    ("cleanup.policy", "compact"),
    ("cleanup.policy", "compact,delete"),
    ("cleanup.policy", "none"),
    ("max.message.bytes", "1000"),
    ("segment.bytes", "1048576"),
    ("segment.bytes", "3"),
    ("compression.type", "lz4"),
    ("compression.type", "best"),
    ("min.cleanable.dirty.ratio", "0.3"),
    ("unclean.leader.election.enable", "yes"),
    ("no.such.key", "1"),
];

#[derive(Debug, Default)]
pub(super) struct Topics {
    /// Variables of ids that were heard, of topics that are there or were.
    ids: Vec<String>,
    request_count: usize,
}

impl Walk for Topics {
    fn api(&self) -> &str {
        "CreateTopics"
    }

    fn topics(&self) -> Value {
        json!([])
    }

    fn next(&mut self, dice: &mut Dice) -> Value {
        self.request_count += 1;
        match dice.below(20) {
            0..=4 => self.create(dice),
            5 | 6 => self.delete(dice),
            7 | 8 => grow(dice),
            9..=11 => alter(dice),
            12..=14 => describe(dice),
            15 => {
                let partitions: Vec<Value> = dice
                    .some(&[0, 1, 2])
                    .into_iter()
                    .map(|index| json!({"partitionIndex": index, "timestamp": -1}))
                    .collect();
                json!({"api": "ListOffsets", "versions": version(dice, 1, 11), "body": {"topics": [{"name": dice.pick(&NAMES), "partitions": partitions}]}})
            }
            _ => self.metadata(dice),
        }
    }

    fn heard(&mut self, step: &Value, outcome: &Value) {
        let captured = step["capture"]
            .as_object()
            .and_then(|names| names.keys().next());
        if let Some(name) = captured
            && outcome["topics"][0]["errorCode"] == 0
            && step["body"]["validateOnly"] != true
        {
            self.ids.push(format!("${name}"));
        }
    }
}

fn some_configs(dice: &mut Dice, chance: usize) -> Vec<(&'static str, &'static str)> {
    let mut configs = Vec::new();
    while configs.len() < 3 && dice.percent(chance) {
        configs.push(dice.pick(&CONFIGS));
    }
    configs
}

fn grow(dice: &mut Dice) -> Value {
    let count = dice.between(-1, 6);
    let assignments = match dice.below(6) {
        0 => json!([{"brokerIds": [1]}]),
        1 => json!([{"brokerIds": [9]}]),
        _ => Value::Null,
    };
    json!({"api": "CreatePartitions", "versions": version(dice, 0, 3), "body": {"timeoutMs": 5000, "validateOnly": dice.percent(20),
        "topics": [{"name": dice.pick(&NAMES), "count": count, "assignments": assignments}]}})
}

fn alter(dice: &mut Dice) -> Value {
    let configs: Vec<Value> = some_configs(dice, 85)
        .into_iter()
        .map(|(name, value)| {
            let operation = dice.weighted(&[(8, 0), (3, 1), (2, 2), (2, 3), (1, 4)]);
            let value = if dice.percent(5) {
                Value::Null
            } else {
                json!(value)
            };
            json!({"name": name, "configOperation": operation, "value": value})
        })
        .collect();
    json!({"api": "IncrementalAlterConfigs", "versions": version(dice, 0, 1), "body": {"validateOnly": dice.percent(15),
        "resources": [{"resourceType": 2, "resourceName": dice.pick(&NAMES), "configs": configs}]}})
}

fn describe(dice: &mut Dice) -> Value {
    let keys = [
        "retention.ms",
        "cleanup.policy",
        "max.message.bytes",
        "segment.bytes",
        "compression.type",
        "min.cleanable.dirty.ratio",
        "no.such.key",
    ];
    let keys = if dice.percent(20) {
        Value::Null
    } else {
        json!(dice.some(&keys))
    };
    json!({"api": "DescribeConfigs", "versions": version(dice, 1, 4), "body": {"includeSynonyms": dice.percent(50), "includeDocumentation": dice.percent(20),
        "resources": [{"resourceType": 2, "resourceName": dice.pick(&NAMES), "configurationKeys": keys}]}})
}

impl Topics {
    fn create(&self, dice: &mut Dice) -> Value {
        let configs: Vec<Value> = some_configs(dice, 25)
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let mut topic = json!({"name": dice.pick(&NAMES), "numPartitions": dice.pick(&[1, 1, 3, 2, -1, 0, -2]),
            "replicationFactor": dice.pick(&[1, 1, 1, -1, 0, 2]), "configs": configs});
        if dice.percent(10) {
            topic["assignments"] = json!([{"partitionIndex": dice.between(0, 1), "brokerIds": [dice.pick(&[1, 1, 9])]}]);
            if dice.percent(80) {
                topic["numPartitions"] = json!(-1);
                topic["replicationFactor"] = json!(-1);
            }
        }
        let version = dice.pick(&[2, 3, 4, 5, 6, 7, 7, 7, 7]);
        let mut step = json!({"api": "CreateTopics", "versions": version.to_string(),
            "body": {"timeoutMs": 10_000, "validateOnly": dice.percent(12), "topics": [topic]}});
        if version == 7 {
            step["capture"] = json!({format!("id{}", self.request_count): "/topics/0/topicId"});
        }
        step
    }

    fn delete(&self, dice: &mut Dice) -> Value {
        let name = dice.pick(&NAMES);
        let version = dice.pick(&[1, 2, 3, 4, 5, 6, 6, 6]);
        let topic = match self.ids.len() {
            0 => json!({"name": name}),
            _ if dice.percent(50) => json!({"name": name}),
            _ => json!({"name": null, "topicId": dice.pick(&self.ids)}),
        };
        json!({"api": "DeleteTopics", "versions": version.to_string(),
            "body": {"timeoutMs": 10_000, "topicNames": [name], "topics": [topic]}})
    }

    fn metadata(&self, dice: &mut Dice) -> Value {
        let mut topics: Vec<Value> = dice
            .some(&NAMES)
            .into_iter()
            .map(|name| json!({"name": name}))
            .collect();
        let mut first = 1;
        if !self.ids.is_empty() && dice.percent(40) {
            topics = vec![json!({"name": null, "topicId": dice.pick(&self.ids)})];
            first = 12;
        }
        // Below version 4 asking creates.
        let first = first.max(4);
        json!({"api": "Metadata", "versions": version(dice, first, 13), "body": {"topics": topics, "allowAutoTopicCreation": false,
            "includeTopicAuthorizedOperations": dice.percent(10)}})
    }
}
