//! One hosted partition in the eyes of its keeper.

use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::image::ConfigOverrides;
use kabuki_controller::messages::PartitionRef;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, PartitionId, TopicId};

use super::cast::Step;

/// First pause before a parked partition is tried again. Short: the cause may be a full disk that an
/// operator has just cleaned.
const PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause between two tries: a disk that was swapped is noticed within a minute.
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Where a hosted partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its directory is being made.
    Creating,
    /// Its actor is on stage, perhaps restarting.
    OnStage,
    /// Its restart budget is spent; it is tried again after a pause.
    Parked,
    /// Its files are missing, in a failed directory or in two places. Nothing is made in their place.
    Missing,
    /// It is being taken off, for good.
    Leaving,
}

/// A hosted partition.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) partition: PartitionId,
    pub(crate) topic_id: TopicId,
    /// Index of its log directory; meaningless while it is missing.
    pub(crate) directory: usize,
    pub(crate) standing: Standing,
    pub(crate) leader_epoch: LeaderEpoch,
    /// Leader in the image that was compared last.
    pub(crate) leader: NodeId,
    pub(crate) configs: Arc<ConfigOverrides>,
    /// Whether the replica can serve; `None` until its log was opened or found missing.
    pub(crate) serves: Option<bool>,
    /// Why it cannot.
    pub(crate) cause: String,
    /// What the controller was asked for and has not shown in an image yet.
    asked: Option<bool>,
    /// Writes are refused, reads go on.
    pub(crate) is_degraded: bool,
    /// Tries since it last recovered.
    probe_count: u32,
}

impl Role {
    pub(crate) fn new(
        partition: PartitionId,
        topic_id: TopicId,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
        configs: Arc<ConfigOverrides>,
    ) -> Self {
        Self {
            partition,
            topic_id,
            directory: 0,
            standing: Standing::OnStage,
            leader_epoch,
            leader,
            configs,
            serves: None,
            cause: String::new(),
            asked: None,
            is_degraded: false,
            probe_count: 0,
        }
    }

    /// How the controller names it.
    pub(crate) fn reference(&self) -> PartitionRef {
        PartitionRef {
            topic: self.topic_id,
            partition: self.partition.partition,
        }
    }

    /// Counts a try and says how long to wait before it: 1, 2, 4 ... 60 s.
    pub(crate) fn next_probe_pause(&mut self) -> Duration {
        let doublings = self.probe_count.min(6);
        self.probe_count = self.probe_count.saturating_add(1);
        PROBE_PAUSE_MIN
            .saturating_mul(1 << doublings)
            .min(PROBE_PAUSE_MAX)
    }

    /// The log is open again, so the next trouble is a new one.
    pub(crate) fn recovered(&mut self) {
        self.probe_count = 0;
    }

    /// Takes over what a newer image says.
    pub(crate) fn seen(&mut self, leader: NodeId, leader_epoch: LeaderEpoch) {
        if leader != self.leader || leader_epoch > self.leader_epoch {
            self.asked = None;
        }
        self.leader = leader;
        self.leader_epoch = self.leader_epoch.max(leader_epoch);
    }

    /// The controller did not do what it was asked for.
    pub(crate) fn was_refused(&mut self) {
        self.asked = None;
    }

    /// Asks the controller for what is not yet so: leadership of a replica that serves, none for one
    /// that cannot. Converges whatever the order in which news and images arrive, because each of
    /// them ends here.
    pub(crate) fn reconcile(&mut self, node: NodeId, steps: &mut Vec<Step>) {
        let wanted = match self.serves {
            Some(true) if self.leader == NodeId::NONE => true,
            Some(false) if self.leader == node => false,
            _ => return,
        };
        if self.asked.replace(wanted) == Some(wanted) {
            return;
        }
        let partition = self.reference();
        steps.push(match wanted {
            true => Step::MarkOnline { partition },
            false => Step::MarkOffline {
                partition,
                name: self.partition.clone(),
                cause: self.cause.clone(),
            },
        });
    }
}
