//! Requests about groups that do not come from their members.

use serde_json::{Value, json};

use super::classic_groups::version;
use super::dice::Dice;

/// Any of them, those that change something seldom.
pub(super) fn any(dice: &mut Dice) -> Value {
    match dice.below(24) {
        0..=4 => describe_classic(dice),
        5..=9 => {
            json!({"api": "ConsumerGroupDescribe", "versions": version(dice, 0, 1), "body": {"groupIds": ["$t"]}})
        }
        10..=12 => list(dice),
        13..=16 => fetch_offsets(dice),
        17 | 18 => delete_offsets(dice),
        19..=21 => change_topics(dice),
        22 => {
            json!({"api": "ConsumerGroupDescribe", "versions": version(dice, 0, 1), "body": {"groupIds": ["${t}none", "", "$t"], "includeAuthorizedOperations": true}})
        }
        _ => {
            json!({"api": "DeleteGroups", "versions": version(dice, 0, 2), "body": {"groupsNames": ["$t"]}})
        }
    }
}

/// Topics that groups read come, grow and go.
fn change_topics(dice: &mut Dice) -> Value {
    let topic = dice.pick(&["${t}b", "${t}b", "${t}none"]);
    match dice.below(4) {
        0 => {
            json!({"api": "CreateTopics", "versions": "7", "body": {"timeoutMs": 30_000, "topics": [{"name": topic, "numPartitions": dice.between(1, 3), "replicationFactor": 1}]}})
        }
        1 => {
            json!({"api": "DeleteTopics", "versions": "5", "body": {"timeoutMs": 30_000, "topicNames": [topic]}})
        }
        _ => {
            json!({"api": "CreatePartitions", "versions": "3", "body": {"timeoutMs": 30_000, "topics": [{"name": dice.pick(&["$t", topic]), "count": dice.between(3, 7), "assignments": null}]}})
        }
    }
}

fn describe_classic(dice: &mut Dice) -> Value {
    let version = version(dice, 0, 6);
    json!({"api": "DescribeGroups", "versions": version, "body": {"groups": ["$t"], "includeAuthorizedOperations": dice.percent(10)}})
}

fn fetch_offsets(dice: &mut Dice) -> Value {
    let partitions = json!([0, 1, 2]);
    let mut topics = json!([{"name": "$t", "partitionIndexes": partitions}]);
    let mut group_topics =
        json!([{"name": "$t", "topicId": "$id", "partitionIndexes": partitions}]);
    let mut first = 1;
    if dice.percent(33) {
        (topics, group_topics, first) = (Value::Null, Value::Null, 2);
    }
    json!({"api": "OffsetFetch", "versions": version(dice, first, 10), "body": {
        "groupId": "$t", "topics": topics, "groups": [{"groupId": "$t", "topics": group_topics}]}})
}

fn list(dice: &mut Dice) -> Value {
    let states = dice.some(&[
        "Stable",
        "Assigning",
        "reconciling",
        "Dead",
        "Empty",
        "PreparingRebalance",
        "completingrebalance",
    ]);
    let types = dice.some(&["classic", "Consumer", "share"]);
    json!({"api": "ListGroups", "versions": version(dice, 0, 5), "body": {"statesFilter": states, "typesFilter": types}, "keep": {"at": "/groups", "field": "groupId"}})
}

fn delete_offsets(dice: &mut Dice) -> Value {
    let topic = dice.pick(&["$t", "$t", "${t}b", "${t}none"]);
    let partitions: Vec<Value> = dice
        .some(&[0, 1, 7])
        .into_iter()
        .map(|index| json!({"partitionIndex": index}))
        .collect();
    json!({"api": "OffsetDelete", "versions": "0", "body": {"groupId": "$t", "topics": [{"name": topic, "partitions": partitions}]}})
}
