//! Writes what groups decide: one batch each, sent as they come, written together by the partition. It keeps
//! apart what is certainly not in the log and what nobody knows.

use std::time::Duration;

use kabuki_partition::{AppendRecords, RequiredAcks};
use kabuki_protocol::records::CheckedBatch;
use kabuki_runtime::{Context, Handler, NoReply, ReplyPort, Undelivered};
use tokio::time::Instant;

use super::Shard;
use super::messages::{AppendGroup, AppendOutcome, AppendReturned, OverdueDue, SendDue};
use crate::log_records::batch_of;
use crate::names::GroupId;
use crate::records::Change;

/// Pause before a partition whose mailbox was full is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// How often overdue appends are looked for: what a limit of five seconds may be late.
const OVERDUE_CHECK: Duration = Duration::from_millis(500);

/// An append that was not sent yet.
pub(super) struct Outgoing {
    group: GroupId,
    changes: Vec<Change>,
    batch: CheckedBatch,
    deadline: Instant,
    reply: ReplyPort<AppendOutcome>,
}

/// An append that the partition has.
pub(super) struct InFlight {
    group: GroupId,
    changes: Vec<Change>,
    deadline: Instant,
    /// `None` once the group was told that nobody knows.
    reply: Option<ReplyPort<AppendOutcome>>,
}

impl Shard {
    /// Sends what waits, as far as the partition has room and the end of the log is known.
    pub(super) fn send_outbox(&mut self, cx: &mut Context<Self>) {
        let Some(reign) = self.reign.filter(|_| self.is_serving && !self.is_uncertain) else {
            return;
        };
        if self.outbox.is_empty() {
            return;
        }
        let Some(log) = (self.commons.logs)(&self.partition) else {
            return self.refuse_outbox("the partition is not on stage");
        };
        while let Some(outgoing) = self.outbox.pop_front() {
            let Outgoing {
                group,
                changes,
                batch,
                deadline,
                reply,
            } = outgoing;
            let ticket = self.next_ticket;
            // The next instance of this shard looks for the end of the log: it must not do so while a
            // write of this one is on its way.
            let hold = cx.hold_restart();
            let append = AppendRecords {
                topic_id: reign.topic_id,
                batch,
                required_acks: RequiredAcks::All,
                reply: cx.reply_port(move |outcome| {
                    drop(hold);
                    AppendReturned { ticket, outcome }
                }),
            };
            match log.append.try_tell(append) {
                Ok(()) => {
                    self.next_ticket += 1;
                    self.book.entry(&group).unsettled += 1;
                    let in_flight = InFlight {
                        group,
                        changes,
                        deadline,
                        reply: Some(reply),
                    };
                    self.in_flight.insert(ticket, in_flight);
                }
                Err(refused) => {
                    let AppendRecords {
                        batch, reply: port, ..
                    } = refused.message;
                    // Comes back as a ticket that nobody waits for.
                    port.refuse(refused.why);
                    self.next_ticket += 1;
                    if refused.why != Undelivered::Full {
                        reply.send(AppendOutcome::Refused(refused.why.to_string()));
                        continue;
                    }
                    self.outbox.push_front(Outgoing {
                        group,
                        changes,
                        batch,
                        deadline,
                        reply,
                    });
                    if self.send_timer.is_none() {
                        self.send_timer = Some(cx.tell_after(FULL_PAUSE, SendDue));
                    }
                    return;
                }
            }
        }
    }

    pub(super) fn refuse_outbox(&mut self, cause: &str) {
        for outgoing in self.outbox.drain(..) {
            outgoing
                .reply
                .send(AppendOutcome::Refused(cause.to_owned()));
        }
    }

    fn watch_overdue(&mut self, cx: &mut Context<Self>) {
        if !self.is_overdue_check_set {
            self.is_overdue_check_set = true;
            cx.tell_after(OVERDUE_CHECK, OverdueDue);
        }
    }
}

impl Handler<AppendGroup> for Shard {
    fn handle(&mut self, append: AppendGroup, cx: &mut Context<Self>) {
        let AppendGroup {
            group,
            reign,
            changes,
            reply,
        } = append;
        if self.reign.map(|reign| reign.leader_epoch) != Some(reign) {
            let cause = "the partition is led by another now".to_owned();
            return reply.send(AppendOutcome::Refused(cause));
        }
        let compression = self.commons.settings.compression;
        match batch_of(&group, &changes, (self.commons.clock)(), compression) {
            Err(cause) => reply.send(AppendOutcome::Refused(cause)),
            Ok(batch) => {
                let deadline = cx.now() + self.commons.settings.commit_timeout;
                self.outbox.push_back(Outgoing {
                    group,
                    changes,
                    batch,
                    deadline,
                    reply,
                });
                self.watch_overdue(cx);
            }
        }
    }
}

impl Handler<AppendReturned> for Shard {
    fn handle(&mut self, returned: AppendReturned, cx: &mut Context<Self>) {
        let Some(in_flight) = self.in_flight.remove(&returned.ticket) else {
            return;
        };
        let InFlight {
            group,
            changes,
            reply,
            ..
        } = in_flight;
        // A reign that is over has another book; its last appends are only waited for.
        if let Some(entry) = self.book.get_mut(&group) {
            entry.unsettled = entry.unsettled.saturating_sub(1);
        }
        let is_ours = self.reign.is_some() && self.is_serving;
        let outcome = match returned.outcome {
            Ok(Ok(appended)) => {
                let retention_ms = self.commons.settings.group.offsets_retention_ms;
                let mut offset = appended.base_offset;
                for change in changes.iter().filter(|_| is_ours) {
                    self.book.note(&group, change, offset, retention_ms);
                    offset = offset.next();
                }
                if is_ours && !self.is_uncertain {
                    self.known_end = self.known_end.max(offset);
                }
                AppendOutcome::Committed
            }
            Ok(Err(refused)) => AppendOutcome::Refused(refused.to_string()),
            Err(NoReply::NotDone(why)) => AppendOutcome::Refused(why.to_string()),
            Err(NoReply::Lost) => {
                self.is_uncertain |= is_ours;
                AppendOutcome::Unknown
            }
        };
        if let Some(reply) = reply {
            reply.send(outcome);
        }
        self.book.tidy(&group);
        if !self.in_flight.is_empty() {
            return self.hand_out_records(cx);
        }
        if self.is_uncertain && self.is_serving && self.reader.is_none() {
            // All that was on its way is in the log now or never will be.
            self.look_for_log(cx);
        }
        self.hand_out_records(cx);
        self.follow(cx);
    }
}

impl Handler<SendDue> for Shard {
    fn handle(&mut self, _: SendDue, cx: &mut Context<Self>) {
        self.send_timer = None;
        self.send_outbox(cx);
    }
}

impl Handler<OverdueDue> for Shard {
    fn handle(&mut self, _: OverdueDue, cx: &mut Context<Self>) {
        self.is_overdue_check_set = false;
        let now = cx.now();
        // Tickets rise with deadlines.
        for in_flight in self.in_flight.values_mut() {
            if in_flight.deadline > now {
                break;
            }
            if let Some(reply) = in_flight.reply.take() {
                reply.send(AppendOutcome::Unknown);
            }
        }
        while let Some(outgoing) = self.outbox.pop_front_if(|first| first.deadline <= now) {
            let cause = "the partition took no writes in time".to_owned();
            outgoing.reply.send(AppendOutcome::Refused(cause));
        }
        if !self.in_flight.is_empty() || !self.outbox.is_empty() {
            self.watch_overdue(cx);
        }
    }
}
