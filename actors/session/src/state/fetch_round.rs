//! One Fetch request from its first read to its answer: which partitions to read next and with what
//! limit, whether to answer, wait or read again. Source: KIP-74.

use bytes::Bytes;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset};

/// Reads of one wave while any of them may return a batch above its limit. All but one of such
/// batches are dropped again, so this bounds what a fetch over many partitions with tiny limits
/// takes from memory for nothing.
const EXCEEDING_READS_MAX: usize = 64;

/// What one partition has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartitionFetched {
    Read {
        records: Bytes,
        high_watermark: Offset,
        last_stable_offset: Offset,
        log_start: Offset,
        diverging: Option<(LeaderEpoch, Offset)>,
    },
    Failed {
        code: ErrorCode,
        /// Who leads instead, for codes that tell it.
        leader: Option<(NodeId, LeaderEpoch)>,
    },
    /// Nothing can be said while the thread that serves it stands still. The others are waited for all
    /// the same: told at once, it would be asked for again and again.
    StandsStill,
}

impl PartitionFetched {
    /// A refusal without a hint who leads.
    pub(crate) fn failed(code: ErrorCode) -> Self {
        Self::Failed { code, leader: None }
    }

    fn record_bytes(&self) -> usize {
        match self {
            Self::Read { records, .. } => records.len(),
            Self::Failed { .. } | Self::StandsStill => 0,
        }
    }

    fn must_be_told(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::Read {
                    diverging: Some(_),
                    ..
                }
        )
    }
}

#[derive(Debug)]
enum Progress {
    /// To be read, for the first time or again.
    Due,
    Reading,
    Done(PartitionFetched),
}

/// One read to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadOrder {
    /// Which partition, in the order of the request.
    pub(crate) index: usize,
    pub(crate) bytes_max: usize,
    pub(crate) must_return_one: bool,
}

/// What to do when no read is out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Reads are out, or due.
    Unfinished,
    /// Wait for a partition to move, or for `max_wait_ms`.
    Wait,
    Answer,
}

/// What reads may take from memory until they are answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadRoom {
    /// What a wave may reserve; one read is always sent.
    pub(crate) free_bytes: usize,
    /// What a read that must return a batch is taken to return at least.
    pub(crate) batch_bytes: usize,
}

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    /// Record bytes of the answer; the first batch may be larger.
    pub(crate) bytes_max: usize,
    /// Fewer are waited for.
    pub(crate) bytes_min: usize,
}

/// A fetch under way.
#[derive(Debug)]
pub(crate) struct FetchRound {
    limits: FetchLimits,
    /// `partition_max_bytes` of each partition.
    partition_bytes_max: Vec<usize>,
    progress: Vec<Progress>,
    reading: usize,
    /// What the reads that are out may return.
    reserved_bytes: usize,
    // Counted along, because a request may name a hundred thousand partitions and takes as many
    // steps.
    /// No partition before this one is due.
    due_from: usize,
    done_count: usize,
    /// Partitions whose outcome must be told at once.
    told_count: usize,
    collected_bytes: usize,
    has_new_records: bool,
}

impl FetchRound {
    /// `partition_bytes_max` has one entry a partition, in reading order.
    pub(crate) fn new(limits: FetchLimits, partition_bytes_max: Vec<usize>) -> Self {
        let progress = partition_bytes_max.iter().map(|_| Progress::Due).collect();
        let bytes_min = limits.bytes_min.min(limits.bytes_max);
        let limits = FetchLimits {
            bytes_min,
            ..limits
        };
        Self {
            limits,
            partition_bytes_max,
            progress,
            reading: 0,
            reserved_bytes: 0,
            due_from: 0,
            done_count: 0,
            told_count: 0,
            collected_bytes: 0,
            has_new_records: false,
        }
    }

