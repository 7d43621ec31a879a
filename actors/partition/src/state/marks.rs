//! The positions of a log as the partition decides them: log start, log end, what is on the medium,
//! and the high watermark with the rule that says when it may move.

use kabuki_protocol::ids::Offset;

/// Bytes written since the last checkpoint after which the log is synced in the background, with a
/// producer snapshot, and its recovery point moves. Bounds what a restart has to scan: 64 MiB are
/// read and checked in about 20 ms from the page cache.
pub(crate) const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// `flush.messages` of a log that is not synced before it answers.
pub(crate) const FLUSH_MESSAGES_NEVER: i64 = i64::MAX;

/// A sync that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyncPlan {
    /// What will be on the medium: all below this offset.
    pub(crate) up_to: Offset,
    pub(crate) depth: SyncDepth,
    bytes: u64,
}

/// How much is put on the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncDepth {
    /// The records, which is what an answer waits for.
    Records,
    /// The indexes too: the recovery point moves.
    Indexes,
    /// A producer snapshot with it, and the recovery point is stored after it.
    Checkpoint,
}

/// Positions of one log. Invariants: log start <= high watermark <= written, recovery point <= synced
/// <= written; none ever falls.
#[derive(Debug)]
pub(crate) struct Marks {
    log_start: Offset,
    written: Offset,
    synced: Offset,
    recovery_point: Offset,
    high_watermark: Offset,
    flush_messages: i64,
    unsynced_bytes: u64,
    uncheckpointed_bytes: u64,
    sync: Option<SyncPlan>,
    is_flush_due: bool,
}

impl Marks {
    /// Positions after a recovery: everything in the log counts as committed, as there is one replica.
    ///
    /// The recovery has synced the log where `flush.messages` asks for it, so nothing that is shown
    /// here can be lost that was not shown before.
    pub(crate) fn recovered(
        log_start: Offset,
        log_end: Offset,
        recovery_point: Offset,
        unsynced_bytes: u64,
        flush_messages: i64,
    ) -> Self {
        assert!(
            log_start <= log_end,
            "log start {log_start} is past the log end {log_end}"
        );
        Self {
            log_start,
            written: log_end,
            synced: recovery_point.min(log_end),
            recovery_point: recovery_point.min(log_end),
            high_watermark: log_end,
            flush_messages,
            unsynced_bytes,
            uncheckpointed_bytes: unsynced_bytes,
            sync: None,
            is_flush_due: false,
        }
    }

    /// What lies past the recovery point is not on the medium and cannot be brought there now: with
    /// `flush.messages` nothing is shown of it but what was shown before.
    pub(crate) fn freeze(&mut self, shown_end: Offset) {
        if self.flush_messages < FLUSH_MESSAGES_NEVER {
            let shown = shown_end.max(self.synced).max(self.log_start);
            self.high_watermark = shown.min(self.written);
        }
    }

    pub(crate) fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Offset after the last record in the file.
    pub(crate) fn written(&self) -> Offset {
        self.written
    }

    /// Offset after the last record that is on the medium.
    pub(crate) fn synced(&self) -> Offset {
        self.synced
    }

