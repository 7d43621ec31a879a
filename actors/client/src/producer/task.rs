//! The task behind a producer: takes records in, sends batches when they are due, and deals with what
//! comes back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{NodeId, ProducerEpoch, ProducerId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{Batch, Outcome, Sequence};
use super::partitioner::{Sticky, partition_for_key};
use super::pending::{PartitionKey, Pending};
use super::sender::{self, Parcel, Written};
use super::{Acks, NewRecord, ProducerOptions, writable};
use crate::cluster::{Client, Topic};
use crate::error::ClientError;

/// How long a broker may wait for the other replicas. Kafka's `request.timeout.ms`.
const REPLICATION_TIMEOUT: Duration = Duration::from_secs(25);

/// What a [`Producer`](super::Producer) asks of its task.
#[derive(Debug)]
pub(super) enum Order {
    Append {
        record: Box<NewRecord>,
        topic: Arc<Topic>,
        outcome: Outcome,
    },
    Flush {
        done: oneshot::Sender<()>,
    },
}

/// What a future of the task came back with.
enum Event {
    Answered(Vec<(PartitionKey, Result<Written, ClientError>)>),
    TopicAsked {
        key: PartitionKey,
        result: Result<(), ClientError>,
    },
    Identified(Result<(ProducerId, ProducerEpoch), ClientError>),
}

/// Where an idempotent producer has its identity from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Unneeded,
    Missing,
    Asked,
    Known(ProducerId, ProducerEpoch),
}

struct Task {
    client: Client,
    options: Arc<ProducerOptions>,
    pending: Pending,
    sticky: Sticky,
    identity: Identity,
    sequences: HashMap<PartitionKey, Sequence>,
    in_flight: FuturesUnordered<BoxFuture<'static, Event>>,
    flushes: Vec<oneshot::Sender<()>>,
}

