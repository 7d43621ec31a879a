//! Groups of the new protocol (KIP-848): heartbeats of members that come, change, claim and go, with
//! classic members among them.

use serde_json::{Value, json};

use super::classic_groups::version;
use super::dice::Dice;
use super::{Walk, group_requests};

/// Long enough that nothing expires during a walk.
const TIMEOUT_MS: i64 = 120_000;

#[derive(Debug, Default)]
struct Member {
    id: String,
    instance: Value,
    epoch: i64,
    /// What it was given last, as the `topicPartitions` of a heartbeat.
    given: Value,
}

/// A classic member, in the order of its joins.
#[derive(Debug)]
struct Classic {
    id: String,
    generation: i64,
    waits_for: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Join,
    Beat,
    Leave,
    Commit,
    Classic,
    Configure,
    Other,
}

#[derive(Debug, Default)]
pub(super) struct ConsumerGroups {
    members: Vec<Member>,
    classics: Vec<Classic>,
    /// Joins and leaves of classic members only where this is set: half of the walks.
    is_mixed: bool,
    /// Expressions are searched beside the requests, which costs a wait each time.
    has_regexes: bool,
    request_count: usize,
}

impl Walk for ConsumerGroups {
    fn api(&self) -> &str {
        "ConsumerGroupHeartbeat"
    }

    fn topics(&self) -> Value {
        json!([{"topic": "$t", "partitions": 4}, {"topic": "${t}b", "id": "idb"}])
    }

    fn opening(&self) -> Vec<Value> {
        super::coordinator_opening()
    }

    fn next(&mut self, dice: &mut Dice) -> Value {
        self.request_count += 1;
        if self.request_count == 1 {
            self.is_mixed = dice.percent(50);
            self.has_regexes = dice.percent(30);
            return Self::configure(dice);
        }
        let beat_weight = if self.members.is_empty() { 3 } else { 45 };
        let classic_weight = if self.is_mixed { 30 } else { 0 };
        let action = dice.weighted(&[
            (15, Action::Join),
            (beat_weight, Action::Beat),
            (7, Action::Leave),
            (10, Action::Commit),
            (classic_weight, Action::Classic),
            (2, Action::Configure),
            (18, Action::Other),
        ]);
        match action {
            Action::Join => self.join(dice),
            Action::Beat => self.beat(dice),
            Action::Leave => self.leave(dice),
            Action::Commit => self.commit(dice),
            Action::Classic => self.classic(dice),
            Action::Configure => Self::configure(dice),
            Action::Other => group_requests::any(dice),
        }
    }

    fn heard(&mut self, step: &Value, outcome: &Value) {
        if let Some(name) = step["await"].as_str() {
            self.heard_classic(name, outcome);
            return;
        }
        if step["api"] != "ConsumerGroupHeartbeat" || outcome["errorCode"] != 0 {
            return;
        }
        let id = step["body"]["memberId"].as_str().unwrap_or_default();
        let epoch = outcome["memberEpoch"].as_i64().unwrap_or_default();
        self.members.retain(|member| member.id != id || epoch != -1);
        if epoch < 0 {
            return;
        }
        let at = self.members.iter().position(|member| member.id == id);
        let at = at.unwrap_or_else(|| {
            self.members.push(Member {
                id: id.to_owned(),
                ..Member::default()
            });
            self.members.len() - 1
        });
        let member = &mut self.members[at];
        member.epoch = epoch;
        if let Some(instance) = step["body"].get("instanceId") {
            member.instance = instance.clone();
        }
        if let Some(Value::Array(given)) = outcome["assignment"].get("topicPartitions") {
            let is_named = |topic: &&Value| {
                topic["topicId"]
                    .as_str()
                    .is_some_and(|id| id.starts_with('$'))
            };
            member.given = given.iter().filter(is_named).cloned().collect();
        }
    }
}

impl ConsumerGroups {
    /// How often a target is computed: always or once, so that the time between requests makes no difference.
    fn configure(dice: &mut Dice) -> Value {
        let interval_ms = dice.pick(&["0", "0", "15000"]);
        json!({"api": "IncrementalAlterConfigs", "versions": "1", "body": {"resources": [{"resourceType": 32, "resourceName": "$t",
            "configs": [{"name": "consumer.assignment.interval.ms", "configOperation": 0, "value": interval_ms}]}]}})
    }

    fn regex(dice: &mut Dice) -> Value {
        json!(dice.pick(&["${t}.?", "${t}", "${t}b|${t}none", "none.*", "", "("]))
    }

    fn names(dice: &mut Dice) -> Value {
        let mut names = dice.some(&["$t", "$t", "${t}b", "${t}none"]);
        names.dedup();
        json!(names)
    }

