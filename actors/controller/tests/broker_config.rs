//! What a node may be started with: listeners, identity, and keys that would fail open.
#![allow(clippy::unwrap_used)] // a test that can not go on fails

use std::collections::BTreeMap;

use kabuki_controller::BrokerConfig;
use kabuki_controller::broker_config::{BrokerConfigRefused, ConfigWarning};

fn parse(text: &str) -> Result<(BrokerConfig, Vec<ConfigWarning>), BrokerConfigRefused> {
    let pairs = text
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    let values: BTreeMap<String, String> = pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            (key.trim().to_owned(), value.trim().to_owned())
        })
        .collect();
    BrokerConfig::parse(values)
}

#[test]
fn listeners_follow_kafkas_rules() {
    // Settings; then `NAME bound > advertised` of each listener, or the refusal.
    let table = [
        (
            "listeners=PLAINTEXT://127.0.0.1:9092",
            "PLAINTEXT 127.0.0.1:9092 > 127.0.0.1:9092",
        ),
        (
            "listeners=PLAINTEXT://0.0.0.0:9092;advertised.listeners=PLAINTEXT://kafka.example:19092",
            "PLAINTEXT 0.0.0.0:9092 > kafka.example:19092",
        ),
        (
            "listeners=PLAINTEXT://0.0.0.0:9092",
            "advertised.listeners: PLAINTEXT would tell clients to connect to 0.0.0.0, which leads nowhere; set advertised.listeners",
        ),
        (
            "listeners=inside://10.0.0.1:9092,OUTSIDE://10.0.0.1:9093;listener.security.protocol.map=INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT;advertised.listeners=OUTSIDE://broker.example:443",
            "INSIDE 10.0.0.1:9092 > 10.0.0.1:9092, OUTSIDE 10.0.0.1:9093 > broker.example:443",
        ),
        (
            "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093;controller.listener.names=CONTROLLER;listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "PLAINTEXT 127.0.0.1:9092 > 127.0.0.1:9092",
        ),
        (
            "listeners=PLAINTEXT://[::1]:9092",
            "PLAINTEXT ::1:9092 > ::1:9092",
        ),
        (
            "listeners=PLAINTEXT://127.0.0.1:0",
            "PLAINTEXT 127.0.0.1:0 > 127.0.0.1:0",
        ),
        (
            "listeners=INSIDE://127.0.0.1:9092",
            "listener.security.protocol.map: listener INSIDE has no security protocol",
        ),
        (
            "listeners=PLAINTEXT:9092",
            "listeners: \"PLAINTEXT:9092\" is not NAME://host:port with a port up to 65535",
        ),
        (
            "listeners=PLAINTEXT://a:70000",
            "listeners: \"PLAINTEXT://a:70000\" is not NAME://host:port with a port up to 65535",
        ),
        (
            "listeners=PLAINTEXT://a:1,PLAINTEXT://b:2",
            "listeners: listener PLAINTEXT is named twice",
        ),
        (
            "listeners=A://a:1,B://:1;listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT",
            "listeners: A and B share port 1",
        ),
        (
            "listeners=PLAINTEXT://a:1;advertised.listeners=OTHER://b:2",
            "advertised.listeners: OTHER is not among the listeners",
        ),
        (
            "listeners=SSL://a:1",
            "listener SSL asks for TLS, which this version does not have; remove the key to start without it",
        ),
        (
            "listeners=IN://a:1;listener.security.protocol.map=IN:SASL_PLAINTEXT",
            "listener IN asks for authentication, which this version does not have; remove the key to start without it",
        ),
        (
            "listeners=PLAINTEXT://a:1;inter.broker.listener.name=INTERNAL",
            "listeners: inter.broker.listener.name INTERNAL is not among them",
        ),
    ];
    for (settings, expected) in table {
        let answer = match parse(settings) {
            Ok((config, _)) => {
                let shown = config.listeners().iter().map(|listener| {
                    assert_eq!(listener.name, listener.advertised.listener);
                    let (host, port) = (&listener.advertised.host, listener.advertised.port);
                    let bound = format!("{}:{}", listener.host, listener.port);
                    format!("{} {bound} > {host}:{port}", listener.name)
                });
                shown.collect::<Vec<_>>().join(", ")
            }
            Err(refused) => refused.to_string(),
        };
        assert_eq!(answer, expected, "{settings}");
    }
}

#[test]
fn an_empty_host_is_advertised_as_the_name_of_the_machine() {
    let (config, _) = parse("").unwrap();
    let [listener] = config.listeners() else {
        panic!("one listener by default")
    };
    assert_eq!((&*listener.host, listener.port), ("", 9092));
    assert!(!listener.advertised.host.is_empty());
}

