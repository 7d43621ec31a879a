//! Whether this replica leads, in which epoch, and what that means for a request that names one.

use kabuki_protocol::ids::{LeaderEpoch, Offset};

use crate::messages::{BecomeLeaderRefused, NotServed};

/// Leadership of one replica. The epoch never falls.
#[derive(Debug)]
pub(crate) struct Leadership {
    epoch: LeaderEpoch,
    epoch_start: Offset,
    is_leading: bool,
    /// Serving needs a greater epoch than this: shown records were lost in it.
    lost_epoch: LeaderEpoch,
}

/// What to do about an order to lead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LeadPlan {
    /// It leads in that epoch already.
    Leading { epoch_start: Offset },
    /// To be taken, with `Leadership::taken`.
    Take,
    /// Shown records were lost in that epoch; only a greater one is served.
    WaitForGreater,
}

impl Leadership {
    /// A replica after recovery: it knows its last epoch and leads in none.
    pub(crate) fn recovered(epoch: LeaderEpoch, epoch_start: Offset) -> Self {
        Self {
            epoch,
            epoch_start,
            is_leading: false,
            lost_epoch: LeaderEpoch::NONE,
        }
    }

    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    pub(crate) fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    pub(crate) fn is_leading(&self) -> bool {
        self.is_leading
    }

    /// Records shown in `epoch` are gone: neither it nor an older one is served again.
    pub(crate) fn lost_records(&mut self, epoch: LeaderEpoch) {
        self.lost_epoch = self.lost_epoch.max(epoch);
        self.is_leading = false;
    }

    /// Decides on an order to lead in `epoch`.
    pub(crate) fn lead(&self, epoch: LeaderEpoch) -> Result<LeadPlan, BecomeLeaderRefused> {
        if epoch < self.epoch || epoch.is_none() {
            return Err(BecomeLeaderRefused::StaleEpoch {
                sent: epoch,
                current: self.epoch,
            });
        }
        if epoch <= self.lost_epoch {
            return Ok(LeadPlan::WaitForGreater);
        }
        if self.is_leading && epoch == self.epoch {
            return Ok(LeadPlan::Leading {
                epoch_start: self.epoch_start,
            });
        }
        Ok(LeadPlan::Take)
    }

    /// The epoch is served from now on.
    pub(crate) fn taken(&mut self, epoch: LeaderEpoch, epoch_start: Offset) {
        assert!(
            epoch >= self.epoch,
            "leader epoch went back from {} to {epoch}",
            self.epoch
        );
        assert!(
            epoch > self.lost_epoch,
            "leader epoch {epoch} is one that lost records"
        );
        self.epoch = epoch;
        self.epoch_start = epoch_start;
        self.is_leading = true;
    }

    /// Ends leadership unless the order is older than the epoch led in. Returns true if it led.
    pub(crate) fn resign(&mut self, epoch: LeaderEpoch) -> bool {
        if epoch < self.epoch {
            return false;
        }
        std::mem::replace(&mut self.is_leading, false)
    }

    /// Checks that this replica leads, and the epoch that a request names; only -1 names none.
    pub(crate) fn check(&self, sent: LeaderEpoch) -> Result<(), NotServed> {
        let current = self.epoch;
        if !self.is_leading {
            return Err(NotServed::NotLeader {
                leader_epoch: current,
            });
        }
        if sent == LeaderEpoch::NONE || sent == current {
            return Ok(());
        }
        if sent < current {
            return Err(NotServed::FencedLeaderEpoch { sent, current });
        }
        Err(NotServed::UnknownLeaderEpoch { sent, current })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leading(epoch: i32) -> Leadership {
        let mut leadership = Leadership::recovered(LeaderEpoch::NONE, Offset(0));
        leadership.taken(LeaderEpoch(epoch), Offset(7));
        leadership
    }

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_unknown() {
        let leadership = leading(4);
        let (sent, current) = (LeaderEpoch(3), LeaderEpoch(4));
        assert_eq!(
            leadership.check(sent),
            Err(NotServed::FencedLeaderEpoch { sent, current })
        );
        let sent = LeaderEpoch(5);
        assert_eq!(
            leadership.check(sent),
            Err(NotServed::UnknownLeaderEpoch { sent, current })
        );
        assert_eq!(leadership.check(LeaderEpoch(4)), Ok(()));
        assert_eq!(leadership.check(LeaderEpoch::NONE), Ok(()));
        let sent = LeaderEpoch(-2);
        assert_eq!(
            leadership.check(sent),
            Err(NotServed::FencedLeaderEpoch { sent, current })
        );
    }

    #[test]
    fn a_follower_serves_nobody_whatever_epoch_is_named() {
        let mut leadership = leading(4);
        assert!(
            !leadership.resign(LeaderEpoch(3)),
            "an older order changes nothing"
        );
        assert!(leadership.resign(LeaderEpoch(4)));
        let leader_epoch = LeaderEpoch(4);
        assert_eq!(
            leadership.check(LeaderEpoch::NONE),
            Err(NotServed::NotLeader { leader_epoch })
        );
    }

    #[test]
    fn the_epoch_never_goes_back() {
        let leadership = leading(4);
        assert!(leadership.lead(LeaderEpoch(3)).is_err());
        let epoch_start = Offset(7);
        assert_eq!(
            leadership.lead(LeaderEpoch(4)),
            Ok(LeadPlan::Leading { epoch_start })
        );
        assert_eq!(leadership.lead(LeaderEpoch(5)), Ok(LeadPlan::Take));
    }

    #[test]
    fn an_epoch_that_lost_shown_records_is_not_served_again() {
        let mut leadership = leading(4);
        leadership.lost_records(LeaderEpoch(4));
        assert!(leadership.check(LeaderEpoch::NONE).is_err());
        assert_eq!(
            leadership.lead(LeaderEpoch(4)),
            Ok(LeadPlan::WaitForGreater)
        );
        assert_eq!(leadership.lead(LeaderEpoch(5)), Ok(LeadPlan::Take));
    }
}