/// Runs until the last handle of the producer is dropped.
pub(super) async fn run(
    client: Client,
    options: Arc<ProducerOptions>,
    mut orders: mpsc::Receiver<Order>,
) {
    let needs_identity = options.is_idempotent && options.acks == Acks::All;
    let mut task = Task {
        client,
        pending: Pending::new(&options),
        sticky: Sticky::default(),
        identity: if needs_identity {
            Identity::Missing
        } else {
            Identity::Unneeded
        },
        sequences: HashMap::new(),
        in_flight: FuturesUnordered::new(),
        flushes: Vec::new(),
        options,
    };
    loop {
        // Nothing can be sent without an identity; its arrival wakes the task.
        let is_waiting = task.identity == Identity::Asked;
        let due_at = task
            .pending
            .next_due(task.is_flushing())
            .filter(|_| !is_waiting);
        let has_room = task.pending.bytes() < task.options.buffer_bytes;
        tokio::select! {
            order = orders.recv(), if has_room => match order {
                Some(order) => task.take(order),
                None => return,
            },
            Some(event) = task.in_flight.next(), if !task.in_flight.is_empty() => task.learn(event),
            () = sleep_until(due_at), if due_at.is_some() => {}
        }
        // Takes along what is there already: one round of sending serves many records.
        while task.pending.bytes() < task.options.buffer_bytes
            && let Ok(order) = orders.try_recv()
        {
            task.take(order);
        }
        task.send_due();
        if task.pending.is_empty() {
            for done in task.flushes.drain(..) {
                // The one who flushed may have given up.
                let _ = done.send(());
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

impl Task {
    fn is_flushing(&self) -> bool {
        !self.flushes.is_empty()
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Append {
                record,
                topic,
                outcome,
            } => self.append(*record, &topic, outcome),
            Order::Flush { done } => self.flushes.push(done),
        }
    }

    fn append(&mut self, record: NewRecord, topic: &Topic, outcome: Outcome) {
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) => topic.partition(partition).map(|found| found.index),
            // By all partitions, led or not: a key must not move because a broker is away.
            (None, Some(key)) if !topic.partitions.is_empty() => {
                Ok(partition_for_key(key, topic.partitions.len()))
            }
            (None, _) => match writable(topic) {
                partitions if partitions.is_empty() => Err(ClientError::NoLeader {
                    topic: topic.name.clone(),
                    partition: 0,
                }),
                partitions => Ok(self.choose(&topic.name, &partitions, record.bytes())),
            },
        };
        match partition {
            Ok(partition) => {
                let key = (topic.name.clone(), partition);
                self.pending
                    .push(key, record, now_ms(), outcome, Instant::now());
            }
            Err(error) => {
                let _ = outcome.send(Err(error));
            }
        }
    }

    /// The partition for a record without a key.
    fn choose(&mut self, topic: &str, partitions: &[i32], bytes: usize) -> i32 {
        let chosen = self.sticky.choose(topic, partitions);
        if !self.pending.is_full_for(&(topic.to_owned(), chosen), bytes) {
            return chosen;
        }
        self.sticky.turn(topic, chosen);
        self.sticky.choose(topic, partitions)
    }

    /// Sends the first batch of each partition that is due, one request to each leader.
    fn send_due(&mut self) {
        let now = Instant::now();
        let due = self.pending.due(now, self.is_flushing());
        if due.is_empty() || !self.is_identified() {
            return;
        }
        let mut requests: BTreeMap<NodeId, Vec<Parcel>> = BTreeMap::new();
        for key in due {
            let Some(topic) = self.client.known_topic(&key.0) else {
                self.ask_topic(key);
                continue;
            };
            let Ok((leader, _)) = topic.leader(key.1) else {
                self.client.forget_topic(&key.0);
                let (topic, partition) = key.clone();
                self.try_again(&key, &ClientError::NoLeader { topic, partition });
                continue;
            };
            if let Some(batch) = self.seal(&key) {
                self.pending.sent(&key);
                let parcel = Parcel {
                    key,
                    topic_id: topic.id,
                    batch,
                };
                requests.entry(leader).or_default().push(parcel);
            }
        }
        for (leader, parcels) in requests {
            let client = self.client.clone();
            let acks = self.options.acks.code();
            let sent = sender::send(client, leader, acks, REPLICATION_TIMEOUT, parcels);
            self.in_flight
                .push(Box::pin(async { Event::Answered(sent.await) }));
        }
    }

    /// True if batches can be sealed; asks for the identity where it is missing.
    fn is_identified(&mut self) -> bool {
        match self.identity {
            Identity::Unneeded | Identity::Known(..) => true,
            Identity::Asked => false,
            Identity::Missing => {
                self.identity = Identity::Asked;
                let asked = sender::identity(self.client.clone());
                self.in_flight
                    .push(Box::pin(async { Event::Identified(asked.await) }));
                false
            }
        }
    }

    fn ask_topic(&mut self, key: PartitionKey) {
        self.pending.sent(&key);
        let client = self.client.clone();
        self.in_flight.push(Box::pin(async move {
            let result = client.topic(&key.0).await.map(|_| ());
            Event::TopicAsked { key, result }
        }));
    }

    /// The packed first batch of a partition; `None` if it could not be packed and has failed.
    fn seal(&mut self, key: &PartitionKey) -> Option<bytes::Bytes> {
        let next = match self.identity {
            Identity::Known(producer, epoch) => {
                let fresh = Sequence {
                    producer,
                    epoch,
                    first: 0,
                };
                Some(*self.sequences.entry(key.clone()).or_insert(fresh))
            }
            _ => None,
        };
        let compression = self.options.compression;
        let batch = self.pending.first_mut(key)?;
        if !batch.is_sealed() {
            if let Err(source) = batch.seal(compression, next) {
                let what = format!("{}-{}", key.0, key.1);
                let error = ClientError::Records { what, source };
                self.fail_first(key, &error);
                return None;
            }
            if let Some(next) = next {
                self.sequences
                    .insert(key.clone(), next.after(batch.count()));
            }
        }
        Some(batch.packed())
    }

    fn learn(&mut self, event: Event) {
        match event {
            Event::Answered(outcomes) => {
                for (key, outcome) in outcomes {
                    self.answered(&key, outcome);
                }
            }
            Event::TopicAsked {
                key,
                result: Ok(()),
            } => self.pending.held_back(&key),
            Event::TopicAsked {
                key,
                result: Err(error),
            } => self.answered(&key, Err(error)),
            Event::Identified(Ok((id, epoch))) => self.identity = Identity::Known(id, epoch),
            Event::Identified(Err(error)) => {
                self.identity = Identity::Missing;
                if error.is_retriable() {
                    for key in self.pending.due(Instant::now(), true) {
                        self.try_again(&key, &error);
                    }
                } else {
                    self.pending.fail_all(&error);
                }
            }
        }
    }

    fn answered(&mut self, key: &PartitionKey, outcome: Result<Written, ClientError>) {
        let error = match outcome {
            Ok(written) => return self.written(key, written),
            Err(error) => error,
        };
        if error.stales_metadata() {
            self.client.forget_topic(&key.0);
        }
        // Written by an earlier try, too long ago for the broker to know at which offset.
        if error.code() == Some(ErrorCode::DuplicateSequenceNumber) {
            return self.written(
                key,
                Written {
                    base_offset: -1,
                    log_append_time_ms: -1,
                },
            );
        }
        if error.is_retriable() {
            self.try_again(key, &error);
        } else {
            self.fail_first(key, &error);
        }
    }

    fn written(&mut self, key: &PartitionKey, written: Written) {
        if let Some(batch) = self.pending.take_first(key) {
            batch.delivered(key.1, written.base_offset, written.log_append_time_ms);
        }
    }

    fn try_again(&mut self, key: &PartitionKey, error: &ClientError) {
        if let Some(batch) = self.pending.retry(key, Instant::now()) {
            self.give_up(batch, error);
        }
    }

    fn fail_first(&mut self, key: &PartitionKey, error: &ClientError) {
        if let Some(batch) = self.pending.take_first(key) {
            self.give_up(batch, error);
        }
    }

    /// Fails a batch. If it had a place in a sequence, nobody knows whether the broker counted it, so
    /// what follows gets a new identity and counts from 0.
    fn give_up(&mut self, batch: Batch, error: &ClientError) {
        if batch.sequence().is_some() {
            self.identity = Identity::Missing;
            self.sequences.clear();
        }
        batch.failed(error);
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
