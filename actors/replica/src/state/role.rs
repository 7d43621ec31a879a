//! One hosted partition in the eyes of its keeper.

use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::image::{ConfigOverrides, DirectoryId, PartitionImage, TopicImage};
use kabuki_controller::messages::PartitionRef;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, PartitionId, TopicId};

use super::step::{Ask, Step};

/// First pause before something that failed is tried again. Short: the cause may be a full disk that
/// an operator has just cleaned.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause between two tries: a disk that was swapped is noticed within a minute.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long a partition must be without trouble before the next one counts as new. As long as the
/// longest pause, so that one that falls at every try is tried once a minute and not once a second.
pub(crate) const TRUST_AFTER: Duration = Duration::from_secs(60);

/// The pause after so many failures in a row: 1, 2, 4 ... 60 s.
pub(crate) fn pause_after(failure_count: u32) -> Duration {
    PAUSE_MIN
        .saturating_mul(1 << failure_count.min(6))
        .min(PAUSE_MAX)
}

/// Where a hosted partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A stranger's directory is being put aside where its own is to be made.
    MakingRoom,
    /// Its directory is being made.
    Creating,
    /// Its actor is on stage, perhaps restarting.
    OnStage,
    /// Its restart budget is spent, or its directory cannot be made; it is tried again after a pause.
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
    /// Its directory was made; false only for a new partition.
    pub(crate) is_made: bool,
    /// Its creation was begun where it is being made: it may be there in part, whatever fails now.
    pub(crate) is_begun: bool,
    /// It was not made by this keeper, but perhaps by an earlier one.
    pub(crate) may_be_made: bool,
    /// Where its directory could not be made in this round of tries.
    pub(crate) failed_in: Vec<usize>,
    pub(crate) leader_epoch: LeaderEpoch,
    /// Leader in the image that was compared last.
    pub(crate) leader: NodeId,
    /// Log directory in that image.
    pub(crate) assigned: DirectoryId,
    pub(crate) configs: Arc<ConfigOverrides>,
    /// Whether the replica can serve; `None` until its log was opened or found missing.
    pub(crate) serves: Option<bool>,
    /// Why it cannot.
    cause: String,
    /// Epoch in which it lost records that were seen; it serves in a greater one only.
    pub(crate) lost_epoch: Option<LeaderEpoch>,
    /// What the controller was asked for and has not shown in an image yet.
    asked: Option<Ask>,
    /// Requests refused since one was granted.
    refusal_count: u32,
    /// Writes are refused, reads go on.
    pub(crate) is_degraded: bool,
    /// It was taken offline for refusing writes, and has not been well for long since: the next
    /// refusal is judged at once, or clients would wait for it again and again.
    pub(crate) is_on_probation: bool,
    /// It is offline because its state crashes every batch.
    pub(crate) is_suspect: bool,
    /// The last try to take it off failed.
    pub(crate) must_leave_again: bool,
    /// Tries since it was last trusted.
    try_count: u32,
    /// Number of its last trouble; what was to be judged of an earlier one is stale.
    pub(crate) trouble: u64,
}

impl Role {
    pub(crate) fn new(partition: PartitionId, topic_id: TopicId) -> Self {
        Self {
            partition,
            topic_id,
            directory: 0,
            standing: Standing::Missing,
            is_made: false,
            is_begun: false,
            may_be_made: false,
            failed_in: Vec::new(),
            leader_epoch: LeaderEpoch::NONE,
            leader: NodeId::NONE,
            assigned: DirectoryId::UNASSIGNED,
            configs: Arc::default(),
            serves: None,
            cause: String::new(),
            lost_epoch: None,
            asked: None,
            refusal_count: 0,
            is_degraded: false,
            is_on_probation: false,
            is_suspect: false,
            must_leave_again: false,
            try_count: 0,
            trouble: 0,
        }
    }

    /// How the controller names it.
    pub(crate) fn reference(&self) -> PartitionRef {
        PartitionRef {
            topic: self.topic_id,
            partition: self.partition.partition,
        }
    }

