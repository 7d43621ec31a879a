//! A partition that keeps its log in memory, shared with the test, which also decides how it behaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use kabuki_partition::{
    AppendRecords, AppendRefused, AwaitLeadership, AwaitRefused, DescribePartition,
    DescribeProducers, EpochEnd, FindEpochEnd, FindOffset, FindRefused, LeadershipHeld, LogTrimmed,
    NotServed, OffsetFound, OffsetTarget, PartitionDescription, PartitionMoved, PartitionPhase,
    ReadRecords, ReadRefused, RecordsAppended, RecordsRead, TrimLog, TrimRefused, UnwatchPartition,
    WatchPartition, WatcherId,
};
use kabuki_protocol::ids::{LeaderEpoch, Offset, PartitionId, TopicId};
use kabuki_runtime::{Actor, Context, Handler, Message, ReplyPort};
use kabuki_storage::KnownProducer;

/// What the test sees of a partition, and tells it.
#[derive(Clone, Default)]
pub(crate) struct StubLog(Arc<Mutex<Shared>>);

#[derive(Default)]
pub(crate) struct Shared {
    /// First offset and bytes of each batch.
    pub(crate) batches: Vec<(i64, Bytes)>,
    pub(crate) log_start: i64,
    pub(crate) log_end: i64,
    /// Base sequences in the order in which batches arrived.
    pub(crate) sequences: Vec<i32>,
    /// Appends wait until [`ReleaseAppends`].
    pub(crate) holds_appends: bool,
    /// The next append crashes the actor.
    pub(crate) panics_on_append: bool,
    pub(crate) refusal: Option<AppendRefused>,
    pub(crate) read_refusal: Option<ReadRefused>,
    /// Reads are never answered.
    pub(crate) swallows_reads: bool,
    /// Who waits for leadership waits until [`TakeLead`].
    pub(crate) does_not_lead: bool,
    pub(crate) producers: Vec<KnownProducer>,
    /// It says that its log is not open yet.
    pub(crate) recovers: bool,
    pub(crate) watchers: Vec<WatcherId>,
    pub(crate) watches_seen: usize,
    pub(crate) reads_seen: usize,
}

impl StubLog {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(crate) struct StubPartition {
    partition: PartitionId,
    topic_id: TopicId,
    log: StubLog,
    leader_epoch: LeaderEpoch,
    held: Vec<AppendRecords>,
    swallowed: Vec<ReadRecords>,
    awaiting: Vec<ReplyPort<Result<LeadershipHeld, AwaitRefused>>>,
    watchers: HashMap<WatcherId, (Offset, ReplyPort<PartitionMoved>)>,
}

/// Answers held appends, the last one first.
pub(crate) struct ReleaseAppends;

impl Message for ReleaseAppends {
    type Reply = ();
}

/// Lets it lead.
pub(crate) struct TakeLead;

impl Message for TakeLead {
    type Reply = ();
}

impl StubPartition {
    fn answer_awaiting(&mut self) {
        if !self.log.lock().does_not_lead {
            let leader_epoch = self.leader_epoch;
            for reply in self.awaiting.drain(..) {
                reply.send(Ok(LeadershipHeld { leader_epoch }));
            }
        }
    }

    pub(crate) fn new(
        partition: PartitionId,
        topic_id: TopicId,
        log: StubLog,
        leader_epoch: LeaderEpoch,
    ) -> Self {
        Self {
            partition,
            topic_id,
            log,
            leader_epoch,
            held: Vec::new(),
            swallowed: Vec::new(),
            awaiting: Vec::new(),
            watchers: HashMap::new(),
        }
    }

    fn append(&mut self, command: AppendRecords) {
        let AppendRecords { batch, reply, .. } = command;
        let mut log = self.log.lock();
        if let Some(refusal) = log.refusal.clone() {
            reply.send(Err(refusal));
            return;
        }
        let base = log.log_end;
        let stamped = batch.stamped(Offset(base), self.leader_epoch);
        let mut bytes = BytesMut::new();
        stamped
            .iter()
            .for_each(|chunk| bytes.extend_from_slice(chunk));
        log.batches.push((base, bytes.freeze()));
        log.log_end += i64::from(batch.record_count);
        reply.send(Ok(RecordsAppended {
            base_offset: Offset(base),
            log_append_time_ms: -1,
            log_start: Offset(log.log_start),
        }));
        let end = Offset(log.log_end);
        drop(log);
        self.tell_watchers(end);
    }

