//! Rules of the state as text tables: what is asked on the left, what comes of it on the right.

mod brokers;
mod configs;
mod features;
mod replay;
mod topics;

use std::collections::BTreeMap;

use kabuki_protocol::ids::{NodeId, TopicId};

use super::{Decision, Metadata, Settings};
use crate::broker_config::BrokerConfig;
use crate::image::{DirectoryId, Endpoint, MetadataImage};
use crate::messages::{NewTopic, RegisterBroker};
use crate::records::{MetadataRecord, Records};

/// Metadata with its log, so that every test can replay what it did.
pub(super) struct Bench {
    pub(super) metadata: Metadata,
    pub(super) log: Records,
    next_id: u8,
}

impl Bench {
    /// Brokers 1 to `broker_count`, each with directory `[id; 16]`.
    pub(super) fn with_brokers(broker_count: i32) -> Self {
        let (config, _) = BrokerConfig::parse(BTreeMap::new()).unwrap();
        let image = MetadataImage::empty("test-cluster");
        let metadata = Metadata::new(image, Settings::new(&config.into()));
        let mut bench = Self {
            metadata,
            log: Records::new(),
            next_id: 1,
        };
        let cluster_id = "test-cluster".to_owned();
        bench.take(Decision {
            answer: (),
            records: vec![MetadataRecord::ClusterFormatted { cluster_id }],
        });
        for node in 1..=broker_count {
            bench.register(node, 1, &[node as u8]);
        }
        bench
    }

    /// Applies a decision as the shell does once it is committed.
    pub(super) fn take<T>(&mut self, decision: Decision<T>) -> T {
        self.metadata.apply_all(&decision.records).unwrap();
        self.log.extend(decision.records);
        decision.answer
    }

    /// Registers a broker's incarnation with these directories.
    pub(super) fn register(&mut self, node: i32, incarnation: u8, directories: &[u8]) {
        let (reply, _answer) = kabuki_runtime::reply_channel();
        let command = RegisterBroker {
            node: NodeId(node),
            incarnation: [incarnation; 16],
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".into(),
                host: format!("host-{node}"),
                port: 9092,
            }],
            rack: None,
            directories: directories
                .iter()
                .map(|id| DirectoryId([*id; 16]))
                .collect(),
            reply,
        };
        let decision = self.metadata.register_broker(&command);
        self.take(decision);
    }

    /// Creates one topic and shows the answer in one line.
    pub(super) fn create(&mut self, topic: NewTopic) -> String {
        self.create_all(&[topic]).swap_remove(0)
    }

    pub(super) fn create_all(&mut self, topics: &[NewTopic]) -> Vec<String> {
        let mut next = self.next_id;
        let decision = self.metadata.create_topics(topics, false, || {
            next += 1;
            TopicId([next; 16])
        });
        self.next_id = next;
        let answers = self.take(decision);
        answers
            .into_iter()
            .map(|answer| match answer {
                Ok(created) => {
                    format!("{}x{}", created.partition_count, created.replication_factor)
                }
                Err(refused) => refused.to_string(),
            })
            .collect()
    }

    /// A topic that must be creatable.
    pub(super) fn topic(&mut self, name: &str, partition_count: i32, factor: i16) -> TopicId {
        let answer = self.create(new_topic(name, partition_count, factor));
        assert_eq!(answer, format!("{partition_count}x{factor}"));
        self.metadata.image.topic(name).unwrap().id
    }

    /// Leader and epoch of each partition, such as `1@0 -1@3`.
    pub(super) fn leaders(&self, topic: &str) -> String {
        let topic = self.metadata.image.topic(topic).unwrap();
        let shown = topic.partitions.iter().map(|partition| {
            assert!(partition.partition_epoch >= partition.leader_epoch.get());
            format!("{}@{}", partition.leader, partition.leader_epoch)
        });
        shown.collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn new_topic(name: &str, partition_count: i32, replication_factor: i16) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partition_count,
        replication_factor,
        ..NewTopic::default()
    }
}

/// Rows of a table: left and right of `|`, empty lines left out.
pub(super) fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| {
        let (left, right) = line.split_once('|').unwrap();
        (left.trim(), right.trim())
    })
}
