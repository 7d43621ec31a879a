//! One partition on a simulated disk, with a log directory that stores its checkpoints and a keeper
//! that notes what it is told. Every test binary uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of the scene")]
#![allow(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kabuki_partition::*;
use kabuki_protocol::ids::{LeaderEpoch, Offset, PartitionId, ProducerId, TopicId, TopicName};
use kabuki_protocol::records::{
    AppendRules, BatchBuilder, CheckedBatch, Compression, batches, check_batch, records,
};
use kabuki_runtime::{
    Actor, ActorPath, Addr, AskError, ChildSpec, Context, EventKind, Handler, Reply, Stage,
    StopOutcome, reply_channel,
};
use kabuki_storage::checkpoint::{self, LOG_STARTS, RECOVERY_POINTS};
use kabuki_storage::{Disk, FileSystem, Log, LogConfig, SimFs};

/// Wall clock of the tests at their start, in milliseconds.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// Longer than anything a partition does in virtual time, but for back-off.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Answer to an append, or why there is none.
pub(crate) type Appended = Result<Result<RecordsAppended, AppendRefused>, AskError>;

/// The log directory: stores checkpoints at once.
struct LogDir {
    fs: SimFs,
    root: PathBuf,
}

impl Actor for LogDir {}

impl Handler<CheckpointPartition> for LogDir {
    fn handle(&mut self, wanted: CheckpointPartition, _: &mut Context<Self>) {
        let CheckpointPartition {
            partition,
            recovery_point,
            log_start,
            reply,
        } = wanted;
        let store = |name: &str, offset: Offset| {
            let path = self.root.join(name);
            let mut offsets = checkpoint::read(&self.fs, &path)?;
            offsets.insert(partition.clone(), offset);
            checkpoint::write(&self.fs, &path, &offsets)
        };
        let stored =
            store(RECOVERY_POINTS, recovery_point).and_then(|()| store(LOG_STARTS, log_start));
        reply.send(match stored {
            Ok(()) => Ok(PartitionCheckpointed),
            Err(fault) => Err(CheckpointFailed {
                cause: fault.to_string(),
            }),
        });
    }
}

/// The keeper: notes events.
struct Keeper(Arc<Mutex<Vec<PartitionFact>>>);

impl Actor for Keeper {}

impl Handler<PartitionEvent> for Keeper {
    fn handle(&mut self, event: PartitionEvent, _: &mut Context<Self>) {
        self.0.lock().unwrap().push(event.fact);
    }
}

/// The partition `orders-0` and what is around it.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) fs: SimFs,
    pub(crate) disk: Disk,
    pub(crate) partition: Addr<Partition>,
    pub(crate) config: PartitionConfig,
    /// Epoch in which the node leads; -1 for none.
    pub(crate) epoch: Arc<AtomicI32>,
    facts: Arc<Mutex<Vec<PartitionFact>>>,
    sequence: Cell<i32>,
}

/// Where the log directory is.
pub(crate) const ROOT: &str = "/data";

/// Where the partition is.
pub(crate) fn dir() -> PathBuf {
    Path::new(ROOT).join("orders-0")
}

fn id() -> PartitionId {
    PartitionId::new(TopicName::new("orders").unwrap(), 0)
}

pub(crate) fn topic_id() -> TopicId {
    TopicId([7; 16])
}

/// A configuration with small segments.
pub(crate) fn config() -> PartitionConfig {
    PartitionConfig {
        log: LogConfig {
            segment_bytes: 1 << 20,
            ..LogConfig::default()
        },
        ..PartitionConfig::default()
    }
}

/// A configuration that syncs before it answers.
pub(crate) fn flushing() -> PartitionConfig {
    let mut config = config();
    config.log.flush_messages = 1;
    config
}

/// A disk with an empty log on it.
pub(crate) fn new_disk() -> SimFs {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(ROOT)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    Log::create(&fs, &dir(), topic_id()).unwrap();
    fs
}

impl Scene {
    /// A new partition that leads in epoch 1.
    pub(crate) fn new(stage: &Stage, config: PartitionConfig) -> Self {
        Self::on(stage, new_disk(), config, 1)
    }

