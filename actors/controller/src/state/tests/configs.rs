//! Rule A6: configurations changed key by key.

use kabuki_protocol::ids::NodeId;

use super::{Bench, rows};
use crate::messages::{ConfigAction, ConfigAlteration, ConfigOperation, ConfigResource};
use crate::refusal::AlterConfigsRefused;

/// `topic:orders set retention.ms=5; append cleanup.policy=compact`.
fn alteration(text: &str) -> ConfigAlteration {
    let (resource, operations) = text.split_once(' ').unwrap();
    let resource = match resource.split_once(':').unwrap() {
        ("topic", name) => ConfigResource::Topic(name.to_owned()),
        ("broker", "") => ConfigResource::DefaultBroker,
        (_, node) => ConfigResource::Broker(NodeId(node.parse().unwrap())),
    };
    let operations = operations.split(';').map(|operation| {
        let (action, pair) = operation.trim().split_once(' ').unwrap();
        let action = match action {
            "set" => 0,
            "delete" => 1,
            "append" => 2,
            _ => 3,
        };
        let (key, value) = match pair.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (pair, None),
        };
        ConfigOperation {
            key: key.to_owned(),
            action: ConfigAction::from_code(action).unwrap(),
            value,
        }
    });
    ConfigAlteration {
        resource,
        operations: operations.collect(),
    }
}

fn overrides(bench: &Bench, resource: &ConfigResource) -> String {
    let image = &bench.metadata.image;
    let configs = match resource {
        ConfigResource::Topic(name) => match image.topic(name) {
            Some(topic) => topic.configs.clone(),
            None => return String::new(),
        },
        ConfigResource::Broker(node) => image.broker_configs(*node),
        ConfigResource::DefaultBroker => image.default_broker_configs().clone(),
    };
    let pairs = configs.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}

#[test]
fn alter_configs_follows_rule_a6() {
    // Each row goes on where the one before ended; the right side is a refusal, or all overrides after.
    let table = "
        topic:orders set retention.ms=5000           | retention.ms=5000
        topic:orders set retention.ms=5000           | retention.ms=5000
        topic:orders append cleanup.policy=compact   | cleanup.policy=delete,compact retention.ms=5000
        topic:orders append cleanup.policy=compact   | cleanup.policy=delete,compact retention.ms=5000
        topic:orders subtract cleanup.policy=delete  | cleanup.policy=compact retention.ms=5000
        topic:orders append cleanup.policy=shred     | invalid value \"compact,shred\" for configuration cleanup.policy: must be one of delete, compact
        topic:orders append retention.ms=1           | configuration retention.ms is not a list, so entries can not be added or taken away
        topic:orders set retention.ms                | key \"retention.ms\" needs a value
        topic:orders set no.such=1                   | unknown topic config name: no.such
        topic:orders append no.such=1                | unknown topic config name: no.such
        topic:orders delete no.such                  | cleanup.policy=compact retention.ms=5000
        topic:orders set flush.ms=1; set flush.ms=2  | key \"flush.ms\" stands more than once
        topic:orders set flush.ms=1; set segment.bytes=1 | invalid value \"1\" for configuration segment.bytes: must be at least 1048576
        topic:orders delete cleanup.policy; set flush.ms=1 | flush.ms=1 retention.ms=5000
        topic:orders delete cleanup.policy           | flush.ms=1 retention.ms=5000
        topic:missing set retention.ms=1             | no topic of this name exists
        broker:1 set log.retention.ms=7              | log.retention.ms=7
        broker: set message.max.bytes=99             | message.max.bytes=99
        broker:1 set message.max.bytes=-1            | invalid value \"-1\" for configuration message.max.bytes: must be at least 0
        broker:1 set node.id=2                       | configuration node.id can not be changed while the broker runs
        broker:1 set ssl.client.auth=required        | configuration ssl.client.auth can not be changed while the broker runs
        broker:1 set listeners=PLAINTEXT://:1        | configuration listeners can not be changed while the broker runs
        broker:1 set no.such=2                       | log.retention.ms=7 no.such=2
        broker:1 append no.such=3                    | configuration no.such is not a list, so entries can not be added or taken away
        broker:1 set no.such                         | key \"no.such\" needs a value
        broker:1 delete no.such                      | log.retention.ms=7
        broker:1 delete no.such                      | log.retention.ms=7
        broker:1 delete node.id                      | configuration node.id can not be changed while the broker runs
        broker:1 set kabuki.no.such=1                | unknown broker config name: kabuki.no.such
        broker:1 set listener.name.x.no.such=1       | configuration listener.name.x.no.such can not be changed while the broker runs
        broker:9 set log.retention.ms=7              | broker 9 is not registered
        broker:1 delete log.retention.ms             |
        broker: delete message.max.bytes             |
    ";
    let mut bench = Bench::with_brokers(1);
    bench.topic("orders", 1, 1);
    for (asked, expected) in rows(table) {
        let asked_for = [alteration(asked)];
        let decision = bench.metadata.alter_configs(&asked_for, true);
        assert!(decision.records.is_empty(), "only validated: {asked}");
        let decision = bench.metadata.alter_configs(&asked_for, false);
        let answer = match bench.take(decision).swap_remove(0) {
            Ok(()) => overrides(&bench, &asked_for[0].resource),
            Err(refused) => refused.to_string(),
        };
        assert_eq!(answer, expected, "{asked}");
    }
}