    /// A field that no client sends so.
    fn make_odd(dice: &mut Dice, body: &mut Value) {
        match dice.below(10) {
            0 => body["instanceId"] = json!(""),
            1 => body["rackId"] = json!(""),
            2 => body["rebalanceTimeoutMs"] = json!(dice.pick(&[0, -2])),
            3 => body["subscribedTopicNames"] = json!(["", "${t}"]),
            4 => {
                body["topicPartitions"] = json!([{"topicId": "$idb", "partitions": [7, 7, -1]}, {"topicId": "$idb", "partitions": []}])
            }
            5 => body["serverAssignor"] = json!(""),
            6 => body["memberId"] = json!(dice.pick(&["", "m-0 \u{e4}"])),
            7 => body["memberEpoch"] = json!(dice.pick(&[-3, i64::from(i32::MAX), -2, -1])),
            8 => body["groupId"] = json!(dice.pick(&["", "${t}none"])),
            _ => body["rackId"] = json!("another rack"),
        }
    }

    fn join(&self, dice: &mut Dice) -> Value {
        let id = dice.pick(&["m-0", "m-2", "m-4"]);
        let instance = dice.weighted(&[(5, None), (3, Some("i1")), (2, Some("i2"))]);
        let assignor = dice.weighted(&[
            (6, None),
            (3, Some("uniform")),
            (2, Some("range")),
            (1, Some("x")),
        ]);
        let mut body = json!({"groupId": "$t", "memberId": id, "instanceId": instance, "memberEpoch": 0,
            "rebalanceTimeoutMs": TIMEOUT_MS, "subscribedTopicNames": Self::names(dice), "serverAssignor": assignor, "topicPartitions": []});
        match dice.below(20) {
            0 => body["topicPartitions"] = Value::Null,
            1 => body["rebalanceTimeoutMs"] = json!(-1),
            2 => body["subscribedTopicNames"] = Value::Null,
            3 => body["rackId"] = json!("a rack"),
            4 | 5 => Self::make_odd(dice, &mut body),
            _ => {}
        }
        if self.has_regexes && dice.percent(50) {
            body["subscribedTopicRegex"] = Self::regex(dice);
            if dice.percent(50) {
                body["subscribedTopicNames"] = Value::Null;
            }
        }
        json!({"api": "ConsumerGroupHeartbeat", "versions": version(dice, 0, 1), "body": body})
    }

    fn some_member(&self, dice: &mut Dice) -> (String, Value, i64, Value) {
        match self.members.len() {
            0 => ("m-0".to_owned(), Value::Null, 1, json!([])),
            count => {
                let member = &self.members[dice.below(count)];
                let given = member.given.clone();
                (
                    member.id.clone(),
                    member.instance.clone(),
                    member.epoch,
                    given,
                )
            }
        }
    }

    fn some_epoch(dice: &mut Dice, epoch: i64) -> i64 {
        match dice.below(14) {
            0 => epoch - 1,
            1 => epoch + 1,
            2 => 0,
            _ => epoch,
        }
    }

    fn beat(&self, dice: &mut Dice) -> Value {
        let (id, instance, epoch, given) = self.some_member(dice);
        let epoch = Self::some_epoch(dice, epoch);
        let mut body = json!({"groupId": "$t", "memberId": id, "instanceId": instance, "memberEpoch": epoch,
            "rebalanceTimeoutMs": -1, "subscribedTopicNames": null, "topicPartitions": null});
        if !given.is_null() && dice.percent(60) {
            body["topicPartitions"] = given;
        }
        if epoch == 0 {
            body["rebalanceTimeoutMs"] = json!(TIMEOUT_MS);
            body["subscribedTopicNames"] = Self::names(dice);
            body["topicPartitions"] = json!([]);
        }
        match dice.below(15) {
            0 => body["topicPartitions"] = json!([]),
            1 => {
                body["topicPartitions"] =
                    json!([{"topicId": "$id", "partitions": dice.some(&[0, 1, 2, 3])}])
            }
            2 | 3 => body["subscribedTopicNames"] = Self::names(dice),
            4 => body["serverAssignor"] = json!(dice.pick(&["uniform", "range", "x"])),
            5 => body["rebalanceTimeoutMs"] = json!(TIMEOUT_MS),
            6 => Self::make_odd(dice, &mut body),
            _ => {}
        }
        if self.has_regexes && dice.percent(15) {
            body["subscribedTopicRegex"] = Self::regex(dice);
        }
        json!({"api": "ConsumerGroupHeartbeat", "versions": version(dice, 0, 1), "body": body})
    }

    fn leave(&self, dice: &mut Dice) -> Value {
        let (id, instance, ..) = self.some_member(dice);
        let epoch = if dice.percent(if instance.is_null() { 10 } else { 50 }) {
            -2
        } else {
            -1
        };
        json!({"api": "ConsumerGroupHeartbeat", "versions": version(dice, 0, 1), "body": {
            "groupId": "$t", "memberId": id, "instanceId": instance, "memberEpoch": epoch, "rebalanceTimeoutMs": -1,
            "subscribedTopicNames": null, "topicPartitions": null}})
    }

