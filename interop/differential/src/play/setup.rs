//! What a sequence needs before its first step, and what is taken away after its last one.

use std::time::Instant;

use serde_json::{Value, json};

use super::{CONDITION_WAIT, Player, outcome_of};
use crate::Stopped;
use crate::message;
use crate::sequence::{NewTopic, Step};

impl Player<'_> {
    pub(crate) fn create_topics(&mut self) -> Result<(), Stopped> {
        let sequence = self.sequence;
        sequence
            .create
            .iter()
            .try_for_each(|topic| self.create(topic))
    }

    /// Deletes what was created under the sequence's name, so that those after it find the broker as it was.
    pub(super) fn delete_topics(&mut self) -> Result<(), Stopped> {
        let listed = self.ask("Metadata", &json!({"topics": null}))?;
        let prefix = self.variables.topic_prefix();
        let own: Vec<Value> = listed["topics"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|topic| topic["name"].as_str())
            .filter(|name| name.starts_with(prefix))
            .map(|name| json!({ "name": name }))
            .collect();
        if own.is_empty() {
            return Ok(());
        }
        let deleted = self.ask("DeleteTopics", &json!({"timeoutMs": 30_000, "topics": own}))?;
        let results = deleted["responses"].as_array();
        let is_done = results
            .is_some_and(|results| results.iter().all(|result| result["errorCode"] == json!(0)));
        if is_done {
            Ok(())
        } else {
            Err(Stopped::because(format!(
                "its topics are not deleted: {deleted}"
            )))
        }
    }

    /// Creates a topic and waits until all its partitions are led and answer.
    fn create(&mut self, topic: &NewTopic) -> Result<(), Stopped> {
        let configs: Vec<Value> = topic
            .configs
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let created = self.ask("CreateTopics", &json!({"timeoutMs": 30_000, "topics": [{
            "name": topic.topic, "numPartitions": topic.partitions, "replicationFactor": 1, "configs": configs,
        }]}))?;
        if created.pointer("/topics/0/errorCode") != Some(&json!(0)) {
            return Err(Stopped::because(format!(
                "{} is not created: {created}",
                topic.topic
            )));
        }
        let id = created.pointer("/topics/0/topicId").cloned();
        self.variables.set(&topic.id, id.unwrap_or_default());
        let partitions: Vec<Value> = (0..topic.partitions)
            .map(|partition| json!({"partitionIndex": partition, "timestamp": -2}))
            .collect();
        let offsets = json!({"topics": [{"name": topic.topic, "partitions": partitions}]});
        let started = Instant::now();
        loop {
            let answer = self.ask("ListOffsets", &offsets)?;
            let listed = answer.pointer("/topics/0/partitions");
            let is_ready = listed.and_then(Value::as_array).is_some_and(|listed| {
                listed
                    .iter()
                    .all(|partition| partition["errorCode"] == json!(0))
            });
            if is_ready {
                return Ok(());
            }
            if started.elapsed() > CONDITION_WAIT {
                return Err(Stopped::because(format!(
                    "{} does not serve: {answer}",
                    topic.topic
                )));
            }
        }
    }

    /// A request of the set-up, on a connection of its own: newest version, not told of.
    fn ask(&mut self, api: &str, body: &Value) -> Result<Value, Stopped> {
        let api = self.schemas.api(api)?;
        let version = api.advertised.last;
        let body = message::encode(&api.request, version, &self.variables.fill(body))?;
        let step = Step {
            connection: Some("set-up".to_owned()),
            ..Step::default()
        };
        let mut waiting = self.send(&step, api, version, &body);
        let arrived = self.connection(&waiting.connection).receive(None);
        Ok(outcome_of(arrived, &mut waiting))
    }
}
