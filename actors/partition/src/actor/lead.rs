//! Takes and gives up leadership. The metadata log has made the epoch durable; the epoch file follows
//! with the next recovery point.

use kabuki_runtime::{Context, Handler, ReplyPort, Undelivered};

use super::Partition;
use crate::messages::{
    AppendRefused, AwaitLeadership, AwaitRefused, BecomeLeader, BecomeLeaderRefused,
    LeadershipHeld, LeadershipTaken, PartitionFact, PartitionMoved, ResignLeadership,
};
use crate::state::LeadPlan;

/// Who waits until this replica leads.
pub(super) type AwaitPort = ReplyPort<Result<LeadershipHeld, AwaitRefused>>;

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

    /// Takes the leadership that is wanted. False when none is, or only a greater epoch would do.
    ///
    /// To be asked only while no write is out: what is being written is of the epoch before.
    pub(crate) fn take_leadership(&mut self, cx: &mut Context<Self>) -> bool {
        let (None, Some(open), Some(epoch)) = (&self.stopping, &mut self.open, self.wanted_epoch)
        else {
            return false;
        };
        match open.state.leadership.lead(epoch) {
            Ok(LeadPlan::Take) => open.state.lead(epoch),
            // Shown records were lost in this epoch: the controller raises it and orders again.
            Ok(LeadPlan::WaitForGreater) => return false,
            Ok(LeadPlan::Leading { .. }) | Err(_) => {
                self.wanted_epoch = None;
                self.answer_lead_ports();
                return true;
            }
        }
        self.wanted_epoch = None;
        self.tell_watchers(PartitionMoved::Changed);
        self.answer_lead_ports();
        self.answer_await_ports();
        let leader_epoch = epoch;
        self.tell_keeper(PartitionFact::LeadershipTaken { leader_epoch }, cx);
        true
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
