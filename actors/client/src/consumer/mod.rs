//! Reads assigned partitions from given offsets on. Groups, commits and transactions are not known
//! here: records of aborted transactions are given out like all others.

mod fetcher;
mod position;
mod unpack;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset};
use tokio::time::Instant;

pub use position::{PartitionPosition, StartAt};

use crate::cluster::Client;
use crate::error::ClientError;
use fetcher::{Fetched, Wanted};
use position::{Assigned, PartitionKey};
use unpack::FetchedBatch;

/// How a consumer reads.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// How long a broker waits for `bytes_min` before it answers.
    pub fetch_wait: Duration,
    /// Bytes that a broker waits for.
    pub bytes_min: i32,
    /// Bytes of one answer, and of all that wait to be given out; a single batch may be larger.
    pub bytes_max: i32,
    /// Bytes of one partition in an answer.
    pub partition_bytes_max: i32,
    /// Where to go on when the offset wanted is not, or no longer, in the log. `None` is an error.
    pub when_out_of_range: Option<StartAt>,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            fetch_wait: Duration::from_millis(500),
            bytes_min: 1,
            bytes_max: 16 << 20,
            partition_bytes_max: 1 << 20,
            when_out_of_range: None,
        }
    }
}

/// A record that was read. Key, value and headers share the memory of their batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Topic it was read from.
    pub topic: Arc<str>,
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset.
    pub offset: Offset,
    /// Milliseconds since 1970, -1 for none.
    pub timestamp_ms: i64,
    /// Whether the timestamp is the broker's and not the producer's.
    pub is_log_append_time: bool,
    /// Leader epoch in which it was written, -1 where unknown.
    pub leader_epoch: LeaderEpoch,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Reads partitions that the caller chose.
///
/// ```no_run
/// use kabuki_client::{Client, ClientOptions, Consumer, ConsumerOptions, StartAt};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), kabuki_client::ClientError> {
/// let client = Client::connect(ClientOptions::at("127.0.0.1:9092")).await?;
/// let mut consumer = Consumer::new(client, ConsumerOptions::default());
/// consumer.assign("orders", 0, StartAt::Beginning);
/// loop {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// # }
/// ```
pub struct Consumer {
    client: Client,
    options: ConsumerOptions,
    partitions: BTreeMap<PartitionKey, Assigned>,
    assignments: u64,
    busy: BTreeSet<NodeId>,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    batches: VecDeque<FetchedBatch>,
    batch_bytes: usize,
}

/// What a future of the consumer came back with.
enum Event {
    Found {
        key: PartitionKey,
        assignment: u64,
        result: Result<Offset, ClientError>,
    },
    TopicAsked {
        topic: Arc<str>,
        result: Result<(), ClientError>,
    },
    Fetched {
        leader: NodeId,
        wanted: Vec<Wanted>,
        result: Result<Vec<Fetched>, ClientError>,
    },
}

impl Consumer {
    /// A consumer without partitions.
    pub fn new(client: Client, options: ConsumerOptions) -> Self {
        Self {
            client,
            options,
            partitions: BTreeMap::new(),
            assignments: 0,
            busy: BTreeSet::new(),
            work: FuturesUnordered::new(),
            batches: VecDeque::new(),
            batch_bytes: 0,
        }
    }

    /// Reads a partition from there on; one that is read already goes there.
    pub fn assign(&mut self, topic: &str, partition: i32, start: StartAt) {
        let key = (Arc::from(topic), partition);
        self.drop_batches(&key);
        self.assignments += 1;
        self.partitions
            .insert(key, Assigned::new(self.assignments, start));
    }

    /// Stops to read a partition.
    pub fn unassign(&mut self, topic: &str, partition: i32) {
        let key = (Arc::from(topic), partition);
        self.drop_batches(&key);
        self.partitions.remove(&key);
    }

    /// Where a partition is being read; `None` until its first offset is known.
    pub fn position(&self, topic: &str, partition: i32) -> Option<PartitionPosition> {
        self.partitions
            .get(&(Arc::from(topic), partition))?
            .position()
    }

