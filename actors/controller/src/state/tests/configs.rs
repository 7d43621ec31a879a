//! Configurations changed key by key.

use std::sync::Arc;

use kabuki_protocol::ids::NodeId;

use super::{Bench, rows};
use crate::messages::{
    ConfigAction, ConfigAlteration, ConfigChange, ConfigOperation, ConfigResource,
};
use crate::refusal::AlterConfigsRefused;
use crate::state::idle_keys;

/// `topic:orders set retention.ms=5; append cleanup.policy=compact`, or `topic:orders = retention.ms=5; flush.ms=1`.
fn alteration(text: &str) -> ConfigAlteration {
    let (resource, operations) = text.split_once(' ').unwrap();
    let resource = match resource.split_once(':').unwrap() {
        ("topic", name) => ConfigResource::Topic(name.to_owned()),
        ("broker", "") => ConfigResource::DefaultBroker,
        ("group", name) => ConfigResource::Group(name.to_owned()),
        (_, node) => ConfigResource::Broker(NodeId(node.parse().unwrap())),
    };
    if let Some(configs) = operations.strip_prefix('=') {
        let configs = configs.split(';').map(str::trim);
        let configs = configs.filter(|pair| !pair.is_empty());
        let configs = configs.map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (pair.to_owned(), None),
        });
        return ConfigAlteration {
            resource,
            change: ConfigChange::Replacement(configs.collect()),
        };
    }
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
            action: ConfigAction::from_code(action),
            value,
        }
    });
    ConfigAlteration {
        resource,
        change: ConfigChange::Operations(operations.collect()),
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
        ConfigResource::Group(name) => Arc::new(image.group_overrides(name).clone()),
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
        topic:orders append no.such=1                | configuration no.such is not a list, so entries can not be added or taken away
        topic:orders delete no.such                  | cleanup.policy=compact retention.ms=5000
        topic:orders set flush.ms=1; set flush.ms=2  | key \"flush.ms\" stands more than once
        topic:orders set flush.ms=1; set segment.bytes=1 | invalid value \"1\" for configuration segment.bytes: must be at least 1048576
        topic:orders delete cleanup.policy; set flush.ms=1 | flush.ms=1 retention.ms=5000
        topic:orders delete cleanup.policy           | flush.ms=1 retention.ms=5000
        topic:missing set retention.ms=1             | no topic of this name exists
        topic:missing set flush.ms=x; set flush.ms=1 | key \"flush.ms\" stands more than once
        topic:missing set no.such=1                  | unknown topic config name: no.such
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
        broker:1 delete node.id                      | log.retention.ms=7
        broker:1 set kabuki.no.such=1                | unknown broker config name: kabuki.no.such
        broker:1 set listener.name.x.ssl.key.password=1 | configuration listener.name.x.ssl.key.password can not be changed while the broker runs
        broker:1 set listener.name.x.max.connections=no | invalid value \"no\" for configuration max.connections: is not a number of type int
        broker:1 set listener.name.x.max.connections=3; set listener.name.x.no.such=1 | listener.name.x.max.connections=3 listener.name.x.no.such=1 log.retention.ms=7
        broker:1 delete listener.name.x.max.connections; delete listener.name.x.no.such | log.retention.ms=7
        broker:1 set num.io.threads=17               | invalid value \"17\" for configuration num.io.threads: must be between 4 and 16, as it is 8
        broker:1 set num.io.threads=16               | log.retention.ms=7 num.io.threads=16
        broker:1 set num.io.threads=32               | log.retention.ms=7 num.io.threads=32
        broker:1 delete num.io.threads               | log.retention.ms=7
        broker:1 set max.connections=0               | invalid value \"0\" for configuration max.connections: must be at least 1 while the broker runs
        broker:1 set max.connections.per.ip=0        | invalid value \"0\" for configuration max.connections.per.ip: may be 0 only where max.connections.per.ip.overrides says more
        broker:1 set min.insync.replicas=1           | configuration min.insync.replicas can be set for all brokers only
        broker:1 set log.local.retention.ms=8        | invalid value \"8\" for configuration log.local.retention.ms: would keep 8 locally, and 7 in all
        broker:1 set log.cleaner.dedupe.buffer.size=1048576 | invalid value \"1048576\" for configuration log.cleaner.dedupe.buffer.size: leaves 1048576 bytes for 1 threads, each needs more than 1048576
        broker:1 set cordoned.log.dirs=/none         | invalid value \"/none\" for configuration cordoned.log.dirs: \"/none\" is no log directory of this broker
        broker: set cordoned.log.dirs=*              | invalid value \"*\" for configuration cordoned.log.dirs: can be set for single brokers only
        broker:1 set metric.reporters=a.B            | invalid value \"a.B\" for configuration metric.reporters: names the Java class a.B, which can not be loaded
        broker: set group.share.assignment.interval.ms=15001 | invalid value \"15001\" for configuration group.share.assignment.interval.ms: must be between 0 and 15000
        broker:9 set log.retention.ms=7              | broker 9 is not registered
        broker:1 delete log.retention.ms             |
        broker: delete message.max.bytes             |
        topic:orders = segment.ms=7                  | segment.ms=7
        topic:orders = segment.ms=8; flush.ms=2      | flush.ms=2 segment.ms=8
        topic:orders = flush.ms=2; flush.ms=3        | key \"flush.ms\" stands more than once
        topic:orders = flush.ms                      | key \"flush.ms\" needs a value
        topic:orders = no.such=1                     | unknown topic config name: no.such
        topic:orders = flush.ms=x                    | invalid value \"x\" for configuration flush.ms: is not a number of type long
        topic:orders = min.compaction.lag.ms=9; max.compaction.lag.ms=8 | min.compaction.lag.ms = 9 contradicts max.compaction.lag.ms = 8
        topic:orders =                               |
        broker:1 = log.retention.ms=7                | log.retention.ms=7
        broker:1 = node.id=1                         | configuration node.id can not be changed while the broker runs
        broker:1 =                                   |
        group:g set consumer.session.timeout.ms=50000 | consumer.session.timeout.ms=50000
        group:g set consumer.session.timeout.ms=60001 | invalid value \"60001\" for configuration consumer.session.timeout.ms: must be between 45000 (group.consumer.min.session.timeout.ms) and 60000 (group.consumer.max.session.timeout.ms)
        group:g set consumer.heartbeat.interval.ms=4999 | invalid value \"4999\" for configuration consumer.heartbeat.interval.ms: must be between 5000 (group.consumer.min.heartbeat.interval.ms) and 15000 (group.consumer.max.heartbeat.interval.ms)
        group:g set streams.num.standby.replicas=3   | invalid value \"3\" for configuration streams.num.standby.replicas: must be at most 2 (group.streams.max.standby.replicas)
        group:g set share.auto.offset.reset=by_duration:P1DT2H3.5S | consumer.session.timeout.ms=50000 share.auto.offset.reset=by_duration:P1DT2H3.5S
        group:g set share.auto.offset.reset=by_duration:PT | invalid value \"by_duration:PT\" for configuration share.auto.offset.reset: must be latest, earliest or by_duration:PnDTnHnMn.nS
        group:g set share.auto.offset.reset=never    | invalid value \"never\" for configuration share.auto.offset.reset: must be latest, earliest or by_duration:PnDTnHnMn.nS
        group:g set retention.ms=1                   | unknown group config name: retention.ms
        group:g append consumer.session.timeout.ms=1 | configuration consumer.session.timeout.ms is not a list, so entries can not be added or taken away
        group:g = consumer.heartbeat.interval.ms=6000 | consumer.heartbeat.interval.ms=6000
        group:g delete consumer.heartbeat.interval.ms |
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

#[test]
fn keys_that_do_nothing_are_named_with_the_reason() {
    let mut bench = Bench::with_brokers(1);
    bench.topic("orders", 1, 1);
    let asked = [
        "topic:orders set retention.ms=5; set preallocate=false; set segment.ms=5",
        "broker: set log.cleaner.threads=2; set made.up=1",
        "group:g set share.isolation.level=read_committed; set consumer.session.timeout.ms=50000",
    ];
    let decision = bench.metadata.alter_configs(&asked.map(alteration), false);
    let idle: Vec<_> = idle_keys(&decision.records).collect();
    assert_eq!(
        idle,
        [
            (
                "retention.ms",
                "segments are not dropped by age or size yet"
            ),
            ("log.cleaner.threads", "compaction is not built"),
            ("unknown keys", "they are kept for plugins of other brokers"),
            ("share.isolation.level", "share groups are not built"),
        ]
    );
    let decision = bench
        .metadata
        .alter_configs(&["broker:1 delete retention.ms"].map(alteration), false);
    assert_eq!(idle_keys(&decision.records).count(), 0);
}
