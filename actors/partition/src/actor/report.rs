//! What leaves the partition upwards: events to its keeper and to the supervision log; and how an
//! instance gives up.

use kabuki_runtime::{Context, EventKind, Fault, Undelivered};

use super::jobs::{JobFault, tick};
use super::{Handler, Partition};
use crate::messages::{PartitionEvent, PartitionFact};
use crate::state::Probe;
use kabuki_runtime::Message;

tick! {
    /// The disk is to be tried again.
    ProbeDue => probe_due;
    /// An event that had to wait for room has been taken.
    EventTold => event_told;
}

impl Partition {
    /// Tells the keeper. Never waits; where the keeper has no room, a future waits for it.
    pub(crate) fn tell_keeper(&self, fact: PartitionFact, cx: &mut Context<Self>) {
        let event = PartitionEvent {
            partition: self.spec.id.clone(),
            topic_id: self.spec.topic_id,
            fact,
        };
        let Err(refused) = self.spec.events.try_tell(event) else {
            return;
        };
        match refused.why {
            Undelivered::Full | Undelivered::Restarting => {
                let keeper = self.spec.events.clone();
                // A keeper that goes meanwhile asks its partitions when it is back.
                let telling = async move { drop(keeper.tell(refused.message).await) };
                cx.spawn(telling, |()| EventTold);
            }
            // Without a keeper there is nobody to tell.
            Undelivered::Parked | Undelivered::Stopped => {}
        }
    }

    fn event_told(&mut self, _: &mut Context<Self>) {}

    /// The disk refuses writes: they are answered with that until a probe succeeds.
    pub(crate) fn degrade(&mut self, cause: String, probe: Probe, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let is_news = open.state.health.refusal().is_none();
        for reply in open.state.take_appends() {
            reply.send(Err(crate::messages::AppendRefused::Storage {
                cause: cause.clone(),
            }));
        }
        if open.refused_mark.is_none() {
            open.refused_mark = Some(self.spec.disk.mark_refused());
        }
        let refused_count = self.spec.disk.refused_count();
        let health = &mut open.state.health;
        let pause = health.refused(cause.clone(), probe, refused_count);
        open.is_probe_hastened = false;
        open.is_tail_tried = false;
        self.probe_after(pause, cx);
        if is_news {
            cx.report(EventKind::Degraded, &cause);
            self.tell_keeper(PartitionFact::Degraded { cause }, cx);
        }
    }

    /// The disk takes writes again.
    pub(crate) fn heal(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.refused_mark = None;
        if open.state.health.healed() {
            cx.report(EventKind::Healed, "");
            self.tell_keeper(PartitionFact::Healed, cx);
        }
    }

    /// Ends this instance: the log as it is in memory is not trusted any more, the next instance
    /// recovers it from the disk. What was in hand is answered as lost.
    #[track_caller]
    pub(crate) fn give_up(&mut self, fault: &JobFault, cx: &mut Context<Self>) {
        if self.has_failed {
            return;
        }
        self.has_failed = true;
        let cause = fault.to_string();
        let is_missing = fault.is_missing();
        cx.fail(Fault::new(cause.clone()));
        self.tell_keeper(PartitionFact::Failed { cause, is_missing }, cx);
    }
}
