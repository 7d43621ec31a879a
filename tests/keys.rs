//! Keys whose effect only a whole node shows: its threads, its log, what it tells of itself.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kabuki_client::{Admin, NewTopic};
use kabuki_protocol::error::ErrorCode;
use support::{DEADLINE, NodeHome};

/// Threads of a process by the names that the system shows of them, once each has its own: a thread that
/// has not run yet bears the name of the first.
fn threads(process_id: u32) -> BTreeMap<String, usize> {
    let named_by = Instant::now() + DEADLINE;
    loop {
        let (first, counts) = names_of_threads(process_id);
        if counts.get(&first) == Some(&1) {
            return counts;
        }
        assert!(
            Instant::now() < named_by,
            "more than one {first}: {counts:?}"
        );
    }
}

/// Name of the first thread of a process, and those of all as they are at this moment.
fn names_of_threads(process_id: u32) -> (String, BTreeMap<String, usize>) {
    let mut counts = BTreeMap::new();
    // A thread may end while the others are read.
    let name = |thread: &Path| {
        let name = std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
        name.trim().to_owned()
    };
    let process = PathBuf::from(format!("/proc/{process_id}"));
    for task in std::fs::read_dir(process.join("task")).expect("it runs") {
        let thread = task.expect("a thread").path();
        *counts.entry(name(&thread)).or_default() += 1;
    }
    (name(&process), counts)
}

/// How many of them have a name that is this and a number.
fn count(threads: &BTreeMap<String, usize>, prefix: &str) -> usize {
    let is_numbered = |name: &str| {
        let number = name.strip_prefix(prefix);
        number.is_some_and(|number| number.parse::<u8>().is_ok())
    };
    let named = threads.iter().filter(|(name, _)| is_numbered(name));
    named.map(|(_, count)| count).sum()
}

#[tokio::test]
async fn clients_are_told_the_rack_of_a_broker() {
    let home = NodeHome::new().with("broker.rack=shelf 7");
    let node = home.start();
    let client = node.client().await;
    let cluster = Admin::new(client.clone()).describe_cluster().await;
    let described = cluster.expect("described").brokers;
    for broker in described.iter().chain(&client.brokers()) {
        assert_eq!(broker.rack.as_deref(), Some("shelf 7"), "{broker:?}");
    }
    assert_eq!(described.len(), 1);
}

#[tokio::test]
async fn topics_have_as_many_replicas_as_the_node_says_and_no_more_partitions() {
    let home = NodeHome::new()
        .with("default.replication.factor=2")
        .with("kabuki.topic.partitions.max=3");
    let node = home.start();
    let admin = Admin::new(node.client().await);
    let create = async |partitions: i32, replicas: Option<i16>| {
        let topic = NewTopic::named("orders").partitions(partitions);
        let topic = match replicas {
            Some(replicas) => topic.replication_factor(replicas),
            None => topic,
        };
        admin.create_topic(&topic).await.map(drop)
    };
    let refused = create(1, None).await.expect_err("there is one broker");
    assert_eq!(refused.code(), Some(ErrorCode::InvalidReplicationFactor));
    let refused = create(4, Some(1)).await.expect_err("one too many");
    assert_eq!(refused.code(), Some(ErrorCode::PolicyViolation));
    create(3, Some(1)).await.expect("created");
    let refused = admin.create_partitions("orders", 4).await;
    let refused = refused.expect_err("one too many");
    assert_eq!(refused.code(), Some(ErrorCode::UnknownServerError));
}

#[test]
fn log_directories_have_the_threads_that_the_node_was_told() {
    let threads_with = |setting: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let directories = ["a", "b", "c"].map(|name| folder.path().join(name));
        let directories = directories.map(|path| path.display().to_string());
        let home = NodeHome::new()
            .with(&format!("log.dirs={}", directories.join(",")))
            .with(setting);
        let node = home.start();
        let threads = threads(node.process_id());
        assert!(node.stop().success(), "{}", home.log());
        threads
    };
    let few = threads_with("kabuki.disk.threads=3");
    assert_eq!(count(&few, "data"), 3, "one for each directory: {few:?}");
    for disk in ["disk0-", "disk1-", "disk2-"] {
        assert_eq!(count(&few, disk), 3, "{disk}: {few:?}");
    }
    let shared = threads_with("kabuki.data.arbiters=2");
    assert_eq!(count(&shared, "data"), 2, "for three: {shared:?}");
    assert_eq!(count(&shared, "disk1-"), 8, "the default: {shared:?}");
}

/// What a node that is started and stopped writes to its log.
fn log_with(settings: &[&str]) -> String {
    let home = settings
        .iter()
        .fold(NodeHome::new(), |home, setting| home.with(setting));
    let status = home.start().stop();
    assert!(status.success(), "{}", home.log());
    home.log()
}

#[test]
fn the_log_has_the_form_and_holds_the_levels_that_were_asked_for() {
    let is_json = |line: &str| line.starts_with('{') && line.ends_with('}');
    let json = log_with(&["kabuki.log.format=json"]);
    assert!(json.lines().all(is_json), "{json}");
    assert!(json.contains("stopped cleanly"), "{json}");
    let plain = log_with(&["kabuki.log.format=terminal"]);
    assert!(!plain.lines().any(is_json), "{plain}");
    assert!(plain.contains("stopped cleanly"), "{plain}");

    let idle = "log.retention.hours=1";
    let warnings = log_with(&["kabuki.log.level=warning", idle]);
    assert!(!warnings.contains("stopped cleanly"), "{warnings}");
    assert!(warnings.contains("without effect"), "{warnings}");
    assert_eq!(log_with(&["kabuki.log.level=error", idle]), "");
}

#[test]
fn keys_without_effect_are_named_at_the_start_with_the_reason() {
    let settings = [
        "log.retention.hours=1",
        "num.io.threads=16",
        "min.insync.replicas=2",
        "num.partitions=3",
        "my.plugin.key=1",
    ];
    let log = log_with(&settings);
    let line = log.lines().find(|line| line.contains("without effect"));
    let line = line.unwrap_or_else(|| panic!("nothing is named: {log}"));
    for (name, why) in [
        ("log.retention.hours", "segments are not dropped"),
        ("num.io.threads", "kabuki.data.arbiters"),
        ("min.insync.replicas", "no second node"),
        ("my.plugin.key", "not a key of this broker"),
    ] {
        assert!(line.contains(name) && line.contains(why), "{name}: {line}");
    }
    assert!(
        !line.contains("num.partitions"),
        "it has its effect: {line}"
    );
}