    /// The next reads to send at the same time, none while others are out.
    ///
    /// Partitions are read in waves whose limits add up to what is left of `bytes_max`, so that an
    /// answer never needs more memory than that, and a fetch over many idle partitions is one wave
    /// while there is room for it.
    pub(crate) fn next_reads(&mut self, room: ReadRoom) -> Vec<ReadOrder> {
        if self.reading > 0 {
            return Vec::new();
        }
        let collected = self.collected_bytes();
        let mut left = self.limits.bytes_max.saturating_sub(collected);
        let may_exceed = collected == 0;
        let has_budget = left > 0 || may_exceed;
        let mut orders = Vec::new();
        let mut reserved = 0;
        let due_from = self.due_from;
        self.due_from = self.progress.len();
        for (index, progress) in self.progress.iter_mut().enumerate().skip(due_from) {
            if !matches!(progress, Progress::Due) {
                continue;
            }
            let is_full = left == 0 || (may_exceed && orders.len() == EXCEEDING_READS_MAX);
            if has_budget && is_full && !orders.is_empty() {
                self.due_from = index;
                break;
            }
            let unreserved = room.free_bytes.saturating_sub(reserved);
            let wanted = self.partition_bytes_max[index].min(left);
            let taken = if may_exceed {
                wanted.max(room.batch_bytes)
            } else {
                wanted
            };
            if taken > unreserved && !orders.is_empty() {
                self.due_from = index;
                break;
            }
            let bytes_max = wanted.min(unreserved);
            left -= bytes_max;
            reserved += taken.min(unreserved);
            *progress = Progress::Reading;
            orders.push(ReadOrder {
                index,
                bytes_max,
                must_return_one: may_exceed,
            });
        }
        self.reading = orders.len();
        self.reserved_bytes = reserved;
        orders
    }

    /// Takes the answer of a read that was sent.
    pub(crate) fn read(&mut self, index: usize, fetched: PartitionFetched) {
        assert!(
            self.is_reading(index),
            "partition {index} of a fetch answered without being asked"
        );
        self.has_new_records |= fetched.record_bytes() > 0;
        self.collected_bytes += fetched.record_bytes();
        self.told_count += usize::from(fetched.must_be_told());
        self.done_count += 1;
        self.progress[index] = Progress::Done(fetched);
        self.reading -= 1;
        // Only a complete wave shows which partition was the first that had data.
        if self.reading == 0 {
            self.reserved_bytes = 0;
            if std::mem::take(&mut self.has_new_records) {
                self.drop_excess();
            }
        }
    }

    /// Whether a read of this partition is out.
    pub(crate) fn is_reading(&self, index: usize) -> bool {
        matches!(self.progress[index], Progress::Reading)
    }

    /// Takes reads that are out for failed: their partitions have had their time.
    pub(crate) fn give_up_reads(&mut self, code: ErrorCode) {
        for index in 0..self.progress.len() {
            if self.is_reading(index) {
                self.read(index, PartitionFetched::failed(code));
            }
        }
    }

    /// The partition has moved since it was read.
    pub(crate) fn moved(&mut self, index: usize) {
        if let Progress::Done(fetched) = &self.progress[index] {
            self.collected_bytes -= fetched.record_bytes();
            self.told_count -= usize::from(fetched.must_be_told());
            self.done_count -= 1;
            self.due_from = self.due_from.min(index);
            self.progress[index] = Progress::Due;
        }
    }

    /// What to do now; `is_over` says that the waiting time has passed.
    pub(crate) fn verdict(&self, is_over: bool) -> Verdict {
        if self.done_count < self.progress.len() {
            return Verdict::Unfinished;
        }
        let is_enough = self.collected_bytes >= self.limits.bytes_min;
        if is_over || is_enough || self.told_count > 0 || self.progress.is_empty() {
            Verdict::Answer
        } else {
            Verdict::Wait
        }
    }

    /// The high watermark that a partition had when it was read: what a watcher waits to pass.
    pub(crate) fn high_watermark(&self, index: usize) -> Option<Offset> {
        match &self.progress[index] {
            Progress::Done(PartitionFetched::Read { high_watermark, .. }) => Some(*high_watermark),
            _ => None,
        }
    }

    /// Record bytes read so far.
    pub(crate) fn collected_bytes(&self) -> usize {
        self.collected_bytes
    }

    /// Bytes held for this fetch: what was read, and what the reads that are out may return.
    pub(crate) fn held_bytes(&self) -> usize {
        self.collected_bytes() + self.reserved_bytes
    }

    /// What all partitions said, in reading order. Only when the verdict is to answer.
    pub(crate) fn into_fetched(self) -> Vec<PartitionFetched> {
        self.progress
            .into_iter()
            .map(|progress| match progress {
                Progress::Done(fetched) => fetched,
                _ => panic!("a fetch was answered before all its partitions were read"),
            })
            .collect()
    }

