//! Leader epochs of one log: which epoch began at which offset, and the file that keeps it. Pure
//! state; the log writes the file, the partition decides about the epochs.

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use thiserror::Error;

/// Name of the file in the partition's directory.
pub const EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// First line of the file.
const VERSION: &str = "0";

/// An epoch and the offset of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// First offset of the epoch.
    pub start: Offset,
}

/// The epochs of one log, both epochs and start offsets strictly rising.
///
/// Source: KIP-101, KIP-279.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochStart>,
}

/// Why the text is no epoch file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EpochFileRefused {
    /// The first line is not `0`.
    #[error("version is not 0")]
    Version,
    /// A line is not two numbers.
    #[error("line {line} is not an epoch and an offset")]
    Line {
        /// Number of the line, counted from 1.
        line: usize,
    },
    /// More or fewer entries than the second line says.
    #[error("{found} entries where {announced} were announced")]
    Count {
        /// Entries found.
        found: usize,
        /// Entries announced.
        announced: usize,
    },
    /// Epochs or offsets do not rise.
    #[error("entries do not rise at line {line}")]
    Order {
        /// Number of the line, counted from 1.
        line: usize,
    },
}

impl EpochCache {
    /// The epochs in order.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest epoch, if there is one.
    pub fn latest(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    /// Notes that `epoch` begins at `start`. Returns true if that changed anything.
    ///
    /// An epoch that is known keeps its start. Entries that begin at or after `start`, or that are
    /// newer than `epoch`, never had a record and are dropped.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        assert!(
            epoch.get() >= 0 && start.get() >= 0,
            "epoch {epoch} at {start} is negative"
        );
        if let Some(latest) = self.latest()
            && latest.epoch == epoch
            && latest.start <= start
        {
            return false;
        }
        self.entries
            .retain(|entry| entry.epoch < epoch && entry.start < start);
        self.entries.push(EpochStart { epoch, start });
        true
    }

    /// The epoch that `offset` was, or will be, written in.
    pub fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        after.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// The largest epoch at or below `asked` and the offset where it ends: the start of the
    /// next epoch, or `log_end` for the newest. `None` where Kafka answers -1/-1: nothing is known, or
    /// `asked` is newer than all.
    pub fn end_offset_for(
        &self,
        asked: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if asked == LeaderEpoch::NONE || asked > latest.epoch {
            return None;
        }
        if asked == latest.epoch {
            return Some((asked, log_end));
        }
        let newer = self.entries.partition_point(|entry| entry.epoch <= asked);
        let end = self.entries[newer].start;
        // Older than the oldest known one: all that is known about it is where it must have ended.
        let epoch = newer
            .checked_sub(1)
            .map_or(asked, |at| self.entries[at].epoch);
        Some((epoch, end))
    }

    /// Drops epochs that begin at or after `end`, the new end of the log. Returns true on a change.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start < end);
        self.entries.len() != before
    }

    /// Drops epochs that ended at or before `log_start`; the one that spans it begins there now.
    /// Returns true on a change.
    pub fn truncate_from_start(&mut self, log_start: Offset) -> bool {
        let spanning = self
            .entries
            .partition_point(|entry| entry.start <= log_start);
        let Some(first) = spanning.checked_sub(1) else {
            return false;
        };
        let changed = first > 0 || self.entries[first].start != log_start;
        self.entries.drain(..first);
        self.entries[0].start = log_start;
        changed
    }

    /// The text of the file.
    pub fn encode(&self) -> String {
        let mut text = format!("{VERSION}\n{}\n", self.entries.len());
        for entry in &self.entries {
            text.push_str(&format!("{} {}\n", entry.epoch, entry.start));
        }
        text
    }

    /// Parses the text of the file.
    pub fn decode(text: &str) -> Result<Self, EpochFileRefused> {
        let mut lines = text.lines();
        if lines.next() != Some(VERSION) {
            return Err(EpochFileRefused::Version);
        }
        let announced = lines.next().and_then(|line| line.parse::<usize>().ok());
        let announced = announced.ok_or(EpochFileRefused::Line { line: 2 })?;
        let mut entries: Vec<EpochStart> = Vec::new();
        for (index, text) in lines.enumerate() {
            let line = index + 3;
            let entry = parse_entry(text).ok_or(EpochFileRefused::Line { line })?;
            if let Some(last) = entries.last()
                && (last.epoch >= entry.epoch || last.start >= entry.start)
            {
                return Err(EpochFileRefused::Order { line });
            }
            entries.push(entry);
        }
        if entries.len() != announced {
            return Err(EpochFileRefused::Count {
                found: entries.len(),
                announced,
            });
        }
        Ok(Self { entries })
    }
}

/// Parses `<epoch> <start offset>`, both at least 0.
fn parse_entry(text: &str) -> Option<EpochStart> {
    let (epoch, start) = text.split_once(' ')?;
    let epoch: i32 = epoch.parse().ok().filter(|epoch| *epoch >= 0)?;
    let start: i64 = start.parse().ok().filter(|start| *start >= 0)?;
    Some(EpochStart {
        epoch: LeaderEpoch(epoch),
        start: Offset(start),
    })
}