    /// Offset after the last record that is on the medium with its index entries: what an opening may
    /// rely on, and so what is stored.
    pub(crate) fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    pub(crate) fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Without transactions every committed record is stable.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.high_watermark
    }

    pub(crate) fn set_flush_messages(&mut self, flush_messages: i64) {
        self.flush_messages = flush_messages;
        self.advance();
    }

    /// Records reached the file. Returns true when the high watermark moved.
    pub(crate) fn wrote(&mut self, log_end: Offset, bytes: u64) -> bool {
        assert!(
            log_end > self.written,
            "log end {log_end} does not follow {}",
            self.written
        );
        self.written = log_end;
        self.unsynced_bytes += bytes;
        self.uncheckpointed_bytes += bytes;
        self.advance()
    }

    /// The log start moved. Returns false when it is there already.
    pub(crate) fn trimmed(&mut self, log_start: Offset) -> bool {
        assert!(
            log_start <= self.high_watermark,
            "log start {log_start} would pass the high watermark {}",
            self.high_watermark
        );
        let has_moved = log_start > self.log_start;
        self.log_start = self.log_start.max(log_start);
        has_moved
    }

    /// `flush.ms` has passed since the first unsynced write, or the recovery point is to move.
    pub(crate) fn flush_due(&mut self) {
        self.is_flush_due = self.is_recovery_point_behind();
    }

    /// All past the recovery point is to be written again and synced, even if that is nothing.
    pub(crate) fn rewrite_due(&mut self) {
        self.is_flush_due = true;
    }

    pub(crate) fn is_recovery_point_behind(&self) -> bool {
        self.recovery_point < self.written
    }

    pub(crate) fn has_unsynced(&self) -> bool {
        self.synced < self.written
    }

    /// The sync to start now, if any. To be asked only while no write is out, so that the producer
    /// state of a checkpoint is that of the log end.
    pub(crate) fn start_sync(&mut self) -> Option<SyncPlan> {
        if self.sync.is_some() {
            return None;
        }
        let depth = if self.uncheckpointed_bytes >= CHECKPOINT_BYTES {
            SyncDepth::Checkpoint
        } else if self.is_flush_due {
            SyncDepth::Indexes
        } else if self.must_sync_first() {
            SyncDepth::Records
        } else {
            return None;
        };
        self.is_flush_due = false;
        let bytes = self.unsynced_bytes;
        self.sync = Some(SyncPlan {
            up_to: self.written,
            depth,
            bytes,
        });
        self.sync
    }

    /// Everything below the plan's offset is on the medium. Returns true when the high watermark moved.
    pub(crate) fn finish_sync(&mut self, plan: SyncPlan) -> bool {
        assert_eq!(self.sync, Some(plan), "a sync ended that was not under way");
        assert!(
            plan.up_to >= self.synced,
            "sync went back from {} to {}",
            self.synced,
            plan.up_to
        );
        self.sync = None;
        self.synced = plan.up_to;
        self.unsynced_bytes -= plan.bytes;
        if plan.depth != SyncDepth::Records {
            self.recovery_point = plan.up_to;
        }
        if plan.depth == SyncDepth::Checkpoint {
            self.uncheckpointed_bytes = self.unsynced_bytes;
        }
        // What this sync covers is committed, whatever was written since.
        let committed = self.high_watermark.max(plan.up_to);
        let has_moved = committed > self.high_watermark;
        self.high_watermark = committed;
        self.advance() || has_moved
    }

    /// The sync under way was refused before it reached the log; it is asked for again.
    pub(crate) fn abort_sync(&mut self) {
        let aborted = self.sync.take();
        self.is_flush_due |= aborted.is_some_and(|plan| plan.depth != SyncDepth::Records);
    }

    pub(crate) fn is_syncing(&self) -> bool {
        self.sync.is_some()
    }

    /// The log was closed cleanly: all of it is on the medium.
    pub(crate) fn closed(&mut self) {
        self.synced = self.written;
        self.recovery_point = self.written;
        self.unsynced_bytes = 0;
        self.uncheckpointed_bytes = 0;
        self.high_watermark = self.written;
    }

    /// True while `flush.messages` or more records are not on the medium: then neither an answer nor
    /// a reader may see them.
    fn must_sync_first(&self) -> bool {
        self.written.since(self.synced) >= self.flush_messages
    }

    fn advance(&mut self) -> bool {
        if self.must_sync_first() || self.high_watermark == self.written {
            return false;
        }
        assert!(
            self.high_watermark < self.written,
            "high watermark is past the log end"
        );
        self.high_watermark = self.written;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(flush_messages: i64) -> Marks {
        Marks::recovered(Offset(0), Offset(10), Offset(10), 0, flush_messages)
    }

    #[test]
    fn the_high_watermark_follows_the_write_when_no_flush_is_asked_for() {
        let mut marks = marks(FLUSH_MESSAGES_NEVER);
        assert!(marks.wrote(Offset(15), 100));
        assert_eq!(marks.high_watermark(), Offset(15));
        assert_eq!(marks.start_sync(), None);
    }

    #[test]
    fn with_flush_messages_the_high_watermark_moves_only_after_the_sync() {
        let mut marks = marks(1);
        assert!(!marks.wrote(Offset(11), 100));
        let plan = marks.start_sync().unwrap();
        assert_eq!(plan.depth, SyncDepth::Records);
        assert_eq!(marks.start_sync(), None, "one sync at a time");

        // Written while the sync is under way: not covered by it.
        assert!(!marks.wrote(Offset(14), 100));
        assert!(marks.finish_sync(plan));
        assert_eq!(marks.high_watermark(), Offset(11));

        let plan = marks.start_sync().unwrap();
        assert_eq!(plan.up_to, Offset(14));
        assert!(marks.finish_sync(plan));
        assert_eq!(marks.high_watermark(), Offset(14));
        assert_eq!(marks.start_sync(), None);
    }

    #[test]
    fn fewer_records_than_flush_messages_are_shown_before_the_sync() {
        let mut marks = marks(5);
        assert!(marks.wrote(Offset(14), 100));
        assert!(!marks.wrote(Offset(15), 100), "the fifth must wait");
        assert_eq!(marks.high_watermark(), Offset(14));
        let plan = marks.start_sync().unwrap();
        assert!(marks.finish_sync(plan));
        assert_eq!(marks.high_watermark(), Offset(15));
    }

    #[test]
    fn a_checkpoint_is_due_after_64_mib_and_counts_from_its_own_start() {
        let mut marks = marks(FLUSH_MESSAGES_NEVER);
        marks.wrote(Offset(11), CHECKPOINT_BYTES - 1);
        assert_eq!(marks.start_sync(), None);
        marks.wrote(Offset(12), 1);
        let plan = marks.start_sync().unwrap();
        assert_eq!(plan.depth, SyncDepth::Checkpoint);
        marks.wrote(Offset(13), 7);
        assert!(!marks.finish_sync(plan), "it was shown already");
        assert_eq!(marks.synced(), Offset(12));
        assert_eq!(marks.uncheckpointed_bytes, 7);
    }

    #[test]
    fn a_sync_for_an_answer_does_not_move_the_recovery_point() {
        let mut marks = marks(1);
        marks.wrote(Offset(12), 1);
        let plan = marks.start_sync().unwrap();
        marks.finish_sync(plan);
        assert_eq!(
            (marks.synced(), marks.recovery_point()),
            (Offset(12), Offset(10))
        );
        assert_eq!(marks.start_sync(), None, "nothing asks for more");

        // A flush takes the indexes along, although all records are on the medium.
        marks.flush_due();
        let plan = marks.start_sync().unwrap();
        assert_eq!(plan.depth, SyncDepth::Indexes);
        marks.finish_sync(plan);
        assert_eq!(marks.recovery_point(), Offset(12));
        marks.flush_due();
        assert_eq!(marks.start_sync(), None);
    }

    #[test]
    fn an_aborted_sync_is_asked_for_again_as_deep_as_it_was() {
        for flush_messages in [1, FLUSH_MESSAGES_NEVER] {
            let mut marks = marks(flush_messages);
            marks.wrote(Offset(12), 1);
            if flush_messages > 1 {
                marks.flush_due();
            }
            let plan = marks.start_sync().unwrap();
            marks.abort_sync();
            assert_eq!(marks.start_sync(), Some(plan));
        }
    }

    #[test]
    fn flush_ms_syncs_only_what_is_dirty() {
        let mut marks = marks(FLUSH_MESSAGES_NEVER);
        marks.flush_due();
        assert_eq!(marks.start_sync(), None);
        marks.wrote(Offset(11), 1);
        marks.flush_due();
        let plan = marks.start_sync().unwrap();
        marks.finish_sync(plan);
        assert!(!marks.has_unsynced());
    }

    #[test]
    fn a_frozen_tail_shows_what_was_shown_until_it_is_synced() {
        let recovered = |flush_messages| {
            Marks::recovered(Offset(0), Offset(10), Offset(4), 100, flush_messages)
        };
        let mut marks = recovered(FLUSH_MESSAGES_NEVER);
        marks.freeze(Offset(7));
        assert_eq!(marks.high_watermark(), Offset(10));
        for (shown, expected) in [(7, 7), (-1, 4), (12, 10)] {
            let mut marks = recovered(1);
            marks.freeze(Offset(shown));
            assert_eq!(marks.high_watermark(), Offset(expected));
            let plan = marks.start_sync().unwrap();
            marks.finish_sync(plan);
            assert_eq!(marks.high_watermark(), Offset(10));
        }
    }

    #[test]
    fn a_trim_never_moves_the_log_start_back() {
        let mut marks = marks(FLUSH_MESSAGES_NEVER);
        assert!(marks.trimmed(Offset(7)));
        assert!(!marks.trimmed(Offset(3)));
        assert_eq!(marks.log_start(), Offset(7));
    }
}
