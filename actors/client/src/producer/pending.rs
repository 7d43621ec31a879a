//! The batches of all partitions that are not delivered: which is being filled, which wait, which one
//! is in flight, and when the next thing is due. Decides; sends nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Batch, Outcome};
use super::{NewRecord, ProducerOptions};
use crate::error::ClientError;

/// A partition by topic and number.
pub(super) type PartitionKey = (String, i32);

/// First pause before a batch is sent again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause before a batch is sent again.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Everything that is not delivered.
#[derive(Debug)]
pub(super) struct Pending {
    linger: Duration,
    batch_bytes: usize,
    delivery_timeout: Duration,
    queues: BTreeMap<PartitionKey, Queue>,
    bytes: usize,
}

/// The batches of one partition, oldest first; the last one may still be filled.
#[derive(Debug)]
struct Queue {
    batches: VecDeque<Batch>,
    /// The first batch is in flight.
    is_in_flight: bool,
    /// Not before then is the first batch sent (again).
    not_before: Instant,
    retry_pause: Duration,
}

impl Pending {
    pub(super) fn new(options: &ProducerOptions) -> Self {
        Self {
            linger: options.linger,
            batch_bytes: options.batch_bytes,
            delivery_timeout: options.delivery_timeout,
            queues: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Bytes of all records that have no outcome yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Takes a record in.
    pub(super) fn push(
        &mut self,
        key: PartitionKey,
        record: NewRecord,
        now_ms: i64,
        outcome: Outcome,
        now: Instant,
    ) {
        let queue = self.queues.entry(key).or_insert_with(|| Queue {
            batches: VecDeque::new(),
            is_in_flight: false,
            not_before: now,
            retry_pause: RETRY_PAUSE_MIN,
        });
        let bytes = record.bytes();
        let has_room = queue
            .batches
            .back()
            .is_some_and(|batch| batch.has_room(bytes, self.batch_bytes));
        if !has_room {
            queue.batches.push_back(Batch::new(now));
        }
        let batch = queue
            .batches
            .back_mut()
            .expect("one was pushed if there was none");
        batch.push(record, now_ms, outcome);
        self.bytes += bytes;
    }

    /// True if a record of that size would not go with what waits for the partition: its batch is
    /// full, or on its way.
    pub(super) fn is_full_for(&self, key: &PartitionKey, bytes: usize) -> bool {
        let last = self.queues.get(key).and_then(|queue| queue.batches.back());
        last.is_some_and(|batch| !batch.has_room(bytes, self.batch_bytes))
    }

    /// Partitions whose first batch may be sent now. With `is_flushing` nothing lingers.
    pub(super) fn due(&self, now: Instant, is_flushing: bool) -> Vec<PartitionKey> {
        let due = self.queues.iter().filter(|(_, queue)| {
            self.due_at(queue, is_flushing)
                .is_some_and(|due_at| due_at <= now)
        });
        due.map(|(key, _)| key.clone()).collect()
    }

    /// When the next batch is due, `None` if only answers are waited for.
    pub(super) fn next_due(&self, is_flushing: bool) -> Option<Instant> {
        self.queues
            .values()
            .filter_map(|queue| self.due_at(queue, is_flushing))
            .min()
    }

    fn due_at(&self, queue: &Queue, is_flushing: bool) -> Option<Instant> {
        if queue.is_in_flight {
            return None;
        }
        let first = queue.batches.front()?;
        let is_full = queue.batches.len() > 1 || first.bytes() >= self.batch_bytes;
        let lingers = !is_full && !first.is_sealed() && !is_flushing;
        let filled_at = if lingers {
            first.started + self.linger
        } else {
            first.started
        };
        Some(filled_at.max(queue.not_before))
    }

    /// The first batch of a partition.
    pub(super) fn first_mut(&mut self, key: &PartitionKey) -> Option<&mut Batch> {
        self.queues.get_mut(key)?.batches.front_mut()
    }

    /// The first batch is on its way.
    pub(super) fn sent(&mut self, key: &PartitionKey) {
        let queue = self
            .queues
            .get_mut(key)
            .expect("only a partition with a batch is sent");
        assert!(
            !queue.is_in_flight,
            "one batch of a partition is in flight at a time"
        );
        queue.is_in_flight = true;
    }

    /// The first batch is not on its way after all, and may be sent at once.
    pub(super) fn held_back(&mut self, key: &PartitionKey) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.is_in_flight = false;
        }
    }