    fn tell_watchers(&mut self, end: Offset) {
        let passed: Vec<WatcherId> = self
            .watchers
            .iter()
            .filter_map(|(watcher, (after, _))| (*after < end).then_some(*watcher))
            .collect();
        for watcher in passed {
            if let Some((_, reply)) = self.watchers.remove(&watcher) {
                reply.send(PartitionMoved::HighWatermark(end));
            }
        }
        self.note_watchers();
    }

    fn note_watchers(&self) {
        let mut watchers: Vec<WatcherId> = self.watchers.keys().copied().collect();
        watchers.sort_unstable();
        self.log.lock().watchers = watchers;
    }
}

impl Actor for StubPartition {}

impl Handler<AppendRecords> for StubPartition {
    fn handle(&mut self, command: AppendRecords, _cx: &mut Context<Self>) {
        let (asked, hosted) = (command.topic_id, self.topic_id);
        if asked != hosted {
            let why = AppendRefused::ForeignTopic { asked, hosted };
            return command.reply.send(Err(why));
        }
        let mut log = self.log.lock();
        log.sequences.push(command.batch.header.base_sequence);
        let is_held = log.holds_appends;
        let panics = std::mem::take(&mut log.panics_on_append);
        drop(log);
        assert!(!panics, "told to");
        if is_held {
            self.held.push(command);
        } else {
            self.append(command);
        }
    }
}

impl Handler<ReleaseAppends> for StubPartition {
    fn handle(&mut self, _message: ReleaseAppends, _cx: &mut Context<Self>) {
        while let Some(command) = self.held.pop() {
            self.append(command);
        }
    }
}

impl Handler<ReadRecords> for StubPartition {
    fn handle(&mut self, query: ReadRecords, _cx: &mut Context<Self>) {
        let (asked, hosted) = (query.topic_id, self.topic_id);
        if asked != hosted {
            let why = ReadRefused::from(NotServed::ForeignTopic { asked, hosted });
            return query.reply.send(Err(why));
        }
        let mut log = self.log.lock();
        log.reads_seen += 1;
        if log.swallows_reads {
            drop(log);
            self.swallowed.push(query);
            return;
        }
        if let Some(refusal) = log.read_refusal.clone() {
            query.reply.send(Err(refusal));
            return;
        }
        let (start, end) = (log.log_start, log.log_end);
        let from = query.fetch_offset.get();
        if from < start || from > end {
            query.reply.send(Err(ReadRefused::OffsetOutOfRange {
                fetch_offset: query.fetch_offset,
                log_start: Offset(start),
                log_end: Offset(end),
            }));
            return;
        }
        let ends = log
            .batches
            .iter()
            .skip(1)
            .map(|(base, _)| *base)
            .chain([end]);
        let wanted = log
            .batches
            .iter()
            .zip(ends)
            .filter(|(_, batch_end)| *batch_end > from);
        let mut records = BytesMut::new();
        for ((_, batch), _) in wanted {
            let may_exceed = query.must_return_one && records.is_empty();
            if records.len() + batch.len() > query.bytes_max && !may_exceed {
                break;
            }
            records.extend_from_slice(batch);
        }
        query.reply.send(Ok(RecordsRead {
            records: records.freeze(),
            high_watermark: Offset(end),
            last_stable_offset: Offset(end),
            log_start: Offset(start),
            diverging: None,
        }));
    }
}

impl Handler<WatchPartition> for StubPartition {
    fn handle(&mut self, command: WatchPartition, _cx: &mut Context<Self>) {
        let WatchPartition {
            topic_id,
            watcher,
            after,
            reply,
        } = command;
        if topic_id != self.topic_id {
            return reply.send(PartitionMoved::Removed);
        }
        self.watchers.insert(watcher, (after, reply));
        self.log.lock().watches_seen += 1;
        let end = Offset(self.log.lock().log_end);
        self.tell_watchers(end);
    }
}

impl Handler<UnwatchPartition> for StubPartition {
    fn handle(&mut self, command: UnwatchPartition, _cx: &mut Context<Self>) {
        self.watchers.remove(&command.watcher);
        self.note_watchers();
    }
}

impl Handler<FindOffset> for StubPartition {
    fn handle(&mut self, query: FindOffset, _cx: &mut Context<Self>) {
        let (asked, hosted) = (query.topic_id, self.topic_id);
        if asked != hosted {
            let why = FindRefused::from(NotServed::ForeignTopic { asked, hosted });
            return query.reply.send(Err(why));
        }
        let log = self.log.lock();
        let offset = match query.target {
            OffsetTarget::Earliest => log.log_start,
            _ => log.log_end,
        };
        query.reply.send(Ok(OffsetFound {
            offset: Offset(offset),
            timestamp: -1,
            leader_epoch: self.leader_epoch,
        }));
    }
}

impl Handler<FindEpochEnd> for StubPartition {
    fn handle(&mut self, query: FindEpochEnd, _cx: &mut Context<Self>) {
        let (asked, hosted) = (query.topic_id, self.topic_id);
        if asked != hosted {
            let why = FindRefused::from(NotServed::ForeignTopic { asked, hosted });
            return query.reply.send(Err(why));
        }
        query.reply.send(Ok(EpochEnd {
            leader_epoch: self.leader_epoch,
            end_offset: Offset(self.log.lock().log_end),
        }));
    }
}

impl Handler<DescribeProducers> for StubPartition {
    fn handle(&mut self, query: DescribeProducers, _cx: &mut Context<Self>) {
        let (asked, hosted) = (query.topic_id, self.topic_id);
        if asked != hosted {
            let why = NotServed::ForeignTopic { asked, hosted };
            return query.reply.send(Err(why));
        }
        query.reply.send(Ok(self.log.lock().producers.clone()));
    }
}

impl Handler<DescribePartition> for StubPartition {
    fn handle(&mut self, query: DescribePartition, _cx: &mut Context<Self>) {
        let log = self.log.lock();
        let batches = log.batches.iter();
        query.reply.send(PartitionDescription {
            partition: self.partition.clone(),
            topic_id: self.topic_id,
            dir: format!("/data/{}", self.partition).into(),
            phase: match log.recovers {
                true => PartitionPhase::Recovering,
                false => PartitionPhase::Leading,
            },
            leader_epoch: self.leader_epoch,
            log_start: Offset(log.log_start),
            high_watermark: Offset(log.log_end),
            last_stable_offset: Offset(log.log_end),
            log_end: Offset(log.log_end),
            recovery_point: Offset(log.log_end),
            size_bytes: batches.map(|(_, bytes)| bytes.len() as u64).sum(),
            segment_count: 1,
            producer_count: log.producers.len(),
            watcher_count: self.watchers.len(),
        });
    }
}

impl Handler<AwaitLeadership> for StubPartition {
    fn handle(&mut self, query: AwaitLeadership, _cx: &mut Context<Self>) {
        let (asked, hosted) = (query.topic_id, self.topic_id);
        if asked != hosted {
            let why = AwaitRefused::ForeignTopic { asked, hosted };
            return query.reply.send(Err(why));
        }
        self.awaiting.push(query.reply);
        self.answer_awaiting();
    }
}

impl Handler<TakeLead> for StubPartition {
    fn handle(&mut self, _message: TakeLead, _cx: &mut Context<Self>) {
        self.log.lock().does_not_lead = false;
        self.answer_awaiting();
    }
}

impl Handler<TrimLog> for StubPartition {
    fn handle(&mut self, command: TrimLog, _cx: &mut Context<Self>) {
        let (asked, hosted) = (command.topic_id, self.topic_id);
        if asked != hosted {
            let why = TrimRefused::ForeignTopic { asked, hosted };
            return command.reply.send(Err(why));
        }
        let mut log = self.log.lock();
        let before = match command.before.get() {
            -1 => log.log_end,
            before => before,
        };
        if before < 0 || before > log.log_end {
            command.reply.send(Err(TrimRefused::OffsetOutOfRange {
                before: command.before,
                high_watermark: Offset(log.log_end),
            }));
            return;
        }
        log.log_start = log.log_start.max(before);
        command.reply.send(Ok(LogTrimmed {
            low_watermark: Offset(log.log_start),
        }));
    }
}
