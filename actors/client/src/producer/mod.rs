//! Records in, batches out. This file holds what callers see; a task of the producer's own fills
//! batches, sends them and tries again.

mod batch;
mod partitioner;
mod pending;
mod sender;
mod task;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{Compression, HEADER_BYTES};
use tokio::sync::{mpsc, oneshot};

pub use partitioner::partition_for_key;

use crate::cluster::{Client, Topic};
use crate::error::ClientError;
use task::Order;

/// Records that wait for the task. What it holds itself is bounded by `buffer_bytes`.
const ORDERS_MAX: usize = 1024;

/// How many copies of a record must exist before it counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// None: the broker does not even answer. Records can be lost without notice.
    None,
    /// The leader's.
    Leader,
    /// Those of all replicas in sync.
    All,
}

impl Acks {
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a producer works.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// Copies to wait for.
    pub acks: Acks,
    /// Codec of the batches.
    pub compression: Compression,
    /// Whether each record is written once however often it is sent. Needs [`Acks::All`] and is
    /// without effect otherwise.
    pub is_idempotent: bool,
    /// How long a batch waits to be filled.
    pub linger: Duration,
    /// Size at which a batch is sent, before compression.
    pub batch_bytes: usize,
    /// Largest record, with its overhead.
    pub record_bytes_max: usize,
    /// Bytes of records that wait or are in flight; past it [`Producer::send`] waits.
    pub buffer_bytes: usize,
    /// How long a record is tried before it fails.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            compression: Compression::None,
            is_idempotent: true,
            linger: Duration::from_millis(5),
            // A sixteenth of the largest batch that a broker takes by default. One batch of a
            // partition is in flight at a time, so it has to carry a round trip's worth.
            batch_bytes: 64 << 10,
            record_bytes_max: 1 << 20,
            buffer_bytes: 32 << 20,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// A record to be written.
///
/// ```
/// use kabuki_client::NewRecord;
///
/// let record = NewRecord::to("orders").key("4711").value("2 x noodles").header("trace", "a1");
/// assert_eq!(record.partition, None, "the key decides");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Topic it goes to.
    pub topic: String,
    /// Partition it goes to; `None` for the one of its key.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` deletes the key in a compacted topic.
    pub value: Option<Bytes>,
    /// Its headers, in order; a name may come more than once.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since 1970; `None` for now.
    pub timestamp_ms: Option<i64>,
}

impl NewRecord {
    /// An empty record for a topic.
    pub fn to(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// Sets the partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Sets the timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Bytes it takes in a batch, rounded up.
    pub(crate) fn bytes(&self) -> usize {
        /// Lengths, deltas and attributes at their largest.
        const OVERHEAD: usize = 40;
        let field = |field: &Option<Bytes>| field.as_ref().map_or(0, Bytes::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + field(value) + 10);
        OVERHEAD + field(&self.key) + field(&self.value) + headers.sum::<usize>()
    }
}

/// Where a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordDelivered {
    /// Partition it is in.
    pub partition: i32,
    /// Its offset; `None` with [`Acks::None`], and where the broker found it written before by a
    /// resend whose offset it no longer knows.
    pub offset: Option<Offset>,
    /// Its timestamp in milliseconds since 1970: the broker's where the topic has LogAppendTime.
    pub timestamp_ms: i64,
}

/// The outcome of one record, later. Dropping it does not stop the record.
#[derive(Debug)]
pub struct Delivery {
    receiver: oneshot::Receiver<Result<RecordDelivered, ClientError>>,
}

impl Future for Delivery {
    type Output = Result<RecordDelivered, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|received| {
            received.unwrap_or(Err(ClientError::Ended {
                what: "the producer",
            }))
        })
    }
}

/// Writes records. Clones share batches and order; when the last is dropped, what was not flushed is
/// lost.
///
/// ```no_run
/// use kabuki_client::{Client, ClientOptions, NewRecord, Producer, ProducerOptions};
///
/// # async fn example() -> Result<(), kabuki_client::ClientError> {
/// let client = Client::connect(ClientOptions::at("127.0.0.1:9092")).await?;
/// let producer = Producer::new(client, ProducerOptions::default());
/// let delivery = producer.send(NewRecord::to("orders").key("4711").value("2 x noodles")).await?;
/// producer.flush().await?;
/// println!("written at offset {:?}", delivery.await?.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    client: Client,
    orders: mpsc::Sender<Order>,
    record_bytes_max: usize,
}

impl Producer {
    /// Starts a producer. Must be called inside of a tokio runtime.
    pub fn new(client: Client, options: ProducerOptions) -> Self {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let record_bytes_max = options.record_bytes_max;
        tokio::spawn(task::run(client.clone(), Arc::new(options), receiver));
        Self {
            client,
            orders,
            record_bytes_max,
        }
    }

    /// Hands over a record; waits for room, and for the topic to be known. What becomes of it is
    /// told by the [`Delivery`].
    pub async fn send(&self, record: NewRecord) -> Result<Delivery, ClientError> {
        let bytes = HEADER_BYTES + record.bytes();
        if bytes > self.record_bytes_max {
            return Err(ClientError::RecordTooLarge {
                bytes,
                bytes_max: self.record_bytes_max,
            });
        }
        let topic = self.client.topic_or_create(&record.topic).await?;
        let (outcome, receiver) = oneshot::channel();
        self.order(Order::Append {
            record: Box::new(record),
            topic,
            outcome,
        })
        .await?;
        Ok(Delivery { receiver })
    }

    /// Sends what waits, and returns when everything handed over before has an outcome. The outcomes
    /// themselves, failures too, are told by each record's [`Delivery`].
    pub async fn flush(&self) -> Result<(), ClientError> {
        let (done, flushed) = oneshot::channel();
        self.order(Order::Flush { done }).await?;
        flushed.await.map_err(|_| ClientError::Ended {
            what: "the producer",
        })
    }

    async fn order(&self, order: Order) -> Result<(), ClientError> {
        let sent = self.orders.send(order).await;
        sent.map_err(|_| ClientError::Ended {
            what: "the producer",
        })
    }
}

/// Partitions of a topic that have a leader, or all where none has.
fn writable(topic: &Topic) -> Vec<i32> {
    let led = topic
        .partitions
        .iter()
        .filter(|partition| partition.leader.is_some());
    let led: Vec<i32> = led.map(|partition| partition.index).collect();
    if led.is_empty() {
        topic.partitions.iter().map(|it| it.index).collect()
    } else {
        led
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}
