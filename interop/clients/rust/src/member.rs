//! Member of a consumer group: events as JSON lines out, the word to leave in.
//! What the events say and when they are told is written in `member_loop.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long a commit is tried again before partitions are given up.
const COMMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);
const BATCH_RECORDS_MAX: usize = 200;

static IS_LEAVING: AtomicBool = AtomicBool::new(false);

#[derive(Deserialize)]
struct Asked {
    bootstrap: String,
    group: String,
    topic: String,
    reset: String,
    assignor: String,
    protocol: String,
    instance: Option<String>,
    session_ms: u32,
    heartbeat_ms: u32,
}

#[derive(Default)]
struct Progress {
    owned: BTreeSet<i32>,
    /// Offsets read and not yet told.
    read: BTreeMap<i32, Vec<i64>>,
    /// Next offset of each partition whose last records were not committed yet.
    uncommitted: BTreeMap<i32, i64>,
}

struct Member {
    topic: String,
    progress: Mutex<Progress>,
}

fn tell(event: &str, mut fields: Value) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    fields["at"] = json!(since.expect("the clock is past 1970").as_secs_f64());
    fields["event"] = json!(event);
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{fields}").expect("standard output is open");
    stdout.flush().expect("standard output is open");
}

impl Member {
    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().expect("no panic holds it")
    }

    fn flush(&self, consumer: &BaseConsumer<Member>) {
        let mut progress = self.progress();
        for (partition, offsets) in std::mem::take(&mut progress.read) {
            let next = offsets.last().map_or(0, |last| last + 1);
            progress.uncommitted.insert(partition, next);
            tell(
                "records",
                json!({ "partition": partition, "offsets": spans(&offsets) }),
            );
        }
        let offsets = progress.uncommitted.clone();
        if offsets.is_empty() {
            return;
        }
        let mut places = TopicPartitionList::new();
        for (partition, offset) in &offsets {
            let added =
                places.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset));
            added.expect("offsets are not negative");
        }
        match consumer.commit(&places, CommitMode::Sync) {
            Ok(()) => {
                tell("committed", json!({ "offsets": offsets }));
                progress.uncommitted.clear();
            }
            Err(error) => tell("commit_failed", json!({ "error": error.to_string() })),
        }
    }

    fn given_up(&self, places: &TopicPartitionList, event: &str) {
        let mut progress = self.progress();
        let mut gone = numbers(places);
        gone.retain(|partition| progress.owned.remove(partition));
        for partition in &gone {
            progress.uncommitted.remove(partition);
        }
        if !gone.is_empty() {
            tell(event, json!({ "partitions": gone }));
        }
    }
}

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(places) => {
                let mut progress = self.progress();
                let mut fresh = numbers(places);
                fresh.retain(|partition| progress.owned.insert(*partition));
                tell("assigned", json!({ "partitions": fresh }));
            }
            Rebalance::Revoke(places) if consumer.assignment_lost() => {
                self.given_up(places, "lost");
            }
            Rebalance::Revoke(places) => {
                let deadline = Instant::now() + COMMIT;
                self.flush(consumer);
                while !self.progress().uncommitted.is_empty() && Instant::now() < deadline {
                    self.flush(consumer);
                }
                self.given_up(places, "revoked");
            }
            Rebalance::Error(error) => tell("trouble", json!({ "message": error.to_string() })),
        }
    }
}

fn numbers(places: &TopicPartitionList) -> Vec<i32> {
    let elements = places.elements();
    let mut numbers: Vec<i32> = elements.iter().map(|place| place.partition()).collect();
    numbers.sort_unstable();
    numbers
}

/// Offsets as [first, last] of every run without a hole.
fn spans(offsets: &[i64]) -> Vec<[i64; 2]> {
    let mut found: Vec<[i64; 2]> = Vec::new();
    for &offset in offsets {
        match found.last_mut() {
            Some(span) if span[1] + 1 == offset => span[1] = offset,
            _ => found.push([offset, offset]),
        }
    }
    found
}

/// Consumes as a member of the group until standard input has a line or ends.
pub(crate) fn serve(asked: &str) {
    let asked: Asked = serde_json::from_str(asked).expect("what is asked is JSON");
    std::thread::spawn(|| {
        let mut word = String::new();
        let _ = std::io::stdin().read_line(&mut word);
        IS_LEAVING.store(true, Ordering::Release);
    });
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &asked.bootstrap);
    config.set("group.id", &asked.group);
    config.set("enable.auto.commit", "false");
    config.set("auto.offset.reset", &asked.reset);
    config.set("fetch.wait.max.ms", "100");
    if let Some(instance) = &asked.instance {
        config.set("group.instance.id", instance);
    }
    if asked.protocol == "consumer" {
        config.set("group.protocol", "consumer");
    } else {
        let assignor = match asked.assignor.as_str() {
            "cooperative" => "cooperative-sticky",
            other => other,
        };
        config.set("session.timeout.ms", asked.session_ms.to_string());
        config.set("heartbeat.interval.ms", asked.heartbeat_ms.to_string());
        config.set("partition.assignment.strategy", assignor);
    }
    let member = Member {
        topic: asked.topic.clone(),
        progress: Mutex::default(),
    };
    let consumer: BaseConsumer<Member> = config
        .create_with_context(member)
        .expect("the configuration is right");
    consumer
        .subscribe(&[&asked.topic])
        .expect("the topic has a name");
    while !IS_LEAVING.load(Ordering::Acquire) {
        let mut wait = POLL;
        for _ in 0..BATCH_RECORDS_MAX {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let mut progress = consumer.context().progress();
                    let offsets = progress.read.entry(message.partition()).or_default();
                    offsets.push(message.offset());
                }
                Some(Err(error)) => tell("trouble", json!({ "message": error.to_string() })),
            }
            wait = Duration::ZERO;
        }
        consumer.context().flush(&consumer);
    }
    leave(&consumer);
    tell("left", json!({}));
}

/// Gives up what is owned, then leaves the group, as the library does it when the consumer is dropped.
fn leave(consumer: &BaseConsumer<Member>) {
    consumer.unsubscribe();
    let deadline = Instant::now() + COMMIT;
    while !consumer.context().progress().owned.is_empty() && Instant::now() < deadline {
        let _ = consumer.poll(POLL);
    }
}
