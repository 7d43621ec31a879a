//! Performs appends: writes a round directly or in the pool, rolls, and acts on what the disk says.

use kabuki_runtime::{Context, Handler, Message};
use kabuki_storage::log::{RolledSegment, Wrote};
use kabuki_storage::{BatchWrite, LogFault};

use super::jobs::{JobFault, JobOutcome, own_message};
use super::{Open, Out, Partition};
use crate::messages::{AppendRecords, AppendRefused, PartitionFact};
use crate::state::{AppendStep, Probe};

/// Most bytes written on the arbiter's own thread. A write of this size into the page cache takes
/// about 60 us; larger ones, and all of a slow directory, go through its pool.
const DIRECT_WRITE_BYTES_MAX: u64 = 256 * 1024;

own_message! {
    /// The pool has written a round.
    RoundWritten(JobOutcome<Wrote>) => round_written;
    /// The pool has made the next segment.
    SegmentRolled(JobOutcome<RolledSegment>) => segment_rolled;
}

impl Handler<AppendRecords> for Partition {
    fn handle(&mut self, append: AppendRecords, cx: &mut Context<Self>) {
        // With one replica what is written here is committed: `Leader` and `All` are the same.
        let AppendRecords {
            topic_id: asked,
            batch,
            reply,
            ..
        } = append;
        if let Some(hosted) = self.foreign_to(asked) {
            return reply.send(Err(AppendRefused::ForeignTopic { asked, hosted }));
        }
        // Data messages are held until the log is open, and refused once it is closing.
        let Some(open) = &mut self.open else {
            return reply.refuse(kabuki_runtime::Undelivered::Restarting);
        };
        if self.stopping.is_some() {
            return reply.refuse(kabuki_runtime::Undelivered::Stopped);
        }
        if let Err((reply, why)) = open.state.append(batch, reply) {
            let is_storage = matches!(why, AppendRefused::Storage { .. });
            reply.send(Err(why));
            if is_storage {
                self.hasten_probe(cx);
            }
        }
    }
}

impl Partition {
    /// Does one step for the appends that wait. False when there is nothing to do.
    pub(crate) fn append_round(&mut self, cx: &mut Context<Self>) -> bool {
        let is_idle = |open: &Open| open.state.has_no_appends();
        if self.open.as_ref().is_none_or(is_idle) {
            return false;
        }
        let now_ms = self.now_ms();
        let Some(open) = &mut self.open else {
            return false;
        };
        let log = &open.log;
        let mut refused = Vec::new();
        let step = open.state.next_append_step(
            |span| log.must_roll(span, now_ms),
            |fingerprint| cx.in_hand("AppendRecords", fingerprint),
            &mut refused,
        );
        for (reply, why) in refused {
            self.note_suspect(&why, cx);
            reply.send(Err(why));
        }
        match step {
            AppendStep::Write(writes) => self.write(writes, cx),
            AppendStep::Roll => self.roll(cx),
            AppendStep::Idle => return false,
        }
        true
    }

    fn write(&mut self, writes: Vec<BatchWrite>, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.file_use.used(cx.now());
        if writes.len() > 1 {
            // A crash in here is the fault of one of them; the next incarnation writes one by one.
            cx.in_hand("AppendRound", 0);
        }
        let chunks = writes.iter().flat_map(|write| &write.chunks);
        let bytes: u64 = chunks.map(|chunk| chunk.len() as u64).sum();
        if bytes <= DIRECT_WRITE_BYTES_MAX && !self.spec.disk.is_slow() {
            match open.log.append(self.spec.disk.fs(), &writes) {
                Ok(()) => {
                    open.wrote();
                    self.reserve_ahead();
                }
                Err(fault) => self.write_failed(fault.into(), cx),
            }
            return;
        }
        open.out = Some(Out::Write);
        let job = open.log.write_job(writes);
        self.run_writing("write", move |fs| job.run(fs), cx, RoundWritten);
    }

    fn round_written(&mut self, outcome: JobOutcome<Wrote>, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.out = None;
        match outcome {
            Ok(wrote) => {
                open.log.wrote(wrote);
                open.wrote();
                self.reserve_ahead();
                // Before a read of the same wake-up can see it.
                self.answer();
            }
            Err(fault) => {
                let at_file = match &fault {
                    JobFault::Log(fault) => Some(fault),
                    JobFault::Disk(_) => None,
                };
                open.log.write_failed(at_file);
                self.write_failed(fault, cx);
            }
        }
    }

    /// Has space set aside for the next appends. Nothing waits for it and nothing follows from its
    /// failure: what matters about the disk the next append tells.
    fn reserve_ahead(&mut self) {
        let Some(open) = &mut self.open else { return };
        if let Some(job) = open.log.reserve_job() {
            drop(self.spec.disk.run("reserve", move |_| job.run()));
        }
    }

    /// Acts on a failed write by the table of disk faults.
    fn write_failed(&mut self, fault: JobFault, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        if !fault.is_degrading() {
            return self.give_up(&fault, cx);
        }
        let cause = fault.to_string();
        let round = open.state.write_refused();
        // Some of it may have stayed in the file: who sent it is told that nothing is known.
        let is_torn = matches!(fault, JobFault::Log(LogFault::TornAppend { .. }));
        if !is_torn {
            for reply in round {
                reply.send(Err(AppendRefused::Storage {
                    cause: cause.clone(),
                }));
            }
        }
        self.degrade(cause, Probe::Write, cx);
    }

    /// Starts a roll; appends wait for it, reads do not.
    pub(crate) fn roll(&mut self, cx: &mut Context<Self>) {
        let now_ms = self.now_ms();
        let Some(open) = &mut self.open else { return };
        open.out = Some(Out::Roll);
        let job = open.log.roll_job(&open.state.producers, now_ms);
        self.run_writing("roll", move |fs| job.run(fs), cx, SegmentRolled);
    }

    fn segment_rolled(&mut self, outcome: JobOutcome<RolledSegment>, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.out = None;
        match outcome {
            Ok(rolled) => {
                open.log.install(rolled);
                self.heal(cx);
            }
            Err(fault) => {
                open.log.roll_failed();
                if fault.is_degrading() {
                    self.degrade(fault.to_string(), Probe::Roll, cx);
                } else {
                    self.give_up(&fault, cx);
                }
            }
        }
    }

    /// Tells the keeper once that the state itself may be what crashes this partition.
    fn note_suspect(&mut self, why: &AppendRefused, cx: &mut Context<Self>) {
        let is_suspect = matches!(
            why,
            AppendRefused::Poisonous {
                state_suspect: true,
                ..
            }
        );
        let Some(open) = &mut self.open else { return };
        if is_suspect && !std::mem::replace(&mut open.is_suspect_told, true) {
            self.tell_keeper(PartitionFact::StateSuspect, cx);
        }
    }
}

impl super::Open {
    /// The round is in the file.
    fn wrote(&mut self) {
        self.state.wrote();
        assert_eq!(
            self.log.log_end(),
            self.state.marks.written(),
            "log and state disagree about the log end"
        );
    }
}
