//! Decides about reads and look-ups: who may see what, and which part of it needs the files.

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_storage::KnownProducer;
use kabuki_storage::log::TimestampOffset;

use super::{PartitionState, Tickets};
use crate::messages::{
    EpochEnd, FindRefused, Isolation, NotServed, OffsetFound, OffsetTarget, ReadRefused,
    RecordsRead,
};
use bytes::Bytes;

/// What to do for a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadPlan {
    /// The answer is known without the files.
    Answer(RecordsRead),
    /// Read the files from the offset asked for up to this one.
    Files { up_to: Offset },
}

/// What to do for a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FindPlan {
    /// The answer is known without the files.
    Answer(OffsetFound),
    /// Search the files below `up_to` for the first record at or after this time.
    Timestamp { timestamp: i64, up_to: Offset },
    /// Search the files below `up_to` for the largest timestamp.
    MaxTimestamp { up_to: Offset },
}

impl<T: Tickets> PartitionState<T> {
    /// First offset that a reader of this kind may not see.
    fn visible_end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.marks.high_watermark(),
            Isolation::ReadCommitted => self.marks.last_stable_offset(),
        }
    }

    /// Decides on a read.
    pub(crate) fn read(
        &self,
        fetch_offset: Offset,
        current_leader_epoch: LeaderEpoch,
        last_fetched_epoch: LeaderEpoch,
        isolation: Isolation,
    ) -> Result<ReadPlan, ReadRefused> {
        self.leadership.check(current_leader_epoch)?;
        let log_start = self.marks.log_start();
        let log_end = self.marks.written();
        if !last_fetched_epoch.is_none() {
            let common = self.epochs.end_offset_for(last_fetched_epoch, log_end);
            let Some((epoch, end)) = common else {
                return Err(self.out_of_range(fetch_offset));
            };
            if epoch < last_fetched_epoch || end < fetch_offset {
                let diverging = Some((epoch, end));
                return Ok(ReadPlan::Answer(self.read_answer(Bytes::new(), diverging)));
            }
        }
        if fetch_offset < log_start || fetch_offset > log_end {
            return Err(self.out_of_range(fetch_offset));
        }
        let up_to = self.visible_end(isolation);
        if fetch_offset >= up_to {
            return Ok(ReadPlan::Answer(self.read_answer(Bytes::new(), None)));
        }
        Ok(ReadPlan::Files { up_to })
    }

    /// The refusal of an offset that the log does not hold.
    pub(crate) fn out_of_range(&self, fetch_offset: Offset) -> ReadRefused {
        ReadRefused::OffsetOutOfRange {
            fetch_offset,
            log_start: self.marks.log_start(),
            log_end: self.marks.written(),
        }
    }

    /// An answer to a read, with the positions of now.
    pub(crate) fn read_answer(
        &self,
        records: Bytes,
        diverging: Option<(LeaderEpoch, Offset)>,
    ) -> RecordsRead {
        RecordsRead {
            records,
            high_watermark: self.marks.high_watermark(),
            last_stable_offset: self.marks.last_stable_offset(),
            log_start: self.marks.log_start(),
            diverging,
        }
    }

    /// Decides on a look-up.
    pub(crate) fn find(
        &self,
        target: OffsetTarget,
        isolation: Isolation,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<FindPlan, FindRefused> {
        self.leadership.check(current_leader_epoch)?;
        let up_to = self.visible_end(isolation);
        Ok(match target {
            OffsetTarget::Latest => {
                let epoch_start = self.leadership.epoch_start();
                let high_watermark = self.marks.high_watermark();
                if high_watermark < epoch_start {
                    return Err(FindRefused::OffsetNotAvailable {
                        high_watermark,
                        epoch_start,
                    });
                }
                let leader_epoch = self.leadership.epoch();
                FindPlan::Answer(OffsetFound {
                    offset: up_to,
                    timestamp: -1,
                    leader_epoch,
                })
            }
            OffsetTarget::Earliest | OffsetTarget::EarliestLocal => {
                let offset = self.marks.log_start();
                let leader_epoch = self.epoch_for(offset);
                FindPlan::Answer(OffsetFound {
                    offset,
                    timestamp: -1,
                    leader_epoch,
                })
            }
            OffsetTarget::LatestTiered | OffsetTarget::EarliestPendingUpload => {
                FindPlan::Answer(OffsetFound::NONE)
            }
            OffsetTarget::MaxTimestamp => FindPlan::MaxTimestamp { up_to },
            OffsetTarget::Timestamp(timestamp) => FindPlan::Timestamp { timestamp, up_to },
        })
    }

    /// The answer to a search of the files. What lies outside the log by now counts as not found.
    pub(crate) fn found(
        &self,
        found: Option<TimestampOffset>,
        isolation: Isolation,
    ) -> OffsetFound {
        let visible = self.marks.log_start()..self.visible_end(isolation);
        match found.filter(|found| visible.contains(&found.offset)) {
            None => OffsetFound::NONE,
            Some(TimestampOffset { offset, timestamp }) => {
                let leader_epoch = self.epoch_for(offset);
                OffsetFound {
                    offset,
                    timestamp,
                    leader_epoch,
                }
            }
        }
    }

    /// Where an epoch ends.
    pub(crate) fn find_epoch_end(
        &self,
        leader_epoch: LeaderEpoch,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<EpochEnd, FindRefused> {
        self.leadership.check(current_leader_epoch)?;
        let end = self
            .epochs
            .end_offset_for(leader_epoch, self.marks.written());
        let (leader_epoch, end_offset) = end.unwrap_or((LeaderEpoch::NONE, Offset::NONE));
        Ok(EpochEnd {
            leader_epoch,
            end_offset,
        })
    }

    /// The producers that are remembered. Only a leader says so: a follower may know less.
    pub(crate) fn describe_producers(&self) -> Result<Vec<KnownProducer>, NotServed> {
        self.leadership.check(LeaderEpoch::NONE)?;
        Ok(self.producers.producers().collect())
    }

    fn epoch_for(&self, offset: Offset) -> LeaderEpoch {
        self.epochs.epoch_for(offset).unwrap_or(LeaderEpoch::NONE)
    }
}
