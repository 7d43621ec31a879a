//! Takes and gives up leadership: an epoch is stored before anything is served in it.

use kabuki_protocol::ids::LeaderEpoch;
use kabuki_runtime::{Context, Handler, Message, ReplyPort, Undelivered};
use kabuki_storage::EpochCache;

use super::jobs::{JobOutcome, own_message};
use super::{Open, Out, Partition};
use crate::messages::{
    AppendRefused, AwaitLeadership, AwaitRefused, BecomeLeader, BecomeLeaderRefused,
    LeadershipHeld, LeadershipTaken, PartitionFact, PartitionMoved, ResignLeadership,
};
use crate::state::{LeadPlan, Probe};

/// Who waits until this replica leads.
pub(super) type AwaitPort = ReplyPort<Result<LeadershipHeld, AwaitRefused>>;

/// An epoch that was being stored, with the outcome.
pub(crate) struct StoredEpoch {
    epoch: LeaderEpoch,
    epochs: EpochCache,
    outcome: JobOutcome<()>,
}

own_message! {
    /// The pool has stored an epoch, or failed to.
    EpochStored(StoredEpoch) => epoch_stored;
}

impl Handler<BecomeLeader> for Partition {
    fn handle(&mut self, order: BecomeLeader, _: &mut Context<Self>) {
        let BecomeLeader {
            leader_epoch,
            reply,
        } = order;
        if let Some(open) = &self.open
            && let Err(why) = open.state.leadership.lead(leader_epoch)
        {
            return reply.send(Err(why));
        }
        self.wanted_epoch = self.wanted_epoch.max(Some(leader_epoch));
        self.lead_ports.push((leader_epoch, reply));
    }
}

impl Handler<ResignLeadership> for Partition {
    fn handle(&mut self, order: ResignLeadership, _: &mut Context<Self>) {
        if self
            .wanted_epoch
            .is_some_and(|wanted| wanted <= order.leader_epoch)
        {
            self.wanted_epoch = None;
            for (sent, reply) in self.lead_ports.drain(..) {
                let current = order.leader_epoch;
                reply.send(Err(BecomeLeaderRefused::StaleEpoch { sent, current }));
            }
        }
        let Some(open) = &mut self.open else { return };
        if !open.state.leadership.resign(order.leader_epoch) {
            return;
        }
        let leader_epoch = open.state.leadership.epoch();
        for reply in open.state.take_appends() {
            reply.send(Err(AppendRefused::NotLeader { leader_epoch }));
        }
        self.tell_watchers(PartitionMoved::Changed);
    }
}

impl Handler<AwaitLeadership> for Partition {
    fn handle(&mut self, wait: AwaitLeadership, _: &mut Context<Self>) {
        let asked = wait.topic_id;
        if let Some(hosted) = self.foreign_to(asked) {
            let why = AwaitRefused::ForeignTopic { asked, hosted };
            return wait.reply.send(Err(why));
        }
        if self.stopping.is_some() {
            return wait.reply.refuse(Undelivered::Stopped);
        }
        // Those whose time was over are forgotten, so no more are kept than wait.
        self.await_ports.retain(|port| !port.is_abandoned());
        self.await_ports.push(wait.reply);
        self.answer_await_ports();
    }
}

impl Partition {
    /// Tells those who wait for it that this replica leads, if it does.
    fn answer_await_ports(&mut self) {
        let Some(open) = &self.open else { return };
        if !open.state.leadership.is_leading() {
            return;
        }
        let leader_epoch = open.state.leadership.epoch();
        for port in self.await_ports.drain(..) {
            port.send(Ok(LeadershipHeld { leader_epoch }));
        }
    }

    /// Starts to store the epoch that is wanted. False when none is, or when the disk has refused it:
    /// then the probe tries again.
    pub(crate) fn take_leadership(&mut self, cx: &mut Context<Self>) -> bool {
        let is_refused = self.open.as_ref().is_none_or(Open::is_epoch_refused);
        !is_refused && self.stopping.is_none() && self.store_wanted_epoch(cx)
    }