    /// The partition as it is on `fs`, to lead in `epoch`.
    pub(crate) fn on(stage: &Stage, fs: SimFs, config: PartitionConfig, epoch: i32) -> Self {
        let disk = Disk::simulated(ROOT, fs.clone());
        let root = stage.root();
        let facts = Arc::<Mutex<Vec<PartitionFact>>>::default();
        let noted = facts.clone();
        let keeper = root.start(ChildSpec::new("keeper", move || Keeper(noted.clone())));
        let on_disk = fs.clone();
        let log_dir = root.start(ChildSpec::new("dir", move || LogDir {
            fs: on_disk.clone(),
            root: PathBuf::from(ROOT),
        }));
        let epoch = Arc::new(AtomicI32::new(epoch));
        let leads_in = epoch.clone();
        let started = tokio::time::Instant::now();
        let partition = root.start(spec(PartitionSpec {
            id: id(),
            topic_id: topic_id(),
            dir: dir(),
            disk: disk.clone(),
            stored: Arc::new(|fs| {
                let stored = |name| checkpoint::read(fs, &Path::new(ROOT).join(name)).unwrap();
                let of = |name| stored(name).get(&id()).copied().unwrap_or(Offset::ZERO);
                Ok(StoredMarks {
                    recovery_point: of(RECOVERY_POINTS),
                    log_start: of(LOG_STARTS),
                })
            }),
            config: Arc::new(move || config),
            leadership: Arc::new(move || {
                let epoch = LeaderEpoch(leads_in.load(Ordering::Relaxed));
                (!epoch.is_none()).then_some(epoch)
            }),
            checkpoint: log_dir.recipient(),
            events: keeper.recipient(),
            clock: Arc::new(move || NOW_MS + started.elapsed().as_millis() as i64),
        }));
        Self {
            stage: stage.clone(),
            fs,
            disk,
            partition,
            config,
            epoch,
            facts,
            sequence: Cell::new(0),
        }
    }

    /// Stops all three, as a node does.
    pub(crate) async fn stop(&self) -> StopOutcome {
        let root = self.stage.root();
        let outcome = root.stop_child("orders-0", DEADLINE).await;
        root.stop_child("dir", DEADLINE).await;
        root.stop_child("keeper", DEADLINE).await;
        outcome
    }

    /// Panics the partition, as `kabuki actors crash` does.
    pub(crate) fn crash(&self) {
        let path = ActorPath::new("/orders-0");
        self.stage.registry().crash(&path).unwrap();
    }

    /// As [`Scene::crash`], if it is on stage.
    pub(crate) fn crash_if_up(&self) {
        let path = ActorPath::new("/orders-0");
        // Refused between two instances.
        let _ = self.stage.registry().crash(&path);
    }

    /// What the keeper was told so far.
    pub(crate) fn facts(&self) -> Vec<PartitionFact> {
        self.facts.lock().unwrap().clone()
    }

    /// Events of the partition in the supervision log.
    pub(crate) fn event_count(&self, kind: EventKind) -> usize {
        let events = self.stage.supervision_log().recent();
        let path = ActorPath::new("/orders-0");
        events
            .iter()
            .filter(|event| event.kind == kind && event.actor == path)
            .count()
    }

    /// Sends an append without waiting for the answer.
    pub(crate) fn send(
        &self,
        batch: CheckedBatch,
    ) -> Reply<Result<RecordsAppended, AppendRefused>> {
        let (port, reply) = reply_channel();
        let append = AppendRecords {
            topic_id: topic_id(),
            batch,
            required_acks: RequiredAcks::All,
            reply: port,
        };
        if let Err(refused) = self.partition.try_tell(append) {
            kabuki_runtime::Message::undelivered(refused.message, refused.why);
        }
        reply
    }

