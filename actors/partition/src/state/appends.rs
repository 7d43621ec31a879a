//! Decides about appends: which batch is new, a resend or refused, what offset it gets, and which
//! are written together. The files are written by the shell; until it reports back nothing counts.

use std::collections::VecDeque;

use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_protocol::records::CheckedBatch;
use kabuki_storage::producers::AppliedBatch;
use kabuki_storage::{
    BatchSpan, BatchWrite, ProducerBatch, ProducerRefused, ProducerTable, ProducerVerdict,
};

use crate::messages::{AppendRefused, RecordsAppended, batch_fingerprint};
use crate::state::poison::Poison;

/// Most batches that are written together: two chunks each stay within one vectored write
/// (IOV_MAX is 1024).
const ROUND_BATCHES_MAX: usize = 512;

/// Bytes after which a round is closed, so that one round through the pool does not keep the next
/// ones waiting for much longer than its own batches need.
const ROUND_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What became of appends that are not written in this round.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    /// Refused, to be answered now.
    pub(crate) refused: Vec<(T, AppendRefused)>,
    /// Resends of batches that are in the file: answered like their originals.
    pub(crate) resent: Vec<Placed<T>>,
}

impl<T> Outcome<T> {
    pub(crate) fn new() -> Self {
        Self {
            refused: Vec::new(),
            resent: Vec::new(),
        }
    }
}

/// A batch that waits for its round.
#[derive(Debug)]
pub(crate) struct Append<T> {
    pub(crate) batch: CheckedBatch,
    pub(crate) ticket: T,
}

/// What the shell is to do next for the appends that wait.
#[derive(Debug)]
pub(crate) enum AppendStep {
    /// Write these together, then report `wrote` or `write_refused`.
    Write(Vec<BatchWrite>),
    /// The next batch needs a new segment: roll, then ask again.
    Roll,
    /// Nothing waits.
    Idle,
}

/// What decides beside the appends themselves.
pub(crate) struct AppendScene<'a> {
    pub(crate) producers: &'a mut ProducerTable,
    pub(crate) poison: &'a Poison,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
}

/// Appends that wait, and the round that is being written.
#[derive(Debug)]
pub(crate) struct Appends<T> {
    queue: VecDeque<Append<T>>,
    round: Option<Round<T>>,
}

/// Batches that have offsets and are not known to be in the file.
#[derive(Debug)]
pub(crate) struct Round<T> {
    pub(crate) placed: Vec<Placed<T>>,
    pub(crate) log_end: Offset,
    pub(crate) bytes: u64,
    applied: Vec<AppliedBatch>,
}

/// An append of a round: answered once the high watermark reaches `needs`.
#[derive(Debug)]
pub(crate) struct Placed<T> {
    pub(crate) needs: Offset,
    pub(crate) ticket: T,
    pub(crate) answer: RecordsAppended,
}

impl<T> Appends<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            round: None,
        }
    }

    pub(crate) fn push(&mut self, append: Append<T>) {
        self.queue.push_back(append);
    }

    /// True while a round is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.round.is_some()
    }

    /// True when nothing waits for a round.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes all that waits without having been looked at.
    pub(crate) fn take_queue(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.queue)
            .into_iter()
            .map(|append| append.ticket)
    }

    /// Takes batches off the queue up to a full round, a roll, or the end of the queue.
    ///
    /// `must_roll` is asked with all that the round would then add. `in_hand` hears the fingerprint
    /// of each batch before it is touched, for the crash record.
    pub(crate) fn next_step(
        &mut self,
        scene: AppendScene<'_>,
        must_roll: impl Fn(&BatchSpan) -> bool,
        mut in_hand: impl FnMut(u64),
        outcome: &mut Outcome<T>,
    ) -> AppendStep {
        assert!(self.round.is_none(), "a round is being written");
        let batches_max = if scene.poison.is_wary() {
            1
        } else {
            ROUND_BATCHES_MAX
        };
        let mut draft: Draft<T> = Draft::new(&scene);
        let mut writes: Vec<BatchWrite> = Vec::new();
        while writes.len() < batches_max && draft.span.bytes < ROUND_BYTES_MAX {
            let Some(Append { batch, .. }) = self.queue.front() else {
                break;
            };
            let fingerprint = batch_fingerprint(batch);
            in_hand(fingerprint);
            let verdict = match scene.poison.judge(fingerprint) {
                Some(poisonous) => Verdict::Refused(AppendRefused::Poisonous {
                    state_suspect: poisonous.state_suspect,
                    log_start: scene.log_start,
                }),
                None => judge(batch, scene.producers, scene.log_start),
            };
            if matches!(verdict, Verdict::New) && must_roll(&draft.span_with(batch)) {
                if writes.is_empty() {
                    return AppendStep::Roll;
                }
                break;
            }
            let Some(Append { batch, ticket }) = self.queue.pop_front() else {
                break;
            };
            match verdict {
                Verdict::New => writes.push(draft.place(batch, ticket, scene.producers)),
                Verdict::Resent { needs, answer } => {
                    // The original may be in this very round: then both stand or fall together.
                    let is_written = needs <= scene.log_end;
                    let placed = if is_written {
                        &mut outcome.resent
                    } else {
                        &mut draft.round.placed
                    };
                    placed.push(Placed {
                        needs,
                        ticket,
                        answer,
                    });
                }
                Verdict::Refused(why) => outcome.refused.push((ticket, why)),
            }
        }
        if writes.is_empty() {
            return AppendStep::Idle;
        }
        self.round = Some(draft.round);
        AppendStep::Write(writes)
    }

    /// The round is in the file.
    pub(crate) fn wrote(&mut self) -> Round<T> {
        self.round
            .take()
            .expect("a write is reported only for the round under way")
    }

    /// The round is not in the file: the producers are as if it had never been. Returns all that was
    /// in it, to be refused.
    pub(crate) fn write_refused(&mut self, producers: &mut ProducerTable) -> Vec<T> {
        let round = self
            .round
            .take()
            .expect("a write is reported only for the round under way");
        for applied in round.applied.into_iter().rev() {
            producers.revert(applied);
        }
        let placed = round.placed.into_iter();
        placed.map(|placed| placed.ticket).collect()
    }
}

