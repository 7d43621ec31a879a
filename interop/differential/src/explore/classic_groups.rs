//! Classic groups: members come, wait for each other, commit and go, in all versions.

use serde_json::{Value, json};

use super::dice::Dice;
use super::{Walk, group_requests};

/// Long enough that nothing expires during a walk.
const SESSION_TIMEOUT_MS: i64 = 120_000;

/// A member whose id was heard.
#[derive(Debug, Clone)]
struct Member {
    /// Variable with its id, as `$m3`.
    id: String,
    instance: Value,
    protocols: Value,
    /// Request in the background that holds it.
    waits_for: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Join,
    Sync,
    Heartbeat,
    Leave,
    Commit,
    Other,
}

#[derive(Debug, Default)]
pub(super) struct ClassicGroups {
    members: Vec<Member>,
    /// Joins without an id, by the variable that takes it.
    joining: Vec<Member>,
    generation: i64,
    leader: String,
    request_count: usize,
}

impl Walk for ClassicGroups {
    fn api(&self) -> &str {
        "JoinGroup"
    }

    fn opening(&self) -> Vec<Value> {
        super::coordinator_opening()
    }

    fn topics(&self) -> Value {
        json!([{"topic": "$t", "partitions": 2}, {"topic": "${t}b", "id": "idb"}])
    }

    fn next(&mut self, dice: &mut Dice) -> Value {
        let is_joining = self.members.iter().any(|member| member.waits_for.is_some());
        let member_weight = if self.members.is_empty() { 3 } else { 25 };
        let action = dice.weighted(&[
            (if is_joining { 50 } else { 30 }, Action::Join),
            (member_weight, Action::Sync),
            (member_weight / 2, Action::Heartbeat),
            (8, Action::Leave),
            (10, Action::Commit),
            (28, Action::Other),
        ]);
        match action {
            Action::Join => self.join(dice),
            Action::Sync => self.sync(dice),
            Action::Heartbeat => self.heartbeat(dice),
            Action::Leave => self.leave(dice),
            Action::Commit => self.commit(dice),
            Action::Other => group_requests::any(dice),
        }
    }

    fn heard(&mut self, step: &Value, outcome: &Value) {
        let Some(name) = step["await"].as_str() else {
            return;
        };
        for member in &mut self.members {
            if member.waits_for.as_deref() == Some(name) {
                member.waits_for = None;
            }
        }
        let id = outcome["memberId"].as_str().unwrap_or_default();
        let at = self
            .joining
            .iter()
            .position(|member| member.waits_for.as_deref() == Some(name));
        if let Some(at) = at {
            let mut member = self.joining.swap_remove(at);
            member.waits_for = None;
            if id == member.id {
                self.members.push(member);
            }
        }
        if outcome["errorCode"] == 0 && outcome.get("leader").is_some() {
            self.generation = outcome["generationId"].as_i64().unwrap_or_default();
            self.leader = outcome["leader"].as_str().unwrap_or_default().to_owned();
        }
    }
}

pub(super) fn version(dice: &mut Dice, first: i64, last: i64) -> String {
    dice.between(first, last).to_string()
}

impl ClassicGroups {
    /// A name for a request in the background, and for its connection.
    fn request_name(&mut self) -> String {
        self.request_count += 1;
        format!("r{}", self.request_count)
    }

    /// Position of a member that no request holds, if there is one and chance wants it.
    fn free_member(&self, dice: &mut Dice) -> Option<usize> {
        let free: Vec<usize> = (0..self.members.len())
            .filter(|at| self.members[*at].waits_for.is_none())
            .collect();
        (!free.is_empty()).then(|| dice.pick(&free))
    }

    fn protocols(dice: &mut Dice) -> Value {
        let mut names = dice.some(&["range", "roundrobin", "sticky"]);
        if names.is_empty() && !dice.percent(15) {
            names.push("range");
        }
        let metadata = [
            "hex:0001",
            "subscription:${t}",
            "subscription:${t},${t}b",
            "hex:",
        ];
        let entries = names.iter().map(|name| {
            let metadata = dice.pick(&metadata);
            json!({"name": name, "metadata": metadata})
        });
        entries.collect()
    }

    fn join(&mut self, dice: &mut Dice) -> Value {
        let name = self.request_name();
        let protocol_type = dice.weighted(&[(93, "consumer"), (5, "connect"), (2, "")]);
        let known = self.free_member(dice);
        let is_known = known.is_some() && (self.members.len() > 3 || dice.percent(65));
        let mut body = json!({"groupId": "$t", "protocolType": protocol_type, "rebalanceTimeoutMs": SESSION_TIMEOUT_MS});
        body["sessionTimeoutMs"] = json!(if dice.percent(98) {
            SESSION_TIMEOUT_MS
        } else {
            5
        });
        if dice.percent(15) {
            body["reason"] = json!("a walk");
        }
        let mut step = json!({"api": "JoinGroup", "versions": version(dice, 0, 9), "connection": name, "background": name});
        match known.filter(|_| is_known) {
            Some(at) => {
                let member = &mut self.members[at];
                if dice.percent(25) {
                    member.protocols = Self::protocols(dice);
                }
                member.waits_for = Some(name.clone());
                body["memberId"] = json!(member.id);
                body["protocols"] = member.protocols.clone();
                body["groupInstanceId"] = member.instance.clone();
                if dice.percent(4) {
                    body["groupInstanceId"] = json!("i2");
                }
            }
            None => {
                let id = format!("m{}", self.request_count);
                let instance = match dice.below(10) {
                    0 | 1 => json!("i1"),
                    2 => json!("i2"),
                    _ => Value::Null,
                };
                let protocols = Self::protocols(dice);
                body["memberId"] = json!(if dice.percent(97) { "" } else { "nobody" });
                body["protocols"] = protocols.clone();
                body["groupInstanceId"] = instance.clone();
                step["capture"] = json!({&id: "/memberId"});
                self.joining.push(Member {
                    id: format!("${id}"),
                    instance,
                    protocols,
                    waits_for: Some(name),
                });
            }
        }
        step["body"] = body;
        step
    }