    /// Appends a batch and waits for the answer.
    pub(crate) async fn append(&self, batch: CheckedBatch) -> Appended {
        let required_acks = RequiredAcks::All;
        self.partition
            .ask_with(DEADLINE, |reply| AppendRecords {
                topic_id: topic_id(),
                batch,
                required_acks,
                reply,
            })
            .await
    }

    /// Appends `count` records that must be taken; returns their first offset.
    pub(crate) async fn put(&self, count: usize) -> i64 {
        let value = self.sequence.get();
        self.sequence.set(value + 1);
        let appended = self.append(plain(value, count)).await;
        appended.unwrap().unwrap().base_offset.get()
    }

    /// Reads from an offset.
    pub(crate) async fn read_at(
        &self,
        fetch_offset: i64,
        bytes_max: usize,
    ) -> Result<RecordsRead, ReadRefused> {
        let read = |reply| ReadRecords {
            topic_id: topic_id(),
            fetch_offset: Offset(fetch_offset),
            bytes_max,
            must_return_one: true,
            current_leader_epoch: LeaderEpoch::NONE,
            last_fetched_epoch: LeaderEpoch::NONE,
            isolation: Isolation::ReadUncommitted,
            reply,
        };
        self.partition.ask_with(DEADLINE, read).await.unwrap()
    }

    /// All values from the log start on, with their offsets.
    pub(crate) async fn read_all(&self) -> Vec<(i64, String)> {
        let mut at = self.describe().await.log_start.get();
        let mut values = Vec::new();
        loop {
            let read = self.read_at(at, 1 << 20).await.unwrap();
            if read.records.is_empty() {
                return values;
            }
            let found = values_of(&read.records);
            values.extend(found.into_iter().filter(|(offset, _)| *offset >= at));
            at = values.last().unwrap().0 + 1;
        }
    }

    /// Watches the partition.
    pub(crate) fn watch(&self, watcher: u64, after: i64) -> Reply<PartitionMoved> {
        let (port, reply) = reply_channel();
        let watch = WatchPartition {
            topic_id: topic_id(),
            watcher: WatcherId(watcher),
            after: Offset(after),
            reply: port,
        };
        self.partition.try_tell(watch).unwrap();
        reply
    }

    /// Trims the log.
    pub(crate) async fn trim(&self, before: i64) -> Result<LogTrimmed, TrimRefused> {
        let before = Offset(before);
        let trim = |reply| TrimLog {
            topic_id: topic_id(),
            before,
            reply,
        };
        self.partition.ask_with(DEADLINE, trim).await.unwrap()
    }

    /// Finds an offset.
    pub(crate) async fn find(&self, target: OffsetTarget) -> Result<OffsetFound, FindRefused> {
        let find = |reply| FindOffset {
            topic_id: topic_id(),
            target,
            isolation: Isolation::ReadUncommitted,
            current_leader_epoch: LeaderEpoch::NONE,
            reply,
        };
        self.partition.ask_with(DEADLINE, find).await.unwrap()
    }

    /// As [`Scene::find`], without waiting for the answer.
    pub(crate) fn find_later(
        &self,
        target: OffsetTarget,
    ) -> Reply<Result<OffsetFound, FindRefused>> {
        let (port, reply) = reply_channel();
        let find = FindOffset {
            topic_id: topic_id(),
            target,
            isolation: Isolation::ReadUncommitted,
            current_leader_epoch: LeaderEpoch::NONE,
            reply: port,
        };
        self.partition.try_tell(find).unwrap();
        reply
    }

