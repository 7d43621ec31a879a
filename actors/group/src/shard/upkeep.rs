//! What happens to groups without a request: topics change, offsets pass their retention.

use kabuki_runtime::{Context, Handler};

use super::Shard;
use super::book::Place;
use super::messages::{RetentionDue, TopicsChanged, WakeNextDue};
use crate::coordinator::messages::ExpireOffsets;
use crate::names::GroupId;

impl Shard {
    /// Brings a group on stage; it looks for offsets past their retention there if it is to.
    pub(super) fn wake(&mut self, group: &GroupId, expires: bool, cx: &mut Context<Self>) {
        if self.book.get(group).is_none() {
            return;
        }
        self.bring_on_stage(group, cx);
        if let Some(Place::OnStage { addr, .. }) = self.book.get(group).map(|entry| &entry.place)
            && expires
        {
            // A group that has no room now is asked at the next check.
            _ = addr.try_tell(ExpireOffsets);
        }
    }
}

impl Handler<RetentionDue> for Shard {
    fn handle(&mut self, _: RetentionDue, cx: &mut Context<Self>) {
        let settings = &self.commons.settings;
        cx.tell_after(settings.retention_check, RetentionDue);
        if !self.is_serving {
            return;
        }
        // What one look left is looked at again after a tenth of the retention.
        let again_ms = settings.group.offsets_retention_ms / 10;
        let due = self.book.take_due((self.commons.clock)(), again_ms);
        let is_idle = self.to_wake.is_empty();
        self.to_wake
            .extend(due.into_iter().map(|group| (group, true)));
        if is_idle {
            cx.tell_self(WakeNextDue);
        }
    }
}

impl Handler<TopicsChanged> for Shard {
    fn handle(&mut self, changed: TopicsChanged, cx: &mut Context<Self>) {
        if !self.is_serving {
            return;
        }
        if !changed.deleted.is_empty() {
            for group in self.book.with_offsets_of(&changed.deleted) {
                self.bring_on_stage(&group, cx);
            }
        }
        for (_, entry) in self.book.iter() {
            if let Place::OnStage { addr, .. } = &entry.place {
                // One that has no room is told by the next change; its offsets of a topic that is gone
                // pass their retention.
                _ = addr.try_tell(changed.clone());
            }
        }
    }
}
