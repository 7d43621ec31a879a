//! Decides for one partition: offsets, sequences, epochs, the high watermark, who is answered when.
//! No file, clock or mailbox in here; the shell brings what it was told and performs what it hears.

mod appends;
mod checkpoints;
mod health;
mod leadership;
mod marks;
mod poison;
mod reads;
mod waiters;
mod watchers;

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_protocol::records::CheckedBatch;
use kabuki_storage::{BatchSpan, EpochCache, ProducerTable};

pub(crate) use appends::{AppendStep, Outcome};
pub(crate) use checkpoints::{CheckpointPlan, Checkpoints};
pub(crate) use health::{Health, PROBE_PAUSE_MAX, PROBE_PAUSE_MIN, Probe};
pub(crate) use leadership::{LeadPlan, Leadership};
pub(crate) use marks::{FLUSH_MESSAGES_NEVER, Marks, SyncDepth, SyncPlan};
pub(crate) use poison::Poison;
pub(crate) use reads::{FindPlan, ReadPlan};

use crate::messages::{AppendRefused, RecordsAppended};
use appends::{Append, AppendScene, Appends};
use waiters::Waiters;
use watchers::Watchers;

/// What the shell keeps for those who wait: reply ports there, numbers in tests. The state never
/// looks into them.
pub(crate) trait Tickets {
    /// Of an append.
    type Append;
    /// Of a watcher.
    type Watch;
    /// Of a trim.
    type Trim;
}

/// The state of a partition whose log is open.
pub(crate) struct PartitionState<T: Tickets> {
    pub(crate) marks: Marks,
    pub(crate) leadership: Leadership,
    pub(crate) health: Health,
    pub(crate) epochs: EpochCache,
    /// The newest epoch that the epoch file holds, -1 for none.
    stored_epoch: LeaderEpoch,
    pub(crate) producers: ProducerTable,
    pub(crate) watchers: Watchers<T::Watch>,
    pub(crate) checkpoints: Checkpoints<T::Trim>,
    appends: Appends<T::Append>,
    waiters: Waiters<T::Append>,
    poison: Poison,
}

/// What a recovery found.
pub(crate) struct RecoveredParts {
    pub(crate) marks: Marks,
    pub(crate) epochs: EpochCache,
    pub(crate) stored_epoch: LeaderEpoch,
    pub(crate) producers: ProducerTable,
    pub(crate) poison: Poison,
}

impl<T: Tickets> PartitionState<T> {
    /// State after a recovery: it leads in no epoch yet.
    pub(crate) fn recovered(parts: RecoveredParts) -> Self {
        let RecoveredParts {
            marks,
            epochs,
            stored_epoch,
            producers,
            poison,
        } = parts;
        let (epoch, start) = epochs
            .latest()
            .map_or((LeaderEpoch::NONE, marks.written()), |latest| {
                (latest.epoch, latest.start)
            });
        Self {
            marks,
            leadership: Leadership::recovered(epoch, start),
            health: Health::default(),
            epochs,
            stored_epoch,
            producers,
            watchers: Watchers::new(),
            checkpoints: Checkpoints::new(),
            appends: Appends::new(),
            waiters: Waiters::new(),
            poison,
        }
    }

    /// Takes an append for the next round, or refuses it at once.
    pub(crate) fn append(
        &mut self,
        batch: CheckedBatch,
        ticket: T::Append,
    ) -> Result<(), (T::Append, AppendRefused)> {
        if !self.leadership.is_leading() {
            return Err((ticket, self.not_leader()));
        }
        if let Some(refusal) = self.health.refusal() {
            return Err((
                ticket,
                AppendRefused::Storage {
                    cause: refusal.cause.clone(),
                },
            ));
        }
        self.appends.push(Append { batch, ticket });
        Ok(())
    }

    fn not_leader(&self) -> AppendRefused {
        AppendRefused::NotLeader {
            leader_epoch: self.leadership.epoch(),
        }
    }