    /// The first batch has an outcome: it is taken out.
    pub(super) fn take_first(&mut self, key: &PartitionKey) -> Option<Batch> {
        let queue = self.queues.get_mut(key)?;
        let batch = queue.batches.pop_front()?;
        queue.is_in_flight = false;
        queue.retry_pause = RETRY_PAUSE_MIN;
        self.bytes -= batch.bytes();
        if queue.batches.is_empty() {
            self.queues.remove(key);
        }
        Some(batch)
    }

    /// The first batch is to be sent again after a pause; given back if its time is over.
    pub(super) fn retry(&mut self, key: &PartitionKey, now: Instant) -> Option<Batch> {
        let delivery_timeout = self.delivery_timeout;
        let queue = self.queues.get_mut(key)?;
        queue.is_in_flight = false;
        queue.not_before = now + queue.retry_pause;
        queue.retry_pause = (queue.retry_pause * 2).min(RETRY_PAUSE_MAX);
        let started = queue.batches.front()?.started;
        if now.duration_since(started) < delivery_timeout {
            None
        } else {
            self.take_first(key)
        }
    }

    /// Gives every record the same failure.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        for queue in std::mem::take(&mut self.queues).into_values() {
            queue
                .batches
                .into_iter()
                .for_each(|batch| batch.failed(error));
        }
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn pending() -> Pending {
        Pending::new(&ProducerOptions {
            linger: Duration::from_millis(5),
            batch_bytes: 200,
            delivery_timeout: Duration::from_secs(1),
            ..ProducerOptions::default()
        })
    }

    fn push(pending: &mut Pending, value_bytes: usize, now: Instant) {
        let record = NewRecord::to("t").value(vec![0; value_bytes]);
        pending.push(("t".to_owned(), 0), record, 0, oneshot::channel().0, now);
    }

    #[test]
    fn a_batch_waits_for_more_unless_it_is_full_or_flushed() {
        let start = Instant::now();
        let mut pending = pending();
        push(&mut pending, 10, start);
        assert!(pending.due(start, false).is_empty());
        assert_eq!(
            pending.next_due(false),
            Some(start + Duration::from_millis(5))
        );
        assert_eq!(pending.due(start, true).len(), 1);
        push(&mut pending, 110, start);
        assert_eq!(pending.due(start, false).len(), 1);
    }

    #[test]
    fn a_partition_is_full_for_what_its_batch_has_no_room_for() {
        let now = Instant::now();
        let key = ("t".to_owned(), 0);
        let mut pending = pending();
        assert!(
            !pending.is_full_for(&key, 1_000),
            "the first record always has room"
        );
        push(&mut pending, 100, now);
        assert!(!pending.is_full_for(&key, 60));
        assert!(pending.is_full_for(&key, 61));
    }

    #[test]
    fn one_batch_of_a_partition_is_in_flight_and_its_retry_comes_before_the_next() {
        let now = Instant::now();
        let key = ("t".to_owned(), 0);
        let mut pending = pending();
        push(&mut pending, 160, now);
        push(&mut pending, 150, now);
        let first_bytes = pending.first_mut(&key).unwrap().bytes();
        pending.sent(&key);
        assert!(pending.due(now, true).is_empty());
        assert!(pending.retry(&key, now).is_none());
        assert!(pending.due(now, true).is_empty(), "the retry has to wait");
        assert_eq!(
            pending.due(now + RETRY_PAUSE_MIN, true),
            std::slice::from_ref(&key)
        );
        assert_eq!(pending.first_mut(&key).unwrap().bytes(), first_bytes);
    }

    #[test]
    fn a_batch_is_given_up_when_its_time_is_over() {
        let now = Instant::now();
        let key = ("t".to_owned(), 0);
        let mut pending = pending();
        push(&mut pending, 10, now);
        pending.sent(&key);
        let batch = pending.retry(&key, now + Duration::from_secs(1)).unwrap();
        assert_eq!(batch.count(), 1);
        assert!(pending.is_empty());
        assert_eq!(pending.bytes(), 0);
    }
}