    /// Takes over what a newer image says.
    pub(crate) fn seen(&mut self, topic: &TopicImage, image: &PartitionImage, own: DirectoryId) {
        let is_moved = image.leader != self.leader || image.leader_epoch > self.leader_epoch;
        if is_moved {
            self.asked = None;
            self.refusal_count = 0;
        }
        self.leader = image.leader;
        self.leader_epoch = self.leader_epoch.max(image.leader_epoch);
        self.assigned = own;
        self.configs = topic.configs.clone();
        if self.lost_epoch.is_some_and(|lost| lost < self.leader_epoch) {
            self.lost_epoch = None;
        }
    }

    /// The replica cannot serve.
    pub(crate) fn fail(&mut self, cause: impl Into<String>) {
        self.serves = Some(false);
        self.cause = cause.into();
        self.trouble += 1;
    }

    /// Keeps what the disk says, in case it comes to that.
    pub(crate) fn note(&mut self, cause: &str) {
        cause.clone_into(&mut self.cause);
    }

    /// Why it cannot serve, or may not for long.
    pub(crate) fn cause(&self) -> &str {
        &self.cause
    }

    /// Its files are not to be had.
    pub(crate) fn lose(&mut self, cause: impl Into<String>) {
        self.standing = Standing::Missing;
        self.fail(cause);
    }

    /// Comes back after a pause that grows with every try.
    pub(crate) fn try_later(&mut self, steps: &mut Vec<Step>) {
        let pause = pause_after(self.try_count);
        self.try_count = self.try_count.saturating_add(1);
        let partition = self.partition.clone();
        steps.push(Step::ProbeLater { partition, pause });
    }

    /// It serves. If it had trouble before, it must be well for a while to be trusted.
    pub(crate) fn well(&mut self, steps: &mut Vec<Step>) {
        self.serves = Some(true);
        self.is_degraded = false;
        self.is_suspect = false;
        if self.try_count > 0 || self.is_on_probation {
            self.trouble += 1;
            steps.push(Step::TrustLater {
                partition: self.partition.clone(),
                trouble: self.trouble,
                pause: TRUST_AFTER,
            });
        }
    }

    /// It was well for long: its next trouble is a new one.
    pub(crate) fn trusted(&mut self) {
        self.try_count = 0;
        self.is_on_probation = false;
    }

    /// The controller granted what it was asked for, and the image that shows it was compared.
    pub(crate) fn was_granted(&mut self) {
        self.asked = None;
        self.refusal_count = 0;
    }

    /// The controller did not do what it was asked for: it is asked again after a pause.
    pub(crate) fn was_refused(&mut self, steps: &mut Vec<Step>) {
        self.asked = None;
        let pause = pause_after(self.refusal_count);
        self.refusal_count = self.refusal_count.saturating_add(1);
        let partition = self.partition.clone();
        steps.push(Step::AskAgainLater { partition, pause });
    }

    /// Asks the controller for what is not yet so: leadership of a replica that serves, none for one
    /// that cannot, a greater epoch for one that lost records. Converges whatever the order in which
    /// news and images arrive, because each of them ends here.
    pub(crate) fn reconcile(&mut self, node: NodeId, steps: &mut Vec<Step>) {
        if self.standing == Standing::Leaving {
            return;
        }
        let what = match self.serves {
            Some(true) if self.leader == NodeId::NONE => Ask::MarkOnline,
            Some(false) if self.leader == node => Ask::MarkOffline,
            Some(true) if self.leader == node && self.lost_epoch.is_some() => Ask::RaiseEpoch,
            _ => return,
        };
        if self.asked.replace(what) == Some(what) {
            return;
        }
        let cause = match what {
            Ask::MarkOffline => self.cause.clone(),
            Ask::MarkOnline | Ask::RaiseEpoch => String::new(),
        };
        steps.push(Step::Ask {
            partition: self.partition.clone(),
            topic_id: self.topic_id,
            what,
            cause,
        });
    }
}
