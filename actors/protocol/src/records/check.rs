//! Judges a client's batch by everything that needs no partition state.

use bytes::Bytes;

use super::{AppendRules, CheckedBatch, RecordRefused, RefusedKind};

/// Checks what a Produce request carries for one partition: rules P2, P8 to P14, V1, V2.
pub fn check_batch(
    records: Option<Bytes>,
    rules: &AppendRules,
    now_ms: i64,
) -> Result<CheckedBatch, RecordRefused> {
    let _ = (records, rules, now_ms);
    Err(RecordRefused::batch(RefusedKind::NotOneBatch, "unbuilt"))
}