/// What the state says to one batch.
enum Verdict {
    New,
    Resent {
        needs: Offset,
        answer: RecordsAppended,
    },
    Refused(AppendRefused),
}

/// What the sequence numbers of its producer make of a batch.
fn judge(batch: &CheckedBatch, producers: &ProducerTable, log_start: Offset) -> Verdict {
    match producers.check(&producer_batch(batch)) {
        ProducerVerdict::Append => Verdict::New,
        ProducerVerdict::Duplicate {
            base_offset,
            last_offset,
            timestamp,
        } => {
            let answer = RecordsAppended {
                base_offset,
                log_append_time_ms: timestamp,
                log_start,
            };
            Verdict::Resent {
                needs: last_offset.next(),
                answer,
            }
        }
        ProducerVerdict::Refused(why) => Verdict::Refused(refusal(why, log_start)),
    }
}

fn refusal(why: ProducerRefused, log_start: Offset) -> AppendRefused {
    match why {
        ProducerRefused::OutOfOrderSequence {
            producer_id,
            found,
            last,
        } => {
            let expected = if last == i32::MAX { 0 } else { last + 1 };
            AppendRefused::OutOfOrderSequence {
                producer_id,
                sent: found,
                expected,
                log_start,
            }
        }
        ProducerRefused::InvalidEpoch {
            producer_id,
            found,
            current,
        } => AppendRefused::InvalidProducerEpoch {
            producer_id,
            sent: found,
            current,
            log_start,
        },
    }
}

fn producer_batch(batch: &CheckedBatch) -> ProducerBatch {
    let header = &batch.header;
    ProducerBatch {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        last_offset_delta: header.last_offset_delta,
        max_timestamp: batch.max_timestamp,
        is_transactional: header.attributes.is_transactional(),
        is_control: header.attributes.is_control(),
    }
}

/// A round while it is filled.
struct Draft<T> {
    round: Round<T>,
    span: BatchSpan,
    leader_epoch: LeaderEpoch,
    log_start: Offset,
}

impl<T> Draft<T> {
    fn new(scene: &AppendScene<'_>) -> Self {
        let round = Round {
            placed: Vec::new(),
            log_end: scene.log_end,
            bytes: 0,
            applied: Vec::new(),
        };
        let span = BatchSpan {
            bytes: 0,
            last_offset: scene.log_end,
            max_timestamp: -1,
        };
        Self {
            round,
            span,
            leader_epoch: scene.leader_epoch,
            log_start: scene.log_start,
        }
    }

    fn span_with(&self, batch: &CheckedBatch) -> BatchSpan {
        BatchSpan {
            bytes: self.span.bytes + batch.bytes.len() as u64,
            last_offset: self
                .round
                .log_end
                .plus(i64::from(batch.header.last_offset_delta)),
            max_timestamp: self.span.max_timestamp.max(batch.max_timestamp),
        }
    }

    /// Gives a batch the next offsets.
    fn place(
        &mut self,
        batch: CheckedBatch,
        ticket: T,
        producers: &mut ProducerTable,
    ) -> BatchWrite {
        self.span = self.span_with(&batch);
        let base_offset = self.round.log_end;
        let last_offset = self.span.last_offset;
        assert!(
            last_offset >= base_offset,
            "a checked batch holds at least one record"
        );
        self.round.log_end = last_offset.next();
        self.round.bytes = self.span.bytes;
        self.round
            .applied
            .push(producers.apply(&producer_batch(&batch), base_offset));
        let answer = RecordsAppended {
            base_offset,
            log_append_time_ms: batch.log_append_time_ms,
            log_start: self.log_start,
        };
        self.round.placed.push(Placed {
            needs: last_offset.next(),
            ticket,
            answer,
        });
        BatchWrite {
            chunks: batch.stamped(base_offset, self.leader_epoch),
            base_offset,
            last_offset,
            max_timestamp: batch.max_timestamp,
        }
    }
}