    /// Member id and instance of somebody, mostly a member.
    fn somebody(&self, dice: &mut Dice) -> (Value, Value) {
        match self.members.len() {
            0 => (json!("nobody"), Value::Null),
            count => {
                let member = &self.members[dice.below(count)];
                let id = if dice.percent(94) {
                    member.id.as_str()
                } else {
                    dice.pick(&["nobody", ""])
                };
                let instance = match dice.below(12) {
                    0 => json!("i1"),
                    1 => json!("i9"),
                    2 => Value::Null,
                    _ => member.instance.clone(),
                };
                (json!(id), instance)
            }
        }
    }

    fn some_generation(&self, dice: &mut Dice) -> i64 {
        match dice.below(12) {
            0 => self.generation - 1,
            1 => self.generation + 1,
            2 => -1,
            _ => self.generation,
        }
    }

    fn sync(&mut self, dice: &mut Dice) -> Value {
        let name = self.request_name();
        let (mut id, mut instance) = self.somebody(dice);
        if let Some(leader) = self.members.iter().find(|member| member.id == self.leader)
            && dice.percent(50)
        {
            id = json!(leader.id);
            instance = leader.instance.clone();
        }
        let is_leader = id == json!(self.leader);
        let assignments: Vec<Value> = match is_leader || dice.percent(10) {
            true => dice
                .some(&self.members)
                .iter()
                .map(|member| json!({"memberId": member.id, "assignment": "hex:00aa"}))
                .collect(),
            false => Vec::new(),
        };
        let at = self.members.iter().position(|member| id == member.id);
        // A join that waits stays what holds the member.
        if let Some(at) = at
            && self.members[at].waits_for.is_none()
        {
            self.members[at].waits_for = Some(name.clone());
        }
        let protocol_type =
            dice.weighted(&[(6, Some("consumer")), (3, None), (1, Some("connect"))]);
        let protocol = dice.weighted(&[(6, None), (2, Some("range")), (1, Some("sticky"))]);
        // From version 5 on both have to be given.
        let first = if protocol_type.is_none() || protocol.is_none() {
            0
        } else {
            3
        };
        let last = if first == 0 && dice.percent(90) { 4 } else { 5 };
        json!({"api": "SyncGroup", "versions": version(dice, first, last), "connection": name, "background": name, "body": {
            "groupId": "$t", "generationId": self.some_generation(dice), "memberId": id, "groupInstanceId": instance,
            "protocolType": protocol_type, "protocolName": protocol, "assignments": assignments}})
    }

    fn heartbeat(&self, dice: &mut Dice) -> Value {
        let (id, instance) = self.somebody(dice);
        json!({"api": "Heartbeat", "versions": version(dice, 0, 4), "body": {
            "groupId": "$t", "generationId": self.some_generation(dice), "memberId": id, "groupInstanceId": instance}})
    }

    fn leave(&mut self, dice: &mut Dice) -> Value {
        let (id, _) = self.somebody(dice);
        let mut members = Vec::new();
        for _ in 0..dice.between(0, 2) + 1 {
            let (id, instance) = self.somebody(dice);
            let id = if !instance.is_null() && dice.percent(50) {
                json!("")
            } else {
                id
            };
            members.push(json!({"memberId": id, "groupInstanceId": instance}));
        }
        json!({"api": "LeaveGroup", "versions": version(dice, 0, 5), "body": {"groupId": "$t", "memberId": id, "members": members}})
    }

    fn commit(&self, dice: &mut Dice) -> Value {
        let (mut id, mut instance) = self.somebody(dice);
        let mut generation = self.some_generation(dice);
        if dice.percent(25) {
            (id, instance, generation) = (json!(""), Value::Null, -1);
        }
        let offset = dice.between(-1, 9);
        let partitions = json!([{"partitionIndex": dice.between(0, 2), "committedOffset": offset, "committedLeaderEpoch": dice.between(-1, 1), "committedMetadata": dice.pick(&[Value::Null, json!(""), json!("m")])}]);
        let (topic, topic_id) = dice.pick(&[
            ("$t", "$id"),
            ("$t", "$id"),
            ("${t}b", "$idb"),
            ("${t}none", "zero"),
        ]);
        json!({"api": "OffsetCommit", "versions": version(dice, 2, 10), "body": {
            "groupId": "$t", "generationIdOrMemberEpoch": generation, "memberId": id, "groupInstanceId": instance,
            "topics": [{"name": topic, "topicId": topic_id, "partitions": partitions}]}})
    }
}
