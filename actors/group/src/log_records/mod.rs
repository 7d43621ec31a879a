//! Changes of a group as bytes of `__consumer_offsets`, and back: one batch an append, so that what was
//! decided together is written together.

mod decode;
mod encode;

use bytes::Bytes;
use kabuki_protocol::group_records::{GroupRecord, GroupRecordError};
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{
    AppendRules, BatchBuilder, CheckedBatch, Compression, batches, check_batch, records,
};

use crate::names::GroupId;
use crate::records::Change;

/// Largest batch of one append. A classic group is one record with all its members, and the members of a
/// group bring 16 MiB at most ([`crate::GroupConfig::group_bytes_max`]); their assignments come on top.
/// Kafka stops at `message.max.bytes`, that is at some thousand members.
const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Makes the batch of one append. The error says why it can not be written: a text that is too long for
/// the format, or too many bytes.
pub(crate) fn batch_of(
    group: &GroupId,
    changes: &[Change],
    now_ms: i64,
    compression: Compression,
) -> Result<CheckedBatch, String> {
    let mut builder = BatchBuilder::new(compression);
    for change in changes {
        let record = encode::record_of(group, change);
        let key = record.encode_key().map_err(|error| error.to_string())?;
        let value = record.encode_value().map_err(|error| error.to_string())?;
        builder.push(now_ms, Some(&key), value.as_deref(), &[]);
        let bytes = builder.uncompressed_bytes();
        if bytes > BATCH_BYTES_MAX {
            return Err(format!(
                "{bytes} bytes in one append, {BATCH_BYTES_MAX} at most"
            ));
        }
    }
    let bytes = builder.build().map_err(|error| error.to_string())?;
    let rules = AppendRules {
        max_message_bytes: BATCH_BYTES_MAX,
        ..AppendRules::default()
    };
    check_batch(Some(bytes), &rules, now_ms).map_err(|refused| format!("{refused:?}"))
}

/// One record of the log that belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedChange {
    pub(crate) offset: Offset,
    pub(crate) group: GroupId,
    pub(crate) change: Change,
}

/// What one range of the log holds.
#[derive(Debug, Default)]
pub(crate) struct LoggedRange {
    /// Records of groups, in order.
    pub(crate) changes: Vec<LoggedChange>,
    /// Offset after the last whole batch; `None` when there was none.
    pub(crate) end: Option<Offset>,
    /// Records that can not be read, and the first reason. They are passed over: anybody may produce to
    /// the topic, and one bad record must not take a fiftieth of all groups away.
    pub(crate) bad_count: usize,
    pub(crate) first_bad: Option<String>,
}

impl LoggedRange {
    fn bad(&mut self, cause: String) {
        self.bad_count += 1;
        self.first_bad.get_or_insert(cause);
    }
}

/// Reads whole batches; of their records those at or after `from`.
pub(crate) fn read_range(bytes: &Bytes, from: Offset) -> LoggedRange {
    let mut range = LoggedRange::default();
    for batch in batches(bytes) {
        let (header, batch) = match batch {
            Ok(batch) => batch,
            Err(error) => {
                range.bad(error.to_string());
                break;
            }
        };
        let base = header.base_offset;
        range.end = Some(base.plus(i64::from(header.last_offset_delta) + 1));
        if header.attributes.is_control() {
            continue;
        }
        let inside = match records(&batch) {
            Ok(inside) => inside,
            Err(error) => {
                range.bad(error.to_string());
                continue;
            }
        };
        for record in inside {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    range.bad(error.to_string());
                    break;
                }
            };
            let offset = base.plus(i64::from(record.offset_delta));
            let Some(key) = record.key.filter(|_| offset >= from) else {
                continue;
            };
            match GroupRecord::decode(&key, record.value.as_ref()) {
                Ok(read) => {
                    if let Some((group, change)) = decode::change_of(read) {
                        range.changes.push(LoggedChange {
                            offset,
                            group,
                            change,
                        });
                    }
                }
                // Of share and streams groups, or of a later release.
                Err(GroupRecordError::UnknownType { .. }) => {}
                Err(error) => range.bad(format!("offset {offset}: {error}")),
            }
        }
    }
    range
}

#[cfg(test)]
mod tests;