    /// The largest epoch at or below `epoch`, and where it ends.
    pub(crate) async fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        let find = |reply| FindEpochEnd {
            topic_id: topic_id(),
            current_leader_epoch: LeaderEpoch::NONE,
            leader_epoch: LeaderEpoch(epoch),
            reply,
        };
        let found = self.partition.ask_with(DEADLINE, find).await.unwrap();
        let EpochEnd {
            leader_epoch,
            end_offset,
        } = found.unwrap();
        (leader_epoch.get(), end_offset.get())
    }

    /// The producers that it remembers: id, epoch, last sequence.
    pub(crate) async fn producers(&self) -> Result<Vec<(i64, i16, i32)>, NotServed> {
        let query = |reply| DescribeProducers {
            topic_id: topic_id(),
            reply,
        };
        let known = self.partition.ask_with(DEADLINE, query).await.unwrap()?;
        let numbers = known.iter().map(|known| {
            let id = known.producer_id.get();
            (id, known.producer_epoch, known.last_sequence)
        });
        Ok(numbers.collect())
    }

    /// What the log directory has stored for it.
    pub(crate) fn stored_recovery_point(&self) -> i64 {
        let path = Path::new(ROOT).join(RECOVERY_POINTS);
        let stored = checkpoint::read(&self.fs, &path).unwrap();
        stored.get(&id()).map_or(0, |offset| offset.get())
    }

    /// Orders it to lead.
    pub(crate) async fn lead(&self, epoch: i32) -> Result<LeadershipTaken, BecomeLeaderRefused> {
        self.epoch.store(epoch, Ordering::Relaxed);
        let leader_epoch = LeaderEpoch(epoch);
        let order = |reply| BecomeLeader {
            leader_epoch,
            reply,
        };
        self.partition.ask_with(DEADLINE, order).await.unwrap()
    }

    /// Waits until it leads.
    pub(crate) fn await_leadership(&self) -> Reply<Result<LeadershipHeld, AwaitRefused>> {
        let (port, reply) = reply_channel();
        let wait = AwaitLeadership {
            topic_id: topic_id(),
            reply: port,
        };
        if let Err(refused) = self.partition.try_tell(wait) {
            kabuki_runtime::Message::undelivered(refused.message, refused.why);
        }
        reply
    }

    /// Its numbers.
    pub(crate) async fn describe(&self) -> PartitionDescription {
        let description = self
            .partition
            .ask_with(DEADLINE, |reply| DescribePartition { reply })
            .await;
        description.unwrap()
    }

    /// Waits, in virtual time, until the partition is in such a phase.
    pub(crate) async fn reach(&self, is_reached: impl Fn(&PartitionPhase) -> bool) {
        for _ in 0..10_000 {
            if is_reached(&self.describe().await.phase) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the phase was not reached in 100 s");
    }
}

/// A batch that is not of an idempotent producer: `count` records of that value.
pub(crate) fn plain(value: i32, count: usize) -> CheckedBatch {
    build(BatchBuilder::new(Compression::None), value, count)
}

/// A batch of producer 9 with one record; value and sequence are the same number.
pub(crate) fn idempotent(sequence: i32) -> CheckedBatch {
    let builder = BatchBuilder::new(Compression::None);
    build(builder.producer(ProducerId(9), 0, sequence), sequence, 1)
}

/// A batch with one record of `bytes` bytes.
pub(crate) fn large(bytes: usize) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(NOW_MS, None, Some(&vec![b'x'; bytes]), &[]);
    checked(builder)
}

/// A batch with one record at each of these times.
pub(crate) fn at_times(times: &[i64]) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for time in times {
        builder.push(*time, None, Some(b"value"), &[]);
    }
    checked(builder)
}

fn build(mut builder: BatchBuilder, value: i32, count: usize) -> CheckedBatch {
    for _ in 0..count {
        builder.push(NOW_MS, None, Some(value.to_string().as_bytes()), &[]);
    }
    checked(builder)
}

fn checked(builder: BatchBuilder) -> CheckedBatch {
    let bytes = builder.build().unwrap();
    let rules = AppendRules {
        max_message_bytes: 64 << 20,
        ..AppendRules::default()
    };
    check_batch(Some(bytes), &rules, NOW_MS).unwrap()
}

/// Offsets and values of stored batches.
pub(crate) fn values_of(bytes: &Bytes) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    for batch in batches(bytes) {
        let (header, batch) = batch.unwrap();
        for record in records(&batch).unwrap() {
            let record = record.unwrap();
            let offset = header.base_offset.get() + i64::from(record.offset_delta);
            let value = record.value.unwrap_or_default();
            values.push((offset, String::from_utf8_lossy(&value).into_owned()));
        }
    }
    values
}
