//! Judges the records of a client's batch one by one: keys, timestamps, offset deltas.
//!
//! Holds no record: it is shown the shape of each and keeps a running verdict.

use std::borrow::Cow;

use super::scan::RecordShape;
use super::{
    AppendRules, BatchHeader, NO_TIMESTAMP, RECORD_ERRORS_MAX, RecordError, RecordRefused,
    RefusedKind, TimestampType,
};

/// What topics set for a bound that is none.
const UNLIMITED: i64 = i64::MAX;

/// Running verdict over the records of one batch.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    header: &'a BatchHeader,
    rules: &'a AppendRules,
    timestamp_min: i64,
    timestamp_max: i64,
    /// The batch claims the broker's time, which only the broker may do.
    claims_append_time: bool,
    refused_count: u32,
    has_timestamp_error: bool,
    record_errors: Vec<RecordError>,
    verdict: Verdict,
}

/// What the records of an acceptable batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Largest timestamp of the records, -1 if they have none.
    pub(crate) max_timestamp: i64,
    /// Place of the first record with it, 0 if they have none.
    pub(crate) max_timestamp_delta: i32,
    /// The offset deltas are 0 to n - 1.
    pub(crate) is_numbered: bool,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(header: &'a BatchHeader, rules: &'a AppendRules, now_ms: i64) -> Self {
        let timestamp_type = header.attributes.timestamp_type();
        Self {
            header,
            rules,
            timestamp_min: match rules.timestamp_before_max_ms {
                UNLIMITED => i64::MIN,
                before_max_ms => now_ms.saturating_sub(before_max_ms),
            },
            timestamp_max: now_ms.saturating_add(rules.timestamp_after_max_ms),
            claims_append_time: timestamp_type == TimestampType::LogAppendTime,
            refused_count: 0,
            has_timestamp_error: false,
            record_errors: Vec::new(),
            verdict: Verdict {
                max_timestamp: NO_TIMESTAMP,
                max_timestamp_delta: 0,
                is_numbered: true,
            },
        }
    }

    /// Judges the record at place `index`. A record is refused for its first fault only.
    #[inline]
    pub(crate) fn record(&mut self, index: i32, shape: RecordShape) {
        let timestamp = self
            .header
            .base_timestamp
            .wrapping_add(shape.timestamp_delta);
        if timestamp > self.verdict.max_timestamp {
            self.verdict.max_timestamp = timestamp;
            self.verdict.max_timestamp_delta = index;
        }
        self.verdict.is_numbered &= shape.offset_delta == index;

        if self.rules.is_compacted && !shape.has_key {
            self.refuse(index, "a compacted topic takes no record without a key");
        } else {
            self.judge_timestamp(index, shape.timestamp_delta);
        }
    }

    #[inline]
    fn judge_timestamp(&mut self, index: i32, timestamp_delta: i64) {
        // Of a batch that claims the broker's time, the header's is the one that counts.
        let timestamp = self.header.record_timestamp(timestamp_delta);
        let is_judged_by_bounds =
            self.rules.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP;
        if is_judged_by_bounds {
            if timestamp < self.timestamp_min || timestamp > self.timestamp_max {
                self.has_timestamp_error = true;
                let (min, max) = (self.timestamp_min, self.timestamp_max);
                self.refuse_with(index, || {
                    format!("timestamp {timestamp} is not within {min} and {max}").into()
                });
            }
        } else if self.claims_append_time {
            self.has_timestamp_error = true;
            self.refuse(
                index,
                "a producer may not set the timestamp type to LogAppendTime",
            );
        }
    }

    fn refuse(&mut self, index: i32, message: &'static str) {
        self.refuse_with(index, || message.into());
    }

    #[cold]
    fn refuse_with(&mut self, index: i32, message: impl FnOnce() -> Cow<'static, str>) {
        self.refused_count += 1;
        if self.record_errors.len() < RECORD_ERRORS_MAX {
            self.record_errors.push(RecordError {
                index,
                message: message(),
            });
        }
    }

    /// The verdict, or the refusal of the whole batch. A timestamp error decides the kind.
    pub(crate) fn finish(self) -> Result<Verdict, RecordRefused> {
        if self.refused_count == 0 {
            return Ok(self.verdict);
        }
        let count = self.refused_count;
        let (kind, message) = if self.has_timestamp_error {
            let message = format!("{count} records refused, with timestamps at fault");
            (RefusedKind::InvalidTimestamp, message)
        } else {
            (
                RefusedKind::InvalidRecord,
                format!("{count} records refused"),
            )
        };
        Err(RecordRefused {
            kind,
            message,
            record_errors: self.record_errors,
        })
    }
}
