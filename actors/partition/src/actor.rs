//! The shell of a partition: opens the log, performs what the state decides, answers. One write
//! or roll is under way at a time; reads, syncs and trims go on beside it.

mod append;
mod continuity;
mod idle;
mod jobs;
mod late;
mod lead;
mod probe;
mod read;
mod recover;
mod report;
mod stop;
mod sync;

use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_runtime::{Actor, Context, Fault, Handler, ReplyPort, Timer};
use kabuki_storage::{Log, RefusedMark};
use tokio::time::Instant;

pub(crate) use continuity::Continuity;

use crate::messages::{
    AppendRefused, BecomeLeaderRefused, DescribePartition, LeadershipTaken, LogReconfigured,
    LogTrimmed, PartitionDescription, PartitionMoved, PartitionPhase, ReconfigureLog,
    RecordsAppended, TrimRefused,
};
use crate::spec::{PartitionConfig, PartitionSpec};
use crate::state::{PartitionState, Tickets};
use stop::Stopping;

/// Those who wait are held as their reply ports.
pub(crate) struct Ports;

impl Tickets for Ports {
    type Append = ReplyPort<Result<RecordsAppended, AppendRefused>>;
    type Watch = ReplyPort<PartitionMoved>;
    type Trim = ReplyPort<Result<LogTrimmed, TrimRefused>>;
}

/// One hosted replica of a topic partition.
pub struct Partition {
    spec: PartitionSpec,
    config: PartitionConfig,
    continuity: Arc<Continuity>,
    /// `None` until the log is recovered.
    open: Option<Open>,
    /// Epoch to lead in as soon as the log is open and no write is out.
    wanted_epoch: Option<LeaderEpoch>,
    lead_ports: Vec<(LeaderEpoch, LeadPort)>,
    await_ports: Vec<lead::AwaitPort>,
    stopping: Option<Stopping>,
    late_timer: Option<Timer>,
    /// Set once this instance has given up, so that nothing more is started.
    has_failed: bool,
}

type LeadPort = ReplyPort<Result<LeadershipTaken, BecomeLeaderRefused>>;

/// The log and the state, from recovery on.
pub(crate) struct Open {
    log: Log,
    state: PartitionState<Ports>,
    out: Option<Out>,
    /// High watermark that watchers have been told.
    announced: Offset,
    /// Reads in the pool, and those that wait for their turn.
    reads: read::PoolReads,
    flush_timer: Option<Timer>,
    expiry_timer: Option<Timer>,
    file_use: idle::FileUse,
    /// When the disk is tried again.
    probe_timer: Option<(Timer, Instant)>,
    is_probe_hastened: bool,
    /// A probe writes the doubtful tail again.
    is_tail_tried: bool,
    /// A job writes the epoch file.
    are_epochs_out: bool,
    /// Held while writes are refused.
    refused_mark: Option<RefusedMark>,
    sync_retry: Option<Timer>,
    sync_watch: late::SyncWatch,
    is_suspect_told: bool,
    are_snapshots_refused: bool,
}

/// What is under way and keeps appends waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Out {
    Write,
    Roll,
    Close,
}

impl Partition {
    pub(crate) fn new(spec: PartitionSpec, continuity: Arc<Continuity>) -> Self {
        let config = (spec.config)();
        Self {
            spec,
            config,
            continuity,
            open: None,
            wanted_epoch: None,
            lead_ports: Vec::new(),
            await_ports: Vec::new(),
            stopping: None,
            late_timer: None,
            has_failed: false,
        }
    }

    fn now_ms(&self) -> i64 {
        (self.spec.clock)()
    }

    /// Tells the waiting what has become true: appends that are committed, watchers.
    fn answer(&mut self) {
        let Some(open) = &mut self.open else { return };
        let high_watermark = open.state.marks.high_watermark();
        if high_watermark != open.announced {
            assert!(high_watermark > open.announced, "high watermark went back");
            open.announced = high_watermark;
            // Before anybody sees it: a later incarnation must know what was shown.
            self.continuity
                .shown(high_watermark, open.state.leadership.epoch());
            for watcher in open.state.take_reached() {
                watcher.send(PartitionMoved::HighWatermark(high_watermark));
            }
        }
        while let Some((reply, appended)) = open.state.take_committed() {
            reply.send(Ok(appended));
        }
    }

    /// Tells all watchers that a fetch would be answered differently now.
    fn tell_watchers(&mut self, moved: PartitionMoved) {
        if let Some(open) = &mut self.open {
            for watcher in open.state.watchers.take_all() {
                watcher.send(moved);
            }
        }
    }
}

