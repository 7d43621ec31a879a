//! Retention: offsets that nobody needs any more, and groups that nothing is left of.

use super::{Context, Group, Kind};
use crate::records::{Change, CommittedOffset, OffsetKey};
use crate::state::classic::ClassicState;

/// From when on the retention of a group's offsets runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// Nothing expires: members may need any of them.
    Never,
    /// Since the commit.
    Commit,
    /// Since the group became empty.
    Emptied(i64),
}

impl Group {
    /// Forgets offsets past their retention, then the group when nothing is left. The shell asks every
    /// `offsets.retention.check.interval.ms`.
    pub(in crate::state) fn expire(&mut self, cx: &Context<'_>) {
        let base = self.retention_base();
        let is_due = |key: &OffsetKey, offset: &CommittedOffset| {
            !self.is_subscribed(&key.topic) && is_expired(offset, base, cx)
        };
        let offsets = &self.ledger.durable.offsets;
        let due: Vec<OffsetKey> = offsets
            .iter()
            .filter(|(key, offset)| is_due(key, offset))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.ledger.write(Change::Offset(key, None));
        }
        if self.ledger.durable.offsets.is_empty() && !self.has_members() && self.exists() {
            self.lingers = false;
            self.write_tombstones();
        }
    }

    fn retention_base(&self) -> Base {
        let Kind::Classic(classic) = &self.kind else {
            return Base::Commit;
        };
        match classic.state {
            // A group that only stores offsets has no other clock.
            _ if classic.protocol_type.is_none() => Base::Commit,
            ClassicState::Empty if classic.state_ms < 0 => Base::Commit,
            ClassicState::Empty => Base::Emptied(classic.state_ms),
            // What members read is known only then; topics that they stopped reading may go.
            ClassicState::Stable if classic.knows_subscriptions() => Base::Commit,
            _ => Base::Never,
        }
    }
}

fn is_expired(offset: &CommittedOffset, base: Base, cx: &Context<'_>) -> bool {
    let from_ms = match base {
        Base::Never => return false,
        Base::Commit => offset.commit_ms,
        // A commit after that (by an administrator's reset) starts the time anew.
        Base::Emptied(emptied_ms) => emptied_ms.max(offset.commit_ms),
    };
    if offset.expire_ms >= 0 {
        // The client asked for a time of its own (versions 2 to 4).
        return cx.now.wall_ms >= offset.expire_ms;
    }
    cx.now.wall_ms.saturating_sub(from_ms) >= cx.config.offsets_retention_ms
}