    /// True while a round is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.appends.is_writing()
    }

    /// True when no append waits for a round.
    pub(crate) fn has_no_appends(&self) -> bool {
        self.appends.is_empty()
    }

    /// Appends that are written and wait for the high watermark.
    pub(crate) fn waiter_count(&self) -> usize {
        self.waiters.len()
    }

    /// What to do next for the appends that wait; see [`Appends::next_step`].
    pub(crate) fn next_append_step(
        &mut self,
        must_roll: impl Fn(&BatchSpan) -> bool,
        in_hand: impl FnMut(u64),
        refused: &mut Vec<(T::Append, AppendRefused)>,
    ) -> AppendStep {
        let mut outcome = Outcome::new();
        let scene = AppendScene {
            producers: &mut self.producers,
            poison: &self.poison,
            leader_epoch: self.leadership.epoch(),
            log_start: self.marks.log_start(),
            log_end: self.marks.written(),
        };
        let step = self
            .appends
            .next_step(scene, must_roll, in_hand, &mut outcome);
        refused.append(&mut outcome.refused);
        for placed in outcome.resent {
            self.waiters
                .push(placed.needs, placed.ticket, placed.answer);
        }
        step
    }

    /// The round that was to be written is in the file.
    pub(crate) fn wrote(&mut self) {
        let round = self.appends.wrote();
        self.marks.wrote(round.log_end, round.bytes);
        self.health.wrote();
        for placed in round.placed {
            self.waiters
                .push(placed.needs, placed.ticket, placed.answer);
            self.poison.succeeded();
        }
    }

    /// The disk refused the round, and none of it is in the file: it is to be refused.
    pub(crate) fn write_refused(&mut self) -> Vec<T::Append> {
        self.appends.write_refused(&mut self.producers)
    }

    /// Takes the appends that wait for a round, to be refused or let go.
    pub(crate) fn take_appends(&mut self) -> Vec<T::Append> {
        self.appends.take_queue().collect()
    }

    /// Takes the appends that are in the log and wait for a sync, to be let go.
    pub(crate) fn take_waiters(&mut self) -> Vec<T::Append> {
        self.waiters.take_all()
    }

    /// Takes the oldest append that is committed now.
    pub(crate) fn take_committed(&mut self) -> Option<(T::Append, RecordsAppended)> {
        self.waiters.pop(self.marks.high_watermark())
    }

    /// Takes the watchers that are to be told of the high watermark.
    pub(crate) fn take_reached(&mut self) -> Vec<T::Watch> {
        self.watchers.take_reached(self.marks.high_watermark())
    }

    /// This replica leads in `epoch` from the log end on.
    pub(crate) fn lead(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.marks.written());
        let latest = self.epochs.latest();
        let start = latest.map_or(self.marks.written(), |latest| latest.start);
        self.leadership.taken(epoch, start);
    }

    /// The epochs, if they must be in their file before `recovery_point` is stored.
    ///
    /// A recovery learns the epochs past the recovery point from the batches, and believes the file
    /// below it. An epoch without a record is in neither, and nobody misses it: the metadata log keeps
    /// the number, and the next leader begins where it would have begun.
    pub(crate) fn epochs_to_store(&self, recovery_point: Offset) -> Option<EpochCache> {
        let newest = self.epochs.epoch_for(recovery_point.plus(-1))?;
        (newest > self.stored_epoch).then(|| self.epochs.clone())
    }

    /// The epoch file holds all up to `epoch`.
    pub(crate) fn epochs_stored(&mut self, epoch: LeaderEpoch) {
        self.stored_epoch = self.stored_epoch.max(epoch);
    }

    /// The log start is durable: it counts from now on. Returns true when it moved.
    pub(crate) fn trimmed(&mut self, log_start: Offset) -> bool {
        // The file is not written for this: it agrees with the log again at the next epoch or start.
        self.epochs.truncate_from_start(log_start);
        self.marks.trimmed(log_start)
    }
}

#[cfg(test)]
mod tests;
