//! Reads the log: all of it when a reign begins, its end again when an append was lost on the way, and the
//! records of one group when that group starts.

use std::time::Duration;

use kabuki_protocol::ids::{Offset, TopicId};
use kabuki_runtime::{Context, EventKind, Handler};

use super::Shard;
use super::messages::{
    ChunkRead, GroupWasRead, LogFound, LookDue, ReadGroup, RecordsOfGroup, WakeNextDue,
};
use crate::log_port::OffsetsLog;
use crate::log_records::read_range;
use crate::names::GroupId;
use crate::records::Change;

/// Bytes that are read and taken in at a time: some hundred records, half a millisecond. Kafka reads
/// `offsets.load.buffer.size` (5 MiB) at a time, on a thread of its own.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes that are read for the last few records of a group, which lie near each other or are alone.
const FEW_BYTES: usize = 8 * 1024;

/// Pauses before the log is looked for again: a partition that is being created comes within
/// milliseconds, one that recovers waits by itself, one that is broken may take long.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(20);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where a pass over the log is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    next: Offset,
    end: Offset,
}

impl Shard {
    /// Begins a pass over the log, from its start or from `known_end`.
    pub(super) fn look_for_log(&mut self, cx: &mut Context<Self>) {
        let Some(reign) = self.reign else { return };
        let log = (self.commons.logs)(&self.partition);
        let generation = self.generation;
        cx.spawn(
            async move {
                let log = log.ok_or_else(|| "the partition is not on stage".to_owned())?;
                log.bounds(reign.topic_id).await
            },
            move |outcome| LogFound {
                generation,
                outcome,
            },
        );
    }

    fn look_again(&mut self, cause: &str, cx: &mut Context<Self>) {
        self.reader = None;
        self.failed_looks = self.failed_looks.saturating_add(1);
        // The first ones are how a new partition looks.
        if self.failed_looks == 16 {
            cx.report(EventKind::Degraded, &format!("groups not loaded: {cause}"));
        }
        let pause = LOOK_PAUSE_MIN * 2_u32.saturating_pow(self.failed_looks.min(10));
        let generation = self.generation;
        cx.tell_after(pause.min(LOOK_PAUSE_MAX), LookDue { generation });
    }

    fn read_on(&mut self, cx: &mut Context<Self>) {
        let (Some(reader), Some(reign)) = (self.reader, self.reign) else {
            return;
        };
        if reader.next >= reader.end {
            return self.log_read(reader.end, cx);
        }
        let log = (self.commons.logs)(&self.partition);
        let generation = self.generation;
        cx.spawn(
            async move {
                let log = log.ok_or_else(|| "the partition left the stage".to_owned())?;
                log.read(reign.topic_id, reader.next, CHUNK_BYTES).await
            },
            move |outcome| ChunkRead {
                generation,
                outcome,
            },
        );
    }

    /// A pass is done: what was there when it began is in the book.
    fn log_read(&mut self, end: Offset, cx: &mut Context<Self>) {
        self.reader = None;
        if self.failed_looks >= 16 {
            cx.report(EventKind::Healed, "groups loaded");
        }
        self.failed_looks = 0;
        self.known_end = end;
        self.is_uncertain = false;
        self.book.tidy_all();
        if !self.is_serving {
            self.is_serving = true;
            let with_members = self.book.with_members();
            if self.book.len() > 0 {
                slog::info!(cx.log(), "groups loaded"; "groups" => self.book.len(),
                    "with_members" => with_members.len(), "log_end" => end.0,
                    "bad_records" => self.bad_records);
            }
            self.to_wake
                .extend(with_members.into_iter().map(|group| (group, false)));
            cx.tell_self(WakeNextDue);
        }
        self.hand_out_records(cx);
        self.send_outbox(cx);
    }

