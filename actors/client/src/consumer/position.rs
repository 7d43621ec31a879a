//! Where each assigned partition is being read: what was given out, what was fetched, and how long it
//! has been failing.

use std::sync::Arc;
use std::time::Duration;

use kabuki_protocol::ids::Offset;
use tokio::time::Instant;

use crate::admin::{OffsetSpec, find_offsets};
use crate::cluster::Client;
use crate::error::ClientError;

/// A partition by topic and number.
pub(super) type PartitionKey = (Arc<str>, i32);

/// First pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause between two failures.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where to begin to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// The first record that is there.
    Beginning,
    /// The next record that is written.
    End,
    /// This offset.
    Offset(Offset),
    /// The first record at or after a time, in milliseconds since 1970; the end if there is none.
    Timestamp(i64),
}

/// Where a partition is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPosition {
    /// Offset of the next record that is given out.
    pub next: Offset,
    /// Offset after the last committed record, as the broker last said; -1 before it did.
    pub high_watermark: Offset,
    /// Offset of the first record, as the broker last said; -1 before it did.
    pub log_start: Offset,
}

/// A partition that is read.
#[derive(Debug)]
pub(super) struct Assigned {
    /// Tells answers to an earlier assignment apart.
    pub(super) assignment: u64,
    /// A question about it is under way.
    pub(super) is_busy: bool,
    start: Option<StartAt>,
    next: Offset,
    fetch: Offset,
    high_watermark: Offset,
    log_start: Offset,
    not_before: Option<Instant>,
    failing_since: Option<Instant>,
    pause: Duration,
}

impl Assigned {
    pub(super) fn new(assignment: u64, start: StartAt) -> Self {
        let mut assigned = Self {
            assignment,
            is_busy: false,
            start: None,
            next: Offset::NONE,
            fetch: Offset::NONE,
            high_watermark: Offset::NONE,
            log_start: Offset::NONE,
            not_before: None,
            failing_since: None,
            pause: PAUSE_MIN,
        };
        assigned.restart(start);
        assigned
    }

    /// Goes on elsewhere, once that is known. Everything fetched has been given out.
    pub(super) fn restart(&mut self, start: StartAt) {
        match start {
            StartAt::Offset(offset) => {
                self.fetch = offset;
                self.next = offset;
            }
            other => self.start = Some(other),
        }
    }

    /// The question that has to be asked before the first fetch.
    pub(super) fn start(&self) -> Option<StartAt> {
        self.start
    }

    /// The answer to it.
    pub(super) fn found(&mut self, offset: Offset) {
        self.start = None;
        self.fetch = offset;
        self.next = offset;
        self.recovered();
    }

    pub(super) fn fetch_offset(&self) -> Option<Offset> {
        (!self.fetch.is_none()).then_some(self.fetch)
    }

    /// Offset of the next record that is given out, `None` before one is known.
    pub(super) fn next_offset(&self) -> Option<Offset> {
        (!self.next.is_none()).then_some(self.next)
    }

    pub(super) fn position(&self) -> Option<PartitionPosition> {
        self.next_offset().map(|next| PartitionPosition {
            next,
            high_watermark: self.high_watermark,
            log_start: self.log_start,
        })
    }

    /// An answer without error came.
    pub(super) fn heard(&mut self, high_watermark: Offset, log_start: Offset) {
        self.high_watermark = high_watermark;
        self.log_start = log_start;
        self.recovered();
    }

    /// A batch that ends before `end` was fetched.
    pub(super) fn fetched_up_to(&mut self, end: Offset) {
        self.fetch = self.fetch.max(end);
    }

    /// A batch that ends before `end` was given out.
    pub(super) fn gave_out(&mut self, end: Offset) {
        self.next = self.next.max(end);
    }

    /// What was fetched and not given out is to be fetched again.
    pub(super) fn rewind(&mut self) {
        self.fetch = self.next;
    }

    pub(super) fn is_ready(&self, now: Instant) -> bool {
        !self.is_busy && self.not_before.is_none_or(|not_before| not_before <= now)
    }

    /// When a partition that waits after a failure is to be tried again.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        self.not_before
            .filter(|not_before| !self.is_busy && *not_before > now)
    }

    /// It failed: waits a little before the next try.
    pub(super) fn pause(&mut self, now: Instant) {
        self.failing_since.get_or_insert(now);
        self.not_before = Some(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    pub(super) fn failing_for(&self, now: Instant) -> Duration {
        self.failing_since
            .map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    fn recovered(&mut self) {
        self.not_before = None;
        self.failing_since = None;
        self.pause = PAUSE_MIN;
    }
}

/// Finds the offset where reading begins.
pub(super) async fn find(
    client: Client,
    key: PartitionKey,
    start: StartAt,
) -> Result<Offset, ClientError> {
    let (topic, partition) = key;
    let ask = async |spec| {
        let mut found = find_offsets(&client, &topic, &[partition], spec).await?;
        Ok::<_, ClientError>(found.remove(&partition).and_then(|found| found.offset))
    };
    let found = match start {
        StartAt::Beginning => ask(OffsetSpec::Earliest).await?,
        StartAt::End => ask(OffsetSpec::Latest).await?,
        StartAt::Offset(offset) => Some(offset),
        StartAt::Timestamp(time_ms) => match ask(OffsetSpec::AtOrAfter(time_ms)).await? {
            Some(offset) => Some(offset),
            None => ask(OffsetSpec::Latest).await?,
        },
    };
    let missing = || ClientError::malformed("ListOffsets", "the end of a partition is missing");
    found.ok_or_else(missing)
}