    /// The next records, of one batch of one partition; none if `wait` passes before any come.
    ///
    /// # Errors
    /// What keeps a partition from being read, when trying again cannot help or the client's
    /// patience is over. The other partitions go on with the next call; the one concerned is tried
    /// again from the same offset. Dropping the future loses nothing.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ConsumedRecord>, ClientError> {
        let give_up_at = Instant::now() + wait;
        loop {
            while let Some(batch) = self.batches.pop_front() {
                self.batch_bytes -= batch.bytes.len();
                let records = self.give_out(&batch)?;
                if !records.is_empty() {
                    return Ok(records);
                }
            }
            let now = Instant::now();
            if now >= give_up_at {
                return Ok(Vec::new());
            }
            self.start_work(now);
            let retry_at = self
                .partitions
                .values()
                .filter_map(|it| it.retry_at(now))
                .min();
            let wake_at = retry_at.map_or(give_up_at, |retry_at| retry_at.min(give_up_at));
            tokio::select! {
                Some(event) = self.work.next(), if !self.work.is_empty() => self.learn(event)?,
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    fn give_out(&mut self, batch: &FetchedBatch) -> Result<Vec<ConsumedRecord>, ClientError> {
        let Some(assigned) = self.partitions.get_mut(&batch.key) else {
            return Ok(Vec::new());
        };
        let from = assigned.next_offset().unwrap_or(Offset::ZERO);
        match batch.unpack(from) {
            Ok(records) => {
                assigned.gave_out(batch.header.next_offset());
                Ok(records)
            }
            Err(source) => {
                // The rest of the partition is asked for again, from this batch on.
                assigned.rewind();
                let key = batch.key.clone();
                self.drop_batches(&key);
                let what = format!("{}-{} at offset {from}", key.0, key.1);
                Err(ClientError::Records { what, source })
            }
        }
    }

    fn drop_batches(&mut self, key: &PartitionKey) {
        self.batches.retain(|batch| batch.key != *key);
        self.batch_bytes = self.batches.iter().map(|batch| batch.bytes.len()).sum();
    }

    /// Asks for first offsets, for leaders, and for records, wherever nothing is under way.
    fn start_work(&mut self, now: Instant) {
        let has_room = self.batch_bytes < usize::try_from(self.options.bytes_max).unwrap_or(0);
        let mut wanted: BTreeMap<NodeId, Vec<Wanted>> = BTreeMap::new();
        let mut unknown: BTreeSet<Arc<str>> = BTreeSet::new();
        for (key, assigned) in &mut self.partitions {
            if !assigned.is_ready(now) {
                continue;
            }
            if let Some(start) = assigned.start() {
                assigned.is_busy = true;
                let found = position::find(self.client.clone(), key.clone(), start);
                let (key, assignment) = (key.clone(), assigned.assignment);
                self.work.push(Box::pin(async move {
                    Event::Found {
                        key,
                        assignment,
                        result: found.await,
                    }
                }));
                continue;
            }
            let Some(offset) = assigned.fetch_offset().filter(|_| has_room) else {
                continue;
            };
            let Some(topic) = self.client.known_topic(&key.0) else {
                assigned.is_busy = true;
                unknown.insert(key.0.clone());
                continue;
            };
            match topic.leader(key.1) {
                Ok((leader, _)) if self.busy.contains(&leader) => {}
                Ok((leader, epoch)) => {
                    assigned.is_busy = true;
                    let (key, assignment, topic_id) = (key.clone(), assigned.assignment, topic.id);
                    let one = Wanted {
                        key,
                        assignment,
                        topic_id,
                        offset,
                        leader_epoch: epoch,
                    };
                    wanted.entry(leader).or_default().push(one);
                }
                Err(_) => {
                    self.client.forget_topic(&key.0);
                    assigned.pause(now);
                }
            }
        }
        for topic in unknown {
            let client = self.client.clone();
            self.work.push(Box::pin(async move {
                let result = client.topic(&topic).await.map(|_| ());
                Event::TopicAsked { topic, result }
            }));
        }
        for (leader, wanted) in wanted {
            self.busy.insert(leader);
            let fetched = fetcher::fetch(
                self.client.clone(),
                leader,
                wanted.clone(),
                self.options.clone(),
            );
            self.work.push(Box::pin(async move {
                Event::Fetched {
                    leader,
                    wanted,
                    result: fetched.await,
                }
            }));
        }
    }

    /// Takes in what came back; the first error that a caller must know is returned after all of it.
    fn learn(&mut self, event: Event) -> Result<(), ClientError> {
        match event {
            Event::Found {
                key,
                assignment,
                result,
            } => {
                let Some(assigned) = self.assigned(&key, assignment) else {
                    return Ok(());
                };
                assigned.is_busy = false;
                match result {
                    Ok(offset) => {
                        assigned.found(offset);
                        Ok(())
                    }
                    Err(error) => self.failed(&key, error),
                }
            }
            Event::TopicAsked { topic, result } => {
                let keys: Vec<_> = self
                    .partitions
                    .keys()
                    .filter(|key| key.0 == topic)
                    .cloned()
                    .collect();
                let mut outcome = Ok(());
                for key in keys {
                    if let Some(assigned) = self.partitions.get_mut(&key) {
                        assigned.is_busy = false;
                    }
                    if let Err(error) = &result {
                        outcome = outcome.and(self.failed(&key, error.clone()));
                    }
                }
                outcome
            }
            Event::Fetched {
                leader,
                wanted,
                result,
            } => {
                self.busy.remove(&leader);
                let mut outcome = Ok(());
                let fetched = result.unwrap_or_else(|error| {
                    let failed = |one: &Wanted| Fetched::failed(one.key.clone(), error.clone());
                    wanted.iter().map(failed).collect()
                });
                let assignments: BTreeMap<_, _> = wanted
                    .into_iter()
                    .map(|one| (one.key, one.assignment))
                    .collect();
                for one in fetched {
                    // A partition that was assigned anew meanwhile is not where this was asked for.
                    let assignment = assignments.get(&one.key).copied().unwrap_or_default();
                    let Some(assigned) = self.assigned(&one.key, assignment) else {
                        continue;
                    };
                    assigned.is_busy = false;
                    outcome = outcome.and(self.fetched(one));
                }
                // What the answer left out is asked for again.
                for (key, assignment) in assignments {
                    if let Some(assigned) = self.assigned(&key, assignment) {
                        assigned.is_busy = false;
                    }
                }
                outcome
            }
        }
    }

    fn fetched(&mut self, fetched: Fetched) -> Result<(), ClientError> {
        let Fetched { key, result } = fetched;
        let part = match result {
            Ok(part) => part,
            Err(error) => return self.failed(&key, error),
        };
        let Some(assigned) = self.partitions.get_mut(&key) else {
            return Ok(());
        };
        assigned.heard(part.high_watermark, part.log_start);
        match unpack::split(&key, part.records) {
            Ok(batches) => {
                for batch in batches {
                    assigned.fetched_up_to(batch.header.next_offset());
                    self.batch_bytes += batch.bytes.len();
                    self.batches.push_back(batch);
                }
                Ok(())
            }
            Err(source) => {
                let what = format!("{}-{}", key.0, key.1);
                Err(ClientError::Records { what, source })
            }
        }
    }

    /// A partition could not be read: waits, goes elsewhere, or gives up.
    fn failed(&mut self, key: &PartitionKey, error: ClientError) -> Result<(), ClientError> {
        if error.stales_metadata() {
            self.client.forget_topic(&key.0);
        }
        let patience = self.client.options().patience;
        let has_batches = self.batches.iter().any(|batch| batch.key == *key);
        let Some(assigned) = self.partitions.get_mut(key) else {
            return Ok(());
        };
        let now = Instant::now();
        assigned.pause(now);
        let is_out_of_range = error.code() == Some(ErrorCode::OffsetOutOfRange);
        if is_out_of_range && has_batches {
            // What was fetched before is given out first; then the question comes up again.
            return Ok(());
        }
        if is_out_of_range && let Some(start) = self.options.when_out_of_range {
            assigned.restart(start);
            return Ok(());
        }
        let can_wait = error.is_retriable() && assigned.failing_for(now) < patience;
        if can_wait { Ok(()) } else { Err(error) }
    }

    fn assigned(&mut self, key: &PartitionKey, assignment: u64) -> Option<&mut Assigned> {
        self.partitions
            .get_mut(key)
            .filter(|assigned| assigned.assignment == assignment)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}