    /// Reads the records of every group that waits for them and has no append under way.
    pub(super) fn hand_out_records(&mut self, cx: &mut Context<Self>) {
        let Some(reign) = self.reign else { return };
        if !self.is_serving || self.is_uncertain || self.waiting_reads.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting_reads);
        for ask in waiting {
            let entry = self.book.get(&ask.group);
            if entry.is_some_and(|entry| entry.unsettled > 0) {
                self.waiting_reads.push(ask);
                continue;
            }
            let offsets = entry.map_or_else(Vec::new, |entry| entry.index.offsets());
            let log = (self.commons.logs)(&self.partition);
            let read = async move {
                let changes = match log {
                    Some(log) => read_group(&log, reign.topic_id, &ask.group, &offsets).await,
                    None => Err("the partition is not on stage".to_owned()),
                };
                let reign = reign.leader_epoch;
                ask.reply
                    .send(changes.map(|changes| RecordsOfGroup { reign, changes }));
            };
            cx.spawn(read, |()| GroupWasRead);
        }
    }
}

impl Handler<LookDue> for Shard {
    fn handle(&mut self, due: LookDue, cx: &mut Context<Self>) {
        if due.generation == self.generation {
            self.look_for_log(cx);
        }
    }
}

impl Handler<LogFound> for Shard {
    fn handle(&mut self, found: LogFound, cx: &mut Context<Self>) {
        if found.generation != self.generation {
            return;
        }
        match found.outcome {
            Err(cause) => self.look_again(&cause, cx),
            Ok((_, end)) if self.is_serving && end < self.known_end => {
                // The log lost its tail: what the groups were told is not true any more.
                cx.report(
                    EventKind::Degraded,
                    &format!("the log ends at {end}, known up to {}", self.known_end),
                );
                self.end_reign(cx);
            }
            Ok((start, end)) => {
                let next = match self.is_serving {
                    true => self.known_end.max(start),
                    false => start,
                };
                self.reader = Some(Reader { next, end });
                self.read_on(cx);
            }
        }
    }
}

impl Handler<ChunkRead> for Shard {
    fn handle(&mut self, chunk: ChunkRead, cx: &mut Context<Self>) {
        let Some(reader) = self.reader.filter(|_| chunk.generation == self.generation) else {
            return;
        };
        let read = match chunk.outcome {
            Ok(read) => read,
            Err(cause) => return self.look_again(&cause, cx),
        };
        let range = read_range(&read.records, reader.next);
        let Some(end) = range.end.filter(|end| *end > reader.next) else {
            let cause = range
                .first_bad
                .unwrap_or_else(|| "no whole batch".to_owned());
            return self.look_again(&format!("offset {}: {cause}", reader.next), cx);
        };
        let retention_ms = self.commons.settings.group.offsets_retention_ms;
        for logged in &range.changes {
            self.book
                .note(&logged.group, &logged.change, logged.offset, retention_ms);
        }
        if let Some(cause) = range.first_bad {
            self.bad_records += range.bad_count;
            slog::error!(cx.log(), "records of groups can not be read and are passed over";
                "count" => range.bad_count, "first" => cause);
        }
        self.reader = Some(Reader {
            next: end,
            ..reader
        });
        self.read_on(cx);
    }
}

impl Handler<ReadGroup> for Shard {
    fn handle(&mut self, ask: ReadGroup, cx: &mut Context<Self>) {
        // A new instance of the same group takes the place of one that crashed.
        self.waiting_reads
            .retain(|waiting| !waiting.reply.is_abandoned());
        self.waiting_reads.push(ask);
        self.hand_out_records(cx);
    }
}

impl Handler<GroupWasRead> for Shard {
    fn handle(&mut self, _: GroupWasRead, _: &mut Context<Self>) {}
}

/// Reads exactly the records at these offsets, which ascend.
async fn read_group(
    log: &OffsetsLog,
    topic_id: TopicId,
    group: &GroupId,
    offsets: &[Offset],
) -> Result<Vec<Change>, String> {
    let mut changes = Vec::with_capacity(offsets.len());
    while let Some(wanted) = offsets.get(changes.len()).copied() {
        let bytes_max = match offsets.len() - changes.len() {
            0..=16 => FEW_BYTES,
            _ => CHUNK_BYTES,
        };
        let read = log.read(topic_id, wanted, bytes_max).await?;
        let found_before = changes.len();
        for logged in read_range(&read.records, wanted).changes {
            if offsets.get(changes.len()) == Some(&logged.offset) {
                if logged.group != *group {
                    return Err(format!("offset {} is not of this group", logged.offset));
                }
                changes.push(logged.change);
            }
        }
        if changes.len() == found_before {
            return Err(format!("there is no record at offset {wanted}"));
        }
    }
    Ok(changes)
}