    /// Only the first partition with data may exceed its own limit; what the others returned beyond
    /// theirs, or beyond the whole answer's, is left for the next fetch.
    fn drop_excess(&mut self) {
        let mut collected = 0;
        for (index, progress) in self.progress.iter_mut().enumerate() {
            let Progress::Done(PartitionFetched::Read { records, .. }) = progress else {
                continue;
            };
            let is_first = collected == 0;
            let partition_max = self.partition_bytes_max[index];
            let is_over =
                records.len() > partition_max || collected + records.len() > self.limits.bytes_max;
            if is_over && !is_first {
                *records = Bytes::new();
            }
            collected += records.len();
        }
        self.collected_bytes = collected;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Offset = Offset(100);
    const ROOM: ReadRoom = ReadRoom {
        free_bytes: usize::MAX,
        batch_bytes: 0,
    };

    fn bytes(count: usize) -> PartitionFetched {
        PartitionFetched::Read {
            records: vec![1; count].into(),
            high_watermark: END,
            last_stable_offset: END,
            log_start: Offset(0),
            diverging: None,
        }
    }

    fn round(bytes_max: usize, bytes_min: usize, partitions: &[usize]) -> FetchRound {
        FetchRound::new(
            FetchLimits {
                bytes_max,
                bytes_min,
            },
            partitions.to_vec(),
        )
    }

    /// Runs a fetch over partitions that hold one batch of the given size each; the sizes answered.
    fn run(round: &mut FetchRound, batches: &[usize]) -> Vec<usize> {
        while round.verdict(true) == Verdict::Unfinished {
            for order in round.next_reads(ROOM) {
                let batch = batches[order.index];
                let fits = batch <= order.bytes_max || order.must_return_one;
                round.read(order.index, bytes(if fits { batch } else { 0 }));
            }
        }
        (0..round.progress.len())
            .map(|index| match &round.progress[index] {
                Progress::Done(fetched) => fetched.record_bytes(),
                _ => unreachable!(),
            })
            .collect()
    }

    /// `bytes_max`, partition limits, batch held by each partition, bytes answered by each.
    type Case = (usize, &'static [usize], &'static [usize], &'static [usize]);

    #[test]
    fn only_the_first_batch_may_exceed_the_limits() {
        #[rustfmt::skip]
        let table: &[Case] = &[
            (1_000, &[100, 100],      &[50, 50],      &[50, 50]),
            (1_000, &[10, 10],        &[50, 50],      &[50, 0]),
            (1_000, &[10, 10, 100],   &[0, 50, 50],   &[0, 50, 50]),
            (40,    &[100, 100],      &[50, 50],      &[50, 0]),
            (60,    &[100, 100],      &[50, 50],      &[50, 0]),
            (100,   &[100, 100, 100], &[50, 50, 50],  &[50, 50, 0]),
            (0,     &[0, 0],          &[0, 50],       &[0, 50]),
            (1,     &[0, 0],          &[50, 50],      &[50, 0]),
            (100,   &[60, 60, 60],    &[0, 0, 90],    &[0, 0, 90]),
        ];
        for (bytes_max, limits, batches, answered) in table {
            let mut round = round(*bytes_max, 1, limits);
            assert_eq!(
                run(&mut round, batches),
                *answered,
                "{bytes_max} {limits:?} {batches:?}"
            );
        }
    }

    #[test]
    fn a_wave_never_asks_for_more_than_the_answer_may_hold() {
        let mut round = round(100, 1, &[60, 60, 60]);
        let limits = |orders: Vec<ReadOrder>| -> Vec<(usize, usize)> {
            orders
                .iter()
                .map(|order| (order.index, order.bytes_max))
                .collect()
        };
        assert_eq!(limits(round.next_reads(ROOM)), [(0, 60), (1, 40)]);
        assert!(round.next_reads(ROOM).is_empty(), "the wave is out");
        round.read(1, bytes(0));
        round.read(0, bytes(60));
        assert_eq!(limits(round.next_reads(ROOM)), [(2, 40)]);
        round.read(2, bytes(40));
        assert_eq!(round.verdict(false), Verdict::Answer);
    }

    #[test]
    fn partitions_beyond_a_full_answer_are_still_asked_how_far_they_are() {
        let mut round = round(50, 1, &[50, 50, 50]);
        assert_eq!(round.next_reads(ROOM).len(), 1);
        round.read(0, bytes(50));
        let rest = round.next_reads(ROOM);
        assert_eq!(rest.len(), 2);
        assert!(
            rest.iter()
                .all(|order| order.bytes_max == 0 && !order.must_return_one)
        );
    }

    #[test]
    fn a_fetch_waits_only_without_data_error_or_divergence() {
        let failed = PartitionFetched::failed(ErrorCode::NotLeaderOrFollower);
        let diverging = PartitionFetched::Read {
            records: Bytes::new(),
            high_watermark: END,
            last_stable_offset: END,
            log_start: Offset(0),
            diverging: Some((LeaderEpoch(3), Offset(7))),
        };
        for (bytes_min, fetched, verdict) in [
            (1, bytes(0), Verdict::Wait),
            (0, bytes(0), Verdict::Answer),
            (10, bytes(9), Verdict::Wait),
            (10, bytes(10), Verdict::Answer),
            (5_000, bytes(1_000), Verdict::Answer),
            (1, failed, Verdict::Answer),
            (1, diverging, Verdict::Answer),
        ] {
            let mut round = round(1_000, bytes_min, &[1_000]);
            assert_eq!(round.verdict(false), Verdict::Unfinished);
            round.next_reads(ROOM);
            round.read(0, fetched);
            assert_eq!(round.verdict(false), verdict);
            assert_eq!(round.verdict(true), Verdict::Answer);
        }
        assert_eq!(round(1_000, 1, &[]).verdict(false), Verdict::Answer);
    }

    #[test]
    fn a_partition_that_moved_is_read_again_and_the_others_are_kept() {
        let mut round = round(100, 50, &[100, 100]);
        assert_eq!(
            round.next_reads(ROOM).len(),
            1,
            "the first may fill the answer"
        );
        round.read(0, bytes(10));
        round.next_reads(ROOM);
        round.read(1, bytes(0));
        assert_eq!(round.verdict(false), Verdict::Wait);

        round.moved(1);
        let again = round.next_reads(ROOM);
        assert_eq!(
            again,
            [ReadOrder {
                index: 1,
                bytes_max: 90,
                must_return_one: false
            }]
        );
        round.moved(1);
        round.read(1, bytes(40));
        assert_eq!(round.verdict(false), Verdict::Answer);
        assert_eq!(round.collected_bytes(), 50);
    }

    #[test]
    fn a_wave_reserves_no_more_than_there_is_room_for() {
        let limits = FetchLimits {
            bytes_max: 1_000,
            bytes_min: 1,
        };
        let mut round = FetchRound::new(limits, vec![300; 5]);
        let room = ReadRoom {
            free_bytes: 250,
            batch_bytes: 100,
        };
        let orders = round.next_reads(room);
        assert_eq!(
            (orders.len(), orders[0].bytes_max),
            (1, 250),
            "one is always read"
        );
        assert_eq!(round.held_bytes(), 250);
        round.read(0, bytes(0));
        assert_eq!(round.held_bytes(), 0);

        // A tiny limit may still return a batch, and takes the room of one.
        let mut round = FetchRound::new(limits, vec![1; 5]);
        assert_eq!(round.next_reads(room).len(), 2);
        assert_eq!(round.held_bytes(), 200);
    }

    #[test]
    fn a_request_takes_as_many_steps_as_it_names_partitions() {
        let limits = FetchLimits {
            bytes_max: 1_000,
            bytes_min: 1,
        };
        let count = 200_000;
        let mut round = FetchRound::new(limits, vec![100; count]);
        let mut waves = 0;
        while round.verdict(false) == Verdict::Unfinished {
            let orders = round.next_reads(ROOM);
            waves += 1;
            for order in orders {
                let failed = PartitionFetched::failed(ErrorCode::UnknownTopicOrPartition);
                round.read(order.index, failed);
            }
        }
        assert_eq!(waves, count.div_ceil(10));
        assert_eq!(round.verdict(false), Verdict::Answer);
    }
}