#[test]
fn a_resource_that_stands_twice_is_not_changed() {
    let mut bench = Bench::with_brokers(1);
    bench.topic("a", 1, 1);
    bench.topic("b", 1, 1);
    let asked = [
        "topic:a set flush.ms=1",
        "topic:b set flush.ms=1",
        "topic:a set flush.ms=2",
    ];
    let decision = bench.metadata.alter_configs(&asked.map(alteration), false);
    let duplicate = Err(AlterConfigsRefused::DuplicateResource);
    assert_eq!(bench.take(decision), [duplicate.clone(), Ok(()), duplicate]);
    assert!(bench.metadata.image.topic("a").unwrap().configs.is_empty());
}

#[test]
fn a_stored_key_of_another_version_can_still_be_deleted() {
    use crate::records::{MetadataRecord, RecordResource};
    let mut bench = Bench::with_brokers(1);
    let id = bench.topic("a", 1, 1);
    let record = MetadataRecord::ConfigChanged {
        resource: RecordResource::Topic(id),
        key: "from.the.future".to_owned(),
        value: Some("1".to_owned()),
    };
    bench.take(super::Decision {
        answer: (),
        records: vec![record],
    });
    let asked = [alteration("topic:a delete from.the.future")];
    let decision = bench.metadata.alter_configs(&asked, false);
    assert_eq!(bench.take(decision), [Ok(())]);
    assert!(bench.metadata.image.topic("a").unwrap().configs.is_empty());
}

#[test]
fn a_resource_keeps_so_many_bytes_of_configuration() {
    use crate::catalogue::ConfigRefused;
    let mut bench = Bench::with_brokers(1);
    let value = "v".repeat(30_000);
    let mut alter = |text: &str| {
        let decision = bench.metadata.alter_configs(&[alteration(text)], false);
        bench.take(decision).swap_remove(0)
    };
    for key in ["unknown.1", "unknown.2"] {
        assert_eq!(alter(&format!("broker: set {key}={value}")), Ok(()));
    }
    let too_large = ConfigRefused::TooLarge {
        bytes: 90_027,
        bytes_max: 65_536,
    };
    let refused = alter(&format!("broker: set unknown.3={value}"));
    assert_eq!(refused, Err(too_large.into()));
    // Room is made by taking away.
    assert_eq!(alter("broker: delete unknown.1"), Ok(()));
    assert_eq!(alter(&format!("broker: set unknown.3={value}")), Ok(()));
}