impl Actor for Partition {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        self.start_recovery(cx);
        Ok(())
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        if self.has_failed || self.open.is_none() {
            return;
        }
        self.start_sync(cx);
        while !self.has_failed && self.is_free() {
            let has_worked = self.take_leadership(cx) || self.append_round(cx);
            if !has_worked {
                break;
            }
            self.start_sync(cx);
        }
        if self.has_failed {
            return;
        }
        self.answer();
        self.start_checkpoint(cx);
        self.arm_timers(cx);
        self.continue_stop(cx);
    }

    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        self.stop_in_order(cx);
    }

    fn describe(&self) -> String {
        let Some(open) = &self.open else {
            return "recovering".to_owned();
        };
        let marks = &open.state.marks;
        let mut text = format!(
            "epoch {} log {}..{} high watermark {} synced {} waiting {}",
            open.state.leadership.epoch(),
            marks.log_start(),
            marks.written(),
            marks.high_watermark(),
            marks.synced(),
            open.state.waiter_count(),
        );
        if let Some(refusal) = open.state.health.refusal() {
            text.push_str(", degraded: ");
            text.push_str(&refusal.cause);
        }
        text
    }
}

impl Handler<ReconfigureLog> for Partition {
    fn handle(&mut self, order: ReconfigureLog, _: &mut Context<Self>) -> LogReconfigured {
        self.config = order.config;
        if let Some(open) = &mut self.open {
            open.log.set_config(self.config.log);
            open.state.producers.set_limits(self.config.producers);
            open.state
                .marks
                .set_flush_messages(self.config.log.flush_messages);
        }
        // The high watermark may have moved: noted before a read of this wake-up can show it.
        self.answer();
        self.tell_watchers(PartitionMoved::Changed);
        LogReconfigured
    }
}

impl Handler<DescribePartition> for Partition {
    fn handle(&mut self, query: DescribePartition, _: &mut Context<Self>) {
        let mut description = PartitionDescription {
            partition: self.spec.id.clone(),
            topic_id: self.spec.topic_id,
            dir: self.spec.dir.clone(),
            phase: PartitionPhase::Recovering,
            leader_epoch: LeaderEpoch::NONE,
            log_start: Offset::NONE,
            high_watermark: Offset::NONE,
            last_stable_offset: Offset::NONE,
            log_end: Offset::NONE,
            recovery_point: Offset::NONE,
            size_bytes: 0,
            segment_count: 0,
            producer_count: 0,
            watcher_count: 0,
        };
        if let Some(open) = &self.open {
            description.phase = self.phase(open);
            open.describe_into(&mut description);
        }
        query.reply.send(description);
    }
}

impl Partition {
    fn phase(&self, open: &Open) -> PartitionPhase {
        if self.stopping.is_some() {
            return PartitionPhase::Stopping;
        }
        if let Some(refusal) = open.state.health.refusal() {
            return PartitionPhase::Degraded {
                cause: refusal.cause.clone(),
            };
        }
        if open.state.leadership.is_leading() {
            PartitionPhase::Leading
        } else {
            PartitionPhase::Following
        }
    }

    /// The topic whose partition this is, if `asked` is another one: a sender that found this actor
    /// by the name of a topic that was deleted and created again must not be served.
    fn foreign_to(&self, asked: TopicId) -> Option<TopicId> {
        let hosted = self.spec.topic_id;
        (asked != hosted).then_some(hosted)
    }

    /// True while nothing keeps appends waiting.
    fn is_free(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.out.is_none())
    }
}

impl Open {
    /// True while the tail could not be written again and no probe is trying it: a sync would claim
    /// what is not on the medium, or fail at once.
    fn is_tail_refused(&self) -> bool {
        self.log.is_tail_doubtful() && !self.is_tail_tried
    }

    fn describe_into(&self, description: &mut PartitionDescription) {
        let marks = &self.state.marks;
        description.leader_epoch = self.state.leadership.epoch();
        description.log_start = marks.log_start();
        description.high_watermark = marks.high_watermark();
        description.last_stable_offset = marks.last_stable_offset();
        description.log_end = marks.written();
        description.recovery_point = marks.recovery_point();
        description.size_bytes = self.log.size_bytes();
        description.segment_count = self.log.segments().count();
        description.producer_count = self.state.producers.len();
        description.watcher_count = self.state.watchers.len();
    }
}