    /// Tries again to store an epoch that the disk refused.
    pub(crate) fn store_epoch_again(&mut self, cx: &mut Context<Self>) {
        if !self.store_wanted_epoch(cx) {
            // The order was taken back: there is nothing left that the disk refuses.
            self.heal(cx);
        }
    }

    fn store_wanted_epoch(&mut self, cx: &mut Context<Self>) -> bool {
        let (Some(open), Some(epoch)) = (&mut self.open, self.wanted_epoch) else {
            return false;
        };
        match open.state.leadership.lead(epoch) {
            Ok(LeadPlan::Store) => {}
            // Shown records were lost in this epoch: the controller raises it and orders again.
            Ok(LeadPlan::WaitForGreater) => return false,
            Ok(LeadPlan::Leading { .. }) | Err(_) => {
                self.wanted_epoch = None;
                self.answer_lead_ports();
                return true;
            }
        }
        let (epochs, is_new) = open.state.epochs_with(epoch);
        if !is_new {
            self.lead(epoch, epochs, cx);
            return true;
        }
        open.out = Some(Out::Epoch);
        let job = open.log.epochs_job(&epochs);
        self.run_writing(
            "store epoch",
            move |fs| job.run(fs),
            cx,
            move |outcome| {
                EpochStored(StoredEpoch {
                    epoch,
                    epochs,
                    outcome,
                })
            },
        );
        true
    }

    fn epoch_stored(&mut self, stored: StoredEpoch, cx: &mut Context<Self>) {
        let StoredEpoch {
            epoch,
            epochs,
            outcome,
        } = stored;
        let Some(open) = &mut self.open else { return };
        open.out = None;
        self.let_data_in(cx);
        match outcome {
            Ok(()) => self.lead(epoch, epochs, cx),
            Err(fault) if fault.is_degrading() => {
                let cause = fault.to_string();
                for (_, reply) in self.lead_ports.drain(..) {
                    reply.send(Err(BecomeLeaderRefused::Storage {
                        cause: cause.clone(),
                    }));
                }
                self.degrade(cause, Probe::Epoch, cx);
            }
            Err(fault) => self.give_up(&fault, cx),
        }
    }

    fn lead(&mut self, epoch: LeaderEpoch, epochs: EpochCache, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let was_refused = open.is_epoch_refused();
        // The order may have been taken back, or a greater epoch have come, while this was stored.
        let is_wanted = self.wanted_epoch.is_some_and(|wanted| wanted >= epoch);
        open.state.lead(epoch, epochs);
        if !is_wanted {
            open.state.leadership.resign(epoch);
        }
        if was_refused {
            self.heal(cx);
        }
        if self.wanted_epoch == Some(epoch) {
            self.wanted_epoch = None;
        }
        self.tell_watchers(PartitionMoved::Changed);
        self.answer_lead_ports();
        self.answer_await_ports();
        if is_wanted {
            self.tell_keeper(
                PartitionFact::LeadershipTaken {
                    leader_epoch: epoch,
                },
                cx,
            );
        }
    }

    /// Answers the orders that the epoch led in now settles.
    fn answer_lead_ports(&mut self) {
        let Some(open) = &self.open else { return };
        let leadership = &open.state.leadership;
        for (sent, reply) in std::mem::take(&mut self.lead_ports) {
            match leadership.lead(sent) {
                Ok(LeadPlan::Leading { epoch_start }) => {
                    reply.send(Ok(LeadershipTaken {
                        leader_epoch: sent,
                        epoch_start,
                    }));
                }
                Ok(_) => self.lead_ports.push((sent, reply)),
                Err(why) => reply.send(Err(why)),
            }
        }
    }
}

impl Open {
    fn is_epoch_refused(&self) -> bool {
        self.state
            .health
            .refusal()
            .is_some_and(|refusal| refusal.probe == Probe::Epoch)
    }
}