    fn commit(&self, dice: &mut Dice) -> Value {
        let (mut id, instance, epoch, _) = self.some_member(dice);
        let mut epoch = Self::some_epoch(dice, epoch);
        match dice.below(10) {
            0 => id = "m-9".to_owned(),
            1 => (id, epoch) = (String::new(), -1),
            _ => {}
        }
        if dice.percent(30) {
            let topics = json!([{"name": "$t", "topicId": "$id", "partitionIndexes": [0, 1]}]);
            let groups =
                json!([{"groupId": "$t", "memberId": id, "memberEpoch": epoch, "topics": topics}]);
            return json!({"api": "OffsetFetch", "versions": version(dice, 8, 10), "body": {"groups": groups}});
        }
        json!({"api": "OffsetCommit", "versions": version(dice, 2, 10), "body": {
            "groupId": "$t", "generationIdOrMemberEpoch": epoch, "memberId": id, "groupInstanceId": instance,
            "topics": [{"name": "$t", "topicId": "$id", "partitions": [{"partitionIndex": dice.between(0, 3), "committedOffset": dice.between(0, 9)}]}]}})
    }

    fn heard_classic(&mut self, name: &str, outcome: &Value) {
        let at = self
            .classics
            .iter()
            .position(|classic| classic.waits_for.as_deref() == Some(name));
        let Some(at) = at else { return };
        let classic = &mut self.classics[at];
        classic.waits_for = None;
        if let Some(generation) = outcome["generationId"].as_i64() {
            if outcome["errorCode"] == 0 {
                classic.generation = generation;
            } else {
                self.classics.remove(at);
            }
        }
    }

    fn classic(&mut self, dice: &mut Dice) -> Value {
        let name = format!("r{}", self.request_count);
        let free: Vec<usize> = (0..self.classics.len())
            .filter(|at| self.classics[*at].waits_for.is_none())
            .collect();
        let topics = dice.pick(&[
            "subscription:${t}",
            "subscription:${t},${t}b",
            "subscription:${t};",
            "subscription:${t};${t}/0",
        ]);
        let mut join = json!({"api": "JoinGroup", "versions": version(dice, 2, 9), "connection": name, "background": name, "body": {
            "groupId": "$t", "protocolType": "consumer", "rebalanceTimeoutMs": TIMEOUT_MS, "sessionTimeoutMs": 45_000,
            "memberId": "", "protocols": [{"name": "range", "metadata": topics}]}});
        // Ids of their own choice, as an assignment depends on their order: Kafka's is that of a hash map, and
        // that of these is the order of their last digits.
        let away: Vec<&str> = ["m-6", "m-8"]
            .into_iter()
            .filter(|id| self.classics.iter().all(|classic| classic.id != *id))
            .collect();
        if !away.is_empty() && (free.is_empty() || dice.percent(20)) {
            let id = dice.pick(&away);
            join["body"]["memberId"] = json!(id);
            self.classics.push(Classic {
                id: id.to_owned(),
                generation: 0,
                waits_for: Some(name),
            });
            return join;
        }
        if free.is_empty() {
            return group_requests::any(dice);
        }
        let classic = &mut self.classics[dice.pick(&free)];
        let generation = Self::some_epoch(dice, classic.generation);
        let member = json!({"groupId": "$t", "generationId": generation, "memberId": classic.id});
        match dice.below(10) {
            0..=3 => {
                join["body"]["memberId"] = json!(classic.id);
                match dice.below(12) {
                    0 => join["body"]["protocolType"] = json!("connect"),
                    1 => join["body"]["protocols"] = json!([]),
                    2 => join["body"]["protocols"][0]["name"] = json!("sticky"),
                    3 => join["body"]["sessionTimeoutMs"] = json!(5),
                    _ => {}
                }
                classic.waits_for = Some(name);
                join
            }
            4..=6 => {
                classic.waits_for = Some(name.clone());
                let mut body = member;
                body["assignments"] = match dice.below(2) {
                    0 => {
                        json!([{"memberId": classic.id, "assignment": "hex:0000000000000000ffffffff"}])
                    }
                    _ => json!([]),
                };
                json!({"api": "SyncGroup", "versions": version(dice, 0, 4), "connection": name, "background": name, "body": body})
            }
            7 | 8 => json!({"api": "Heartbeat", "versions": version(dice, 0, 4), "body": member}),
            _ => json!({"api": "LeaveGroup", "versions": version(dice, 0, 5), "body": {
                "groupId": "$t", "memberId": classic.id, "members": [{"memberId": classic.id}]}}),
        }
    }
}