#[test]
fn keys_that_promise_protection_stop_the_start() {
    let keys = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "ssl.client.auth=required",
        "ssl.client.auth=requested",
        "security.inter.broker.protocol=SSL",
        "create.topic.policy.class.name=com.example.Policy",
        "alter.config.policy.class.name=com.example.Policy",
        "client.quota.callback.class=com.example.Quota",
        "connections.max.reauth.ms=1000",
    ];
    for key in keys {
        let refused = parse(key).unwrap_err();
        assert!(
            matches!(refused, BrokerConfigRefused::ProtectionNotBuilt { .. }),
            "{refused}"
        );
    }
    for harmless in [
        "authorizer.class.name=",
        "ssl.client.auth=none",
        "connections.max.reauth.ms=0",
    ] {
        assert!(parse(harmless).is_ok(), "{harmless}");
    }
}

#[test]
fn keys_that_speak_of_other_nodes_stop_the_start() {
    let keys = [
        "process.roles=broker",
        "process.roles=controller",
        "controller.quorum.voters=1@a:9093,2@b:9093",
        "controller.quorum.bootstrap.servers=a:9093,b:9093",
    ];
    for key in keys {
        let refused = parse(key).unwrap_err();
        assert!(
            matches!(refused, BrokerConfigRefused::ClusterNotBuilt { .. }),
            "{refused}"
        );
    }
    let alone =
        "process.roles=broker,controller;node.id=1;controller.quorum.voters=1@localhost:9093";
    assert!(parse(alone).is_ok());
}

#[test]
fn an_unknown_own_key_names_the_nearest() {
    let refused = parse("kabuki.chaos.enabled=true").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "unknown key kabuki.chaos.enabled; did you mean kabuki.chaos.enable?"
    );
    let refused = parse("kabuki.memory.maxx=1").unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("did you mean kabuki.memory.max?")
    );
}

#[test]
fn values_are_held_to_their_rules() {
    let table = [
        (
            "num.partitions=0",
            "num.partitions = \"0\" must be at least 1",
        ),
        (
            "num.partitions=many",
            "num.partitions = \"many\" is not a number of type int",
        ),
        (
            "log.segment.bytes=1000",
            "log.segment.bytes = \"1000\" must be at least 1048576",
        ),
        (
            "delete.topic.enable=1",
            "delete.topic.enable = \"1\" must be one of true, false",
        ),
        ("node.id=-3", "node.id = \"-3\" must be at least 0"),
        ("log.dirs=,", "log.dirs = \",\" names no directory"),
        (
            "log.dirs=/a,/b,/a",
            "log.dirs = \"/a,/b,/a\" names a directory twice",
        ),
        (
            "node.id=1;broker.id=2",
            "node.id = 1 and broker.id = 2 differ; set one of them",
        ),
    ];
    for (settings, expected) in table {
        assert_eq!(parse(settings).unwrap_err().to_string(), expected);
    }
}

#[test]
fn keys_without_effect_are_accepted_with_the_reason() {
    let settings = "zookeeper.connect=a:2181;num.io.threads=9;num.network.threads=3;made.up.key=1;num.partitions=3;\
                    listener.name.plaintext.max.connections=5;listener.name.plaintext.made.up=5";
    let (_, warnings) = parse(settings).unwrap();
    let shown: Vec<String> = warnings
        .iter()
        .map(|warning| format!("{}: {}", warning.key, warning.cause))
        .collect();
    assert_eq!(
        shown,
        [
            "listener.name.plaintext.made.up: not a key of this broker",
            "made.up.key: not a key of this broker",
            "num.io.threads: requests are handled by actors; see kabuki.data.arbiters",
            "zookeeper.connect: there is no ZooKeeper: metadata is in the node's own log",
        ]
    );
}

#[test]
fn typed_access_falls_back_to_the_default() {
    let (config, _) = parse("broker.id=7;log.dirs=/a, /b;auto.create.topics.enable=FALSE").unwrap();
    assert_eq!(config.node_id().get(), 7);
    assert_eq!(
        config.log_dirs(),
        ["/a", "/b"].map(std::path::PathBuf::from)
    );
    assert_eq!(config.metadata_dir(), std::path::PathBuf::from("/a"));
    assert!(!config.is_on("auto.create.topics.enable"));
    assert!(config.is_on("delete.topic.enable"));
    assert_eq!(config.number("socket.request.max.bytes"), 104_857_600);
    assert_eq!(config.number_if_set("kabuki.memory.max"), None);
    assert_eq!(config.text("kabuki.log.level"), Some("info"));
    let (config, _) = parse("log.dir=/c;metadata.log.dir=/m;kabuki.memory.max=33554432").unwrap();
    assert_eq!(config.log_dirs(), [std::path::PathBuf::from("/c")]);
    assert_eq!(config.metadata_dir(), std::path::PathBuf::from("/m"));
    assert_eq!(config.number_if_set("kabuki.memory.max"), Some(33_554_432));
}
